//! One query on its way through parser, planner and evaluator.

use std::{sync::Arc, time::Duration};

use prom_storage::Queryable;
use prom_telemetry::clock;

use super::{
    Engine, QueryParams, QueryTimes,
    stack::{height, with_room},
};
use crate::{
    QueryError, Value,
    exec::{Memory, QueryEstimate, Report, Run, Selected, Settings, run, select},
    plan::{Grid, LowerSettings, Plan, lower},
    stats::{QuerySamples, SamplesPerStep},
    syntax::{Expr, ExprKind, ParseOptions, ValueType, parse_while},
    watch::{IN_EXECUTION, IN_PREPARATION, Watch},
};

/// What is asked, and within which limits.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) query: Arc<str>,
    pub(super) times: QueryTimes,
    pub(super) params: QueryParams,
    pub(super) watch: Watch,
    pub(super) memory: Arc<Memory>,
}

/// A query whose plan is made and whose cost is known.
pub(super) struct Prepared {
    plan: Plan,
    grid: Grid,
    settings: Settings,
    /// How high the expression is: how much room it takes to walk it.
    height: usize,
    pub(super) estimate: QueryEstimate,
    /// Series of its selectors; given up while it waits, as they hold parts of the store.
    pub(super) selected: Option<Selected>,
    preparation: Duration,
}

impl Job {
    /// Parses, plans and selects series as long as `watch` lets it, but reads nothing.
    pub(super) fn prepare(
        &self,
        engine: &Engine,
        store: &dyn Queryable,
        watch: &Watch,
    ) -> Result<Prepared, QueryError> {
        if matches!(self.times, QueryTimes::Range { step_ms, .. } if step_ms <= 0) {
            return Err(QueryError::Invalid("step must be greater than 0".to_owned()));
        }
        let expr = parse_within(&self.query, &engine.options.parse, watch)?;
        watch.check(IN_EXECUTION)?;
        if matches!(self.times, QueryTimes::Range { .. }) {
            check_range_type(&expr)?;
        }
        let height = height(&expr);
        let grid = self.grid()?;
        let settings = self.settings(engine);
        let plan = in_room(height, || self.lower(engine, &expr, &grid, &settings))?;
        watch.check(IN_EXECUTION)?;
        let started = clock::monotonic();
        let selected = select(&plan, store, watch)?;
        let estimate = QueryEstimate::of(&plan, &selected.selections, &self.query);
        let preparation = clock::monotonic() - started;
        let selected = Some(selected);
        Ok(Prepared { plan, grid, settings, height, estimate, selected, preparation })
    }

    pub(super) fn execute(
        &self,
        engine: &Engine,
        store: &dyn Queryable,
        prepared: Prepared,
        report: &mut Report,
    ) -> Result<Value, QueryError> {
        let Prepared { plan, grid, settings, height, estimate, selected, preparation } = prepared;
        report.preparation = preparation;
        if !estimate.heaviest.is_empty() {
            self.memory.blame(estimate.heaviest);
        }
        let selected = match selected {
            Some(selected) => selected,
            None => select(&plan, store, &self.watch)?,
        };
        let run_of_query = Run {
            plan: &plan,
            grid,
            is_range: matches!(self.times, QueryTimes::Range { .. }),
            query: &self.query,
            settings: &settings,
            watch: &self.watch,
            threads: engine.threads(),
            memory: Arc::clone(&self.memory),
        };
        let value = in_room(height, || run(&run_of_query, selected, report));
        value.map_err(|err| match err {
            QueryError::TooManySamples { .. } => {
                QueryError::TooManySamples { selector: self.memory.blamed() }
            }
            err => err,
        })
    }

    /// What the reference would have counted.
    pub(super) fn samples_of(&self, report: &Report) -> QuerySamples {
        let by_step = &report.totals.by_step;
        let per_step = (!by_step.is_empty()).then(|| SamplesPerStep {
            start_ms: self.times.bounds_ms().0,
            step_ms: self.times.step_ms().max(1),
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

    fn settings(&self, engine: &Engine) -> Settings {
        let options = &engine.options;
        let lookback_delta_ms =
            self.params.lookback_delta_ms.filter(|lookback_ms| *lookback_ms > 0);
        Settings {
            lookback_delta_ms: lookback_delta_ms.unwrap_or(options.lookback_delta_ms),
            samples_count_max: options.samples_count_max,
            is_name_removal_delayed: options.is_name_removal_delayed,
            has_type_and_unit_labels: options.has_type_and_unit_labels,
            uses_start_timestamps: options.uses_start_timestamps,
            wants_per_step_stats: options.has_per_step_stats && self.params.wants_per_step_stats,
            wants_profile: self.params.wants_profile,
        }
    }

    fn lower(
        &self,
        engine: &Engine,
        expr: &Expr,
        grid: &Grid,
        settings: &Settings,
    ) -> Result<Plan, QueryError> {
        let (start_ms, end_ms) = self.times.bounds_ms();
        let lower_settings = LowerSettings {
            query: &self.query,
            start_ms,
            end_ms,
            step_ms: self.times.step_ms(),
            lookback_delta_ms: settings.lookback_delta_ms,
            subquery_step: &engine.options.subquery_step,
        };
        lower(expr, grid, &lower_settings)
    }

    fn grid(&self) -> Result<Grid, QueryError> {
        match self.times {
            QueryTimes::Instant { time_ms } => Ok(Grid::instant(time_ms)),
            QueryTimes::Range { start_ms, end_ms, step_ms } => {
                Grid::range(start_ms, end_ms, step_ms)
            }
        }
    }
}

/// Runs `f` where there is room for an expression of this height.
fn in_room<T: Send>(
    height: usize,
    f: impl FnOnce() -> Result<T, QueryError> + Send,
) -> Result<T, QueryError> {
    with_room(height, f).unwrap_or_else(|err| {
        Err(QueryError::Evaluation(format!("no thread for so deep an expression: {err}")))
    })
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
