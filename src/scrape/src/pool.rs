//! The targets of one job, and how they change with configuration and discovery.
//! When that is done, and who sees the result, is the manager's matter.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Instant,
};

use prom_config::ScrapeConfig;
use prom_discovery::TargetSet;
use prom_http_client::Client;
use prom_lifecycle::{
    Handle,
    target::{Event, State},
};
use prom_model::Labels;
use prom_telemetry::clock;
use tokio::sync::watch;

use crate::{
    fetch::Fetcher,
    live::Target,
    relabelled::{RelabelledGroups, dropped_count_max},
    rules::{Rules, understand_alike},
    scrape_loop::{self, Context, Plan},
    target::TargetSpec,
};

/// A job of the configuration, with the client that its targets share.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) cfg: Arc<ScrapeConfig>,
    pub(crate) client: Client,
}

/// What loops are started with.
#[derive(Clone)]
pub(crate) struct Starter {
    pub(crate) ctx: Arc<Context>,
    pub(crate) handle: Handle,
    pub(crate) offset_seed: u64,
}

/// One scrape pool.
pub(crate) struct Pool {
    name: Arc<str>,
    job: Job,
    /// See [`Rules::generation`].
    generation: u64,
    is_configured: bool,
    /// Of the target set that the pool was brought in line with.
    version: Option<u64>,
    /// When a changed job was taken over that the targets have not followed yet.
    reload_began: Option<Instant>,
    live: HashMap<u64, Live>,
    relabelled: RelabelledGroups,
    dropped: Vec<Labels>,
    dropped_count: usize,
}

/// What everybody may see of a pool at one moment.
#[derive(Debug)]
pub(crate) struct PoolSnapshot {
    pub(crate) name: Arc<str>,
    pub(crate) cfg: Arc<ScrapeConfig>,
    /// Sorted by URL, those on their way out included.
    pub(crate) targets: Vec<Arc<Target>>,
    pub(crate) dropped: Vec<Labels>,
    pub(crate) dropped_count: usize,
}

struct Live {
    target: Arc<Target>,
    plans: watch::Sender<Arc<Plan>>,
}

impl Pool {
    pub(crate) fn new(job: Job) -> Self {
        Self {
            name: job.cfg.job_name.as_str().into(),
            job,
            generation: 0,
            is_configured: true,
            version: None,
            reload_began: None,
            live: HashMap::new(),
            relabelled: RelabelledGroups::default(),
            dropped: Vec::new(),
            dropped_count: 0,
        }
    }

    pub(crate) fn job(&self) -> &Job {
        &self.job
    }

    pub(crate) fn is_configured(&self) -> bool {
        self.is_configured
    }

    /// Nothing is left to be done for a job that is not configured any more.
    pub(crate) fn is_over(&self) -> bool {
        !self.is_configured && self.live.is_empty()
    }

    /// Whether the pool is in line with this version of its targets.
    pub(crate) fn is_in_line_with(&self, version: u64) -> bool {
        self.version == Some(version)
    }

    /// Takes a changed job over; the targets follow with the next [`Pool::sync`].
    pub(crate) fn reconfigure(&mut self, job: Job) {
        if !understand_alike(&self.job.cfg, &job.cfg) {
            self.generation += 1;
        }
        self.job = job;
        self.is_configured = true;
        self.version = None;
        self.reload_began = Some(clock::monotonic());
    }

    /// The job is not configured any more: its targets end.
    pub(crate) fn retire(&mut self) {
        self.is_configured = false;
        self.version = None;
        self.relabelled = RelabelledGroups::default();
        self.dropped = Vec::new();
        self.dropped_count = 0;
        self.keep_only(&BTreeMap::new());
    }

    /// Forgets targets whose loops have ended.
    pub(crate) fn sweep(&mut self) {
        self.live.retain(|_, live| live.target.state() != State::Dropped);
    }

    /// Brings the targets in line with what was discovered. Those that stay keep their loops.
    pub(crate) fn sync(&mut self, set: &TargetSet, starter: &Starter) {
        let began = clock::monotonic();
        let specs = self.relabel(set, starter);
        self.sweep();
        self.keep_only(&specs);
        let target_count = specs.len();
        let forced_error = self.target_limit_error(target_count, starter);
        for (_, spec) in specs {
            self.bring_in(spec, forced_error.as_ref(), starter);
        }
        self.version = Some(set.version);
        let metrics = &starter.ctx.metrics.pools;
        metrics.observe_sync(&self.name, target_count, clock::monotonic() - began);
        if let Some(began) = self.reload_began.take() {
            metrics.observe_reload(self.job.cfg.scrape_interval, clock::monotonic() - began);
        }
    }

    pub(crate) fn snapshot(&self) -> PoolSnapshot {
        let mut targets: Vec<_> = self.live.values().map(|live| Arc::clone(&live.target)).collect();
        targets.sort_by(|a, b| (&a.url, &a.labels).cmp(&(&b.url, &b.labels)));
        PoolSnapshot {
            name: Arc::clone(&self.name),
            cfg: Arc::clone(&self.job.cfg),
            targets,
            dropped: self.dropped.clone(),
            dropped_count: self.dropped_count,
        }
    }

    /// The targets that are to be scraped, by identity; of equal ones the first.
    fn relabel(&mut self, set: &TargetSet, starter: &Starter) -> BTreeMap<u64, Arc<TargetSpec>> {
        self.relabelled.update(&self.job.cfg, &set.groups);
        let dropped_count_max = dropped_count_max(&self.job.cfg);
        let failures = starter.ctx.metrics.pools.sync_failed.with(&[&self.name]);
        let mut specs = BTreeMap::new();
        self.dropped = Vec::new();
        self.dropped_count = 0;
        for group in self.relabelled.iter() {
            for spec in &group.kept {
                specs.entry(spec.key).or_insert_with(|| Arc::clone(spec));
            }
            let room = dropped_count_max.saturating_sub(self.dropped.len());
            self.dropped.extend(group.dropped.iter().take(room).cloned());
            self.dropped_count += group.dropped_count;
            failures.inc_by(group.refused_count);
        }
        specs
    }

    /// Whether a loop does what it is to do.
    fn is_in_force(
        &self,
        plan: &Plan,
        spec: &TargetSpec,
        forced_error: Option<&Arc<str>>,
        starter: &Starter,
    ) -> bool {
        *plan.spec == *spec
            && Arc::ptr_eq(&plan.rules.cfg, &self.job.cfg)
            && plan.forced_error.as_ref() == forced_error
            && plan.offset_seed == starter.offset_seed
    }

    #[cfg(test)]
    pub(crate) fn plans(&self) -> impl Iterator<Item = Arc<Plan>> {
        let live = self.live.values().filter(|live| live.target.is_scraped());
        live.map(|live| Arc::clone(&live.plans.borrow()))
    }

    /// Compat: `refreshTargetLimitErr` in `scrape/scrape.go`.
    fn target_limit_error(&self, target_count: usize, starter: &Starter) -> Option<Arc<str>> {
        let limit = self.job.cfg.limits.target_count;
        let is_exceeded = limit > 0 && target_count as u64 > limit;
        is_exceeded.then(|| {
            starter.ctx.metrics.pools.exceeded_target_limit.inc();
            format!("target_limit exceeded (number of targets: {target_count}, limit: {limit})")
                .into()
        })
    }

    /// Lets go of targets that are not in `specs`.
    fn keep_only(&mut self, specs: &BTreeMap<u64, Arc<TargetSpec>>) {
        for (key, live) in &self.live {
            if !specs.contains_key(key) {
                live.target.raise(Event::Gone);
                // Wakes the loop, which then asks for its state.
                live.plans.send_modify(|_| {});
            }
        }
        self.sweep();
    }

    /// Starts a loop, or tells the running one what has changed. One for which nothing has is not woken.
    fn bring_in(
        &mut self,
        spec: Arc<TargetSpec>,
        forced_error: Option<&Arc<str>>,
        starter: &Starter,
    ) {
        if let Some(live) = self.live.get(&spec.key)
            && live.target.is_scraped()
            && self.is_in_force(&live.plans.borrow(), &spec, forced_error, starter)
        {
            return;
        }
        let cfg = Arc::clone(&self.job.cfg);
        let fetcher = Fetcher::new(&cfg, &spec, self.job.client.clone());
        let target_labels = spec.labels.clone();
        let plan = Arc::new(Plan {
            rules: Rules {
                tells_extra: cfg.extra_scrape_metrics || starter.ctx.tells_extra,
                logs_metadata: starter.ctx.logs_metadata,
                labels_types_and_units: starter.ctx.labels_types_and_units,
                starts: starter.ctx.starts,
                cfg,
                target_labels,
                histograms: spec.histograms,
                generation: self.generation,
            },
            fetcher: fetcher.map_err(|error| error.to_string()),
            forced_error: forced_error.map(Arc::clone),
            offset_seed: starter.offset_seed,
            spec: Arc::clone(&spec),
        });
        if let Some(live) = self.live.get(&spec.key)
            && live.target.raise(Event::Returned) != State::Dropped
        {
            live.target.note_spec(spec);
            live.plans.send_replace(plan);
            return;
        }
        let target = Arc::new(Target::new(Arc::clone(&self.name), Arc::clone(&spec)));
        let (plans, receiver) = watch::channel(plan);
        let ctx = Arc::clone(&starter.ctx);
        let run = scrape_loop::run(ctx, Arc::clone(&target), receiver);
        // The supervisor awaits the task; the loop ends by the state of its target.
        drop(starter.handle.spawn("scrape loop", run));
        self.live.insert(spec.key, Live { target, plans });
    }
}
