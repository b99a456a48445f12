//! What a running step has in its hand: the handle of the house, a way to report progress, and the
//! knowledge whether it is still wanted. The driver samples it; a report costs a short lock.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::handle::Handle;
use crate::machine::{Machine, reload};

/// How long a step has to run before its remaining time is worth telling.
const ETA_AFTER_MS: u128 = 2_000;

/// One running step.
#[derive(Debug, Clone)]
pub struct Step {
    handle: Handle,
    cancelled: CancellationToken,
    progress: Arc<Mutex<Progress>>,
}

/// The step that prepares a reload.
#[derive(Debug, Clone)]
pub struct ReloadStep {
    step: Step,
    cause: ReloadCause,
    stage: Arc<Mutex<reload::State>>,
}

/// Who asked for a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadCause {
    /// SIGHUP.
    Signal,
    /// `/-/reload` or a page.
    Request,
    /// `systemctl reload`, over the control socket.
    Command,
    /// A watched file has changed.
    FileChanged,
    /// Back to an earlier configuration, by the number of its generation.
    Rollback(u64),
    /// The same, and its texts are to be written to their files.
    RollbackAndWrite(u64),
    /// The same, by itself: things went worse with the one after it.
    Revert(u64),
}

#[derive(Debug)]
struct Progress {
    doing: String,
    done: u64,
    total: u64,
    started: Instant,
    reports_count: u64,
}

impl ReloadCause {
    /// The generation to go back to; `None` if the files on disk are to be read.
    pub fn restores(self) -> Option<u64> {
        match self {
            Self::Signal | Self::Request | Self::Command | Self::FileChanged => None,
            Self::Rollback(number) | Self::RollbackAndWrite(number) | Self::Revert(number) => {
                Some(number)
            }
        }
    }

    /// Whether one reload fulfills both wishes.
    pub(crate) fn is_fulfilled_with(self, other: Self) -> bool {
        self == other || (self.restores().is_none() && other.restores().is_none())
    }
}

impl fmt::Display for ReloadCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal => f.write_str("SIGHUP"),
            Self::Request => f.write_str("asked for over HTTP"),
            Self::Command => f.write_str("asked for by a command"),
            Self::FileChanged => f.write_str("a file has changed"),
            Self::Rollback(generation) => write!(f, "back to generation {generation}"),
            Self::RollbackAndWrite(generation) => {
                write!(f, "back to generation {generation}, also in the files")
            }
            Self::Revert(generation) => write!(f, "back to generation {generation} by itself"),
        }
    }
}

impl Step {
    pub(crate) fn new(handle: Handle) -> Self {
        let progress = Progress {
            doing: String::new(),
            done: 0,
            total: 0,
            started: Instant::now(),
            reports_count: 0,
        };
        let cancelled = CancellationToken::new();
        Self { handle, cancelled, progress: Arc::new(Mutex::new(progress)) }
    }

    /// The handle of the house.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The service is to stop; what the step still does is not wanted.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// Fires when the step is not wanted any longer.
    pub fn cancellation(&self) -> CancellationToken {
        self.cancelled.clone()
    }

    /// Tells how far the step is: `done` of `total` in any unit. May be called often.
    pub fn report(&self, doing: &str, done: u64, total: u64) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if (progress.done, progress.total) != (done, total) || progress.doing != doing {
            progress.reports_count += 1;
        }
        if progress.doing != doing {
            doing.clone_into(&mut progress.doing);
            progress.started = Instant::now();
        }
        progress.done = done;
        progress.total = total;
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.cancel();
    }

    /// Grows with each report that said something new.
    pub(crate) fn reports_count(&self) -> u64 {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).reports_count
    }

    /// `: replaying the log 37%, about 12s left`, or nothing.
    pub(crate) fn text(&self, now: Instant) -> String {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if progress.doing.is_empty() {
            return String::new();
        }
        let Progress { doing, done, total, .. } = &*progress;
        if *total == 0 {
            return format!(": {doing}");
        }
        let done = (*done).min(*total);
        let percent = u128::from(done) * 100 / u128::from(*total);
        let elapsed_ms = now.saturating_duration_since(progress.started).as_millis();
        if done == 0 || elapsed_ms < ETA_AFTER_MS {
            return format!(": {doing} {percent}%");
        }
        let left_ms = elapsed_ms * u128::from(total - done) / u128::from(done);
        format!(": {doing} {percent}%, about {}s left", left_ms.div_ceil(1_000))
    }
}

impl ReloadStep {
    pub(crate) fn new(step: Step, cause: ReloadCause, stage: Arc<Mutex<reload::State>>) -> Self {
        Self { step, cause, stage }
    }

    /// The step itself: handle, progress, cancellation.
    pub fn step(&self) -> &Step {
        &self.step
    }

    /// Who asked for the reload; of several, the last.
    pub fn cause(&self) -> ReloadCause {
        self.cause
    }

    /// All files have been read.
    pub fn mark_read(&self) {
        self.advance(reload::Event::Read);
    }

    /// The configuration is free of errors.
    pub fn mark_checked(&self) {
        self.advance(reload::Event::Checked);
    }

    fn advance(&self, event: reload::Event) {
        advance(&self.stage, event);
    }
}

/// Moves the stage of a reload by its table; an event that means nothing there changes nothing.
pub(crate) fn advance(stage: &Mutex<reload::State>, event: reload::Event) {
    let mut stage = stage.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(transition) = stage.next(event) {
        *stage = transition.to;
    }
}
