//! Tokens for Azure: for a client's secret, of the machine's own identity, for a token of the cluster that
//! runs us, or as the SDK looks for them. Compat: `azidentity` of the Azure SDK for Go, without its
//! command line tools.

use std::{path::Path, sync::Arc};

use prom_config::{AzureSdConfig, HttpClientConfig, Secret};
use prom_http_client::SmallFiles;
use prom_telemetry::clock;
use serde_json::Value;
use url::form_urlencoded;

use super::{
    super::{AskError, Call, Refusal, RestClient, path_part, rules::text},
    Cloud,
};
use crate::polled::{Env, Means};

const METADATA_ENDPOINT: &str = "http://169.254.169.254";
const METADATA_PATH: &str = "/metadata/identity/oauth2/token?api-version=2018-02-01";
const APP_VERSION: &str = "2019-08-01";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const TOKEN_FILE_SIZE_BYTES_MAX: usize = 64 << 10;
/// A token is fetched anew this long before its end.
const EXPIRY_MARGIN_SECONDS: i64 = 300;

const REFUSAL: Refusal =
    Refusal { text: "RESPONSE {status}", reason_at: "/error_description", is_strict: true };

/// Where tokens come from, and the last one.
pub(super) struct Credentials {
    method: String,
    tenant_id: String,
    client_id: String,
    client_secret: Secret,
    login: String,
    metadata: String,
    resource: String,
    /// Never uses the proxies of the entry, as in the original.
    client: RestClient,
    env: Env,
    files: Arc<SmallFiles>,
    token: Option<Token>,
}

struct Token {
    text: String,
    good_until_s: i64,
}

impl Credentials {
    pub(super) fn new(cfg: &AzureSdConfig, cloud: &Cloud, means: &Means) -> Self {
        Self {
            method: cfg.authentication_method.clone(),
            tenant_id: cfg.tenant_id.clone(),
            client_id: cfg.client_id.clone(),
            client_secret: cfg.client_secret.clone(),
            login: means.endpoint(cloud.login).to_owned(),
            metadata: means.endpoint(METADATA_ENDPOINT).to_owned(),
            resource: cloud.management.to_owned(),
            client: RestClient::new(&HttpClientConfig::default(), cfg.refresh_interval, means),
            env: means.env.clone(),
            files: Arc::clone(&means.files),
            token: None,
        }
    }

    /// The token for this moment.
    ///
    /// # Errors
    /// Nobody gives one.
    pub(super) async fn token(&mut self) -> Result<String, AskError> {
        let now_s = clock::now_ms() / 1000;
        if let Some(token) = self.token.as_ref().filter(|token| now_s < token.good_until_s) {
            return Ok(token.text.clone());
        }
        let answer = self.fetch().await.map_err(|error| error.during("no Azure token"))?;
        let token = text(&answer, "/access_token").into_owned();
        if token.is_empty() {
            return Err(AskError::new("no Azure token: the answer holds none"));
        }
        // Some services give the number as a text.
        let lifetime_s: i64 = text(&answer, "/expires_in").parse().unwrap_or(0);
        let good_until_s = now_s + lifetime_s - EXPIRY_MARGIN_SECONDS;
        self.token = Some(Token { text: token.clone(), good_until_s });
        Ok(token)
    }

    /// Fetches a new token next time.
    pub(super) fn forget(&mut self) {
        self.token = None;
    }

    async fn fetch(&self) -> Result<Value, AskError> {
        match self.method.as_str() {
            "ManagedIdentity" => self.of_machine().await,
            "WorkloadIdentity" => self.of_cluster().await,
            "SDK" if self.env.get("AZURE_CLIENT_SECRET").is_some() => {
                let (tenant, client) = self.ids();
                let secret = self.env.get("AZURE_CLIENT_SECRET").unwrap_or_default();
                self.of_client(&tenant, &client, &[("client_secret", &secret)]).await
            }
            "SDK" if self.env.get("AZURE_FEDERATED_TOKEN_FILE").is_some() => {
                self.of_cluster().await
            }
            "SDK" => self.of_machine().await,
            _ => {
                let secret = [("client_secret", self.client_secret.reveal())];
                self.of_client(&self.tenant_id, &self.client_id, &secret).await
            }
        }
    }

    /// Tenant and client, as the environment names them; a tenant of the configuration goes first.
    fn ids(&self) -> (String, String) {
        let of_env = |name: &str| self.env.get(name).unwrap_or_default();
        let tenant = match self.tenant_id.as_str() {
            "" => of_env("AZURE_TENANT_ID"),
            tenant => tenant.to_owned(),
        };
        (tenant, of_env("AZURE_CLIENT_ID"))
    }

    async fn of_client(
        &self,
        tenant: &str,
        client: &str,
        proof: &[(&str, &str)],
    ) -> Result<Value, AskError> {
        let login = self.env.get("AZURE_AUTHORITY_HOST").filter(|_| self.method != "OAuth");
        let login = login.as_deref().unwrap_or(&self.login).trim_end_matches('/').to_owned();
        let form = {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair("client_id", client).extend_pairs(proof);
            form.append_pair("grant_type", "client_credentials");
            form.append_pair("scope", &format!("{}/.default", self.resource)).finish()
        };
        let url = format!("{login}/{}/oauth2/v2.0/token", path_part(tenant));
        self.client.value(&Call::post_form(&url, form), &REFUSAL).await
    }

    async fn of_cluster(&self) -> Result<Value, AskError> {
        let (tenant, client) = self.ids();
        let path = self.env.get("AZURE_FEDERATED_TOKEN_FILE").unwrap_or_default();
        for (given, name) in [
            (&tenant, "AZURE_TENANT_ID"),
            (&client, "AZURE_CLIENT_ID"),
            (&path, "AZURE_FEDERATED_TOKEN_FILE"),
        ] {
            if given.is_empty() {
                return Err(AskError::new(format!("no {name} in the environment")));
            }
        }
        // Read anew each time: the cluster renews it.
        let token = self.files.read_text(Path::new(&path), TOKEN_FILE_SIZE_BYTES_MAX).await;
        let token = token.map_err(|error| AskError::new(error.to_string()))?;
        let proof = [("client_assertion", token.trim()), ("client_assertion_type", ASSERTION_TYPE)];
        self.of_client(&tenant, &client, &proof).await
    }

    async fn of_machine(&self) -> Result<Value, AskError> {
        let client_id = match (self.method.as_str(), self.client_id.as_str()) {
            ("SDK", _) => self.env.get("AZURE_CLIENT_ID").unwrap_or_default(),
            (_, client_id) => client_id.to_owned(),
        };
        let call = match (self.env.get("IDENTITY_ENDPOINT"), self.env.get("IDENTITY_HEADER")) {
            (Some(endpoint), Some(header)) => Call::get(&endpoint, "")
                .with_parameter("api-version", APP_VERSION)
                .with_header("x-identity-header", header),
            (Some(_), None) => {
                return Err(AskError::new("identities of Azure Arc are not supported"));
            }
            _ => Call::get(&self.metadata, METADATA_PATH).with_header("metadata", "true"),
        };
        let mut call = call.with_parameter("resource", &self.resource);
        if !client_id.is_empty() {
            call = call.with_parameter("client_id", &client_id);
        }
        self.client.value(&call, &REFUSAL).await
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("method", &self.method).finish_non_exhaustive()
    }
}
