//! `rds_sd_configs`: instances of database clusters. Compat: Prometheus `discovery/aws/rds.go`;
//! <https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeDBInstances.html>.

mod labels;

use std::collections::HashMap;

use futures_util::future::BoxFuture;
use prom_model::{Labels, LabelsBuilder};
use serde_json::Value;

use super::{Asked, AwsClient, Entry, at_once, client::Service, given, group, set_tags};
use crate::{
    group::ADDRESS,
    polled::Means,
    rest::{
        AskError, RestAsker, Rule, host_port,
        rules::{list, text},
    },
};

static RDS: Service = Service { name: "RDS", id: "rds", version: "2014-10-31" };

const CLUSTERS: [&str; 3] = ["DescribeDBClustersResult", "DBClusters", "DBCluster"];
const CLUSTERS_NEXT: (&str, &str) = ("/DescribeDBClustersResult/Marker", "Marker");
const INSTANCES: [&str; 3] = ["DescribeDBInstancesResult", "DBInstances", "DBInstance"];
const INSTANCES_NEXT: (&str, &str) = ("/DescribeDBInstancesResult/Marker", "Marker");
/// Elements on one page.
const PAGE_SIZE: (&str, &str) = ("MaxRecords", "100");
const TAG: (&str, &str) = ("/Key", "/Value");

#[derive(Debug)]
pub(super) struct RdsAsker {
    client: AwsClient,
    entry: Entry,
}

impl RdsAsker {
    pub(super) fn new(entry: Entry, means: &Means) -> Self {
        Self { client: AwsClient::new(&RDS, &entry, means), entry }
    }

    async fn targets(&self) -> Asked {
        let region = self.client.region().await?;
        let clusters = self.clusters().await?;
        let targets = clusters.iter().map(|cluster| self.instances(cluster)).collect();
        let targets = at_once(targets, self.entry.request_count()).await?;
        Ok(group(&region, targets.concat()))
    }

    async fn clusters(&self) -> Result<Vec<Value>, AskError> {
        if self.entry.clusters.is_empty() {
            let all = self.describe_clusters(&[]).await;
            return all.map_err(|error| error.during("error describing all DB clusters"));
        }
        let described = |arn: &'_ String| {
            let arn = arn.clone();
            async move {
                let parameter = [("DBClusterIdentifier".to_owned(), arn.clone())];
                let found = self.describe_clusters(&parameter).await;
                let found = found.map_err(|error| {
                    error.during(format_args!("failed to describe DB cluster {arn}"))
                })?;
                match found.is_empty() {
                    true => Err(AskError::new(format!("no DB cluster found for ARN {arn}"))),
                    false => Ok(found),
                }
            }
        };
        let clusters = self.entry.clusters.iter().map(described).collect();
        let clusters = at_once(clusters, self.entry.request_count()).await;
        let clusters = clusters.map_err(|error| error.during("error describing DB clusters"))?;
        Ok(clusters.concat())
    }

    async fn describe_clusters(
        &self,
        parameters: &[(String, String)],
    ) -> Result<Vec<Value>, AskError> {
        let mut clusters = Vec::new();
        let mut take = |cluster: Value| {
            clusters.push(cluster);
            Ok(())
        };
        let parameters = [parameters, &[owned(PAGE_SIZE)]].concat();
        let action = "DescribeDBClusters";
        self.client.query(action, &parameters, &CLUSTERS, CLUSTERS_NEXT, &mut take).await?;
        Ok(clusters)
    }

    async fn instances(&self, cluster: &Value) -> Result<Vec<Labels>, AskError> {
        let arn = text(cluster, "/DBClusterArn");
        let mut parameters = vec![
            owned(PAGE_SIZE),
            owned(("Filters.Filter.1.Name", "db-cluster-id")),
            owned(("Filters.Filter.1.Values.Value.1", &arn)),
        ];
        for (filter, number) in self.entry.filters.iter().zip(2..) {
            parameters.push((format!("Filters.Filter.{number}.Name"), filter.name.clone()));
            for (value, of_value) in filter.values.iter().zip(1..) {
                let name = format!("Filters.Filter.{number}.Values.Value.{of_value}");
                parameters.push((name, value.clone()));
            }
        }
        let members = list(cluster, "/DBClusterMembers");
        let is_writer = members.iter().filter_map(|member| {
            let name = given(member, "/DBInstanceIdentifier")?;
            Some((name, given(member, "/IsClusterWriter")?))
        });
        let is_writer: HashMap<String, String> = is_writer.collect();
        let mut common = LabelsBuilder::default();
        Rule::apply(labels::CLUSTER, "__meta_rds_cluster_", cluster, &mut common);
        set_tags("__meta_rds_cluster_tag_", cluster, "/TagList", TAG, &mut common);
        let mut targets = Vec::new();
        let mut take = |instance: Value| {
            targets.push(self.target(&common, &instance, &is_writer));
            Ok(())
        };
        let action = "DescribeDBInstances";
        let asked = self.client.query(action, &parameters, &INSTANCES, INSTANCES_NEXT, &mut take);
        asked.await.map_err(|error| {
            error.during(format_args!(
                "error describing DB instances: failed to describe DB instances for cluster ARN {arn}"
            ))
        })?;
        Ok(targets)
    }

    fn target(
        &self,
        common: &LabelsBuilder,
        instance: &Value,
        is_writer: &HashMap<String, String>,
    ) -> Labels {
        let mut labels = common.clone();
        Rule::apply(labels::INSTANCE, "__meta_rds_instance_", instance, &mut labels);
        set_tags("__meta_rds_instance_tag_", instance, "/TagList", TAG, &mut labels);
        let name = text(instance, "/DBInstanceIdentifier");
        if let Some(is_writer) = is_writer.get(&*name) {
            labels.set("__meta_rds_instance_is_cluster_writer", is_writer);
        }
        // An instance that is being made has no endpoint, and so no address.
        if let (Some(host), Some(_)) =
            (given(instance, "/Endpoint/Address"), given(instance, "/Endpoint/Port"))
        {
            labels.set(ADDRESS, &host_port(&host, self.entry.port));
        }
        labels.build()
    }
}

impl RestAsker for RdsAsker {
    fn ask(&mut self) -> BoxFuture<'_, Asked> {
        Box::pin(self.targets())
    }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}
