//! The body of a request on its way, as far as the server's windows let it go.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;

/// What is left to be sent.
pub(super) struct Upload {
    stream: SendStream<Bytes>,
    rest: Bytes,
}

impl Upload {
    /// `None` if there is nothing to send.
    pub(super) fn new(stream: SendStream<Bytes>, body: Bytes) -> Option<Self> {
        (!body.is_empty()).then_some(Self { stream, rest: body })
    }

    /// Hands over what fits; ready once all is, or the server wants no more. Why not is told by its answer.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.rest.is_empty() {
            self.stream.reserve_capacity(self.rest.len());
            // Room may have gone again when it is looked at.
            let mut room_bytes = self.stream.capacity();
            while room_bytes == 0 {
                match ready!(self.stream.poll_capacity(cx)) {
                    Some(Ok(granted_bytes)) => room_bytes = granted_bytes,
                    Some(Err(_)) | None => return Poll::Ready(()),
                }
            }
            let part = self.rest.split_to(room_bytes.min(self.rest.len()));
            if self.stream.send_data(part, self.rest.is_empty()).is_err() {
                return Poll::Ready(());
            }
        }
        Poll::Ready(())
    }
}
