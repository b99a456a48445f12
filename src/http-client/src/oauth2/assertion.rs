//! Tokens for an assertion that a private key signs (RFC 7523). Compat: prometheus/common
//! `config/oauth_assertion.go`.

use http::HeaderMap;
use jiff::Timestamp;
use prom_config::OpenValue;
use serde_json::{Map, Value};
use tokio::time::Instant;
use url::form_urlencoded;

use super::{Token, Tokens, token};
use crate::{HttpError, Request, RsaHash, RsaKey, crypto::random_uuid, error::Cause};

pub(super) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How long an assertion is good.
const LIFETIME_SECONDS: i64 = 10 * 60;

impl Tokens {
    pub(super) async fn ask_by_assertion(
        &self,
        key: &str,
        deadline: Instant,
    ) -> Result<Token, Cause> {
        let form = self.assertion_form(key).map_err(Cause::Token)?;
        let left = deadline.saturating_duration_since(Instant::now());
        let request = Request::post_form(&self.cfg.token_url, left, HeaderMap::new(), form)
            .map_err(|error| Cause::Request(error.to_string()))?;
        let answer =
            self.answer(&request).await.map_err(|error: HttpError| match error.is_deadline() {
                true => Cause::Deadline,
                false => Cause::Token(format!("oauth2: cannot fetch token: {error}")),
            })?;
        token(&answer.status, &answer.content_type, &answer.body)
    }

    fn assertion_form(&self, key: &str) -> Result<String, String> {
        let cfg = &self.cfg;
        let key = RsaKey::from_pem(key.as_bytes())?;
        // The configuration allows no other name; the original takes the first hash for those.
        let hash = RsaHash::of_web_name(&cfg.signature_algorithm).unwrap_or(RsaHash::Sha256);
        let assertion = key.web_token(hash, &cfg.client_certificate_key_id, &self.claims()?)?;
        let mut pairs = vec![("grant_type", GRANT_TYPE), ("assertion", &assertion)];
        let scopes = cfg.scopes.join(" ");
        if !scopes.is_empty() {
            pairs.push(("scope", &scopes));
        }
        for (name, value) in &cfg.endpoint_params {
            match pairs.iter_mut().find(|(other, _)| other == name) {
                Some((_, set)) if name == "grant_type" => *set = value,
                Some(_) => return Err(format!("oauth2: cannot overwrite parameter {name:?}")),
                None => pairs.push((name, value)),
            }
        }
        Ok(form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish())
    }

    fn claims(&self) -> Result<Value, String> {
        let cfg = &self.cfg;
        let or = |text: &str, other: &str| Value::from(if text.is_empty() { other } else { text });
        let now_seconds = Timestamp::now().as_second();
        let mut claims = Map::new();
        claims.insert("iss".to_owned(), or(&cfg.iss, &cfg.client_id));
        claims.insert("sub".to_owned(), cfg.client_id.as_str().into());
        claims.insert("jti".to_owned(), random_uuid()?.into());
        claims.insert("aud".to_owned(), or(&cfg.audience, &cfg.token_url));
        claims.insert("iat".to_owned(), now_seconds.into());
        claims.insert("exp".to_owned(), (now_seconds + LIFETIME_SECONDS).into());
        if !cfg.scopes.is_empty() {
            claims.insert("scope".to_owned(), cfg.scopes.join(" ").into());
        }
        claims.extend(cfg.claims.iter().map(|(name, claim)| (name.clone(), json(claim))));
        Ok(claims.into())
    }
}

fn json(value: &OpenValue) -> Value {
    match value {
        OpenValue::Bool(value) => (*value).into(),
        OpenValue::Int(value) => (*value).into(),
        OpenValue::Uint(value) => (*value).into(),
        OpenValue::Float(value) => (*value).into(),
        OpenValue::Text(value) => value.as_str().into(),
        OpenValue::List(values) => values.iter().map(json).collect(),
        OpenValue::Map(values) => {
            values.iter().map(|(name, value)| (name.clone(), json(value))).collect()
        }
        // Null, and kinds that this build does not know.
        _ => Value::Null,
    }
}
