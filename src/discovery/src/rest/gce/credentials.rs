//! Tokens for Google's cloud from where its libraries look for them: a file that the environment names, the
//! file of the command line tool, the machine's metadata. Compat: `google.FindDefaultCredentials` of Go's
//! `oauth2/google`.

use std::{path::Path, sync::Arc, time::Duration};

use prom_config::HttpClientConfig;
use prom_http_client::{RsaHash, RsaKey, SmallFiles};
use prom_telemetry::clock;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{
    super::{
        AskError, Call, Refusal, RestClient,
        rules::{int, text},
    },
    external::ExternalAccount,
};
use crate::polled::{Env, Means};

const SCOPE: &str = "https://www.googleapis.com/auth/compute.readonly";
const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
const METADATA_HOST: &str = "http://169.254.169.254";
const METADATA_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const FILE_SIZE_BYTES_MAX: usize = 1 << 20;
/// How long an assertion is good.
const ASSERTION_SECONDS: i64 = 3600;
/// A token is fetched anew this long before its end.
const EXPIRY_MARGIN_SECONDS: i64 = 225;

const REFUSAL: Refusal = Refusal {
    text: "oauth2: cannot fetch token: {status}",
    reason_at: "/error_description",
    is_strict: false,
};
const NO_METADATA: Refusal = Refusal {
    text: "compute: Received {code} from the metadata server",
    reason_at: "",
    is_strict: true,
};

/// Where tokens come from, and the last one.
pub(super) struct Credentials {
    /// Asks the machine itself; never through a proxy.
    local_client: RestClient,
    env: Env,
    files: Arc<SmallFiles>,
    token: Option<Token>,
}

struct Token {
    text: String,
    good_until_s: i64,
}

impl Credentials {
    pub(super) fn new(timeout: Duration, means: &Means) -> Self {
        Self {
            local_client: RestClient::new(&HttpClientConfig::default(), timeout, means),
            env: means.env.clone(),
            files: Arc::clone(&means.files),
            token: None,
        }
    }

    /// The token for this moment.
    ///
    /// # Errors
    /// There are no credentials, or nobody gives a token for them.
    pub(super) async fn token(&mut self, client: &RestClient) -> Result<String, AskError> {
        let now_s = clock::now_ms() / 1000;
        if let Some(token) = self.token.as_ref().filter(|token| now_s < token.good_until_s) {
            return Ok(token.text.clone());
        }
        let answer = self.fetch(client, now_s).await;
        let answer = answer
            .map_err(|error| error.during("error setting up communication with GCE service"))?;
        let token = text(&answer, "/access_token").into_owned();
        if token.is_empty() {
            return Err(AskError::new("oauth2: server response missing access_token"));
        }
        let good_until_s = now_s + int(&answer, "/expires_in") - EXPIRY_MARGIN_SECONDS;
        self.token = Some(Token { text: token.clone(), good_until_s });
        Ok(token)
    }

    /// Fetches a new token next time.
    pub(super) fn forget(&mut self) {
        self.token = None;
    }

    async fn fetch(&self, client: &RestClient, now_s: i64) -> Result<Value, AskError> {
        let Some(file) = self.file().await? else {
            let host = self.env.get("GCE_METADATA_HOST").map(|host| format!("http://{host}"));
            let host = host.as_deref().unwrap_or(METADATA_HOST);
            let call = Call::get(host, METADATA_PATH).with_header("metadata-flavor", "Google");
            let call = call.with_parameter("scopes", SCOPE);
            return self.local_client.value(&call, &NO_METADATA).await;
        };
        let of = |at: &str| text(&file, at).into_owned();
        let pairs = match &*text(&file, "/type") {
            "service_account" => {
                vec![("grant_type", GRANT_TYPE.to_owned()), ("assertion", assertion(&file, now_s)?)]
            }
            "authorized_user" => vec![
                ("grant_type", "refresh_token".to_owned()),
                ("client_id", of("/client_id")),
                ("client_secret", of("/client_secret")),
                ("refresh_token", of("/refresh_token")),
            ],
            "external_account" => {
                let account =
                    ExternalAccount { file: &file, files: &self.files, env: &self.env, client };
                return account.fetch(SCOPE).await;
            }
            other => {
                let text = format!("credentials of type {other:?} are not supported");
                return Err(AskError::new(text));
            }
        };
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        client.value(&Call::post_form(&token_url(&file), form), &REFUSAL).await
    }

    /// The file with credentials, if there is one.
    async fn file(&self) -> Result<Option<Value>, AskError> {
        let named = self.env.get("GOOGLE_APPLICATION_CREDENTIALS");
        let is_named = named.is_some();
        let path = named.unwrap_or_else(|| {
            let home = self.env.get("HOME").unwrap_or_default();
            format!("{home}/.config/gcloud/application_default_credentials.json")
        });
        let failed = |reason: String| {
            AskError::new(format!(
                "google: error getting credentials using GOOGLE_APPLICATION_CREDENTIALS environment variable: {reason}"
            ))
        };
        let bytes = match self.files.read(Path::new(&path), FILE_SIZE_BYTES_MAX).await {
            Ok(bytes) => bytes,
            Err(error) if error.is_missing() && !is_named => return Ok(None),
            Err(error) => return Err(failed(error.to_string())),
        };
        // The error of the parser could show a secret.
        let file = serde_json::from_slice(&bytes).map_err(|_| failed("not JSON".to_owned()))?;
        Ok(Some(file))
    }
}

fn token_url(file: &Value) -> String {
    match &*text(file, "/token_uri") {
        "" => TOKEN_URL.to_owned(),
        url => url.to_owned(),
    }
}

fn assertion(file: &Value, now_s: i64) -> Result<String, AskError> {
    let key = RsaKey::from_pem(text(file, "/private_key").as_bytes())?;
    let claims = json!({
        "iss": text(file, "/client_email"),
        "scope": SCOPE,
        "aud": token_url(file),
        "iat": now_s,
        "exp": now_s + ASSERTION_SECONDS,
    });
    Ok(key.web_token(RsaHash::Sha256, &text(file, "/private_key_id"), &claims)?)
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}
