//! Who is about to write: the appenders that are open, and how far back each of them may reach.
//! Truncation and compaction wait here for those that could still bring a sample into what they take away.

use std::{
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use smallvec::SmallVec;

use crate::lock::lock;

/// As many appenders as are usually open at once.
const OPEN_COUNT: usize = 8;

/// The appenders there are.
#[derive(Debug, Default)]
pub(super) struct Writers {
    state: Mutex<WritersState>,
    has_left: Condvar,
}

#[derive(Debug, Default)]
struct WritersState {
    last_id: u64,
    /// By id, ascending: the oldest time that the appender accepts, once it has been told.
    min_valid: SmallVec<[(u64, Option<i64>); OPEN_COUNT]>,
    /// How many threads wait until appenders have ended.
    waiting_count: usize,
}

/// An open appender.
#[derive(Debug)]
pub(super) struct WriterTicket {
    writers: Arc<Writers>,
    id: u64,
}

impl Writers {
    pub(super) fn enter(writers: &Arc<Self>) -> WriterTicket {
        let mut state = lock(&writers.state);
        state.last_id += 1;
        let id = state.last_id;
        state.min_valid.push((id, None));
        WriterTicket { writers: Arc::clone(writers), id }
    }

    /// Waits until no appender accepts samples before `t_ms`; those that have not been told yet will be
    /// told later, by the bound that holds then. Says whether that came to be.
    pub(super) fn wait_for_times_before(&self, t_ms: i64, patience: Duration) -> bool {
        self.wait(patience, |state| {
            state.min_valid.iter().filter_map(|open| open.1).any(|min_valid| min_valid < t_ms)
        })
    }

    /// Waits until all appenders that are open now have ended. Says whether they have.
    pub(super) fn wait_for_present(&self, patience: Duration) -> bool {
        let last_id = lock(&self.state).last_id;
        self.wait(patience, |state| state.min_valid.first().is_some_and(|(id, _)| *id <= last_id))
    }

    fn wait(&self, patience: Duration, is_held: impl Fn(&WritersState) -> bool) -> bool {
        let mut state = lock(&self.state);
        state.waiting_count += 1;
        let (mut state, _) = self
            .has_left
            .wait_timeout_while(state, patience, |state| is_held(state))
            .expect("no thread panics while it holds this lock");
        state.waiting_count -= 1;
        !is_held(&state)
    }
}

impl WriterTicket {
    /// Tells the appender's bound, which is asked for while nobody is waited for.
    pub(super) fn set_min_valid(&self, min_valid_ms: impl FnOnce() -> i64) -> i64 {
        let mut state = lock(&self.writers.state);
        let min_valid_ms = min_valid_ms();
        if let Some(open) = state.min_valid.iter_mut().find(|open| open.0 == self.id) {
            open.1 = Some(min_valid_ms);
        }
        min_valid_ms
    }
}

impl Drop for WriterTicket {
    fn drop(&mut self) {
        let mut state = lock(&self.writers.state);
        state.min_valid.retain(|open| open.0 != self.id);
        // Telling nobody would be a system call for every commit.
        if state.waiting_count > 0 {
            self.writers.has_left.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_who_could_write_there_are_waited_for() {
        const SOON: Duration = Duration::ZERO;
        let writers = Arc::new(Writers::default());
        assert!(writers.wait_for_present(SOON));
        let [a, b] = [Writers::enter(&writers), Writers::enter(&writers)];
        assert!(writers.wait_for_times_before(i64::MAX, SOON));
        assert!(!writers.wait_for_present(SOON));
        assert_eq!(a.set_min_valid(|| 10), 10);
        assert!(writers.wait_for_times_before(10, SOON));
        assert!(!writers.wait_for_times_before(11, SOON));
        b.set_min_valid(|| 11);
        drop(a);
        assert!(writers.wait_for_times_before(11, SOON));
        let waiting = std::thread::spawn({
            let writers = Arc::clone(&writers);
            move || writers.wait_for_present(Duration::from_secs(60))
        });
        drop(b);
        assert!(waiting.join().unwrap());
        let _later = Writers::enter(&writers);
    }
}
