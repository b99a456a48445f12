//! What the rest of the house tells the driver: raised events and wishes for a reload. It never fills
//! up: it holds at most one of each event, and wishes that one reload fulfills become one.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::machine::lifecycle::Event;
use crate::step::ReloadCause;

/// How many may wait for one reload. More are told to ask again.
pub(crate) const RELOAD_WAITERS_COUNT_MAX: usize = 1_024;

/// How many different reloads may wait for their turn. More are told to ask again.
pub(crate) const RELOAD_WISHES_COUNT_MAX: usize = 16;

/// What a reload that did not fail came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReloadOutcome {
    /// The new configuration is in force.
    Committed {
        /// What has changed, in a few words.
        summary: String,
    },
    /// The configuration is the same as before.
    Unchanged,
}

/// The end of a reload; an error is the reason of the rejection.
pub(crate) type ReloadResult = Result<ReloadOutcome, String>;

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    letters: Mutex<Letters>,
    arrived: Notify,
}

/// An event that somebody raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Raised {
    pub(crate) event: Event,
    pub(crate) reason: String,
    pub(crate) errno: Option<i32>,
}

/// All wishes that one reload fulfills.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) cause: ReloadCause,
    pub(crate) waiters: Vec<oneshot::Sender<ReloadResult>>,
}

#[derive(Debug, Default)]
struct Letters {
    raised: Vec<Raised>,
    /// In the order in which they are fulfilled, so that the last one stays in force.
    wishes: VecDeque<Wish>,
}

impl Inbox {
    /// Of several reasons for one event, those between two looks of the driver, the first counts.
    pub(crate) fn raise(&self, raised: Raised) {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        if !letters.raised.iter().any(|known| known.event == raised.event) {
            letters.raised.push(raised);
        }
        drop(letters);
        self.arrived.notify_one();
    }

    /// Asks for a reload that begins after this moment. Those who ask for the same share it; of several
    /// causes the last counts. Whoever asks for another configuration gets a reload of its own after it.
    pub(crate) fn wish_reload(&self, cause: ReloadCause) -> oneshot::Receiver<ReloadResult> {
        let (tx, rx) = oneshot::channel();
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        let wishes = &mut letters.wishes;
        let is_shared = wishes.back().is_some_and(|last| last.cause.is_fulfilled_with(cause));
        if !is_shared && wishes.len() < RELOAD_WISHES_COUNT_MAX {
            wishes.push_back(Wish { cause, waiters: Vec::new() });
        }
        if let Some(wish) = wishes.back_mut().filter(|last| last.cause.is_fulfilled_with(cause)) {
            wish.cause = cause;
            // Those who left need no answer and no room.
            wish.waiters.retain(|waiter| !waiter.is_closed());
            if wish.waiters.len() < RELOAD_WAITERS_COUNT_MAX {
                wish.waiters.push(tx);
            }
        }
        drop(letters);
        self.arrived.notify_one();
        rx
    }

    /// Waits until there is something, then hands out all events, and `ReloadAsked` among them if a
    /// reload is wished for. The wish itself stays until [`Inbox::take_wish`].
    ///
    /// # Cancel safety
    /// Nothing is taken before the wait is over.
    pub(crate) async fn next(&self) -> Vec<Raised> {
        loop {
            self.arrived.notified().await;
            let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
            let mut raised = std::mem::take(&mut letters.raised);
            if let Some(wish) = letters.wishes.front() {
                let reason = wish.cause.to_string();
                raised.push(Raised { event: Event::ReloadAsked, reason, errno: None });
            }
            if !raised.is_empty() {
                return raised;
            }
        }
    }

    pub(crate) fn has_wish(&self) -> bool {
        !self.letters.lock().unwrap_or_else(PoisonError::into_inner).wishes.is_empty()
    }

    /// The wish that is first in line. Those behind it are announced again.
    pub(crate) fn take_wish(&self) -> Option<Wish> {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        let wish = letters.wishes.pop_front();
        if !letters.wishes.is_empty() {
            self.arrived.notify_one();
        }
        wish
    }
}
