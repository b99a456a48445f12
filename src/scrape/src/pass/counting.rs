//! Samples of series that count since some time: what becomes of that time beside the sample.
//! The formats know which time it is.

use prom_storage::SeriesStart;

use super::{Pass, Pushed, value::SampleValue};
use crate::rules::StartRules;

/// Since when a series counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) start_ms: i64,
    /// The series may have no sample there yet.
    pub(super) is_new: bool,
}

impl StartRules {
    /// The start of a sample by what the target tells with it; zero tells nothing.
    #[inline]
    pub(super) fn start(self, told_ms: Option<i64>) -> Option<Start> {
        let told_ms = told_ms.filter(|ms| *ms != 0 && self.are_read())?;
        Some(Start { start_ms: told_ms, is_new: true })
    }
}

impl Pass<'_> {
    /// Hands a sample over with its start.
    pub(super) fn push_counting<V: SampleValue>(
        &mut self,
        position: usize,
        to: Pushed,
        value: V,
        start: Start,
    ) {
        let Start { start_ms, is_new } = start;
        let rules = self.rules.starts;
        if rules.are_zeroed && is_new {
            let Pushed { series, timestamp_ms: sample_ms } = to;
            let zero = value.zero();
            let start = SeriesStart { series, start_ms, sample_ms, zero };
            self.batch.push_start_zero(self.appender, start);
        }
        let start_ms = if rules.are_stored { start_ms } else { 0 };
        value.push(&mut self.batch, self.appender, position, to, start_ms);
    }
}
