//! A connection through an HTTP proxy, asked for with `CONNECT`.

use http::HeaderValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Proxy;
use crate::{connect::Origin, error::Cause, stream::Stream};

/// The head of a proxy's answer must fit.
const HEAD_SIZE_BYTES_MAX: usize = 64 << 10;

/// Asks the proxy at the other end of `stream` for a connection to `origin`.
pub(super) async fn open(
    mut stream: Stream,
    proxy: &Proxy,
    origin: &Origin,
    user_agent: &HeaderValue,
    more: &[(String, HeaderValue)],
) -> Result<Stream, Cause> {
    let host = origin.authority();
    let mut head = format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n").into_bytes();
    let mut add = |name: &str, value: &HeaderValue| {
        for part in [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    };
    add("User-Agent", user_agent);
    if let Some(authorization) = &proxy.authorization {
        add("Proxy-Authorization", authorization);
    }
    more.iter().for_each(|(name, value)| add(name, value));
    head.extend_from_slice(b"\r\n");
    if let Err(error) = stream.write_all(&head).await {
        return Err(Cause::read(&stream.local(), &stream.peer(), &error));
    }
    // TLS keeps what it sends until it is told that there is no more.
    if let Err(error) = stream.flush().await {
        return Err(Cause::read(&stream.local(), &stream.peer(), &error));
    }
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        // Byte by byte, so that nothing is taken that belongs to the tunnel.
        match stream.read_u8().await {
            Ok(byte) => answer.push(byte),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(Cause::Eof);
            }
            Err(error) => return Err(Cause::read(&stream.local(), &stream.peer(), &error)),
        }
        if answer.len() > HEAD_SIZE_BYTES_MAX {
            let reason = "net/http: server response headers exceeded the limit; aborted";
            return Err(Cause::ProxyRefused(reason.to_owned()));
        }
    }
    check_answer(&answer).map(|()| stream)
}

/// Whether the tunnel stands. Go tells what stands behind the code, otherwise.
fn check_answer(answer: &[u8]) -> Result<(), Cause> {
    let line = answer.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line.trim_ascii_end());
    let mut words = line.splitn(3, ' ');
    let (_version, code, phrase) = (words.next(), words.next(), words.next());
    match (code, phrase) {
        (Some("200"), _) => Ok(()),
        (Some(_), Some(phrase)) => Err(Cause::ProxyRefused(phrase.to_owned())),
        _ => Err(Cause::ProxyRefused("unknown status code".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_200_opens_a_tunnel() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\n", None),
            ("HTTP/1.0 200\r\n\r\n", None),
            ("HTTP/1.1 403 Nope, never\r\n\r\n", Some("Nope, never")),
            ("\r\n\r\n", Some("unknown status code")),
        ] {
            let got = check_answer(answer.as_bytes()).err().map(|cause| cause.to_string());
            assert_eq!(got.as_deref(), expected, "{answer}");
        }
    }
}
