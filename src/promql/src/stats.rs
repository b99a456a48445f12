//! What a query cost: the figures behind the API's `stats=all`.
//! Compat: Prometheus `util/stats/query_stats.go`.

use std::time::Duration;

/// Costs of one query.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct QueryStats {
    pub timings: QueryTimings,
    pub samples: QuerySamples,
    /// Largest memory held by values at once, in bytes.
    pub peak_bytes: u64,
}

/// Where the time went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueryTimings {
    /// All of the evaluation: preparation, evaluation, sorting.
    pub eval_total: Duration,
    pub result_sort: Duration,
    /// Resolving selectors to series.
    pub query_preparation: Duration,
    pub inner_eval: Duration,
    /// Waiting for a free slot.
    pub exec_queue: Duration,
    /// All of the execution, the waiting included.
    pub exec_total: Duration,
}

/// Samples as the reference counts them.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct QuerySamples {
    /// Samples looked at; each step counts its whole window.
    pub total_queryable: u64,
    /// Samples read from storage; a step counts what the step before did not see.
    pub read: u64,
    /// The most the reference's evaluator would hold at once.
    pub peak: u64,
    /// Counts by step, where they were asked for and are enabled.
    pub per_step: Option<SamplesPerStep>,
}

/// Counts by step of the query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SamplesPerStep {
    pub start_ms: i64,
    pub step_ms: i64,
    pub total_queryable: Vec<u64>,
    pub read: Vec<u64>,
}
