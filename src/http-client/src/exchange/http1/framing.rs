//! Where a body ends (RFC 9112, section 6.3), and which of the bytes on the way there are its own.

use bytes::{Buf, BytesMut};
use http::{
    Method, StatusCode, Version,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
    response::Parts,
};
use httparse::Status;
use memchr::memchr;
use prom_model::quote_go;

use crate::HttpError;

pub(super) const UNEXPECTED_EOF: &str = "unexpected EOF";

/// Of the line before a chunk, and of all that comes behind the last one. Compat: Go `net/http/internal`.
const LINE_SIZE_BYTES_MAX: usize = 4_096;
const TRAILER_SIZE_BYTES_MAX: usize = 16 << 10;
/// So much of a chunk goes right to its reader; less of it is read with what comes behind it.
const RIGHT_SIZE_BYTES_MIN: u64 = 16 << 10;

/// What is still to come of a body.
#[derive(Debug)]
pub(super) enum Framing {
    Sized {
        left_bytes: u64,
    },
    Chunked(Chunk),
    /// All that comes.
    UntilClose,
    Ended,
}

/// Where in a body of chunks the next byte stands.
#[derive(Debug)]
pub(super) enum Chunk {
    Size,
    Data {
        left_bytes: u64,
    },
    /// Before the line end behind the data.
    DataEnd,
    /// Behind the last chunk.
    Trailer {
        size_bytes: usize,
    },
}

/// What can be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// So many bytes, which have come, are the body's; they count as taken.
    Part(usize),
    /// More must come; its first `right` bytes at most will be the body's.
    More {
        right: u64,
    },
    End,
}

impl Framing {
    /// Of the answer to a request.
    ///
    /// # Errors
    /// Nobody can tell where the body ends.
    pub(super) fn of(method: &Method, head: &Parts) -> Result<Self, String> {
        let has_none = *method == Method::HEAD
            || head.status.is_informational()
            || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if has_none {
            return Ok(Self::Ended);
        }
        let text =
            |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let mut encodings = head.headers.get_all(TRANSFER_ENCODING).into_iter().map(text);
        // Compat: Go `readTransfer`: older servers do not know it, whatever they send.
        if let Some(encoding) = encodings.next().filter(|_| head.version != Version::HTTP_10) {
            return match encodings.next() {
                None if encoding.eq_ignore_ascii_case("chunked") => Ok(Self::Chunked(Chunk::Size)),
                None => Err(format!("unsupported transfer encoding: {}", quote_go(&encoding))),
                Some(second) => {
                    let [first, second] = [encoding, second].map(|it| quote_go(&it));
                    Err(format!("too many transfer encodings: [{first} {second}]"))
                }
            };
        }
        let mut lengths = head.headers.get_all(CONTENT_LENGTH).into_iter().map(text);
        let Some(length) = lengths.next() else { return Ok(Self::UntilClose) };
        let length = length.trim();
        if let Some(other) = lengths.find(|other| other.trim() != length) {
            let [first, second] = [length, &other].map(quote_go);
            return Err(format!(
                "http: message cannot contain multiple Content-Length headers; got [{first} {second}]"
            ));
        }
        let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        match length.parse().ok().filter(|size| is_number && *size <= i64::MAX as u64) {
            Some(left_bytes) => Ok(Self::Sized { left_bytes }),
            None => Err(format!("bad Content-Length {}", quote_go(length))),
        }
    }

    /// Whether the body ends before the connection does.
    pub(super) fn is_told(&self) -> bool {
        !matches!(self, Self::UntilClose)
    }

    pub(super) fn is_ended(&self) -> bool {
        matches!(self, Self::Ended)
    }

    /// No less is still to come.
    pub(super) fn size_bytes_min(&self) -> u64 {
        match self {
            Self::Sized { left_bytes } => *left_bytes,
            _ => 0,
        }
    }

    /// Looks at what has come; takes away what is not the body's.
    ///
    /// # Errors
    /// It is not the framing of a body.
    pub(super) fn step(&mut self, ahead: &mut BytesMut) -> Result<Step, HttpError> {
        loop {
            return Ok(match self {
                Self::Ended | Self::Sized { left_bytes: 0 } => {
                    *self = Self::Ended;
                    Step::End
                }
                Self::UntilClose if ahead.is_empty() => Step::More { right: u64::MAX },
                Self::UntilClose => Step::Part(ahead.len()),
                Self::Sized { left_bytes } => part_of(ahead, left_bytes, 0),
                Self::Chunked(Chunk::Data { left_bytes }) if *left_bytes > 0 => {
                    part_of(ahead, left_bytes, RIGHT_SIZE_BYTES_MIN)
                }
                Self::Chunked(chunk) => match chunk.pass(ahead)? {
                    None => Step::More { right: 0 },
                    Some(next) => {
                        *self = next;
                        continue;
                    }
                },
            });
        }
    }

    /// So many bytes of the body went right to its reader.
    pub(super) fn pass(&mut self, size: usize) {
        if let Self::Sized { left_bytes } | Self::Chunked(Chunk::Data { left_bytes }) = self {
            *left_bytes = left_bytes.saturating_sub(size as u64);
        }
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// The body has not.
    pub(super) fn end(&mut self) -> Result<(), HttpError> {
        match self {
            Self::UntilClose | Self::Ended => {
                *self = Self::Ended;
                Ok(())
            }
            _ => Err(HttpError::Body(UNEXPECTED_EOF.to_owned())),
        }
    }
}

impl Chunk {
    /// Takes away what stands between data and data; `None` if more must come first.
    fn pass(&self, ahead: &mut BytesMut) -> Result<Option<Framing>, HttpError> {
        match self {
            Self::Size => match httparse::parse_chunk_size(ahead) {
                Err(_) => Err(broken("invalid byte in chunk length")),
                Ok(Status::Partial) if ahead.len() >= LINE_SIZE_BYTES_MAX => {
                    Err(broken("header line too long"))
                }
                Ok(Status::Partial) => Ok(None),
                Ok(Status::Complete((size, left_bytes))) => {
                    ahead.advance(size);
                    Ok(Some(Framing::Chunked(match left_bytes {
                        0 => Self::Trailer { size_bytes: 0 },
                        _ => Self::Data { left_bytes },
                    })))
                }
            },
            Self::Data { .. } => Ok(Some(Framing::Chunked(Self::DataEnd))),
            Self::DataEnd => match &ahead[..ahead.len().min(2)] {
                b"\r\n" => {
                    ahead.advance(2);
                    Ok(Some(Framing::Chunked(Self::Size)))
                }
                b"" | b"\r" => Ok(None),
                _ => Err(broken("malformed chunked encoding")),
            },
            Self::Trailer { size_bytes } => {
                let end = memchr(b'\n', ahead);
                let size_bytes = size_bytes + end.map_or(ahead.len(), |end| end + 1);
                if size_bytes > TRAILER_SIZE_BYTES_MAX {
                    return Err(broken("http: suspiciously long trailer after chunked body"));
                }
                let Some(end) = end else { return Ok(None) };
                let is_empty = matches!(&ahead[..end], b"" | b"\r");
                ahead.advance(end + 1);
                Ok(Some(match is_empty {
                    true => Framing::Ended,
                    false => Framing::Chunked(Self::Trailer { size_bytes }),
                }))
            }
        }
    }
}

/// Data up to the end of a part of known size, or the wish for more; at least so much goes right to the reader.
fn part_of(ahead: &[u8], left_bytes: &mut u64, right_bytes_min: u64) -> Step {
    if ahead.is_empty() {
        let right = if *left_bytes >= right_bytes_min { *left_bytes } else { 0 };
        return Step::More { right };
    }
    let size = usize::try_from(*left_bytes).unwrap_or(usize::MAX).min(ahead.len());
    *left_bytes -= size as u64;
    Step::Part(size)
}

fn broken(text: &str) -> HttpError {
    HttpError::Body(text.to_owned())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn head(version: Version, status: u16, headers: &[(&'static str, &str)]) -> Parts {
        let (mut head, ()) = http::Response::new(()).into_parts();
        head.version = version;
        head.status = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            head.headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        head
    }

    #[test]
    fn heads_tell_where_bodies_end() {
        let (old, new) = (Version::HTTP_10, Version::HTTP_11);
        let (length, encoding) = ("content-length", "transfer-encoding");
        for (head, expected) in [
            (head(new, 200, &[]), "UntilClose"),
            (head(new, 204, &[(length, "3")]), "Ended"),
            (head(new, 304, &[(encoding, "chunked")]), "Ended"),
            (head(new, 200, &[(length, " 3 ")]), "Sized { left_bytes: 3 }"),
            (head(new, 200, &[(length, "3"), (length, "3")]), "Sized { left_bytes: 3 }"),
            (head(new, 200, &[(length, "3"), (encoding, "Chunked")]), "Chunked(Size)"),
            (head(old, 200, &[(length, "3"), (encoding, "chunked")]), "Sized { left_bytes: 3 }"),
        ] {
            assert_eq!(format!("{:?}", Framing::of(&Method::GET, &head).unwrap()), expected);
            assert!(Framing::of(&Method::HEAD, &head).unwrap().is_ended());
        }
        for (headers, expected) in [
            (&[(length, "+3")][..], "bad Content-Length \"+3\""),
            (&[(length, "")], "bad Content-Length \"\""),
            (&[(length, "9223372036854775808")], "bad Content-Length \"9223372036854775808\""),
            (
                &[(length, "3"), (length, "4")],
                "http: message cannot contain multiple Content-Length headers; got [\"3\" \"4\"]",
            ),
            (&[(encoding, "gzip")], "unsupported transfer encoding: \"gzip\""),
            (
                &[(encoding, "gzip"), (encoding, "chunked")],
                "too many transfer encodings: [\"gzip\" \"chunked\"]",
            ),
        ] {
            let framing = Framing::of(&Method::GET, &head(new, 200, headers));
            assert_eq!(framing.unwrap_err(), expected);
        }
    }

    /// The body that comes out of bytes in pieces of this size; and what is left behind it.
    fn read(mut framing: Framing, bytes: &[u8], size: usize) -> Result<(String, String), String> {
        let (mut ahead, mut body) = (BytesMut::new(), Vec::new());
        let mut pieces = bytes.chunks(size);
        loop {
            match framing.step(&mut ahead).map_err(|error| error.to_string())? {
                Step::End => break,
                Step::Part(size) => body.extend_from_slice(&ahead.split_to(size)),
                Step::More { right } => match pieces.next() {
                    None => framing.end().map_err(|error| error.to_string())?,
                    // As much as may go right to the reader does.
                    Some(piece) => {
                        let (own, rest) = piece.split_at(right.min(piece.len() as u64) as usize);
                        body.extend_from_slice(own);
                        framing.pass(own.len());
                        ahead.extend_from_slice(rest);
                    }
                },
            }
        }
        pieces.for_each(|piece| ahead.extend_from_slice(piece));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((text(&body), text(&ahead)))
    }

    #[test]
    fn bodies_are_read_however_they_come() {
        let large = "x".repeat(40_000);
        let of_large = format!("9c40;a=b\r\n{large}\r\n0\r\nA: b\r\n\r\nrest");
        let chunked = || Framing::Chunked(Chunk::Size);
        let long_line = format!("1;{}", "x".repeat(LINE_SIZE_BYTES_MAX));
        let long_trailer = format!("0\r\n{}", "a: b\r\n".repeat(TRAILER_SIZE_BYTES_MAX / 6 + 1));
        type Case<'a> = (&'a dyn Fn() -> Framing, &'a str, Result<(&'a str, &'a str), &'a str>);
        let cases: [Case<'_>; 15] = [
            (&|| Framing::Sized { left_bytes: 3 }, "abcd", Ok(("abc", "d"))),
            (&|| Framing::Sized { left_bytes: 0 }, "d", Ok(("", "d"))),
            (&|| Framing::Sized { left_bytes: 5 }, "abcd", Err(UNEXPECTED_EOF)),
            (&|| Framing::UntilClose, "abcd", Ok(("abcd", ""))),
            (&|| Framing::Ended, "abcd", Ok(("", "abcd"))),
            (&chunked, "1\r\na\r\n2 \r\nbc\r\n0\r\n\r\nrest", Ok(("abc", "rest"))),
            (&chunked, &of_large, Ok((&large, "rest"))),
            (&chunked, "0\r\na: b\r\nc: d\r\n\r\n", Ok(("", ""))),
            (&chunked, "1\r\na", Err(UNEXPECTED_EOF)),
            (&chunked, "1\r\na\r\n", Err(UNEXPECTED_EOF)),
            (&chunked, "1\r\nab", Err("malformed chunked encoding")),
            (&chunked, "g\r\n", Err("invalid byte in chunk length")),
            (&chunked, "12345678901234567\r\n", Err("invalid byte in chunk length")),
            (&chunked, &long_line, Err("header line too long")),
            (&chunked, &long_trailer, Err("http: suspiciously long trailer after chunked body")),
        ];
        for (framing, bytes, expected) in cases {
            let expected = expected.map_err(str::to_owned);
            let expected = expected.map(|(body, rest)| (body.to_owned(), rest.to_owned()));
            for size in [1, 2, 3, 5, 17_000, bytes.len()] {
                let got = read(framing(), bytes.as_bytes(), size);
                assert_eq!(got, expected, "in pieces of {size}: {:.80}", bytes);
            }
        }
    }

    proptest! {
        #[test]
        fn chunks_of_all_sizes_come_back(
            parts in prop::collection::vec("[ -~]{1,300}", 0..8),
            large in 0..40_000_usize,
            size in 1..20_000_usize,
        ) {
            let parts: Vec<String> = parts.into_iter().chain([format!("{:large$}", "x")]).collect();
            let chunks: String =
                parts.iter().map(|part| format!("{:X}\r\n{part}\r\n", part.len())).collect();
            let bytes = format!("{chunks}0\r\n\r\nrest");
            let got = read(Framing::Chunked(Chunk::Size), bytes.as_bytes(), size);
            prop_assert_eq!(got, Ok((parts.concat(), "rest".to_owned())));
        }

        #[test]
        fn any_bytes_mean_the_same_however_they_come(
            bytes in prop::collection::vec(prop::sample::select(&b"0123aF;\r\n\r\nx "[..]), 0..200),
            size in 1..50_usize,
        ) {
            let whole = read(Framing::Chunked(Chunk::Size), &bytes, bytes.len().max(1));
            prop_assert_eq!(read(Framing::Chunked(Chunk::Size), &bytes, size), whole);
        }
    }
}
