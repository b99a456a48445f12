//! One query on its way through parser, planner and evaluator.

use std::sync::Arc;

use prom_storage::Queryable;

use super::{Engine, QueryParams, stack::with_room};
use crate::{
    QueryError, Value,
    exec::{Memory, Report, Run, Settings, run},
    plan::{Grid, LowerSettings, lower},
    stats::{QuerySamples, SamplesPerStep},
    syntax::{Expr, ExprKind, ParseOptions, ValueType, parse_while},
    watch::{IN_PREPARATION, Watch},
};

/// What is asked, of whom, and within which limits.
pub(super) struct Job<'a> {
    pub(super) store: &'a dyn Queryable,
    pub(super) query: &'a str,
    pub(super) span: &'a QuerySpan,
    pub(super) params: &'a QueryParams,
    pub(super) watch: &'a Watch,
    pub(super) memory: &'a Arc<Memory>,
}

/// The instants of a query.
pub(super) struct QuerySpan {
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    /// 0 for an instant query.
    pub(super) step_ms: i64,
    pub(super) is_range: bool,
}

impl Job<'_> {
    pub(super) fn run(&self, engine: &Engine, report: &mut Report) -> Result<Value, QueryError> {
        let expr = parse_within(self.query, &engine.options.parse, self.watch)?;
        self.watch.check(IN_PREPARATION)?;
        if self.span.is_range {
            check_range_type(&expr)?;
        }
        with_room(&expr, || self.evaluate(engine, &expr, report)).unwrap_or_else(|err| {
            Err(QueryError::Evaluation(format!("no thread for so deep an expression: {err}")))
        })
    }

    fn evaluate(
        &self,
        engine: &Engine,
        expr: &Expr,
        report: &mut Report,
    ) -> Result<Value, QueryError> {
        let options = &engine.options;
        let lookback_delta_ms = self
            .params
            .lookback_delta_ms
            .filter(|lookback_ms| *lookback_ms > 0)
            .unwrap_or(options.lookback_delta_ms);
        let settings = Settings {
            lookback_delta_ms,
            samples_count_max: options.samples_count_max,
            is_name_removal_delayed: options.is_name_removal_delayed,
            has_type_and_unit_labels: options.has_type_and_unit_labels,
            wants_per_step_stats: options.has_per_step_stats && self.params.wants_per_step_stats,
        };
        let grid = self.span.grid()?;
        let lower_settings = LowerSettings {
            query: self.query,
            start_ms: self.span.start_ms,
            end_ms: self.span.end_ms,
            step_ms: self.span.step_ms,
            lookback_delta_ms,
            subquery_step: &options.subquery_step,
        };
        let plan = lower(expr, &grid, &lower_settings)?;
        self.watch.check(IN_PREPARATION)?;
        let run_of_query = Run {
            plan: &plan,
            grid,
            is_range: self.span.is_range,
            query: self.query,
            settings: &settings,
            watch: self.watch,
            threads: engine.threads(),
            memory: Arc::clone(self.memory),
        };
        run(&run_of_query, self.store, report)
    }
}

/// Parses as long as there is time.
pub(super) fn parse_within(
    query: &str,
    options: &ParseOptions,
    watch: &Watch,
) -> Result<Expr, QueryError> {
    let parsed = parse_while(query, options, &|| watch.check(IN_PREPARATION).is_ok());
    parsed.map_err(|errors| match errors {
        Some(errors) => QueryError::Parse(errors),
        None => watch.stopped(IN_PREPARATION),
    })
}

impl QuerySpan {
    /// What the reference would have counted.
    pub(super) fn samples_of(&self, report: &Report) -> QuerySamples {
        let by_step = &report.totals.by_step;
        let per_step = (!by_step.is_empty()).then(|| SamplesPerStep {
            start_ms: self.start_ms,
            step_ms: self.step_ms.max(1),
            total_queryable: by_step.iter().map(|(queryable, _)| *queryable).collect(),
            read: by_step.iter().map(|(_, read)| *read).collect(),
        });
        QuerySamples {
            total_queryable: report.totals.queryable,
            read: report.totals.read,
            peak: report.peak_samples,
            per_step,
        }
    }

    fn grid(&self) -> Result<Grid, QueryError> {
        if self.is_range {
            Grid::range(self.start_ms, self.end_ms, self.step_ms)
        } else {
            Ok(Grid::instant(self.start_ms))
        }
    }
}

/// Compat: Prometheus `promql/engine.go`, `NewRangeQuery`.
fn check_range_type(expr: &Expr) -> Result<(), QueryError> {
    let name = match value_type(expr) {
        ValueType::Scalar | ValueType::Vector => return Ok(()),
        ValueType::Matrix => "range vector",
        ValueType::String => "string",
        ValueType::None => "none",
    };
    Err(QueryError::Invalid(format!(
        "invalid expression type \"{name}\" for range query, must be Scalar or instant Vector"
    )))
}

/// What the expression evaluates to.
fn value_type(expr: &Expr) -> ValueType {
    match &expr.kind {
        ExprKind::Number { .. } => ValueType::Scalar,
        ExprKind::String(_) => ValueType::String,
        ExprKind::Vector(_) | ExprKind::Aggregate(_) => ValueType::Vector,
        ExprKind::Matrix(_) | ExprKind::Subquery(_) => ValueType::Matrix,
        ExprKind::Paren(inner) => value_type(inner),
        ExprKind::Unary { operand, .. } => value_type(operand),
        ExprKind::Binary(binary) => match (value_type(&binary.lhs), value_type(&binary.rhs)) {
            (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
            _ => ValueType::Vector,
        },
        ExprKind::Call(call) => call.function.return_type,
    }
}
