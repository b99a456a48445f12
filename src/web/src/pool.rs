//! The crossing from async to the synchronous store and engine. A caller that goes away cancels its
//! query; how much may run and wait is the lifecycle's pool.

use prom_lifecycle::{BlockingError, BlockingPool, Handle, PoolLimits};
use prom_promql::CancelToken;

use crate::error::{ApiError, ErrorKind};

/// Threads for each query that the engine evaluates at once: its own queue orders those that have one.
const WORKERS_PER_QUERY: usize = 2;
/// Never more threads than this, whatever the engine allows.
const WORKERS_MAX: usize = 256;
/// Requests that wait for a thread; one more is refused.
const WAITING_MAX: usize = 4096;

/// Runs blocking work of the API and the pages.
#[derive(Clone, Debug)]
pub(crate) struct WorkPool {
    pool: BlockingPool,
}

/// Cancels when it is dropped: when the future that holds it is.
struct CancelOnDrop(Option<CancelToken>);

impl WorkPool {
    /// A pool for an engine that evaluates `concurrency_max` queries at once (0: no limit).
    pub(crate) fn new(lifecycle: &Handle, concurrency_max: usize) -> Self {
        let workers_count_max = match concurrency_max {
            0 => WORKERS_MAX,
            count => count.saturating_mul(WORKERS_PER_QUERY).min(WORKERS_MAX),
        };
        let limits = PoolLimits { workers_count_max, waiting_count_max: WAITING_MAX };
        Self { pool: lifecycle.pool("queries", limits) }
    }

    /// Runs `work` on a thread that may block.
    ///
    /// # Errors
    /// Too much is waiting, the server is stopping, or the work panicked.
    ///
    /// # Cancel safety
    /// Dropping the future sets `cancel`; the work ends when it looks at it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        cancel: CancelToken,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let guard = CancelOnDrop(Some(cancel));
        let result = self.pool.run(work).await;
        guard.disarm();
        result.map_err(|error| match error {
            BlockingError::Panicked { .. } => {
                ApiError::internal("query processing panicked", &error)
            }
            _ => ApiError::new(ErrorKind::Unavailable, error.to_string()),
        })
    }
}

impl CancelOnDrop {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(token) = &self.0 {
            token.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc::sync_channel, time::Duration};

    use prom_lifecycle::State;

    use super::*;

    #[tokio::test]
    async fn leaving_cancels_and_finishing_does_not() {
        let pool = WorkPool::new(&Handle::detached("test", State::Ready), 1);
        let finished = CancelToken::default();
        assert_eq!(pool.run(finished.clone(), || 7).await, Ok(7));
        assert!(!finished.is_canceled());

        let left = CancelToken::default();
        let seen = left.clone();
        let (ended_tx, ended_rx) = sync_channel(1);
        let work = move || {
            while !seen.is_canceled() {
                std::thread::yield_now();
            }
            ended_tx.send(()).unwrap();
        };
        let mut call = Box::pin(pool.run(left, work));
        assert!(futures_util::poll!(&mut call).is_pending());
        drop(call);
        ended_rx.recv_timeout(Duration::from_secs(60)).unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let pool = WorkPool::new(&Handle::detached("test", State::Ready), 1);
        let error = pool.run(CancelToken::default(), || panic!("x")).await.map(|()| 0);
        assert_eq!(error.unwrap_err().kind, ErrorKind::Internal);
    }
}
