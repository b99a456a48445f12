//! Why an exchange over HTTP/2 failed, in the words of Go's client. What the socket said is noted on the way,
//! as the layers above it keep no more than its kind.
//! Compat: Go `net/http` `h2_bundle.go`.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use h2::Reason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{super::Failure, HEAD_SIZE_BYTES_MAX};
use crate::{
    HttpError,
    error::{Cause, errno_text},
    stream::{End, Stream},
    tls,
};

/// The connection ended where more was to come.
const EOF: &str = "unexpected EOF";

/// A connection that notes how it ends.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) stream: Stream,
    pub(super) seen: Arc<Seen>,
}

/// How a connection ended.
#[derive(Debug)]
pub(super) struct Seen {
    /// A socket that was reset does not tell any more.
    peer: End,
    is_at_end: AtomicBool,
    broken: OnceLock<Broken>,
}

#[derive(Debug)]
enum Broken {
    Tls(String),
    Socket { local: End, error: io::Error },
}

impl Seen {
    pub(super) fn new(peer: End) -> Self {
        Self { peer, is_at_end: AtomicBool::new(false), broken: OnceLock::new() }
    }

    /// Why no answer came to the request of stream `id`.
    pub(super) fn explain(&self, error: &h2::Error, id: u32) -> Failure {
        let is_unprocessed = is_unprocessed(error);
        // A stream that was reset has been looked at; a connection that ended has brought nothing.
        let is_silent = is_unprocessed || error.is_io();
        let cause = match self.broken.get() {
            Some(Broken::Tls(text)) => Cause::Tls(text.clone()),
            Some(Broken::Socket { local, error }) => Cause::read(local, &self.peer, error),
            None => Cause::Http2(match error.is_library() && error.is_reset() {
                true => {
                    let text = self.text(error, id);
                    format!(
                        "{text}; the head of the response is malformed or exceeds {HEAD_SIZE_BYTES_MAX} bytes"
                    )
                }
                false => self.text(error, id),
            }),
        };
        Failure { cause, is_silent, is_unprocessed }
    }

    /// Why a body ended early.
    pub(super) fn explain_body(&self, error: &h2::Error, id: u32) -> HttpError {
        HttpError::Body(match self.broken.get() {
            Some(Broken::Tls(text)) => text.clone(),
            Some(Broken::Socket { error, .. }) => errno_text(error),
            // Not as long as the head has promised.
            None if error.is_library() && error.is_reset() => EOF.to_owned(),
            None => self.text(error, id),
        })
    }

    fn text(&self, error: &h2::Error, id: u32) -> String {
        if let Some(error) = error.get_io() {
            let is_at_end = self.is_at_end.load(Ordering::Relaxed);
            return if is_at_end { EOF.to_owned() } else { errno_text(error) };
        }
        let Some(reason) = error.reason().map(name_of) else { return error.to_string() };
        match (error.is_go_away(), error.is_remote()) {
            (true, true) if error.reason() == Some(Reason::NO_ERROR) => {
                "http2: Transport received Server's graceful shutdown GOAWAY".to_owned()
            }
            (true, true) => {
                format!("http2: Transport received GOAWAY from server ErrCode:{reason}")
            }
            (true, false) => format!("connection error: {reason}"),
            (false, true) => format!("stream error: stream ID {id}; {reason}; received from peer"),
            (false, false) => format!("stream error: stream ID {id}; {reason}"),
        }
    }

    fn note(&self, stream: &Stream, error: &io::Error) {
        self.broken.get_or_init(|| match tls::go_text(error) {
            Some(text) => Broken::Tls(text),
            None => {
                // Errors of the system have a number, and no other is made of it.
                let copy = error.raw_os_error().map(io::Error::from_raw_os_error);
                let error = copy.unwrap_or_else(|| io::Error::new(error.kind(), error.to_string()));
                Broken::Socket { local: stream.local(), error }
            }
        });
    }
}

/// As RFC 9113 names it.
fn name_of(reason: Reason) -> String {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    let code = u32::from(reason);
    let name = usize::try_from(code).ok().and_then(|code| NAMES.get(code));
    name.map_or_else(|| format!("unknown error code 0x{code:x}"), |name| (*name).to_owned())
}

/// The server says that it has not begun with the request (RFC 9113, section 8.7): a farewell fails only
/// the streams that come after the last one it has looked at.
fn is_unprocessed(error: &h2::Error) -> bool {
    let is_refused = error.reason() == Some(Reason::REFUSED_STREAM);
    error.is_remote() && (error.is_go_away() || is_refused)
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        match &polled {
            Poll::Ready(Ok(())) if buf.filled().len() == before => {
                self.seen.is_at_end.store(true, Ordering::Relaxed);
            }
            // Compat: Go does not ask for the end that TLS wants to be told.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.seen.is_at_end.store(true, Ordering::Relaxed);
            }
            Poll::Ready(Err(error)) => self.seen.note(&self.stream, error),
            _ => {}
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
}
