//! Tokens by OAuth 2.0, for client credentials or for a signed assertion: fetched once, kept until shortly
//! before their end, fetched anew when the secret in its file has changed.
//! Compat: Go `oauth2/clientcredentials` and prometheus/common.

mod answer;
mod assertion;

use std::{path::Path, pin::Pin};

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use prom_config::{HttpClientConfig, OAuth2Config};
use tokio::{sync::Mutex, time::Instant};
use url::form_urlencoded;

use crate::{
    BodyLimit, BufferPool, Client, HttpError, Request,
    error::Cause,
    files::Contents,
    headers::{basic, read, to_secret_value},
};
use answer::token;

/// Longest answer of a token endpoint that is read. Compat: `doTokenRoundTrip`.
const ANSWER_SIZE_BYTES_MAX: u64 = 1 << 20;

/// Where the tokens of one client come from.
#[derive(Debug)]
pub(crate) struct Tokens {
    cfg: OAuth2Config,
    client: Client,
    answers: BufferPool,
    state: Mutex<State>,
    /// The secret is a key that signs assertions.
    is_assertion: bool,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    /// The secret that the token was got with.
    secret: String,
    /// How this endpoint wants to be told who asks, once that is known.
    style: Option<Style>,
}

struct Token {
    authorization: HeaderValue,
    good_until: Option<Instant>,
}

/// How the endpoint is told who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Header,
    Body,
}

/// An answer before anybody has understood it.
struct RawAnswer {
    status: String,
    content_type: String,
    body: Vec<u8>,
}

type Answering<'a> = Pin<Box<dyn Future<Output = Result<RawAnswer, HttpError>> + Send + 'a>>;

impl Tokens {
    pub(crate) fn new(cfg: OAuth2Config, user_agent: &'static str) -> Self {
        let of_endpoint = HttpClientConfig {
            tls: cfg.tls_config.clone(),
            proxy: cfg.proxy.clone(),
            enable_http2: false,
            ..HttpClientConfig::default()
        };
        let client = Client::new(of_endpoint, user_agent);
        let answers = BufferPool::new(2 * ANSWER_SIZE_BYTES_MAX as usize);
        let is_assertion = cfg.grant_type == assertion::GRANT_TYPE;
        Self { cfg, client, answers, state: Mutex::default(), is_assertion }
    }

    /// The file that the secret is read from, if it is.
    pub(crate) fn secret_file(&self) -> Option<&Path> {
        let file = match self.is_assertion {
            true => Path::new(&self.cfg.client_certificate_key_file),
            false => &self.cfg.client_secret_file,
        };
        Some(file).filter(|file| !file.as_os_str().is_empty())
    }

    /// The value of `Authorization` for a request that ends by `deadline`. Who comes while a token is
    /// fetched waits for that one.
    ///
    /// # Cancel safety
    /// Nothing is lost but the answer of the endpoint.
    pub(crate) async fn authorization(
        &self,
        files: &Contents,
        deadline: Instant,
    ) -> Result<HeaderValue, Cause> {
        let secret = match self.secret_file() {
            Some(file) => read(files, file, "oauth2 client secret")?,
            None if self.is_assertion => self.cfg.client_certificate_key.reveal().to_owned(),
            None => self.cfg.client_secret.reveal().to_owned(),
        };
        let mut state = self.state.lock().await;
        let is_good = |token: &Token| token.good_until.is_none_or(|until| Instant::now() < until);
        if let Some(token) = state.token.as_ref().filter(|token| is_good(token))
            && state.secret == secret
        {
            return Ok(token.authorization.clone());
        }
        state.token = None;
        let token = self.fetch(&mut state, &secret, deadline).await?;
        let authorization = token.authorization.clone();
        state.token = Some(token);
        state.secret = secret;
        Ok(authorization)
    }

    /// Tries the header first, then the body, as long as it is not known what the endpoint wants.
    async fn fetch(
        &self,
        state: &mut State,
        secret: &str,
        deadline: Instant,
    ) -> Result<Token, Cause> {
        if self.is_assertion {
            return self.ask_by_assertion(secret, deadline).await;
        }
        if let Some(style) = state.style {
            return self.ask(style, secret, deadline).await;
        }
        let (style, asked) = match self.ask(Style::Header, secret, deadline).await {
            // Nobody answered at all: another style would not help.
            Err(cause @ (Cause::Deadline | Cause::Request(_))) => return Err(cause),
            Err(_) => (Style::Body, self.ask(Style::Body, secret, deadline).await),
            asked => (Style::Header, asked),
        };
        if asked.is_ok() {
            state.style = Some(style);
        }
        asked
    }

    async fn ask(&self, style: Style, secret: &str, deadline: Instant) -> Result<Token, Cause> {
        let request = self.request(style, secret, deadline)?;
        let answered = self.answer(&request).await;
        let answer = answered.map_err(|error| match error {
            error if error.is_deadline() => Cause::Deadline,
            error @ HttpError::Exchange { .. } => Cause::Request(error.to_string()),
            error => Cause::Token(format!("oauth2: cannot fetch token: {error}")),
        })?;
        token(&answer.status, &answer.content_type, &answer.body)
    }

    fn request(&self, style: Style, secret: &str, deadline: Instant) -> Result<Request, Cause> {
        let cfg = &self.cfg;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if !cfg.scopes.is_empty() {
            form.append_pair("scope", &cfg.scopes.join(" "));
        }
        form.extend_pairs(&cfg.endpoint_params);
        let mut headers = HeaderMap::new();
        match style {
            Style::Header => {
                let escape = |text: &str| -> String {
                    form_urlencoded::byte_serialize(text.as_bytes()).collect()
                };
                let value = to_secret_value(&basic(&escape(&cfg.client_id), &escape(secret)))?;
                headers.insert(AUTHORIZATION, value);
            }
            Style::Body => {
                form.append_pair("client_id", &cfg.client_id);
                if !secret.is_empty() {
                    form.append_pair("client_secret", secret);
                }
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        Request::post_form(&cfg.token_url, left, headers, form.finish())
            .map_err(|error| Cause::Request(error.to_string()))
    }

    /// Boxed, since a client holds tokens and these hold a client.
    fn answer<'a>(&'a self, request: &'a Request) -> Answering<'a> {
        Box::pin(async move {
            let response = self.client.send(request).await?;
            let status = response.status_text();
            let content_type = response.header("content-type").unwrap_or_default().to_owned();
            let mut body = self.answers.lend(0);
            let limit = BodyLimit { size_bytes: ANSWER_SIZE_BYTES_MAX };
            response.read_body(&mut body, limit).await?;
            Ok(RawAnswer { status, content_type, body: body.as_slice().to_vec() })
        })
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("style", &self.style).finish_non_exhaustive()
    }
}
