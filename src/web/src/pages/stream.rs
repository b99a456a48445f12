//! A page that is sent while it is made: each piece leaves at once, compressed if the client likes.
//! General compressors keep pieces back until they have enough; this one flushes.

use std::{convert::Infallible, io::Write};

use axum::{body::Body, response::Response};
use flate2::{Compression, write::GzEncoder};
use futures_util::{Stream, StreamExt};
use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY},
};

use super::layout::html_stream;

/// A piece of a page.
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) is_last: bool,
}

/// Answers with the pieces as they come.
pub(super) fn respond(
    request: &HeaderMap,
    pieces: impl Stream<Item = Piece> + Send + 'static,
) -> Response {
    let is_gzip_accepted = accepts_gzip(request);
    let mut encoder = is_gzip_accepted.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
    let bytes = pieces.map(move |piece| {
        let bytes = match encoder.as_mut() {
            Some(gzip) if piece.is_last => finished(gzip, &piece.text),
            Some(gzip) => flushed(gzip, &piece.text),
            None => piece.text.into_bytes(),
        };
        Ok::<_, Infallible>(bytes)
    });
    let mut response = html_stream(Body::from_stream(bytes));
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if is_gzip_accepted {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Whether `gzip` is in the list and not refused by `q=0`.
fn accepts_gzip(request: &HeaderMap) -> bool {
    let lists =
        request.get_all(ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|part| part.strip_prefix("q=")).and_then(|q| q.parse().ok());
        is_gzip && weight.unwrap_or(1.0) > 0.0
    })
}

fn flushed(gzip: &mut GzEncoder<Vec<u8>>, text: &str) -> Vec<u8> {
    let written = gzip.write_all(text.as_bytes()).and_then(|()| gzip.flush());
    written.expect("memory takes everything that is written");
    std::mem::take(gzip.get_mut())
}

fn finished(gzip: &mut GzEncoder<Vec<u8>>, text: &str) -> Vec<u8> {
    let written = gzip.write_all(text.as_bytes()).and_then(|()| gzip.try_finish());
    written.expect("memory takes everything that is written");
    std::mem::take(gzip.get_mut())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_taken_from_any_list() {
        for (list, expected) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("zstd, deflate", false),
            ("gzip;q=0, br", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(list))]);
            assert_eq!(accepts_gzip(&headers), expected, "{list}");
        }
    }

    #[test]
    fn each_piece_can_be_read_when_it_arrives() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        let mut plain = flate2::write::GzDecoder::new(Vec::new());
        for (bytes, expected) in [
            (flushed(&mut gzip, "first "), "first "),
            (flushed(&mut gzip, "second"), "first second"),
            (finished(&mut gzip, "."), "first second."),
        ] {
            plain.write_all(&bytes).unwrap();
            plain.flush().unwrap();
            assert_eq!(plain.get_ref(), expected.as_bytes());
        }
        plain.finish().unwrap();
    }
}
