//! Tokens by OAuth 2.0 client credentials: fetched once, kept until shortly before their end, fetched anew
//! when the secret in its file has changed. Compat: Go `oauth2/clientcredentials` and prometheus/common.

use std::{pin::Pin, time::Duration};

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use prom_config::{HttpClientConfig, OAuth2Config};
use serde::Deserialize;
use tokio::{sync::Mutex, time::Instant};
use url::form_urlencoded;

use crate::{
    BodyLimit, BufferPool, Client, HttpError, Request,
    error::Cause,
    files::Contents,
    headers::{basic, read, to_secret_value},
};

/// A token is fetched anew this long before its end. Compat: `defaultExpiryDelta`.
const EXPIRY_MARGIN: Duration = Duration::from_secs(10);
/// Longest answer of a token endpoint that is read. Compat: `doTokenRoundTrip`.
const ANSWER_SIZE_BYTES_MAX: u64 = 1 << 20;

/// Where the tokens of one client come from.
#[derive(Debug)]
pub(crate) struct Tokens {
    cfg: OAuth2Config,
    client: Client,
    answers: BufferPool,
    state: Mutex<State>,
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

/// What the endpoint answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    access_token: String,
    token_type: String,
    expires_in: Option<serde_json::Value>,
    error: String,
    error_description: String,
    error_uri: String,
}

impl Tokens {
    pub(crate) fn new(cfg: OAuth2Config, user_agent: &'static str) -> Self {
        let of_endpoint = HttpClientConfig {
            tls: cfg.tls_config.clone(),
            proxy: cfg.proxy.clone(),
            ..HttpClientConfig::default()
        };
        let client = Client::new(of_endpoint, user_agent);
        let answers = BufferPool::new(2 * ANSWER_SIZE_BYTES_MAX as usize);
        Self { cfg, client, answers, state: Mutex::default() }
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
        let file = &self.cfg.client_secret_file;
        let secret = match file.as_os_str().is_empty() {
            true => self.cfg.client_secret.reveal().to_owned(),
            false => read(files, file, "oauth2 client secret")?,
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

/// Understands an answer. Compat: `doTokenRoundTrip` of Go `oauth2/internal`.
fn token(status: &str, content_type: &str, body: &[u8]) -> Result<Token, Cause> {
    let is_good = status.starts_with('2');
    let is_form = ["application/x-www-form-urlencoded", "text/plain"]
        .contains(&content_type.split(';').next().unwrap_or_default().trim());
    let answer = match is_form {
        true => of_form(body),
        false => match serde_json::from_slice::<Answer>(body) {
            Ok(answer) => answer,
            Err(error) if is_good => {
                return Err(Cause::Token(format!("oauth2: cannot parse json: {error}")));
            }
            Err(_) => Answer::default(),
        },
    };
    if !is_good || !answer.error.is_empty() {
        return Err(Cause::Token(refusal(status, &answer, body)));
    }
    if answer.access_token.is_empty() {
        return Err(Cause::Token("oauth2: server response missing access_token".to_owned()));
    }
    let seconds = match &answer.expires_in {
        Some(serde_json::Value::Number(number)) => number.as_f64(),
        Some(serde_json::Value::String(text)) => text.parse().ok(),
        _ => None,
    };
    let lifetime = seconds.filter(|seconds| (1.0..1e9).contains(seconds));
    let lifetime = lifetime.map(Duration::from_secs_f64);
    let good_until =
        lifetime.map(|lifetime| Instant::now() + lifetime.saturating_sub(EXPIRY_MARGIN));
    let kind = match answer.token_type.to_ascii_lowercase().as_str() {
        "" | "bearer" => "Bearer",
        "mac" => "MAC",
        "basic" => "Basic",
        _ => &answer.token_type,
    };
    let authorization = to_secret_value(&format!("{kind} {}", answer.access_token))?;
    Ok(Token { authorization, good_until })
}

/// Compat: `RetrieveError.Error`.
fn refusal(status: &str, answer: &Answer, body: &[u8]) -> String {
    if answer.error.is_empty() {
        let body = String::from_utf8_lossy(body);
        return format!("oauth2: cannot fetch token: {status}\nResponse: {body}");
    }
    let mut text = format!("oauth2: {:?}", answer.error);
    for more in [&answer.error_description, &answer.error_uri] {
        if !more.is_empty() {
            text.push_str(&format!(" {more:?}"));
        }
    }
    text
}

fn of_form(body: &[u8]) -> Answer {
    let mut answer = Answer::default();
    for (name, value) in form_urlencoded::parse(body) {
        let value = value.into_owned();
        match &*name {
            "access_token" => answer.access_token = value,
            "token_type" => answer.token_type = value,
            "expires_in" => answer.expires_in = Some(serde_json::Value::String(value)),
            "error" => answer.error = value,
            "error_description" => answer.error_description = value,
            "error_uri" => answer.error_uri = value,
            _ => {}
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_understood_as_by_go() {
        let json = "application/json; charset=utf-8";
        for (status, content_type, body, expected) in [
            ("200 OK", json, r#"{"access_token": "t"}"#, "Bearer t"),
            ("201 x", json, r#"{"access_token": "t", "token_type": "bearer"}"#, "Bearer t"),
            ("200 OK", json, r#"{"access_token": "t", "token_type": "MAC"}"#, "MAC t"),
            ("200 OK", "text/plain", "access_token=a%20b&token_type=Own", "Own a b"),
            ("200 OK", json, "{}", "oauth2: server response missing access_token"),
            ("200 OK", json, r#"{"error": "no", "error_description": "x"}"#, r#"oauth2: "no" "x""#),
            ("400 Bad", json, r#"{"error": "no"}"#, r#"oauth2: "no""#),
            ("501 Un", "", "<html>", "oauth2: cannot fetch token: 501 Un\nResponse: <html>"),
        ] {
            let got = match token(status, content_type, body.as_bytes()) {
                Ok(token) => token.authorization.to_str().unwrap().to_owned(),
                Err(cause) => cause.to_string(),
            };
            assert_eq!(got, expected, "{body}");
        }
    }

    #[tokio::test]
    async fn tokens_end_before_their_time() {
        for (expires_in, lifetime_seconds) in [
            ("3600", Some(3590)),
            ("\"60\"", Some(50)),
            ("5", Some(0)),
            ("0", None),
            ("null", None),
            ("1e300", None),
        ] {
            let body = format!(r#"{{"access_token": "t", "expires_in": {expires_in}}}"#);
            let before = Instant::now();
            let token = token("200 OK", "", body.as_bytes()).ok().unwrap();
            let lifetime = token.good_until.map(|until| (until - before).as_secs_f64().round());
            assert_eq!(lifetime, lifetime_seconds.map(f64::from), "{expires_in}");
        }
    }
}
