//! `gce_sd_configs`: instances of Google's cloud. Compat: Prometheus `discovery/gce/gce.go`;
//! <https://cloud.google.com/compute/docs/reference/rest/v1/instances/list>.

mod credentials;
mod external;

use futures_util::future::BoxFuture;
use prom_config::{GceSdConfig, HttpClientConfig};
use prom_model::{Labels, LabelsBuilder};
use serde_json::Value;

use super::{
    AskError, Call, LabelRule, Listing, Paging, Refusal, RestAsker, RestClient,
    Rule::{self, Map, Text},
    joined, path_part,
    rules::{list, sanitized, text, texts},
};
use crate::{TargetGroup, group::ADDRESS, polled::Means};
use credentials::Credentials;

const ENDPOINT: &str = "https://compute.googleapis.com/compute/v1";
const INSTANCES: Listing = Listing {
    at: "/items",
    paging: Paging::Cursor { at: "/nextPageToken", parameter: "pageToken" },
    refusal: Refusal {
        text: "googleapi: Error {code}",
        reason_at: "/error/message",
        is_strict: false,
    },
};

static LABELS: [LabelRule; 9] = [
    ("zone", Text("/zone")),
    ("instance_id", Text("/id")),
    ("instance_name", Text("/name")),
    ("instance_status", Text("/status")),
    ("machine_type", Text("/machineType")),
    ("network", Text("/networkInterfaces/0/network")),
    ("subnetwork", Text("/networkInterfaces/0/subnetwork")),
    ("private_ip", Text("/networkInterfaces/0/networkIP")),
    ("label_", Map("/labels")),
];

#[derive(Debug)]
struct GceAsker {
    client: RestClient,
    credentials: Credentials,
    endpoint: String,
    cfg: GceSdConfig,
}

pub(super) fn asker(cfg: &GceSdConfig, means: &Means) -> Box<dyn RestAsker> {
    Box::new(GceAsker {
        client: RestClient::new(&HttpClientConfig::default(), cfg.refresh_interval, means),
        credentials: Credentials::new(cfg.refresh_interval, means),
        endpoint: means.endpoint(ENDPOINT).to_owned(),
        cfg: cfg.clone(),
    })
}

impl GceAsker {
    async fn targets(&mut self) -> Result<Vec<TargetGroup>, AskError> {
        let token = self.credentials.token(&self.client).await?;
        let (project, zone) = (path_part(&self.cfg.project), path_part(&self.cfg.zone));
        let path = format!("/projects/{project}/zones/{zone}/instances");
        let mut call = Call::get(&self.endpoint, &path)
            .with_header("authorization", format!("Bearer {token}"));
        if !self.cfg.filter.is_empty() {
            call = call.with_parameter("filter", &self.cfg.filter);
        }
        let mut targets = Vec::new();
        let mut take = |instance: Value| {
            targets.extend(self.target(&instance));
            Ok(())
        };
        let listed = self.client.list(&call, &INSTANCES, &mut take).await;
        if let Err(error) = listed {
            // The token may have been taken back before its time.
            if error.status_code == Some(401) {
                self.credentials.forget();
            }
            return Err(error.during("error retrieving refresh targets from gce"));
        }
        let source = format!("GCE_{}_{}", self.cfg.project, self.cfg.zone).into();
        Ok(vec![TargetGroup { source, targets, labels: Labels::empty() }])
    }

    fn target(&self, instance: &Value) -> Option<Labels> {
        const PREFIX: &str = "__meta_gce_";
        let interfaces = list(instance, "/networkInterfaces");
        let main = interfaces.first()?;
        let mut labels = LabelsBuilder::default();
        Rule::apply(&LABELS, PREFIX, instance, &mut labels);
        labels.set("__meta_gce_project", &self.cfg.project);
        let address = format!("{}:{}", text(main, "/networkIP"), self.cfg.port);
        labels.set(ADDRESS, &address);
        for interface in interfaces {
            let name = sanitized(&text(interface, "/name"));
            let name = format!("{PREFIX}interface_ipv4_{name}");
            labels.set(&name, &text(interface, "/networkIP"));
        }
        let tags = joined(texts(instance, "/tags/items"), &self.cfg.tag_separator);
        labels.set("__meta_gce_tags", &tags);
        for item in list(instance, "/metadata/items") {
            let name = format!("{PREFIX}metadata_{}", sanitized(&text(item, "/key")));
            labels.set(&name, &text(item, "/value"));
        }
        if text(main, "/accessConfigs/0/type") == "ONE_TO_ONE_NAT" {
            labels.set("__meta_gce_public_ip", &text(main, "/accessConfigs/0/natIP"));
        }
        Some(labels.build())
    }
}

impl RestAsker for GceAsker {
    fn ask(&mut self) -> BoxFuture<'_, Result<Vec<TargetGroup>, AskError>> {
        Box::pin(self.targets())
    }
}

#[cfg(test)]
mod tests;
