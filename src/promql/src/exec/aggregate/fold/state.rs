//! What the aggregations keep for one group: a column of states, one for each step.
//! Compat: Prometheus `promql/engine.go`, `aggregation`: every operation happens in its order.

use crate::{
    exec::native::{self, HistogramFold},
    numeric::{KahanSum, add_each},
};

/// What becomes of the histograms of a group.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    /// They are folded into one.
    Folded,
    /// They are samples like any other.
    Counted,
    /// They are left out, which is told.
    Ignored,
}

/// An aggregation.
pub(super) trait Aggregation {
    /// How histograms are folded, where they are.
    type Histogram: HistogramFold + Send;
    type Column: Column;
    const HISTOGRAMS: Treatment;
}

/// The states of one group at all steps.
pub(super) trait Column: Send {
    /// What one step takes.
    const STEP_SIZE_BYTES: usize;

    fn new(count: usize) -> Self;

    /// Takes the first values of steps that follow one another.
    fn first(&mut self, begin: usize, values: &[f64]);

    /// Takes further values of such steps.
    fn next(&mut self, begin: usize, values: &[f64]);

    /// The result of a step that has had a value.
    fn finish(&self, step: usize) -> f64;
}

/// What an aggregation keeps for one group at one step.
pub(super) trait State: Copy + Send {
    /// The state after the first value.
    fn first(value: f64) -> Self;
    fn next(&mut self, value: f64);
    fn finish(self) -> f64;
}

impl<S: State> Column for Vec<S> {
    const STEP_SIZE_BYTES: usize = size_of::<S>();

    fn new(count: usize) -> Self {
        vec![S::first(0.0); count]
    }

    fn first(&mut self, begin: usize, values: &[f64]) {
        for (state, value) in self[begin..].iter_mut().zip(values) {
            *state = S::first(*value);
        }
    }

    fn next(&mut self, begin: usize, values: &[f64]) {
        for (state, value) in self[begin..].iter_mut().zip(values) {
            state.next(*value);
        }
    }

    fn finish(&self, step: usize) -> f64 {
        self[step].finish()
    }
}

/// Sums, each with what rounding took from it.
pub(super) struct Sum;

pub(super) struct SumColumn {
    sums: Vec<f64>,
    compensations: Vec<f64>,
}

impl Aggregation for Sum {
    type Histogram = native::Sum;
    type Column = SumColumn;
    const HISTOGRAMS: Treatment = Treatment::Folded;
}

impl Column for SumColumn {
    const STEP_SIZE_BYTES: usize = 2 * size_of::<f64>();

    fn new(count: usize) -> Self {
        Self { sums: vec![0.0; count], compensations: vec![0.0; count] }
    }

    fn first(&mut self, begin: usize, values: &[f64]) {
        let steps = begin..begin + values.len();
        self.sums[steps.clone()].copy_from_slice(values);
        self.compensations[steps].fill(0.0);
    }

    fn next(&mut self, begin: usize, values: &[f64]) {
        let steps = begin..begin + values.len();
        add_each(&mut self.sums[steps.clone()], &mut self.compensations[steps], values);
    }

    fn finish(&self, step: usize) -> f64 {
        KahanSum { sum: self.sums[step], compensation: self.compensations[step] }.total()
    }
}

/// The mean; of the sum while that does not overflow, incremental from then on.
#[derive(Clone, Copy)]
pub(super) struct Avg {
    sum: KahanSum,
    count: f64,
    is_incremental: bool,
}

impl Aggregation for Avg {
    type Histogram = native::Mean;
    type Column = Vec<Self>;
    const HISTOGRAMS: Treatment = Treatment::Folded;
}

impl State for Avg {
    fn first(value: f64) -> Self {
        let sum = KahanSum { sum: value, compensation: 0.0 };
        Self { sum, count: 1.0, is_incremental: false }
    }

    fn next(&mut self, value: f64) {
        self.count += 1.0;
        if !self.is_incremental {
            let mut next = self.sum;
            next.add(value);
            if !next.sum.is_infinite() {
                self.sum = next;
                return;
            }
            self.is_incremental = true;
            self.sum.sum /= self.count - 1.0;
            self.sum.compensation /= self.count - 1.0;
        }
        let weight = (self.count - 1.0) / self.count;
        self.sum.sum *= weight;
        self.sum.compensation *= weight;
        self.sum.add(value / self.count);
    }

    fn finish(self) -> f64 {
        if self.is_incremental {
            return self.sum.total();
        }
        self.sum.sum / self.count + self.sum.compensation / self.count
    }
}

#[derive(Clone, Copy)]
pub(super) struct Min(f64);

impl Aggregation for Min {
    type Histogram = native::Sum;
    type Column = Vec<Self>;
    const HISTOGRAMS: Treatment = Treatment::Ignored;
}

impl State for Min {
    fn first(value: f64) -> Self {
        Self(value)
    }

    fn next(&mut self, value: f64) {
        if self.0 > value || self.0.is_nan() {
            self.0 = value;
        }
    }

    fn finish(self) -> f64 {
        self.0
    }
}

#[derive(Clone, Copy)]
pub(super) struct Max(f64);

impl Aggregation for Max {
    type Histogram = native::Sum;
    type Column = Vec<Self>;
    const HISTOGRAMS: Treatment = Treatment::Ignored;
}

impl State for Max {
    fn first(value: f64) -> Self {
        Self(value)
    }

    fn next(&mut self, value: f64) {
        if self.0 < value || self.0.is_nan() {
            self.0 = value;
        }
    }

    fn finish(self) -> f64 {
        self.0
    }
}

#[derive(Clone, Copy)]
pub(super) struct Count(f64);

impl Aggregation for Count {
    type Histogram = native::Sum;
    type Column = Vec<Self>;
    const HISTOGRAMS: Treatment = Treatment::Counted;
}

impl State for Count {
    fn first(_value: f64) -> Self {
        Self(1.0)
    }

    fn next(&mut self, _value: f64) {
        self.0 += 1.0;
    }

    fn finish(self) -> f64 {
        self.0
    }
}

#[derive(Clone, Copy)]
pub(super) struct Group;

impl Aggregation for Group {
    type Histogram = native::Sum;
    type Column = Vec<Self>;
    const HISTOGRAMS: Treatment = Treatment::Counted;
}

impl State for Group {
    fn first(_value: f64) -> Self {
        Self
    }

    fn next(&mut self, _value: f64) {}

    fn finish(self) -> f64 {
        1.0
    }
}

/// Welford's running variance.
#[derive(Clone, Copy)]
pub(super) struct Stdvar {
    mean: f64,
    squares: f64,
    count: f64,
}

impl Aggregation for Stdvar {
    type Histogram = native::Sum;
    type Column = Vec<Self>;
    const HISTOGRAMS: Treatment = Treatment::Ignored;
}

impl State for Stdvar {
    fn first(value: f64) -> Self {
        let squares = if value.is_finite() { 0.0 } else { f64::NAN };
        Self { mean: value, squares, count: 1.0 }
    }

    fn next(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }

    fn finish(self) -> f64 {
        self.squares / self.count
    }
}

#[derive(Clone, Copy)]
pub(super) struct Stddev(Stdvar);

impl Aggregation for Stddev {
    type Histogram = native::Sum;
    type Column = Vec<Self>;
    const HISTOGRAMS: Treatment = Treatment::Ignored;
}

impl State for Stddev {
    fn first(value: f64) -> Self {
        Self(Stdvar::first(value))
    }

    fn next(&mut self, value: f64) {
        self.0.next(value);
    }

    fn finish(self) -> f64 {
        self.0.finish().sqrt()
    }
}
