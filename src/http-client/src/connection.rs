//! A connection to a server in whichever version of HTTP was agreed on: between two requests, and during
//! one. What is asked, and whether it is asked again, is the client's matter.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE},
    response::Parts,
};

use crate::{
    BodyLimit, Buffer, HttpError,
    exchange::{
        Failure,
        http1::Http1,
        http2::{Download, Http2},
    },
    stream::{End, Stream},
};

/// Not for HTTP/2 (RFC 9113, section 8.2.2).
const CONNECTION_HEADERS: [HeaderName; 5] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TRANSFER_ENCODING,
    UPGRADE,
];

/// A connection that nobody waits for at this moment.
#[derive(Debug)]
pub(crate) enum Connection {
    Http1 { stream: Stream, peer: End },
    Http2(Box<Http2>),
}

/// A connection whose answer has been read up to its body. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) enum Answering {
    Http1(Http1),
    Http2 { exchange: Box<Http2>, body: Download },
}

/// What goes over a connection, as HTTP/1.1 has it: the path, or for a proxy the whole URL, and the host
/// among the headers.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a Bytes,
}

impl Connection {
    /// A connection that was made just now; TLS has settled on the version.
    pub(crate) async fn new(stream: Stream) -> Result<Self, Failure> {
        match stream.is_http2() {
            true => Ok(Self::Http2(Box::new(Http2::open(stream).await?))),
            false => Ok(Self::Http1 { peer: stream.peer(), stream }),
        }
    }

    pub(crate) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// Whether the peer has not ended it, as far as can be told at a glance.
    pub(crate) fn is_silent(&self) -> bool {
        match self {
            Self::Http1 { stream, .. } => stream.is_silent(),
            // The peer may well have something to say: see `wake`.
            Self::Http2(_) => true,
        }
    }

    /// The connection, unless what has come since its last request has ended it.
    pub(crate) async fn wake(self) -> Option<Self> {
        match self {
            Self::Http1 { .. } => Some(self),
            Self::Http2(mut exchange) => {
                exchange.is_reusable().await.then_some(Self::Http2(exchange))
            }
        }
    }

    /// Sends a request and waits for the head of the response.
    pub(crate) async fn send(self, message: &Message<'_>) -> Result<(Answering, Parts), Failure> {
        match self {
            Self::Http1 { stream, peer } => {
                let (exchange, head) = Http1::begin(stream, peer, message).await?;
                Ok((Answering::Http1(exchange), head))
            }
            Self::Http2(mut exchange) => {
                let (head, body) = exchange.begin(message.to_http2()?).await?.into_parts();
                Ok((Answering::Http2 { exchange, body }, head))
            }
        }
    }
}

impl Answering {
    /// Appends the whole body to `out`; the bound holds before memory is taken.
    pub(crate) async fn read_body(
        &mut self,
        out: &mut Buffer,
        limit: BodyLimit,
    ) -> Result<(), HttpError> {
        match self {
            Self::Http1(exchange) => exchange.read_body(out, limit).await,
            Self::Http2 { exchange, body } => exchange.read_body(body, out, limit).await,
        }
    }

    /// Reads up to `size_bytes_max` of a body that nobody wants; says whether that was all of it.
    pub(crate) async fn discard_body(&mut self, size_bytes_max: u64) -> bool {
        match self {
            Self::Http1(exchange) => exchange.discard_body(size_bytes_max).await,
            Self::Http2 { exchange, body } => exchange.discard_body(body, size_bytes_max).await,
        }
    }

    /// The next part of the body; no larger than what is read from a socket at once.
    pub(crate) async fn next_part(&mut self) -> Option<Result<Bytes, HttpError>> {
        match self {
            Self::Http1(exchange) => exchange.next_part().await,
            Self::Http2 { exchange, body } => exchange.next_part(body).await,
        }
    }

    /// The connection, if the whole answer was read and the peer keeps it open.
    pub(crate) async fn into_connection(self) -> Option<Connection> {
        match self {
            Self::Http1(exchange) => {
                let (stream, peer) = exchange.into_stream()?;
                Some(Connection::Http1 { stream, peer })
            }
            Self::Http2 { mut exchange, body } => {
                drop(body);
                exchange.is_reusable().await.then_some(Connection::Http2(exchange))
            }
        }
    }
}

impl Message<'_> {
    /// Whether the size of the body belongs to the head.
    pub(crate) fn tells_length(&self) -> bool {
        let is_upload = matches!(*self.method, Method::POST | Method::PUT | Method::PATCH);
        is_upload || !self.body.is_empty()
    }

    /// The host moves from the headers into the URL; what is about the connection is left out.
    fn to_http2(&self) -> Result<http::Request<Bytes>, Failure> {
        let mut request = http::Request::new(self.body.clone());
        let headers = request.headers_mut();
        headers.clone_from(self.headers);
        let host = headers.remove(HOST);
        for name in CONNECTION_HEADERS {
            headers.remove(name);
        }
        if self.tells_length() {
            headers.insert(CONTENT_LENGTH, self.body.len().into());
        }
        request.method_mut().clone_from(self.method);
        *request.uri_mut() = Uri::builder()
            .scheme("https")
            .authority(host.as_ref().map_or(&[][..], HeaderValue::as_bytes))
            .path_and_query(self.uri.path_and_query().map_or("/", |path| path.as_str()))
            .build()
            .map_err(|error| Failure::before(error.to_string()))?;
        *request.version_mut() = Version::HTTP_2;
        Ok(request)
    }
}
