//! `lightsail_sd_configs`: instances. Compat: Prometheus `discovery/aws/lightsail.go`, which reads the first
//! page only; <https://docs.aws.amazon.com/lightsail/2016-11-28/api-reference/API_GetInstances.html>.

use futures_util::future::BoxFuture;
use prom_model::{Labels, LabelsBuilder};
use serde_json::{Value, json};

use super::{
    Asked, AwsClient, Entry,
    client::{Service, pages},
    given, group, set_tags,
};
use crate::{
    group::ADDRESS,
    polled::Means,
    rest::{
        LabelRule, RestAsker,
        Rule::{self, Joined, Text},
        host_port,
    },
};

static LIGHTSAIL: Service =
    Service { name: "Lightsail", id: "lightsail", version: "Lightsail_20161128" };

static LABELS: [LabelRule; 9] = [
    ("availability_zone", Text("/location/availabilityZone")),
    ("blueprint_id", Text("/blueprintId")),
    ("bundle_id", Text("/bundleId")),
    ("instance_name", Text("/name")),
    ("instance_state", Text("/state/name")),
    ("instance_support_code", Text("/supportCode")),
    ("ipv6_addresses", Joined("/ipv6Addresses", ",")),
    ("private_ip", Text("/privateIpAddress")),
    ("public_ip", Text("/publicIpAddress")),
];

#[derive(Debug)]
pub(super) struct LightsailAsker {
    client: AwsClient,
    port: i64,
}

impl LightsailAsker {
    pub(super) fn new(entry: Entry, means: &Means) -> Self {
        Self { client: AwsClient::new(&LIGHTSAIL, &entry, means), port: entry.port }
    }

    async fn targets(&self) -> Asked {
        let region = self.client.region().await?;
        let instances = pages("/instances", "/nextPageToken", async |token| {
            let body = token.map_or_else(|| json!({}), |token| json!({"pageToken": token}));
            self.client.json("GetInstances", &body).await
        });
        let instances = instances.await.map_err(|error| error.during("could not get instances"))?;
        let target = |instance: &Value| self.target(instance, &region);
        Ok(group(&region, instances.iter().filter_map(target).collect()))
    }

    fn target(&self, instance: &Value, region: &str) -> Option<Labels> {
        const PREFIX: &str = "__meta_lightsail_";
        let ip = given(instance, "/privateIpAddress")?;
        let mut labels = LabelsBuilder::default();
        Rule::apply(&LABELS, PREFIX, instance, &mut labels);
        labels.set(ADDRESS, &host_port(&ip, self.port));
        labels.set("__meta_lightsail_region", region);
        set_tags("__meta_lightsail_tag_", instance, "/tags", ("/key", "/value"), &mut labels);
        Some(labels.build())
    }
}

impl RestAsker for LightsailAsker {
    fn ask(&mut self) -> BoxFuture<'_, Asked> {
        Box::pin(self.targets())
    }
}
