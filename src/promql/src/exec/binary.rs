//! Operations between two vectors. Which series meet is decided once, when the operator is bound.
//!
//! Where every result comes from one pair of series, both sides are read row by row and nothing is kept.
//! Where several series of a side compete for one result, both sides are computed first and each step is
//! checked (I2).

mod contest;
mod matching;
mod set;

pub(super) use set::bind_set;

use self::{
    contest::Computed,
    matching::{FILLED, MatchTable},
};
use std::sync::Arc;

use super::{
    Bound, Ctx, Operator, Rows, Scratch,
    drain::{open_both, store, touch},
    ledger::{AccountId, Shape},
    map::{binary_value, changes_meaning, compare, is_comparison},
    native::{PairOutcome, Side, combine_pair, combine_with_scalar},
    row::{Row, SharedHistogram},
    series::SeriesSet,
};
use crate::{
    QueryError,
    annotation::Annotation,
    syntax::{BinaryOp, MatchCardinality, Span, VectorMatching},
};

/// An arithmetic operation or a comparison between two bound vectors.
struct BinaryOperation {
    /// The side of which several series may meet one of the other.
    many: Bound,
    one: Bound,
    table: MatchTable,
    work: Work,
    matching: VectorMatching,
}

/// What happens to a pair of rows.
#[derive(Clone, Copy)]
struct Work {
    op: BinaryOp,
    returns_bool: bool,
    /// Whether the "one" side stands on the left.
    is_swapped: bool,
    span: Span,
    account: AccountId,
}

/// Each result comes from one pair.
struct PairRows {
    many: Box<dyn Rows>,
    one: Box<dyn Rows>,
    table: MatchTable,
    work: Work,
}

/// Results come from several pairs, or from one side and a fill value.
struct ContestedRows {
    sides: Computed,
    table: MatchTable,
    work: Work,
    /// What stands in for the "many" side and for the "one" side.
    fills: (Option<f64>, Option<f64>),
    count: usize,
}

/// Finds out which series of both sides meet.
pub(super) fn bind_binary(
    ctx: &Ctx<'_>,
    op: BinaryOp,
    returns_bool: bool,
    matching: &VectorMatching,
    span: Span,
    (lhs, rhs): (Bound, Bound),
) -> Result<Bound, QueryError> {
    let account = ctx.ledger.open(Shape::Combine(vec![lhs.account, rhs.account]), lhs.grid);
    let is_swapped = matching.cardinality == MatchCardinality::OneToMany;
    let (many, one) = if is_swapped { (rhs, lhs) } else { (lhs, rhs) };
    let is_delayed = ctx.settings.is_name_removal_delayed;
    let drops_metadata = changes_meaning(op) || returns_bool && !is_delayed;
    let table = MatchTable::new(ctx, &many.series, &one.series, matching, drops_metadata)?;
    let drops = vec![is_delayed && returns_bool; table.labels.len()];
    let series = SeriesSet::made_unique(table.labels.clone()).with_drops(drops);
    let grid = many.grid;
    let work = Work { op, returns_bool, is_swapped, span, account };
    let matching = matching.clone();
    let operator = Box::new(BinaryOperation { many, one, table, work, matching });
    Ok(Bound { series, grid, account, operator })
}

impl Operator for BinaryOperation {
    fn open(self: Box<Self>, ctx: &Ctx<'_>) -> Result<Box<dyn Rows>, QueryError> {
        let Self { many, one, table, work, matching } = *self;
        let count = many.grid.count;
        // What is wrong with the left side is told before what is wrong with the right one.
        let (many, one) = if work.is_swapped {
            let (one, many) = open_both(ctx, one, many)?;
            (many, one)
        } else {
            open_both(ctx, many, one)?
        };
        let (many_len, one_len) = (many.series.len(), one.series.len());
        // What meets nothing is still read: it counts, and it may be worth a remark.
        touch(ctx, &*many.rows, &table.unmatched(matching::Side::Many, many_len), count)?;
        touch(ctx, &*one.rows, &table.unmatched(matching::Side::One, one_len), count)?;
        let (many_rows, mut one_rows) = (many.rows, one.rows);
        let fills = (matching.fill_left, matching.fill_right);
        if table.is_contested() || fills != (None, None) {
            let many_rows = store(ctx, &*many_rows, many_len, count)?;
            let one_rows = store(ctx, &*one_rows, one_len, count)?;
            let sides = Computed::new(ctx, &table, many_rows, one_rows, count)?;
            sides.check(ctx, &table, &one.series, &matching)?;
            return Ok(Box::new(ContestedRows { sides, table, work, fills, count }));
        }
        if table.reuses_one() {
            one_rows = Box::new(store(ctx, &*one_rows, one_len, count)?);
        }
        Ok(Box::new(PairRows { many: many_rows, one: one_rows, table, work }))
    }
}

impl Rows for PairRows {
    fn read(
        &self,
        index: usize,
        row: &mut Row,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), QueryError> {
        let [(many, one)] = self.table.pairs(index) else {
            return Err(QueryError::Evaluation("unexpected error: a contested match".to_owned()));
        };
        let mut other = scratch.take_row();
        self.many.read(*many as usize, row, scratch)?;
        self.one.read(*one as usize, &mut other, scratch)?;
        self.work.combine(row, &other, *many, scratch);
        scratch.put_row(other);
        scratch.tally(self.work.account).points += row.counted_samples();
        scratch.tick(row.count())
    }
}

impl Rows for ContestedRows {
    fn read(
        &self,
        index: usize,
        row: &mut Row,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), QueryError> {
        row.reset(self.count);
        let (mut left, mut right) = (scratch.take_row(), scratch.take_row());
        for pair in self.table.pairs(index) {
            let (many, one) = *pair;
            match self.fills.0 {
                Some(fill) if many == FILLED => left.fill(self.count, fill),
                _ => self.sides.many.load(many as usize, &mut left),
            }
            match self.fills.1 {
                Some(fill) if one == FILLED => right.fill(self.count, fill),
                _ => self.sides.one.load(one as usize, &mut right),
            }
            left.keep_steps(&self.sides.steps_of_pair(&self.table, *pair));
            self.work.combine(&mut left, &right, many, scratch);
            if row.first_common(&left).is_some() {
                return Err(QueryError::same_labelset());
            }
            row.overlay(&left);
        }
        scratch.put_row(left);
        scratch.put_row(right);
        scratch.tally(self.work.account).points += row.counted_samples();
        scratch.tick(row.count() * self.table.pairs(index).len())
    }
}

impl Work {
    /// Makes `many`, the row of that index, the result of the operation with `one`.
    fn combine(&self, many: &mut Row, one: &Row, index: u32, scratch: &Scratch<'_>) {
        if many.has_histograms() || one.has_histograms() {
            return self.combine_mixed(many, one, index, scratch);
        }
        many.present_mut().intersect(one.present());
        let op = self.op;
        if matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper) {
            many.present().for_each(|step| {
                let remark = Annotation::incompatible_types("float", op, "float", self.span);
                scratch.ctx.annotate_step(self.account, step, index, remark);
            });
            many.reset(one.count());
        } else if is_comparison(op) && !self.returns_bool {
            self.filter(many, one);
        } else {
            self.compute(many, one);
        }
    }

    /// The same where either has histograms.
    fn combine_mixed(&self, many: &mut Row, one: &Row, index: u32, scratch: &Scratch<'_>) {
        let tell = |remark, step| scratch.ctx.annotate_step(self.account, step, index, remark);
        let histograms = many.take_histograms();
        let mut results: Vec<(usize, SharedHistogram)> = Vec::new();
        let mut compared = Vec::new();
        let floats = many.clone();
        let (many_side, one_side) =
            if self.is_swapped { (Side::Right, Side::Left) } else { (Side::Left, Side::Right) };
        let mut note = |outcome: Result<SharedHistogram, Annotation>, step| match outcome {
            Ok(histogram) => results.push((step, histogram)),
            Err(remark) => tell(remark, step),
        };
        for (step, histogram) in histograms {
            if let Some(value) = one.get(step) {
                let outcome = combine_with_scalar(self.op, histogram, value, many_side, self.span);
                note(outcome, step);
            } else if let Some(other) = one.histogram(step) {
                let (lhs, rhs) =
                    if self.is_swapped { (other, &histogram) } else { (&histogram, other) };
                match combine_pair(self.op, lhs, rhs, self.span) {
                    PairOutcome::Compared { is_kept } if self.returns_bool => {
                        compared.push((step, f64::from(u8::from(is_kept))));
                    }
                    PairOutcome::Compared { is_kept: true } => note(Ok(Arc::clone(lhs)), step),
                    PairOutcome::Compared { is_kept: false } => {}
                    PairOutcome::Combined(result, remark) => {
                        remark.into_iter().for_each(|remark| tell(remark, step));
                        note(Ok(result), step);
                    }
                    PairOutcome::Refused(remark) => note(Err(remark), step),
                }
            }
        }
        one.for_each_histogram(|step, histogram| {
            if let Some(value) = floats.get(step) {
                let histogram = Arc::clone(histogram);
                note(combine_with_scalar(self.op, histogram, value, one_side, self.span), step);
            }
        });
        let mut one_floats = one.clone();
        one_floats.drop_histograms();
        self.combine(many, &one_floats, index, scratch);
        compared.into_iter().for_each(|(step, value)| many.set(step, value));
        results.into_iter().for_each(|(step, histogram)| many.set_histogram(step, histogram));
    }

    /// Keeps the left value of the steps at which the comparison holds.
    fn filter(&self, many: &mut Row, one: &Row) {
        let ones = one.values();
        many.retain(|step, value| {
            let (lhs, rhs) = self.sides(value, ones[step]);
            compare(self.op, lhs, rhs)
        });
        if self.is_swapped {
            let (values, present) = many.parts_mut();
            present.for_each(|step| values[step] = ones[step]);
        }
    }

    fn compute(&self, many: &mut Row, one: &Row) {
        let ones = one.values();
        let (values, present) = many.parts_mut();
        let zip = |values: &mut [f64], f: fn(f64, f64) -> f64| {
            for (value, one) in values.iter_mut().zip(ones) {
                *value = f(*value, *one);
            }
        };
        match self.op {
            BinaryOp::Add => zip(values, |many, one| many + one),
            BinaryOp::Mul => zip(values, |many, one| many * one),
            BinaryOp::Sub if !self.is_swapped => zip(values, |many, one| many - one),
            BinaryOp::Div if !self.is_swapped => zip(values, |many, one| many / one),
            op => present.for_each(|step| {
                let (lhs, rhs) = self.sides(values[step], ones[step]);
                values[step] = binary_value(op, lhs, rhs);
            }),
        }
    }

    fn sides(&self, many: f64, one: f64) -> (f64, f64) {
        if self.is_swapped { (one, many) } else { (many, one) }
    }
}
