//! One query from a request to its answer. While others come first it holds no thread; the wait for a
//! thread is counted as the wait for a slot that it is. A light query is answered where it was asked: two
//! changes of threads would take longer than the query.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use prom_promql::{
    Begun, PreparedQuery, QueryAnswer, QueryError, QueryParams, QueryTimes, WaitingQuery,
};
use prom_telemetry::clock;

use crate::{context::WebContext, error::ApiError};

/// A waiting query looks this often whether somebody canceled it.
const CANCEL_POLL: Duration = Duration::from_millis(50);

/// Longer texts are not even looked at where they were asked.
const LIGHT_TEXT_SIZE_BYTES_MAX: usize = 2048;

/// How far a query came.
enum Stage {
    /// Nothing was done where it was asked, or not enough.
    Asked,
    /// It is not light.
    Prepared(Box<PreparedQuery>),
    Begun(Begun),
}

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
    let (cancel, pool) = (params.cancel.clone(), ctx.pool_of(params.class));
    let place = (query.len() <= LIGHT_TEXT_SIZE_BYTES_MAX).then(|| pool.place()).flatten();
    let stage = match place {
        Some(place) => place.run(|| begin_here(ctx, query, times, &params))?,
        None => Stage::Asked,
    };
    let (shared, mut waited) = (Arc::clone(ctx), Duration::ZERO);
    let begun = match stage {
        Stage::Begun(begun) => begun,
        Stage::Prepared(prepared) => {
            let begin =
                move || shared.parts.engine.begin_prepared(&*shared.parts.storage, *prepared);
            pool.run(cancel.clone(), begin).await?
        }
        Stage::Asked => {
            let query = query.to_owned();
            let begin = move || {
                let (engine, store) = (&shared.parts.engine, &*shared.parts.storage);
                let waited = clock::monotonic().saturating_duration_since(asked);
                let timeout = params.timeout.unwrap_or(engine.options().timeout);
                let timeout = Some(timeout.saturating_sub(waited));
                let params = QueryParams { timeout, ..params };
                (waited, engine.begin(store, &query, times, params))
            };
            let begun;
            (waited, begun) = pool.run(cancel.clone(), begin).await?;
            begun
        }
    };
    let mut waiting = match begun {
        Begun::Done(result) => return Ok(with_wait(*result, waited)?),
        Begun::Waiting(waiting) => waiting,
    };
    turn(&mut waiting).await?;
    let shared = Arc::clone(ctx);
    let finish = move || shared.parts.engine.finish(&*shared.parts.storage, *waiting);
    Ok(with_wait(pool.run(cancel, finish).await?, waited)?)
}

/// As far as a query comes where it was asked: to its answer if it is light.
fn begin_here(ctx: &WebContext, query: &str, times: QueryTimes, params: &QueryParams) -> Stage {
    let (engine, store) = (&ctx.parts.engine, &*ctx.parts.storage);
    match engine.prepare_at_once(store, query, times, params.clone()) {
        None => Stage::Asked,
        Some(Err(error)) => Stage::Begun(Begun::Done(Box::new(Err(error)))),
        Some(Ok(prepared)) if prepared.is_light() => {
            Stage::Begun(engine.begin_prepared(store, prepared))
        }
        Some(Ok(prepared)) => Stage::Prepared(Box::new(prepared)),
    }
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
