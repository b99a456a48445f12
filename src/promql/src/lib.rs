//! PromQL: text to tree, tree to plan, plan to answer; within limits of samples, bytes and time.
//!
//! Neighbours: `storage` gives series through its traits and is all that is known of a store; `web` turns
//! answers and errors into HTTP; `model` has labels, matchers and numbers.
//!
//! A query goes through `syntax` (parse and check types), `plan` (resolve times, durations and selectors),
//! and `exec` (bind to series, open, read rows). [`Engine`] leads it through, counts it and stops it.
//!
//! Invariants:
//! I1. Answers equal those of the reference: labels, times, order of sorted results, warnings, and every
//!     value bit by bit, library functions such as `sin` aside, which may differ in the last place.
//! I2. Two series are in each other's way only at steps where both are present.
//! I3. Float operations happen in the order of the series, whatever the number of threads.
//! I4. Memory for values is counted before it is allocated; a query over its limit ends with an error.
//! I5. Row loops touch no label, no map and no lock.
//! I6. What is not evaluated is an error that names it and its place, never another answer.
//!
//! Concurrency: an [`Engine`] is shared by reference. Its calls block; they are for threads that may wait.
//! Large queries use threads of the engine's own, small ones and those of a busy engine only the caller's.
//!
//! Limits: [`EngineOptions`]; and [`QUERY_SIZE_BYTES_MAX`], [`TREE_HEIGHT_MAX`], [`NODE_COUNT_MAX`].

mod annotation;
mod date;
mod engine;
mod error;
mod exec;
mod functions;
mod numeric;
mod plan;
mod stats;
mod syntax;
mod value;
mod watch;

pub use annotation::limit_annotations;
pub use engine::{
    ActiveQuery, AnswerMemory, Begun, DEFAULT_BYTES_MAX, DEFAULT_CONCURRENCY_MAX,
    DEFAULT_LOOKBACK_DELTA_MS, DEFAULT_SAMPLES_COUNT_MAX, DEFAULT_TIMEOUT, DEFAULT_TOTAL_BYTES_MAX,
    Engine, EngineOptions, FinishedQuery, InstantParams, PreparedQuery, QueryAnswer, QueryClass,
    QueryId, QueryJournal, QueryLog, QueryOrigin, QueryParams, QueryTimes, RangeParams,
    SubqueryStep, WaitingQuery,
};
pub use error::{QueryError, QueryErrorKind};
pub use exec::{OperatorProfile, QueryEstimate};
pub use functions::{Function, function, functions};
pub use stats::{QuerySamples, QueryStats, QueryTimings, SamplesPerStep};
pub use syntax::*;
pub use value::{HistogramSample, Series, StringSample, Value, VectorSample};
pub use watch::CancelToken;
