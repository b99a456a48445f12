//! Classic histograms: counts of observations per bucket. Native histograms are not here.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{HistogramValue, scalar::AtomicF64};

/// Counts observations by upper bound. Clones observe together.
#[derive(Clone, Debug)]
pub struct Histogram {
    cells: Arc<Cells>,
}

/// `counts[i]` belongs to `bounds[i]` alone (not cumulative); the last one is `+Inf`.
#[derive(Debug)]
struct Cells {
    bounds: Box<[f64]>,
    counts: Box<[AtomicU64]>,
    sum: AtomicF64,
}

impl Histogram {
    /// Bounds must ascend strictly; a final `+Inf` is understood and may be left out.
    pub(super) fn new(bounds: &[f64]) -> Self {
        let bounds = bounds.strip_suffix(&[f64::INFINITY]).unwrap_or(bounds);
        assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "histogram bounds ascend");
        let counts = std::iter::repeat_with(AtomicU64::default).take(bounds.len() + 1).collect();
        Self { cells: Arc::new(Cells { bounds: bounds.into(), counts, sum: AtomicF64::default() }) }
    }

    pub fn observe(&self, value: f64) {
        let at = self.cells.bounds.partition_point(|bound| *bound < value);
        // NaN is below no bound and lands in `+Inf`, as it does in client_golang.
        let at = if value.is_nan() { self.cells.bounds.len() } else { at };
        self.cells.counts[at].fetch_add(1, Relaxed);
        self.cells.sum.add(value);
    }

    /// Count and buckets agree with each other; the sum may miss observations made meanwhile.
    pub(super) fn value(&self) -> HistogramValue {
        let mut count = 0;
        let mut cumulated = self.cells.counts.iter().map(|cell| {
            count += cell.load(Relaxed);
            count
        });
        let buckets = self.cells.bounds.iter().copied().zip(&mut cumulated).collect();
        cumulated.for_each(drop);
        HistogramValue { buckets, count, sum: self.cells.sum.load() }
    }
}

/// `count` bounds from `start`, each `width` above the last.
pub fn linear_buckets(start: f64, width: f64, count: usize) -> Vec<f64> {
    std::iter::successors(Some(start), |bound| Some(bound + width)).take(count).collect()
}

/// `count` bounds from `start`, each `factor` times the last.
pub fn exponential_buckets(start: f64, factor: f64, count: usize) -> Vec<f64> {
    std::iter::successors(Some(start), |bound| Some(bound * factor)).take(count).collect()
}
