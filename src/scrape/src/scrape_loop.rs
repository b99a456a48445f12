//! The loop of one target: waits, asks, stores, until the target is gone and its end is marked.
//! What a scrape does is in `fetch`, `digest` and `store`; what may follow what, in `states/target.yaml`.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use prom_http_client::{BodyLimit, BufferPool};
use prom_lifecycle::{
    BlockingError, BlockingPool,
    target::{Event, State},
};
use prom_storage::Appendable;
use prom_telemetry::clock;
use tokio::{
    select,
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use crate::{
    digest::{Answer, BodySize, Digested, Unread, digest},
    failure_log::FailureLogs,
    fault,
    fetch::Fetcher,
    live::{LastScrape, Target},
    metadata::MetadataTable,
    metrics::{IntervalLength, Metrics},
    rules::{Rules, StartRules},
    schedule::Schedule,
    store::{ScrapeTime, TargetStore},
    target::{TargetSpec, delay_to_offset, offset},
    told,
};

/// A loop that is this much behind its own promise counts as wedged (I5).
const LATENESS_MAX: Duration = Duration::from_secs(10);
/// More work than this leaves the thread that serves connections: in bytes of known lines, of which one
/// takes about a nanosecond.
const INLINE_SIZE_BYTES_MAX: usize = 1 << 20;
/// How much dearer unknown lines are, and how much a gzip body grows.
const UNKNOWN_FACTOR: usize = 16;
const GZIP_FACTOR: usize = 12;
/// A line has about so many bytes.
const LINE_SIZE_BYTES: usize = 128;

/// What all loops share.
pub(crate) struct Context {
    pub(crate) store: Arc<dyn Appendable>,
    pub(crate) metadata: MetadataTable,
    pub(crate) failure_logs: ArcSwap<FailureLogs>,
    pub(crate) metrics: Metrics,
    pub(crate) buffers: BufferPool,
    pub(crate) workers: BlockingPool,
    pub(crate) stop: CancellationToken,
    /// Wall clock: time since the Unix epoch.
    pub(crate) now: fn() -> Duration,
    pub(crate) timestamp_tolerance: Duration,
    /// What [`Rules::tells_extra`] is at least.
    pub(crate) tells_extra: bool,
    /// See [`Rules::logs_metadata`].
    pub(crate) logs_metadata: bool,
    /// See [`Rules::labels_types_and_units`].
    pub(crate) labels_types_and_units: bool,
    pub(crate) starts: StartRules,
    /// Where promises of loops are counted from.
    pub(crate) base: Instant,
}

/// What a loop goes by; replaced as a whole when the configuration changes.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) spec: Arc<TargetSpec>,
    pub(crate) rules: Rules,
    /// Or why the target cannot be asked.
    pub(crate) fetcher: Result<Fetcher, String>,
    /// Why the target must not be asked.
    pub(crate) forced_error: Option<Arc<str>>,
    pub(crate) offset_seed: u64,
}

/// The loop between two steps.
struct ScrapeLoop {
    ctx: Arc<Context>,
    target: Arc<Target>,
    plan: Arc<Plan>,
    store: Arc<Mutex<TargetStore>>,
    schedule: Schedule,
    last_began: Option<Instant>,
    /// Once there were two scrapes.
    interval_length: Option<IntervalLength>,
    end: Option<End>,
    hint: Hint,
}

/// When a target that is gone has its end marked, and which time the markers get.
#[derive(Clone, Copy, Debug)]
struct End {
    at: Instant,
    timestamp_ms: i64,
}

/// Sizes of the last body.
#[derive(Clone, Copy, Debug, Default)]
struct Hint {
    wire_bytes: usize,
    body_bytes: usize,
}

/// Runs until the target is dropped.
pub(crate) async fn run(
    ctx: Arc<Context>,
    target: Arc<Target>,
    mut plans: watch::Receiver<Arc<Plan>>,
) {
    let plan = Arc::clone(&plans.borrow_and_update());
    let mut this = ScrapeLoop::new(ctx, target, plan);
    loop {
        match this.target.state() {
            State::Unknown | State::Up | State::Down => this.scrape_when_due(&mut plans).await,
            State::Stale => this.end_when_due(&mut plans).await,
            State::Dropped => break,
        }
    }
    this.target.promise_nothing();
}

impl ScrapeLoop {
    fn new(ctx: Arc<Context>, target: Arc<Target>, plan: Arc<Plan>) -> Self {
        let schedule = plan.schedule(&ctx);
        let store = TargetStore::new(Arc::clone(&ctx.store));
        Self {
            ctx,
            target,
            plan,
            store: Arc::new(Mutex::new(store)),
            schedule,
            last_began: None,
            interval_length: None,
            end: None,
            hint: Hint::default(),
        }
    }

    async fn scrape_when_due(&mut self, plans: &mut watch::Receiver<Arc<Plan>>) {
        if self.end.take().is_some() {
            self.schedule.catch_up(Instant::now());
        }
        self.promise_step(self.schedule.due());
        let stop = self.ctx.stop.clone();
        select! {
            biased;
            () = stop.cancelled() => self.halt(),
            changed = plans.changed() => self.adopt(changed, plans),
            () = sleep_until(self.schedule.wake()) => {
                fault::wedge_when_told().await;
                // A loop waits nearly all of its time, without the room that only a scrape takes.
                Box::pin(self.scrape()).await;
                self.schedule.advance(Instant::now());
            }
        }
    }

    /// The target is gone, but may come back: its end is marked after a bit more than two intervals,
    /// with the time at which it was first missed. Compat: `endOfRunStaleness` in `scrape/scrape.go`.
    async fn end_when_due(&mut self, plans: &mut watch::Receiver<Arc<Plan>>) {
        let end = match self.end {
            Some(end) => end,
            None => *self.end.insert(self.plan_end()),
        };
        self.promise_step(end.at);
        let stop = self.ctx.stop.clone();
        select! {
            biased;
            () = stop.cancelled() => self.halt(),
            changed = plans.changed() => self.adopt(changed, plans),
            () = sleep_until(end.at) => {
                let marked = Box::pin(self.mark_end(end.timestamp_ms)).await;
                told::end(&self.target, &marked);
                self.target.raise(Event::MarkersWritten);
            }
        }
    }

    fn plan_end(&self) -> End {
        let (now, interval) = (Instant::now(), self.schedule.interval());
        let missed_at = self.schedule.due().max(now);
        let timestamp_ms = millis((self.ctx.now)() + (missed_at - now));
        End { at: missed_at + interval + interval / 10, timestamp_ms }
    }

    async fn mark_end(&self, timestamp_ms: i64) -> Result<(), String> {
        let rules = self.plan.rules.clone();
        let work_bytes = self.lock_store().known_count() * LINE_SIZE_BYTES;
        let marked = self
            .with_store(work_bytes, move |store| store.store_end(&rules, timestamp_ms))
            .await
            .map_err(|error| error.to_string())?;
        marked.map_err(|error| error.to_string())
    }

    async fn scrape(&mut self) {
        let began = Instant::now();
        self.promise_step(began + self.plan.spec.timeout);
        self.observe_interval(began);
        let stamp = self.schedule.stamp(began, (self.ctx.now)());
        let time = ScrapeTime {
            timestamp_ms: millis(stamp),
            began: clock::monotonic(),
            timeout: self.plan.spec.timeout,
        };
        let stop = self.ctx.stop.clone();
        let answer = select! {
            biased;
            () = stop.cancelled() => return self.halt(),
            answer = self.ask() => answer,
        };
        let digested = self.digest(answer, time).await;
        let last = match digested {
            Ok(digested) => self.note(digested, time),
            // The work was refused or broke off: nothing was stored, and the target says so.
            Err(BlockingError::Stopping) => return self.halt(),
            Err(error) => {
                told::not_stored(&self.target, &error);
                let duration = clock::monotonic() - time.began;
                let timestamp_ms = Some(time.timestamp_ms);
                let (error, left_out) = (error.to_string(), String::new());
                LastScrape { error, left_out, timestamp_ms, duration }
            }
        };
        self.target.note_scrape(last);
    }

    async fn ask(&self) -> Answer {
        if let Some(reason) = &self.plan.forced_error {
            return Answer::NotAsked(reason.to_string());
        }
        match &self.plan.fetcher {
            Err(reason) => Answer::NotAsked(reason.clone()),
            Ok(fetcher) => match fetcher.fetch(&self.ctx.buffers, self.hint.wire_bytes).await {
                Ok(fetched) => Answer::Fetched(fetched),
                Err(error) => Answer::Failed(error),
            },
        }
    }

    async fn digest(
        &mut self,
        answer: Answer,
        time: ScrapeTime,
    ) -> Result<Digested, BlockingError> {
        let mut wire_bytes = 0;
        let mut work_bytes = self.lock_store().known_count() * LINE_SIZE_BYTES;
        if let Answer::Fetched(fetched) = &answer {
            wire_bytes = fetched.body.len();
            let body_bytes = wire_bytes * if fetched.is_gzip { GZIP_FACTOR } else { 1 };
            // Markers for vanished lines are cheap; lines that come are not, if they are new.
            let is_known = body_bytes / 2 <= work_bytes;
            work_bytes = body_bytes * if is_known { 1 } else { UNKNOWN_FACTOR };
        }
        let (ctx, plan) = (Arc::clone(&self.ctx), Arc::clone(&self.plan));
        let fetcher = plan.fetcher.as_ref();
        let limit = fetcher.map_or(BodyLimit { size_bytes: u64::MAX }, Fetcher::limit);
        let size = BodySize { limit, hint_bytes: self.hint.body_bytes };
        let digested = self
            .with_store(work_bytes, move |store| {
                digest(store, answer, &plan.rules, time, size, &ctx.buffers, &ctx.metadata)
            })
            .await?;
        if digested.body_size_bytes > 0 {
            self.hint = Hint { wire_bytes, body_bytes: digested.body_size_bytes };
        }
        Ok(digested)
    }

    /// Counts, logs and shows what came of a scrape.
    fn note(&self, digested: Digested, time: ScrapeTime) -> LastScrape {
        self.ctx.metrics.loops.count(&digested);
        if self.plan.rules.tells_extra {
            let duration = clock::monotonic() - time.began;
            self.ctx.metrics.loops.scrape_duration.observe(duration.as_secs_f64());
        }
        told::scrape(&self.target, &digested);
        if let Some(Unread::Fetch(error)) = &digested.unread {
            let path = &self.plan.rules.cfg.scrape_failure_log_file;
            self.ctx.failure_logs.load().log(path, &self.target, &error.to_string());
        }
        let error = digested.error().unwrap_or_default();
        let duration = digested.stored.report.duration;
        if let Some(metadata) = digested.stored.metadata {
            self.target.note_metadata(metadata);
        }
        let left_out = digested.stored.beyond_limit.map(|beyond| beyond.to_string());
        LastScrape {
            error,
            left_out: left_out.unwrap_or_default(),
            timestamp_ms: Some(time.timestamp_ms),
            duration,
        }
    }

    fn adopt(
        &mut self,
        changed: Result<(), watch::error::RecvError>,
        plans: &mut watch::Receiver<Arc<Plan>>,
    ) {
        if changed.is_err() {
            // Nobody plans any more, so nobody waits for markers either.
            return self.halt();
        }
        let plan = Arc::clone(&plans.borrow_and_update());
        if plan.rules.generation != self.plan.rules.generation {
            self.lock_store().retire(&self.plan.rules);
        }
        if plan.spec.interval != self.plan.spec.interval {
            self.schedule = plan.schedule(&self.ctx);
            self.interval_length = None;
            self.end = None;
        }
        self.plan = plan;
    }

    fn halt(&self) {
        self.target.raise(Event::Halted);
    }

    fn observe_interval(&mut self, began: Instant) {
        let Some(last) = self.last_began.replace(began) else { return };
        let interval = self.schedule.interval();
        let length = self
            .interval_length
            .get_or_insert_with(|| self.ctx.metrics.loops.interval_length(interval));
        length.observe(began - last);
    }

    /// I5: until then the loop makes its next step, or it is wedged.
    fn promise_step(&self, by: Instant) {
        let by_us = (by + LATENESS_MAX).saturating_duration_since(self.ctx.base).as_micros();
        self.target.promise_step(i64::try_from(by_us).unwrap_or(i64::MAX));
    }

    /// Works on the store: here if it is little, otherwise where it holds nobody up.
    async fn with_store<T: Send + 'static>(
        &self,
        work_bytes: usize,
        work: impl FnOnce(&mut TargetStore) -> T + Send + 'static,
    ) -> Result<T, BlockingError> {
        if work_bytes <= INLINE_SIZE_BYTES_MAX {
            return Ok(work(&mut self.lock_store()));
        }
        let store = Arc::clone(&self.store);
        let job = move || work(&mut store.lock().unwrap_or_else(PoisonError::into_inner));
        self.ctx.workers.run(job).await
    }

    /// Never waits: the loop does one thing at a time. A panic in a job leaves what was there before it.
    fn lock_store(&self) -> std::sync::MutexGuard<'_, TargetStore> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    fn schedule(&self, ctx: &Context) -> Schedule {
        let interval = self.spec.interval;
        let offset = offset(self.spec.hash, self.offset_seed, interval);
        let delay = delay_to_offset((ctx.now)(), offset, interval);
        Schedule::new(Instant::now() + delay, interval, ctx.timestamp_tolerance)
    }
}

fn millis(since_epoch: Duration) -> i64 {
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a loop that waits: there is one for each target.
    const WAITING_SIZE_BYTES_MAX: usize = 2_048;

    fn size_of_future<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_loop_that_waits_is_small() {
        let size_bytes = size_of_future(run);
        assert!(size_bytes <= WAITING_SIZE_BYTES_MAX, "{size_bytes}");
    }
}
