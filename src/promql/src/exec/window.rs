//! Which samples of a series lie in the window of each step: two indices that only move forward.
//! Series scraped together have equal timestamps, so the positions of one often serve the next.

use prom_model::is_stale;
use prom_storage::{Columns, TimeRange};

use super::{ledger::Tally, row::Bitmap};
use crate::plan::{Grid, Shift};

/// Values that are looked at together.
const STALENESS_BLOCK_VALUES: usize = 64;

/// Where the windows of an operator lie. Windows are open at their left end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WindowSpec {
    pub(crate) grid: Grid,
    pub(crate) shift: Shift,
    pub(crate) range_ms: i64,
    /// How far samples before and behind each window count as in it.
    pub(crate) extension_ms: (i64, i64),
}

/// What an operator keeps from series to series.
#[derive(Debug, Default)]
pub(crate) struct WindowCache {
    /// Samples without staleness markers, or samples made by a subquery.
    pub(crate) columns: Columns,
    pub(crate) positions: Positions,
}

/// Positions of the windows in one column of timestamps.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    timestamps_ms: Vec<i64>,
    /// For each step the first sample of its window.
    pub(crate) lo: Vec<u32>,
    /// For each step the sample behind the last of its window.
    pub(crate) hi: Vec<u32>,
    /// Steps whose window has at least two samples.
    pub(crate) pairs: Bitmap,
    /// Both valid once they are placed.
    pub(crate) extrapolations: Vec<Extrapolation>,
    pub(crate) scales: Vec<Scale>,
    extrapolations_are_placed: bool,
    /// What reading these windows counts as.
    pub(crate) tally: Tally,
    /// Samples of the largest window.
    pub(crate) largest: u64,
    /// Indices of samples of the present series that are below the one before.
    pub(crate) resets: Vec<u32>,
    /// Values of one window, to be reordered.
    pub(crate) buffer: Vec<f64>,
    is_placed: bool,
}

/// What the extrapolation of one window takes from timestamps alone, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extrapolation {
    pub(crate) sampled: f64,
    pub(crate) to_start: f64,
    pub(crate) to_end: f64,
}

/// What a change over one window is multiplied by where nothing but timestamps decides.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scale {
    pub(crate) factor: f64,
    /// The first value decides, too, where it is not negative and below the change plus this.
    pub(crate) slack: f64,
}

impl Extrapolation {
    /// What a change over the window is multiplied by.
    /// Compat: Prometheus `promql/functions.go`, `extrapolatedRate`: the order of operations is its.
    pub(crate) fn factor(self, to_start: f64, range_seconds: Option<f64>) -> f64 {
        let mut factor = 1.0;
        if self.sampled != 0.0 {
            factor = (self.sampled + to_start + self.to_end) / self.sampled;
        }
        if let Some(range_seconds) = range_seconds {
            factor /= range_seconds;
        }
        factor
    }

    /// The scale of a counter: it was not below zero before the window. A counter that was above its
    /// change at the first sample was above zero for longer than it was sampled.
    fn scale(self, range_seconds: Option<f64>) -> Scale {
        let slack = if self.sampled >= self.to_start { 0.0 } else { f64::INFINITY };
        Scale { factor: self.factor(self.to_start, range_seconds), slack }
    }
}

impl WindowSpec {
    /// The time that all windows together cover.
    pub(crate) fn range(&self) -> TimeRange {
        let first_ms = self.shift.apply(self.grid.start_ms);
        TimeRange {
            mint_ms: first_ms.saturating_sub(self.reach_ms()).saturating_add(1),
            maxt_ms: self.shift.apply(self.grid.last_ms()).saturating_add(self.extension_ms.1),
        }
    }

    fn reach_ms(&self) -> i64 {
        self.range_ms.saturating_add(self.extension_ms.0)
    }

    /// Right end of the window at `step`.
    pub(crate) fn end_ms(&self, step: usize) -> i64 {
        self.shift.apply(self.grid.time_ms(step))
    }

    /// Left end of the window at `step`, not part of it.
    pub(crate) fn start_ms(&self, step: usize) -> i64 {
        self.end_ms(step).saturating_sub(self.range_ms)
    }
}

/// Copies samples that are no staleness markers, where there are markers at all.
pub(crate) fn copy_without_stale(columns: &Columns, out: &mut Columns) -> bool {
    // In blocks, as these take vectors of values at a time.
    let has_stale = |block: &[f64]| block.iter().fold(false, |has, value| has | is_stale(*value));
    if !columns.values.chunks(STALENESS_BLOCK_VALUES).any(has_stale) {
        return false;
    }
    out.clear();
    for (index, value) in columns.values.iter().enumerate() {
        if !is_stale(*value) {
            out.push(columns.timestamps_ms[index], *value);
            out.start_timestamps_ms.extend(columns.start_timestamps_ms.get(index));
        }
    }
    true
}

impl Positions {
    /// Finds the windows of `spec` in `timestamps_ms`.
    pub(crate) fn place(&mut self, spec: &WindowSpec, timestamps_ms: &[i64], per_step: bool) {
        if self.is_placed && self.timestamps_ms == timestamps_ms {
            return;
        }
        self.is_placed = true;
        self.extrapolations_are_placed = false;
        self.timestamps_ms.clear();
        self.timestamps_ms.extend_from_slice(timestamps_ms);
        self.lo.clear();
        self.hi.clear();
        let count = timestamps_ms.len();
        let (mut lo, mut hi) = (0, 0);
        for step in 0..spec.grid.count {
            let end_ms = spec.end_ms(step);
            let start_ms = end_ms.saturating_sub(spec.reach_ms());
            let end_ms = end_ms.saturating_add(spec.extension_ms.1);
            while hi < count && timestamps_ms[hi] <= end_ms {
                hi += 1;
            }
            while lo < hi && timestamps_ms[lo] <= start_ms {
                lo += 1;
            }
            self.lo.push(lo as u32);
            self.hi.push(hi as u32);
        }
        self.count_windows(spec, per_step);
    }

    /// Samples in all windows, and which of them a step sees first.
    fn count_windows(&mut self, spec: &WindowSpec, per_step: bool) {
        self.tally.clear();
        self.largest = 0;
        self.pairs.reset(spec.grid.count);
        let is_fixed = spec.shift.at_ms.is_some();
        let mut seen = 0;
        for (step, (lo, hi)) in self.lo.iter().zip(&self.hi).enumerate() {
            let (queryable, read) = (hi - lo, hi - (*lo).max(seen).min(*hi));
            let (queryable, read) = (u64::from(queryable), u64::from(read));
            seen = if is_fixed { u32::MAX } else { *hi };
            self.tally.queryable += queryable;
            self.tally.read += read;
            self.largest = self.largest.max(queryable);
            if per_step {
                self.tally.by_step.push((queryable, read));
            }
            if queryable >= 2 {
                self.pairs.set(step);
            }
        }
    }

    /// Samples of the last window.
    pub(crate) fn last(&self) -> u64 {
        let last = self.lo.last().zip(self.hi.last());
        last.map_or(0, |(lo, hi)| u64::from(hi - lo))
    }

    /// Computes what extrapolation takes from the timestamps. An operator asks for the same unit always.
    /// Compat: Prometheus `promql/functions.go`, `extrapolatedRate`: the order of operations is its.
    pub(crate) fn place_extrapolations(&mut self, spec: &WindowSpec, range_seconds: Option<f64>) {
        if std::mem::replace(&mut self.extrapolations_are_placed, true) {
            return;
        }
        self.extrapolations.clear();
        for step in 0..spec.grid.count {
            let (lo, hi) = (self.lo[step] as usize, self.hi[step] as usize);
            if hi - lo < 2 {
                self.extrapolations.push(Extrapolation::default());
                continue;
            }
            let (first_ms, last_ms) = (self.timestamps_ms[lo], self.timestamps_ms[hi - 1]);
            let mut to_start = (first_ms - spec.start_ms(step)) as f64 / 1000.0;
            let mut to_end = (spec.end_ms(step) - last_ms) as f64 / 1000.0;
            let sampled = (last_ms - first_ms) as f64 / 1000.0;
            let average = sampled / (hi - lo - 1) as f64;
            let threshold = average * 1.1;
            if to_start >= threshold {
                to_start = average / 2.0;
            }
            if to_end >= threshold {
                to_end = average / 2.0;
            }
            self.extrapolations.push(Extrapolation { sampled, to_start, to_end });
        }
        self.scales.clear();
        self.scales.extend(self.extrapolations.iter().map(|window| window.scale(range_seconds)));
    }
}
