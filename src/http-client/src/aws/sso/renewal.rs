//! Renews the token that a sign-on has left, and leaves the new one in its place, for whoever else uses it.
//! Compat: `ssocreds.SSOTokenProvider` of the AWS SDK for Go v2, and its service `ssooidc`, `CreateToken`.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::{task::spawn_blocking, time::timeout};

use super::{
    super::{AwsAccount, EXCHANGE_TIMEOUT, aws_domain},
    failed,
};
use crate::{
    Request,
    aws::profile::Profile,
    crypto::random_uuid,
    error::{Cause, errno_text},
};

/// A file that takes longer is on a disk that hangs.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Refusals that only another sign-on ends (RFC 6749, section 5.2, and RFC 8628, section 3.5).
const SPENT: [&str; 5] =
    ["access_denied", "expired_token", "invalid_client", "invalid_grant", "unauthorized_client"];

/// No `Debug`: all of it is secret.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    access_token: String,
    expires_in: i64,
    refresh_token: Option<String>,
}

/// A file beside the one that it will replace; removed unless it does.
struct Beside {
    file: File,
    path: PathBuf,
    is_in_place: bool,
}

impl AwsAccount {
    /// A new token in place of `left`, what the file holds; `None` if there is nothing to renew it with, or the
    /// service takes it no more.
    ///
    /// # Errors
    /// The service cannot be asked, or the file cannot be replaced: that is seen to before, as the service may take
    /// what renews a token only once.
    ///
    /// # Cancel safety
    /// The old token stays, but it may be of no use any more.
    pub(super) async fn renew(
        &self,
        profile: &Profile,
        region: &str,
        path: &str,
        left: Map<String, Value>,
    ) -> Result<Option<String>, Cause> {
        let of = |key: &str| left.get(key).and_then(Value::as_str).filter(|it| !it.is_empty());
        let (Some(id), Some(secret), Some(refresh)) =
            (of("clientId"), of("clientSecret"), of("refreshToken"))
        else {
            return Ok(None);
        };
        let wish = json!({
            "clientId": id,
            "clientSecret": secret,
            "grantType": "refresh_token",
            "refreshToken": refresh,
        });
        let cannot_keep = |reason: String| {
            failed(profile, format_args!("unable to cache refreshed SSO token, {reason}"))
        };
        let target = PathBuf::from(path);
        let beside = in_time({
            let target = target.clone();
            move || Beside::create(&target)
        });
        let beside = beside.await.map_err(&cannot_keep)?;
        let Some(answer) = self.new_token(profile, region, &wish).await? else { return Ok(None) };
        let expires = Timestamp::now()
            .checked_add(SignedDuration::from_secs(answer.expires_in))
            .unwrap_or(Timestamp::MAX);
        let expires = expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mut left = left;
        left.insert("accessToken".to_owned(), answer.access_token.clone().into());
        left.insert("expiresAt".to_owned(), expires.into());
        if let Some(refresh) = answer.refresh_token {
            left.insert("refreshToken".to_owned(), refresh.into());
        }
        let text = Value::Object(left).to_string();
        in_time(move || beside.replace(&target, &text)).await.map_err(cannot_keep)?;
        Ok(Some(answer.access_token))
    }

    /// `None` if the service takes what renews a token no more.
    async fn new_token(
        &self,
        profile: &Profile,
        region: &str,
        wish: &Value,
    ) -> Result<Option<Answer>, Cause> {
        let base = self.env("AWS_ENDPOINT_URL_SSO_OIDC").or_else(|| self.env("AWS_ENDPOINT_URL"));
        let base = base.unwrap_or_else(|| format!("https://oidc.{region}.{}", aws_domain(region)));
        let url = format!("{}/token", base.trim_end_matches('/'));
        let request = Request::post(&url, wish.to_string().into(), EXCHANGE_TIMEOUT)
            .and_then(|request| request.with_header("content-type", "application/json"))
            .map_err(|error| failed(profile, format_args!("{error}")))?;
        let (code, text) = self.exchange(&self.client, &request).await?;
        match code {
            // The error of the parser could show the token.
            200 => match serde_json::from_str(&text) {
                Ok(answer) => Ok(Some(answer)),
                Err(_) => Err(failed(profile, format_args!("the answer holds no token"))),
            },
            _ => match refusal(&text) {
                Some(name) if SPENT.contains(&&*name) => Ok(None),
                name => {
                    let name = name.map(|name| format!(": {name}")).unwrap_or_default();
                    let text = format_args!("CreateToken is answered with status {code}{name}");
                    Err(failed(profile, text))
                }
            },
        }
    }
}

/// What a refusal is called, if it is told in a word.
fn refusal(text: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(text).ok()?;
    let name = answer.get("error").and_then(Value::as_str)?;
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (name.len() <= 64 && name.bytes().all(is_word)).then(|| name.to_owned())
}

impl Beside {
    fn create(target: &Path) -> io::Result<Self> {
        let suffix = random_uuid().map_err(io::Error::other)?;
        let mut path = target.as_os_str().to_owned();
        path.push(format!(".tmp-{suffix}"));
        let path = PathBuf::from(path);
        let mode = target.metadata()?.permissions().mode();
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        Ok(Self { file, path, is_in_place: false })
    }

    fn replace(mut self, target: &Path, text: &str) -> io::Result<()> {
        self.file.write_all(text.as_bytes())?;
        self.file.sync_all()?;
        #[expect(
            clippy::disallowed_methods,
            reason = "the file is durable, and so is its folder after this"
        )]
        std::fs::rename(&self.path, target)?;
        self.is_in_place = true;
        File::open(target.parent().unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.is_in_place {
            // Nobody looks at it, and it holds nothing.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// Runs on a thread of its own. What has begun goes on when nobody waits any more.
async fn in_time<T: Send + 'static>(
    job: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, String> {
    match timeout(WRITE_TIMEOUT, spawn_blocking(job)).await {
        Ok(Ok(done)) => done.map_err(|error| errno_text(&error)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer in {} s", WRITE_TIMEOUT.as_secs())),
    }
}
