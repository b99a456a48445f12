//! Services that give keys to whoever runs on a machine (IMDS) or in a container (ECS, EKS).

use std::net::IpAddr;

use http::Method;
use serde::Deserialize;

use super::{AwsAccount, EXCHANGE_TIMEOUT, Keys, credentials::GivenKeys};
use crate::{Request, error::Cause};

const MACHINE_ENDPOINT: &str = "http://169.254.169.254";
const MACHINE_ENDPOINT_IPV6: &str = "http://[fd00:ec2::254]";
const CONTAINER_ENDPOINT: &str = "http://169.254.170.2";
/// Addresses of a container's service that need no TLS, beside the loopback ones.
const CONTAINER_HOSTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];
const KEYS_PATH: &str = "/latest/meta-data/iam/security-credentials/";
const IDENTITY_PATH: &str = "/latest/dynamic/instance-identity/document";
/// As long as a token may live.
const TOKEN_TTL_SECONDS: &str = "21600";

#[derive(Deserialize)]
struct Identity {
    region: String,
}

impl AwsAccount {
    pub(super) async fn region_of_machine(&self) -> Result<String, Cause> {
        let failed = |reason: String| {
            Cause::Token(format!(
                "region not configured and EC2 instance metadata gives none: {reason}"
            ))
        };
        let text = self.ask_machine(IDENTITY_PATH).await;
        let text = text.map_err(|cause| failed(cause.to_string()))?;
        let identity: Identity =
            serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
        Ok(identity.region)
    }

    pub(super) async fn keys_of_machine(&self) -> Result<Keys, Cause> {
        let failed = |reason: String| {
            Cause::Token(format!("no EC2 IMDS role found, and no other AWS credentials: {reason}"))
        };
        let asked = async {
            let roles = self.ask_machine(KEYS_PATH).await?;
            let role = roles.lines().next().unwrap_or_default().trim();
            if role.is_empty() {
                return Err(Cause::Token("the instance has no role".to_owned()));
            }
            self.ask_machine(&format!("{KEYS_PATH}{role}")).await
        };
        let text = asked.await.map_err(|cause| failed(cause.to_string()))?;
        // The error of the parser would show the text, which is secret.
        let keys: GivenKeys = serde_json::from_str(&text)
            .map_err(|_| failed("the answer holds no keys".to_owned()))?;
        Ok(keys.into())
    }

    /// With a token first; a service of the first version does without.
    async fn ask_machine(&self, path: &str) -> Result<String, Cause> {
        if self.env("AWS_EC2_METADATA_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true")) {
            return Err(Cause::Token(
                "access disabled to EC2 IMDS via AWS_EC2_METADATA_DISABLED".to_owned(),
            ));
        }
        let mode = self.env("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE").unwrap_or_default();
        let fixed = if mode.eq_ignore_ascii_case("ipv6") {
            MACHINE_ENDPOINT_IPV6
        } else {
            MACHINE_ENDPOINT
        };
        let base = self.env("AWS_EC2_METADATA_SERVICE_ENDPOINT");
        let base = base.as_deref().unwrap_or(fixed).trim_end_matches('/').to_owned();
        let bad = |error: crate::HttpError| Cause::Token(error.to_string());
        let wish = Request::new(Method::PUT, &format!("{base}/latest/api/token"), EXCHANGE_TIMEOUT)
            .and_then(|it| {
                it.with_header("x-aws-ec2-metadata-token-ttl-seconds", TOKEN_TTL_SECONDS)
            });
        let mut request = Request::get(&format!("{base}{path}"), EXCHANGE_TIMEOUT).map_err(bad)?;
        match self.exchange(&self.local_client, &wish.map_err(bad)?).await? {
            (200, token) => {
                request =
                    request.with_header("x-aws-ec2-metadata-token", token.trim()).map_err(bad)?;
            }
            (403..=405, _) => {}
            (code, _) => return Err(Cause::Token(format!("no token of EC2 IMDS: status {code}"))),
        }
        match self.exchange(&self.local_client, &request).await? {
            (200, text) => Ok(text),
            (code, _) => Err(Cause::Token(format!("EC2 IMDS answers {path} with status {code}"))),
        }
    }

    /// Where a container's keys are, if the environment names a place.
    pub(super) fn container_endpoint(&self) -> Result<Option<String>, Cause> {
        if let Some(path) = self.env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            return Ok(Some(format!("{CONTAINER_ENDPOINT}{path}")));
        }
        let Some(url) = self.env("AWS_CONTAINER_CREDENTIALS_FULL_URI") else { return Ok(None) };
        match is_trusted(&url) {
            true => Ok(Some(url)),
            false => Err(Cause::Token(
                "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, a loopback address or that of ECS or EKS".to_owned(),
            )),
        }
    }

    pub(super) async fn keys_of_container(&self, url: &str) -> Result<Keys, Cause> {
        let failed = |reason: String| {
            Cause::Token(format!("failed to load credentials of the container: {reason}"))
        };
        let mut token = self.env("AWS_CONTAINER_AUTHORIZATION_TOKEN");
        if let Some(file) = self.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
            token = self.read(&file).await.map_err(failed)?;
        }
        let bad = |error: crate::HttpError| failed(error.to_string());
        let mut request = Request::get(url, EXCHANGE_TIMEOUT).map_err(bad)?;
        if let Some(token) = token {
            request = request.with_header("authorization", token.trim()).map_err(bad)?;
        }
        match self.exchange(&self.local_client, &request).await? {
            (200, text) => {
                let keys: Result<GivenKeys, _> = serde_json::from_str(&text);
                keys.map(Keys::from).map_err(|_| failed("the answer holds no keys".to_owned()))
            }
            (code, _) => Err(failed(format!("status {code}"))),
        }
    }
}

fn is_trusted(url: &str) -> bool {
    let Ok(url) = url::Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    url.scheme() == "https" || is_loopback || CONTAINER_HOSTS.contains(&host)
}
