//! The door: a query text in, an answer out.
//! How a query is planned stands in `plan`, how it is computed in `exec`.

mod admission;
mod metrics;

use std::{fmt, sync::Arc, time::Duration};

use prom_storage::Queryable;
use prom_telemetry::Registry;

use crate::{CancelToken, QueryError, QueryStats, Value};

use self::{admission::Admission, metrics::EngineMetrics};

/// Default of `query.lookback-delta`: 5 minutes.
pub const DEFAULT_LOOKBACK_DELTA_MS: i64 = 300_000;
/// Default of `query.max-samples`.
pub const DEFAULT_SAMPLES_COUNT_MAX: u64 = 50_000_000;
/// Default of `query.max-concurrency`.
pub const DEFAULT_CONCURRENCY_MAX: usize = 20;
/// Default of `query.timeout`.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);
/// Default of the bytes that one query may hold in values.
pub const DEFAULT_BYTES_MAX: u64 = 1 << 30;

/// The step of a subquery that names none, in milliseconds, from its range in milliseconds.
pub type SubqueryStep = Arc<dyn Fn(i64) -> i64 + Send + Sync>;

/// Settings of an engine; they hold for its life.
#[derive(Clone)]
#[non_exhaustive]
pub struct EngineOptions {
    /// How far back an instant selector looks for a sample.
    pub lookback_delta_ms: i64,
    /// Time a query may take, waiting for its slot included.
    pub timeout: Duration,
    /// Samples that one query may hold, counted as the reference counts.
    pub samples_count_max: u64,
    /// Bytes that the values of one query may take.
    pub bytes_max: u64,
    /// Queries evaluated at once; the others wait. 0: no limit.
    pub concurrency_max: usize,
    /// Threads that one large query may use; 0: one for each core.
    pub threads_count_max: usize,
    pub subquery_step: SubqueryStep,
    /// Feature `promql-delayed-name-removal`.
    pub is_name_removal_delayed: bool,
    /// Feature `type-and-unit-labels`.
    pub has_type_and_unit_labels: bool,
    /// Feature `promql-per-step-stats`.
    pub has_per_step_stats: bool,
}

/// What holds for one query only.
#[derive(Clone, Debug, Default)]
pub struct QueryParams {
    /// Shortens the engine's timeout.
    pub timeout: Option<Duration>,
    /// Replaces the engine's lookback delta.
    pub lookback_delta_ms: Option<i64>,
    /// Whether to count samples by step, where the engine may.
    pub wants_per_step_stats: bool,
    pub class: QueryClass,
    pub cancel: CancelToken,
}

/// Who asks; decides which query waits for which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QueryClass {
    Rules,
    #[default]
    Api,
    Pages,
}

/// An instant query.
#[derive(Clone, Debug, Default)]
pub struct InstantParams {
    pub time_ms: i64,
    pub query: QueryParams,
}

/// A range query; both ends are inclusive.
#[derive(Clone, Debug, Default)]
pub struct RangeParams {
    pub start_ms: i64,
    pub end_ms: i64,
    pub step_ms: i64,
    pub query: QueryParams,
}

/// What a query gave.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct QueryAnswer {
    pub value: Value,
    /// Texts with their position in the query, without duplicates; see [`crate::limit_annotations`].
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
    pub stats: QueryStats,
}

/// Evaluates queries. Cheap to share by reference; any thread may call it.
pub struct Engine {
    options: EngineOptions,
    metrics: EngineMetrics,
    admission: Admission,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            lookback_delta_ms: DEFAULT_LOOKBACK_DELTA_MS,
            timeout: DEFAULT_TIMEOUT,
            samples_count_max: DEFAULT_SAMPLES_COUNT_MAX,
            bytes_max: DEFAULT_BYTES_MAX,
            concurrency_max: DEFAULT_CONCURRENCY_MAX,
            threads_count_max: 0,
            subquery_step: Arc::new(|_| 60_000),
            is_name_removal_delayed: false,
            has_type_and_unit_labels: false,
            has_per_step_stats: false,
        }
    }
}

impl fmt::Debug for EngineOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineOptions").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine whose metrics appear in `registry`.
    pub fn new(options: EngineOptions, registry: &Registry) -> Self {
        let metrics = EngineMetrics::new(registry, options.concurrency_max);
        let admission = Admission::new(options.concurrency_max);
        Self { options, metrics, admission }
    }

    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Evaluates `query` at one instant. Blocks: call it from a thread that may wait.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub fn instant(
        &self,
        _store: &dyn Queryable,
        _query: &str,
        _params: InstantParams,
    ) -> Result<QueryAnswer, QueryError> {
        Err(QueryError::Evaluation("no evaluator in this build".to_owned()))
    }

    /// Evaluates `query` at each step of a range. Blocks: call it from a thread that may wait.
    ///
    /// # Errors
    /// See [`QueryError`]; the query must be a scalar or an instant vector.
    pub fn range(
        &self,
        _store: &dyn Queryable,
        _query: &str,
        _params: RangeParams,
    ) -> Result<QueryAnswer, QueryError> {
        Err(QueryError::Evaluation("no evaluator in this build".to_owned()))
    }
}
