//! Function calls.

use super::{Lowered, Lowerer, vector};
use crate::{
    QueryError,
    numeric::go_seconds,
    plan::{
        HistogramCall, HistogramFunction, MapFunction, Node, RangeCall, RangeFunction, RangeSource,
        RelabelRule, SampleField, Scalar, SortOrder, VectorKind, function::FunctionKind,
    },
    syntax::{Call, Expr, ExprKind, RangeExtension, Span},
};

/// Arguments that were lowered and not yet taken.
struct Args {
    list: std::vec::IntoIter<Lowered>,
}

impl Args {
    fn next(&mut self) -> Result<Lowered, QueryError> {
        self.list.next().ok_or_else(|| {
            QueryError::Evaluation("unexpected error: missing function argument".to_owned())
        })
    }

    fn vector(&mut self) -> Result<Box<crate::plan::Vector>, QueryError> {
        Ok(Box::new(self.next()?.into_vector()?))
    }

    fn scalar(&mut self) -> Result<Scalar, QueryError> {
        self.next()?.into_scalar()
    }

    fn text(&mut self) -> Result<String, QueryError> {
        self.next()?.into_text()
    }

    fn is_done(&self) -> bool {
        self.list.len() == 0
    }
}

impl Lowerer<'_> {
    pub(super) fn call(&mut self, call: &Call, span: Span) -> Result<Lowered, QueryError> {
        let name = call.function.name;
        if name == "info" {
            return self.info(call, span);
        }
        let Some(kind) = FunctionKind::of(name) else {
            return Err(self.unsupported(&format!("function {name}()"), span));
        };
        if let Some(number) = self.query_constant(&kind) {
            let node = Node::Scalar(Scalar::Number(number));
            return Ok(Lowered { node, is_invariant: true, wraps: false, span });
        }
        let reads_stats = matches!(name, "histogram_count" | "histogram_sum" | "histogram_avg");
        let reads_buckets =
            matches!(name, "histogram_quantile" | "histogram_quantiles" | "histogram_fraction");
        self.stat_readers += u32::from(reads_stats);
        self.bucket_readers += u32::from(reads_buckets);
        let mut args = Vec::with_capacity(call.args.len());
        for arg in &call.args {
            args.push(self.expr(arg)?);
        }
        self.stat_readers -= u32::from(reads_stats);
        self.bucket_readers -= u32::from(reads_buckets);
        let are_invariant = args.iter().all(|arg| arg.is_invariant);
        // The value of `timestamp(selector @ t)` is the time of the sample, which stays.
        let is_fixed_timestamp = name == "timestamp"
            && are_invariant
            && call.args.iter().all(|arg| matches!(stripped(arg).kind, ExprKind::Vector(_)));
        let is_invariant = are_invariant && (!depends_on_time(name) || is_fixed_timestamp);
        if !is_invariant {
            args = args.into_iter().map(Lowered::wrapped).collect();
        }
        let args = Args { list: args.into_iter() };
        let node = build(kind, args, call, span)?;
        Ok(Lowered { node, is_invariant, wraps: is_invariant, span })
    }

    /// Functions of the query itself.
    fn query_constant(&self, kind: &FunctionKind) -> Option<f64> {
        let settings = self.settings;
        Some(match kind {
            FunctionKind::Start => settings.start_ms as f64 / 1000.0,
            FunctionKind::End => settings.end_ms as f64 / 1000.0,
            FunctionKind::QueryRange => {
                go_seconds(settings.end_ms.saturating_sub(settings.start_ms))
            }
            FunctionKind::Step if settings.start_ms == settings.end_ms => 0.0,
            FunctionKind::Step => go_seconds(settings.step_ms),
            _ => return None,
        })
    }
}

fn build(kind: FunctionKind, mut args: Args, call: &Call, span: Span) -> Result<Node, QueryError> {
    let kind = match kind {
        FunctionKind::Range(function) => range_call(function, args, call.function.name)?,
        FunctionKind::Map(function) => {
            let operand = args.vector()?;
            let args = args.list.map(Lowered::into_scalar).collect::<Result<_, _>>()?;
            VectorKind::Map { function, args, operand }
        }
        FunctionKind::Date(function) if args.is_done() => {
            VectorKind::OfScalar { function: Some(function), scalar: Scalar::Time }
        }
        FunctionKind::Date(function) => VectorKind::Map {
            function: MapFunction::Date(function),
            args: Vec::new(),
            operand: args.vector()?,
        },
        FunctionKind::Timestamp => {
            timestamp(*args.vector()?, SampleField::Timestamp, MapFunction::Timestamp)
        }
        FunctionKind::StartTimestamp => {
            timestamp(*args.vector()?, SampleField::StartTimestamp, MapFunction::StartTimestamp)
        }
        FunctionKind::AbsentOverTime => {
            let labels = unique_matchers(call.args.first());
            let arg = args.next()?;
            let source_span = arg.span;
            let source = arg.into_range()?;
            check_extension(&source, RangeFunction::Present, call.function.name)?;
            VectorKind::AbsentOverTime { source, labels, source_span }
        }
        FunctionKind::Absent => {
            let labels = unique_matchers(call.args.first());
            VectorKind::Absent { labels, operand: args.vector()? }
        }
        FunctionKind::Vector => VectorKind::OfScalar { function: None, scalar: args.scalar()? },
        FunctionKind::Sort(order) => {
            let operand = args.vector()?;
            VectorKind::Sort { order: sort_order(order, args)?, operand }
        }
        FunctionKind::LabelReplace | FunctionKind::LabelJoin => relabel(kind, args)?,
        FunctionKind::HistogramQuantile
        | FunctionKind::HistogramQuantiles
        | FunctionKind::HistogramFraction => {
            VectorKind::Histogram(Box::new(histogram_call(kind, args)?))
        }
        scalar => return Ok(Node::Scalar(scalar_call(scalar, args)?)),
    };
    Ok(vector(kind, span))
}

fn range_call(function: RangeFunction, args: Args, name: &str) -> Result<VectorKind, QueryError> {
    let (mut source, mut scalars, mut first_arg_span) = (None, Vec::new(), None);
    for arg in args.list {
        first_arg_span.get_or_insert(arg.span);
        let span = arg.span;
        match arg.node {
            Node::Range(range) => source = Some((range, span)),
            _ => scalars.push(arg.into_scalar()?),
        }
    }
    let Some((source, source_span)) = source else {
        return Err(QueryError::Evaluation("unexpected error: no range argument".to_owned()));
    };
    check_extension(&source, function, name)?;
    let first_arg_span = first_arg_span.unwrap_or(source_span);
    let call = RangeCall { function, source, source_span, args: scalars, first_arg_span };
    Ok(VectorKind::Range(Box::new(call)))
}

/// Only some functions know what to do with samples outside of the range.
/// Compat: Prometheus `promql/functions.go`, `AnchoredSafeFunctions` and `SmoothedSafeFunctions`.
fn check_extension(
    source: &RangeSource,
    function: RangeFunction,
    name: &str,
) -> Result<(), QueryError> {
    use RangeFunction as F;
    let RangeSource::Select { extension: Some(extension), .. } = source else { return Ok(()) };
    let is_rate = matches!(function, F::Rate | F::Increase | F::Delta);
    let (is_safe, modifier, safe) = match extension {
        RangeExtension::Anchored => (
            is_rate || matches!(function, F::Resets | F::Changes),
            "anchored",
            "changes, delta, increase, rate, resets",
        ),
        RangeExtension::Smoothed => (is_rate, "smoothed", "delta, increase, rate"),
    };
    if is_safe {
        return Ok(());
    }
    Err(QueryError::Evaluation(format!(
        "{modifier} modifier can only be used with: {safe} - not with {name}"
    )))
}

fn scalar_call(kind: FunctionKind, mut args: Args) -> Result<Scalar, QueryError> {
    Ok(match kind {
        FunctionKind::Time => Scalar::Time,
        FunctionKind::Pi => Scalar::Number(std::f64::consts::PI),
        FunctionKind::Scalar => Scalar::OfVector(args.vector()?),
        FunctionKind::MinOf => Scalar::MinOf(Box::new(args.scalar()?), Box::new(args.scalar()?)),
        FunctionKind::MaxOf => Scalar::MaxOf(Box::new(args.scalar()?), Box::new(args.scalar()?)),
        other => return Err(QueryError::Evaluation(format!("unexpected error: {other:?}"))),
    })
}

/// `timestamp()` of a selector is the time of the sample, of anything else the instant of evaluation.
/// Likewise `start_timestamp()`.
fn timestamp(operand: crate::plan::Vector, what: SampleField, function: MapFunction) -> VectorKind {
    match operand.kind {
        VectorKind::Select { selector, shift, skips_buckets, .. } => {
            VectorKind::Select { selector, shift, what, skips_buckets }
        }
        _ => VectorKind::Map { function, args: Vec::new(), operand: Box::new(operand) },
    }
}

fn sort_order(order: SortOrder, args: Args) -> Result<SortOrder, QueryError> {
    Ok(match order {
        SortOrder::Labels { is_descending, .. } => {
            let names = args.list.map(Lowered::into_text).collect::<Result<_, _>>()?;
            SortOrder::Labels { names, is_descending }
        }
        by_value => by_value,
    })
}

fn relabel(kind: FunctionKind, mut args: Args) -> Result<VectorKind, QueryError> {
    let operand = args.vector()?;
    let replaces = matches!(kind, FunctionKind::LabelReplace);
    let function = if replaces { "label_replace()" } else { "label_join()" };
    let mut text = |what: &str| args.next()?.into_utf8(&format!("{what} in {function}"));
    let target = text("destination label name")?;
    let rule = if replaces {
        let (replacement, source) = (text("replacement")?, text("source label name")?);
        let regex = text("regular expression")?;
        RelabelRule::Replace { target, replacement, source, regex }
    } else {
        let separator = text("separator")?;
        let what = format!("source label name in {function}");
        let sources = args.list.map(|arg| arg.into_utf8(&what)).collect::<Result<_, _>>()?;
        RelabelRule::Join { target, separator, sources }
    };
    Ok(VectorKind::Relabel { rule, operand })
}

fn histogram_call(kind: FunctionKind, mut args: Args) -> Result<HistogramCall, QueryError> {
    Ok(match kind {
        FunctionKind::HistogramQuantile => {
            let quantile = args.next()?;
            let span = quantile.span;
            let quantile = quantile.into_scalar()?;
            let function = HistogramFunction::Quantile { quantile, span };
            HistogramCall { function, operand: *args.vector()? }
        }
        FunctionKind::HistogramQuantiles => {
            let operand = *args.vector()?;
            let label = args.text()?;
            let quantiles = args
                .list
                .map(|arg| {
                    let span = arg.span;
                    Ok((arg.into_scalar()?, span))
                })
                .collect::<Result<_, QueryError>>()?;
            HistogramCall { function: HistogramFunction::Quantiles { label, quantiles }, operand }
        }
        FunctionKind::HistogramFraction => {
            let (lower, upper) = (args.scalar()?, args.scalar()?);
            let function = HistogramFunction::Fraction { lower, upper };
            HistogramCall { function, operand: *args.vector()? }
        }
        other => return Err(QueryError::Evaluation(format!("unexpected error: {other:?}"))),
    })
}

/// Matchers of the selector that `absent` is asked about; none for any other expression.
fn unique_matchers(arg: Option<&Expr>) -> Vec<prom_model::Matcher> {
    match arg.map(|arg| &stripped(arg).kind) {
        Some(ExprKind::Vector(selector)) => selector.matchers.clone(),
        Some(ExprKind::Matrix(matrix)) => matrix.selector.matchers.clone(),
        _ => Vec::new(),
    }
}

fn stripped(mut expr: &Expr) -> &Expr {
    while let ExprKind::Paren(inner) = &expr.kind {
        expr = inner;
    }
    expr
}

/// Functions whose value changes with the instant even over step-invariant arguments.
fn depends_on_time(name: &str) -> bool {
    matches!(
        name,
        "days_in_month"
            | "day_of_month"
            | "day_of_week"
            | "day_of_year"
            | "hour"
            | "minute"
            | "month"
            | "year"
            | "predict_linear"
            | "time"
            | "timestamp"
    )
}
