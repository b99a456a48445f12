//! A place in the queue and the slot that it becomes. Both are given back when they are dropped.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use super::{Claim, Kind, Shared};
use crate::{
    QueryError,
    watch::{IN_QUEUE, Watch},
};

/// A waiting thread looks this often whether its query was canceled.
const CANCEL_POLL: Duration = Duration::from_millis(20);

/// A place in the queue: becomes ready when its turn has come.
#[derive(Debug)]
pub(in crate::engine) struct Ticket {
    shared: Arc<Shared>,
    claim: Claim,
    number: u64,
    seat: Arc<Seat>,
    is_spent: bool,
}

/// The right to run; dropping it lets the next query in.
#[derive(Debug)]
pub(in crate::engine) struct Permit {
    shared: Arc<Shared>,
    kind: Kind,
}

/// What the queue and the ticket share.
#[derive(Debug, Default)]
pub(super) struct Seat {
    state: Mutex<SeatState>,
}

#[derive(Debug, Default)]
struct SeatState {
    is_granted: bool,
    waker: Option<Waker>,
}

/// Wakes a thread that blocks.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Seat {
    pub(super) fn grant(&self) {
        let mut state = self.lock();
        state.is_granted = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, SeatState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    pub(super) fn new(shared: Arc<Shared>, claim: Claim, number: u64) -> Self {
        Self { shared, claim, number, seat: Arc::default(), is_spent: false }
    }

    pub(super) fn claim(&self) -> &Claim {
        &self.claim
    }

    pub(super) fn seat(&self) -> Arc<Seat> {
        Arc::clone(&self.seat)
    }

    /// The slot, if the turn has come.
    pub(in crate::engine) fn take(&mut self) -> Option<Permit> {
        if self.is_spent || !self.seat.lock().is_granted {
            return None;
        }
        self.is_spent = true;
        Some(Permit { shared: Arc::clone(&self.shared), kind: self.claim.kind() })
    }

    /// Ready when the turn has come; [`Self::take`] gives the slot then.
    pub(in crate::engine) fn poll_turn(&mut self, ctx: &Context<'_>) -> Poll<()> {
        let mut seat = self.seat.lock();
        if seat.is_granted {
            return Poll::Ready(());
        }
        seat.waker = Some(ctx.waker().clone());
        Poll::Pending
    }

    /// Blocks until the turn has come.
    pub(in crate::engine) fn wait(mut self, watch: &Watch) -> Result<Permit, QueryError> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let ctx = Context::from_waker(&waker);
        loop {
            if let Some(permit) = self.take() {
                return Ok(permit);
            }
            if self.poll_turn(&ctx).is_pending() {
                watch.check(IN_QUEUE)?;
                thread::park_timeout(watch.remaining().min(CANCEL_POLL));
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.is_spent || self.shared.withdraw(&self.claim, self.number) {
            return;
        }
        // Its turn came while nobody looked: the slot goes to the next one.
        self.shared.release(self.claim.kind());
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.release(self.kind);
    }
}
