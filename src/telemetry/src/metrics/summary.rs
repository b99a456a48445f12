//! Summaries: quantiles over a sliding window of ten minutes, in bounded memory.
//! Not the estimator of client_golang: a quantile here errs in value (under one percent), never in rank.

use std::{
    array, fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::SummaryValue;
use crate::clock;

/// Slices of the window; the oldest is dropped as a whole.
/// Compat: client_golang's `DefAgeBuckets` and `DefMaxAge`.
const SLICES: usize = 5;
const SLICE_AGE: Duration = Duration::from_secs(120);
/// Bits of the mantissa that tell two values apart: cells are at most 1/128 wide.
const CELL_MANTISSA_BITS: u32 = 7;
/// Most cells of one slice; a value that needs one more joins its neighbour.
const CELLS_COUNT_MAX: usize = 4096;

/// Observes values and tells their quantiles. Clones observe together.
#[derive(Clone)]
pub struct Summary {
    quantiles: Arc<[f64]>,
    window: Arc<Mutex<Window>>,
}

/// Sum and count for the whole life, cells for the last ten minutes.
struct Window {
    slices: [Vec<Cell>; SLICES],
    newest: usize,
    newest_until: Instant,
    count: u64,
    sum: f64,
}

/// Observations that are within a percent of each other.
#[derive(Clone, Copy)]
struct Cell {
    key: u32,
    count: u32,
    sum: f64,
}

impl Summary {
    pub(super) fn new(quantiles: &[f64]) -> Self {
        let window = Window::new(clock::monotonic());
        Self { quantiles: quantiles.into(), window: Arc::new(Mutex::new(window)) }
    }

    pub fn observe(&self, value: f64) {
        self.window().observe(value, clock::monotonic());
    }

    pub(super) fn value(&self) -> SummaryValue {
        let mut window = self.window();
        window.advance(clock::monotonic());
        SummaryValue {
            quantiles: window.quantiles(&self.quantiles),
            count: window.count,
            sum: window.sum,
        }
    }

    /// Nothing inside the lock can panic half-way, so a poisoned one is as good as new.
    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Summary").field("quantiles", &self.quantiles).finish_non_exhaustive()
    }
}

impl Window {
    fn new(now: Instant) -> Self {
        Self {
            slices: array::from_fn(|_| Vec::new()),
            newest: 0,
            newest_until: now + SLICE_AGE,
            count: 0,
            sum: 0.0,
        }
    }

    fn observe(&mut self, value: f64, now: Instant) {
        self.count += 1;
        self.sum += value;
        self.advance(now);
        let cells = &mut self.slices[self.newest];
        let key = key_of(value);
        let at = match cells.binary_search_by_key(&key, |cell| cell.key) {
            Ok(at) => at,
            Err(at) if cells.len() >= CELLS_COUNT_MAX => at.min(cells.len() - 1),
            Err(at) => {
                cells.insert(at, Cell { key, count: 0, sum: 0.0 });
                at
            }
        };
        cells[at].count = cells[at].count.saturating_add(1);
        cells[at].sum += value;
    }

    /// Drops the slices that are too old. Long silence drops all of them and starts anew.
    fn advance(&mut self, now: Instant) {
        for _ in 0..SLICES {
            if now < self.newest_until {
                return;
            }
            self.newest = (self.newest + 1) % SLICES;
            self.newest_until += SLICE_AGE;
            self.slices[self.newest].clear();
        }
        self.newest_until = self.newest_until.max(now + SLICE_AGE);
    }

    fn quantiles(&self, wanted: &[f64]) -> Vec<(f64, f64)> {
        let mut cells: Vec<Cell> = self.slices.iter().flatten().copied().collect();
        cells.sort_by_key(|cell| cell.key);
        let total: u64 = cells.iter().map(|cell| u64::from(cell.count)).sum();
        wanted.iter().map(|quantile| (*quantile, value_at(&cells, total, *quantile))).collect()
    }
}

/// The mean of the cell in which the observation of rank `quantile * total` lies.
fn value_at(cells: &[Cell], total: u64, quantile: f64) -> f64 {
    let rank = ((quantile * total as f64).ceil() as u64).max(1);
    let mut seen = 0;
    for cell in cells {
        seen += u64::from(cell.count);
        if seen >= rank {
            return cell.sum / f64::from(cell.count);
        }
    }
    f64::NAN
}

/// Sign, exponent and the first bits of the mantissa, so that keys order as values do.
fn key_of(value: f64) -> u32 {
    const SIGN: u64 = 1 << 63;
    let bits = value.to_bits();
    let ordered = if bits & SIGN == 0 { bits | SIGN } else { !bits };
    (ordered >> (52 - CELL_MANTISSA_BITS)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_err_by_less_than_a_percent() {
        let start = clock::monotonic();
        let mut window = Window::new(start);
        assert!(window.quantiles(&[0.5])[0].1.is_nan());
        for i in 0..10_000u32 {
            window.observe(f64::from(i * 7919 % 10_000 + 1) / 1e3, start);
        }
        for (quantile, value) in window.quantiles(&[0.01, 0.5, 0.9, 0.99]) {
            assert!((value / (quantile * 10.0) - 1.0).abs() < 0.01, "{quantile} is {value}");
        }
        assert_eq!((window.count, window.slices[0].len() < CELLS_COUNT_MAX), (10_000, true));
    }

    #[test]
    fn one_value_is_told_exactly() {
        let start = clock::monotonic();
        let mut window = Window::new(start);
        window.observe(-0.123_456_7, start);
        assert_eq!(window.quantiles(&[0.5, 0.99]), [(0.5, -0.123_456_7), (0.99, -0.123_456_7)]);
    }

    #[test]
    fn window_forgets_after_ten_minutes_but_sum_stays() {
        let start = clock::monotonic();
        let mut window = Window::new(start);
        window.observe(1.0, start);
        window.observe(5.0, start + SLICE_AGE * 3);
        window.advance(start + SLICE_AGE * 4);
        assert_eq!(window.quantiles(&[0.5])[0].1, 1.0);
        window.advance(start + SLICE_AGE * 5);
        assert_eq!(window.quantiles(&[0.5])[0].1, 5.0);
        window.advance(start + SLICE_AGE * 100);
        assert!(window.quantiles(&[0.5])[0].1.is_nan());
        assert_eq!((window.count, window.sum), (2, 6.0));
        window.observe(2.0, start + SLICE_AGE * 100);
        assert_eq!(window.quantiles(&[0.5])[0].1, 2.0);
    }

    #[test]
    fn cells_are_bounded() {
        let start = clock::monotonic();
        let mut window = Window::new(start);
        for i in 0..100_000 {
            window.observe(1.01f64.powi(i % 60_000), start);
            window.observe(-1.01f64.powi(i % 60_000), start);
        }
        assert!(window.slices[0].len() <= CELLS_COUNT_MAX);
        assert_eq!(window.count, 200_000);
    }
}
