//! Counters and gauges: one number each, changed by atomics.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// A number that only grows. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Counter {
    cell: Arc<CounterCell>,
}

/// Whole and fractional parts apart, so that counting events is one `fetch_add`.
#[derive(Debug, Default)]
struct CounterCell {
    whole: AtomicU64,
    rest: AtomicF64,
}

impl Counter {
    pub fn get(&self) -> f64 {
        self.cell.whole.load(Relaxed) as f64 + self.cell.rest.load()
    }

    pub fn inc(&self) {
        self.cell.whole.fetch_add(1, Relaxed);
    }

    /// Counts `events` more: the cheap way to add many at once.
    pub fn inc_by(&self, events: u64) {
        self.cell.whole.fetch_add(events, Relaxed);
    }

    /// Adds a part that need not be whole. Negative amounts and NaN are our own mistake and change nothing.
    pub fn add(&self, amount: f64) {
        debug_assert!(amount >= 0.0, "counters only grow");
        let whole = amount as u64;
        if whole as f64 == amount {
            self.inc_by(whole);
        } else if amount > 0.0 {
            self.cell.rest.add(amount);
        }
    }
}

/// A number that goes up and down. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Gauge {
    cell: Arc<AtomicF64>,
}

impl Gauge {
    pub fn get(&self) -> f64 {
        self.cell.load()
    }

    pub fn set(&self, value: f64) {
        self.cell.store(value);
    }

    pub fn add(&self, amount: f64) {
        self.cell.add(amount);
    }

    pub fn inc(&self) {
        self.cell.add(1.0);
    }

    pub fn dec(&self) {
        self.cell.add(-1.0);
    }
}

/// A float in an atomic integer.
#[derive(Debug, Default)]
pub(super) struct AtomicF64 {
    bits: AtomicU64,
}

impl AtomicF64 {
    pub(super) fn load(&self) -> f64 {
        f64::from_bits(self.bits.load(Relaxed))
    }

    fn store(&self, value: f64) {
        self.bits.store(value.to_bits(), Relaxed);
    }

    pub(super) fn add(&self, amount: f64) {
        let add = |bits| Some((f64::from_bits(bits) + amount).to_bits());
        self.bits.fetch_update(Relaxed, Relaxed, add).expect("the closure always answers");
    }
}
