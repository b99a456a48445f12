//! Keys for a single sign-on that somebody has done before: `aws sso login` leaves a token, which is used as long as it
//! is good and never renewed here, since that would take it from whoever signed in.
//! Compat: `ssocreds` of the AWS SDK for Go v2.

use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
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

/// What was left by the sign-on.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CachedToken {
    access_token: String,
    expires_at: Timestamp,
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
        let token = self.cached_token(profile, profile.get("sso_session").unwrap_or(start_url));
        let token = token.await?;
        self.keys_for_token(profile, region, account, role, &token).await.map(Some)
    }

    async fn cached_token(&self, profile: &Profile, name: &str) -> Result<String, Cause> {
        let home = self.env("HOME").unwrap_or_default();
        let path = format!("{home}/.aws/sso/cache/{}.json", hex(&sha1(name.as_bytes())));
        let text = self.read(&path).await;
        let text = text.map_err(|reason| failed(profile, format_args!("{reason}")))?;
        let text = text.ok_or_else(|| expired(profile))?;
        // The error of the parser could show the token.
        let token: CachedToken = serde_json::from_str(&text)
            .map_err(|_| failed(profile, format_args!("{path} holds no token")))?;
        match Timestamp::now() < token.expires_at {
            true => Ok(token.access_token),
            false => Err(expired(profile)),
        }
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
