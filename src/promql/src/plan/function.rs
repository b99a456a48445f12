//! Functions by what they need, so that operators match over closed sets.

use crate::plan::SortOrder;

/// Functions of a window of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RangeFunction {
    Rate,
    Increase,
    Delta,
    Irate,
    Idelta,
    Resets,
    Changes,
    Sum,
    Avg,
    Min,
    Max,
    Count,
    First,
    Last,
    Present,
    Quantile,
    Stddev,
    Stdvar,
    Mad,
    TimeOfFirst,
    TimeOfLast,
    TimeOfMin,
    TimeOfMax,
    Deriv,
    PredictLinear,
    DoubleExponentialSmoothing,
}

/// Functions of one value, the scalar arguments aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum MapFunction {
    Negate,
    Abs,
    Ceil,
    Floor,
    Exp,
    Sqrt,
    Ln,
    Log2,
    Log10,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Asinh,
    Acosh,
    Atanh,
    Rad,
    Deg,
    Sgn,
    Round,
    Clamp,
    ClampMin,
    ClampMax,
    /// `timestamp()` of something that is not a selector: the instant of evaluation.
    Timestamp,
    /// `start_timestamp()` of something that is not a selector: nobody knows.
    StartTimestamp,
    Date(DateFunction),
    Histogram(HistogramStat),
}

/// A number that a native histogram has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HistogramStat {
    Count,
    Sum,
    Avg,
    Stddev,
    Stdvar,
}

/// Parts of a date in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum DateFunction {
    Minute,
    Hour,
    DayOfWeek,
    DayOfMonth,
    DayOfYear,
    DaysInMonth,
    Month,
    Year,
}

/// What a function name stands for.
#[derive(Debug)]
pub(super) enum FunctionKind {
    Range(RangeFunction),
    Map(MapFunction),
    Date(DateFunction),
    AbsentOverTime,
    Absent,
    Scalar,
    Vector,
    Time,
    Pi,
    MinOf,
    MaxOf,
    Timestamp,
    Start,
    End,
    Step,
    QueryRange,
    LabelReplace,
    LabelJoin,
    Sort(SortOrder),
    HistogramQuantile,
    HistogramQuantiles,
    HistogramFraction,
    StartTimestamp,
}

impl FunctionKind {
    /// The function called `name`, if this engine has it.
    pub(super) fn of(name: &str) -> Option<Self> {
        let by_value = |is_descending| Self::Sort(SortOrder::Value { is_descending });
        let by_labels =
            |is_descending| Self::Sort(SortOrder::Labels { names: Vec::new(), is_descending });
        Some(match name {
            "absent" => Self::Absent,
            "absent_over_time" => Self::AbsentOverTime,
            "scalar" => Self::Scalar,
            "vector" => Self::Vector,
            "time" => Self::Time,
            "pi" => Self::Pi,
            "min_of" => Self::MinOf,
            "max_of" => Self::MaxOf,
            "timestamp" => Self::Timestamp,
            "start" => Self::Start,
            "end" => Self::End,
            "step" => Self::Step,
            "range" => Self::QueryRange,
            "label_replace" => Self::LabelReplace,
            "label_join" => Self::LabelJoin,
            "sort" => by_value(false),
            "sort_desc" => by_value(true),
            "sort_by_label" => by_labels(false),
            "sort_by_label_desc" => by_labels(true),
            "histogram_quantile" => Self::HistogramQuantile,
            "histogram_quantiles" => Self::HistogramQuantiles,
            "histogram_fraction" => Self::HistogramFraction,
            "start_timestamp" => Self::StartTimestamp,
            _ => {
                return range_function(name)
                    .map(Self::Range)
                    .or_else(|| map_function(name).map(Self::Map))
                    .or_else(|| date_function(name).map(Self::Date));
            }
        })
    }
}

fn range_function(name: &str) -> Option<RangeFunction> {
    use RangeFunction as F;
    Some(match name {
        "rate" => F::Rate,
        "increase" => F::Increase,
        "delta" => F::Delta,
        "irate" => F::Irate,
        "idelta" => F::Idelta,
        "resets" => F::Resets,
        "changes" => F::Changes,
        "sum_over_time" => F::Sum,
        "avg_over_time" => F::Avg,
        "min_over_time" => F::Min,
        "max_over_time" => F::Max,
        "count_over_time" => F::Count,
        "first_over_time" => F::First,
        "last_over_time" => F::Last,
        "present_over_time" => F::Present,
        "quantile_over_time" => F::Quantile,
        "stddev_over_time" => F::Stddev,
        "stdvar_over_time" => F::Stdvar,
        "mad_over_time" => F::Mad,
        "ts_of_first_over_time" => F::TimeOfFirst,
        "ts_of_last_over_time" => F::TimeOfLast,
        "ts_of_min_over_time" => F::TimeOfMin,
        "ts_of_max_over_time" => F::TimeOfMax,
        "deriv" => F::Deriv,
        "predict_linear" => F::PredictLinear,
        "double_exponential_smoothing" => F::DoubleExponentialSmoothing,
        _ => return None,
    })
}

fn map_function(name: &str) -> Option<MapFunction> {
    use MapFunction as F;
    Some(match name {
        "abs" => F::Abs,
        "ceil" => F::Ceil,
        "floor" => F::Floor,
        "exp" => F::Exp,
        "sqrt" => F::Sqrt,
        "ln" => F::Ln,
        "log2" => F::Log2,
        "log10" => F::Log10,
        "sin" => F::Sin,
        "cos" => F::Cos,
        "tan" => F::Tan,
        "asin" => F::Asin,
        "acos" => F::Acos,
        "atan" => F::Atan,
        "sinh" => F::Sinh,
        "cosh" => F::Cosh,
        "tanh" => F::Tanh,
        "asinh" => F::Asinh,
        "acosh" => F::Acosh,
        "atanh" => F::Atanh,
        "rad" => F::Rad,
        "deg" => F::Deg,
        "sgn" => F::Sgn,
        "round" => F::Round,
        "clamp" => F::Clamp,
        "clamp_min" => F::ClampMin,
        "clamp_max" => F::ClampMax,
        "histogram_avg" => F::Histogram(HistogramStat::Avg),
        "histogram_count" => F::Histogram(HistogramStat::Count),
        "histogram_sum" => F::Histogram(HistogramStat::Sum),
        "histogram_stddev" => F::Histogram(HistogramStat::Stddev),
        "histogram_stdvar" => F::Histogram(HistogramStat::Stdvar),
        _ => return None,
    })
}

fn date_function(name: &str) -> Option<DateFunction> {
    use DateFunction as F;
    Some(match name {
        "minute" => F::Minute,
        "hour" => F::Hour,
        "day_of_week" => F::DayOfWeek,
        "day_of_month" => F::DayOfMonth,
        "day_of_year" => F::DayOfYear,
        "days_in_month" => F::DaysInMonth,
        "month" => F::Month,
        "year" => F::Year,
        _ => return None,
    })
}
