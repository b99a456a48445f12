//! PromQL: syntax, planner, operators, functions, limits; over the `storage` traits only.

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
    DEFAULT_BYTES_MAX, DEFAULT_CONCURRENCY_MAX, DEFAULT_LOOKBACK_DELTA_MS,
    DEFAULT_SAMPLES_COUNT_MAX, DEFAULT_TIMEOUT, Engine, EngineOptions, InstantParams, QueryAnswer,
    QueryClass, QueryParams, RangeParams, SubqueryStep,
};
pub use error::{QueryError, QueryErrorKind};
pub use functions::{Function, function, functions};
pub use stats::{QuerySamples, QueryStats, QueryTimings, SamplesPerStep};
pub use syntax::*;
pub use value::{Series, StringSample, Value, VectorSample};
pub use watch::CancelToken;
