//! The reload: who waits for it, how far it is, and what came of it. What a configuration is, and what
//! differs, only the service knows.

use std::sync::Arc;

use prom_telemetry::clock;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Driver;
use super::steps::Answer;
use crate::handle::{LatestReload, Shared};
use crate::inbox::{ReloadOutcome, ReloadResult};
use crate::machine::lifecycle::{Event, State};
use crate::machine::reload;
use crate::service::{Failure, Preparation, Service};
use crate::step::{ReloadCause, ReloadStep, advance};

/// What those are told whose reload will not happen any more.
const STOPPING: &str = "the service is stopping";

/// The reload that runs, if one does.
#[derive(Debug, Default)]
pub(super) struct Reload {
    cause: Option<ReloadCause>,
    waiters: Vec<oneshot::Sender<ReloadResult>>,
    began: Option<Instant>,
    phase: Phase,
    result: Option<ReloadResult>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Idle,
    Preparing,
    Committing,
}

impl Reload {
    pub(super) fn is_preparing(&self) -> bool {
        self.phase == Phase::Preparing
    }

    /// Tells the outcome to everybody who waits for it, once the state that it leads to is published.
    pub(super) fn tell(&mut self) {
        if let Some(result) = self.result.take() {
            answer(self.waiters.drain(..), &result);
        }
    }

    /// The service has ended: nobody has to wait any longer.
    pub(super) fn dismiss(&mut self) {
        answer(self.waiters.drain(..), &Err("the service has ended".to_owned()));
    }
}

/// Turns those away who wait for a reload that will not begin.
pub(super) fn refuse_wishes(shared: &Shared) {
    while let Some(wish) = shared.inbox.take_wish() {
        answer(wish.waiters.into_iter(), &Err(STOPPING.to_owned()));
    }
}

impl<S: Service> Driver<S> {
    /// I7: only here the wish is taken, so whoever asks later waits for the next one.
    pub(super) fn begin_reload(&mut self) {
        // One that waits for a hanging step was taken already.
        if self.reload.cause.is_none()
            && let Some(wish) = self.shared().inbox.take_wish()
        {
            self.reload.cause = Some(wish.cause);
            self.reload.waiters.extend(wish.waiters);
        }
        let began = *self.reload.began.get_or_insert_with(Instant::now);
        if self.step.is_some() {
            // The step of an overdue reload still hangs; this one begins when that has ended.
            tracing::warn!("The step of an earlier reload has not ended yet");
            return;
        }
        let cause = self.reload.cause.unwrap_or(ReloadCause::Request);
        let running =
            Arc::clone(self.parts.running.as_ref().expect("Ready comes before Reloading"));
        let stage = Arc::clone(&self.shared().reload_stage);
        self.reload.phase = Phase::Preparing;
        self.reload.began = Some(began);
        advance(&stage, reload::Event::Asked);
        self.begin("preparing the configuration", move |service, step| {
            let step = ReloadStep::new(step.clone(), cause, stage);
            Answer::Prepared(service.prepare_reload(&running, &step))
        });
    }

    /// The preparation has ended. What was prepared is taken over at once, if it is still wanted.
    pub(super) fn take_prepared(&mut self, prepared: Result<Preparation<S::Prepared>, Failure>) {
        if self.state != State::Reloading || !self.reload.is_preparing() {
            return;
        }
        match prepared {
            Ok(Preparation::Prepared(prepared)) => {
                self.reload.phase = Phase::Committing;
                let stage = Arc::clone(&self.shared().reload_stage);
                advance(&stage, reload::Event::Read);
                advance(&stage, reload::Event::Checked);
                advance(&stage, reload::Event::Prepared);
                // From here on there is no way back, so there is no deadline either.
                self.deadline = None;
                let running = Arc::clone(
                    self.parts.running.as_ref().expect("a reload has a running service"),
                );
                self.begin("taking the configuration over", move |service, _| {
                    Answer::Committed(service.commit_reload(&running, prepared))
                });
            }
            Ok(Preparation::Unchanged) => {
                self.accept_config();
                self.finish(reload::Event::Unchanged, &Ok(ReloadOutcome::Unchanged));
                self.offer(Event::ReloadUnchanged, "the configuration has not changed");
            }
            Err(failure) => self.reject(&failure.message),
        }
    }

    pub(super) fn take_committed(&mut self, summary: String) {
        let event = match self.reload.cause.and_then(ReloadCause::restores) {
            Some(_) => reload::Event::SwappedBack,
            None => reload::Event::Swapped,
        };
        self.accept_config();
        if let Some(ReloadCause::Revert(_)) = self.reload.cause {
            // What the files hold was tried and did not last.
            self.metrics.reject_config();
        }
        self.finish(event, &Ok(ReloadOutcome::Committed { summary: summary.clone() }));
        self.offer(Event::ReloadCommitted, summary);
    }

    /// The old configuration stays.
    pub(super) fn reject(&mut self, reason: &str) {
        self.metrics.reject_config();
        self.texts.set_rejection(Some(reason));
        self.finish(reload::Event::Refused, &Err(reason.to_owned()));
        self.offer(Event::ReloadRejected, reason);
    }

    /// The reload took too long; its step is left alone.
    pub(super) fn give_up_reload(&mut self, reason: &str) {
        if let Some(step) = &mut self.step {
            step.abandon();
        }
        self.metrics.reject_config();
        self.texts.set_rejection(Some(reason));
        self.finish(reload::Event::Abandoned, &Err(reason.to_owned()));
    }

    /// The service stops. What is being prepared is not wanted any more; what is being taken over is,
    /// unless that has just panicked.
    pub(super) fn end_reload(&mut self) {
        match self.reload.phase {
            Phase::Preparing => {}
            Phase::Committing if self.step.is_none() => {}
            Phase::Committing | Phase::Idle => return,
        }
        self.finish(reload::Event::Abandoned, &Err(STOPPING.to_owned()));
    }

    pub(super) fn accept_config(&mut self) {
        let now_ms = clock::now_ms();
        self.metrics.accept_config(now_ms);
        self.texts.set_rejection(None);
        let latest = LatestReload::clone(&self.shared().reload.load());
        let accepted_ms = Some(now_ms);
        let latest = LatestReload { accepted_ms, is_successful: true, ..latest };
        self.shared().reload.store(Arc::new(latest));
    }

    fn finish(&mut self, event: reload::Event, result: &ReloadResult) {
        advance(&self.shared().reload_stage, event);
        let outcome = match result {
            Ok(ReloadOutcome::Committed { summary }) => summary.clone(),
            Ok(ReloadOutcome::Unchanged) => "unchanged".to_owned(),
            Err(reason) => reason.clone(),
        };
        let began = self.reload.began.take().unwrap_or_else(Instant::now);
        let before = self.shared().reload.load_full();
        let cause = self.reload.cause.take();
        let latest = LatestReload {
            attempts_count: before.attempts_count + 1,
            is_successful: result.is_ok() && !matches!(cause, Some(ReloadCause::Revert(_))),
            cause,
            outcome,
            ended_ms: Some(clock::now_ms()),
            lasted_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            accepted_ms: before.accepted_ms,
        };
        self.shared().reload.store(Arc::new(latest));
        self.reload.phase = Phase::Idle;
        self.reload.result = Some(result.clone());
    }
}

fn answer(waiters: impl Iterator<Item = oneshot::Sender<ReloadResult>>, result: &ReloadResult) {
    for waiter in waiters {
        // Whoever has left does not want to know.
        waiter.send(result.clone()).ok();
    }
}
