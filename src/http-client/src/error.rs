//! What can go wrong between a request and its body, in the words that Prometheus shows for a target.
//! Whether a failure is worth a retry is the caller's matter.

use std::io;

use http::Method;
use prom_model::quote_go;

use crate::stream::End;

/// A request that brought no usable answer.
/// Texts follow Go's `net/http` and `compress/gzip`, as users and dashboards know them from `lastError`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The exchange failed before the head of a response was there.
    #[error("{} {}: {cause}", title_case(method), quote_go(url))]
    Exchange { method: Method, url: String, cause: Cause },
    /// The deadline passed while the body was read.
    #[error("context deadline exceeded")]
    Deadline,
    /// The body, after decoding, reaches the limit that the caller set.
    #[error("body size limit exceeded")]
    BodyTooLarge { limit_bytes: u64 },
    /// The bodies that are read at this moment take all the memory set aside for them.
    #[error("no memory left for bodies in flight (limit: {limit_bytes} bytes)")]
    BodyBudget { limit_bytes: u64 },
    /// The connection ended, or the peer broke the framing, inside the body.
    #[error("{0}")]
    Body(String),
    /// The body is not what its `Content-Encoding` says.
    #[error("{0}")]
    Gzip(&'static str),
    /// The configuration asks for what this client cannot do.
    #[error("{0}")]
    Unsupported(String),
}

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    #[error("context deadline exceeded")]
    Deadline,
    #[error("dial tcp: lookup {host}: {reason}")]
    Lookup { host: String, reason: String },
    /// The address has its network before it: `tcp` or `unix`.
    #[error("dial {address}: connect: {reason}")]
    Connect { address: String, reason: String },
    /// The peer closed the connection instead of answering.
    #[error("EOF")]
    Eof,
    /// The ends have their network before them.
    #[error("read {ends}: read: {reason}")]
    Read { ends: String, reason: String },
    /// What came back is not HTTP/1.x; `detail` shows the start of it.
    #[error("net/http: HTTP/1.x transport connection broken: {detail}")]
    Malformed { detail: String },
    /// The server, or what it sent, ended the request or its HTTP/2 connection.
    #[error("{0}")]
    Http2(String),
    #[error("failed to parse Location header {}: {reason}", quote_go(location))]
    Location { location: String, reason: String },
    #[error("stopped after {count} redirects")]
    Redirects { count: usize },
    #[error("unsupported protocol scheme {}", quote_go(scheme))]
    Scheme { scheme: String },
    /// The handshake failed, or what it needs cannot be used.
    #[error("{0}")]
    Tls(String),
    /// The way to the proxy failed.
    #[error("proxyconnect tcp: {0}")]
    Proxy(Box<Cause>),
    /// The proxy does not let us through; its words.
    #[error("{0}")]
    ProxyRefused(String),
    /// The proxy, asked by SOCKS5, cannot reach the server.
    #[error("socks connect tcp {proxy}->{target}: {reason}")]
    Socks { proxy: String, target: String, reason: String },
    /// No token came for the request.
    #[error("{0}")]
    Token(String),
    #[error("unable to read {what}: unable to read file {path}: {reason}")]
    Secret { what: &'static str, path: String, reason: String },
    #[error("{0}")]
    Request(String),
}

impl Cause {
    /// A connection between these ends that failed while it was read.
    pub(crate) fn read(local: &End, peer: &End, error: &io::Error) -> Self {
        let ends = format!("{} {local}->{peer}", peer.network());
        Self::Read { ends, reason: errno_text(error) }
    }
}

impl HttpError {
    pub fn is_deadline(&self) -> bool {
        matches!(self, Self::Deadline | Self::Exchange { cause: Cause::Deadline, .. })
    }

    pub fn is_body_too_large(&self) -> bool {
        matches!(self, Self::BodyTooLarge { .. })
    }
}

/// Go's text of a system call's error: the C library's in lower case, without the number.
pub(crate) fn errno_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// `GET` as `Get`.
fn title_case(method: &Method) -> String {
    let name = method.as_str();
    let (first, rest) = name.split_at_checked(1).unwrap_or((name, ""));
    format!("{first}{}", rest.to_ascii_lowercase())
}
