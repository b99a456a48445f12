//! Roles that an account assumes, by its own keys or by a token that somebody else vouches for.

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use jiff::Timestamp;
use url::form_urlencoded;

use super::{
    AwsAccount, EXCHANGE_TIMEOUT, Keys, aws_domain,
    sign::{Scope, Signing, sign},
};
use crate::{Request, error::Cause};

const VERSION: &str = "2011-06-15";
/// How long the keys of a role are good. Compat: `stscreds.DefaultDuration`.
const DURATION_SECONDS: &str = "900";
const FORM: &str = "application/x-www-form-urlencoded";

/// A role and the name of the session in it, which may be empty.
#[derive(Debug)]
pub(super) struct Role {
    pub(super) arn: String,
    pub(super) external_id: String,
    pub(super) session_name: String,
}

impl Role {
    fn form(&self, action: &str, more: (&str, &str), has_keys: bool) -> String {
        let session_name = match self.session_name.as_str() {
            "" => Timestamp::now().as_nanosecond().to_string(),
            name => name.to_owned(),
        };
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", action).append_pair("Version", VERSION);
        form.append_pair("RoleArn", &self.arn).append_pair("RoleSessionName", &session_name);
        if has_keys {
            form.append_pair("DurationSeconds", DURATION_SECONDS);
        }
        if !more.1.is_empty() {
            form.append_pair(more.0, more.1);
        }
        form.finish()
    }
}

impl AwsAccount {
    pub(super) async fn assume(&self, role: &Role, keys: &Keys) -> Result<Keys, Cause> {
        self.ask_for_role("AssumeRole", role, ("ExternalId", &role.external_id), Some(keys)).await
    }

    pub(super) async fn assume_by_file(&self, role: &Role, file: &str) -> Result<Keys, Cause> {
        let failed = |reason: &str| {
            Cause::Token(format!("failed to read the web identity token of {file}: {reason}"))
        };
        let token = self.read(file).await.map_err(|reason| failed(&reason))?;
        let token = token.ok_or_else(|| failed("no such file"))?;
        let action = "AssumeRoleWithWebIdentity";
        self.ask_for_role(action, role, ("WebIdentityToken", token.trim()), None).await
    }

    async fn ask_for_role(
        &self,
        action: &str,
        role: &Role,
        more: (&str, &str),
        keys: Option<&Keys>,
    ) -> Result<Keys, Cause> {
        let region = Box::pin(self.region()).await?;
        let url = self.roles_endpoint(&region);
        let form = role.form(action, more, keys.is_some());
        let failed =
            |reason: String| Cause::Token(format!("operation error STS: {action}, {reason}"));
        let mut headers = HeaderMap::new();
        if let Some(keys) = keys {
            let host = url.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            let signing = Signing {
                method: "POST",
                host,
                path: "/",
                query: "",
                headers: &[("content-type", FORM)],
                body: form.as_bytes(),
            };
            let scope = Scope { region: &region, service: "sts", at: Timestamp::now() };
            for (name, value) in sign(&signing, keys, &scope) {
                let mut value = HeaderValue::from_str(&value)
                    .map_err(|_| failed("keys that cannot be in a header".to_owned()))?;
                value.set_sensitive(name == AUTHORIZATION.as_str());
                headers.insert(name, value);
            }
        }
        let request = Request::post_form(&url, EXCHANGE_TIMEOUT, headers, form)
            .map_err(|error| failed(error.to_string()))?;
        let (code, text) = self.exchange(&self.client, &request).await?;
        let tag = |name: &str| tag_text(&text, name).unwrap_or_default();
        if code != 200 {
            let (kind, message) = (tag("Code"), tag("Message"));
            return Err(failed(format!(
                "https response error StatusCode: {code}, {kind}: {message}"
            )));
        }
        let expires = tag("Expiration").parse().ok();
        let keys = Keys::new(&tag("AccessKeyId"), &tag("SecretAccessKey"), &tag("SessionToken"));
        match keys.access_key.is_empty() || expires.is_none() {
            true => Err(failed("the answer holds no keys".to_owned())),
            false => Ok(keys.until(expires)),
        }
    }

    fn roles_endpoint(&self, region: &str) -> String {
        let own = self.env("AWS_ENDPOINT_URL_STS").or_else(|| self.env("AWS_ENDPOINT_URL"));
        own.unwrap_or_else(|| {
            let fips = if self.cfg.use_fips_sts_endpoint { "-fips" } else { "" };
            format!("https://sts{fips}.{region}.{}/", aws_domain(region))
        })
    }
}

/// The text of the first element of a name, as far as keys and error codes need it.
fn tag_text(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    Some(text.replace("&#39;", "'").replace("&amp;", "&").trim().to_owned())
}
