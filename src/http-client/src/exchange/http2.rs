//! HTTP/2 on one connection (RFC 9113), one request at a time, driven by the task that asks: hyper's pieces
//! of the connection are kept here and moved along with the exchange. Several streams at once, and pings of
//! our own, are left out: who waits for an answer has a deadline.

mod pieces;
mod words;

use std::{
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::Body as _;
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http2::{Builder, Connection, SendRequest},
};
use hyper_util::rt::TokioIo;

use self::{
    pieces::{Inbox, Pieces},
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
/// Of the tables that shorten headers: what the servers' default is, kept while the connection is.
const HEADER_TABLE_SIZE_BYTES: u32 = 4 << 10;
/// How much of a request's body waits for the server's window.
const SEND_SIZE_BYTES_MAX: usize = 256 << 10;
/// Streams have odd numbers below 2^31; long before they end, the connection does.
const REQUEST_COUNT_MAX: u32 = 1 << 24;

type Body = Full<Bytes>;

/// A connection over which one request after the other goes.
pub(crate) struct Http2 {
    sender: SendRequest<Body>,
    /// Hands requests over to the pieces; `None` once it has ended.
    dispatch: Option<Connection<TokioIo<Watched>, Body, Inbox>>,
    pieces: Pieces,
    failure: Option<hyper::Error>,
    seen: Arc<Seen>,
    request_count: u32,
}

impl Http2 {
    /// Begins to speak on a connection whose server has chosen HTTP/2.
    pub(crate) async fn open(stream: Stream) -> Result<Self, Failure> {
        let seen = Arc::new(Seen::new(stream.peer()));
        let pieces = Pieces::default();
        let io = TokioIo::new(Watched { stream, seen: Arc::clone(&seen) });
        let made = Builder::new(pieces.inbox())
            .initial_stream_window_size(WINDOW_SIZE_BYTES)
            .initial_connection_window_size(WINDOW_SIZE_BYTES)
            .max_frame_size(FRAME_SIZE_BYTES_MAX)
            .max_header_list_size(HEAD_SIZE_BYTES_MAX)
            .header_table_size(HEADER_TABLE_SIZE_BYTES)
            .max_send_buf_size(SEND_SIZE_BYTES_MAX)
            .handshake(io)
            .await;
        match made {
            Ok((sender, dispatch)) => {
                let dispatch = Some(dispatch);
                Ok(Self { sender, dispatch, pieces, failure: None, seen, request_count: 0 })
            }
            Err(error) => Err(seen.explain(&error, None, 1)),
        }
    }

    /// Whether the connection still works after it was left alone: what has come meanwhile is read first, and
    /// the server's pings and settings are answered.
    pub(crate) async fn wake(&mut self) -> bool {
        poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(())
        })
        .await;
        self.is_open()
    }

    /// Sends `request` (absolute form, without `Host`) and waits for the head of the response.
    ///
    /// # Cancel safety
    /// A connection whose answer was not waited for must be dropped.
    pub(crate) async fn begin(
        &mut self,
        request: http::Request<Body>,
    ) -> Result<http::Response<Incoming>, Failure> {
        self.request_count += 1;
        let mut answer = pin!(self.sender.send_request(request));
        let result = poll_fn(|cx| {
            self.drive(cx);
            answer.as_mut().poll(cx)
        })
        .await;
        result.map_err(|error| self.seen.explain(&error, self.failure.as_ref(), self.stream_id()))
    }

    /// Appends the whole body to `out`; the bound holds before memory is taken.
    pub(crate) async fn read_body(
        &mut self,
        body: &mut Incoming,
        out: &mut Buffer,
        limit: BodyLimit,
    ) -> Result<(), HttpError> {
        if body.size_hint().lower() >= limit.size_bytes {
            return Err(HttpError::BodyTooLarge { limit_bytes: limit.size_bytes });
        }
        while let Some(part) = self.next_part(body).await {
            out.extend(&part?, limit)?;
        }
        Ok(())
    }

    /// Reads up to `size_bytes_max` of a body that nobody wants; says whether that was all of it.
    pub(crate) async fn discard_body(&mut self, body: &mut Incoming, size_bytes_max: u64) -> bool {
        let mut size_bytes = body.size_hint().lower();
        while size_bytes <= size_bytes_max {
            match self.next_part(body).await {
                None => return true,
                Some(Ok(part)) => size_bytes += part.len() as u64,
                Some(Err(_)) => return false,
            }
        }
        false
    }

    /// The next part of a body, no larger than a frame.
    pub(crate) async fn next_part(
        &mut self,
        body: &mut Incoming,
    ) -> Option<Result<Bytes, HttpError>> {
        poll_fn(|cx| {
            loop {
                self.drive(cx);
                match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                    // hyper takes a stream that was reset with `NO_ERROR` for one that has ended.
                    None if !body.is_end_stream() => {
                        let cut_off = words::cut_off(self.stream_id());
                        return Poll::Ready(Some(Err(HttpError::Body(cut_off))));
                    }
                    None => return Poll::Ready(None),
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => return Poll::Ready(Some(Ok(data))),
                        Err(_trailers) => {}
                    },
                    Some(Err(error)) => {
                        let failure = self.failure.as_ref();
                        let error = self.seen.explain_body(&error, failure, self.stream_id());
                        return Poll::Ready(Some(Err(error)));
                    }
                }
            }
        })
        .await
    }

    /// Whether another request may be made once the answer to this one was read whole.
    pub(crate) async fn is_reusable(&mut self) -> bool {
        self.wake().await && self.request_count < REQUEST_COUNT_MAX
    }

    /// Moves frames until the connection waits for the peer, the body's reader or its end.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(dispatch) = &mut self.dispatch
            && let Poll::Ready(ended) = Pin::new(dispatch).poll(cx)
        {
            // A request that still waits in it is failed by this.
            self.dispatch = None;
            self.failure = ended.err();
        }
        self.pieces.drive(cx);
    }

    /// Both halves live, and no request is half-sent.
    fn is_open(&self) -> bool {
        self.dispatch.is_some() && self.pieces.count() == 1
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
