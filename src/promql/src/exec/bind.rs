//! From the plan to operators: each learns its series, its labels and its account.

use std::sync::Arc;

use prom_model::{METRIC_NAME, MatchOp, Matcher};

use super::{
    Bound, Ctx, Operator, Ready, Rows, Scratch,
    absent::{Absent, absent_labels},
    aggregate::bind_aggregate,
    binary::{bind_binary, bind_set},
    histogram::{Histogram, Question},
    info::bind_info,
    ledger::{AccountId, Shape},
    map::{Change, Map, changes_meaning},
    merge::{Collision, Repeat, merged},
    range::{CounterCheck, RangeRows, Source},
    relabel::relabeled,
    row::Row,
    scalar::{ScalarRow, scalar},
    select::SelectRows,
    series::SeriesSet,
    sort::Sort,
    window::WindowSpec,
};
use crate::{
    QueryError,
    annotation::Annotation,
    plan::{
        Grid, HistogramCall, HistogramFunction, MapFunction, RangeCall, RangeFunction, RangeSource,
        SampleField, Scalar, Shift, SortOrder, Vector, VectorKind, WithScalar, extension_ms,
    },
    syntax::{BinaryOp, Span},
};

/// Binds `vector` for evaluation over `grid`.
pub(super) fn bind(ctx: &Ctx<'_>, vector: &Vector, grid: &Grid) -> Result<Bound, QueryError> {
    ctx.check_grid(grid)?;
    match &ctx.profiler {
        None => bind_kind(ctx, vector, grid),
        Some(profiler) => profiler.around(vector, grid.count, || bind_kind(ctx, vector, grid)),
    }
}

fn bind_kind(ctx: &Ctx<'_>, vector: &Vector, grid: &Grid) -> Result<Bound, QueryError> {
    match &vector.kind {
        VectorKind::Select { selector, shift, what, skips_buckets } => {
            let skips = *skips_buckets;
            Ok(bind_select(ctx, *selector, *shift, (*what, skips), vector.span, grid))
        }
        VectorKind::Range(call) => bind_range(ctx, call, grid),
        VectorKind::AbsentOverTime { source, labels, source_span } => {
            let labels = SeriesSet::made_unique(vec![absent_labels(labels)]);
            let call = RangeParts {
                function: RangeFunction::Present,
                source,
                source_span: *source_span,
                first_arg_span: *source_span,
                args: Vec::new(),
            };
            Ok(bind_absent(ctx, call.bind(ctx, grid)?, labels, Shape::InPlace))
        }
        VectorKind::Absent { labels, operand } => {
            let labels = SeriesSet::made_unique(vec![absent_labels(labels)]);
            let shape = |account| Shape::Combine(vec![account]);
            Ok(bind_absent(ctx, bind(ctx, operand, grid)?, labels, shape))
        }
        VectorKind::Map { function, args, operand } => {
            bind_map(ctx, *function, args, operand, grid)
        }
        VectorKind::OfScalar { function, scalar: value } => {
            let mut value = scalar(ctx, value, grid)?;
            let mut operands = vec![value.account];
            if let Some(part) = function {
                value.row.map(|seconds| crate::date::date_part(*part, seconds));
                // The reference asks for no argument here.
                operands.clear();
            }
            Ok(of_scalar(ctx, value.row, operands, grid))
        }
        VectorKind::WithScalar(with) => bind_with_scalar(ctx, with, vector.span, grid),
        VectorKind::Binary(binary) => {
            let (lhs, rhs) = (bind(ctx, &binary.lhs, grid)?, bind(ctx, &binary.rhs, grid)?);
            let (op, matching) = (binary.op, &binary.matching);
            Ok(match op {
                BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => {
                    bind_set(ctx, op, matching, lhs, rhs)?
                }
                _ => {
                    let sides = (lhs, rhs);
                    bind_binary(ctx, op, binary.returns_bool, matching, vector.span, sides)?
                }
            })
        }
        VectorKind::Aggregate(aggregate) => bind_aggregate(ctx, aggregate, vector.span, grid),
        VectorKind::Histogram(call) => bind_histogram(ctx, call, grid),
        VectorKind::Info(info) => bind_info(ctx, info, vector.span, grid),
        VectorKind::Relabel { rule, operand } => {
            let operand = bind(ctx, operand, grid)?;
            let series = relabeled(ctx, &operand.series, rule)?;
            let account = ctx.ledger.open(Shape::InPlace(operand.account), *grid);
            Ok(merged(mapped(operand, series, Change::Labels, account), Collision::SameStep))
        }
        VectorKind::Sort { order, operand } => {
            let operand = bind(ctx, operand, grid)?;
            Ok(bind_sort(ctx, order, operand, vector.span))
        }
        VectorKind::Once(inner) => {
            let operand = bind(ctx, inner, &grid.once())?;
            let (series, account) =
                (operand.series.clone(), ctx.ledger.open(Shape::Once(operand.account), *grid));
            let operator = Box::new(Repeat { operand, count: grid.count, account });
            Ok(Bound { series, grid: *grid, account, operator })
        }
    }
}

/// Series of a selector, as stored.
pub(super) fn selected(ctx: &Ctx<'_>, selector: usize) -> SeriesSet {
    SeriesSet::selected(Arc::clone(&ctx.selections[selector]), ctx.metric_names[selector].clone())
}

/// The one metric name that matchers ask for.
pub(super) fn metric_name(matchers: &[Matcher]) -> Option<Arc<str>> {
    let is_name = |matcher: &&Matcher| {
        matcher.name() == METRIC_NAME
            && matcher.op() == MatchOp::Equal
            && !matcher.value().is_empty()
    };
    matchers.iter().find(is_name).map(|matcher| Arc::from(matcher.value()))
}

fn bind_select(
    ctx: &Ctx<'_>,
    selector: usize,
    shift: Shift,
    (what, skips_buckets): (SampleField, bool),
    span: Span,
    grid: &Grid,
) -> Bound {
    let shape = match what {
        SampleField::Value | SampleField::Smoothed => Shape::Select,
        SampleField::Timestamp | SampleField::StartTimestamp => Shape::SelectTimes,
    };
    let account = ctx.ledger.open(shape, *grid);
    let stored = selected(ctx, selector);
    let rows = SelectRows {
        selector,
        selection: Arc::clone(&ctx.selections[selector]),
        grid: *grid,
        shift,
        lookback_delta_ms: ctx.settings.lookback_delta_ms,
        what,
        skips_buckets,
        knows_starts: ctx.settings.uses_start_timestamps,
        span,
        names: stored.clone(),
        account,
    };
    let series = match what {
        SampleField::Value | SampleField::Smoothed => stored,
        SampleField::Timestamp | SampleField::StartTimestamp => stored.dropped(ctx),
    };
    merged(
        Bound { series, grid: *grid, account, operator: Box::new(Ready(rows)) },
        Collision::SameStep,
    )
}

fn bind_range(ctx: &Ctx<'_>, call: &RangeCall, grid: &Grid) -> Result<Bound, QueryError> {
    let args = scalars(ctx, &call.args, grid)?;
    let parts = RangeParts {
        function: call.function,
        source: &call.source,
        source_span: call.source_span,
        first_arg_span: call.first_arg_span,
        args,
    };
    let mut bound = parts.bind(ctx, grid)?;
    // The first and the last sample of a window are still samples of their metric.
    if !matches!(call.function, RangeFunction::First | RangeFunction::Last) {
        bound.series = bound.series.dropped(ctx);
    }
    Ok(merged(bound, Collision::Anywhere))
}

/// A function of a range vector whose arguments are computed.
struct RangeParts<'a> {
    function: RangeFunction,
    source: &'a RangeSource,
    source_span: Span,
    first_arg_span: Span,
    args: Vec<ScalarRow>,
}

/// A function of a subquery, which has to be opened first.
struct OverSubquery {
    operand: Bound,
    rows: Box<dyn FnOnce(Source) -> RangeRows + Send>,
}

impl Operator for OverSubquery {
    fn open(self: Box<Self>, ctx: &Ctx<'_>) -> Result<Box<dyn Rows>, QueryError> {
        let grid = self.operand.grid;
        let rows = self.operand.open(ctx)?.rows;
        Ok(Box::new((self.rows)(Source::Subquery { rows, grid })))
    }
}

impl RangeParts<'_> {
    /// The series are those of the source, names included.
    fn bind(self, ctx: &Ctx<'_>, grid: &Grid) -> Result<Bound, QueryError> {
        let (args, arg_accounts): (Vec<Row>, Vec<AccountId>) =
            self.args.into_iter().map(|arg| (arg.row, arg.account)).unzip();
        let (function, first_arg_span) = (self.function, self.first_arg_span);
        let is_counter = matches!(function, RangeFunction::Rate | RangeFunction::Increase);
        let uses_type = ctx.settings.has_type_and_unit_labels;
        let check = |series: &SeriesSet| {
            let series = series.clone();
            is_counter.then(|| CounterCheck::new(series, self.source_span, uses_type)).flatten()
        };
        match self.source {
            RangeSource::Select { selector, shift, range_ms, extension, skips_buckets } => {
                let shape = Shape::Window { args: arg_accounts, inner: None };
                let account = ctx.ledger.open(shape, *grid);
                let series = selected(ctx, *selector);
                let selection = Arc::clone(&ctx.selections[*selector]);
                let skips_buckets = *skips_buckets;
                let source = Source::Select { selector: *selector, selection, skips_buckets };
                let spec = WindowSpec {
                    grid: *grid,
                    shift: *shift,
                    range_ms: *range_ms,
                    extension_ms: extension_ms(*extension, ctx.settings.lookback_delta_ms),
                };
                let extension = *extension;
                let counter_check = check(&series);
                let names = series.clone();
                let rows = RangeRows {
                    function,
                    extension,
                    source,
                    spec,
                    args,
                    first_arg_span,
                    account,
                    names,
                    counter_check,
                };
                Ok(Bound { series, grid: *grid, account, operator: Box::new(Ready(rows)) })
            }
            RangeSource::Subquery(subquery) => {
                let operand = bind(ctx, &subquery.operand, &subquery.grid(grid)?)?;
                let shape = Shape::Window { args: arg_accounts, inner: Some(operand.account) };
                let account = ctx.ledger.open(shape, *grid);
                let series = operand.series.clone();
                let spec = WindowSpec {
                    grid: *grid,
                    shift: subquery.shift,
                    range_ms: subquery.range_ms,
                    extension_ms: (0, 0),
                };
                let counter_check = check(&series);
                let names = series.clone();
                let rows = Box::new(move |source| RangeRows {
                    function,
                    extension: None,
                    source,
                    spec,
                    args,
                    first_arg_span,
                    account,
                    names,
                    counter_check,
                });
                let operator = Box::new(OverSubquery { operand, rows });
                Ok(Bound { series, grid: *grid, account, operator })
            }
        }
    }
}

fn bind_absent(
    ctx: &Ctx<'_>,
    operand: Bound,
    series: SeriesSet,
    shape: fn(AccountId) -> Shape,
) -> Bound {
    let grid = operand.grid;
    let account = ctx.ledger.open(shape(operand.account), grid);
    Bound { series, grid, account, operator: Box::new(Absent { operand, account }) }
}

fn bind_map(
    ctx: &Ctx<'_>,
    function: MapFunction,
    args: &[Scalar],
    operand: &Vector,
    grid: &Grid,
) -> Result<Bound, QueryError> {
    let operand = bind(ctx, operand, grid)?;
    let args = scalars(ctx, args, grid)?;
    let shape = if function == MapFunction::Negate {
        Shape::InPlace(operand.account)
    } else {
        let accounts = std::iter::once(operand.account).chain(args.iter().map(|arg| arg.account));
        Shape::Combine(accounts.collect())
    };
    let account = ctx.ledger.open(shape, *grid);
    let series = operand.series.dropped(ctx);
    let args = args.into_iter().map(|arg| arg.row).collect();
    let change = Change::Function { function, args };
    Ok(merged(mapped(operand, series, change, account), Collision::SameStep))
}

fn bind_with_scalar(
    ctx: &Ctx<'_>,
    with: &WithScalar,
    span: Span,
    grid: &Grid,
) -> Result<Bound, QueryError> {
    let operand = bind(ctx, &with.vector, grid)?;
    let value = scalar(ctx, &with.scalar, grid)?;
    let mut accounts = vec![operand.account, value.account];
    if with.is_scalar_left {
        accounts.reverse();
    }
    let account = ctx.ledger.open(Shape::Combine(accounts), *grid);
    let series = if changes_meaning(with.op) || with.returns_bool {
        operand.series.dropped(ctx)
    } else {
        operand.series.clone()
    };
    let change = Change::WithScalar {
        op: with.op,
        scalar: value.row,
        is_scalar_left: with.is_scalar_left,
        returns_bool: with.returns_bool,
        span,
    };
    Ok(merged(mapped(operand, series, change, account), Collision::SameStep))
}

fn bind_histogram(ctx: &Ctx<'_>, call: &HistogramCall, grid: &Grid) -> Result<Bound, QueryError> {
    let mut accounts = Vec::new();
    let mut argument = |value: &Scalar| -> Result<Row, QueryError> {
        let value = scalar(ctx, value, grid)?;
        accounts.push(value.account);
        Ok(value.row)
    };
    let mut label = None;
    let question = match &call.function {
        HistogramFunction::Quantile { quantile, span } => {
            Question::Quantiles(vec![(argument(quantile)?, *span)])
        }
        HistogramFunction::Quantiles { label: name, quantiles } => {
            label = Some(name.as_str());
            let quantiles = quantiles.iter().map(|(value, span)| Ok((argument(value)?, *span)));
            Question::Quantiles(quantiles.collect::<Result<_, QueryError>>()?)
        }
        HistogramFunction::Fraction { lower, upper } => {
            Question::Fraction { lower: argument(lower)?, upper: argument(upper)? }
        }
    };
    let operand = bind(ctx, &call.operand, grid)?;
    accounts.push(operand.account);
    let account = ctx.ledger.open(Shape::Combine(accounts), *grid);
    let bound = Histogram::bind(ctx, operand, call.operand.span, question, label, account);
    Ok(merged(bound, Collision::SameStep))
}

fn bind_sort(ctx: &Ctx<'_>, order: &SortOrder, operand: Bound, span: Span) -> Bound {
    let grid = operand.grid;
    let account = ctx.ledger.open(Shape::Combine(vec![operand.account]), grid);
    let series = operand.series.clone();
    if !grid.is_instant {
        ctx.annotate(Annotation::sort_in_range_query(span));
        let by_value = matches!(order, SortOrder::Value { .. });
        return mapped(operand, series, Change::Order { by_value }, account);
    }
    let operator = Box::new(Sort { operand, order: order.clone(), account });
    Bound { series, grid, account, operator }
}

fn mapped(operand: Bound, series: SeriesSet, change: Change, account: AccountId) -> Bound {
    let grid = operand.grid;
    Bound { series, grid, account, operator: Box::new(Map { operand, change, account }) }
}

fn scalars(ctx: &Ctx<'_>, list: &[Scalar], grid: &Grid) -> Result<Vec<ScalarRow>, QueryError> {
    list.iter().map(|value| scalar(ctx, value, grid)).collect()
}

/// One series without labels.
struct OneRow {
    row: Row,
    account: AccountId,
}

impl Rows for OneRow {
    fn read(
        &self,
        _index: usize,
        row: &mut Row,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), QueryError> {
        row.clone_from(&self.row);
        scratch.tally(self.account).points += row.count() as u64;
        scratch.tick(row.count() / 8)
    }
}

fn of_scalar(ctx: &Ctx<'_>, row: Row, operands: Vec<AccountId>, grid: &Grid) -> Bound {
    let account = ctx.ledger.open(Shape::Combine(operands), *grid);
    let series = SeriesSet::made_unique(vec![prom_model::Labels::empty()]);
    let rows = OneRow { row, account };
    Bound { series, grid: *grid, account, operator: Box::new(Ready(rows)) }
}
