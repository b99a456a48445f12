//! Heads: of a request to bytes, of a response from bytes. Where its body ends is in `framing`.

use std::{io::Write as _, mem::MaybeUninit};

use bytes::{Buf, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH},
    response::Parts,
};
use httparse::{ParserConfig, Status};
use memchr::memmem;
use prom_model::quote_go_bytes;

use crate::{connection::Message, error::Cause, exchange::ReasonPhrase};

/// A longer head, or one with more headers, is no answer.
const HEAD_SIZE_BYTES_MAX: usize = 64 << 10;
const HEADER_COUNT_MAX: usize = 128;
/// How much of the start of an answer is shown.
const START_SIZE_BYTES: usize = 96;
/// Of a usual request.
const REQUEST_SIZE_BYTES: usize = 512;

/// How much of a head has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// A byte came back.
    pub(super) has_begun: bool,
    /// How much there was when it was last looked at as a whole.
    seen_bytes: usize,
}

/// The head of a request, up to its empty line.
pub(super) fn encode(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(REQUEST_SIZE_BYTES);
    out.extend_from_slice(message.method.as_str().as_bytes());
    // Writing to memory does not fail.
    drop(write!(out, " {} HTTP/1.1\r\n", message.uri));
    let mut push = |name: &HeaderName, value: &[u8]| {
        for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    };
    for (name, value) in message.headers {
        push(name, value.as_bytes());
    }
    if message.tells_length() {
        push(&CONTENT_LENGTH, message.body.len().to_string().as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out
}

impl Progress {
    /// Takes the head out of what has come, if it has come to its end. Interim answers are passed over.
    pub(super) fn take(&mut self, ahead: &mut BytesMut) -> Result<Option<Parts>, Cause> {
        self.has_begun |= !ahead.is_empty();
        while self.is_due(ahead) {
            let Some((head, size_bytes)) = parse(ahead)? else {
                self.seen_bytes = ahead.len();
                break;
            };
            ahead.advance(size_bytes);
            self.seen_bytes = 0;
            let is_interim =
                head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS;
            if !is_interim {
                return Ok(Some(head));
            }
        }
        match ahead.len() {
            HEAD_SIZE_BYTES_MAX.. => Err(Cause::Malformed {
                detail: format!(
                    "net/http: server response headers exceeded {HEAD_SIZE_BYTES_MAX} bytes; aborted"
                ),
            }),
            _ => Ok(None),
        }
    }

    /// Why there is no head where the stream has ended.
    pub(super) fn at_end(&self, ahead: &[u8]) -> Cause {
        match self.has_begun {
            false => Cause::Eof,
            true => Cause::Malformed { detail: malformed_text(ahead, "unexpected EOF") },
        }
    }

    /// Whether there may be an end, or a mistake: a head that comes byte by byte is not looked at each time.
    fn is_due(&self, ahead: &[u8]) -> bool {
        let new = &ahead[self.seen_bytes.saturating_sub(3).min(ahead.len())..];
        !ahead.is_empty()
            && (ahead.len() >= self.seen_bytes * 2
                || [&b"\n\r\n"[..], b"\n\n"].iter().any(|end| memmem::find(new, end).is_some()))
    }
}

/// A whole head, and its size.
fn parse(bytes: &[u8]) -> Result<Option<(Parts, usize)>, Cause> {
    let malformed = || Cause::Malformed { detail: malformed_text(bytes, "malformed MIME header") };
    let mut headers = [const { MaybeUninit::uninit() }; HEADER_COUNT_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let status = ParserConfig::default()
        .parse_response_with_uninit_headers(&mut parsed, bytes, &mut headers)
        .map_err(|_| malformed())?;
    let Status::Complete(size_bytes) = status else { return Ok(None) };
    let (mut head, ()) = http::Response::new(()).into_parts();
    head.status = StatusCode::from_u16(parsed.code.unwrap_or_default()).map_err(|_| malformed())?;
    head.version = if parsed.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let reason = parsed.reason.unwrap_or_default();
    if head.status.canonical_reason() != Some(reason) {
        head.extensions.insert(ReasonPhrase(Bytes::copy_from_slice(reason.as_bytes())));
    }
    for header in parsed.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| malformed())?;
        let value = HeaderValue::from_bytes(header.value).map_err(|_| malformed())?;
        head.headers.append(name, value);
    }
    Ok(Some((head, size_bytes)))
}

/// Whether the server answers another request on this connection (RFC 9112, section 9.3).
pub(super) fn keeps_connection(head: &Parts) -> bool {
    match head.version {
        Version::HTTP_10 => has_token(&head.headers, "keep-alive"),
        _ => !has_token(&head.headers, "close"),
    }
}

fn has_token(headers: &HeaderMap, token: &str) -> bool {
    let values = headers.get_all(CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|it| it.trim().eq_ignore_ascii_case(token))
}

/// What is wrong with an answer that begins with `bytes`; `otherwise`, if it begins well.
/// Compat: Go `net/http` `ReadResponse`.
fn malformed_text(bytes: &[u8], otherwise: &str) -> String {
    let start = &bytes[..bytes.len().min(START_SIZE_BYTES)];
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
    } else {
        otherwise.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of bytes that come in pieces of each size.
    fn take(bytes: &[u8]) -> Result<Option<(u16, usize)>, String> {
        let taken = |size: usize| {
            let (mut progress, mut ahead) = (Progress::default(), BytesMut::new());
            for piece in bytes.chunks(size) {
                ahead.extend_from_slice(piece);
                match progress.take(&mut ahead) {
                    Ok(None) => {}
                    Ok(Some(head)) => return Ok(Some((head.status.as_u16(), head.headers.len()))),
                    Err(cause) => return Err(cause.to_string()),
                }
            }
            Ok(None)
        };
        let whole = taken(bytes.len().max(1));
        for size in 1..bytes.len().min(40) {
            let in_pieces = taken(size);
            assert_eq!(in_pieces.is_ok(), whole.is_ok(), "{size}: {bytes:?}");
            if whole.is_ok() {
                assert_eq!(in_pieces, whole, "{size}: {bytes:?}");
            }
        }
        whole
    }

    #[test]
    fn heads_are_taken_however_they_come() {
        let many = |count: usize| {
            let headers: String = (0..count).map(|index| format!("h{index}: v\r\n")).collect();
            format!("HTTP/1.1 200 OK\r\n{headers}\r\n").into_bytes()
        };
        for (bytes, expected) in [
            (&b"HTTP/1.1 200 OK\r\na: b\r\n\r\nrest"[..], Ok(Some((200, 1)))),
            (b"HTTP/1.0 404 Not Found\nA:b\nA: c\n\n", Ok(Some((404, 2)))),
            (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\na: b\r\n\r\nHTTP/1.1 204\r\n\r\n", Ok(Some((204, 0)))),
            (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", Ok(Some((101, 0)))),
            (b"HTTP/1.1 100 Continue\r\n\r\n", Ok(None)),
            (b"HTTP/1.1 200 OK\r\na: b\r\n", Ok(None)),
            (b"", Ok(None)),
            (&many(HEADER_COUNT_MAX), Ok(Some((200, HEADER_COUNT_MAX)))),
        ] {
            assert_eq!(take(bytes), expected, "{}", String::from_utf8_lossy(bytes));
        }
        for bytes in [
            &b"HTTP/1.1 200 OK\r\na b\r\n\r\n"[..],
            b"HTTP/1.1 20 OK\r\n\r\n",
            b"HTTP/1.1 000 OK\r\n\r\n",
            b"HTTP/2.0 200 OK\r\n\r\n",
            b"\x16\x03\x01",
            &many(HEADER_COUNT_MAX + 1),
            &[&b"HTTP/1.1 200 OK\r\na: "[..], &[b'x'; HEAD_SIZE_BYTES_MAX]].concat(),
        ] {
            assert!(take(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn connections_are_kept_as_the_version_has_it() {
        for (head, is_kept) in [
            ("HTTP/1.1 200 OK\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nConnection: upgrade, Close\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n\r\n", true),
        ] {
            let mut ahead = BytesMut::from(head);
            let head = Progress::default().take(&mut ahead).unwrap().unwrap();
            assert_eq!(keeps_connection(&head), is_kept, "{head:?}");
        }
    }
}
