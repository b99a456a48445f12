//! What the rest of the house tells the driver: raised events and wishes for a reload. It never fills
//! up, because it holds at most one of each event and all wishes for a reload become one.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::machine::lifecycle::Event;
use crate::step::ReloadCause;

/// How many may wait for one reload. More are told to ask again.
pub(crate) const RELOAD_WAITERS_COUNT_MAX: usize = 1_024;

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

/// All wishes for a reload since the last one began.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) cause: ReloadCause,
    pub(crate) waiters: Vec<oneshot::Sender<ReloadResult>>,
}

#[derive(Debug, Default)]
struct Letters {
    raised: Vec<Raised>,
    wish: Option<Wish>,
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

    /// Asks for a reload that begins after this moment. The cause asked for last wins.
    pub(crate) fn wish_reload(&self, cause: ReloadCause) -> oneshot::Receiver<ReloadResult> {
        let (tx, rx) = oneshot::channel();
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        let wish = letters.wish.get_or_insert_with(|| Wish { cause, waiters: Vec::new() });
        wish.cause = cause;
        // Those who left need no answer and no room.
        wish.waiters.retain(|waiter| !waiter.is_closed());
        let has_room = wish.waiters.len() < RELOAD_WAITERS_COUNT_MAX;
        if has_room {
            wish.waiters.push(tx);
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
            if let Some(wish) = &letters.wish {
                let reason = wish.cause.to_string();
                raised.push(Raised { event: Event::ReloadAsked, reason, errno: None });
            }
            if !raised.is_empty() {
                return raised;
            }
        }
    }

    pub(crate) fn has_wish(&self) -> bool {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).wish.is_some()
    }

    pub(crate) fn take_wish(&self) -> Option<Wish> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).wish.take()
    }
}
