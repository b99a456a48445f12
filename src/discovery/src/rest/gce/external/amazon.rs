//! Proof of an identity in Amazon's cloud: a signed request to its service for roles, which Google sends to learn who
//! signed it. Compat: `aws.go` of Go's `oauth2/google/externalaccount`.

use prom_http_client::AwsProof;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use super::{
    super::super::{AskError, Call, Refusal, json::read_value, rules::text},
    ExternalAccount,
};

const IDENTITY_URL: &str =
    "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15";
/// Of the machine's service.
const SESSION_SECONDS: &str = "300";
const SESSION_HEADER: &str = "x-aws-ec2-metadata-token";

const fn no(text: &'static str) -> Refusal {
    Refusal { text, reason_at: "", is_strict: true }
}

const NO_SESSION: Refusal =
    no("oauth2/google/externalaccount: unable to retrieve AWS session token - status code {code}");
const NO_REGION: Refusal =
    no("oauth2/google/externalaccount: unable to retrieve AWS region - status code {code}");
const NO_ROLE: Refusal =
    no("oauth2/google/externalaccount: unable to retrieve AWS role name - status code {code}");
const NO_KEYS: Refusal = no(
    "oauth2/google/externalaccount: unable to retrieve AWS security credentials - status code {code}",
);

struct Keys {
    access: String,
    secret: String,
    session_token: String,
}

impl ExternalAccount<'_> {
    pub(super) async fn proof_of_amazon(&self, source: &Value) -> Result<String, AskError> {
        match text(source, "/environment_id").strip_prefix("aws").map(str::parse::<i64>) {
            Some(Ok(1)) => {}
            Some(Ok(version)) => {
                return Err(failed(&format!(
                    "aws version '{version}' is not supported in the current build"
                )));
            }
            _ => return Err(failed("unable to parse credential source")),
        }
        let (keys, region) = (self.keys_of_env(), self.region_of_env());
        let session = match keys.is_none() || region.is_none() {
            true => self.session(source).await?,
            false => None,
        };
        let keys = match keys {
            Some(keys) => keys,
            None => self.keys_of_machine(source, session.as_deref()).await?,
        };
        let region = match region {
            Some(region) => region,
            None => self.region_of_machine(source, session.as_deref()).await?,
        };
        self.proof(source, &keys, &region)
    }

    fn keys_of_env(&self) -> Option<Keys> {
        Some(Keys {
            access: self.env.get("AWS_ACCESS_KEY_ID")?,
            secret: self.env.get("AWS_SECRET_ACCESS_KEY")?,
            session_token: self.env.get("AWS_SESSION_TOKEN").unwrap_or_default(),
        })
    }

    fn region_of_env(&self) -> Option<String> {
        self.env.get("AWS_REGION").or_else(|| self.env.get("AWS_DEFAULT_REGION"))
    }

    /// What the second version of the machine's service wants to see.
    async fn session(&self, source: &Value) -> Result<Option<String>, AskError> {
        let url = text(source, "/imdsv2_session_token_url");
        if url.is_empty() {
            return Ok(None);
        }
        let call = Call { headers: Vec::new(), is_put: true, ..Call::get(&url, "") };
        let call = call.with_header("x-aws-ec2-metadata-token-ttl-seconds", SESSION_SECONDS);
        self.ask_machine(&call, None, &NO_SESSION).await.map(Some)
    }

    async fn keys_of_machine(
        &self,
        source: &Value,
        session: Option<&str>,
    ) -> Result<Keys, AskError> {
        let url = text(source, "/url");
        if url.is_empty() {
            return Err(failed(
                "unable to determine the AWS metadata server security credentials endpoint",
            ));
        }
        let role = self.ask_machine(&Call::get(&url, ""), session, &NO_ROLE).await?;
        let call = Call::get(&url, &format!("/{role}"));
        let answer = self.ask_machine(&call, session, &NO_KEYS).await?;
        // The error of the parser could show a secret.
        let answer = read_value(answer.as_bytes())
            .map_err(|_| failed("the AWS security credentials are not JSON"))?;
        let of = |at: &str| text(&answer, at).into_owned();
        let keys = Keys {
            access: of("/AccessKeyId"),
            secret: of("/SecretAccessKey"),
            session_token: of("/Token"),
        };
        match (keys.access.is_empty(), keys.secret.is_empty()) {
            (true, _) => Err(failed("missing AccessKeyId credential")),
            (_, true) => Err(failed("missing SecretAccessKey credential")),
            _ => Ok(keys),
        }
    }

    async fn region_of_machine(
        &self,
        source: &Value,
        session: Option<&str>,
    ) -> Result<String, AskError> {
        let url = text(source, "/region_url");
        if url.is_empty() {
            return Err(failed("unable to determine AWS region"));
        }
        // A zone, which is the region and one letter.
        let mut zone = self.ask_machine(&Call::get(&url, ""), session, &NO_REGION).await?;
        zone.pop();
        if zone.is_empty() {
            return Err(failed("unable to determine AWS region"));
        }
        Ok(zone)
    }

    async fn ask_machine(
        &self,
        call: &Call,
        session: Option<&str>,
        refusal: &Refusal,
    ) -> Result<String, AskError> {
        let mut call = call.clone();
        if let Some(session) = session {
            call = call.with_header(SESSION_HEADER, session);
        }
        let answer = self.client.fetch(&call, refusal, None).await?;
        let answer = std::str::from_utf8(answer.body.as_slice());
        Ok(answer.map_err(|_| failed("the AWS metadata server answers no text"))?.to_owned())
    }

    /// The signed request, as the exchange wants it: JSON, percent-encoded.
    fn proof(&self, source: &Value, keys: &Keys, region: &str) -> Result<String, AskError> {
        let url = match text(source, "/regional_cred_verification_url") {
            url if url.is_empty() => IDENTITY_URL.to_owned(),
            url => url.into_owned(),
        };
        let url = url.replacen("{region}", region, 1);
        let parsed = Url::parse(&url).map_err(|error| failed(&error.to_string()))?;
        let host = &parsed[url::Position::BeforeHost..url::Position::AfterPort];
        let proof = AwsProof {
            access_key: &keys.access,
            secret_key: &keys.secret,
            session_token: &keys.session_token,
            region,
            service: host.split('.').next().unwrap_or_default(),
        };
        let audience = text(self.file, "/audience");
        let mut headers = vec![("host", host)];
        if !audience.is_empty() {
            headers.push(("x-goog-cloud-target-resource", &audience));
        }
        let (path, query) = (parsed.path(), parsed.query().unwrap_or_default());
        let signed = proof.of_post(host, path, query, headers.get(1..).unwrap_or_default());
        headers.extend(signed.iter().map(|(name, value)| (*name, value.as_str())));
        headers.sort_unstable();
        let headers: Vec<Value> =
            headers.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
        let request = json!({"url": url, "method": "POST", "headers": headers}).to_string();
        Ok(form_urlencoded::byte_serialize(request.as_bytes()).collect())
    }
}

fn failed(reason: &str) -> AskError {
    AskError::new(format!("oauth2/google/externalaccount: {reason}"))
}
