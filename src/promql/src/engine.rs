//! The door: a query text in, an answer out.
//! How a query is planned stands in `plan`, how it is computed in `exec`.

mod active;
mod admission;
mod job;
mod metrics;
mod question;
mod stack;

use std::{
    fmt, io,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use prom_storage::Queryable;
use prom_telemetry::Registry;

use crate::{
    CancelToken, QueryError, QueryStats, Value,
    exec::{Budget, Held, OperatorProfile, QueryEstimate},
    syntax::{Expr, ParseOptions, pretty_while},
    watch::{IN_PREPARATION, Watch},
};

pub use self::{
    active::{ActiveQuery, FinishedQuery, QueryId},
    question::{Begun, PreparedQuery, WaitingQuery},
};

use self::{
    active::ActiveQueries, admission::Admission, job::parse_within, metrics::EngineMetrics,
};

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
/// Default of the bytes that all queries together may hold in values.
pub const DEFAULT_TOTAL_BYTES_MAX: u64 = 4 << 30;

/// Share of the bytes of all queries that others leave to rules, in percent of what they may use.
const SHARE_PERCENT: u64 = 75;

/// Stack of a thread that evaluates parts of large queries.
const THREAD_STACK_SIZE_BYTES: usize = 16 << 20;

/// The step of a subquery that names none, in milliseconds, from its range in milliseconds.
pub type SubqueryStep = Arc<dyn Fn(i64) -> i64 + Send + Sync>;

/// Writes down a query that ended.
pub type QueryLog = Arc<dyn Fn(&FinishedQuery) -> io::Result<()> + Send + Sync>;

/// Keeps note of the queries that are being evaluated where a crash of this process leaves it.
pub trait QueryJournal: Send + Sync {
    /// Notes a query; nothing where there is no room for it.
    fn began(&self, query: &str) -> Option<usize>;

    /// Takes the note away.
    fn ended(&self, slot: usize);
}

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
    /// Bytes that the values of all queries together may take; a quarter is kept for rules.
    pub total_bytes_max: u64,
    /// Queries evaluated at once; the others wait. 0: no limit.
    pub concurrency_max: usize,
    /// Threads that one large query may use; 0: one for each core.
    pub threads_count_max: usize,
    pub subquery_step: SubqueryStep,
    /// Which experimental parts of the language are on.
    pub parse: ParseOptions,
    /// Feature `promql-delayed-name-removal`.
    pub is_name_removal_delayed: bool,
    /// Feature `type-and-unit-labels`.
    pub has_type_and_unit_labels: bool,
    /// Feature `promql-per-step-stats`.
    pub has_per_step_stats: bool,
    pub journal: Option<Arc<dyn QueryJournal>>,
    /// Feature `use-start-timestamps`.
    pub uses_start_timestamps: bool,
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
    /// Whether to measure each operator.
    pub wants_profile: bool,
    pub class: QueryClass,
    pub origin: QueryOrigin,
    pub cancel: CancelToken,
}

/// Who asks; decides which query waits for which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QueryClass {
    Rules,
    #[default]
    Api,
    Pages,
    RemoteRead,
}

/// Where a query comes from. Queries of one client wait for each other before those of others do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum QueryOrigin {
    #[default]
    Unknown,
    Http {
        client_ip: String,
        method: String,
        path: String,
    },
    RuleGroup {
        file: String,
        name: String,
    },
}

/// The instants that a query is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryTimes {
    Instant {
        time_ms: i64,
    },
    /// Both ends are inclusive.
    Range {
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    },
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
#[derive(Debug, PartialEq)]
#[non_exhaustive]
pub struct QueryAnswer {
    pub value: Value,
    /// Texts with their position in the query, without duplicates; see [`crate::limit_annotations`].
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
    pub stats: QueryStats,
    pub estimate: QueryEstimate,
    /// What each operator did, where that was asked for; scalars that are computed first come first.
    pub profile: Option<Vec<OperatorProfile>>,
    /// Counts the value as memory of queries until the answer is dropped.
    pub held: AnswerMemory,
}

/// Bytes that an answer takes. Two answers are equal whatever they take.
#[derive(Debug)]
pub struct AnswerMemory(
    #[expect(dead_code, reason = "dropping it gives the bytes back")] Option<Held>,
);

impl PartialEq for AnswerMemory {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

/// Evaluates queries. Cheap to share by reference; any thread may call it.
pub struct Engine {
    options: EngineOptions,
    metrics: EngineMetrics,
    admission: Admission,
    active: Arc<ActiveQueries>,
    budget: Arc<Budget>,
    log: RwLock<Option<QueryLog>>,
    cores: usize,
    /// Started with the first query that is worth several threads.
    threads: OnceLock<Option<rayon::ThreadPool>>,
}

impl QueryTimes {
    /// The first and the last instant.
    pub fn bounds_ms(self) -> (i64, i64) {
        match self {
            Self::Instant { time_ms } => (time_ms, time_ms),
            Self::Range { start_ms, end_ms, .. } => (start_ms, end_ms),
        }
    }

    /// 0 for an instant query.
    pub fn step_ms(self) -> i64 {
        match self {
            Self::Instant { .. } => 0,
            Self::Range { step_ms, .. } => step_ms,
        }
    }
}

impl QueryOrigin {
    /// Whose turn it is when several wait.
    fn client(&self) -> &str {
        match self {
            Self::Unknown => "",
            Self::Http { client_ip, .. } => client_ip,
            Self::RuleGroup { name, .. } => name,
        }
    }
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            lookback_delta_ms: DEFAULT_LOOKBACK_DELTA_MS,
            timeout: DEFAULT_TIMEOUT,
            samples_count_max: DEFAULT_SAMPLES_COUNT_MAX,
            bytes_max: DEFAULT_BYTES_MAX,
            total_bytes_max: DEFAULT_TOTAL_BYTES_MAX,
            concurrency_max: DEFAULT_CONCURRENCY_MAX,
            threads_count_max: 0,
            subquery_step: Arc::new(|_| 60_000),
            parse: ParseOptions::default(),
            is_name_removal_delayed: false,
            has_type_and_unit_labels: false,
            has_per_step_stats: false,
            journal: None,
            uses_start_timestamps: false,
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
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            metrics: EngineMetrics::new(registry, options.concurrency_max),
            admission: Admission::new(options.concurrency_max, cores),
            active: Arc::default(),
            budget: Budget::new(options.total_bytes_max),
            log: RwLock::new(None),
            cores,
            threads: OnceLock::new(),
            options,
        }
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
        store: &dyn Queryable,
        query: &str,
        params: InstantParams,
    ) -> Result<QueryAnswer, QueryError> {
        let InstantParams { time_ms, query: params } = params;
        self.evaluate(store, query, QueryTimes::Instant { time_ms }, params)
    }

    /// Evaluates `query` at each step of a range. Blocks: call it from a thread that may wait.
    ///
    /// # Errors
    /// See [`QueryError`]; the query must be a scalar or an instant vector.
    pub fn range(
        &self,
        store: &dyn Queryable,
        query: &str,
        params: RangeParams,
    ) -> Result<QueryAnswer, QueryError> {
        let RangeParams { start_ms, end_ms, step_ms, query: params } = params;
        self.evaluate(store, query, QueryTimes::Range { start_ms, end_ms, step_ms }, params)
    }

    /// Evaluates `query` and blocks as long as that takes.
    fn evaluate(
        &self,
        store: &dyn Queryable,
        query: &str,
        times: QueryTimes,
        params: QueryParams,
    ) -> Result<QueryAnswer, QueryError> {
        match self.begin(store, query, times, params) {
            Begun::Done(result) => *result,
            Begun::Waiting(waiting) => self.finish(store, *waiting),
        }
    }

    /// Queries that run or wait, the oldest first.
    pub fn active(&self) -> Vec<ActiveQuery> {
        self.active.list()
    }

    /// Queries that took long, the newest first.
    pub fn slow(&self) -> Vec<FinishedQuery> {
        self.active.slow()
    }

    /// Asks a query to stop; whether there was such a query.
    pub fn cancel(&self, id: QueryId) -> bool {
        self.active.cancel(id)
    }

    /// Says where queries that end are written down, from now on.
    pub fn set_query_log(&self, log: Option<QueryLog>) {
        self.metrics.log_enabled.set(if log.is_some() { 1.0 } else { 0.0 });
        *self.log.write().unwrap_or_else(PoisonError::into_inner) = log;
    }

    /// Bytes that the values of all queries take now, answers that are being sent included.
    pub fn used_bytes(&self) -> u64 {
        self.budget.used_bytes()
    }

    /// Parses `query` as the engine would, within the limits of `params`.
    ///
    /// # Errors
    /// The text is no query, or the time is over.
    pub fn parse(&self, query: &str, params: &QueryParams) -> Result<Expr, QueryError> {
        let watch = self.watch(params);
        parse_within(query, &self.options.parse, &watch)
    }

    /// Parses `query` and prints it over as many lines as it needs.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn format(&self, query: &str, params: &QueryParams) -> Result<String, QueryError> {
        let watch = self.watch(params);
        let expr = parse_within(query, &self.options.parse, &watch)?;
        pretty_while(&expr, &|| watch.check(IN_PREPARATION).is_ok())
            .map_or_else(|| Err(watch.stopped(IN_PREPARATION)), Ok)
    }

    fn watch(&self, params: &QueryParams) -> Watch {
        let timeout = params.timeout.unwrap_or(self.options.timeout).min(self.options.timeout);
        Watch::new(params.cancel.clone(), timeout)
    }

    /// Threads for a large query; none while as many queries run as there are cores.
    fn threads(&self) -> Option<&rayon::ThreadPool> {
        let count = match self.options.threads_count_max {
            0 => self.cores,
            count => count,
        };
        if count < 2 || self.admission.running_count() > count {
            return None;
        }
        let pool = self.threads.get_or_init(|| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(count)
                .thread_name(|index| format!("promql-{index}"))
                .stack_size(THREAD_STACK_SIZE_BYTES);
            pool.build().ok()
        });
        pool.as_ref()
    }
}
