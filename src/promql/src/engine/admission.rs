//! Who may run now: a bounded number of queries, the others wait in order of arrival.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    QueryError,
    watch::{IN_QUEUE, Watch},
};

/// A waiting query looks this often whether it was canceled.
const CANCEL_POLL: Duration = Duration::from_millis(20);

/// Slots for running queries.
#[derive(Debug)]
pub(super) struct Admission {
    /// 0: no limit.
    slots_count_max: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running_count: usize,
    next_ticket: u64,
    /// Tickets of the waiting, oldest first. Its length is bounded by the callers' threads.
    waiting: VecDeque<u64>,
}

/// The right to run; dropping it lets the next query in.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    admission: &'a Admission,
}

impl Admission {
    pub(super) fn new(slots_count_max: usize) -> Self {
        Self { slots_count_max, state: Mutex::default(), freed: Condvar::new() }
    }

    /// Waits for a slot.
    pub(super) fn enter(&self, watch: &Watch) -> Result<Permit<'_>, QueryError> {
        let mut state = self.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push_back(ticket);
        loop {
            let is_first = state.waiting.front() == Some(&ticket);
            let is_free = self.slots_count_max == 0 || state.running_count < self.slots_count_max;
            if is_first && is_free {
                state.waiting.pop_front();
                state.running_count += 1;
                self.freed.notify_all();
                return Ok(Permit { admission: self });
            }
            if let Err(err) = watch.check(IN_QUEUE) {
                state.waiting.retain(|waiting| *waiting != ticket);
                self.freed.notify_all();
                return Err(err);
            }
            let patience = watch.remaining().min(CANCEL_POLL);
            let woken = self.freed.wait_timeout(state, patience);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How many queries run now.
    pub(super) fn running_count(&self) -> usize {
        self.lock().running_count
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.admission.lock().running_count -= 1;
        self.admission.freed.notify_all();
    }
}
