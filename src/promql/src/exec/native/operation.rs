//! Binary operators with a histogram on one side, or on both.
//! Compat: Prometheus `promql/engine.go`, `vectorElemBinop`.

use std::sync::Arc;

use prom_model::{CounterResetHint, FloatHistogram, TrimPart};

use crate::{
    annotation::{Annotation, HistogramWork},
    exec::row::SharedHistogram,
    syntax::{BinaryOp, Span},
};

/// Where the histogram stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::exec) enum Side {
    Left,
    Right,
}

/// What two histograms give.
pub(in crate::exec) enum PairOutcome {
    /// A result, which the comparison keeps or not.
    Compared {
        is_kept: bool,
    },
    Combined(SharedHistogram, Option<Annotation>),
    Refused(Annotation),
}

/// A histogram and a float.
///
/// # Errors
/// The operator does not know them together.
pub(in crate::exec) fn combine_with_scalar(
    op: BinaryOp,
    mut histogram: SharedHistogram,
    value: f64,
    side: Side,
    span: Span,
) -> Result<SharedHistogram, Annotation> {
    let change: fn(&mut FloatHistogram, f64) = match (op, side) {
        (BinaryOp::Mul, _) => |histogram, value| {
            histogram.mul(value);
            histogram.compact();
        },
        (BinaryOp::Div, Side::Left) => |histogram, value| {
            histogram.div(value);
            histogram.compact();
        },
        (BinaryOp::TrimUpper, Side::Left) => {
            |histogram, value| histogram.trim(value, TrimPart::Below)
        }
        (BinaryOp::TrimLower, Side::Left) => {
            |histogram, value| histogram.trim(value, TrimPart::Above)
        }
        (_, Side::Left) => {
            return Err(Annotation::incompatible_types("histogram", op, "float", span));
        }
        (_, Side::Right) => {
            return Err(Annotation::incompatible_types("float", op, "histogram", span));
        }
    };
    change(Arc::make_mut(&mut histogram), value);
    Ok(histogram)
}

/// Two histograms.
pub(in crate::exec) fn combine_pair(
    op: BinaryOp,
    lhs: &FloatHistogram,
    rhs: &FloatHistogram,
    span: Span,
) -> PairOutcome {
    let mut result = match op {
        BinaryOp::Equal => return PairOutcome::Compared { is_kept: lhs.is_same_data(rhs) },
        BinaryOp::NotEqual => return PairOutcome::Compared { is_kept: !lhs.is_same_data(rhs) },
        BinaryOp::Add | BinaryOp::Sub => lhs.clone(),
        _ => {
            let remark = Annotation::incompatible_types("histogram", op, "histogram", span);
            return PairOutcome::Refused(remark);
        }
    };
    let (combined, work) = if op == BinaryOp::Add {
        (result.add(rhs), HistogramWork::Addition)
    } else {
        (result.sub(rhs), HistogramWork::Subtraction)
    };
    let Ok(combined) = combined else {
        return PairOutcome::Refused(Annotation::incompatible_layouts(op, span));
    };
    if combined.has_reset_collision {
        return PairOutcome::Refused(Annotation::reset_collision(work, span));
    }
    if op == BinaryOp::Sub {
        result.counter_reset_hint = CounterResetHint::Gauge;
    }
    result.compact();
    let remark = combined.has_reconciled_bounds.then(|| Annotation::reconciled_bounds(work, span));
    PairOutcome::Combined(Arc::new(result), remark)
}
