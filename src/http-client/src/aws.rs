//! Requests in the name of an account of Amazon's cloud: where its keys come from, and how they sign.
//! Compat: `config.LoadDefaultConfig` of the AWS SDK for Go v2, and Prometheus's `sigv4`.
//!
//! Keys are looked for in this order: the configuration, a profile that it names, the environment, a web
//! identity, the default profile, the container's service, the machine's service. A role to assume comes on
//! top.

mod credentials;
mod metadata;
mod process;
mod profile;
mod proof;
mod roles;
pub(crate) mod sign;
mod sso;
#[cfg(test)]
mod tests;

use std::{env, fmt, path::Path, sync::Arc, time::Duration};

use jiff::Timestamp;
use prom_config::{HttpClientConfig, Secret, Sigv4Config};
use tokio::{sync::Mutex, time::Instant};

use crate::{BodyLimit, BufferPool, Client, Request, SmallFiles, error::Cause};
pub use proof::AwsProof;
use sign::{Scope, Signing};

/// Longest answer of a service that gives keys.
const ANSWER_SIZE_BYTES_MAX: u64 = 1 << 20;
/// Largest file with keys or a token.
const FILE_SIZE_BYTES_MAX: usize = 64 << 10;
/// For one exchange with such a service.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// Keys are fetched anew this long before their end.
const EXPIRY_MARGIN: Duration = Duration::from_secs(60);

/// Whose account it is, as a configuration says; what is empty is looked for elsewhere.
#[derive(Clone, Debug, Default)]
pub struct AwsConfig {
    pub region: String,
    pub access_key: String,
    pub secret_key: Secret,
    pub profile: String,
    pub role_arn: String,
    pub external_id: String,
    pub use_fips_sts_endpoint: bool,
}

/// An account, with the keys that were found for it.
pub struct AwsAccount {
    cfg: AwsConfig,
    env: Env,
    /// Asks for roles.
    client: Client,
    /// Asks services on this machine or beside it, never through a proxy.
    local_client: Client,
    answers: BufferPool,
    files: SmallFiles,
    keys: Mutex<Option<Keys>>,
    region: Mutex<Option<String>>,
}

type Env = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What signs requests.
#[derive(Clone, Default)]
pub(crate) struct Keys {
    pub(crate) access_key: String,
    pub(crate) secret_key: Secret,
    pub(crate) session_token: Secret,
    /// Never, if there is none.
    expires: Option<Timestamp>,
}

/// Signs each request of a client for one service.
#[derive(Clone, Debug)]
pub(crate) struct Signer {
    pub(crate) account: Arc<AwsAccount>,
    pub(crate) service: &'static str,
}

impl From<&Sigv4Config> for AwsConfig {
    fn from(cfg: &Sigv4Config) -> Self {
        Self {
            region: cfg.region.clone(),
            access_key: cfg.access_key.clone(),
            secret_key: cfg.secret_key.clone(),
            profile: cfg.profile.clone(),
            role_arn: cfg.role_arn.clone(),
            external_id: cfg.external_id.clone(),
            use_fips_sts_endpoint: cfg.use_fips_sts_endpoint,
        }
    }
}

impl AwsAccount {
    /// `client` is how the service for roles is reached.
    pub fn new(cfg: AwsConfig, client: &HttpClientConfig, user_agent: &'static str) -> Self {
        Self::with_env(cfg, client, user_agent, Box::new(|name| env::var(name).ok()))
    }

    fn with_env(
        cfg: AwsConfig,
        client: &HttpClientConfig,
        user_agent: &'static str,
        env: Env,
    ) -> Self {
        Self {
            cfg,
            env,
            client: Client::new(client.clone(), user_agent),
            local_client: Client::new(HttpClientConfig::default(), user_agent),
            answers: BufferPool::new(4 * ANSWER_SIZE_BYTES_MAX as usize),
            files: SmallFiles::default(),
            keys: Mutex::default(),
            region: Mutex::default(),
        }
    }

    /// The region: of the configuration, the environment, the profile, or the machine.
    ///
    /// # Errors
    /// There is none.
    pub async fn region(&self) -> Result<String, Cause> {
        let mut region = self.region.lock().await;
        if let Some(region) = &*region {
            return Ok(region.clone());
        }
        let found = self.find_region().await?;
        *region = Some(found.clone());
        Ok(found)
    }

    async fn find_region(&self) -> Result<String, Cause> {
        if !self.cfg.region.is_empty() {
            return Ok(self.cfg.region.clone());
        }
        for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
            if let Some(region) = self.env(name) {
                return Ok(region);
            }
        }
        let profile = self.profile().await?;
        if let Some(region) = profile.as_ref().and_then(|profile| profile.get("region")) {
            return Ok(region.to_owned());
        }
        self.region_of_machine().await
    }

    /// The keys that are good at this moment.
    async fn keys(&self) -> Result<Keys, Cause> {
        let mut keys = self.keys.lock().await;
        let until = Timestamp::now() + EXPIRY_MARGIN;
        let is_good = |keys: &&Keys| keys.expires.is_none_or(|expires| until < expires);
        // Keys from files and the environment are looked at each time: somebody may have changed them.
        if let Some(keys) = keys.as_ref().filter(is_good).filter(|keys| keys.expires.is_some()) {
            return Ok(keys.clone());
        }
        let found = self.find_keys().await?;
        *keys = Some(found.clone());
        Ok(found)
    }

    fn env(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }

    /// The text of a file; `None` if there is no file.
    async fn read(&self, path: &str) -> Result<Option<String>, String> {
        match self.files.read_text(Path::new(path), FILE_SIZE_BYTES_MAX).await {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Sends a request to a service that gives keys; the answer's text, whatever its status.
    async fn exchange(&self, client: &Client, request: &Request) -> Result<(u16, String), Cause> {
        let exchanged = async {
            let response = client.send(request).await?;
            let code = response.status_code();
            let mut body = self.answers.lend(0);
            let limit = BodyLimit { size_bytes: ANSWER_SIZE_BYTES_MAX };
            response.read_body(&mut body, limit).await?;
            Ok::<_, crate::HttpError>((code, String::from_utf8_lossy(body.as_slice()).into_owned()))
        };
        Box::pin(exchanged).await.map_err(|error| Cause::Token(error.to_string()))
    }
}

impl Signer {
    /// The headers that sign a request.
    pub(crate) async fn sign(
        &self,
        signing: Signing<'_>,
        deadline: Instant,
    ) -> Result<Vec<(&'static str, String)>, Cause> {
        let found =
            async { Ok::<_, Cause>((self.account.keys().await?, self.account.region().await?)) };
        let found = tokio::time::timeout_at(deadline, Box::pin(found)).await;
        let (keys, region) = found.unwrap_or(Err(Cause::Deadline))?;
        let scope = Scope { region: &region, service: self.service, at: Timestamp::now() };
        Ok(sign::sign(&signing, &keys, &scope))
    }
}

impl fmt::Debug for AwsAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsAccount").field("cfg", &self.cfg).finish_non_exhaustive()
    }
}

/// The domain of the services of a region.
pub fn aws_domain(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "amazonaws.com.cn",
        region if region.starts_with("us-isob-") => "sc2s.sgov.gov",
        region if region.starts_with("us-iso-") => "c2s.ic.gov",
        region if region.starts_with("eusc-") => "amazonaws.eu",
        _ => "amazonaws.com",
    }
}
