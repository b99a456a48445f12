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
    Begun(Begun),
    /// It is not light.
    Prepared(Box<PreparedQuery>),
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
    let place = (query.len() <= LIGHT_TEXT_SIZE_BYTES_MAX).then(|| ctx.pool.place()).flatten();
    let (shared, query, cancel) = (Arc::clone(ctx), query.to_owned(), params.cancel.clone());
    let begin = move |is_in_place: bool| {
        let (engine, store) = (&shared.parts.engine, &*shared.parts.storage);
        let waited = clock::monotonic().saturating_duration_since(asked);
        let timeout = params.timeout.unwrap_or(engine.options().timeout);
        let timeout = Some(timeout.saturating_sub(waited));
        let stage = match engine.prepare(store, &query, times, QueryParams { timeout, ..params }) {
            Err(error) => Stage::Begun(Begun::Done(Box::new(Err(error)))),
            Ok(prepared) if is_in_place && !prepared.is_light() => {
                Stage::Prepared(Box::new(prepared))
            }
            Ok(prepared) => Stage::Begun(engine.begin_prepared(store, prepared)),
        };
        (waited, stage)
    };
    let (waited, stage) = match place {
        Some(place) => place.run(|| begin(true))?,
        None => ctx.pool.run(cancel.clone(), move || begin(false)).await?,
    };
    let begun = match stage {
        Stage::Begun(begun) => begun,
        Stage::Prepared(prepared) => {
            let shared = Arc::clone(ctx);
            let begin =
                move || shared.parts.engine.begin_prepared(&*shared.parts.storage, *prepared);
            ctx.pool.run(cancel.clone(), begin).await?
        }
    };
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
