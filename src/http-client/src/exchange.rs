//! One HTTP/1.1 request and its answer on one connection, driven by the task that asks: no task is
//! spawned, and giving up is dropping. Which connection, and what follows, is the client's matter.

pub(crate) mod http2;
mod tapped;

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::Body as _;
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http1::{Builder, Connection, SendRequest},
};
use hyper_util::rt::TokioIo;
use prom_model::quote_go_bytes;

use crate::{
    BodyLimit, Buffer, HttpError,
    error::{Cause, errno_text},
    own_wakes::OwnWakes,
    stream::Stream,
    tls,
};

use self::tapped::Tapped;

/// How much is read from the socket at once; the head of a response must fit.
const READ_SIZE_BYTES: usize = 32 << 10;

/// A connection during an exchange, and what moves its bytes.
#[derive(Debug)]
pub(crate) struct Exchange {
    connection: Connection<TokioIo<Tapped>, Full<Bytes>>,
    sender: SendRequest<Full<Bytes>>,
    /// The connection has ended and must not be polled again.
    is_ended: bool,
    failure: Option<hyper::Error>,
    wakes: OwnWakes,
}

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

impl Failure {
    /// Nothing was sent.
    pub(crate) fn before(reason: String) -> Self {
        Self { cause: Cause::Request(reason), is_silent: true, is_unprocessed: false }
    }
}

impl Exchange {
    /// Sends `request` (origin form, with `Host`) and waits for the head of the response.
    pub(crate) async fn begin(
        stream: Stream,
        request: http::Request<Full<Bytes>>,
    ) -> Result<(Self, http::Response<Incoming>), Failure> {
        let io = TokioIo::new(Tapped::new(stream));
        let made = Builder::new().read_buf_exact_size(Some(READ_SIZE_BYTES)).handshake(io).await;
        let (sender, connection) = made.map_err(|error| Failure::before(error.to_string()))?;
        let wakes = OwnWakes::new();
        let (is_ended, failure) = (false, None);
        let mut exchange = Self { connection, sender, is_ended, failure, wakes };
        let mut answer = pin!(exchange.sender.send_request(request));
        let wakes = exchange.wakes.clone();
        let result = poll_fn(|cx| {
            wakes.poll(cx, |cx| {
                exchange.drive(cx);
                answer.as_mut().poll(cx)
            })
        })
        .await;
        match result {
            Ok(response) => Ok((exchange, response)),
            Err(error) => Err(exchange.explain(&error)),
        }
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

    /// The connection, if the whole answer was read and the peer keeps it open.
    pub(crate) async fn into_stream(mut self) -> Option<Stream> {
        poll_fn(|cx| {
            self.drive(cx);
            Poll::Ready(())
        })
        .await;
        if self.is_ended || !self.sender.is_ready() {
            return None;
        }
        let parts = self.connection.into_parts();
        parts.read_buf.is_empty().then(|| parts.io.into_inner().stream)
    }

    /// Moves bytes until the connection waits for the peer, the body's reader or its end.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.is_ended
            && let Poll::Ready(ended) = self.connection.poll_without_shutdown(cx)
        {
            self.is_ended = true;
            self.failure = ended.err();
        }
    }

    /// The next part of a body, no larger than what is read at once.
    pub(crate) async fn next_part(
        &mut self,
        body: &mut Incoming,
    ) -> Option<Result<Bytes, HttpError>> {
        let wakes = self.wakes.clone();
        poll_fn(|cx| wakes.poll(cx, |cx| self.poll_part(body, cx))).await
    }

    fn poll_part(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, HttpError>>> {
        loop {
            self.drive(cx);
            match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => return Poll::Ready(Some(Ok(data))),
                    Err(_trailers) => {}
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(self.body_error(&error)))),
            }
        }
    }

    /// Turns a failed exchange into the words of Go's client.
    fn explain(self, error: &hyper::Error) -> Failure {
        let tapped = self.connection.into_parts().io.into_inner();
        let start = tapped.start();
        let failures = [Some(error), self.failure.as_ref()];
        let io_error = failures.into_iter().flatten().find_map(io_source);
        let is_silent = start.is_empty();
        if let Some(text) = io_error.and_then(tls::go_text) {
            return Failure { cause: Cause::Tls(text), is_silent, is_unprocessed: false };
        }
        let cause = match io_error {
            Some(io_error) if io_error.kind() != io::ErrorKind::UnexpectedEof => {
                Cause::read(&tapped.stream.local(), &tapped.peer, io_error)
            }
            _ if is_silent => Cause::Eof,
            _ => Cause::Malformed { detail: malformed_text(error, start) },
        };
        Failure { cause, is_silent, is_unprocessed: false }
    }

    fn body_error(&self, error: &hyper::Error) -> HttpError {
        let failures = [Some(error), self.failure.as_ref()];
        let io_error = failures.into_iter().flatten().find_map(io_source);
        if let Some(text) = io_error.and_then(tls::go_text) {
            return HttpError::Body(text);
        }
        HttpError::Body(match io_error {
            Some(io_error) if io_error.raw_os_error().is_some() => errno_text(io_error),
            Some(io_error) if io_error.kind() == io::ErrorKind::InvalidInput => {
                "invalid byte in chunk length".to_owned()
            }
            _ => "unexpected EOF".to_owned(),
        })
    }
}

/// The I/O error inside of hyper's, if that is what it was.
fn io_source(error: &hyper::Error) -> Option<&io::Error> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = source {
        if let Some(io_error) = inner.downcast_ref::<io::Error>() {
            return Some(io_error);
        }
        source = inner.source();
    }
    None
}

/// What is wrong with the head of an answer that begins with `start`.
/// Compat: Go `net/http` `ReadResponse`.
fn malformed_text(error: &hyper::Error, start: &[u8]) -> String {
    if error.is_parse_too_large() {
        return format!(
            "net/http: server response headers exceeded {READ_SIZE_BYTES} bytes; aborted"
        );
    }
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let Some(space) = line.iter().position(|byte| *byte == b' ') else {
        return format!("malformed HTTP response {}", quote_go_bytes(line));
    };
    let (version, rest) = (&line[..space], line[space..].trim_ascii_start());
    let code = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
    if code.len() != 3 || !code.iter().all(u8::is_ascii_digit) {
        format!("malformed HTTP status code {}", quote_go_bytes(code))
    } else if !version.starts_with(b"HTTP/1.") {
        format!("malformed HTTP version {}", quote_go_bytes(version))
    } else if error.is_incomplete_message() {
        "unexpected EOF".to_owned()
    } else {
        "malformed MIME header".to_owned()
    }
}
