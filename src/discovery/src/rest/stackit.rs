//! `stackit_sd_configs`: servers of a project.
//! Compat: Prometheus `discovery/stackit`; <https://docs.api.eu01.stackit.cloud/documentation/iaas/version/v1>.

mod account;

use std::borrow::Cow;

use futures_util::future::BoxFuture;
use prom_config::StackitSdConfig;
use prom_model::LabelsBuilder;
use serde_json::Value;

use super::{
    Address, AskError, Call, Found, Listing, Paging, Refusal, RestAsker, RestClient,
    Rule::{Code, Text},
    Table, path_part,
    rules::{list, text},
    sanitized,
};
use crate::{TargetGroup, polled::Means};

use account::Account;

static SERVERS: Table = Table {
    source: "stackit",
    listing: Listing {
        at: "/items",
        paging: Paging::Single,
        refusal: Refusal {
            text: "unexpected status code {code}",
            reason_at: "/message",
            is_strict: true,
        },
    },
    prefix: "__meta_stackit_",
    labels: &[
        ("id", Text("/id")),
        ("name", Text("/name")),
        ("status", Text("/status")),
        ("power_status", Text("/powerStatus")),
        ("availability_zone", Text("/availabilityZone")),
        ("type", Text("/machineType")),
        ("public_ipv4", Code(|server| first(server, "/publicIp").into())),
    ],
    // A server that nobody can reach is no target.
    address: Address::Code(|server| {
        let hosts = ["/publicIp", "/ipv4"].map(|at| first(server, at));
        hosts.into_iter().find(|host| !host.is_empty()).map_or(Found::NoTarget, Found::Host)
    }),
};

#[derive(Debug)]
struct StackitAsker {
    client: RestClient,
    call: Call,
    /// Without a service account the credentials of the HTTP client say who asks.
    account: Option<Account>,
    project: String,
    port: i64,
}

pub(super) fn asker(cfg: &StackitSdConfig, means: &Means) -> Box<dyn RestAsker> {
    let endpoint = match cfg.endpoint.as_str() {
        "" => format!("https://iaas.api.{}.stackit.cloud", cfg.region),
        endpoint => endpoint.to_owned(),
    };
    let path = format!("/v1/projects/{}/servers?details=true", path_part(&cfg.project));
    Box::new(StackitAsker {
        client: RestClient::new(&cfg.http_client, cfg.refresh_interval, means),
        call: Call::get(&endpoint, &path),
        account: Account::new(cfg, means),
        project: cfg.project.clone(),
        port: cfg.port,
    })
}

impl RestAsker for StackitAsker {
    fn ask(&mut self) -> BoxFuture<'_, Result<Vec<TargetGroup>, AskError>> {
        Box::pin(async {
            let mut targets = Vec::new();
            let mut take = |server: Value| {
                let more = |labels: &mut LabelsBuilder| {
                    labels.set("__meta_stackit_project", &self.project);
                    set_networks(&server, labels);
                    set_labels(&server, labels);
                };
                targets.extend(SERVERS.target(&server, self.port, more));
                Ok(())
            };
            let mut call = self.call.clone();
            if let Some(account) = &mut self.account {
                let token = account.token(&self.client).await;
                let token = token.map_err(|error| error.during("setting up authentication"))?;
                call = call.with_header("authorization", format!("Bearer {token}"));
            }
            let listed = self.client.list(&call, &SERVERS.listing, &mut take).await;
            if let (Err(AskError { status_code: Some(401), .. }), Some(account)) =
                (&listed, &mut self.account)
            {
                // It is not good any more, whatever its time says.
                account.forget();
            }
            listed?;
            Ok(SERVERS.group(targets))
        })
    }
}

/// The first card that has one.
fn first<'v>(server: &'v Value, at: &str) -> Cow<'v, str> {
    let nics = list(server, "/nics").iter().map(|nic| text(nic, at));
    nics.into_iter().find(|address| !address.is_empty()).unwrap_or_default()
}

fn set_networks(server: &Value, labels: &mut LabelsBuilder) {
    for nic in list(server, "/nics") {
        let name = sanitized(&text(nic, "/networkName"));
        let address = text(nic, "/ipv4");
        if !address.is_empty() {
            labels.set(&format!("__meta_stackit_private_ipv4_{name}"), &address);
        }
    }
}

/// Only strings count.
fn set_labels(server: &Value, labels: &mut LabelsBuilder) {
    for (key, value) in server.get("labels").and_then(Value::as_object).into_iter().flatten() {
        if let Value::String(value) = value {
            let key = sanitized(key);
            labels.set(&format!("__meta_stackit_labelpresent_{key}"), "true");
            labels.set(&format!("__meta_stackit_label_{key}"), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use prom_testkit::FakeTarget;

    use crate::rest::tests::{asker_in, asker_of, ends_a_hang, json, lines, survives};

    const PATH: &str = "/v1/projects/00000000-0000-0000-0000-000000000000/servers";
    const SD: &str = "stackit_sd_configs: [{endpoint: 'URL', project: 00000000-0000-0000-0000-000000000000, refresh_interval: 50ms}]";

    #[tokio::test]
    async fn servers_that_can_be_reached_are_targets() {
        let service = FakeTarget::start().await;
        service.answer(PATH, json(r#"{"items": [
            {"availabilityZone": "eu01-3", "id": "b4176700", "labels": {"provisionSTACKITServerAgent": "true", "stackit.project": "x", "n": 1},
             "machineType": "t1.2", "name": "runcommandtest", "powerStatus": "RUNNING", "status": "ACTIVE",
             "nics": [{"ipv4": "10.0.0.153", "networkName": "default"}, {"ipv4": "10.1.0.1", "networkName": "back end", "publicIp": "203.0.113.9"}]},
            {"id": "2", "nics": [{"ipv4": "10.0.0.154", "networkName": "default"}]},
            {"id": "3", "nics": []}, {"id": "4"}
        ]}"#));
        let found = asker_of(&service, SD).ask().await.unwrap();
        assert_eq!(
            lines(&found, "__meta_stackit_"),
            [
                "__address__=203.0.113.9:80 availability_zone=eu01-3 id=b4176700 label_provisionSTACKITServerAgent=true \
                 label_stackit_project=x labelpresent_provisionSTACKITServerAgent=true labelpresent_stackit_project=true \
                 name=runcommandtest power_status=RUNNING private_ipv4_back_end=10.1.0.1 private_ipv4_default=10.0.0.153 \
                 project=00000000-0000-0000-0000-000000000000 public_ipv4=203.0.113.9 status=ACTIVE type=t1.2",
                "__address__=10.0.0.154:80 id=2 private_ipv4_default=10.0.0.154 project=00000000-0000-0000-0000-000000000000",
            ]
        );
        assert!(service.requests()[0].starts_with(&format!("GET {PATH}?details=true HTTP")));
    }

    #[tokio::test]
    async fn a_service_account_gets_a_token_with_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let path = folder.path().join("key.pem");
        std::fs::write(&path, key.serialize_pem()).unwrap();
        let service = FakeTarget::start().await;
        service.answer(PATH, json(r#"{"items": []}"#));
        service.answer(
            "/token",
            json(r#"{"access_token": "tok", "expires_in": 3600, "token_type": "Bearer"}"#),
        );
        let account = r#"{"credentials": {"kid": "k1", "iss": "me@sa.stackit.cloud", "sub": "uuid", "aud": "https://aud"}}"#;
        let keys =
            format!("service_account_key: '{account}', private_key_path: '{}'", path.display());
        let mut asker = asker_of(&service, &SD.replace("refresh_interval: 50ms", &keys));
        asker.ask().await.unwrap();
        asker.ask().await.unwrap();
        let requests = service.requests();
        assert_eq!(requests.len(), 3, "one login for both");
        assert!(requests[0].contains(
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=ey"
        ));
        assert!(requests[2].contains("authorization: Bearer tok"));
        service.answer(PATH, prom_testkit::Answer::status("401 Unauthorized"));
        asker.ask().await.unwrap_err();
        service.answer("/token", prom_testkit::Answer::status("403 Forbidden"));
        let error = asker.ask().await.unwrap_err().message;
        assert_eq!(
            error,
            "setting up authentication: token request failed with status 403 Forbidden"
        );
    }

    #[tokio::test]
    async fn a_file_of_credentials_names_keys_or_holds_a_token() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let pem = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap().serialize_pem();
        let pem_path = file("key.pem", &pem);
        let account = r#"{"credentials": {"kid": "k1", "iss": "me", "sub": "uuid", "aud": "a"}}"#;
        let key_path = file("key.json", account);
        let own = serde_json::json!({"credentials": {"kid": "k", "privateKey": pem}}).to_string();
        let own_path = file("own.json", &own);
        let private = format!(r#""STACKIT_PRIVATE_KEY_PATH": "{pem_path}""#);
        let all = format!(r#"{{"STACKIT_SERVICE_ACCOUNT_KEY_PATH": "{key_path}", {private}}}"#);
        let (all, private) = (file("all.json", &all), file("p.json", &format!("{{{private}}}")));
        let token = file("t.json", r#"{"STACKIT_SERVICE_ACCOUNT_TOKEN": "own-token"}"#);
        let empty = file("e.json", "{}");
        let broken = file("b.json", "own-token");
        let service = FakeTarget::start().await;
        service.answer(PATH, json(r#"{"items": []}"#));
        service.answer("/token", json(r#"{"access_token": "tok", "expires_in": 3600}"#));
        let named = |path: &str| format!("credentials_file_path: '{path}'");
        let with_key =
            |path: &str, more: &str| format!("service_account_key_path: '{path}', {more}");
        let no_key = "private key is not part of the service account key and could not be found: ";
        for (keys, env, expected) in [
            (named(&all), "", Ok("tok")),
            (named(&token), "", Ok("own-token")),
            (with_key(&key_path, &named(&private)), "", Ok("tok")),
            (with_key(&key_path, ""), private.as_str(), Ok("tok")),
            (with_key(&own_path, &named("/nowhere")), "", Ok("tok")),
            (named(&empty), "", Err("has neither STACKIT_SERVICE_ACCOUNT_KEY_PATH nor")),
            (named(&broken), "", Err("b.json: not JSON")),
            (named("/nowhere"), "", Err("reading credentials file: open /nowhere: no such file")),
            (with_key(&key_path, &named(&empty)), "", Err(no_key)),
        ] {
            let sd = SD.replace("refresh_interval: 50ms", &keys);
            let env = [("STACKIT_CREDENTIALS_PATH", env), ("HOME", "/nowhere")];
            let asked = asker_in(&service, &sd, &env).ask().await;
            match (asked, expected) {
                (Ok(_), Ok(token)) => {
                    let head = service.requests().pop().unwrap();
                    let line = format!("authorization: Bearer {token}\r\n");
                    assert!(head.contains(&line), "{keys}: {head}");
                }
                (Err(error), Err(part)) => {
                    assert!(error.message.contains(part), "{keys}: {error}");
                    assert!(!error.message.contains("own-token"), "{error}");
                }
                (asked, _) => panic!("{keys}: {asked:?}"),
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error() {
        let service = FakeTarget::start().await;
        let mut asker = asker_of(&service, SD);
        survives(&service, &mut *asker, PATH).await;
        ends_a_hang(&service, &mut *asker.hasty, PATH).await;
    }
}
