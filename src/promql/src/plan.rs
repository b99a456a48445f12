//! What a query computes, typed and resolved: times are absolute, durations are numbers, step-invariant
//! parts are marked, selectors are numbered. It holds no data and knows no series.
//!
//! A node knows no instants of its own: the grid is handed down, and a subquery or a step-invariant part
//! hands down another one.

mod duration;
mod function;
mod grid;
mod lower;
mod ranges;

pub(crate) use function::{DateFunction, HistogramStat, MapFunction, RangeFunction};
pub(crate) use grid::Grid;
pub(crate) use lower::{LowerSettings, lower};

use prom_model::Matcher;
use prom_storage::TimeRange;

use crate::syntax::{AggregateOp, BinaryOp, RangeExtension, Span, StringLiteral, VectorMatching};

/// A query ready to be bound to a store.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) root: Node,
    /// Distinct sets of matchers; nodes refer to them by index.
    pub(crate) selectors: Vec<Selector>,
    /// Steps of all operators together.
    pub(crate) step_count: u64,
}

/// Matchers and the time they are needed for.
#[derive(Debug)]
pub(crate) struct Selector {
    pub(crate) matchers: Vec<Matcher>,
    /// Of all places that use it; nothing if no step does.
    pub(crate) range: Option<TimeRange>,
    /// Steps of all places that use it.
    pub(crate) step_count: u64,
    /// The first of these places.
    pub(crate) span: Span,
}

/// An expression of any type.
#[derive(Debug)]
pub(crate) enum Node {
    Scalar(Scalar),
    Vector(Vector),
    Range(RangeSource),
    Text(StringLiteral),
}

/// A number for each instant.
#[derive(Debug)]
pub(crate) enum Scalar {
    Number(f64),
    Time,
    OfVector(Box<Vector>),
    Negate(Box<Scalar>),
    Binary {
        op: BinaryOp,
        lhs: Box<Scalar>,
        rhs: Box<Scalar>,
    },
    MinOf(Box<Scalar>, Box<Scalar>),
    MaxOf(Box<Scalar>, Box<Scalar>),
    /// Computed at the first instant, valid for all.
    Once(Box<Scalar>),
}

/// An instant vector for each instant.
#[derive(Debug)]
pub(crate) struct Vector {
    pub(crate) kind: VectorKind,
    /// Where it stands in the query, parentheses left out.
    pub(crate) span: Span,
}

/// How a vector comes about.
#[derive(Debug)]
pub(crate) enum VectorKind {
    Select {
        selector: usize,
        shift: Shift,
        what: SampleField,
        /// Whether of histograms only count and sum are needed.
        skips_buckets: bool,
    },
    Range(Box<RangeCall>),
    AbsentOverTime {
        source: RangeSource,
        labels: Vec<Matcher>,
        source_span: Span,
    },
    Map {
        function: MapFunction,
        args: Vec<Scalar>,
        operand: Box<Vector>,
    },
    /// Date functions without an argument and `vector()`.
    OfScalar {
        function: Option<DateFunction>,
        scalar: Scalar,
    },
    WithScalar(Box<WithScalar>),
    Binary(Box<Binary>),
    Aggregate(Box<Aggregate>),
    Histogram(Box<HistogramCall>),
    Info(Box<Info>),
    Absent {
        labels: Vec<Matcher>,
        operand: Box<Vector>,
    },
    Relabel {
        rule: RelabelRule,
        operand: Box<Vector>,
    },
    Sort {
        order: SortOrder,
        operand: Box<Vector>,
    },
    /// Computed at the first instant, valid for all.
    Once(Box<Vector>),
}

/// What of a selected sample is the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SampleField {
    Value,
    Timestamp,
    /// When the counter of the sample began, 0 where that is not known.
    StartTimestamp,
    /// The value on the line between the samples around the instant.
    Smoothed,
}

/// From the instant of evaluation to the instant that is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shift {
    pub(crate) at_ms: Option<i64>,
    pub(crate) offset_ms: i64,
}

/// A function of a range vector.
#[derive(Debug)]
pub(crate) struct RangeCall {
    pub(crate) function: RangeFunction,
    pub(crate) source: RangeSource,
    pub(crate) source_span: Span,
    /// Scalar arguments in their order.
    pub(crate) args: Vec<Scalar>,
    /// Where the first argument stands.
    pub(crate) first_arg_span: Span,
}

/// Where the samples of a window come from.
#[derive(Debug)]
pub(crate) enum RangeSource {
    Select {
        selector: usize,
        shift: Shift,
        range_ms: i64,
        extension: Option<RangeExtension>,
        /// Whether of histograms only count and sum are needed.
        skips_buckets: bool,
    },
    Subquery(Box<Subquery>),
}

/// An expression over a grid of its own.
#[derive(Debug)]
pub(crate) struct Subquery {
    pub(crate) operand: Vector,
    pub(crate) shift: Shift,
    pub(crate) range_ms: i64,
    pub(crate) step_ms: i64,
}

/// `vector op scalar` or `scalar op vector`.
#[derive(Debug)]
pub(crate) struct WithScalar {
    pub(crate) op: BinaryOp,
    pub(crate) vector: Vector,
    pub(crate) scalar: Scalar,
    pub(crate) is_scalar_left: bool,
    pub(crate) returns_bool: bool,
}

/// `vector op vector`, set operators included.
#[derive(Debug)]
pub(crate) struct Binary {
    pub(crate) op: BinaryOp,
    pub(crate) lhs: Vector,
    pub(crate) rhs: Vector,
    pub(crate) returns_bool: bool,
    pub(crate) matching: VectorMatching,
}

/// `op by (labels) (param, operand)`.
#[derive(Debug)]
pub(crate) struct Aggregate {
    pub(crate) op: AggregateOp,
    pub(crate) operand: Vector,
    /// Where the operand stands, parentheses included.
    pub(crate) operand_span: Span,
    pub(crate) param: Option<Scalar>,
    pub(crate) param_span: Span,
    /// The label that `count_values` writes to.
    pub(crate) value_label: Option<String>,
    pub(crate) labels: Vec<String>,
    pub(crate) is_without: bool,
}

/// Functions over the buckets of classic histograms.
#[derive(Debug)]
pub(crate) struct HistogramCall {
    pub(crate) function: HistogramFunction,
    pub(crate) operand: Vector,
}

/// `info()`.
#[derive(Debug)]
pub(crate) struct Info {
    pub(crate) operand: Vector,
    /// Info series, by their own name and labels.
    pub(crate) selector: usize,
    /// When they are looked at.
    pub(crate) shift: Shift,
    /// Matchers of their names.
    pub(crate) names: Vec<Matcher>,
    /// Matchers of the labels that are asked for.
    pub(crate) data: Vec<Matcher>,
}

#[derive(Debug)]
pub(crate) enum HistogramFunction {
    Quantile { quantile: Scalar, span: Span },
    Quantiles { label: String, quantiles: Vec<(Scalar, Span)> },
    Fraction { lower: Scalar, upper: Scalar },
}

/// `label_replace` and `label_join`.
#[derive(Debug)]
pub(crate) enum RelabelRule {
    Replace { target: String, replacement: String, source: String, regex: String },
    Join { target: String, separator: String, sources: Vec<String> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SortOrder {
    Value { is_descending: bool },
    Labels { names: Vec<String>, is_descending: bool },
}

/// How far samples beside a range are looked at, before and behind it.
pub(crate) fn extension_ms(
    extension: Option<RangeExtension>,
    lookback_delta_ms: i64,
) -> (i64, i64) {
    match extension {
        None => (0, 0),
        Some(RangeExtension::Anchored) => (lookback_delta_ms, 0),
        Some(RangeExtension::Smoothed) => (lookback_delta_ms, lookback_delta_ms),
    }
}

impl Shift {
    /// The instant that is looked at from `time_ms`.
    pub(crate) fn apply(self, time_ms: i64) -> i64 {
        self.at_ms.unwrap_or(time_ms).saturating_sub(self.offset_ms)
    }
}

impl Subquery {
    /// The grid that covers the windows of all instants of `outer`, aligned to multiples of the step.
    pub(crate) fn grid(&self, outer: &Grid) -> Result<Grid, crate::QueryError> {
        if outer.count == 0 {
            return Ok(Grid { count: 0, ..*outer });
        }
        let before_ms = self.shift.apply(outer.start_ms).saturating_sub(self.range_ms);
        let mut start_ms = before_ms / self.step_ms * self.step_ms;
        if start_ms <= before_ms {
            start_ms = start_ms.saturating_add(self.step_ms);
        }
        Grid::range(start_ms, self.shift.apply(outer.last_ms()), self.step_ms)
    }
}
