//! A task that wakes itself while it is polled is polled once more at once, instead of going through the
//! scheduler: a connection of HTTP/2 and the stream on it are driven by one task here, and each word between them
//! would put that task behind all others and get a second thread out of its sleep, twice for each answer.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// A task that goes on waking itself lets others go first after so many polls.
const POLL_COUNT_MAX: usize = 32;

/// Nobody polls: a wake is passed on.
const WAITS: u8 = 0;
const IS_POLLED: u8 = 1;
/// A wake has come.
const IS_WOKEN: u8 = 2;

/// Polls by a waker of its own. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct OwnWakes {
    shared: Arc<Shared>,
    waker: Waker,
}

#[derive(Debug)]
struct Shared {
    state: AtomicU8,
    /// Whom to wake.
    task: Mutex<Waker>,
}

impl OwnWakes {
    pub(super) fn new() -> Self {
        let task = Mutex::new(Waker::noop().clone());
        let shared = Arc::new(Shared { state: AtomicU8::new(WAITS), task });
        Self { waker: Waker::from(Arc::clone(&shared)), shared }
    }

    /// Polls until there is a value, or somebody else has to do something first.
    pub(super) fn poll<T>(
        &self,
        cx: &Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.shared.set_task(cx.waker());
        for _ in 0..POLL_COUNT_MAX {
            self.shared.state.store(IS_POLLED, Ordering::SeqCst);
            if let Poll::Ready(value) = poll(&mut Context::from_waker(&self.waker)) {
                return Poll::Ready(value);
            }
            let state = &self.shared.state;
            if state.compare_exchange(IS_POLLED, WAITS, Ordering::SeqCst, Ordering::SeqCst).is_ok()
            {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Shared {
    fn set_task(&self, waker: &Waker) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        task.clone_from(waker);
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(IS_WOKEN, Ordering::SeqCst) == WAITS {
            self.task.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn only_wakes_of_others_reach_the_task() {
        let counter = Arc::new(Counter::default());
        let count = || counter.0.load(Ordering::SeqCst);
        let task = Waker::from(Arc::clone(&counter));
        let cx = Context::from_waker(&task);
        let wakes = OwnWakes::new();
        // It wakes itself three times, then it waits for somebody else.
        let (mut polled, mut kept) = (0, None);
        let waited = wakes.poll(&cx, |cx| {
            polled += 1;
            kept = Some(cx.waker().clone());
            if polled < 4 {
                cx.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        });
        assert_eq!((waited, polled, count()), (Poll::Pending, 4, 0));
        let other = kept.unwrap();
        other.wake_by_ref();
        other.wake_by_ref();
        assert_eq!(count(), 1, "the task is told once");
        assert_eq!(wakes.poll(&cx, |_| Poll::Ready(5)), Poll::Ready(5));
        // Between two waits nobody needs to be told: the next poll looks for itself.
        other.wake_by_ref();
        assert_eq!(count(), 1);
    }

    #[test]
    fn others_have_their_turn_beside_a_task_that_never_rests() {
        let counter = Arc::new(Counter::default());
        let task = Waker::from(Arc::clone(&counter));
        let mut polled = 0;
        let waited = OwnWakes::new().poll(&Context::from_waker(&task), |cx| {
            polled += 1;
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert_eq!((waited, polled), (Poll::Pending, POLL_COUNT_MAX));
        assert_eq!(counter.0.load(Ordering::SeqCst), 1);
    }
}
