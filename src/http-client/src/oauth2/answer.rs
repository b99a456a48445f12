//! What a token endpoint answers. Compat: `doTokenRoundTrip` of Go `oauth2/internal`.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use url::form_urlencoded;

use super::Token;
use crate::{error::Cause, headers::to_secret_value};

/// A token is fetched anew this long before its end. Compat: `defaultExpiryDelta`.
const EXPIRY_MARGIN: Duration = Duration::from_secs(10);

/// What the endpoint answers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    access_token: String,
    token_type: String,
    expires_in: Option<serde_json::Value>,
    error: String,
    error_description: String,
    error_uri: String,
}

/// Understands an answer.
pub(super) fn token(status: &str, content_type: &str, body: &[u8]) -> Result<Token, Cause> {
    let is_good = status.starts_with('2');
    let is_form = ["application/x-www-form-urlencoded", "text/plain"]
        .contains(&content_type.split(';').next().unwrap_or_default().trim());
    let answer = match is_form {
        true => of_form(body),
        false => match serde_json::from_slice::<Answer>(body) {
            Ok(answer) => answer,
            Err(error) if is_good => {
                return Err(Cause::Token(format!("oauth2: cannot parse json: {error}")));
            }
            Err(_) => Answer::default(),
        },
    };
    if !is_good || !answer.error.is_empty() {
        return Err(Cause::Token(refusal(status, &answer, body)));
    }
    if answer.access_token.is_empty() {
        return Err(Cause::Token("oauth2: server response missing access_token".to_owned()));
    }
    let seconds = match &answer.expires_in {
        Some(serde_json::Value::Number(number)) => number.as_f64(),
        Some(serde_json::Value::String(text)) => text.parse().ok(),
        _ => None,
    };
    let lifetime = seconds.filter(|seconds| (1.0..1e9).contains(seconds));
    let lifetime = lifetime.map(Duration::from_secs_f64);
    let good_until =
        lifetime.map(|lifetime| Instant::now() + lifetime.saturating_sub(EXPIRY_MARGIN));
    let kind = match answer.token_type.to_ascii_lowercase().as_str() {
        "" | "bearer" => "Bearer",
        "mac" => "MAC",
        "basic" => "Basic",
        _ => &answer.token_type,
    };
    let authorization = to_secret_value(&format!("{kind} {}", answer.access_token))?;
    Ok(Token { authorization, good_until })
}

/// Compat: `RetrieveError.Error`.
fn refusal(status: &str, answer: &Answer, body: &[u8]) -> String {
    if answer.error.is_empty() {
        let body = String::from_utf8_lossy(body);
        return format!("oauth2: cannot fetch token: {status}\nResponse: {body}");
    }
    let mut text = format!("oauth2: {:?}", answer.error);
    for more in [&answer.error_description, &answer.error_uri] {
        if !more.is_empty() {
            text.push_str(&format!(" {more:?}"));
        }
    }
    text
}

fn of_form(body: &[u8]) -> Answer {
    let mut answer = Answer::default();
    for (name, value) in form_urlencoded::parse(body) {
        let value = value.into_owned();
        match &*name {
            "access_token" => answer.access_token = value,
            "token_type" => answer.token_type = value,
            "expires_in" => answer.expires_in = Some(serde_json::Value::String(value)),
            "error" => answer.error = value,
            "error_description" => answer.error_description = value,
            "error_uri" => answer.error_uri = value,
            _ => {}
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_understood_as_by_go() {
        let json = "application/json; charset=utf-8";
        for (status, content_type, body, expected) in [
            ("200 OK", json, r#"{"access_token": "t"}"#, "Bearer t"),
            ("201 x", json, r#"{"access_token": "t", "token_type": "bearer"}"#, "Bearer t"),
            ("200 OK", json, r#"{"access_token": "t", "token_type": "MAC"}"#, "MAC t"),
            ("200 OK", "text/plain", "access_token=a%20b&token_type=Own", "Own a b"),
            ("200 OK", json, "{}", "oauth2: server response missing access_token"),
            ("200 OK", json, r#"{"error": "no", "error_description": "x"}"#, r#"oauth2: "no" "x""#),
            ("400 Bad", json, r#"{"error": "no"}"#, r#"oauth2: "no""#),
            ("501 Un", "", "<html>", "oauth2: cannot fetch token: 501 Un\nResponse: <html>"),
        ] {
            let got = match token(status, content_type, body.as_bytes()) {
                Ok(token) => token.authorization.to_str().unwrap().to_owned(),
                Err(cause) => cause.to_string(),
            };
            assert_eq!(got, expected, "{body}");
        }
    }

    #[tokio::test]
    async fn tokens_end_before_their_time() {
        for (expires_in, lifetime_seconds) in [
            ("3600", Some(3590)),
            ("\"60\"", Some(50)),
            ("5", Some(0)),
            ("0", None),
            ("null", None),
            ("1e300", None),
        ] {
            let body = format!(r#"{{"access_token": "t", "expires_in": {expires_in}}}"#);
            let before = Instant::now();
            let token = token("200 OK", "", body.as_bytes()).ok().unwrap();
            let lifetime = token.good_until.map(|until| (until - before).as_secs_f64().round());
            assert_eq!(lifetime, lifetime_seconds.map(f64::from), "{expires_in}");
        }
    }
}
