//! A service account of STACKIT: a token for a signed assertion, kept as long as it is good.
//! Compat: the key flow of STACKIT's SDK; <https://docs.stackit.cloud/platform/access-and-identity/service-accounts>.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use prom_config::{Secret, StackitSdConfig};
use prom_http_client::{RsaHash, RsaKey, SmallFiles, random_uuid};
use prom_telemetry::clock;
use serde_json::{Value, json};

use super::super::{
    AskError, Call, Refusal, RestClient,
    json::read_value,
    rules::{int, text},
};
use crate::polled::{Env, Means};

const TOKEN_HOST: &str = "https://service-account.api.stackit.cloud";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How long an assertion is good.
const ASSERTION_DURATION_S: i64 = 600;
/// A token is renewed so long before its end.
const LEEWAY: Duration = Duration::from_secs(30);
/// A larger file holds no key.
const KEY_SIZE_BYTES_MAX: usize = 64 << 10;

const REFUSAL: Refusal = Refusal {
    text: "token request failed with status {status}",
    ..Refusal::plain("/error_description")
};

#[derive(Debug)]
pub(super) struct Account {
    key: Source,
    private_key: Source,
    /// Names files with keys, or holds a token; empty for the one that the environment means.
    credentials_file: String,
    token_url: String,
    files: Arc<SmallFiles>,
    env: Env,
    token: Option<Token>,
}

/// What shows who the account is.
enum Proof {
    /// The service account key, as JSON.
    Key(String),
    /// A token that needs no other one.
    Token(String),
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
    /// The account of an entry, if it names one. A file of credentials alone counts where the HTTP client
    /// has none; the original reads it for the private key only.
    pub(super) fn new(cfg: &StackitSdConfig, means: &Means) -> Option<Self> {
        let key = Source::new(&cfg.service_account_key, &cfg.service_account_key_path);
        let has_other = cfg.http_client.auth.is_some() || cfg.http_client.oauth2.is_some();
        if matches!(key, Source::None) && (cfg.credentials_file_path.is_empty() || has_other) {
            return None;
        }
        let token_url = means.env.get("STACKIT_TOKEN_BASEURL");
        let token_url =
            token_url.unwrap_or_else(|| format!("{}/token", means.endpoint(TOKEN_HOST)));
        Some(Self {
            key,
            private_key: Source::new(&cfg.private_key, &cfg.private_key_path),
            credentials_file: cfg.credentials_file_path.clone(),
            token_url,
            files: Arc::clone(&means.files),
            env: means.env.clone(),
            token: None,
        })
    }

    /// The token of this moment.
    pub(super) async fn token(&mut self, client: &RestClient) -> Result<String, AskError> {
        if let Some(token) = self.token.as_ref().filter(|it| clock::monotonic() < it.renewed_at) {
            return Ok(token.text.clone());
        }
        self.token = None;
        let assertion = match self.proof().await? {
            Proof::Token(token) => return Ok(token),
            Proof::Key(key) => self.assertion(&key).await?,
        };
        let form = [("grant_type", GRANT_TYPE), ("assertion", &assertion)];
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let answer = client.value(&Call::post_form(&self.token_url, form), &REFUSAL).await?;
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
    async fn assertion(&self, key: &str) -> Result<String, AskError> {
        let key = read_value(key.as_bytes())
            .map_err(|error| format!("unmarshalling service account key: {error}"))?;
        let credentials = key.get("credentials").unwrap_or(&Value::Null);
        let private_key = self.private_key(&text(credentials, "/privateKey")).await?;
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

impl Account {
    async fn proof(&self) -> Result<Proof, AskError> {
        if let Some(key) = self.read(&self.key, "service account key").await? {
            return Ok(Proof::Key(key));
        }
        let credentials = self.credentials().await?;
        let path = text(&credentials, "/STACKIT_SERVICE_ACCOUNT_KEY_PATH");
        if !path.is_empty() {
            let key = self.read_file(&path, "service account key").await?;
            return Ok(Proof::Key(key));
        }
        match text(&credentials, "/STACKIT_SERVICE_ACCOUNT_TOKEN") {
            token if token.is_empty() => Err(AskError::new(
                "the credentials file has neither STACKIT_SERVICE_ACCOUNT_KEY_PATH nor STACKIT_SERVICE_ACCOUNT_TOKEN",
            )),
            token => Ok(Proof::Token(token.into_owned())),
        }
    }

    /// The key of the configuration, the environment or the file of credentials, or else the one that the
    /// service account key brings along.
    async fn private_key(&self, own: &str) -> Result<String, AskError> {
        if let Some(key) = self.read(&self.private_key, "private key").await? {
            return Ok(key);
        }
        match self.private_key_elsewhere().await {
            Ok(key) => Ok(key),
            Err(_) if !own.is_empty() => Ok(own.to_owned()),
            Err(error) => Err(error.during(
                "private key is not part of the service account key and could not be found",
            )),
        }
    }

    async fn private_key_elsewhere(&self) -> Result<String, AskError> {
        let path = match self.env.get("STACKIT_PRIVATE_KEY_PATH") {
            Some(path) => path,
            None => text(&self.credentials().await?, "/STACKIT_PRIVATE_KEY_PATH").into_owned(),
        };
        match path.is_empty() {
            true => Err(AskError::new("private key path is empty or not set")),
            false => self.read_file(&path, "private key").await,
        }
    }

    /// The file of credentials.
    async fn credentials(&self) -> Result<Value, AskError> {
        let path = match self.credentials_file.as_str() {
            "" => self.env.get("STACKIT_CREDENTIALS_PATH").unwrap_or_else(|| {
                let home = self.env.get("HOME").unwrap_or_default();
                format!("{home}/.stackit/credentials.json")
            }),
            path => path.to_owned(),
        };
        let text = self.read_file(&path, "credentials file").await?;
        // The error of the parser could show a secret.
        serde_json::from_str(&text)
            .map_err(|_| AskError::new(format!("reading credentials file {path}: not JSON")))
    }

    /// A file is read anew each time, so that a rotated key needs no reload.
    async fn read(&self, source: &Source, what: &str) -> Result<Option<String>, AskError> {
        match source {
            Source::Inline(secret) => Ok(Some(secret.reveal().to_owned())),
            Source::File(path) => self.read_file(path, what).await.map(Some),
            Source::None => Ok(None),
        }
    }

    async fn read_file(&self, path: &str, what: &str) -> Result<String, AskError> {
        let text = self.files.read_text(Path::new(path), KEY_SIZE_BYTES_MAX).await;
        text.map_err(|error| AskError::new(format!("reading {what}: {error}")))
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
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("renewed_at", &self.renewed_at).finish_non_exhaustive()
    }
}
