//! The sets of a consumer: which providers fill them, what they hold at this moment, and when they change.
//! How a mechanism finds anything stands in its own module.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prom_config::{DiscoveryConfig, RoomChange, Sources, StaticConfig};
use prom_lifecycle::Handle;
use prom_model::Labels;
use prom_telemetry::Registry;
use tokio::{
    select,
    sync::{Notify, watch},
    time::{Instant, sleep},
};

use crate::{
    DiscoveryError, TargetGroup, consul,
    delivery::{Delivery, Provider},
    file::{FileHub, FileTable},
    group::target_count,
    kubernetes::{self, KubernetesMeans},
    metrics::Metrics,
    pace::Pace,
    polled::{self, Asker, Means},
    zookeeper::{self, ZookeeperMetrics},
};

/// More targets than this in one set are refused, and the set keeps what it had.
pub const TARGET_COUNT_MAX: usize = 1_000_000;
/// Compat: `updatert` of Prometheus's `discovery/manager.go`.
const UPDATE_INTERVAL: Duration = Duration::from_secs(5);

/// What does not come from the configuration.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DiscoveryOptions {
    /// The consumer's name in metrics: `scrape` or `notify`.
    pub name: &'static str,
    /// Sent with each request: `Prometheus/<version>`.
    pub user_agent: &'static str,
    /// Beyond a few at once, sets change no more often than this.
    pub update_interval: Duration,
}

/// What fills one set.
#[derive(Clone, Copy, Debug)]
pub struct SetConfig<'a> {
    /// The job's name.
    pub set: &'a str,
    pub static_configs: &'a [StaticConfig],
    pub discovery_configs: &'a [DiscoveryConfig],
}

/// The groups of one set: those of the file first, then those of the mechanisms in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetSet {
    /// Changes with the groups (I3).
    pub version: u64,
    pub groups: Arc<[Arc<TargetGroup>]>,
}

/// New sets, ready to be taken over.
#[derive(Debug)]
pub struct Prepared {
    sets: BTreeMap<Arc<str>, Members>,
    /// Those that run already and those that will.
    providers: Vec<Arc<Provider>>,
    /// The files that new providers have read.
    files: (FileTable, Sources),
    changes: RoomChange,
}

/// Holds the sets of one consumer. Clones share them.
#[derive(Clone)]
pub struct Discovery {
    shared: Arc<Shared>,
}

/// Tells a consumer that some set changed.
#[derive(Debug)]
pub struct Changes {
    receiver: watch::Receiver<u64>,
}

struct Shared {
    handle: Handle,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    hub: FileHub,
    means: Means,
    kubernetes: KubernetesMeans,
    zookeeper: ZookeeperMetrics,
    /// Some provider has other groups than before.
    dirty: Arc<Notify>,
    /// The number of changes so far; also the source of versions.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    sets: BTreeMap<Arc<str>, Filled>,
    providers: Vec<Arc<Provider>>,
}

/// What a set is filled from.
#[derive(Debug)]
struct Members {
    fixed: Vec<Arc<TargetGroup>>,
    providers: Vec<Arc<Provider>>,
}

struct Filled {
    shown: TargetSet,
    members: Members,
    /// Of the providers, when the set was last brought in line with them.
    revisions: Vec<u64>,
}

impl DiscoveryOptions {
    pub fn new(name: &'static str, user_agent: &'static str) -> Self {
        Self { name, user_agent, update_interval: UPDATE_INTERVAL }
    }
}

impl Prepared {
    /// How many targets, before relabelling, come and go, compared with those known when it was prepared.
    /// What mechanisms will find only later does not count.
    pub fn changes(&self) -> &RoomChange {
        &self.changes
    }
}

impl Discovery {
    /// A discovery without sets. Its tasks run through `handle` and end when that cancels.
    pub fn new(options: &DiscoveryOptions, registry: &Registry, handle: &Handle) -> Self {
        let (changes, _) = watch::channel(0);
        let metrics = Arc::new(Metrics::new(options.name, registry));
        let means = Means::new(options.user_agent, registry);
        let shared = Arc::new(Shared {
            handle: handle.clone(),
            hub: FileHub::new(handle, &metrics),
            kubernetes: KubernetesMeans::new(&means, registry),
            zookeeper: ZookeeperMetrics::new(registry),
            means,
            metrics,
            state: Mutex::default(),
            dirty: Arc::default(),
            changes,
        });
        let pace = Pace::new(options.update_interval, Instant::now());
        drop(handle.spawn_vital("discovery", publish_changes(Arc::clone(&shared), pace)));
        Self { shared }
    }

    /// Works out the sets of a new configuration. Files of targets that are named for the first time are
    /// read now, so that their targets change together with the configuration.
    ///
    /// # Errors
    /// A set is too large, or asks for a mechanism that nobody runs.
    pub fn prepare<'a>(
        &self,
        configs: impl IntoIterator<Item = SetConfig<'a>>,
    ) -> Result<Prepared, DiscoveryError> {
        let mut known = self.lock().providers.clone();
        let mut prepared = Prepared {
            sets: BTreeMap::new(),
            providers: Vec::new(),
            files: (FileTable::new(&self.shared.metrics), Sources::of_disk()),
            changes: RoomChange::of("targets"),
        };
        for cfg in configs {
            let members = self.prepare_set(&cfg, &mut known, &mut prepared)?;
            let groups = members.merged().0;
            check_count(cfg.set, &groups)?;
            prepared.sets.insert(Arc::from(cfg.set), members);
        }
        prepared.changes = changes(&self.lock().sets, &prepared.sets);
        Ok(prepared)
    }

    /// Takes the new sets over; those that hold the same groups as before keep their version.
    pub fn commit(&self, prepared: Prepared) {
        let shared = &self.shared;
        shared.metrics.failed_configs.set(0.0);
        let mut state = shared.lock();
        let old = std::mem::replace(&mut state.providers, prepared.providers);
        let is_in = |among: &[Arc<Provider>], one: &Arc<Provider>| {
            among.iter().any(|other| Arc::ptr_eq(other, one))
        };
        for ended in old.iter().filter(|provider| !is_in(&state.providers, provider)) {
            ended.stop.cancel();
        }
        for (set, members) in &prepared.sets {
            let before = state.sets.get(set).map_or(&[][..], |filled| &filled.members.providers);
            hand_over(before, &members.providers, |provider| is_in(&old, provider));
        }
        let started = state.providers.iter().filter(|provider| !is_in(&old, provider));
        started.for_each(|provider| shared.start(provider));
        let all = state.providers.iter().map(|provider| shared.delivery(provider));
        shared.hub.follow(all.collect(), prepared.files);
        state.sets.retain(|set, _| {
            let is_kept = prepared.sets.contains_key(set);
            if !is_kept {
                shared.metrics.forget(set);
            }
            is_kept
        });
        for (set, members) in prepared.sets {
            let shown = state.sets.remove(&set).map(|filled| filled.shown);
            let (groups, revisions) = members.merged();
            let shown = match shown {
                Some(shown) if shown.groups == groups => shown,
                _ => shared.changed_set(&set, groups),
            };
            state.sets.insert(set, Filled { shown, members, revisions });
        }
    }

    /// What a set holds; nothing if it is not configured.
    pub fn target_set(&self, set: &str) -> TargetSet {
        self.lock().sets.get(set).map(|filled| filled.shown.clone()).unwrap_or_default()
    }

    /// Tells of all changes from now on.
    pub fn changes(&self) -> Changes {
        Changes { receiver: self.shared.changes.subscribe() }
    }

    fn prepare_set(
        &self,
        cfg: &SetConfig<'_>,
        known: &mut Vec<Arc<Provider>>,
        prepared: &mut Prepared,
    ) -> Result<Members, DiscoveryError> {
        let set = cfg.set;
        let fixed = cfg.static_configs.iter().enumerate();
        let fixed = fixed.map(|(index, cfg)| {
            Arc::new(TargetGroup::of_addresses(format!("{set}/{index}"), cfg, None))
        });
        let mut members = Members { fixed: fixed.collect(), providers: Vec::new() };
        for cfg in cfg.discovery_configs {
            let provider = match known.iter().find(|provider| provider.cfg == *cfg) {
                Some(provider) => Arc::clone(provider),
                None => {
                    let groups = first_groups(set, cfg, &mut prepared.files);
                    let stop = self.shared.handle.cancellation().child_token();
                    Arc::new(Provider::new(cfg.clone(), set.into(), stop, groups))
                }
            };
            if !prepared.providers.iter().any(|other| Arc::ptr_eq(other, &provider)) {
                prepared.providers.push(Arc::clone(&provider));
                known.push(Arc::clone(&provider));
            }
            members.providers.push(provider);
        }
        Ok(members)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }
}

impl Changes {
    /// Waits for the next change; several become one.
    ///
    /// # Cancel safety
    /// Dropping the future loses no change.
    pub async fn next(&mut self) {
        if self.receiver.changed().await.is_err() {
            // Nobody can change anything any more.
            std::future::pending::<()>().await;
        }
    }
}

impl Shared {
    /// Starts what finds the targets of a provider. Files have one task for all.
    fn start(&self, provider: &Arc<Provider>) {
        if let DiscoveryConfig::Consul(cfg) = &provider.cfg {
            let watching =
                consul::run(self.delivery(provider), (**cfg).clone(), self.means.clone());
            drop(self.handle.spawn("consul discovery", watching));
        } else if let Some((asker, every)) = Asker::new(&provider.cfg, &self.means) {
            let asking = polled::run(self.delivery(provider), asker, every, self.means.clone());
            drop(self.handle.spawn(format!("{} discovery", provider.cfg.name()), asking));
        }
        match &provider.cfg {
            DiscoveryConfig::Kubernetes(_) => {
                let (handle, means) = (self.handle.clone(), self.kubernetes.clone());
                let following = kubernetes::run(self.delivery(provider), handle, means);
                drop(self.handle.spawn("kubernetes discovery", following));
            }
            DiscoveryConfig::Serverset(_) | DiscoveryConfig::Nerve(_) => {
                let following = zookeeper::run(self.delivery(provider), self.zookeeper.clone());
                drop(self.handle.spawn("zookeeper discovery", following));
            }
            _ => {}
        }
    }

    fn delivery(&self, provider: &Arc<Provider>) -> Delivery {
        Delivery {
            provider: Arc::clone(provider),
            metrics: Arc::clone(&self.metrics),
            dirty: Arc::clone(&self.dirty),
        }
    }

    /// Brings all sets in line with their providers.
    fn publish(&self) {
        let mut state = self.lock();
        for (set, filled) in &mut state.sets {
            let (groups, revisions) = match filled.members.merged() {
                (_, revisions) if revisions == filled.revisions => continue,
                merged => merged,
            };
            filled.revisions = revisions;
            if let Err(err) = check_count(set, &groups) {
                tracing::error!(%err, "Targets are not taken over, the last good ones stay");
            } else if filled.shown.groups != groups {
                filled.shown = self.changed_set(set, groups);
            }
        }
    }

    /// A set with other groups than before, told to the consumer.
    fn changed_set(&self, set: &str, groups: Arc<[Arc<TargetGroup>]>) -> TargetSet {
        self.metrics.set_discovered(set, target_count(&groups));
        self.metrics.sent_updates.inc();
        self.changes.send_modify(|count| *count += 1);
        TargetSet { version: *self.changes.borrow(), groups }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Sets are replaced as a whole, so a panic elsewhere leaves none half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Members {
    /// All groups, and the revisions of the providers that they are of.
    fn merged(&self) -> (Arc<[Arc<TargetGroup>]>, Vec<u64>) {
        let latest: Vec<_> = self.providers.iter().map(|provider| provider.latest()).collect();
        let found = latest.iter().flat_map(|latest| latest.groups.iter());
        let groups = self.fixed.iter().chain(found).map(Arc::clone).collect();
        (groups, latest.iter().map(|latest| latest.revision).collect())
    }
}

impl fmt::Debug for Discovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discovery").field("sets", &self.lock().sets.keys()).finish_non_exhaustive()
    }
}

/// What a provider begins with. A mechanism that has to ask begins with nothing.
fn first_groups(
    set: &str,
    cfg: &DiscoveryConfig,
    (table, sources): &mut (FileTable, Sources),
) -> Vec<Arc<TargetGroup>> {
    match cfg {
        DiscoveryConfig::File(cfg) => table.read_new(set, &cfg.files, sources),
        _ => Vec::new(),
    }
}

/// Gives what the providers of a set that end have found to those of the same mechanism that begin.
fn hand_over(
    before: &[Arc<Provider>],
    now: &[Arc<Provider>],
    is_running: impl Fn(&Arc<Provider>) -> bool,
) {
    for fresh in now.iter().filter(|provider| !is_running(provider)) {
        let is_predecessor = |old: &&Arc<Provider>| {
            old.cfg.name() == fresh.cfg.name() && !now.iter().any(|it| Arc::ptr_eq(it, old))
        };
        // A mechanism that reads at once needs no predecessor.
        let needs_one = !matches!(fresh.cfg, DiscoveryConfig::File(_));
        if let Some(old) = before.iter().find(is_predecessor).filter(|_| needs_one) {
            fresh.inherit(old.latest().groups);
        }
    }
}

/// Publishes what providers deliver, in a bounded rhythm.
async fn publish_changes(shared: Arc<Shared>, mut pace: Pace) {
    let stop = shared.handle.cancellation();
    loop {
        select! {
            () = stop.cancelled() => return,
            () = shared.dirty.notified() => {}
        }
        let wait = pace.take(Instant::now());
        if !wait.is_zero() {
            shared.metrics.delayed_updates.inc();
            select! {
                () = stop.cancelled() => return,
                () = sleep(wait) => {}
            }
        }
        shared.publish();
    }
}

fn changes(old: &BTreeMap<Arc<str>, Filled>, new: &BTreeMap<Arc<str>, Members>) -> RoomChange {
    let mut change = RoomChange::of("targets");
    let mut count = |old: &[Arc<TargetGroup>], new: &[Arc<TargetGroup>]| {
        if old == new {
            change.unchanged_count += target_count(new) as u64;
            return;
        }
        let (before, after) = (targets(old), targets(new));
        let kept_count = after.intersection(&before).count() as u64;
        change.unchanged_count += kept_count;
        change.added.count += after.len() as u64 - kept_count;
        change.removed.count += before.len() as u64 - kept_count;
    };
    for (set, members) in new {
        let before = old.get(set).map_or(&[][..], |filled| &filled.shown.groups);
        count(before, &members.merged().0);
    }
    for (_, filled) in old.iter().filter(|(set, _)| !new.contains_key(*set)) {
        count(&filled.shown.groups, &[]);
    }
    change
}

/// All targets of a set, each with the labels of its group.
fn targets(groups: &[Arc<TargetGroup>]) -> HashSet<(&Labels, &Labels)> {
    let groups = groups.iter();
    groups.flat_map(|group| group.targets.iter().map(|target| (target, &group.labels))).collect()
}

fn check_count(set: &str, groups: &[Arc<TargetGroup>]) -> Result<(), DiscoveryError> {
    let count = target_count(groups);
    if count > TARGET_COUNT_MAX {
        return Err(DiscoveryError::TooManyTargets { set: set.to_owned(), count });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
