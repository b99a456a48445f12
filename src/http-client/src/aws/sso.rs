//! Keys for a single sign-on that somebody has done before: `aws sso login` leaves a token, which is used as long as it
//! is good, and then, if it is that of a session, renewed. Nobody is signed on here.
//! Compat: `ssocreds` of the AWS SDK for Go v2.

mod renewal;

use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::{
    AwsAccount, EXCHANGE_TIMEOUT, Keys, aws_domain,
    profile::{Profile, Section},
};
use crate::{
    Request,
    crypto::{hex, sha1},
    error::Cause,
};

/// What was left by the sign-on. No `Debug`: most of it is secret.
struct LeftToken {
    access_token: String,
    expires_at: Timestamp,
    /// All that the file holds.
    fields: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    role_credentials: RoleKeys,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RoleKeys {
    access_key_id: String,
    secret_access_key: String,
    #[serde(default)]
    session_token: String,
    #[serde(rename = "expiration")]
    expires_ms: i64,
}

impl AwsAccount {
    /// `None` if the profile knows no sign-on.
    pub(super) async fn keys_of_sign_on(&self, profile: &Profile) -> Result<Option<Keys>, Cause> {
        const KEYS: [&str; 5] =
            ["sso_session", "sso_account_id", "sso_role_name", "sso_region", "sso_start_url"];
        if KEYS.iter().all(|key| profile.get(key).is_none()) {
            return Ok(None);
        }
        let session = match profile.get("sso_session") {
            None => None,
            Some(name) => {
                let found = self.section_named(name, Section::Session).await?;
                Some(found.ok_or_else(|| {
                    failed(profile, format_args!("the sso-session {name:?} does not exist"))
                })?)
            }
        };
        let of = |key: &str| -> Result<&str, Cause> {
            let is_of_session = matches!(key, "sso_region" | "sso_start_url");
            let session = session.as_ref().filter(|_| is_of_session);
            let found = session.and_then(|it| it.get(key)).or_else(|| profile.get(key));
            found.ok_or_else(|| failed(profile, format_args!("it has no {key}")))
        };
        let (account, role) = (of("sso_account_id")?, of("sso_role_name")?);
        let (region, start_url) = (of("sso_region")?, of("sso_start_url")?);
        let session = profile.get("sso_session");
        let token = self.token(profile, session.unwrap_or(start_url), region, session.is_some());
        let token = token.await?;
        self.keys_for_token(profile, region, account, role, &token).await.map(Some)
    }

    /// The token that is good at this moment.
    async fn token(
        &self,
        profile: &Profile,
        name: &str,
        region: &str,
        is_renewable: bool,
    ) -> Result<String, Cause> {
        let home = self.env("HOME").unwrap_or_default();
        let path = format!("{home}/.aws/sso/cache/{}.json", hex(&sha1(name.as_bytes())));
        let left = self.left_token(profile, &path).await?;
        if left.is_good() {
            return Ok(left.access_token);
        }
        if !is_renewable {
            return Err(expired(profile));
        }
        if let Some(token) = self.renew(profile, region, &path, left.fields).await? {
            return Ok(token);
        }
        // Somebody else may have been faster.
        let left = self.left_token(profile, &path).await?;
        if left.is_good() { Ok(left.access_token) } else { Err(expired(profile)) }
    }

    async fn left_token(&self, profile: &Profile, path: &str) -> Result<LeftToken, Cause> {
        let text = self.read(path).await;
        let text = text.map_err(|reason| failed(profile, format_args!("{reason}")))?;
        let text = text.ok_or_else(|| expired(profile))?;
        // The error of the parser could show the token.
        let fields = serde_json::from_str(&text).ok();
        LeftToken::new(fields.unwrap_or_default())
            .ok_or_else(|| failed(profile, format_args!("{path} holds no token")))
    }

    async fn keys_for_token(
        &self,
        profile: &Profile,
        region: &str,
        account: &str,
        role: &str,
        token: &str,
    ) -> Result<Keys, Cause> {
        let base = self.env("AWS_ENDPOINT_URL_SSO").or_else(|| self.env("AWS_ENDPOINT_URL"));
        let base =
            base.unwrap_or_else(|| format!("https://portal.sso.{region}.{}", aws_domain(region)));
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("account_id", account)
            .append_pair("role_name", role)
            .finish();
        let url = format!("{}/federation/credentials?{query}", base.trim_end_matches('/'));
        let request = Request::new(Method::GET, &url, EXCHANGE_TIMEOUT)
            .and_then(|request| request.with_header("x-amz-sso_bearer_token", token))
            .map_err(|error| failed(profile, format_args!("{error}")))?;
        let (code, text) = self.exchange(&self.client, &request).await?;
        let answer: Answer = match code {
            200 => serde_json::from_str(&text)
                .map_err(|_| failed(profile, format_args!("the answer holds no keys")))?,
            401 => return Err(expired(profile)),
            _ => {
                let text = format_args!("GetRoleCredentials is answered with status {code}");
                return Err(failed(profile, text));
            }
        };
        let keys = answer.role_credentials;
        let expires = Timestamp::from_millisecond(keys.expires_ms).ok();
        let found = Keys::new(&keys.access_key_id, &keys.secret_access_key, &keys.session_token);
        Ok(found.until(expires))
    }
}

impl LeftToken {
    fn new(fields: Map<String, Value>) -> Option<Self> {
        let of = |key: &str| fields.get(key).and_then(Value::as_str);
        let (access_token, expires_at) =
            (of("accessToken")?.to_owned(), of("expiresAt")?.parse().ok()?);
        Some(Self { access_token, expires_at, fields })
    }

    fn is_good(&self) -> bool {
        Timestamp::now() < self.expires_at
    }
}

fn failed(profile: &Profile, reason: std::fmt::Arguments<'_>) -> Cause {
    Cause::Token(format!("failed to load the AWS profile {:?}: {reason}", profile.name))
}

fn expired(profile: &Profile) -> Cause {
    let name = &profile.name;
    failed(
        profile,
        format_args!(
            "the SSO session has expired or is invalid: sign on with \"aws sso login --profile {name}\""
        ),
    )
}
