//! `triton_sd_configs`: containers or compute nodes that a Triton monitor knows.
//! Compat: Prometheus `discovery/triton/triton.go`; <https://github.com/joyent/triton-cmon/blob/master/docs>.

use futures_util::future::BoxFuture;
use prom_config::{HttpClientConfig, TritonSdConfig};
use prom_model::{Labels, LabelsBuilder};
use serde_json::Value;

use super::{
    AskError, Call, LabelRule, Listing, Paging, Refusal, RestAsker, RestClient,
    Rule::{self, Joined, Text},
    rules::text,
};
use crate::{TargetGroup, group::ADDRESS, polled::Means};

/// What a role asks for, and what it is told.
#[derive(Debug)]
struct Role {
    path: &'static str,
    listing: Listing,
    /// Part of the address.
    id: &'static str,
    labels: &'static [LabelRule],
}

const REFUSAL: Refusal = Refusal {
    text: "an error occurred when requesting targets from the discovery endpoint: server returned HTTP status {status}",
    ..Refusal::plain("/message")
};

static CONTAINER: Role = Role {
    path: "discover",
    listing: Listing { at: "/containers", paging: Paging::Single, refusal: REFUSAL },
    id: "/vm_uuid",
    labels: &[
        ("machine_id", Text("/vm_uuid")),
        ("machine_alias", Text("/vm_alias")),
        ("machine_brand", Text("/vm_brand")),
        ("machine_image", Text("/vm_image_uuid")),
        ("server_id", Text("/server_uuid")),
        ("groups", Joined("/groups", ",")),
    ],
};

static COMPUTE_NODE: Role = Role {
    path: "gz/discover",
    listing: Listing { at: "/cns", paging: Paging::Single, refusal: REFUSAL },
    id: "/server_uuid",
    labels: &[("machine_id", Text("/server_uuid")), ("machine_alias", Text("/server_hostname"))],
};

#[derive(Debug)]
struct TritonAsker {
    client: RestClient,
    role: &'static Role,
    call: Call,
    dns_suffix: String,
    port: i64,
}

pub(super) fn asker(cfg: &TritonSdConfig, means: &Means) -> Box<dyn RestAsker> {
    let role = if cfg.role == "cn" { &COMPUTE_NODE } else { &CONTAINER };
    let base = format!("https://{}:{}", cfg.endpoint, cfg.port);
    let mut call = Call::get(means.endpoint(&base), &format!("/v{}/{}", cfg.version, role.path));
    if !cfg.groups.is_empty() {
        call = call.with_parameter("groups", &cfg.groups.join(","));
    }
    let http = HttpClientConfig {
        tls: cfg.tls_config.clone(),
        // Compat: the original's own transport offers nothing else.
        enable_http2: false,
        ..HttpClientConfig::default()
    };
    Box::new(TritonAsker {
        client: RestClient::new(&http, cfg.refresh_interval, means),
        role,
        call,
        dns_suffix: cfg.dns_suffix.clone(),
        port: cfg.port,
    })
}

impl RestAsker for TritonAsker {
    fn ask(&mut self) -> BoxFuture<'_, Result<Vec<TargetGroup>, AskError>> {
        Box::pin(async {
            let role = self.role;
            let mut targets = Vec::new();
            let mut take = |machine: Value| {
                let mut labels = LabelsBuilder::default();
                Rule::apply(role.labels, "__meta_triton_", &machine, &mut labels);
                let id = text(&machine, role.id);
                labels.set(ADDRESS, &format!("{id}.{}:{}", self.dns_suffix, self.port));
                targets.push(labels.build());
                Ok(())
            };
            self.client.list(&self.call, &role.listing, &mut take).await?;
            let source: &str = &self.call.url;
            Ok(vec![TargetGroup { source: source.into(), targets, labels: Labels::empty() }])
        })
    }
}

#[cfg(test)]
mod tests {
    use prom_testkit::FakeTarget;

    use crate::rest::tests::{asker_of, ends_a_hang, json, lines, survives};

    const KEYS: &str = "account: a, dns_suffix: triton.example, endpoint: 127.0.0.1, port: 443, refresh_interval: 50ms, version: 1";

    #[tokio::test]
    async fn containers_and_compute_nodes_are_targets() {
        let service = FakeTarget::start().await;
        let sd = format!("triton_sd_configs: [{{{KEYS}, groups: [foo, bar]}}]");
        service.answer("/v1/discover", json(r#"{"containers": [
            {"groups": ["foo", "bar", "baz"], "server_uuid": "44454c4c-5000-104d-8037-b7c04f5a5131", "vm_alias": "server01", "vm_brand": "lx",
             "vm_image_uuid": "7b27a514-89d7-11e6-bee6-3f96f367bee7", "vm_uuid": "ad466fbf-46a2-4027-9b64-8d3cdb7e9072"},
            {"vm_uuid": "a5894692"}
        ]}"#));
        service.answer(
            "/v1/gz/discover",
            json(r#"{"cns": [{"server_hostname": "server01", "server_uuid": "44454c4c"}]}"#),
        );
        assert_eq!(
            lines(&asker_of(&service, &sd).ask().await.unwrap(), "__meta_triton_"),
            [
                "__address__=ad466fbf-46a2-4027-9b64-8d3cdb7e9072.triton.example:443 groups=,foo,bar,baz, machine_alias=server01 machine_brand=lx \
                 machine_id=ad466fbf-46a2-4027-9b64-8d3cdb7e9072 machine_image=7b27a514-89d7-11e6-bee6-3f96f367bee7 \
                 server_id=44454c4c-5000-104d-8037-b7c04f5a5131",
                "__address__=a5894692.triton.example:443 machine_id=a5894692",
            ]
        );
        assert!(service.requests()[0].starts_with("GET /v1/discover?groups=foo%2Cbar HTTP"));
        let sd = format!("triton_sd_configs: [{{{KEYS}, role: cn}}]");
        assert_eq!(
            lines(&asker_of(&service, &sd).ask().await.unwrap(), "__meta_triton_"),
            ["__address__=44454c4c.triton.example:443 machine_alias=server01 machine_id=44454c4c"]
        );
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error() {
        let service = FakeTarget::start().await;
        let mut asker = asker_of(&service, &format!("triton_sd_configs: [{{{KEYS}}}]"));
        survives(&service, &mut *asker, "/v1/discover").await;
        ends_a_hang(&service, &mut *asker.hasty, "/v1/discover").await;
    }
}
