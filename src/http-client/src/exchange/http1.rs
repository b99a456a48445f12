//! HTTP/1.1 (RFC 9112) on one connection. `httparse` takes heads and the sizes of chunks apart. A body goes from
//! the socket right into the buffer of its reader: for a scrape, to copy it once more costs about as much as to
//! understand it.

mod framing;
mod head;

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http::response::Parts;
use tokio::io::{AsyncReadExt, AsyncWrite};

use self::{
    framing::{Framing, Step},
    head::Progress,
};
use super::Failure;
use crate::{
    BodyLimit, Buffer, HttpError,
    connection::Message,
    error::{Cause, errno_text},
    stream::{End, Stream},
    tls,
};

/// How much of an answer is read at first: its head, and of its body what is there already.
const FIRST_READ_SIZE_BYTES: usize = 8 << 10;
/// How much of a body is read at once, unless it goes right into the reader's buffer.
const READ_SIZE_BYTES: usize = 32 << 10;
/// A request that is sent as one piece.
const SHORT_REQUEST_SIZE_BYTES_MAX: usize = 32 << 10;
/// How much a body that tells its size may make its reader's buffer grow at once.
const GROWTH_SIZE_BYTES_MAX: u64 = 1 << 20;

/// A connection from a request to the end of its answer.
#[derive(Debug)]
pub(crate) struct Http1 {
    stream: Stream,
    /// A socket that was reset does not tell any more.
    peer: End,
    /// What has come and was not taken.
    ahead: BytesMut,
    framing: Framing,
    /// The server answers another request behind this one.
    is_kept: bool,
}

/// A request on its way.
struct Upload {
    /// The head, and a short body with it.
    head: Vec<u8>,
    body: Bytes,
    sent_bytes: usize,
}

impl Http1 {
    /// Sends a request and waits for the head of the response.
    pub(crate) async fn begin(
        stream: Stream,
        peer: End,
        message: &Message<'_>,
    ) -> Result<(Self, Parts), Failure> {
        let mut exchange = Self {
            stream,
            peer,
            ahead: BytesMut::with_capacity(FIRST_READ_SIZE_BYTES),
            framing: Framing::Ended,
            is_kept: false,
        };
        let mut progress = Progress::default();
        match exchange.exchange(message, &mut progress).await {
            Ok(head) => Ok((exchange, head)),
            Err(cause) => {
                let is_silent = !progress.has_begun;
                Err(Failure { cause, is_silent, is_unprocessed: false })
            }
        }
    }

    /// Appends the whole body to `out`; the bound holds before memory is taken.
    pub(crate) async fn read_body(
        &mut self,
        out: &mut Buffer,
        limit: BodyLimit,
    ) -> Result<(), HttpError> {
        let too_large = HttpError::BodyTooLarge { limit_bytes: limit.size_bytes };
        if self.framing.size_bytes_min() >= limit.size_bytes {
            return Err(too_large);
        }
        loop {
            match self.framing.step(&mut self.ahead)? {
                Step::End => return Ok(()),
                Step::Part(size) => {
                    out.extend(&self.ahead[..size], limit)?;
                    self.ahead.advance(size);
                }
                Step::More { right: 0 } => self.read_ahead().await?,
                Step::More { right } => {
                    self.read_right(out, right, limit).await?;
                    if out.len() as u64 >= limit.size_bytes {
                        return Err(too_large);
                    }
                }
            }
        }
    }

    /// Reads up to `size_bytes_max` of a body that nobody wants; says whether that was all of it.
    pub(crate) async fn discard_body(&mut self, size_bytes_max: u64) -> bool {
        let mut left_bytes = size_bytes_max;
        if self.framing.size_bytes_min() > left_bytes {
            return false;
        }
        while let Some(part) = self.next_part().await {
            let Ok(part) = part else { return false };
            match left_bytes.checked_sub(part.len() as u64) {
                Some(left) => left_bytes = left,
                None => return false,
            }
        }
        true
    }

    /// The next part of a body, no larger than what is read at once.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(crate) async fn next_part(&mut self) -> Option<Result<Bytes, HttpError>> {
        loop {
            match self.framing.step(&mut self.ahead) {
                Err(error) => return Some(Err(error)),
                Ok(Step::End) => return None,
                Ok(Step::Part(size)) => return Some(Ok(self.ahead.split_to(size).freeze())),
                Ok(Step::More { .. }) => {
                    if let Err(error) = self.read_ahead().await {
                        return Some(Err(error));
                    }
                }
            }
        }
    }

    /// The connection, if the whole answer was read and the peer keeps it open.
    pub(crate) fn into_stream(self) -> Option<(Stream, End)> {
        let is_done = self.is_kept && self.framing.is_ended() && self.ahead.is_empty();
        is_done.then_some((self.stream, self.peer))
    }

    /// Sends the request, and reads what comes meanwhile: a server may refuse it before it has all of it.
    async fn exchange(
        &mut self,
        message: &Message<'_>,
        progress: &mut Progress,
    ) -> Result<Parts, Cause> {
        let mut upload = Upload::new(message);
        let mut sent = None;
        let head = poll_fn(|cx| {
            if sent.is_none()
                && let Poll::Ready(result) = upload.poll(&mut self.stream, cx)
            {
                sent = Some(result);
            }
            loop {
                let read = match (self.poll_ahead(cx), &mut sent) {
                    (Poll::Ready(read), _) => read,
                    // Nobody answers what could not be sent.
                    (Poll::Pending, Some(Err(error))) => {
                        Err(std::mem::replace(error, io::ErrorKind::BrokenPipe.into()))
                    }
                    (Poll::Pending, _) => return Poll::Pending,
                };
                let taken = match read {
                    Ok(0) => Err(progress.at_end(&self.ahead)),
                    Ok(_) => progress.take(&mut self.ahead),
                    Err(error) => Err(self.cause(&error, progress)),
                };
                if let Some(done) = taken.transpose() {
                    return Poll::Ready(done);
                }
            }
        })
        .await?;
        self.framing =
            Framing::of(message.method, &head).map_err(|detail| Cause::Malformed { detail })?;
        self.is_kept =
            matches!(sent, Some(Ok(()))) && head::keeps_connection(&head) && self.framing.is_told();
        Ok(head)
    }

    /// Reads what has come; 0 at the end of the stream.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.ahead.capacity() == self.ahead.len() {
            self.ahead.reserve(FIRST_READ_SIZE_BYTES);
        }
        pin!(self.stream.read_buf(&mut self.ahead)).poll(cx)
    }

    /// Waits for more of the body.
    async fn read_ahead(&mut self) -> Result<(), HttpError> {
        self.ahead.reserve(READ_SIZE_BYTES);
        let read = poll_fn(|cx| self.poll_ahead(cx)).await;
        match read.map_err(|error| body_error(&error))? {
            0 => self.framing.end(),
            _ => Ok(()),
        }
    }

    /// Waits for more of the body, of which the next `right` bytes are data.
    async fn read_right(
        &mut self,
        out: &mut Buffer,
        right: u64,
        limit: BodyLimit,
    ) -> Result<(), HttpError> {
        if out.free_bytes() == 0 {
            let left_bytes = limit.size_bytes.saturating_sub(out.len() as u64 + 1);
            let right = if self.framing.is_told() { right } else { 1 };
            let wanted = right.min(GROWTH_SIZE_BYTES_MAX).min(left_bytes).max(1);
            out.reserve(wanted as usize, limit)?;
        }
        let read = out.fill_from(&mut self.stream, right).await;
        match read.map_err(|error| body_error(&error))? {
            0 => self.framing.end(),
            size => {
                self.framing.pass(size);
                Ok(())
            }
        }
    }

    /// Turns a failed read into the words of Go's client.
    fn cause(&self, error: &io::Error, progress: &Progress) -> Cause {
        if let Some(text) = tls::go_text(error) {
            return Cause::Tls(text);
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => progress.at_end(&self.ahead),
            _ => Cause::read(&self.stream.local(), &self.peer, error),
        }
    }
}

impl Upload {
    fn new(message: &Message<'_>) -> Self {
        let mut head = head::encode(message);
        let mut body = message.body.clone();
        if head.len() + body.len() <= SHORT_REQUEST_SIZE_BYTES_MAX {
            // One write, one packet.
            head.extend_from_slice(&body);
            body.clear();
        }
        Self { head, body, sent_bytes: 0 }
    }

    fn poll(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let rest = match self.sent_bytes.checked_sub(self.head.len()) {
                None => &self.head[self.sent_bytes..],
                Some(sent) if sent < self.body.len() => &self.body[sent..],
                Some(_) => return Pin::new(stream).poll_flush(cx),
            };
            match ready!(Pin::new(&mut *stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                size => self.sent_bytes += size,
            }
        }
    }
}

/// Why a body broke off, in the words of Go's client.
fn body_error(error: &io::Error) -> HttpError {
    HttpError::Body(match tls::go_text(error) {
        Some(text) => text,
        None if error.raw_os_error().is_some() => errno_text(error),
        None => framing::UNEXPECTED_EOF.to_owned(),
    })
}
