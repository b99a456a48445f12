//! Requests with one deadline over name lookup, connection, redirects and body.
//! Retries of failed answers, and what an answer means, belong to the caller.

use std::{
    borrow::Cow,
    path::Path,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, LOCATION, PROXY_AUTHORIZATION, USER_AGENT},
    response::Parts,
};
use prom_config::HttpClientConfig;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::{
    AwsAccount, BodyLimit, Buffer, HttpError,
    aws::{Signer, sign::Signing},
    connect::{Origin, Turns, connect},
    connection::{Answering, Connection, Message},
    error::Cause,
    exchange::{Failure, ReasonPhrase},
    files::Files,
    headers::{add_configured, remove_sensitive, to_secret_value},
    idle::IdleConnections,
    oauth2::Tokens,
    pieces::Pieces,
    proxy::{Language, Proxies, Proxy},
    stream::Stream,
    tls::{Connector, Tls},
};

/// Compat: Go `net/http`, `defaultCheckRedirect`.
const REDIRECT_COUNT_MAX: usize = 10;
/// A longer body of an answer that nobody wants is cut off with its connection.
const DISCARD_SIZE_BYTES_MAX: u64 = 64 << 10;
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;
/// Of a connection without TLS.
const PLAIN_GENERATION: u64 = 0;

/// What to ask; can be sent any number of times.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    /// Total time until the body has been read.
    timeout: Duration,
    /// A unix socket that is dialed in place of the URL's host.
    socket: Option<Arc<Path>>,
    /// Found out when the request is sent first.
    place: OnceLock<Place>,
}

/// Where a request goes, and how it is said there.
#[derive(Clone, Debug)]
struct Place {
    origin: Arc<Origin>,
    host: HeaderValue,
    path: Uri,
}

/// Sends requests as one section of the configuration says. Clones share the idle connections.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    cfg: HttpClientConfig,
    user_agent: HeaderValue,
    files: Files,
    tls: Tls,
    proxies: Proxies,
    tokens: Option<Tokens>,
    signer: Option<Signer>,
    idle: IdleConnections,
    turns: Option<Turns>,
}

/// How a request gets to its server.
struct Way<'c> {
    origin: Arc<Origin>,
    connector: Option<Connector>,
    proxy: Option<&'c Proxy>,
}

/// The head of an answer; its body waits to be read.
#[derive(Debug)]
pub struct Response {
    status: StatusCode,
    headers: HeaderMap,
    reason: Option<ReasonPhrase>,
    answering: Answering,
    origin: Arc<Origin>,
    generation: u64,
    deadline: Instant,
    shared: Arc<Shared>,
}

impl Request {
    /// A GET of an absolute, percent-encoded URL, without headers.
    ///
    /// # Errors
    /// The URL is none.
    pub fn get(url: &str, timeout: Duration) -> Result<Self, HttpError> {
        Self::new(Method::GET, url, timeout)
    }

    /// A POST; its content type is one more header.
    ///
    /// # Errors
    /// The URL is none.
    pub fn post(url: &str, body: Vec<u8>, timeout: Duration) -> Result<Self, HttpError> {
        Ok(Self { body: body.into(), ..Self::new(Method::POST, url, timeout)? })
    }

    /// A PUT without a body.
    ///
    /// # Errors
    /// The URL is none.
    pub fn put(url: &str, timeout: Duration) -> Result<Self, HttpError> {
        Self::new(Method::PUT, url, timeout)
    }

    /// A POST of a form, percent-encoded already.
    pub(crate) fn post_form(
        url: &str,
        timeout: Duration,
        mut headers: HeaderMap,
        form: String,
    ) -> Result<Self, HttpError> {
        let content_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, content_type);
        Ok(Self { headers, body: form.into(), ..Self::new(Method::POST, url, timeout)? })
    }

    pub(crate) fn new(method: Method, url: &str, timeout: Duration) -> Result<Self, HttpError> {
        match url.parse::<Uri>() {
            Ok(uri) => {
                let (headers, body) = (HeaderMap::new(), Bytes::new());
                let (socket, place) = (None, OnceLock::new());
                Ok(Self { method, uri, headers, body, timeout, socket, place })
            }
            Err(error) => {
                let cause = Cause::Request(error.to_string());
                Err(HttpError::Exchange { method, url: url.to_owned(), cause })
            }
        }
    }

    /// Adds a header.
    ///
    /// # Errors
    /// The name or the value cannot be one.
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self, HttpError> {
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|error| error.to_string())
            .and_then(|name| match HeaderValue::from_str(value) {
                Ok(value) => Ok((name, value)),
                Err(error) => Err(error.to_string()),
            });
        match header {
            Ok((name, value)) => {
                self.headers.append(name, value);
                Ok(self)
            }
            Err(reason) => Err(self.fail(Cause::Request(reason))),
        }
    }

    /// Goes over a unix socket, redirects included; the URL's host is only told to the server. No proxy is
    /// asked.
    pub fn over_socket(mut self, path: &Path) -> Self {
        self.socket = Some(path.into());
        self.place = OnceLock::new();
        self
    }

    fn place(&self) -> Result<&Place, Cause> {
        if let Some(place) = self.place.get() {
            return Ok(place);
        }
        let origin = Arc::new(Origin { socket: self.socket.clone(), ..origin_of(&self.uri)? });
        let (host, path) = (host_of(&self.uri)?, path_of(&self.uri));
        Ok(self.place.get_or_init(|| Place { origin, host, path }))
    }

    fn fail(&self, cause: Cause) -> HttpError {
        let (method, url) = (self.method.clone(), self.uri.to_string());
        HttpError::Exchange { method, url, cause }
    }
}

impl Client {
    /// `user_agent` must be plain ASCII, as `Prometheus/3.5.0`.
    pub fn new(cfg: HttpClientConfig, user_agent: &'static str) -> Self {
        Self { shared: Arc::new(Shared::new(cfg, user_agent)) }
    }

    /// Signs each request in the name of an account, for the service of Amazon's cloud that it asks.
    pub fn signed(
        cfg: HttpClientConfig,
        account: Arc<AwsAccount>,
        service: &'static str,
        user_agent: &'static str,
    ) -> Self {
        let signer = Some(Signer { account, service });
        Self { shared: Arc::new(Shared { signer, ..Shared::new(cfg, user_agent) }) }
    }

    /// Gives the addresses of a name their turns, one for each new connection, in place of the first one.
    pub fn taking_turns(cfg: HttpClientConfig, user_agent: &'static str) -> Self {
        let turns = Some(Turns::default());
        Self { shared: Arc::new(Shared { turns, ..Shared::new(cfg, user_agent) }) }
    }

    /// Sends `request`, follows redirects if the configuration says so, and waits for the head of the
    /// answer, whatever its status.
    ///
    /// # Errors
    /// No answer came: see [`Cause`].
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection; nothing else is left behind.
    pub async fn send(&self, request: &Request) -> Result<Response, HttpError> {
        let deadline = Instant::now() + request.timeout;
        let mut hop = Cow::Borrowed(request);
        let mut is_foreign = false;
        for _ in 0..=REDIRECT_COUNT_MAX {
            let sent = timeout_at(deadline, self.send_once(&hop, is_foreign, deadline)).await;
            let response = sent.unwrap_or(Err(Cause::Deadline)).map_err(|cause| hop.fail(cause))?;
            let location = response.header(LOCATION.as_str()).map(str::to_owned);
            let Some(location) = location.filter(|_| self.follows(response.status)) else {
                return Ok(response);
            };
            let next = hop.to_mut();
            redirect(next, response.status, &location)?;
            is_foreign |= !is_same_site(&next.uri, &request.uri);
            if is_foreign {
                remove_sensitive(&mut next.headers);
            }
            response.discard().await;
        }
        Err(hop.fail(Cause::Redirects { count: REDIRECT_COUNT_MAX }))
    }

    fn follows(&self, status: StatusCode) -> bool {
        self.shared.cfg.follow_redirects && matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
    }

    async fn send_once(
        &self,
        hop: &Request,
        is_foreign: bool,
        deadline: Instant,
    ) -> Result<Response, Cause> {
        let shared = &*self.shared;
        let Place { origin, host, path } = hop.place()?;
        let files = shared.files.look().await?;
        let proxy = shared.proxies.of(origin)?;
        let needs_tls = origin.is_https || proxy.is_some_and(|proxy| proxy.origin.is_https);
        let connector = needs_tls.then(|| shared.tls.connector(&files)).transpose()?;
        let way = Way { proxy, origin: Arc::clone(origin), connector };
        let mut headers = hop.headers.clone();
        headers.insert(HOST, host.clone());
        headers.insert(USER_AGENT, shared.user_agent.clone());
        add_configured(&mut headers, &shared.cfg, &files, is_foreign)?;
        if let Some(tokens) = shared.tokens.as_ref().filter(|_| !is_foreign) {
            let authorization = tokens.authorization(&files, deadline).await?;
            headers.entry(AUTHORIZATION).or_insert(authorization);
        }
        if let Some(signer) = shared.signer.as_ref().filter(|_| !is_foreign) {
            sign(signer, hop, &mut headers, deadline).await?;
        }
        let mut uri = path;
        let is_plain_http =
            |proxy: &&Proxy| proxy.language == Language::Http && !way.origin.is_https;
        if let Some(proxy) = way.proxy.filter(is_plain_http) {
            uri = &hop.uri;
            headers.extend(proxy.authorization.clone().map(|value| (PROXY_AUTHORIZATION, value)));
        }
        let message = Message { method: &hop.method, uri, headers: &headers, body: &hop.body };
        while let Some(idle) = shared.idle.take(&way.origin, way.generation()) {
            let Some(connection) = idle.wake().await else { continue };
            match connection.send(&message).await {
                // The peer closed the idle connection at this very moment; Go asks again, too.
                Err(Failure { is_silent: true, .. }) if hop.method.is_idempotent() => break,
                Err(Failure { is_unprocessed: true, .. }) => break,
                done => return self.respond(done, way, deadline),
            }
        }
        let stream = shared.open(&way).await?;
        let sent = async { Connection::new(stream).await?.send(&message).await };
        self.respond(sent.await, way, deadline)
    }

    fn respond(
        &self,
        sent: Result<(Answering, Parts), Failure>,
        way: Way<'_>,
        deadline: Instant,
    ) -> Result<Response, Cause> {
        let (answering, head) = sent.map_err(|failure| failure.cause)?;
        let reason = head.extensions.get::<ReasonPhrase>().cloned();
        let (status, headers) = (head.status, head.headers);
        let (generation, origin) = (way.generation(), way.origin);
        let shared = Arc::clone(&self.shared);
        Ok(Response { status, headers, reason, answering, origin, generation, deadline, shared })
    }
}

impl Shared {
    fn new(cfg: HttpClientConfig, user_agent: &'static str) -> Self {
        let tokens = cfg.oauth2.as_deref().map(|cfg| Tokens::new(cfg.clone(), user_agent));
        let files = cfg.referenced_files();
        let of_tokens = tokens.as_ref().and_then(Tokens::secret_file);
        Self {
            files: Files::new(files.iter().map(|file| &**file).chain(of_tokens)),
            tls: Tls::new(cfg.tls.clone(), cfg.enable_http2),
            proxies: Proxies::new(&cfg.proxy, |name| std::env::var(name).ok()),
            tokens,
            signer: None,
            user_agent: HeaderValue::from_static(user_agent),
            idle: IdleConnections::default(),
            turns: None,
            cfg,
        }
    }

    /// A new connection.
    async fn open(&self, way: &Way<'_>) -> Result<Stream, Cause> {
        let origin = &way.origin;
        let stream = match way.proxy {
            None => connect(origin, self.turns.as_ref()).await?,
            Some(proxy) => {
                let stream = self.reach(proxy, way).await;
                let stream = stream.map_err(|cause| Cause::Proxy(Box::new(cause)))?;
                self.proxies.open(proxy, stream, origin, &self.user_agent).await?
            }
        };
        match way.connector.as_ref().filter(|_| origin.is_https) {
            Some(connector) => self.tls.wrap(connector, &origin.host, stream).await,
            None => Ok(stream),
        }
    }

    async fn reach(&self, proxy: &Proxy, way: &Way<'_>) -> Result<Stream, Cause> {
        let stream = connect(&proxy.origin, self.turns.as_ref()).await?;
        match way.connector.as_ref().filter(|_| proxy.origin.is_https) {
            Some(connector) => self.tls.wrap_proxy(connector, &proxy.origin.host, stream).await,
            None => Ok(stream),
        }
    }
}

impl Way<'_> {
    fn generation(&self) -> u64 {
        self.connector.as_ref().map_or(PLAIN_GENERATION, |connector| connector.generation)
    }
}

impl tower::Service<Request> for Client {
    type Response = Response;
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<Response, HttpError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), HttpError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let client = self.clone();
        Box::pin(async move { client.send(&request).await })
    }
}

impl Response {
    pub fn status_code(&self) -> u16 {
        self.status.as_u16()
    }

    /// Code and phrase as the peer wrote them: `500 Internal Server Error`.
    pub fn status_text(&self) -> String {
        let phrase = match &self.reason {
            Some(reason) => String::from_utf8_lossy(&reason.0),
            None => self.status.canonical_reason().unwrap_or_default().into(),
        };
        format!("{} {phrase}", self.status.as_str()).trim_end().to_owned()
    }

    /// The first value of a header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Appends the body as it came over the wire to `out`. The connection is kept for the next request.
    ///
    /// # Errors
    /// The deadline passed, the bound was reached, or the peer broke off.
    pub async fn read_body(mut self, out: &mut Buffer, limit: BodyLimit) -> Result<(), HttpError> {
        let read = self.answering.read_body(out, limit);
        timeout_at(self.deadline, read).await.unwrap_or(Err(HttpError::Deadline))?;
        self.keep_connection().await;
        Ok(())
    }

    /// The body piece by piece, without a deadline; more than `idle` of silence ends it. The connection is
    /// not kept.
    pub fn into_pieces(self, idle: Duration) -> Pieces {
        Pieces::new(self.answering, idle)
    }

    /// Drops the body; a short one is read to its end, so that the connection can be kept.
    pub async fn discard(mut self) {
        let read = self.answering.discard_body(DISCARD_SIZE_BYTES_MAX);
        if timeout_at(self.deadline, read).await.unwrap_or(false) {
            self.keep_connection().await;
        }
    }

    async fn keep_connection(self) {
        if let Some(connection) = self.answering.into_connection().await {
            self.shared.idle.put(&self.origin, self.generation, connection);
        }
    }
}

/// Changes `hop` into the request that the answer asks for. Compat: Go `redirectBehavior`.
fn redirect(hop: &mut Request, status: StatusCode, location: &str) -> Result<(), HttpError> {
    let failed = |hop: &Request, reason: String| {
        hop.fail(Cause::Location { location: location.to_owned(), reason })
    };
    let url = Url::parse(&hop.uri.to_string())
        .and_then(|base| base.join(location))
        .map_err(|error| failed(hop, error.to_string()))?;
    hop.uri = Uri::try_from(url.as_str()).map_err(|error| failed(hop, error.to_string()))?;
    hop.place = OnceLock::new();
    let keeps_method = matches!(status.as_u16(), 307 | 308);
    if !keeps_method && hop.method != Method::HEAD {
        hop.method = Method::GET;
        hop.body = Bytes::new();
    }
    Ok(())
}

/// Whether credentials for `first` may go to `uri`: the same host or one below it.
/// Compat: prometheus/common `isCrossHostRedirect`.
fn is_same_site(uri: &Uri, first: &Uri) -> bool {
    let lower = |uri: &Uri| uri.host().unwrap_or_default().to_ascii_lowercase();
    let (host, first) = (lower(uri), lower(first));
    let is_name = !host.contains([':', '%']);
    host == first || is_name && host.strip_suffix(&first).is_some_and(|left| left.ends_with('.'))
}

fn origin_of(uri: &Uri) -> Result<Origin, Cause> {
    let (is_https, default_port) = match uri.scheme_str() {
        Some("http") => (false, HTTP_PORT),
        Some("https") => (true, HTTPS_PORT),
        scheme => return Err(Cause::Scheme { scheme: scheme.unwrap_or_default().to_owned() }),
    };
    let host = uri.host().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() {
        return Err(Cause::Request("http: no Host in request URL".to_owned()));
    }
    let port = uri.port_u16().unwrap_or(default_port);
    Ok(Origin { is_https, host: host.into(), port, socket: None })
}

fn host_of(uri: &Uri) -> Result<HeaderValue, Cause> {
    let authority = uri.authority().map_or("", http::uri::Authority::as_str);
    let host = authority.rsplit('@').next().unwrap_or_default();
    HeaderValue::from_str(host).map_err(|_| Cause::Request(format!("invalid host {host:?}")))
}

async fn sign(
    signer: &Signer,
    hop: &Request,
    headers: &mut HeaderMap,
    deadline: Instant,
) -> Result<(), Cause> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let content_type = text(&CONTENT_TYPE).map(|value| (CONTENT_TYPE.as_str(), value));
    let signing = Signing {
        method: hop.method.as_str(),
        host: text(&HOST).unwrap_or_default(),
        path: hop.uri.path(),
        query: hop.uri.query().unwrap_or_default(),
        headers: content_type.as_slice(),
        body: &hop.body,
    };
    for (name, value) in signer.sign(signing, deadline).await? {
        headers.insert(name, to_secret_value(&value)?);
    }
    Ok(())
}

fn path_of(uri: &Uri) -> Uri {
    let path = uri.path_and_query().filter(|path| path.as_str().starts_with('/'));
    path.map_or_else(|| Uri::from_static("/"), |path| Uri::from(path.clone()))
}
