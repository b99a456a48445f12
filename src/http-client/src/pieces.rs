//! A body that goes on for as long as there is something to say, read piece by piece: watches of services.
//! What a piece means, and where a message ends, is the caller's matter.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use crate::{HttpError, connection::Answering};

/// The rest of an answer. It has no deadline; dropping it closes the connection.
#[derive(Debug)]
pub struct Pieces {
    answering: Answering,
    idle: Duration,
}

impl Pieces {
    /// `idle` bounds the silence between two pieces.
    pub(crate) fn new(answering: Answering, idle: Duration) -> Self {
        Self { answering, idle }
    }

    /// The next piece, never larger than what is read from a socket at once (32 KiB); `None` at the end.
    ///
    /// # Errors
    /// Nothing came for too long, or the connection broke.
    ///
    /// # Cancel safety
    /// Dropping the future loses no piece.
    pub async fn next(&mut self) -> Result<Option<Bytes>, HttpError> {
        let next = self.answering.next_part();
        timeout(self.idle, next).await.unwrap_or(Some(Err(HttpError::Deadline))).transpose()
    }
}
