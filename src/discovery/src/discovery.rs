//! The sets of a consumer: which mechanisms fill them, and what they hold at this moment.
//! A mechanism that watches something outside plugs in as one more variant of `SetConfig`.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prom_config::{RoomChange, StaticConfig};
use prom_model::Labels;
use prom_telemetry::Registry;
use tokio::sync::watch;

use crate::{TargetGroup, metrics::Metrics};

/// More targets than this in one set are refused, and the set keeps what it had.
pub const TARGET_COUNT_MAX: usize = 1_000_000;

/// Why a set cannot be filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    #[error("set {set:?} has {count} targets (limit: {TARGET_COUNT_MAX})")]
    TooManyTargets { set: String, count: usize },
    #[error("set {set:?} is not configured")]
    UnknownSet { set: String },
}

/// What fills one set.
#[derive(Clone, Copy, Debug)]
pub struct SetConfig<'a> {
    /// The job's name.
    pub set: &'a str,
    pub static_configs: &'a [StaticConfig],
}

/// The groups of one set, sorted by source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetSet {
    /// Changes with the groups (I3).
    pub version: u64,
    pub groups: Vec<Arc<TargetGroup>>,
}

/// New sets, ready to be taken over.
#[derive(Debug)]
pub struct Prepared {
    sets: BTreeMap<Arc<str>, BySource>,
    changes: RoomChange,
}

type BySource = BTreeMap<Arc<str>, Arc<TargetGroup>>;

/// Holds the sets of one consumer. Clones share them.
#[derive(Clone, Debug)]
pub struct Discovery {
    shared: Arc<Shared>,
}

/// Tells a consumer that some set changed.
#[derive(Debug)]
pub struct Changes {
    receiver: watch::Receiver<u64>,
}

#[derive(Debug)]
struct Shared {
    metrics: Metrics,
    sets: Mutex<BTreeMap<Arc<str>, Filled>>,
    /// The number of changes so far; also the source of versions.
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Filled {
    version: u64,
    by_source: BySource,
}

impl Prepared {
    /// How many targets, before relabelling, come and go, compared with those known when it was prepared.
    pub fn changes(&self) -> &RoomChange {
        &self.changes
    }
}

impl Discovery {
    /// `name` is that of the consumer in metrics: `scrape` or `notify`.
    pub fn new(name: &'static str, registry: &Registry) -> Self {
        let metrics = Metrics::new(name, registry);
        let (changes, _) = watch::channel(0);
        Self { shared: Arc::new(Shared { metrics, sets: Mutex::default(), changes }) }
    }

    /// Works out the sets of a new configuration.
    ///
    /// # Errors
    /// A set is too large.
    pub fn prepare<'a>(
        &self,
        configs: impl IntoIterator<Item = SetConfig<'a>>,
    ) -> Result<Prepared, DiscoveryError> {
        let mut sets = BTreeMap::new();
        for SetConfig { set, static_configs } in configs {
            let group = |(index, cfg)| {
                let source: Arc<str> = format!("{set}/{index}").into();
                let group = TargetGroup::from_static(Arc::clone(&source), cfg);
                (source, Arc::new(group))
            };
            let by_source: BTreeMap<_, _> = static_configs.iter().enumerate().map(group).collect();
            check_count(set, &by_source)?;
            sets.insert(Arc::from(set), by_source);
        }
        let changes = changes(&self.lock(), &sets);
        Ok(Prepared { sets, changes })
    }

    /// Takes the new sets over; those that hold the same groups as before keep their version.
    pub fn commit(&self, prepared: Prepared) {
        self.shared.metrics.failed_configs.set(0.0);
        let mut sets = self.lock();
        sets.retain(|set, _| {
            let is_kept = prepared.sets.contains_key(set);
            if !is_kept {
                self.shared.metrics.forget(set);
            }
            is_kept
        });
        for (set, by_source) in prepared.sets {
            let is_new = sets.get(&set).is_none_or(|filled| filled.by_source != by_source);
            if is_new {
                self.shared.metrics.set_discovered(&set, target_count(&by_source));
                let version = self.next_version();
                sets.insert(set, Filled { version, by_source });
            }
        }
    }

    /// Replaces groups of a set by source; a group without targets is removed.
    ///
    /// # Errors
    /// The set is not configured, or would be too large; it keeps what it had (I1).
    pub fn update(
        &self,
        set: &str,
        groups: impl IntoIterator<Item = TargetGroup>,
    ) -> Result<(), DiscoveryError> {
        self.shared.metrics.received_updates.inc();
        let mut sets = self.lock();
        let unknown = || DiscoveryError::UnknownSet { set: set.to_owned() };
        let filled = sets.get_mut(set).ok_or_else(unknown)?;
        let mut by_source = filled.by_source.clone();
        for group in groups {
            if group.targets.is_empty() {
                by_source.remove(&group.source);
            } else {
                by_source.insert(Arc::clone(&group.source), Arc::new(group));
            }
        }
        check_count(set, &by_source)?;
        if by_source != filled.by_source {
            self.shared.metrics.set_discovered(set, target_count(&by_source));
            *filled = Filled { version: self.next_version(), by_source };
        }
        Ok(())
    }

    /// What a set holds; nothing if it is not configured.
    pub fn target_set(&self, set: &str) -> TargetSet {
        let sets = self.lock();
        let read = |filled: &Filled| TargetSet {
            version: filled.version,
            groups: filled.by_source.values().map(Arc::clone).collect(),
        };
        sets.get(set).map(read).unwrap_or_default()
    }

    /// Tells of all changes from now on.
    pub fn changes(&self) -> Changes {
        Changes { receiver: self.shared.changes.subscribe() }
    }

    fn next_version(&self) -> u64 {
        self.shared.metrics.sent_updates.inc();
        self.shared.changes.send_modify(|count| *count += 1);
        *self.shared.changes.borrow()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Filled>> {
        // Sets are replaced as a whole, so a panic elsewhere leaves none half-changed.
        self.shared.sets.lock().unwrap_or_else(PoisonError::into_inner)
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

fn changes(old: &BTreeMap<Arc<str>, Filled>, new: &BTreeMap<Arc<str>, BySource>) -> RoomChange {
    let mut change = RoomChange::of("targets");
    let mut count = |old: Option<&BySource>, new: Option<&BySource>| {
        let all = |groups: Option<&BySource>| groups.map_or(0, target_count) as u64;
        if old == new {
            change.unchanged_count += all(new);
            return;
        }
        let (before, after) = (targets(old), targets(new));
        let kept_count = after.intersection(&before).count() as u64;
        change.unchanged_count += kept_count;
        change.added.count += after.len() as u64 - kept_count;
        change.removed.count += before.len() as u64 - kept_count;
    };
    for (set, groups) in new {
        count(old.get(set).map(|filled| &filled.by_source), Some(groups));
    }
    for (_, filled) in old.iter().filter(|(set, _)| !new.contains_key(*set)) {
        count(Some(&filled.by_source), None);
    }
    change
}

/// All targets of a set, each with the labels of its group.
fn targets(groups: Option<&BySource>) -> HashSet<(&Labels, &Labels)> {
    let groups = groups.into_iter().flat_map(BTreeMap::values);
    groups.flat_map(|group| group.targets.iter().map(|target| (target, &group.labels))).collect()
}

fn check_count(
    set: &str,
    by_source: &BTreeMap<Arc<str>, Arc<TargetGroup>>,
) -> Result<(), DiscoveryError> {
    let count = target_count(by_source);
    if count > TARGET_COUNT_MAX {
        return Err(DiscoveryError::TooManyTargets { set: set.to_owned(), count });
    }
    Ok(())
}

fn target_count(by_source: &BTreeMap<Arc<str>, Arc<TargetGroup>>) -> usize {
    by_source.values().map(|group| group.targets.len()).sum()
}
