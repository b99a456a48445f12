//! Operators that take one value and give one value: functions, and operations with a scalar.

use std::sync::Arc;

use super::{
    Bound, Ctx, Operator, Rows, Scratch,
    ledger::AccountId,
    native::{Side, combine_with_scalar, stat},
    row::{Bitmap, Row},
};
use crate::{
    QueryError,
    annotation::Annotation,
    date::date_part,
    numeric::{go_max, go_min},
    plan::{Grid, MapFunction},
    syntax::{BinaryOp, Span},
};

/// What happens to each row.
pub(super) enum Change {
    Function {
        function: MapFunction,
        args: Vec<Row>,
    },
    WithScalar {
        op: BinaryOp,
        scalar: Row,
        is_scalar_left: bool,
        returns_bool: bool,
        span: Span,
    },
    /// Labels alone change, in the reference's own matrix.
    Labels,
    /// The order of a range query does not change, but only floats can be ordered by value.
    Order {
        by_value: bool,
    },
}

/// A change of each row of an operand.
pub(super) struct Map {
    pub(super) operand: Bound,
    pub(super) change: Change,
    pub(super) account: AccountId,
}

struct MapRows {
    operand: Box<dyn Rows>,
    grid: Grid,
    change: Change,
    account: AccountId,
}

impl Operator for Map {
    fn open(self: Box<Self>, ctx: &Ctx<'_>) -> Result<Box<dyn Rows>, QueryError> {
        let grid = self.operand.grid;
        let operand = self.operand.open(ctx)?.rows;
        Ok(Box::new(MapRows { operand, grid, change: self.change, account: self.account }))
    }
}

impl Rows for MapRows {
    fn read(
        &self,
        index: usize,
        row: &mut Row,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), QueryError> {
        self.operand.read(index, row, scratch)?;
        if row.has_histograms() {
            self.change_histograms(index as u32, row, scratch);
        }
        match &self.change {
            Change::Labels => return Ok(()),
            Change::Order { .. } => {}
            Change::Function { function, args } => apply(*function, args, &self.grid, row),
            Change::WithScalar { op, scalar, is_scalar_left, returns_bool, span } => {
                if matches!(op, BinaryOp::TrimLower | BinaryOp::TrimUpper) {
                    row.present().for_each(|step| {
                        let remark = Annotation::incompatible_types("float", *op, "float", *span);
                        scratch.ctx.annotate_step(self.account, step, index as u32, remark);
                    });
                    *row.present_mut() = Bitmap::empty(self.grid.count);
                } else {
                    with_scalar(*op, scalar.values(), *is_scalar_left, *returns_bool, row);
                }
            }
        }
        scratch.tally(self.account).points += row.counted_samples();
        scratch.tick(self.grid.count)
    }

    fn order(&self) -> Option<&[u32]> {
        self.operand.order()
    }
}

impl MapRows {
    /// Changes the histograms of a row, or takes them away; floats are changed afterwards.
    fn change_histograms(&self, index: u32, row: &mut Row, scratch: &Scratch<'_>) {
        match &self.change {
            Change::Order { by_value: true } => row.drop_histograms(),
            Change::Labels | Change::Order { .. } => {}
            Change::Function { function: MapFunction::Histogram(_), .. } => {}
            Change::Function { function: MapFunction::Negate, .. } => {
                for (step, mut histogram) in row.take_histograms() {
                    Arc::make_mut(&mut histogram).mul(-1.0);
                    row.set_histogram(step, histogram);
                }
            }
            Change::Function { function: MapFunction::Timestamp, .. } => {
                for (step, _) in row.take_histograms() {
                    row.set(step, 0.0);
                }
            }
            Change::Function { .. } => row.drop_histograms(),
            Change::WithScalar { op, scalar, is_scalar_left, returns_bool: _, span } => {
                let scalars = scalar.values();
                for (step, histogram) in row.take_histograms() {
                    let side = if *is_scalar_left { Side::Right } else { Side::Left };
                    match combine_with_scalar(*op, histogram, scalars[step], side, *span) {
                        Ok(histogram) => row.set_histogram(step, histogram),
                        Err(remark) => {
                            scratch.ctx.annotate_step(self.account, step, index, remark);
                        }
                    }
                }
            }
        }
    }
}

fn apply(function: MapFunction, args: &[Row], grid: &Grid, row: &mut Row) {
    use MapFunction as F;
    match function {
        F::Negate => row.map(|v| -v),
        F::Abs => row.map(f64::abs),
        F::Ceil => row.map(f64::ceil),
        F::Floor => row.map(f64::floor),
        F::Exp => each(row, f64::exp),
        F::Sqrt => row.map(f64::sqrt),
        F::Ln => each(row, f64::ln),
        F::Log2 => each(row, f64::log2),
        F::Log10 => each(row, f64::log10),
        F::Sin => each(row, f64::sin),
        F::Cos => each(row, f64::cos),
        F::Tan => each(row, f64::tan),
        F::Asin => each(row, f64::asin),
        F::Acos => each(row, f64::acos),
        F::Atan => each(row, f64::atan),
        F::Sinh => each(row, f64::sinh),
        F::Cosh => each(row, f64::cosh),
        F::Tanh => each(row, f64::tanh),
        F::Asinh => each(row, f64::asinh),
        F::Acosh => each(row, f64::acosh),
        F::Atanh => each(row, f64::atanh),
        F::Rad => row.map(|v| v * std::f64::consts::PI / 180.0),
        F::Deg => row.map(|v| v * 180.0 / std::f64::consts::PI),
        F::Sgn => row.map(|v| match v {
            v if v < 0.0 => -1.0,
            v if v > 0.0 => 1.0,
            v => v,
        }),
        F::Round => round(row, args.first().map(Row::values)),
        F::Clamp => clamp(row, Some(args[0].values()), Some(args[1].values())),
        F::ClampMin => clamp(row, Some(args[0].values()), None),
        F::ClampMax => clamp(row, None, Some(args[0].values())),
        F::Timestamp => {
            let (values, present) = row.parts_mut();
            present.for_each(|step| values[step] = grid.time_ms(step) as f64 / 1000.0);
        }
        F::Date(part) => each(row, |v| date_part(part, v)),
        F::StartTimestamp => row.reset(grid.count),
        F::Histogram(wanted) => {
            let histograms = row.take_histograms();
            row.present_mut().reset(grid.count);
            histograms.iter().for_each(|(step, one)| row.set(*step, stat(one, wanted)));
        }
    }
}

/// Applies a function that is worth sparing on absent values.
fn each(row: &mut Row, f: impl Fn(f64) -> f64) {
    let (values, present) = row.parts_mut();
    present.for_each(|step| values[step] = f(values[step]));
}

/// Rounds to multiples; halves go up. The inverse causes fewer inexact results.
fn round(row: &mut Row, multiples: Option<&[f64]>) {
    let (values, present) = row.parts_mut();
    present.for_each(|step| {
        let inverse = 1.0 / multiples.map_or(1.0, |multiples| multiples[step]);
        values[step] = (values[step] * inverse + 0.5).floor() / inverse;
    });
}

fn clamp(row: &mut Row, min: Option<&[f64]>, max: Option<&[f64]>) {
    let bounds = |step: usize| {
        let min = min.map_or(f64::NEG_INFINITY, |min| min[step]);
        (min, max.map_or(f64::INFINITY, |max| max[step]))
    };
    row.retain(|step, _| {
        let (min, max) = bounds(step);
        // NaN bounds let everything through, to become NaN.
        max >= min || max.is_nan() || min.is_nan()
    });
    let (values, present) = row.parts_mut();
    present.for_each(|step| {
        let (min, max) = bounds(step);
        values[step] = go_max(min, go_min(max, values[step]));
    });
}

fn with_scalar(
    op: BinaryOp,
    scalars: &[f64],
    is_scalar_left: bool,
    returns_bool: bool,
    row: &mut Row,
) {
    let sides = |value: f64, scalar: f64| {
        if is_scalar_left { (scalar, value) } else { (value, scalar) }
    };
    if !is_comparison(op) || returns_bool {
        let (values, present) = row.parts_mut();
        match op {
            BinaryOp::Add => zip(values, scalars, |v, s| v + s),
            BinaryOp::Mul => zip(values, scalars, |v, s| v * s),
            BinaryOp::Sub if !is_scalar_left => zip(values, scalars, |v, s| v - s),
            BinaryOp::Div if !is_scalar_left => zip(values, scalars, |v, s| v / s),
            _ => present.for_each(|step| {
                let (lhs, rhs) = sides(values[step], scalars[step]);
                values[step] = binary_value(op, lhs, rhs);
            }),
        }
        return;
    }
    row.retain(|step, value| {
        let (lhs, rhs) = sides(value, scalars[step]);
        compare(op, lhs, rhs)
    });
}

fn zip(values: &mut [f64], scalars: &[f64], f: impl Fn(f64, f64) -> f64) {
    for (value, scalar) in values.iter_mut().zip(scalars) {
        *value = f(*value, *scalar);
    }
}

pub(super) fn is_comparison(op: BinaryOp) -> bool {
    use BinaryOp as Op;
    matches!(
        op,
        Op::Equal | Op::NotEqual | Op::LessOrEqual | Op::Less | Op::GreaterOrEqual | Op::Greater
    )
}

/// Whether the result is another quantity than its operands: its name goes.
pub(super) fn changes_meaning(op: BinaryOp) -> bool {
    use BinaryOp as Op;
    matches!(op, Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Pow | Op::Mod | Op::Atan2)
}

pub(super) fn compare(op: BinaryOp, lhs: f64, rhs: f64) -> bool {
    match op {
        BinaryOp::Equal => lhs == rhs,
        BinaryOp::NotEqual => lhs != rhs,
        BinaryOp::LessOrEqual => lhs <= rhs,
        BinaryOp::Less => lhs < rhs,
        BinaryOp::GreaterOrEqual => lhs >= rhs,
        BinaryOp::Greater => lhs > rhs,
        _ => false,
    }
}

/// The value of an operation; 0 or 1 for a comparison.
pub(super) fn binary_value(op: BinaryOp, lhs: f64, rhs: f64) -> f64 {
    match op {
        BinaryOp::Pow => lhs.powf(rhs),
        BinaryOp::Mul => lhs * rhs,
        BinaryOp::Div => lhs / rhs,
        BinaryOp::Mod => lhs % rhs,
        BinaryOp::Atan2 => lhs.atan2(rhs),
        BinaryOp::Add => lhs + rhs,
        BinaryOp::Sub => lhs - rhs,
        op => f64::from(u8::from(compare(op, lhs, rhs))),
    }
}
