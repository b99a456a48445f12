//! `stackit_sd_configs`: servers of a project.
//! Compat: Prometheus `discovery/stackit`; <https://docs.api.eu01.stackit.cloud/documentation/iaas/version/v1>.

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
    project: String,
    port: i64,
}

/// Without a service account: the keys of the HTTP client say who asks.
pub(super) fn asker(cfg: &StackitSdConfig, means: &Means) -> Option<Box<dyn RestAsker>> {
    if !cfg.service_account_key.is_empty() || !cfg.service_account_key_path.is_empty() {
        return None;
    }
    let endpoint = match cfg.endpoint.as_str() {
        "" => format!("https://iaas.api.{}.stackit.cloud", cfg.region),
        endpoint => endpoint.to_owned(),
    };
    let path = format!("/v1/projects/{}/servers?details=true", path_part(&cfg.project));
    Some(Box::new(StackitAsker {
        client: RestClient::new(&cfg.http_client, cfg.refresh_interval, means),
        call: Call::get(&endpoint, &path),
        project: cfg.project.clone(),
        port: cfg.port,
    }))
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
            self.client.list(&self.call, &SERVERS.listing, &mut take).await?;
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

    use crate::rest::tests::{asker_of, ends_a_hang, json, lines, survives};

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
    async fn what_is_no_answer_is_an_error() {
        let service = FakeTarget::start().await;
        let mut asker = asker_of(&service, SD);
        survives(&service, &mut *asker, PATH).await;
        ends_a_hang(&service, &mut *asker, PATH).await;
    }
}
