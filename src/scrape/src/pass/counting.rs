//! Samples of series that count since some time: told by the target, or made up.
//! The formats know what is told, `synthesis` what is made up.

use prom_model::{Labels, Metadata, MetricType};
use prom_storage::{Rejection, SeriesStart};

use super::{BodyRefused, ENTRY_COUNT_MAX, Pass, Pushed, Taken, value::SampleValue};
use crate::{cache::Entry, rules::StartRules, synthesis::Step};

/// Since when a sample counts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    At {
        start_ms: i64,
        /// The series may have no sample there yet.
        is_new: bool,
    },
    /// The target does not tell; it may be made up.
    Untold,
}

/// A series that has had no entry, and has a sample to store.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewSeries {
    /// Samples of it have been left out before.
    pub(super) is_known: bool,
    /// See [`Pass::has_own_end`].
    pub(super) has_own_end: bool,
}

/// What becomes of a sample once its start is settled.
enum Fate {
    Stored,
    LeftOut,
    Late,
}

impl StartRules {
    /// The start of a sample by what the target tells with it; zero tells nothing.
    #[inline]
    pub(super) fn start(self, told_ms: Option<i64>) -> Option<Start> {
        match told_ms.filter(|ms| *ms != 0 && self.are_read()) {
            Some(start_ms) => Some(Start::At { start_ms, is_new: true }),
            None => self.are_synthesized.then_some(Start::Untold),
        }
    }
}

impl Pass<'_> {
    /// Takes the sample of a series that has an entry and may count.
    #[inline(never)]
    pub(super) fn take_counting<V: SampleValue>(
        &mut self,
        position: usize,
        entry: Entry,
        mut taken: Taken<V>,
    ) -> Result<Option<Pushed>, BodyRefused> {
        match self.settle_start(entry.hash(), &mut taken)? {
            Fate::Stored => return self.store_sample(position, entry.series(), taken),
            Fate::LeftOut => {}
            Fate::Late => self.batch.refuse(position, Rejection::OutOfOrder),
        }
        Ok(None)
    }

    /// Settles the start of a sample whose line has no entry; `None` if the sample is not stored, so that its line
    /// stays without one.
    pub(super) fn settle_new<V: SampleValue>(
        &mut self,
        line: u64,
        labels: &Labels,
        taken: &mut Taken<V>,
    ) -> Result<Option<NewSeries>, BodyRefused> {
        let is_known = self.is_counting(line);
        if let Some(synthesis) = &mut self.synthesis {
            if synthesis.met_count() >= ENTRY_COUNT_MAX {
                return Err(BodyRefused::TooManyLines);
            }
            let name = labels.metric_name();
            if !is_known && self.said.about(name).is_some_and(|said| is_cumulative(&said, name)) {
                V::begin(synthesis, line);
            } else if synthesis.is_met(line) && taken.explicit_ms.is_none() {
                self.counts.post_relabeling += 1;
                self.batch.tally.duplicate += 1;
                return Ok(None);
            }
        }
        let has_own_end = self.has_own_end(line, taken);
        match self.settle_start(line, taken)? {
            Fate::Stored => return Ok(Some(NewSeries { is_known, has_own_end })),
            Fate::LeftOut => {}
            Fate::Late => self.batch.tally.out_of_order += 1,
        }
        self.counts.post_relabeling += 1;
        self.counts.series_added += u64::from(!is_known);
        Ok(None)
    }

    /// Whether the end of a series is not ours to mark: samples that bring their own time end by their own time, unless
    /// they count since a time that was made up. Compat: `append` in `scrape/scrape_append_v2.go`.
    #[inline]
    pub(super) fn has_own_end<V>(&self, line: u64, taken: &Taken<V>) -> bool {
        taken.explicit_ms.is_some()
            && !(matches!(taken.start, Some(Start::Untold)) && self.is_counting(line))
    }

    /// Whether a start can be made up for samples of a line. Compat: `checkAndSynthesizeStartTime` in
    /// `scrape/scrape_append_v2.go`, which asks anew for the type of a line that has no start yet; here its first
    /// type counts.
    fn is_counting(&self, line: u64) -> bool {
        self.synthesis.as_ref().is_some_and(|synthesis| synthesis.has(line))
    }

    /// Settles since when a sample counts, and by which value.
    fn settle_start<V: SampleValue>(
        &mut self,
        line: u64,
        taken: &mut Taken<V>,
    ) -> Result<Fate, BodyRefused> {
        let Some(synthesis) = &mut self.synthesis else { return Ok(Fate::Stored) };
        if !matches!(taken.start, Some(Start::Untold)) {
            synthesis.restart(line);
            return Ok(Fate::Stored);
        }
        // Only sound histograms can be reduced.
        taken.value.check()?;
        let time_ms = taken.explicit_ms.unwrap_or(self.time.timestamp_ms);
        taken.start = match taken.value.synthesize(synthesis, line, time_ms) {
            None => None,
            Some(Step::Counts { start_ms, is_new }) => Some(Start::At { start_ms, is_new }),
            Some(Step::Reference) => return Ok(Fate::LeftOut),
            Some(Step::Late) => return Ok(Fate::Late),
        };
        Ok(Fate::Stored)
    }

    /// Hands a sample over with its start.
    pub(super) fn push_counting<V: SampleValue>(
        &mut self,
        position: usize,
        to: Pushed,
        value: V,
        start: Start,
    ) {
        let rules = self.rules.starts;
        let mut stored_ms = 0;
        if let Start::At { start_ms, is_new } = start {
            if rules.are_zeroed && is_new {
                let Pushed { series, timestamp_ms: sample_ms } = to;
                let zero = value.zero();
                let start = SeriesStart { series, start_ms, sample_ms, zero };
                self.batch.push_start_zero(self.appender, start);
            }
            if rules.are_stored {
                stored_ms = start_ms;
            }
        }
        value.push(&mut self.batch, self.appender, position, to, stored_ms);
    }
}

/// Whether a metric of a family counts what has happened since its start.
fn is_cumulative(family: &Metadata, name: &str) -> bool {
    match family.metric_type {
        MetricType::Counter | MetricType::Histogram => true,
        MetricType::Summary => name.ends_with("_count") || name.ends_with("_sum"),
        _ => false,
    }
}
