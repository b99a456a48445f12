//! A new configuration on trial: for a while after a reload, how many targets are up is held against how
//! many were before it, and a fall below the bound asks for the way back. Off unless a bound is set.
//! How one goes back is the reload's; here is only whether.
//!
//! What counts: of each job that both configurations have, as many targets as were up before, or as there
//! are now if those are fewer. So targets that an edit adds or takes away weigh nothing, whereas a wrong
//! port, path or password weighs all it breaks. A target counts as down once a scrape that began after the
//! reload has failed, and as up until then: without evidence nothing is undone. A reload that comes while
//! the one before it has not proven itself is held against what was before both.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prom_lifecycle::{Handle, ReloadCause, ReloadOutcome};
use prom_scrape::{PoolTally, ScrapeManager};
use prom_telemetry::{Counter, Gauge, Registry, clock};
use tokio::{sync::Notify, time::Instant};

/// How often the targets are counted while a configuration is on trial.
const GLANCE: Duration = Duration::from_millis(500);

/// When a configuration is taken back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TrialOptions {
    /// The least part of the targets that has to stay up; 0 for no trial at all.
    pub(crate) bound: f64,
    /// How long a configuration is on trial.
    pub(crate) window: Duration,
}

/// The configuration on trial, if one is.
#[derive(Debug)]
pub(crate) struct Trials {
    options: TrialOptions,
    state: Mutex<State>,
    begun: Notify,
    reverts: Counter,
    on_trial: Gauge,
}

#[derive(Debug, Default)]
struct State {
    trial: Option<Trial>,
    /// Why the running configuration is an earlier one.
    reverted: Option<String>,
}

#[derive(Debug)]
struct Trial {
    generation: u64,
    /// The latest generation that has proven itself.
    proven: u64,
    before: UpCounts,
    since_ms: i64,
    ends: Instant,
    /// Why it is to be undone, once that is decided.
    verdict: Option<String>,
}

/// How many targets of each job were up.
type UpCounts = BTreeMap<Arc<str>, usize>;

/// How the targets that count fare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Health {
    expected_count: usize,
    /// Scraped since the reload.
    up_count: usize,
    /// Those included of which nothing is known yet.
    up_count_max: usize,
}

/// What is known when a reload is about to be taken over.
#[derive(Debug)]
pub(crate) struct Before {
    generation: u64,
    counts: UpCounts,
}

impl Trials {
    pub(crate) fn new(options: TrialOptions, registry: &Registry) -> Self {
        Self {
            options,
            state: Mutex::default(),
            begun: Notify::new(),
            reverts: registry.counter(
                "prometheus_config_auto_reverts_total",
                "Reloads that were undone because fewer targets were up after them than --config.auto-revert-below demands.",
            ),
            on_trial: registry.gauge(
                "prometheus_config_on_trial",
                "Whether the configuration in force is still being watched for a fall of its targets.",
            ),
        }
    }

    /// Counts what is up before a reload; to be called before anything is swapped.
    pub(crate) fn look(&self, scrape: &ScrapeManager, generation: Option<u64>) -> Option<Before> {
        let generation = generation.filter(|_| self.options.bound > 0.0)?;
        let unproven = match &self.lock().trial {
            Some(trial) if !trial.health(scrape).is_proven(self.options.bound) => {
                Some((trial.proven, trial.before.clone()))
            }
            _ => None,
        };
        let (generation, counts) = unproven.unwrap_or_else(|| {
            let pools = scrape.pools().into_iter();
            (generation, pools.map(|pool| (pool.name, pool.up_count)).collect())
        });
        Some(Before { generation, counts })
    }

    /// A configuration read from the files is in force: its trial begins.
    pub(crate) fn begin(&self, generation: u64, before: Option<Before>) {
        let Some(Before { generation: proven, counts }) = before else { return };
        let trial = Trial {
            generation,
            proven,
            before: counts,
            since_ms: clock::now_ms(),
            ends: Instant::now() + self.options.window,
            verdict: None,
        };
        *self.lock() = State { trial: Some(trial), reverted: None };
        self.on_trial.set(1.0);
        self.begun.notify_one();
    }

    /// An earlier configuration is in force, which is not put on trial. Returns why, if it came by itself.
    pub(crate) fn end(&self, cause: ReloadCause) -> Option<String> {
        let mut state = self.lock();
        let verdict = state.trial.take().and_then(|trial| trial.verdict);
        let reason = verdict.filter(|_| matches!(cause, ReloadCause::Revert(_)));
        state.reverted.clone_from(&reason);
        drop(state);
        self.on_trial.set(0.0);
        if reason.is_some() {
            self.reverts.inc();
        }
        reason
    }

    /// Whether the way back to this generation is still wanted: another reload may have come first.
    pub(crate) fn wants(&self, generation: u64) -> bool {
        let state = self.lock();
        state.trial.as_ref().is_some_and(|it| it.verdict.is_some() && it.proven == generation)
    }

    /// What a status line adds.
    pub(crate) fn facts(&self) -> String {
        let state = self.lock();
        match (&state.trial, &state.reverted) {
            (Some(trial), _) => {
                let left = trial.ends.saturating_duration_since(Instant::now()).as_secs();
                format!("; generation {} on trial for {left}s", trial.generation)
            }
            (None, Some(reason)) => format!("; the latest edit was undone: {reason}"),
            (None, None) => String::new(),
        }
    }

    /// The files hold what runs again: what was undone is of no interest any more.
    pub(crate) fn forget_revert(&self) {
        self.lock().reverted = None;
    }

    /// Watches over trials until the service stops.
    pub(crate) fn spawn(self: &Arc<Self>, handle: &Handle, scrape: &ScrapeManager) {
        if self.options.bound <= 0.0 {
            return;
        }
        let (trials, asked, scrape) = (Arc::clone(self), handle.clone(), scrape.clone());
        handle.spawn_vital("configuration trial", async move {
            let end = asked.cancellation();
            tokio::select! {
                () = end.cancelled() => {}
                () = trials.watch(&asked, &scrape) => {}
            }
        });
    }

    async fn watch(&self, handle: &Handle, scrape: &ScrapeManager) {
        loop {
            if self.lock().trial.is_none() {
                self.begun.notified().await;
            }
            tokio::time::sleep(GLANCE).await;
            let Some(proven) = self.judge(scrape) else { continue };
            match handle.request_reload(ReloadCause::Revert(proven)).await {
                // Committed, or another reload came first: there is another trial, or none.
                Ok(ReloadOutcome::Committed { .. } | ReloadOutcome::Unchanged) => {}
                Err(reason) => {
                    tracing::error!(err = %reason, "The configuration on trial cannot be undone");
                    self.give_up();
                }
            }
        }
    }

    /// Looks at the targets. The generation to go back to, if that is due.
    fn judge(&self, scrape: &ScrapeManager) -> Option<u64> {
        let mut state = self.lock();
        let trial = state.trial.as_mut()?;
        let health = trial.health(scrape);
        if health.has_fallen(self.options.bound) {
            let reason = health.fall_text(self.options.bound);
            tracing::warn!(
                generation = trial.generation,
                back_to = trial.proven,
                reason,
                "The new configuration is undone"
            );
            trial.verdict = Some(reason);
            return Some(trial.proven);
        }
        if Instant::now() >= trial.ends {
            tracing::info!(generation = trial.generation, "The new configuration is kept");
            state.trial = None;
            drop(state);
            self.on_trial.set(0.0);
        }
        None
    }

    fn give_up(&self) {
        self.lock().trial = None;
        self.on_trial.set(0.0);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trial {
    fn health(&self, scrape: &ScrapeManager) -> Health {
        Health::of(&self.before, &scrape.tallies(self.since_ms))
    }
}

impl Health {
    fn of(before: &UpCounts, now: &[PoolTally]) -> Self {
        let mut health = Self::default();
        for pool in now {
            let Some(before) = before.get(&pool.name) else { continue };
            let count = pool.up_count + pool.down_count + pool.unseen_count;
            let expected_count = count.min(*before);
            health.expected_count += expected_count;
            health.up_count += pool.up_count.min(expected_count);
            health.up_count_max += (pool.up_count + pool.unseen_count).min(expected_count);
        }
        health
    }

    fn has_fallen(self, bound: f64) -> bool {
        (self.up_count_max as f64) < bound * self.expected_count as f64
    }

    fn is_proven(self, bound: f64) -> bool {
        self.up_count as f64 >= bound * self.expected_count as f64
    }

    fn fall_text(self, bound: f64) -> String {
        format!(
            "at most {} of {} targets that were up still are, below the bound of {bound}",
            self.up_count_max, self.expected_count
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Job, up, down, unseen.
    type Tally = (&'static str, usize, usize, usize);

    fn check(before: &[(&str, usize)], now: &[Tally], bound: f64, expected: (bool, bool)) {
        let counts = before.iter().map(|(name, count)| (Arc::from(*name), *count)).collect();
        let tallies = now.iter().map(|(name, up_count, down_count, unseen_count)| PoolTally {
            name: Arc::from(*name),
            up_count: *up_count,
            down_count: *down_count,
            unseen_count: *unseen_count,
        });
        let health = Health::of(&counts, &tallies.collect::<Vec<_>>());
        let verdict = (health.has_fallen(bound), health.is_proven(bound));
        assert_eq!(verdict, expected, "{before:?} {now:?} {bound}: {health:?}");
    }

    #[test]
    fn only_a_fall_that_is_certain_counts() {
        const FALLEN: (bool, bool) = (true, false);
        const PROVEN: (bool, bool) = (false, true);
        const OPEN: (bool, bool) = (false, false);
        // Nothing is known yet.
        check(&[("a", 10)], &[("a", 0, 0, 10)], 0.5, OPEN);
        check(&[("a", 10)], &[("a", 0, 5, 5)], 0.5, OPEN);
        check(&[("a", 10)], &[("a", 0, 6, 4)], 0.5, FALLEN);
        check(&[("a", 10)], &[("a", 5, 5, 0)], 0.5, PROVEN);
        check(&[("a", 10)], &[("a", 5, 0, 5)], 0.5, PROVEN);
        check(&[("a", 10)], &[("a", 9, 1, 0)], 1.0, FALLEN);
        check(&[("a", 10)], &[("a", 10, 0, 0)], 1.0, PROVEN);
        // What was down before may stay so.
        check(&[("a", 3)], &[("a", 3, 7, 0)], 1.0, PROVEN);
        // What is added or taken away weighs nothing, nor do jobs that are new or gone.
        check(&[("a", 10)], &[("a", 10, 90, 0)], 1.0, PROVEN);
        check(&[("a", 10)], &[("a", 2, 0, 0)], 1.0, PROVEN);
        check(&[("a", 10)], &[("a", 0, 2, 0)], 0.5, FALLEN);
        check(&[("a", 10)], &[("b", 0, 10, 0)], 1.0, PROVEN);
        check(&[("a", 10)], &[], 1.0, PROVEN);
        // Nothing was up: nothing can fall.
        check(&[("a", 0)], &[("a", 0, 10, 0)], 1.0, PROVEN);
        // All jobs together.
        check(&[("a", 10), ("b", 90)], &[("a", 0, 10, 0), ("b", 90, 0, 0)], 0.9, PROVEN);
        check(&[("a", 10), ("b", 90)], &[("a", 0, 10, 0), ("b", 90, 0, 0)], 0.91, FALLEN);
    }
}
