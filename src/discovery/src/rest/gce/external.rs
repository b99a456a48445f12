//! Google's external accounts: a token of somebody else, from a file or an address, is exchanged for one of Google's, and
//! that one, if the account says so, for one of a service account. That somebody may also be a program ([`program`]) or
//! Amazon's cloud ([`amazon`]); a certificate is refused by name. Compat: `google/externalaccount` of Go's `oauth2`.

mod amazon;
mod program;

use std::path::Path;

use jiff::Timestamp;
use prom_http_client::{SmallFiles, base64};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::super::{
    AskError, Call, Refusal, RestClient,
    json::read_value,
    rules::{int, text},
};
use crate::polled::Env;

const TOKEN_URL: &str = "https://sts.googleapis.com/v1/token";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";
/// What the first token must be good for, where a second one is got with it.
const PLATFORM_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const LIFETIME_SECONDS: i64 = 3600;
const TOKEN_SIZE_BYTES_MAX: usize = 1 << 20;

const SOURCE_REFUSAL: Refusal = Refusal {
    text: "oauth2/google/externalaccount: status code {code}",
    reason_at: "",
    is_strict: false,
};
const EXCHANGE_REFUSAL: Refusal = Refusal {
    text: "oauth2/google: status code {code}",
    reason_at: "/error_description",
    is_strict: false,
};
const IMPERSONATION_REFUSAL: Refusal = Refusal { reason_at: "/error/message", ..EXCHANGE_REFUSAL };

/// An account, as its file describes it, and the means to speak for it.
pub(super) struct ExternalAccount<'a> {
    pub(super) file: &'a Value,
    pub(super) files: &'a SmallFiles,
    pub(super) env: &'a Env,
    pub(super) client: &'a RestClient,
}

impl ExternalAccount<'_> {
    /// A token for `scope`, as a token endpoint would answer.
    ///
    /// # Errors
    /// Nobody gives one, or the account wants what this build cannot do.
    pub(super) async fn fetch(&self, scope: &str) -> Result<Value, AskError> {
        let url = text(self.file, "/service_account_impersonation_url");
        let first_scope = if url.is_empty() { scope } else { PLATFORM_SCOPE };
        let subject = self.subject().await?;
        let first = self.exchange(&subject, first_scope).await?;
        match url.is_empty() {
            true => Ok(first),
            false => self.impersonate(&url, &first, scope).await,
        }
    }

    /// The token of somebody else.
    async fn subject(&self) -> Result<String, AskError> {
        let source = self.file.get("credential_source").unwrap_or(&Value::Null);
        let (path, url) = (text(source, "/file"), text(source, "/url"));
        if text(source, "/environment_id").starts_with("aws") {
            return self.proof_of_amazon(source).await;
        }
        let named = |key| source.get(key).filter(|value| !value.is_null());
        if named("certificate").is_some() {
            return Err(AskError::new(
                "credentials of an external account from a certificate (certificate) are not supported",
            ));
        }
        if let (Some(executable), true) = (named("executable"), path.is_empty() && url.is_empty()) {
            return self.token_of_program(executable).await;
        }
        let bytes = match (&*path, &*url) {
            ("", "") => {
                return Err(AskError::new(
                    "oauth2/google/externalaccount: unable to parse credential source",
                ));
            }
            ("", url) => {
                let headers = source.get("headers").and_then(Value::as_object);
                let mut call = Call { headers: Vec::new(), ..Call::get(url, "") };
                for (name, value) in headers.into_iter().flatten() {
                    call = call.with_header(name.to_ascii_lowercase(), text(value, ""));
                }
                let answer = self.client.fetch(&call, &SOURCE_REFUSAL, None).await?;
                answer.body.as_slice().to_vec()
            }
            (path, _) => {
                let read = self.files.read(Path::new(path), TOKEN_SIZE_BYTES_MAX).await;
                let failed = |error| {
                    format!(
                        "oauth2/google/externalaccount: failed to open credential file: {error}"
                    )
                };
                read.map_err(failed)?.to_vec()
            }
        };
        subject_of(&bytes, source)
    }

    async fn exchange(&self, subject: &str, scope: &str) -> Result<Value, AskError> {
        self.client.value(&self.exchange_call(subject, scope), &EXCHANGE_REFUSAL).await
    }

    fn exchange_call(&self, subject: &str, scope: &str) -> Call {
        let of = |at: &str| text(self.file, at);
        let (audience, subject_type) = (of("/audience"), of("/subject_token_type"));
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("audience", &audience)
            .append_pair("grant_type", GRANT_TYPE)
            .append_pair("requested_token_type", TOKEN_TYPE)
            .append_pair("subject_token_type", &subject_type)
            .append_pair("subject_token", subject)
            .append_pair("scope", scope);
        let (id, secret) = (of("/client_id"), of("/client_secret"));
        let project = of("/workforce_pool_user_project");
        if !project.is_empty() && id.is_empty() {
            form.append_pair("options", &json!({"userProject": project}).to_string());
        }
        let url = of("/token_url");
        let url = if url.is_empty() { TOKEN_URL } else { &url };
        let call = Call::post_form(url, form.finish());
        if id.is_empty() || secret.is_empty() {
            return call;
        }
        let proof = base64(format!("{id}:{secret}").as_bytes());
        call.with_header("authorization", format!("Basic {proof}"))
    }

    async fn impersonate(&self, url: &str, first: &Value, scope: &str) -> Result<Value, AskError> {
        let lifetime = match int(self.file, "/service_account_impersonation/token_lifetime_seconds")
        {
            0 => LIFETIME_SECONDS,
            seconds => seconds,
        };
        let wish = json!({"lifetime": format!("{lifetime}s"), "scope": [scope]});
        let token = text(first, "/access_token");
        let call = Call::post_json(url, "", &wish);
        let call = call.with_header("authorization", format!("Bearer {token}"));
        let answer = self.client.value(&call, &IMPERSONATION_REFUSAL).await?;
        let until: Timestamp = text(&answer, "/expireTime").parse().map_err(|_| {
            AskError::new("oauth2/google: unable to parse the end of the token's time")
        })?;
        let seconds = until.as_second() - prom_telemetry::clock::now_ms() / 1000;
        Ok(json!({"access_token": text(&answer, "/accessToken"), "expires_in": seconds}))
    }
}

/// Takes the token out of what the source gives; what it gives is not told, as it is secret.
fn subject_of(bytes: &[u8], source: &Value) -> Result<String, AskError> {
    let failed = |reason: &str| AskError::new(format!("oauth2/google/externalaccount: {reason}"));
    let token = match &*text(source, "/format/type") {
        "json" => {
            let answer =
                read_value(bytes).map_err(|_| failed("failed to unmarshal subject token"))?;
            let name = text(source, "/format/subject_token_field_name");
            match answer.get(&*name) {
                Some(Value::String(token)) => token.clone(),
                Some(_) => return Err(failed("improperly formatted subject token")),
                None => {
                    return Err(failed(
                        "provided subject_token_field_name not found in credentials",
                    ));
                }
            }
        }
        "" | "text" => {
            let token = std::str::from_utf8(bytes);
            token.map_err(|_| failed("improperly formatted subject token"))?.trim().to_owned()
        }
        _ => return Err(failed("invalid credential_source file format type")),
    };
    if token.is_empty() { Err(failed("improperly formatted subject token")) } else { Ok(token) }
}
