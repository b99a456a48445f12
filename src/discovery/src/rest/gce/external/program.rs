//! Tokens that a program prints, or has left in a file. What it prints is secret and never told.
//! Compat: `executablecredsource.go` of Go's `oauth2/google/externalaccount`; other than there, what a program
//! prints to its standard error is not taken for a token.

use std::{path::Path, time::Duration};

use prom_http_client::Program;
use prom_telemetry::clock;
use serde_json::Value;

use super::{
    super::super::{
        AskError,
        rules::{int, text},
    },
    ExternalAccount, TOKEN_SIZE_BYTES_MAX,
};

/// Whoever has put the file there cannot make this process run anything, unless somebody else allows it.
const PERMISSION: &str = "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES";
const TIME_LIMIT_MS: i64 = 30_000;
const TIME_LIMIT_MS_RANGE: std::ops::RangeInclusive<i64> = 5_000..=120_000;
/// Of what is printed.
const VERSION_MAX: i64 = 1;

/// Why something that was printed is no token.
enum NoToken {
    /// Another attempt may bring one: it is too old, or says that there is none.
    Passing(String),
    Broken(String),
}

impl ExternalAccount<'_> {
    pub(super) async fn token_of_program(&self, source: &Value) -> Result<String, AskError> {
        let output_file = text(source, "/output_file");
        if let Some(token) = self.token_left_in(&output_file).await? {
            return Ok(token);
        }
        let command = text(source, "/command");
        let mut words = command.split_whitespace().map(str::to_owned);
        let Some(command) = words.next() else {
            return Err(failed("missing `command` field - executable command must be provided"));
        };
        let time_limit_ms = match source.get("timeout_millis") {
            None | Some(Value::Null) => TIME_LIMIT_MS,
            Some(_) => int(source, "/timeout_millis"),
        };
        if !TIME_LIMIT_MS_RANGE.contains(&time_limit_ms) {
            return Err(failed(
                "invalid `timeout_millis` field - executable timeout must be between 5 and 120 seconds",
            ));
        }
        if self.env.get(PERMISSION).as_deref() != Some("1") {
            return Err(failed(format_args!(
                "executables need to be explicitly allowed (set {PERMISSION} to '1') to run"
            )));
        }
        let env = self.program_env(&output_file);
        let program = Program { command: command.into(), args: words.collect(), env };
        let time_limit = Duration::from_millis(time_limit_ms.unsigned_abs());
        let printed = program.run(time_limit).await;
        let printed =
            printed.map_err(|error| failed(format_args!("executable command failed: {error}")))?;
        token_of(&printed, "response", !output_file.is_empty()).map_err(|none| match none {
            NoToken::Passing(reason) | NoToken::Broken(reason) => failed(reason),
        })
    }

    /// What a run before has left, if that is still good.
    async fn token_left_in(&self, output_file: &str) -> Result<Option<String>, AskError> {
        if output_file.is_empty() {
            return Ok(None);
        }
        let Ok(bytes) = self.files.read(Path::new(output_file), TOKEN_SIZE_BYTES_MAX).await else {
            return Ok(None);
        };
        if bytes.is_empty() {
            return Ok(None);
        }
        match token_of(&bytes, "output file", true) {
            Ok(token) => Ok(Some(token)),
            Err(NoToken::Passing(_)) => Ok(None),
            Err(NoToken::Broken(reason)) => Err(failed(reason)),
        }
    }

    fn program_env(&self, output_file: &str) -> Vec<(String, String)> {
        let of = |at: &str| text(self.file, at).into_owned();
        let mut env = vec![
            ("AUDIENCE", of("/audience")),
            ("TOKEN_TYPE", of("/subject_token_type")),
            ("INTERACTIVE", "0".to_owned()),
        ];
        let url = of("/service_account_impersonation_url");
        let account = url.rsplit_once("/serviceAccounts/").map(|(_, account)| account);
        if let Some(email) = account.and_then(|it| it.strip_suffix(":generateAccessToken")) {
            env.push(("IMPERSONATED_EMAIL", email.to_owned()));
        }
        if !output_file.is_empty() {
            env.push(("OUTPUT_FILE", output_file.to_owned()));
        }
        let full = |name: &str| format!("GOOGLE_EXTERNAL_ACCOUNT_{name}");
        env.into_iter().map(|(name, value)| (full(name), value)).collect()
    }
}

fn failed(reason: impl std::fmt::Display) -> AskError {
    AskError::new(format!("oauth2/google/externalaccount: {reason}"))
}

/// The token in what was printed to, or left at, `place`. What is left has to say when it ends.
fn token_of(bytes: &[u8], place: &str, has_file: bool) -> Result<String, NoToken> {
    use NoToken::{Broken, Passing};
    let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(bytes) else {
        return Err(Broken(format!("unable to parse {place}")));
    };
    let answer = Value::Object(fields);
    let missing = |field: &str| Err(Broken(format!("{place} missing `{field:?}` field")));
    let of = |at: &str| text(&answer, at).into_owned();
    let version = int(&answer, "/version");
    if version == 0 {
        return missing("version");
    }
    match answer.get("success") {
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => {
            let (code, message) = (of("/code"), of("/message"));
            return Err(Passing(if code.is_empty() || message.is_empty() {
                "response must include `error` and `message` fields when unsuccessful".to_owned()
            } else {
                format!("response contains unsuccessful response: ({code}) {message}")
            }));
        }
        _ => return missing("success"),
    }
    if !(0..=VERSION_MAX).contains(&version) {
        return Err(Broken(format!("{place} contains unsupported version: {version}")));
    }
    let expires_s = int(&answer, "/expiration_time");
    if expires_s == 0 && has_file {
        return missing("expiration_time");
    }
    let token_type = of("/token_type");
    if token_type.is_empty() {
        return missing("token_type");
    }
    if expires_s != 0 && expires_s < clock::now_ms() / 1000 {
        return Err(Passing("the token returned by the executable is expired".to_owned()));
    }
    let field = match token_type.strip_prefix("urn:ietf:params:oauth:token-type:") {
        Some("jwt" | "id_token") => "id_token",
        Some("saml2") => "saml_response",
        _ => return Err(Broken(format!("{place} contains unsupported token type"))),
    };
    match of(&format!("/{field}")) {
        token if token.is_empty() => missing(field),
        token => Ok(token),
    }
}
