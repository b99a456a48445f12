//! `msk_sd_configs`: brokers and controllers of Kafka clusters. Compat: Prometheus `discovery/aws/msk.go`;
//! <https://docs.aws.amazon.com/MSK/2.0/APIReference/v2-clusters.html>.

use futures_util::future::BoxFuture;
use prom_model::{Labels, LabelsBuilder};
use serde_json::Value;

use super::{
    Asked, AwsClient, Entry, at_once,
    client::{Service, pages},
    group,
};
use crate::{
    group::ADDRESS,
    polled::Means,
    rest::{
        AskError, LabelRule, RestAsker,
        Rule::{self, Code, Map, Text},
        host_port, path_part,
        rules::{text, texts},
    },
};

static MSK: Service = Service { name: "Kafka", id: "kafka", version: "" };

const PROVISIONED: &str = "PROVISIONED";
const LIST: &str = "/api/v2/clusters?clusterTypeFilter=PROVISIONED&maxResults=100";

static CLUSTER_LABELS: [LabelRule; 10] = [
    ("name", Text("/clusterName")),
    ("arn", Text("/clusterArn")),
    ("state", Text("/state")),
    ("type", Text("/clusterType")),
    ("version", Text("/currentVersion")),
    ("kafka_version", Text("/provisioned/currentBrokerSoftwareInfo/kafkaVersion")),
    ("configuration_arn", Text("/provisioned/currentBrokerSoftwareInfo/configurationArn")),
    (
        "configuration_revision",
        Text("/provisioned/currentBrokerSoftwareInfo/configurationRevision"),
    ),
    ("jmx_exporter_enabled", Code(|cluster| enabled(cluster, "jmxExporter"))),
    ("tag_", Map("/tags")),
];

static NODE_LABELS: [LabelRule; 3] = [
    ("arn", Text("/nodeARN")),
    ("added_time", Text("/addedToClusterTime")),
    ("instance_type", Text("/instanceType")),
];

static BROKER_LABELS: [LabelRule; 5] = [
    ("node_attached_eni", Text("/brokerNodeInfo/attachedENIId")),
    ("node_type", Rule::Always("BROKER")),
    ("broker_id", Code(broker_id)),
    ("broker_client_subnet", Text("/brokerNodeInfo/clientSubnet")),
    ("broker_client_vpc_ip", Text("/brokerNodeInfo/clientVpcIpAddress")),
];

#[derive(Debug)]
pub(super) struct MskAsker {
    client: AwsClient,
    entry: Entry,
}

impl MskAsker {
    pub(super) fn new(entry: Entry, means: &Means) -> Self {
        Self { client: AwsClient::new(&MSK, &entry, means), entry }
    }

    async fn targets(&self) -> Asked {
        let region = self.client.region().await?;
        let clusters = self.clusters().await?;
        let targets = clusters.iter().map(|cluster| self.nodes(cluster)).collect();
        let targets = at_once(targets, self.entry.request_count()).await?;
        Ok(group(&region, targets.concat()))
    }

    async fn clusters(&self) -> Result<Vec<Value>, AskError> {
        if self.entry.clusters.is_empty() {
            let listed = pages("/clusterInfoList", "/nextToken", async |token| {
                self.client.get("ListClustersV2", &continued(LIST, token)).await
            });
            return listed.await.map_err(|error| error.during("could not list clusters"));
        }
        let described = |arn: &'_ String| {
            let arn = arn.clone();
            async move {
                let path = format!("/api/v2/clusters/{}", path_part(&arn));
                let described = self.client.get("DescribeClusterV2", &path).await;
                let mut described = described.map_err(|error| {
                    error.during(format_args!("could not describe cluster {arn}"))
                })?;
                Ok(described.pointer_mut("/clusterInfo").map(Value::take))
            }
        };
        let clusters = self.entry.clusters.iter().map(described).collect();
        let clusters = at_once(clusters, self.entry.request_count()).await?;
        // Others have no brokers that could be asked.
        let is_provisioned = |cluster: &Value| text(cluster, "/clusterType") == PROVISIONED;
        Ok(clusters.into_iter().flatten().filter(is_provisioned).collect())
    }

    async fn nodes(&self, cluster: &Value) -> Result<Vec<Labels>, AskError> {
        let arn = text(cluster, "/clusterArn");
        let path = format!("/v1/clusters/{}/nodes?maxResults=100", path_part(&arn));
        let listed = pages("/nodeInfoList", "/nextToken", async |token| {
            self.client.get("ListNodes", &continued(&path, token)).await
        });
        let nodes = listed.await.map_err(|error| {
            error.during(format_args!("could not list nodes for cluster {arn}"))
        })?;
        let targets = nodes.iter().flat_map(|node| self.endpoints(cluster, node));
        Ok(targets.collect())
    }

    /// A target for each endpoint of a node.
    fn endpoints(&self, cluster: &Value, node: &Value) -> Vec<Labels> {
        let is_broker = node.get("brokerNodeInfo").is_some();
        let (at, index_label) = match is_broker {
            true => ("/brokerNodeInfo/endpoints", "__meta_msk_broker_endpoint_index"),
            false => ("/controllerNodeInfo/endpoints", "__meta_msk_controller_endpoint_index"),
        };
        let mut common = LabelsBuilder::default();
        Rule::apply(&CLUSTER_LABELS, "__meta_msk_cluster_", cluster, &mut common);
        Rule::apply(&NODE_LABELS, "__meta_msk_node_", node, &mut common);
        if is_broker {
            Rule::apply(&BROKER_LABELS, "__meta_msk_", node, &mut common);
            let is_enabled = enabled(cluster, "nodeExporter");
            common.set("__meta_msk_broker_node_exporter_enabled", &is_enabled);
        } else {
            common.set("__meta_msk_node_type", "CONTROLLER");
        }
        let target = |(index, host): (usize, std::borrow::Cow<'_, str>)| {
            let mut labels = common.clone();
            labels.set(index_label, &index.to_string());
            labels.set(ADDRESS, &host_port(&host, self.entry.port));
            labels.build()
        };
        texts(node, at).enumerate().map(target).collect()
    }
}

impl RestAsker for MskAsker {
    fn ask(&mut self) -> BoxFuture<'_, Asked> {
        Box::pin(self.targets())
    }
}

fn continued(path: &str, token: Option<String>) -> String {
    token.map_or_else(|| path.to_owned(), |token| format!("{path}&nextToken={}", path_part(&token)))
}

/// Whether an exporter runs in the brokers; empty if the cluster has no open monitoring.
fn enabled(cluster: &Value, exporter: &str) -> String {
    let at = format!("/provisioned/openMonitoring/prometheus/{exporter}");
    let exporter = cluster.pointer(&at).filter(|exporter| exporter.is_object());
    let is_enabled = |exporter: &Value| exporter["enabledInBroker"].as_bool().unwrap_or(false);
    exporter.map(|exporter| is_enabled(exporter).to_string()).unwrap_or_default()
}

/// A number that the API gives with a fraction.
fn broker_id(node: &Value) -> String {
    let id = node.pointer("/brokerNodeInfo/brokerId").and_then(Value::as_f64);
    format!("{:.0}", id.unwrap_or(0.0))
}
