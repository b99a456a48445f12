//! The pools of all jobs: how a new configuration and discovery change them, and what everybody sees.

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use prom_config::{Config, RoomChange, ScrapeConfig};
use prom_discovery::{Discovery, DiscoveryOptions, SetConfig};
use prom_http_client::{BufferPool, Client};
use prom_lifecycle::{Handle, PoolLimits};
use prom_model::Labels;
use prom_storage::Appendable;
use prom_telemetry::{MetricFamily, MetricKind, Registry, clock};
use tokio::time::Instant;

use crate::{
    DroppedTargetView, MetricMetadata, PoolTally, PoolView, ScrapeError, TargetHealth, TargetView,
    failure_log::FailureLogs,
    live::Target,
    metadata::{MetadataTable, size_bytes},
    metrics::Metrics,
    pool::{Job, Pool, PoolSnapshot, Starter},
    pulse,
    rules::StartRules,
    scrape_loop::Context,
    target::offset_seed,
};

/// All bodies that are read or parsed at this moment take no more than this.
const BODIES_SIZE_BYTES_MAX: usize = 1 << 30;
/// Compat: `ScrapeTimestampTolerance` in `scrape/scrape.go`.
const TIMESTAMP_TOLERANCE: Duration = Duration::from_millis(2);
/// Large bodies that may wait for a thread. A scrape that finds no place fails and says so.
const WAITING_COUNT_MAX: usize = 10_000;

/// What does not come from the configuration.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScrapeOptions {
    /// Sent with each request: `Prometheus/<version>`.
    pub user_agent: &'static str,
    /// The full name of this machine: two servers with the same targets ask at different moments.
    pub host_name: String,
    /// A scrape that begins at most this much off its schedule gets the time of the schedule.
    pub timestamp_tolerance: Duration,
    /// Jobs tell more of their scrapes also where they do not say `extra_scrape_metrics`.
    pub extra_scrape_metrics: bool,
    /// What targets say of their metrics goes on the log of the store.
    pub is_metadata_logged: bool,
    /// Series get the type and the unit of their family as labels.
    pub has_type_and_unit_labels: bool,
    /// Series begin with a zero at the time since when they count.
    pub has_start_zeros: bool,
    /// Samples are stored with the time since when they count.
    pub has_start_times: bool,
    /// Where targets do not tell since when a series counts, its first sample is left out and later ones count from
    /// there.
    pub has_synthetic_starts: bool,
}

/// A configuration, ready to be taken over.
#[derive(Debug)]
pub struct Prepared {
    discovery: prom_discovery::Prepared,
    jobs: Vec<Job>,
    failure_logs: FailureLogs,
    offset_seed: u64,
    changes: [RoomChange; 2],
}

impl Prepared {
    /// What it changes: jobs, and targets before relabelling.
    pub fn changes(&self) -> &[RoomChange; 2] {
        &self.changes
    }
}

/// All scrape pools. Clones share them.
#[derive(Clone)]
pub struct ScrapeManager {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    options: ScrapeOptions,
    discovery: Discovery,
    ctx: Arc<Context>,
    handle: Handle,
    state: Mutex<State>,
    /// What readers see; they never wait for a change (I4).
    seen: ArcSwap<Vec<Arc<PoolSnapshot>>>,
}

struct State {
    pools: BTreeMap<Arc<str>, Pool>,
    offset_seed: u64,
}

impl ScrapeOptions {
    pub fn new(user_agent: &'static str, host_name: impl Into<String>) -> Self {
        let host_name = host_name.into();
        Self {
            user_agent,
            host_name,
            timestamp_tolerance: TIMESTAMP_TOLERANCE,
            extra_scrape_metrics: false,
            is_metadata_logged: false,
            has_type_and_unit_labels: false,
            has_start_zeros: false,
            has_start_times: false,
            has_synthetic_starts: false,
        }
    }
}

impl ScrapeManager {
    /// A manager without pools. Its loops run through `handle` and end when that cancels.
    pub fn new(
        store: Arc<dyn Appendable>,
        handle: Handle,
        registry: &Registry,
        options: ScrapeOptions,
    ) -> Self {
        Self::with_clock(store, handle, registry, options, clock::now_since_epoch)
    }

    pub(crate) fn with_clock(
        store: Arc<dyn Appendable>,
        handle: Handle,
        registry: &Registry,
        options: ScrapeOptions,
        now: fn() -> Duration,
    ) -> Self {
        let workers_count_max = std::thread::available_parallelism().map_or(1, usize::from);
        let limits = PoolLimits { workers_count_max, waiting_count_max: WAITING_COUNT_MAX };
        let ctx = Context {
            store,
            metadata: MetadataTable::default(),
            failure_logs: ArcSwap::default(),
            metrics: Metrics::new(registry),
            buffers: BufferPool::new(BODIES_SIZE_BYTES_MAX),
            workers: handle.pool("scraping", limits),
            stop: handle.cancellation(),
            now,
            timestamp_tolerance: options.timestamp_tolerance,
            tells_extra: options.extra_scrape_metrics,
            logs_metadata: options.is_metadata_logged,
            labels_types_and_units: options.has_type_and_unit_labels,
            starts: StartRules {
                are_zeroed: options.has_start_zeros,
                are_stored: options.has_start_times,
                are_synthesized: options.has_synthetic_starts,
            },
            base: Instant::now(),
        };
        let discovery = DiscoveryOptions::new("scrape", options.user_agent);
        let shared = Arc::new(Shared {
            options,
            discovery: Discovery::new(&discovery, registry, &handle),
            ctx: Arc::new(ctx),
            handle: handle.clone(),
            state: Mutex::new(State { pools: BTreeMap::new(), offset_seed: 0 }),
            seen: ArcSwap::default(),
        });
        let seen = Arc::downgrade(&shared);
        registry.collect_fn(move |families| {
            if let Some(shared) = seen.upgrade() {
                families.extend(metadata_families(&shared.seen.load()));
            }
        });
        // From here on no change is missed, whenever the task begins.
        let changes = shared.discovery.changes();
        drop(handle.spawn_vital("scrape manager", pulse::run(Arc::clone(&shared), changes)));
        Self { shared }
    }

    /// Works out what `cfg` changes, without any effect.
    ///
    /// # Errors
    /// `cfg` cannot be scraped by.
    pub fn prepare(&self, cfg: &Config) -> Result<Prepared, ScrapeError> {
        let sets = cfg.scrape_configs.iter().map(|scrape| SetConfig {
            set: &scrape.job_name,
            static_configs: &scrape.static_configs,
            discovery_configs: &scrape.discovery_configs,
        });
        let discovery = self.shared.discovery.prepare(sets)?;
        let jobs = cfg.scrape_configs.iter().map(|scrape| &**scrape);
        let failure_logs = FailureLogs::open(jobs)?;
        let state = self.shared.lock();
        let configured = state.pools.values().filter(|pool| pool.is_configured());
        let old = configured.map(|pool| &pool.job().cfg).map(|cfg| (&*cfg.job_name, cfg));
        let new = cfg.scrape_configs.iter().map(|cfg| (&*cfg.job_name, cfg));
        let changed_jobs = RoomChange::between("scrape jobs", old, new);
        let changes = [changed_jobs, discovery.changes().clone()];
        let jobs = cfg.scrape_configs.iter().map(|scrape| self.prepare_job(&state, scrape));
        let offset_seed = offset_seed(&self.shared.options.host_name, &cfg.global.external_labels);
        Ok(Prepared { discovery, jobs: jobs.collect(), failure_logs, offset_seed, changes })
    }

    /// Takes a prepared configuration over. Jobs and targets that it does not change keep their loops,
    /// rhythms, caches and connections (I3).
    pub fn commit(&self, prepared: Prepared) {
        let mut state = self.shared.lock();
        self.shared.discovery.commit(prepared.discovery);
        self.shared.ctx.failure_logs.store(Arc::new(prepared.failure_logs));
        state.offset_seed = prepared.offset_seed;
        let pools = &mut state.pools;
        let kept: HashSet<&str> = prepared.jobs.iter().map(|job| &*job.cfg.job_name).collect();
        for (name, pool) in pools.iter_mut() {
            if !kept.contains(&**name) && pool.is_configured() {
                pool.retire();
                self.shared.ctx.metrics.pools.forget(name);
            }
        }
        for job in prepared.jobs {
            self.shared.take_over(pools, job);
        }
        self.shared.sync(&mut state);
    }

    /// All targets that are scraped, by pool and URL.
    pub fn targets(&self) -> Vec<TargetView> {
        let seen = self.shared.seen.load();
        let targets = seen.iter().flat_map(|pool| &pool.targets);
        targets.filter_map(|target| target.view()).collect()
    }

    /// Targets that relabelling dropped, as far as they are remembered, by pool.
    pub fn dropped_targets(&self) -> Vec<DroppedTargetView> {
        let seen = self.shared.seen.load();
        let view = |pool: &PoolSnapshot, labels: &Labels| DroppedTargetView {
            scrape_pool: Arc::clone(&pool.name),
            discovered_labels: labels.clone(),
        };
        seen.iter().flat_map(|pool| pool.dropped.iter().map(|labels| view(pool, labels))).collect()
    }

    /// All pools by name.
    pub fn pools(&self) -> Vec<PoolView> {
        self.shared.seen.load().iter().map(|pool| pool.view()).collect()
    }

    /// The configuration of the pool of this name.
    pub fn job(&self, pool: &str) -> Option<Arc<ScrapeConfig>> {
        let seen = self.shared.seen.load();
        seen.iter().find(|seen| &*seen.name == pool).map(|seen| Arc::clone(&seen.cfg))
    }

    /// How the targets of all pools fare by the scrapes that began after this moment, Unix time.
    pub fn tallies(&self, since_ms: i64) -> Vec<PoolTally> {
        self.shared.seen.load().iter().map(|pool| pool.tally(since_ms)).collect()
    }

    /// Shows what targets say of their metrics, target by target, until `visit` breaks off. The labels
    /// are those of the target.
    pub fn visit_metadata(
        &self,
        visit: &mut dyn FnMut(&Labels, &MetricMetadata) -> ControlFlow<()>,
    ) {
        let seen = self.shared.seen.load();
        for target in seen.iter().flat_map(|pool| &pool.targets) {
            if target.health().is_none() {
                continue;
            }
            for metadata in &*target.metadata() {
                if visit(&target.labels, metadata).is_break() {
                    return;
                }
            }
        }
    }

    fn prepare_job(&self, state: &State, cfg: &Arc<ScrapeConfig>) -> Job {
        let old = state.pools.get(cfg.job_name.as_str()).map(Pool::job);
        match old {
            // Equal configurations stay the same object, so that nothing seems to have changed.
            Some(old) if Arc::ptr_eq(&old.cfg, cfg) || *old.cfg == **cfg => old.clone(),
            Some(old) if old.cfg.http_client == cfg.http_client => {
                Job { cfg: Arc::clone(cfg), client: old.client.clone() }
            }
            _ => {
                let client = Client::new(cfg.http_client.clone(), self.shared.options.user_agent);
                Job { cfg: Arc::clone(cfg), client }
            }
        }
    }
}

impl Shared {
    pub(crate) fn ctx(&self) -> &Context {
        &self.ctx
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Brings pools in line with what was discovered meanwhile.
    pub(crate) fn sync_changed(&self) {
        self.sync(&mut self.lock());
    }

    /// A target whose loop is behind its promise (I5).
    pub(crate) fn overdue_target(&self) -> Option<Arc<Target>> {
        let now_us = self.ctx.base.elapsed().as_micros();
        let now_us = i64::try_from(now_us).unwrap_or(i64::MAX);
        let seen = self.seen.load();
        let mut targets = seen.iter().flat_map(|pool| &pool.targets);
        targets.find(|target| target.is_overdue(now_us)).map(Arc::clone)
    }

    fn take_over(&self, pools: &mut BTreeMap<Arc<str>, Pool>, job: Job) {
        let metrics = &self.ctx.metrics.pools;
        let name: Arc<str> = job.cfg.job_name.as_str().into();
        metrics.target_limit.with(&[&name]).set(job.cfg.limits.target_count as f64);
        match pools.get_mut(&name) {
            None => {
                metrics.created.inc();
                pools.insert(name, Pool::new(job));
            }
            Some(pool) if pool.is_configured() && Arc::ptr_eq(&pool.job().cfg, &job.cfg) => {}
            Some(pool) => {
                metrics.reloads.inc();
                pool.reconfigure(job);
            }
        }
    }

    fn sync(&self, state: &mut State) {
        let starter = Starter {
            ctx: Arc::clone(&self.ctx),
            handle: self.handle.clone(),
            offset_seed: state.offset_seed,
        };
        for (name, pool) in &mut state.pools {
            pool.sweep();
            let set = self.discovery.target_set(name);
            if pool.is_configured() && !pool.is_in_line_with(set.version) {
                pool.sync(&set, &starter);
            }
        }
        state.pools.retain(|_, pool| !pool.is_over());
        let configured = state.pools.values().filter(|pool| pool.is_configured());
        let seen = configured.map(|pool| Arc::new(pool.snapshot()));
        self.seen.store(Arc::new(seen.collect()));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in a sync ends the service, so nobody goes on with what it left.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PoolSnapshot {
    fn view(&self) -> PoolView {
        let healths: Vec<_> = self.targets.iter().filter_map(|target| target.health()).collect();
        PoolView {
            name: Arc::clone(&self.name),
            active_count: healths.len(),
            up_count: healths.iter().filter(|health| **health == TargetHealth::Up).count(),
            dropped_count: self.dropped_count,
        }
    }
}

impl PoolSnapshot {
    fn tally(&self, since_ms: i64) -> PoolTally {
        let name = Arc::clone(&self.name);
        let mut tally = PoolTally { name, up_count: 0, down_count: 0, unseen_count: 0 };
        for health in self.targets.iter().filter_map(|target| target.health_since(since_ms)) {
            match health {
                TargetHealth::Up => tally.up_count += 1,
                TargetHealth::Down => tally.down_count += 1,
                TargetHealth::Unknown => tally.unseen_count += 1,
            }
        }
        tally
    }
}

#[cfg(test)]
impl ScrapeManager {
    pub(crate) fn overdue_target(&self) -> Option<String> {
        self.shared.overdue_target().map(|target| target.url.clone())
    }

    /// What the loops of all targets that are scraped do.
    pub(crate) fn plans(&self) -> Vec<Arc<crate::scrape_loop::Plan>> {
        let state = self.shared.lock();
        state.pools.values().flat_map(Pool::plans).collect()
    }

    /// Makes a loop break its promise.
    pub(crate) fn wedge(&self, pool: &str) {
        for seen in self.shared.seen.load().iter().filter(|seen| &*seen.name == pool) {
            seen.targets.iter().for_each(|target| target.promise_step(-1));
        }
    }
}

impl fmt::Debug for ScrapeManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScrapeManager").finish_non_exhaustive()
    }
}

/// Compat: `MetadataMetricsCollector` in `scrape/metrics.go`.
fn metadata_families(pools: &[Arc<PoolSnapshot>]) -> [MetricFamily; 2] {
    let mut entries = MetricFamily::new(
        "prometheus_target_metadata_cache_entries",
        "Total number of metric metadata entries in the cache",
        MetricKind::Gauge,
    );
    let mut bytes = MetricFamily::new(
        "prometheus_target_metadata_cache_bytes",
        "The number of bytes that are currently used for storing metric metadata in the cache",
        MetricKind::Gauge,
    );
    for pool in pools {
        let labels = [("scrape_job", &*pool.name)];
        let said: Vec<_> = pool.targets.iter().map(|target| target.metadata()).collect();
        let entry_count: usize = said.iter().map(|metadata| metadata.len()).sum();
        let size: usize = said.iter().map(|metadata| size_bytes(metadata)).sum();
        entries.push(&labels, entry_count as f64);
        bytes.push(&labels, size as f64);
    }
    [entries, bytes]
}
