//! Aggregations that fold each value into a state by group and step.
//! A group's states live from its first series to its last, whatever stands between.

use std::sync::Arc;

use prom_model::Labels;

use super::{
    Grouped, count_points,
    histograms::{HistogramStates, Remarks},
};
use crate::{
    QueryError,
    exec::{
        Bound, Ctx, Operator, Rows,
        drain::for_each_row,
        ledger::AccountId,
        memory::{Held, Memory},
        native::{self, HistogramFold},
        row::{Bitmap, Row},
        stored::{Arena, Stored},
    },
    numeric::KahanSum,
    syntax::{AggregateOp, Span},
};

struct Fold {
    op: AggregateOp,
    operand: Bound,
    groups: Grouped,
    /// Where the operand stands.
    span: Span,
    account: AccountId,
}

pub(super) fn bind(
    op: AggregateOp,
    operand: Bound,
    groups: Grouped,
    span: Span,
    account: AccountId,
) -> Bound {
    let (series, grid) = (groups.series(&operand.series), operand.grid);
    let operator = Box::new(Fold { op, operand, groups, span, account });
    Bound { series, grid, account, operator }
}

impl Operator for Fold {
    fn open(self: Box<Self>, ctx: &Ctx<'_>) -> Result<Box<dyn Rows>, QueryError> {
        let stored = match self.op {
            AggregateOp::Sum => self.fold::<Sum>(ctx),
            AggregateOp::Avg => self.fold::<Avg>(ctx),
            AggregateOp::Min => self.fold::<Min>(ctx),
            AggregateOp::Max => self.fold::<Max>(ctx),
            AggregateOp::Count => self.fold::<Count>(ctx),
            AggregateOp::Stddev => self.fold::<Stddev>(ctx),
            AggregateOp::Stdvar => self.fold::<Stdvar>(ctx),
            AggregateOp::Group => self.fold::<Group>(ctx),
            op => Err(QueryError::Evaluation(format!("unexpected error: {op:?} is no fold"))),
        };
        Ok(Box::new(stored?))
    }
}

impl Fold {
    fn fold<S: State>(self, ctx: &Ctx<'_>) -> Result<Stored, QueryError> {
        let count = self.operand.grid.count;
        let operand = self.operand.open(ctx)?;
        let mut left = vec![0u32; self.groups.count()];
        self.groups.of_series.iter().for_each(|group| left[*group as usize] += 1);
        let mut states: Vec<Option<States<S>>> = Vec::new();
        states.resize_with(self.groups.count(), || None);
        let mut spare: Vec<States<S>> = Vec::new();
        let mut arena = Arena::new(&ctx.memory)?;
        let mut order = vec![None; self.groups.count()];
        let mut result = Row::default();
        let mut points = 0;
        for_each_row(ctx, &*operand.rows, operand.series.len(), count, |index, row| {
            let group = self.groups.of_series[index] as usize;
            let slot = &mut states[group];
            let mut state = match slot.take() {
                Some(state) => state,
                None => match spare.pop() {
                    Some(state) => state,
                    None => States::new(count, &ctx.memory)?,
                },
            };
            if row.has_histograms() || state.histograms.is_some() {
                let name = |labels: Labels| labels.metric_name().to_owned();
                let remarks = Remarks { ctx, op: self.op, span: self.span };
                state.add_mixed(row, &remarks, || name(operand.series.labels(index)))?;
            } else {
                state.add(row);
            }
            left[group] -= 1;
            if left[group] > 0 {
                *slot = Some(state);
                return Ok(());
            }
            state.finish(&mut result);
            if let Some(histograms) = state.histograms.take() {
                let remarks = Remarks { ctx, op: self.op, span: self.span };
                histograms.finish(&mut result, &remarks);
            }
            points += result.counted_samples() as usize;
            order[group] = Some(arena.len() as u32);
            arena.push(&result)?;
            spare.push(state);
            Ok(())
        })?;
        count_points(ctx, self.account, points)?;
        Ok(Stored::from_order(arena, &order, count))
    }
}

/// What becomes of the histograms of a group.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Treatment {
    /// They are folded into one.
    Folded,
    /// They are samples like any other.
    Counted,
    /// They are left out, which is told.
    Ignored,
}

/// What an aggregation keeps for one group at one step.
trait State: Copy + Send {
    /// How histograms are folded, where they are.
    type Histogram: HistogramFold;
    const HISTOGRAMS: Treatment;

    /// The state after the first value.
    fn first(value: f64) -> Self;
    fn next(&mut self, value: f64);
    fn finish(self) -> f64;
}

/// States of one group.
struct States<S: State> {
    states: Vec<S>,
    seen: Bitmap,
    /// There since the first histogram.
    histograms: Option<HistogramStates<S::Histogram>>,
    held: Held,
}

impl<S: State> States<S> {
    fn new(count: usize, memory: &Arc<Memory>) -> Result<Self, QueryError> {
        let bytes = count * size_of::<S>() + count / 8;
        let held = memory.hold(bytes as u64)?;
        let (states, seen) = (vec![S::first(0.0); count], Bitmap::empty(count));
        Ok(Self { states, seen, histograms: None, held })
    }

    /// Adds a row of a group that has histograms, here or before.
    fn add_mixed(
        &mut self,
        row: &Row,
        remarks: &Remarks<'_>,
        name: impl FnOnce() -> String,
    ) -> Result<(), QueryError> {
        let mut floats = row.clone();
        floats.drop_histograms();
        match S::HISTOGRAMS {
            Treatment::Counted => {
                row.for_each_histogram(|step, _| floats.set(step, 0.0));
            }
            Treatment::Ignored => remarks.ignored(row),
            Treatment::Folded => {
                let count = self.states.len();
                let histograms = self.histograms.get_or_insert_with(|| HistogramStates::new(count));
                histograms.add(row, &self.seen, remarks, &mut self.held, name)?;
                histograms.spare_refused(&mut floats);
            }
        }
        self.add(&floats);
        Ok(())
    }

    fn add(&mut self, row: &Row) {
        let values = row.values();
        for (word_index, present) in row.present().words().iter().enumerate() {
            let seen = self.seen.words()[word_index];
            let base = word_index * 64;
            if *present == u64::MAX && seen == u64::MAX {
                let values = &values[base..base + 64];
                for (state, value) in self.states[base..base + 64].iter_mut().zip(values) {
                    state.next(*value);
                }
                continue;
            }
            let mut rest = *present;
            while rest != 0 {
                let step = base + rest.trailing_zeros() as usize;
                if seen >> (step - base) & 1 == 1 {
                    self.states[step].next(values[step]);
                } else {
                    self.states[step] = S::first(values[step]);
                }
                rest &= rest - 1;
            }
        }
        self.seen.unite(row.present());
    }

    /// Writes the results and begins anew.
    fn finish(&mut self, row: &mut Row) {
        row.reset(self.states.len());
        self.seen.for_each(|step| row.set(step, self.states[step].finish()));
        self.seen.reset(self.states.len());
    }
}

#[derive(Clone, Copy)]
struct Sum(KahanSum);

impl State for Sum {
    type Histogram = native::Sum;
    const HISTOGRAMS: Treatment = Treatment::Folded;

    fn first(value: f64) -> Self {
        Self(KahanSum { sum: value, compensation: 0.0 })
    }

    fn next(&mut self, value: f64) {
        self.0.add(value);
    }

    fn finish(self) -> f64 {
        self.0.total()
    }
}

/// The mean; of the sum while that does not overflow, incremental from then on.
#[derive(Clone, Copy)]
struct Avg {
    sum: KahanSum,
    count: f64,
    is_incremental: bool,
}

impl State for Avg {
    type Histogram = native::Mean;
    const HISTOGRAMS: Treatment = Treatment::Folded;

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
struct Min(f64);

impl State for Min {
    type Histogram = native::Sum;
    const HISTOGRAMS: Treatment = Treatment::Ignored;

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
struct Max(f64);

impl State for Max {
    type Histogram = native::Sum;
    const HISTOGRAMS: Treatment = Treatment::Ignored;

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
struct Count(f64);

impl State for Count {
    type Histogram = native::Sum;
    const HISTOGRAMS: Treatment = Treatment::Counted;

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
struct Group;

impl State for Group {
    type Histogram = native::Sum;
    const HISTOGRAMS: Treatment = Treatment::Counted;

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
struct Stdvar {
    mean: f64,
    squares: f64,
    count: f64,
}

impl State for Stdvar {
    type Histogram = native::Sum;
    const HISTOGRAMS: Treatment = Treatment::Ignored;

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
struct Stddev(Stdvar);

impl State for Stddev {
    type Histogram = native::Sum;
    const HISTOGRAMS: Treatment = Treatment::Ignored;

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
