//! One query from a request to its answer. While others come first it holds no thread; the wait for a
//! thread is counted as the wait for a slot that it is.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use prom_promql::{Begun, QueryAnswer, QueryError, QueryParams, QueryTimes, WaitingQuery};
use prom_telemetry::clock;

use crate::{context::WebContext, error::ApiError};

/// A waiting query looks this often whether somebody canceled it.
const CANCEL_POLL: Duration = Duration::from_millis(50);

/// Evaluates `query`, which was asked for at `asked`: what it has waited since shortens its time and shows
/// in its statistics.
///
/// # Cancel safety
/// Dropping the future cancels the query, or gives its place in the queue up.
pub(crate) async fn evaluate(
    ctx: &Arc<WebContext>,
    asked: Instant,
    query: &str,
    times: QueryTimes,
    params: QueryParams,
) -> Result<QueryAnswer, ApiError> {
    let (shared, query, cancel) = (Arc::clone(ctx), query.to_owned(), params.cancel.clone());
    let begin = move || {
        let (engine, store) = (&shared.parts.engine, &*shared.parts.storage);
        let waited = clock::monotonic().saturating_duration_since(asked);
        let timeout = params.timeout.unwrap_or(engine.options().timeout);
        let timeout = Some(timeout.saturating_sub(waited));
        (waited, engine.begin(store, &query, times, QueryParams { timeout, ..params }))
    };
    let (waited, begun) = ctx.pool.run(cancel.clone(), begin).await?;
    let mut waiting = match begun {
        Begun::Done(result) => return Ok(with_wait(*result, waited)?),
        Begun::Waiting(waiting) => waiting,
    };
    turn(&mut waiting).await?;
    let shared = Arc::clone(ctx);
    let finish = move || shared.parts.engine.finish(&*shared.parts.storage, *waiting);
    Ok(with_wait(ctx.pool.run(cancel, finish).await?, waited)?)
}

/// Waits without a thread until the turn has come.
async fn turn(waiting: &mut WaitingQuery) -> Result<(), QueryError> {
    loop {
        let turn = std::future::poll_fn(|ctx| waiting.poll_turn(ctx));
        if tokio::time::timeout(CANCEL_POLL, turn).await.is_ok() {
            return Ok(());
        }
        waiting.check()?;
    }
}

fn with_wait(
    result: Result<QueryAnswer, QueryError>,
    waited: Duration,
) -> Result<QueryAnswer, QueryError> {
    result.map(|mut answer| {
        answer.stats.timings.exec_queue += waited;
        answer
    })
}
