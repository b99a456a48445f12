//! The way from async code to blocking work: a pool with a name, a bounded number of workers and a
//! bounded queue. It knows nothing about fairness between clients; admission is above it.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::panic;

/// How much may run and how much may wait in a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// How many jobs run at a time.
    pub workers_count_max: usize,
    /// How many jobs wait; one more is refused.
    pub waiting_count_max: usize,
}

/// A door to threads that may block. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BlockingPool {
    inner: Arc<Inner>,
}

/// Why a job has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockingError {
    /// The queue is full.
    #[error("too much work is waiting for {pool}")]
    Full {
        /// The name of the pool.
        pool: Cow<'static, str>,
    },
    /// The service ends, and the job had not begun.
    #[error("the service is stopping")]
    Stopping,
    /// The job panicked. Others are not affected.
    #[error("{pool} panicked: {message}")]
    Panicked {
        /// The name of the pool.
        pool: Cow<'static, str>,
        /// The message of the panic.
        message: String,
    },
}

#[derive(Debug)]
struct Inner {
    name: Cow<'static, str>,
    limits: PoolLimits,
    runtime: runtime::Handle,
    workers: Arc<Semaphore>,
    waiting_count: AtomicUsize,
    stop: CancellationToken,
}

/// Counts one waiting job down, however the wait ends.
struct Waiting<'a>(&'a AtomicUsize);

impl BlockingPool {
    pub(crate) fn new(
        name: Cow<'static, str>,
        limits: PoolLimits,
        runtime: runtime::Handle,
        stop: CancellationToken,
    ) -> Self {
        let workers = Arc::new(Semaphore::new(limits.workers_count_max.max(1)));
        let waiting_count = AtomicUsize::new(0);
        Self { inner: Arc::new(Inner { name, limits, runtime, workers, waiting_count, stop }) }
    }

    /// Runs `job` on a thread that may block.
    ///
    /// # Errors
    /// The queue is full, the service is stopping, or the job panicked.
    ///
    /// # Cancel safety
    /// Dropped before the job has begun, the job never runs. Dropped later, the job runs to its end
    /// and its result is lost.
    pub async fn run<T, F>(&self, job: F) -> Result<T, BlockingError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let inner = &self.inner;
        let permit = match Arc::clone(&inner.workers).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let before = inner.waiting_count.fetch_add(1, Ordering::Relaxed);
                let _waiting = Waiting(&inner.waiting_count);
                if before >= inner.limits.waiting_count_max {
                    return Err(BlockingError::Full { pool: inner.name.clone() });
                }
                tokio::select! {
                    () = inner.stop.cancelled() => return Err(BlockingError::Stopping),
                    permit = Arc::clone(&inner.workers).acquire_owned() => {
                        permit.map_err(|_| BlockingError::Stopping)?
                    }
                }
            }
        };
        let job = move || {
            let _permit = permit;
            panic::catch(job)
        };
        match inner.runtime.spawn_blocking(job).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(message)) => Err(BlockingError::Panicked { pool: inner.name.clone(), message }),
            Err(_) => Err(BlockingError::Stopping),
        }
    }

    /// How many jobs run at this moment.
    pub fn running_count(&self) -> usize {
        let free_count = self.inner.workers.available_permits();
        self.inner.limits.workers_count_max.max(1).saturating_sub(free_count)
    }

    /// How many jobs wait at this moment.
    pub fn waiting_count(&self) -> usize {
        self.inner.waiting_count.load(Ordering::Relaxed)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;
    use std::sync::mpsc::sync_channel;

    use super::*;

    fn pool(workers_count_max: usize, waiting_count_max: usize) -> BlockingPool {
        let limits = PoolLimits { workers_count_max, waiting_count_max };
        let stop = CancellationToken::new();
        BlockingPool::new("queries".into(), limits, runtime::Handle::current(), stop)
    }

    #[tokio::test]
    async fn a_job_gives_its_result_or_its_panic() {
        let pool = pool(1, 1);
        assert_eq!(pool.run(|| 6 * 7).await, Ok(42));
        let message = pool.run(|| resume_unwind(Box::new("boom"))).await.map(|(): ()| ());
        assert_eq!(message.unwrap_err().to_string(), "queries panicked: boom");
        assert_eq!(pool.run(|| 1).await, Ok(1), "others are not affected");
    }

    #[tokio::test]
    async fn what_does_not_fit_into_the_queue_is_refused() {
        let pool = pool(1, 1);
        let (go, wait) = sync_channel::<()>(0);
        let running = pool.run(move || wait.recv().is_ok());
        let waiting = pool.run(|| true);
        let too_much = async {
            while (pool.running_count(), pool.waiting_count()) != (1, 1) {
                tokio::task::yield_now().await;
            }
            let refused = pool.run(|| true).await;
            go.send(()).unwrap();
            refused
        };
        let (running, waiting, refused) = tokio::join!(running, waiting, too_much);
        assert_eq!((running, waiting), (Ok(true), Ok(true)));
        assert_eq!(refused.unwrap_err().to_string(), "too much work is waiting for queries");
        assert_eq!((pool.running_count(), pool.waiting_count()), (0, 0));
    }

    #[tokio::test]
    async fn a_stop_ends_the_wait_and_not_the_work() {
        let pool = pool(1, 1);
        let (go, wait) = sync_channel::<()>(0);
        let running = pool.run(move || wait.recv().is_ok());
        let waiting = pool.run(|| true);
        let stop = async {
            while pool.waiting_count() != 1 {
                tokio::task::yield_now().await;
            }
            pool.inner.stop.cancel();
        };
        let rest = async {
            let (waiting, ()) = tokio::join!(waiting, stop);
            go.send(()).unwrap();
            waiting
        };
        let (running, waiting) = tokio::join!(running, rest);
        assert_eq!((running, waiting), (Ok(true), Err(BlockingError::Stopping)));
    }
}
