//! HTTP/2 on one connection (RFC 9113), one request at a time, driven by the task that asks. Several streams
//! at once, and pings of our own, are left out: who waits for an answer has a deadline.

mod own_wakes;
mod upload;
mod words;

use std::{
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{
    RecvStream,
    client::{Builder, Connection, SendRequest},
};
use http::header::CONTENT_LENGTH;

use self::{
    own_wakes::OwnWakes,
    upload::Upload,
    words::{Seen, Watched},
};
use super::Failure;
use crate::{BodyLimit, Buffer, HttpError, stream::Stream};

/// How much of a body may be under way to a reader that has not asked for it yet, and so the memory of an
/// exchange beside its buffer. A window costs a round trip each time it is used up: with 256 KiB that is
/// less than the slow start of TCP takes for bodies of the usual size, and 50 ms away it still lets 5 MB
/// through each second.
const WINDOW_SIZE_BYTES: u32 = 256 << 10;
/// The least that may be allowed: read, decoded and handed on as one piece.
const FRAME_SIZE_BYTES_MAX: u32 = 16 << 10;
/// The head of a response, names and values, with 32 bytes for each. As over HTTP/1.1.
const HEAD_SIZE_BYTES_MAX: u32 = 64 << 10;
/// Of the table that shortens the headers of responses, kept while the connection is: what a server takes
/// for granted.
const HEADER_TABLE_SIZE_BYTES: u32 = 4 << 10;
/// How much of a request's body is taken over at once, to wait for the socket.
const SEND_SIZE_BYTES_MAX: usize = 256 << 10;
/// Streams have odd numbers below 2^31; long before they end, the connection does.
const REQUEST_COUNT_MAX: u32 = 1 << 24;

/// A connection over which one request after the other goes.
pub(crate) struct Http2 {
    sender: SendRequest<Bytes>,
    connection: Connection<Watched, Bytes>,
    /// The connection must not be polled again.
    is_ended: bool,
    /// A request whose body is not sent to its end.
    upload: Option<Upload>,
    seen: Arc<Seen>,
    request_count: u32,
    wakes: OwnWakes,
}

/// The body of a response.
#[derive(Debug)]
pub(crate) struct Download {
    stream: RecvStream,
    /// What the head has promised; 0 if nothing.
    size_bytes: u64,
}

impl Http2 {
    /// Begins to speak on a connection whose server has chosen HTTP/2.
    pub(crate) async fn open(stream: Stream) -> Result<Self, Failure> {
        let seen = Arc::new(Seen::new(stream.peer()));
        let watched = Watched { stream, seen: Arc::clone(&seen) };
        let made = Builder::new()
            .enable_push(false)
            .initial_window_size(WINDOW_SIZE_BYTES)
            .initial_connection_window_size(WINDOW_SIZE_BYTES)
            .max_frame_size(FRAME_SIZE_BYTES_MAX)
            .max_header_list_size(HEAD_SIZE_BYTES_MAX)
            .header_table_size(HEADER_TABLE_SIZE_BYTES)
            .max_send_buffer_size(SEND_SIZE_BYTES_MAX)
            .handshake(watched)
            .await;
        match made {
            Ok((sender, connection)) => {
                let (is_ended, upload, request_count) = (false, None, 0);
                let wakes = OwnWakes::new();
                Ok(Self { sender, connection, is_ended, upload, seen, request_count, wakes })
            }
            Err(error) => Err(seen.explain(&error, 1)),
        }
    }

    /// Whether another request may be made: what has come while nobody waited is read first, and the server's
    /// pings and settings are answered.
    pub(crate) async fn is_reusable(&mut self) -> bool {
        poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(())
        })
        .await;
        !self.is_ended && self.upload.is_none() && self.request_count < REQUEST_COUNT_MAX
    }

    /// Sends `request` (absolute form, without `Host`) and waits for the head of the response.
    ///
    /// # Cancel safety
    /// A connection whose answer was not waited for must be dropped.
    pub(crate) async fn begin(
        &mut self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Download>, Failure> {
        self.request_count += 1;
        let answered = self.exchange(request).await;
        answered.map_err(|error| self.seen.explain(&error, self.stream_id()))
    }

    /// Appends the whole body to `out`; the bound holds before memory is taken.
    pub(crate) async fn read_body(
        &mut self,
        body: &mut Download,
        out: &mut Buffer,
        limit: BodyLimit,
    ) -> Result<(), HttpError> {
        if body.size_bytes >= limit.size_bytes {
            return Err(HttpError::BodyTooLarge { limit_bytes: limit.size_bytes });
        }
        while let Some(part) = self.next_part(body).await {
            out.extend(&part?, limit)?;
        }
        Ok(())
    }

    /// Reads up to `size_bytes_max` of a body that nobody wants; says whether that was all of it.
    pub(crate) async fn discard_body(&mut self, body: &mut Download, size_bytes_max: u64) -> bool {
        let mut left_bytes = size_bytes_max;
        if body.size_bytes > left_bytes {
            return false;
        }
        while let Some(part) = self.next_part(body).await {
            let Ok(part) = part else { return false };
            match left_bytes.checked_sub(part.len() as u64) {
                Some(left) => left_bytes = left,
                None => return false,
            }
        }
        true
    }

    /// The next part of a body, no larger than a frame.
    pub(crate) async fn next_part(
        &mut self,
        body: &mut Download,
    ) -> Option<Result<Bytes, HttpError>> {
        let wakes = self.wakes.clone();
        poll_fn(|cx| wakes.poll(cx, |cx| self.poll_part(body, cx))).await
    }

    fn poll_part(
        &mut self,
        body: &mut Download,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, HttpError>>> {
        loop {
            // What has come is handed on first: moving the connection costs more than a part.
            let mut polled = body.stream.poll_data(cx);
            if polled.is_pending() {
                self.drive(cx);
                polled = body.stream.poll_data(cx);
            }
            return Poll::Ready(match ready!(polled) {
                Some(Ok(part)) => {
                    // The stream may be over by now, and then nobody counts.
                    let _is_over = body.stream.flow_control().release_capacity(part.len());
                    if part.is_empty() {
                        continue;
                    }
                    Some(Ok(part))
                }
                Some(Err(error)) => Some(Err(self.seen.explain_body(&error, self.stream_id()))),
                None => None,
            });
        }
    }

    async fn exchange(
        &mut self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Download>, h2::Error> {
        let (head, body) = request.into_parts();
        let request = http::Request::from_parts(head, ());
        let wakes = self.wakes.clone();
        // The server may allow no stream at this moment.
        poll_fn(|cx| {
            wakes.poll(cx, |cx| {
                self.drive(cx);
                self.sender.poll_ready(cx)
            })
        })
        .await?;
        let (answer, stream) = self.sender.send_request(request, body.is_empty())?;
        self.upload = Upload::new(stream, body);
        let mut answer = pin!(answer);
        let response = poll_fn(|cx| {
            wakes.poll(cx, |cx| {
                self.drive(cx);
                answer.as_mut().poll(cx)
            })
        })
        .await?;
        let size = response.headers().get(CONTENT_LENGTH).and_then(|size| size.to_str().ok());
        let size_bytes = size.and_then(|size| size.parse().ok()).unwrap_or(0);
        Ok(response.map(|stream| Download { stream, size_bytes }))
    }

    /// Moves frames until the connection waits for the peer, the body's reader or its end.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if self.upload.as_mut().is_some_and(|upload| upload.poll(cx).is_ready()) {
            self.upload = None;
        }
        // Why it ends is told to the stream, too.
        if !self.is_ended && Pin::new(&mut self.connection).poll(cx).is_ready() {
            self.is_ended = true;
        }
    }

    fn stream_id(&self) -> u32 {
        self.request_count * 2 - 1
    }
}

impl fmt::Debug for Http2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request_count, .. } = self;
        f.debug_struct("Http2").field("request_count", request_count).finish_non_exhaustive()
    }
}
