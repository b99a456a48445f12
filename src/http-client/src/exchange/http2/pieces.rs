//! Where hyper puts the pieces of an HTTP/2 connection that are to run beside it: kept to be moved by the
//! exchange, in place of tasks.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::Context,
};

use hyper::rt::Executor;

/// The connection's frames, and while a request is under way its body and its answer.
type Piece = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The pieces of one connection.
#[derive(Default)]
pub(super) struct Pieces {
    running: Vec<Piece>,
    inbox: Inbox,
}

/// What hyper hands new pieces to.
#[derive(Clone, Default)]
pub(super) struct Inbox(Arc<Mutex<Vec<Piece>>>);

impl Pieces {
    pub(super) fn inbox(&self) -> Inbox {
        self.inbox.clone()
    }

    /// Moves each of them as far as it gets.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        // A piece may hold an inbox itself, so it must not stay in there.
        self.running.append(&mut self.inbox.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.running.retain_mut(|piece| piece.as_mut().poll(cx).is_pending());
    }

    /// How many have not ended.
    pub(super) fn count(&self) -> usize {
        self.running.len()
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Inbox {
    fn execute(&self, piece: F) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(piece));
    }
}
