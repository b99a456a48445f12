//! The crossing from async to the synchronous store and engine. A caller that goes away cancels its
//! query; how much may run and wait is the lifecycle's pool.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use prom_lifecycle::{BlockingError, BlockingPool, Handle, PoolLimits};
use prom_promql::CancelToken;
use tokio::{
    runtime::{self, RuntimeFlavor},
    sync::{Semaphore, SemaphorePermit},
};

use crate::error::{ApiError, ErrorKind};

/// Threads for each query that the engine evaluates at once: its own queue orders those that have one.
const WORKERS_PER_QUERY: usize = 2;
/// Never more threads than this, whatever the engine allows.
const WORKERS_MAX: usize = 256;
/// Requests that wait for a thread; one more is refused.
const WAITING_MAX: usize = 4096;

/// Light work that is done where it was asked while all threads of the runtime but one do such work
/// already: each makes the runtime wake another thread for its other tasks.
const IN_PLACE_MAX: usize = 32;

/// Runs blocking work of the API and the pages.
#[derive(Clone, Debug)]
pub(crate) struct WorkPool {
    pool: BlockingPool,
    /// One less than the runtime has threads: whatever a disk does, one goes on with everything else.
    free_places: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

/// The right to do light work on the thread that has it.
pub(crate) struct Place<'p> {
    /// Whether other threads do meanwhile what this one has to do.
    is_free: bool,
    _permit: SemaphorePermit<'p>,
}

/// Cancels when it is dropped: when the future that holds it is.
struct CancelOnDrop(Option<CancelToken>);

impl WorkPool {
    /// A pool for an engine that evaluates `concurrency_max` queries at once (0: no limit).
    pub(crate) fn new(lifecycle: &Handle, concurrency_max: usize) -> Self {
        let threads_count =
            runtime::Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
        Self {
            pool: threads(lifecycle, "queries", concurrency_max),
            free_places: Arc::new(Semaphore::new(threads_count - 1)),
            places: Arc::new(Semaphore::new(IN_PLACE_MAX)),
        }
    }

    /// Another pool with as many threads of its own. All pools together leave one thread of the runtime free.
    pub(crate) fn beside(
        &self,
        lifecycle: &Handle,
        name: &'static str,
        concurrency_max: usize,
    ) -> Self {
        Self {
            pool: threads(lifecycle, name, concurrency_max),
            free_places: Arc::clone(&self.free_places),
            places: Arc::new(Semaphore::new(IN_PLACE_MAX)),
        }
    }

    /// A place for light work, unless there is too much of it, or nobody to take this thread's other tasks.
    pub(crate) fn place(&self) -> Option<Place<'_>> {
        if let Ok(permit) = self.free_places.try_acquire() {
            return Some(Place { is_free: true, _permit: permit });
        }
        let flavor = runtime::Handle::try_current().ok()?.runtime_flavor();
        let permit = self.places.try_acquire().ok()?;
        (flavor == RuntimeFlavor::MultiThread).then_some(Place { is_free: false, _permit: permit })
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

fn threads(lifecycle: &Handle, name: &'static str, concurrency_max: usize) -> BlockingPool {
    let workers_count_max = match concurrency_max {
        0 => WORKERS_MAX,
        count => count.saturating_mul(WORKERS_PER_QUERY).min(WORKERS_MAX),
    };
    lifecycle.pool(name, PoolLimits { workers_count_max, waiting_count_max: WAITING_MAX })
}

impl Place<'_> {
    /// Does `work`, which takes less time than handing it to another thread and its result back. Other
    /// tasks are taken over by other threads; what belongs to the same connection waits.
    ///
    /// # Errors
    /// The work panicked.
    pub(crate) fn run<T>(self, work: impl FnOnce() -> T) -> Result<T, ApiError> {
        let work = || catch_unwind(AssertUnwindSafe(work));
        let done = if self.is_free { work() } else { tokio::task::block_in_place(work) };
        done.map_err(|panic| {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message.or_else(|| panic.downcast_ref::<&str>().copied());
            ApiError::internal("query processing panicked", &message.unwrap_or("unknown"))
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

    fn work_pool() -> WorkPool {
        WorkPool::new(&Handle::detached("test", State::Ready), 1)
    }

    #[tokio::test]
    async fn leaving_cancels_and_finishing_does_not() {
        let pool = work_pool();
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

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn light_work_is_done_in_place() {
        let pool = work_pool();
        let thread = || std::thread::current().id();
        let places: Vec<_> = std::iter::from_fn(|| pool.place()).collect();
        assert_eq!(places.len(), IN_PLACE_MAX);
        assert!(!places[0].is_free);
        drop(places);
        let panicked = pool.place().unwrap().run(|| panic!("x")).map(|()| 0);
        assert_eq!(panicked.unwrap_err().kind, ErrorKind::Internal);
        assert_eq!(pool.place().unwrap().run(thread), Ok(thread()));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn one_thread_stays_for_everything_else() {
        let pool = work_pool();
        let places: Vec<_> = std::iter::from_fn(|| pool.place()).collect();
        let are_free: Vec<bool> = places.iter().map(|place| place.is_free).collect();
        assert_eq!(are_free[..3], [true, true, false]);
        assert_eq!(places.len(), 2 + IN_PLACE_MAX);
        let other = pool.beside(&Handle::detached("test", State::Ready), "others", 1);
        assert!(!other.place().unwrap().is_free, "the free thread is that of all pools");
        drop(places);
        let thread = || std::thread::current().id();
        assert_eq!(pool.place().unwrap().run(thread), Ok(thread()));
    }

    #[tokio::test]
    async fn one_thread_has_no_place_for_light_work() {
        let pool = work_pool();
        assert!(pool.place().is_none());
    }

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        let pool = work_pool();
        let error = pool.run(CancelToken::default(), || panic!("x")).await.map(|()| 0);
        assert_eq!(error.unwrap_err().kind, ErrorKind::Internal);
    }
}
