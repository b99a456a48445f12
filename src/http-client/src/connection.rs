//! A connection to a server in whichever version of HTTP was agreed on: between two requests, and during
//! one. What is asked, and whether it is asked again, is the client's matter.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE},
    response::Parts,
};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::{
    BodyLimit, Buffer, HttpError,
    exchange::{
        Exchange, Failure,
        http2::{Download, Http2},
    },
    stream::Stream,
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
    Http1(Stream),
    Http2(Box<Http2>),
}

/// A connection whose answer has been read up to its body. Dropping it closes the connection.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the usual variant takes no allocation of its own")]
pub(crate) enum Answering {
    Http1 { exchange: Exchange, body: Incoming },
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
            false => Ok(Self::Http1(stream)),
        }
    }

    pub(crate) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// Whether the peer has not ended it, as far as can be told at a glance.
    pub(crate) fn is_silent(&self) -> bool {
        match self {
            Self::Http1(stream) => stream.is_silent(),
            // The peer may well have something to say: see `wake`.
            Self::Http2(_) => true,
        }
    }

    /// The connection, unless what has come since its last request has ended it.
    pub(crate) async fn wake(self) -> Option<Self> {
        match self {
            Self::Http1(stream) => Some(Self::Http1(stream)),
            Self::Http2(mut exchange) => {
                exchange.is_reusable().await.then_some(Self::Http2(exchange))
            }
        }
    }

    /// Sends a request and waits for the head of the response.
    pub(crate) async fn send(self, message: &Message<'_>) -> Result<(Answering, Parts), Failure> {
        match self {
            Self::Http1(stream) => {
                let (exchange, response) = Exchange::begin(stream, message.to_http1()).await?;
                let (head, body) = response.into_parts();
                Ok((Answering::Http1 { exchange, body }, head))
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
            Self::Http1 { exchange, body } => exchange.read_body(body, out, limit).await,
            Self::Http2 { exchange, body } => exchange.read_body(body, out, limit).await,
        }
    }

    /// Reads up to `size_bytes_max` of a body that nobody wants; says whether that was all of it.
    pub(crate) async fn discard_body(&mut self, size_bytes_max: u64) -> bool {
        match self {
            Self::Http1 { exchange, body } => exchange.discard_body(body, size_bytes_max).await,
            Self::Http2 { exchange, body } => exchange.discard_body(body, size_bytes_max).await,
        }
    }

    /// The next part of the body; no larger than what is read from a socket at once.
    pub(crate) async fn next_part(&mut self) -> Option<Result<Bytes, HttpError>> {
        match self {
            Self::Http1 { exchange, body } => exchange.next_part(body).await,
            Self::Http2 { exchange, body } => exchange.next_part(body).await,
        }
    }

    /// The connection, if the whole answer was read and the peer keeps it open.
    pub(crate) async fn into_connection(self) -> Option<Connection> {
        match self {
            Self::Http1 { exchange, body } => {
                drop(body);
                exchange.into_stream().await.map(Connection::Http1)
            }
            Self::Http2 { mut exchange, body } => {
                drop(body);
                exchange.is_reusable().await.then_some(Connection::Http2(exchange))
            }
        }
    }
}

impl Message<'_> {
    fn to_http1(&self) -> http::Request<Full<Bytes>> {
        let mut request = http::Request::new(Full::new(self.body.clone()));
        request.method_mut().clone_from(self.method);
        request.uri_mut().clone_from(self.uri);
        *request.version_mut() = Version::HTTP_11;
        request.headers_mut().clone_from(self.headers);
        request
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
        let is_upload = matches!(*self.method, Method::POST | Method::PUT | Method::PATCH);
        if is_upload || !self.body.is_empty() {
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
