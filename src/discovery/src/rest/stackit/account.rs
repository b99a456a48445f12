//! A service account of STACKIT: a token for a signed assertion, kept as long as it is good.
//! Compat: the key flow of STACKIT's SDK; <https://docs.stackit.cloud/platform/access-and-identity/service-accounts>.

use std::time::{Duration, Instant};

use prom_config::{Secret, StackitSdConfig};
use prom_http_client::{RsaHash, RsaKey, random_uuid};
use prom_telemetry::clock;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use super::super::{
    AskError, Call, Refusal, RestClient,
    json::read_value,
    rules::{int, text},
};
use crate::polled::Means;

const TOKEN_URL: &str = "https://service-account.api.stackit.cloud";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How long an assertion is good.
const ASSERTION_DURATION_S: i64 = 600;
/// A token is renewed so long before its end.
const LEEWAY: Duration = Duration::from_secs(30);
/// A larger file holds no key.
const KEY_SIZE_BYTES_MAX: u64 = 64 << 10;

const REFUSAL: Refusal = Refusal {
    text: "token request failed with status {status}",
    ..Refusal::plain("/error_description")
};

#[derive(Debug)]
pub(super) struct Account {
    key: Source,
    private_key: Source,
    token_call_base: String,
    token: Option<Token>,
}

/// A secret that is written down, or the path of the file that holds it.
#[derive(Clone, Debug)]
enum Source {
    Inline(Secret),
    File(String),
    None,
}

struct Token {
    text: String,
    renewed_at: Instant,
}

impl Account {
    /// The account of an entry, if it names one.
    pub(super) fn new(cfg: &StackitSdConfig, means: &Means) -> Option<Self> {
        let key = Source::new(&cfg.service_account_key, &cfg.service_account_key_path);
        if matches!(key, Source::None) {
            return None;
        }
        Some(Self {
            key,
            private_key: Source::new(&cfg.private_key, &cfg.private_key_path),
            token_call_base: means.endpoint(TOKEN_URL).to_owned(),
            token: None,
        })
    }

    /// The token of this moment.
    pub(super) async fn token(&mut self, client: &RestClient) -> Result<String, AskError> {
        if let Some(token) = self.token.as_ref().filter(|it| clock::monotonic() < it.renewed_at) {
            return Ok(token.text.clone());
        }
        self.token = None;
        let assertion = self.assertion().await?;
        let form = [("grant_type", GRANT_TYPE), ("assertion", &assertion)];
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let url = format!("{}/token", self.token_call_base);
        let answer = client.value(&Call::post_form(&url, form), &REFUSAL).await?;
        let token = text(&answer, "/access_token").into_owned();
        if token.is_empty() {
            return Err(AskError::new("found no access token"));
        }
        let good_for = Duration::from_secs(int(&answer, "/expires_in").try_into().unwrap_or(0));
        let renewed_at = clock::monotonic() + good_for.saturating_sub(LEEWAY);
        self.token = Some(Token { text: token.clone(), renewed_at });
        Ok(token)
    }

    pub(super) fn forget(&mut self) {
        self.token = None;
    }

    /// What the account says about itself, signed.
    async fn assertion(&self) -> Result<String, AskError> {
        let key = self.key.read("service account key").await?;
        let key = read_value(key.as_bytes())
            .map_err(|error| format!("unmarshalling service account key: {error}"))?;
        let credentials = key.get("credentials").unwrap_or(&Value::Null);
        let private_key = match &self.private_key {
            Source::None => text(credentials, "/privateKey").into_owned(),
            source => source.read("private key").await?,
        };
        if private_key.is_empty() {
            return Err(AskError::new("the service account has no private key"));
        }
        let now_s = clock::now_ms() / 1000;
        let claims = json!({
            "iss": text(credentials, "/iss"),
            "sub": text(credentials, "/sub"),
            "aud": text(credentials, "/aud"),
            "jti": random_uuid()?,
            "iat": now_s,
            "exp": now_s + ASSERTION_DURATION_S,
        });
        let private_key = RsaKey::from_pem(private_key.as_bytes())?;
        let assertion = private_key.web_token(RsaHash::Sha512, &text(credentials, "/kid"), &claims);
        Ok(assertion?)
    }
}

impl Source {
    fn new(inline: &Secret, path: &str) -> Self {
        match (inline.is_empty(), path) {
            (false, _) => Self::Inline(inline.clone()),
            (true, "") => Self::None,
            (true, path) => Self::File(path.to_owned()),
        }
    }

    /// A file is read anew each time, so that a rotated key needs no reload.
    async fn read(&self, what: &str) -> Result<String, AskError> {
        let path = match self {
            Self::Inline(secret) => return Ok(secret.reveal().to_owned()),
            Self::File(path) => path,
            Self::None => return Ok(String::new()),
        };
        let mut text = String::new();
        let read = async {
            let file = tokio::fs::File::open(path).await?;
            file.take(KEY_SIZE_BYTES_MAX).read_to_string(&mut text).await
        };
        match read.await {
            Ok(_) => Ok(text),
            Err(error) => Err(AskError::new(format!("reading {what} from {path}: {error}"))),
        }
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("renewed_at", &self.renewed_at).finish_non_exhaustive()
    }
}
