//! Keys that a program prints: `credential_process` of a profile.
//! Compat: `processcreds` of the AWS SDK for Go v2.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use super::{AwsAccount, Keys};
use crate::{Program, error::Cause};

const TIME_LIMIT: Duration = Duration::from_secs(60);
/// Keys without an end are asked for again after this: somebody may have changed them.
const KEPT_DURATION: Duration = Duration::from_secs(15 * 60);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    version: i64,
    #[serde(default)]
    access_key_id: String,
    #[serde(default)]
    secret_access_key: String,
    #[serde(default)]
    session_token: String,
    expiration: Option<Timestamp>,
}

impl AwsAccount {
    /// A shell takes the command apart, as for all tools of Amazon.
    pub(super) async fn keys_of_program(&self, command: &str) -> Result<Keys, Cause> {
        let failed = |reason: String| Cause::Token(format!("process provider error: {reason}"));
        let program = Program {
            command: "sh".into(),
            args: vec!["-c".to_owned(), command.to_owned()],
            env: Vec::new(),
        };
        let printed = Box::pin(program.run(TIME_LIMIT)).await;
        let printed = printed.map_err(|error| failed(error.to_string()))?;
        keys(&printed).map_err(|reason| failed(reason.to_owned()))
    }
}

/// The output itself is not told: it is secret.
fn keys(printed: &[u8]) -> Result<Keys, &'static str> {
    let printed: Printed =
        serde_json::from_slice(printed).map_err(|_| "parse failed of process output")?;
    if printed.version != 1 {
        return Err("wrong version in process output (not 1)");
    }
    if printed.access_key_id.is_empty() {
        return Err("missing AccessKeyId in process output");
    }
    if printed.secret_access_key.is_empty() {
        return Err("missing SecretAccessKey in process output");
    }
    let expires = match printed.expiration {
        Some(expires) if expires <= Timestamp::now() => {
            return Err("the keys in the process output have expired");
        }
        Some(expires) => expires,
        None => Timestamp::now() + KEPT_DURATION,
    };
    let (access, secret) = (&printed.access_key_id, &printed.secret_access_key);
    Ok(Keys::new(access, secret, &printed.session_token).until(Some(expires)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_keys_or_names_what_is_wrong() {
        let all = r#""AccessKeyId": "A", "SecretAccessKey": "hush""#;
        for (printed, expected) in [
            (format!(r#"{{"Version": 1, {all}, "SessionToken": "t"}}"#), Ok("A hush t")),
            (
                format!(
                    r#"{{"Version": 1, {all}, "Expiration": "2100-01-01T00:00:00Z", "New": 1}}"#
                ),
                Ok("A hush "),
            ),
            (format!(r#"{{"Version": 2, {all}}}"#), Err("wrong version in process output (not 1)")),
            (format!("{{{all}}}"), Err("parse failed of process output")),
            (r#"{"Version": 1}"#.to_owned(), Err("missing AccessKeyId in process output")),
            (
                r#"{"Version": 1, "AccessKeyId": "A"}"#.to_owned(),
                Err("missing SecretAccessKey in process output"),
            ),
            (
                format!(r#"{{"Version": 1, {all}, "Expiration": "2020-01-01T00:00:00Z"}}"#),
                Err("the keys in the process output have expired"),
            ),
            ("hush".to_owned(), Err("parse failed of process output")),
        ] {
            let got = keys(printed.as_bytes()).map(|keys| {
                let (secret, token) = (keys.secret_key.reveal(), keys.session_token.reveal());
                assert!(keys.expires.is_some(), "a program is not run for each request");
                format!("{} {secret} {token}", keys.access_key)
            });
            assert_eq!(got, expected.map(str::to_owned), "{printed}");
        }
    }
}
