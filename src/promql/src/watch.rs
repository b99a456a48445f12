//! Whether a query may go on: its cancel token and its deadline.
//! Loops ask every few thousand values; nothing here interrupts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use prom_telemetry::clock;

use crate::QueryError;

/// Phases as the reference names them in its messages.
pub(crate) const IN_EVALUATION: &str = "expression evaluation";
pub(crate) const IN_EXECUTION: &str = "query execution";
pub(crate) const IN_PREPARATION: &str = "query preparation";
pub(crate) const IN_QUEUE: &str = "query queue";

/// Stops a query from outside: all clones are one switch.
#[derive(Clone, Debug, Default)]
pub struct CancelToken {
    canceled: Arc<AtomicBool>,
}

impl CancelToken {
    /// Asks the query to stop; it does within milliseconds.
    pub fn cancel(&self) {
        self.canceled.store(true, Ordering::Relaxed);
    }

    pub fn is_canceled(&self) -> bool {
        self.canceled.load(Ordering::Relaxed)
    }
}

/// Cancel token and deadline of one query.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    token: CancelToken,
    deadline: Instant,
}

impl Watch {
    /// Starts the clock now.
    pub(crate) fn new(token: CancelToken, timeout: Duration) -> Self {
        let now = clock::monotonic();
        let deadline =
            now.checked_add(timeout).unwrap_or_else(|| now + Duration::from_secs(86_400));
        Self { token, deadline }
    }

    /// The same with an earlier deadline: `timeout` from now.
    pub(crate) fn shortened(&self, timeout: Duration) -> Self {
        let own = Self::new(self.token.clone(), timeout);
        Self { deadline: own.deadline.min(self.deadline), token: own.token }
    }

    /// Time left, zero when there is none.
    pub(crate) fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(clock::monotonic())
    }

    /// Why a query that was told to stop did.
    pub(crate) fn stopped(&self, phase: &'static str) -> QueryError {
        self.check(phase).err().unwrap_or(QueryError::TimedOut(phase))
    }

    /// Fails once the query was canceled or its time is over.
    pub(crate) fn check(&self, phase: &'static str) -> Result<(), QueryError> {
        if self.token.is_canceled() {
            return Err(QueryError::Canceled(phase));
        }
        if self.remaining().is_zero() { Err(QueryError::TimedOut(phase)) } else { Ok(()) }
    }
}
