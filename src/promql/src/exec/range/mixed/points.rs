//! The histograms of one series and where the windows lie in them.

use std::{cell::OnceCell, sync::Arc};

use prom_model::CounterResetHint;
use prom_storage::Columns;

use super::Histograms;
use crate::{
    exec::{
        ledger::Tally,
        native::without_buckets,
        range::start_time::Started,
        row::{Row, SharedHistogram},
        window::{Positions, WindowSpec},
    },
    plan::{Grid, RangeFunction},
};

/// Histograms of a series in time order, without staleness markers.
#[derive(Debug, Default)]
pub(in crate::exec::range) struct Points {
    timestamps_ms: Vec<i64>,
    histograms: Vec<SharedHistogram>,
    starts_ms: Vec<i64>,
    pub(super) uses_starts: bool,
    /// Whether each is a reset since the one before it; found when it is asked for.
    resets: OnceCell<Vec<bool>>,
}

/// What reading windows counts as.
#[derive(Debug, Default)]
pub(in crate::exec::range) struct Counts {
    /// What histograms add to what floats count.
    pub(in crate::exec::range) tally: Tally,
    /// The largest window and the last one, of both kinds.
    pub(in crate::exec::range) largest: u64,
    pub(in crate::exec::range) last: u64,
}

/// Functions that ask when samples began.
pub(super) fn reads_starts(function: RangeFunction) -> bool {
    use RangeFunction as F;
    matches!(function, F::Rate | F::Increase | F::Irate | F::Resets)
}

impl Points {
    /// Those that are stored.
    pub(in crate::exec::range) fn stored(
        columns: &Columns,
        skips_buckets: bool,
        uses_starts: bool,
    ) -> Self {
        let mut points = Self { uses_starts, ..Self::default() };
        let mut before: Option<SharedHistogram> = None;
        for (index, point) in columns.histograms.iter().enumerate() {
            if point.histogram.is_stale() {
                continue;
            }
            points.timestamps_ms.push(point.timestamp_ms);
            let histogram = point.histogram.to_float();
            points.histograms.push(if skips_buckets {
                without_buckets(&histogram, before.as_deref())
            } else {
                Arc::clone(&histogram)
            });
            before = Some(histogram);
            if uses_starts {
                points.starts_ms.extend(columns.histogram_start_timestamps_ms.get(index));
            }
        }
        points
    }

    /// Those that a subquery gave. It may skip samples or repeat them, so no hint holds any more.
    pub(in crate::exec::range) fn computed(row: &Row, grid: &Grid) -> Self {
        let mut points = Self::default();
        row.for_each_histogram(|step, histogram| {
            let mut histogram = Arc::clone(histogram);
            let hint = histogram.counter_reset_hint;
            if matches!(hint, CounterResetHint::CounterReset | CounterResetHint::NotCounterReset) {
                Arc::make_mut(&mut histogram).counter_reset_hint = CounterResetHint::Unknown;
            }
            points.timestamps_ms.push(grid.time_ms(step));
            points.histograms.push(histogram);
        });
        points
    }

    /// Whether the row of the floats is not all there is to say.
    pub(in crate::exec::range) fn are_needed(
        &self,
        floats: &Columns,
        function: RangeFunction,
    ) -> bool {
        let has_starts = self.uses_starts && !floats.start_timestamps_ms.is_empty();
        !self.histograms.is_empty() || has_starts && reads_starts(function)
    }

    /// The histograms in the window at `step`.
    pub(super) fn within(&self, spec: &WindowSpec, step: usize) -> Histograms<'_> {
        let range = self.range(spec, step);
        Histograms { all: self, first: range.start, end: range.end }
    }

    /// Counts histograms as the samples they are taken for.
    pub(in crate::exec::range) fn count(
        &self,
        spec: &WindowSpec,
        positions: &Positions,
        per_step: bool,
    ) -> Counts {
        if self.histograms.is_empty() {
            let (largest, last) = (positions.largest, positions.last());
            return Counts { tally: Tally::default(), largest, last };
        }
        let mut sums = vec![0_u64];
        for histogram in &self.histograms {
            sums.push(sums[sums.len() - 1] + histogram.counted_samples());
        }
        let mut counts = Counts::default();
        let mut seen = 0;
        for step in 0..spec.grid.count {
            let range = self.range(spec, step);
            let queryable = sums[range.end] - sums[range.start];
            let read = sums[range.end] - sums[range.start.max(seen).min(range.end)];
            seen = if spec.shift.at_ms.is_some() { usize::MAX } else { range.end };
            counts.tally.queryable += queryable;
            counts.tally.read += read;
            if per_step {
                counts.tally.by_step.push((queryable, read));
            }
            let floats = u64::from(positions.hi[step] - positions.lo[step]);
            counts.last = floats + queryable;
            counts.largest = counts.largest.max(counts.last);
        }
        counts
    }

    /// What looking at them takes, in values.
    pub(in crate::exec::range) fn work(&self) -> usize {
        self.histograms.iter().map(|histogram| histogram.size_bytes() / 8).sum()
    }

    fn range(&self, spec: &WindowSpec, step: usize) -> std::ops::Range<usize> {
        let start_ms = spec.start_ms(step).saturating_sub(spec.extension_ms.0);
        let end_ms = spec.end_ms(step).saturating_add(spec.extension_ms.1);
        let first = self.timestamps_ms.partition_point(|time_ms| *time_ms <= start_ms);
        let end = self.timestamps_ms.partition_point(|time_ms| *time_ms <= end_ms);
        first..end.max(first)
    }
}

impl<'a> Histograms<'a> {
    pub(super) fn len(self) -> usize {
        self.end - self.first
    }

    pub(super) fn is_empty(self) -> bool {
        self.len() == 0
    }

    pub(super) fn get(self, index: usize) -> &'a SharedHistogram {
        &self.all.histograms[self.first + index]
    }

    pub(super) fn time_ms(self, index: usize) -> i64 {
        self.all.timestamps_ms[self.first + index]
    }

    pub(super) fn timestamps_ms(self) -> &'a [i64] {
        &self.all.timestamps_ms[self.first..self.end]
    }

    pub(super) fn iter(self) -> impl Iterator<Item = &'a SharedHistogram> + Clone {
        self.all.histograms[self.first..self.end].iter()
    }

    pub(super) fn started(self, index: usize) -> Started {
        let start_ms = self.all.starts_ms.get(self.first + index).copied().unwrap_or_default();
        Started { start_ms, timestamp_ms: self.time_ms(index) }
    }

    /// Whether the histogram at `index`, which is not the first, is a reset since the one before it.
    pub(super) fn is_reset(self, index: usize) -> bool {
        let resets = self.all.resets.get_or_init(|| {
            let pairs = self.all.histograms.windows(2);
            std::iter::once(false)
                .chain(pairs.map(|pair| pair[1].is_reset_since(&pair[0])))
                .collect()
        });
        resets[self.first + index]
    }
}
