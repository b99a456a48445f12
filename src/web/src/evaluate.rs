//! One query on a thread of the pool, its wait for the thread counted as the wait for a slot that it is.

use std::time::Instant;

use prom_promql::{Engine, QueryAnswer, QueryError, QueryParams};
use prom_telemetry::clock;

/// Runs a query that was asked for at `asked`: what it has waited shortens its time and shows in its
/// statistics.
pub(crate) fn evaluate(
    engine: &Engine,
    asked: Instant,
    mut query: QueryParams,
    run: impl FnOnce(QueryParams) -> Result<QueryAnswer, QueryError>,
) -> Result<QueryAnswer, QueryError> {
    let waited = clock::monotonic().saturating_duration_since(asked);
    let timeout = query.timeout.unwrap_or(engine.options().timeout);
    query.timeout = Some(timeout.saturating_sub(waited));
    let mut answer = run(query)?;
    answer.stats.timings.exec_queue += waited;
    answer.stats.timings.exec_total += waited;
    Ok(answer)
}
