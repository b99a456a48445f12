//! The instants at which an expression is evaluated.

use crate::QueryError;

/// Most steps of one grid; longer ones could not be held in memory anyway.
const STEP_COUNT_MAX: i64 = 1 << 31;

/// Evenly spaced instants, possibly none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Grid {
    pub(crate) start_ms: i64,
    /// At least 1.
    pub(crate) step_ms: i64,
    pub(crate) count: usize,
    /// Whether start and end were the same: results keep their order then.
    pub(crate) is_instant: bool,
}

impl Grid {
    /// The one instant `time_ms`.
    pub(crate) fn instant(time_ms: i64) -> Self {
        Self { start_ms: time_ms, step_ms: 1, count: 1, is_instant: true }
    }

    /// From `start_ms` to `end_ms`, both inclusive.
    pub(crate) fn range(start_ms: i64, end_ms: i64, step_ms: i64) -> Result<Self, QueryError> {
        let step_ms = step_ms.max(1);
        let count =
            if end_ms < start_ms { 0 } else { end_ms.saturating_sub(start_ms) / step_ms + 1 };
        if count > STEP_COUNT_MAX {
            return Err(QueryError::too_many_samples());
        }
        Ok(Self { start_ms, step_ms, count: count as usize, is_instant: start_ms == end_ms })
    }

    /// The first instant alone: where step-invariant parts are evaluated.
    pub(crate) fn once(self) -> Self {
        Self { count: self.count.min(1), is_instant: true, ..self }
    }

    pub(crate) fn time_ms(&self, step: usize) -> i64 {
        self.start_ms + step as i64 * self.step_ms
    }

    /// The last instant; the start if there is none.
    pub(crate) fn last_ms(&self) -> i64 {
        self.time_ms(self.count.saturating_sub(1))
    }
}
