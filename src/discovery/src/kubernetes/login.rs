//! Programs that say who asks: `exec` of a kubeconfig's user. They are run when credentials are needed, again at the
//! end of these, and when the server refuses them. Compat: client-go `plugin/pkg/client/auth/exec`.

use std::time::Duration;

use jiff::Timestamp;
use prom_config::{HttpClientConfig, Secret, Source};
use prom_http_client::{Client, Program};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::api::bearer;

/// Until a program has told its credentials.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// What to run, and what is understood of its output.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plugin {
    pub(super) program: Program,
    pub(super) api_version: String,
    /// What to do if there is no such program.
    pub(super) install_hint: String,
}

/// One account: its program, and the credentials that are good at this moment.
#[derive(Debug)]
pub(super) struct Login {
    plugin: Plugin,
    /// How to reach the server, apart from credentials.
    http_client: HttpClientConfig,
    user_agent: &'static str,
    current: Mutex<Current>,
}

/// A client with credentials, and how many had others before.
pub(super) struct LoggedIn {
    pub(super) client: Client,
    pub(super) generation: u64,
}

#[derive(Debug, Default)]
struct Current {
    generation: u64,
    client: Option<Client>,
    /// Never, if there is none.
    expires: Option<Timestamp>,
}

/// No `Debug`: most of it is secret.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredential {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    token: String,
    client_certificate_data: String,
    client_key_data: String,
    expiration_timestamp: Option<Timestamp>,
}

impl Login {
    pub(super) fn new(
        plugin: Plugin,
        http_client: HttpClientConfig,
        user_agent: &'static str,
    ) -> Self {
        Self { plugin, http_client, user_agent, current: Mutex::default() }
    }

    /// A client with the credentials of this moment. Who comes while the program runs waits for that one.
    ///
    /// # Errors
    /// The program gives none.
    pub(super) async fn client(&self) -> Result<LoggedIn, String> {
        let mut current = self.current.lock().await;
        let is_good = current.expires.is_none_or(|expires| Timestamp::now() < expires);
        if let Some(client) = current.client.as_ref().filter(|_| is_good) {
            return Ok(LoggedIn { client: client.clone(), generation: current.generation });
        }
        current.client = None;
        let status = self.plugin.ask().await.map_err(|reason| {
            let separator = if self.plugin.install_hint.is_empty() { "" } else { ": " };
            let hint = self.plugin.install_hint.split_whitespace().collect::<Vec<_>>().join(" ");
            format!("getting credentials: exec: {reason}{separator}{hint}")
        })?;
        let mut http_client = self.http_client.clone();
        if !status.token.is_empty() {
            http_client.auth = Some(bearer(Source::Inline(Secret::new(status.token))));
        }
        if !status.client_certificate_data.is_empty() {
            http_client.tls.cert = status.client_certificate_data;
            http_client.tls.key = Secret::new(status.client_key_data);
        }
        let client = Client::new(http_client, self.user_agent);
        current.generation += 1;
        current.client = Some(client.clone());
        current.expires = status.expiration_timestamp;
        Ok(LoggedIn { client, generation: current.generation })
    }

    /// The server refuses the credentials of a generation: the program is run anew for the next request.
    pub(super) async fn forget(&self, generation: u64) {
        let mut current = self.current.lock().await;
        if current.generation == generation {
            current.client = None;
        }
    }
}

impl Plugin {
    async fn ask(&self) -> Result<Status, String> {
        let printed = self.program.run(TIME_LIMIT).await.map_err(|error| error.to_string())?;
        self.read(&printed)
    }

    /// The output itself is not told: it is secret.
    fn read(&self, printed: &[u8]) -> Result<Status, String> {
        let credential: ExecCredential = serde_json::from_slice(printed)
            .map_err(|_| "decoding stdout: it is no ExecCredential".to_owned())?;
        let (wanted, got) = (&self.api_version, &credential.api_version);
        if credential.kind != "ExecCredential" || got != wanted {
            return Err(format!(
                "plugin is configured to use API version {wanted}, plugin returned version {got}"
            ));
        }
        let status = credential.status;
        let status = status.ok_or_else(|| "plugin didn't return a status field".to_owned())?;
        match (&*status.token, &*status.client_certificate_data, &*status.client_key_data) {
            ("", "", "") => Err("plugin didn't return a token or cert/key pair".to_owned()),
            (_, "", "") => Ok(status),
            (_, "", _) | (_, _, "") => {
                Err("plugin returned only certificate or key, not both".to_owned())
            }
            _ => Ok(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use prom_http_client::Request;
    use prom_testkit::{Answer, FakeTarget};

    use super::*;

    const V1: &str = "client.authentication.k8s.io/v1";

    fn plugin(script: &str) -> Plugin {
        Plugin {
            program: Program {
                command: "sh".into(),
                args: vec!["-c".to_owned(), script.to_owned()],
                env: Vec::new(),
            },
            api_version: V1.to_owned(),
            install_hint: "get it\n from somewhere".to_owned(),
        }
    }

    #[test]
    fn the_output_holds_credentials_or_names_what_is_wrong() {
        let of = |version: &str, rest: &str| {
            format!(r#"{{"kind": "ExecCredential", "apiVersion": "{version}"{rest}}}"#)
        };
        let v1 = |status: &str| of(V1, &format!(r#", "spec": {{}}, "status": {{{status}}}"#));
        for (printed, expected) in [
            (v1(r#""token": "hush""#), Ok("hush//")),
            (v1(r#""clientCertificateData": "c", "clientKeyData": "k""#), Ok("/c/k")),
            (v1(r#""token": "hush", "expirationTimestamp": "2100-01-01T00:00:00Z""#), Ok("hush//")),
            (v1(r#""token": "hush", "expirationTimestamp": null"#), Ok("hush//")),
            (v1(""), Err("plugin didn't return a token or cert/key pair")),
            (
                v1(r#""clientKeyData": "k""#),
                Err("plugin returned only certificate or key, not both"),
            ),
            (
                v1(r#""token": "hush", "clientCertificateData": "c""#),
                Err("plugin returned only certificate or key, not both"),
            ),
            (of(V1, ""), Err("plugin didn't return a status field")),
            (
                of("client.authentication.k8s.io/v1beta1", r#", "status": {"token": "hush"}"#),
                Err(
                    "plugin is configured to use API version client.authentication.k8s.io/v1, plugin returned version client.authentication.k8s.io/v1beta1",
                ),
            ),
            ("hush".to_owned(), Err("decoding stdout: it is no ExecCredential")),
            (String::new(), Err("decoding stdout: it is no ExecCredential")),
        ] {
            let got = plugin("").read(printed.as_bytes()).map(|it| {
                format!("{}/{}/{}", it.token, it.client_certificate_data, it.client_key_data)
            });
            assert_eq!(got, expected.map(str::to_owned).map_err(str::to_owned), "{printed}");
        }
    }

    /// Prints a token with the number of its run in it.
    fn counting(folder: &Path, until: &str) -> Plugin {
        let file = folder.join("runs");
        plugin(&format!(
            "echo x >> {file}; n=$(wc -l < {file}); printf '{{\"kind\": \"ExecCredential\", \"apiVersion\": \"{V1}\", \
             \"status\": {{\"token\": \"t%s\", \"expirationTimestamp\": \"{until}\"}}}}' $n",
            file = file.display()
        ))
    }

    async fn token(login: &Login, service: &FakeTarget) -> (String, u64) {
        let LoggedIn { client, generation } = login.client().await.unwrap();
        let request = Request::get(&service.url("/x"), Duration::from_secs(20)).unwrap();
        client.send(&request).await.unwrap();
        let head = service.requests().pop().unwrap();
        let at = head.find("Bearer ").unwrap();
        (head[at + 7..].lines().next().unwrap().to_owned(), generation)
    }

    #[tokio::test]
    async fn a_program_is_run_once_until_its_credentials_end_or_are_refused() {
        let service = FakeTarget::start().await;
        service.answer("/x", Answer::text(""));
        let folder = tempfile::tempdir().unwrap();
        let new = |until| {
            let plugin = counting(folder.path(), until);
            Login::new(plugin, HttpClientConfig::default(), "Prometheus/3.5.0")
        };
        let login = new("2100-01-01T00:00:00Z");
        assert_eq!(token(&login, &service).await, ("t1".to_owned(), 1));
        assert_eq!(token(&login, &service).await, ("t1".to_owned(), 1));
        login.forget(1).await;
        assert_eq!(token(&login, &service).await, ("t2".to_owned(), 2));
        // Somebody else has noticed earlier.
        login.forget(1).await;
        assert_eq!(token(&login, &service).await, ("t2".to_owned(), 2));
        let over = new("2020-01-01T00:00:00Z");
        assert_eq!(token(&over, &service).await, ("t3".to_owned(), 1));
        assert_eq!(token(&over, &service).await, ("t4".to_owned(), 2));
    }

    #[tokio::test]
    async fn a_program_that_fails_is_named_with_a_hint() {
        let login = |command: &str, script: &str| {
            let mut plugin = plugin(script);
            plugin.program.command = command.into();
            Login::new(plugin, HttpClientConfig::default(), "Prometheus/3.5.0")
        };
        for (command, script, expected) in [
            ("/nowhere/aws", "", "executable /nowhere/aws not found"),
            (
                "sh",
                "echo 'no session' >&2; exit 5",
                "executable sh failed with exit status: 5: no session",
            ),
            ("sh", "read line || exit 6", "executable sh failed with exit status: 6"),
            ("sh", "echo hush", "decoding stdout: it is no ExecCredential"),
        ] {
            let error = login(command, script).client().await.err().unwrap();
            let expected = format!("getting credentials: exec: {expected}: get it from somewhere");
            assert_eq!(error, expected);
        }
    }
}
