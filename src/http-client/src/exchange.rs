//! One request and its answer on one connection, driven by the task that asks: no task is spawned, and giving up
//! is dropping. Which connection, and what follows, is the client's matter.

pub(crate) mod http1;
pub(crate) mod http2;

use bytes::Bytes;

use crate::error::Cause;

/// An answer that did not come.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    /// Not a byte came back: on a reused connection, which the peer may have closed just then, the
    /// request can be sent again.
    pub(crate) is_silent: bool,
    /// The server has not begun with the request, so it can be sent again whatever it asks for.
    pub(crate) is_unprocessed: bool,
}

/// What a server calls a status, where that is not its usual name: an extension of the head of its answer.
#[derive(Clone, Debug)]
pub(crate) struct ReasonPhrase(pub(crate) Bytes);

impl Failure {
    /// Nothing was sent.
    pub(crate) fn before(reason: String) -> Self {
        Self { cause: Cause::Request(reason), is_silent: true, is_unprocessed: false }
    }
}
