//! `nomad_sd_configs`: instances of Nomad's own services.
//! Compat: Prometheus `discovery/nomad/nomad.go`; <https://developer.hashicorp.com/nomad/api-docs/services>.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, future::BoxFuture, stream};
use prom_config::NomadSdConfig;
use prom_model::{Labels, LabelsBuilder};
use prom_telemetry::Counter;
use serde_json::Value;

use super::{
    AskError, Call, LabelRule, Listing, Paging, Refusal, RestAsker, RestClient,
    Rule::{self, Int, Text},
    host_port, joined, path_part,
    rules::{int, list, text, texts},
};
use crate::{TargetGroup, group::ADDRESS, polled::Means};

/// Services that are asked for at the same time.
const REQUEST_COUNT_MAX: usize = 8;

const LISTING: Listing = Listing {
    at: "",
    paging: Paging::CursorHeader { header: "x-nomad-nexttoken", parameter: "next_token" },
    refusal: Refusal { text: "Unexpected response code: {code}", reason_at: "", is_strict: true },
};

static LABELS: [LabelRule; 8] = [
    ("address", Text("/Address")),
    ("dc", Text("/Datacenter")),
    ("node_id", Text("/NodeID")),
    ("namespace", Text("/Namespace")),
    ("service_address", Text("/Address")),
    ("service_id", Text("/ID")),
    ("service_port", Int("/Port")),
    ("service", Text("/ServiceName")),
];

#[derive(Debug)]
struct NomadAsker {
    client: RestClient,
    cfg: NomadSdConfig,
    failures: Counter,
}

pub(super) fn asker(cfg: &NomadSdConfig, means: &Means) -> Box<dyn RestAsker> {
    Box::new(NomadAsker {
        client: RestClient::new(&cfg.http_client, cfg.refresh_interval, means),
        cfg: cfg.clone(),
        failures: means.nomad_failures.clone(),
    })
}

impl RestAsker for NomadAsker {
    fn ask(&mut self) -> BoxFuture<'_, Result<Vec<TargetGroup>, AskError>> {
        Box::pin(async {
            let asked = self.try_ask().await;
            asked.inspect_err(|_| self.failures.inc())
        })
    }
}

impl NomadAsker {
    async fn try_ask(&self) -> Result<Vec<TargetGroup>, AskError> {
        let services = self.call("/v1/services");
        let names = self.client.collect(&services, &LISTING, |stub| {
            let names = list(stub, "/Services").iter();
            names.map(|it| text(it, "/ServiceName").into_owned()).collect::<Vec<_>>()
        });
        let names: Vec<String> = names.await?.into_iter().flatten().collect();
        // Several namespaces may have a service of the same name, and one question tells all of them.
        let mut seen = BTreeSet::new();
        let names = names.into_iter().filter(|name| seen.insert(name.clone()));
        let names: Vec<String> = names.collect();
        let instances = stream::iter(names).map(|name| self.instances(name));
        let instances: Vec<_> = instances.buffered(REQUEST_COUNT_MAX).try_collect().await?;
        let targets = instances.into_iter().flatten().collect();
        Ok(vec![TargetGroup { source: "Nomad".into(), targets, labels: Labels::empty() }])
    }

    async fn instances(&self, name: String) -> Result<Vec<Labels>, AskError> {
        let call = self.call(&format!("/v1/service/{}", path_part(&name)));
        let instances =
            self.client.collect(&call, &LISTING, |instance| self.target(instance)).await;
        instances.map_err(|error| error.during("failed to fetch services"))
    }

    fn target(&self, instance: &Value) -> Labels {
        let mut labels = LabelsBuilder::default();
        Rule::apply(&LABELS, "__meta_nomad_", instance, &mut labels);
        let address = host_port(&text(instance, "/Address"), int(instance, "/Port"));
        labels.set(ADDRESS, &address);
        let tags = joined(texts(instance, "/Tags"), &self.cfg.tag_separator);
        labels.set("__meta_nomad_tags", &tags);
        labels.build()
    }

    fn call(&self, path: &str) -> Call {
        let mut call = Call::get(&self.cfg.server, path);
        for (name, value) in [("namespace", &self.cfg.namespace), ("region", &self.cfg.region)] {
            if !value.is_empty() {
                call = call.with_parameter(name, value);
            }
        }
        if self.cfg.allow_stale { call.with_parameter("stale", "") } else { call }
    }
}

#[cfg(test)]
mod tests {
    use prom_testkit::{Answer, FakeTarget};

    use crate::rest::tests::{asker_of, ends_a_hang, json, lines, survives};

    const SD: &str = "nomad_sd_configs: [{server: 'URL', refresh_interval: 50ms}]";

    #[tokio::test]
    async fn instances_of_services_are_targets() {
        let service = FakeTarget::start().await;
        service.answer("/v1/services", json(r#"[
            {"Namespace": "default", "Services": [{"ServiceName": "redis", "Tags": ["cache"]}, {"ServiceName": "hello world", "Tags": []}]}
        ]"#));
        service.answer("/v1/service/redis", json(r#"[{
            "Address": "127.0.0.1", "AllocID": "177160af", "CreateIndex": 15, "Datacenter": "dc1", "ID": "_nomad-task-177160af",
            "JobID": "example", "ModifyIndex": 15, "Namespace": "default", "NodeID": "7406e90b", "Port": 29702,
            "ServiceName": "redis", "Tags": ["db", "cache"]
        }]"#));
        service.answer("/v1/service/hello%20world", json(r#"[{"Address": "2001:db8::1", "Port": 30456, "ServiceName": "hello world", "ID": "2", "Tags": []}]"#));
        let found = asker_of(&service, SD).ask().await.unwrap();
        assert_eq!(&*found[0].source, "Nomad");
        assert_eq!(
            lines(&found, "__meta_nomad_"),
            [
                "__address__=127.0.0.1:29702 address=127.0.0.1 dc=dc1 namespace=default node_id=7406e90b service=redis \
                 service_address=127.0.0.1 service_id=_nomad-task-177160af service_port=29702 tags=,db,cache,",
                "__address__=[2001:db8::1]:30456 address=2001:db8::1 service=hello world service_address=2001:db8::1 service_id=2 service_port=30456",
            ]
        );
        assert!(
            service.requests()[0]
                .starts_with("GET /v1/services?namespace=default&region=global&stale= HTTP")
        );
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error() {
        let service = FakeTarget::start().await;
        service.answer("/v1/services", json(r#"[{"Services": [{"ServiceName": "a"}]}]"#));
        let mut asker = asker_of(&service, SD);
        service.answer("/v1/service/a", Answer::status("500 Internal Server Error"));
        let error = asker.ask().await.unwrap_err().message;
        assert_eq!(error, "failed to fetch services: Unexpected response code: 500");
        for path in ["/v1/service/a", "/v1/services"] {
            survives(&service, &mut *asker, path).await;
            ends_a_hang(&service, &mut *asker.hasty, path).await;
        }
    }
}
