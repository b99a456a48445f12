//! A target that is being scraped: its place in `states/target.yaml` and what the last scrape came to.
//! The loop writes, everybody reads; nobody holds the lock for longer than a copy takes.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use prom_lifecycle::{
    Machine,
    target::{Event, State},
};
use prom_model::Labels;

use crate::{MetricMetadata, TargetHealth, TargetView, target::TargetSpec};

/// No time limit: the loop waits for something that may take any time.
const NEVER: i64 = i64::MAX;

/// A target and its state.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) pool: Arc<str>,
    pub(crate) labels: Labels,
    pub(crate) url: String,
    state: Mutex<Status>,
    /// When its loop has to have made the next step, on the monotonic clock (I5).
    overdue_at_us: AtomicI64,
}

#[derive(Debug)]
struct Status {
    state: State,
    /// Labels before relabelling and the rhythm change with the configuration; the identity does not.
    spec: Arc<TargetSpec>,
    last: LastScrape,
    metadata: Arc<[Arc<MetricMetadata>]>,
}

/// What the last scrape came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LastScrape {
    /// Why it failed; empty if it did not.
    pub(crate) error: String,
    /// What the store left out of a scrape that succeeded, and why.
    pub(crate) left_out: String,
    pub(crate) timestamp_ms: Option<i64>,
    pub(crate) duration: Duration,
}

impl Target {
    pub(crate) fn new(pool: Arc<str>, spec: Arc<TargetSpec>) -> Self {
        let (labels, url) = (spec.labels.clone(), spec.url.clone());
        let status = Status {
            state: State::INITIAL,
            spec,
            last: LastScrape::default(),
            metadata: Arc::new([]),
        };
        let overdue_at_us = AtomicI64::new(NEVER);
        Self { pool, labels, url, state: Mutex::new(status), overdue_at_us }
    }

    pub(crate) fn state(&self) -> State {
        self.lock().state
    }

    /// Whether it is to be scraped on: not on its way out.
    pub(crate) fn is_scraped(&self) -> bool {
        health(self.state()).is_some()
    }

    /// Asks the table what `event` leads to; returns the state after it.
    pub(crate) fn raise(&self, event: Event) -> State {
        let mut status = self.lock();
        if let Some(transition) = status.state.next(event) {
            status.state = transition.to;
        }
        status.state
    }

    /// Notes a scrape that has ended.
    pub(crate) fn note_scrape(&self, last: LastScrape) {
        let event = if last.error.is_empty() { Event::Scraped } else { Event::ScrapeFailed };
        self.lock().last = last;
        self.raise(event);
    }

    pub(crate) fn note_metadata(&self, metadata: Vec<Arc<MetricMetadata>>) {
        self.lock().metadata = metadata.into();
    }

    pub(crate) fn note_spec(&self, spec: Arc<TargetSpec>) {
        self.lock().spec = spec;
    }

    pub(crate) fn metadata(&self) -> Arc<[Arc<MetricMetadata>]> {
        Arc::clone(&self.lock().metadata)
    }

    /// Its loop promises the next step by this time.
    pub(crate) fn promise_step(&self, by_us: i64) {
        self.overdue_at_us.store(by_us, Ordering::Relaxed);
    }

    /// Its loop ends.
    pub(crate) fn promise_nothing(&self) {
        self.promise_step(NEVER);
    }

    pub(crate) fn is_overdue(&self, now_us: i64) -> bool {
        self.overdue_at_us.load(Ordering::Relaxed) < now_us
    }

    /// Whether it is shown among the targets; the others are on their way out.
    pub(crate) fn health(&self) -> Option<TargetHealth> {
        health(self.state())
    }

    /// The same by scrapes that began after this moment, Unix time.
    pub(crate) fn health_since(&self, since_ms: i64) -> Option<TargetHealth> {
        let status = self.lock();
        let health = health(status.state)?;
        let is_seen = status.last.timestamp_ms.is_some_and(|began_ms| began_ms > since_ms);
        Some(if is_seen { health } else { TargetHealth::Unknown })
    }

    /// What the outside sees, if the target is to be seen.
    pub(crate) fn view(&self) -> Option<TargetView> {
        let status = self.lock();
        let LastScrape { error, left_out, timestamp_ms, duration } = status.last.clone();
        Some(TargetView {
            scrape_pool: Arc::clone(&self.pool),
            discovered_labels: status.spec.discovered.clone(),
            labels: self.labels.clone(),
            scrape_url: self.url.clone(),
            last_error: if error.is_empty() { left_out } else { error },
            last_scrape_ms: timestamp_ms,
            last_scrape_duration: duration,
            health: health(status.state)?,
            scrape_interval: status.spec.interval,
            scrape_timeout: status.spec.timeout,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        // Each change is one assignment, so a panic elsewhere leaves nothing half-done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn health(state: State) -> Option<TargetHealth> {
    match state {
        State::Unknown => Some(TargetHealth::Unknown),
        State::Up => Some(TargetHealth::Up),
        State::Down => Some(TargetHealth::Down),
        State::Stale | State::Dropped => None,
    }
}
