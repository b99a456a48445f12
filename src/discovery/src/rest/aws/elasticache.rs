//! `elasticache_sd_configs`: serverless caches and the nodes of cache clusters.
//! Compat: Prometheus `discovery/aws/elasticache.go`;
//! <https://docs.aws.amazon.com/AmazonElastiCache/latest/APIReference/API_DescribeCacheClusters.html>.

mod labels;

use futures_util::future::BoxFuture;
use prom_model::{Labels, LabelsBuilder};
use serde_json::Value;

use super::{Asked, AwsClient, Entry, at_once, client::Service, given, group, set_tags};
use crate::{
    group::ADDRESS,
    polled::Means,
    rest::{
        AskError, RestAsker, Rule, host_port,
        rules::{list, text, texts},
    },
};

static ELASTICACHE: Service =
    Service { name: "ElastiCache", id: "elasticache", version: "2015-02-02" };

const SERVERLESS: [&str; 3] = ["DescribeServerlessCachesResult", "ServerlessCaches", "member"];
const SERVERLESS_NEXT: (&str, &str) = ("/DescribeServerlessCachesResult/NextToken", "NextToken");
const CLUSTERS: [&str; 3] = ["DescribeCacheClustersResult", "CacheClusters", "CacheCluster"];
const CLUSTERS_NEXT: (&str, &str) = ("/DescribeCacheClustersResult/Marker", "Marker");
const TAGS: [&str; 3] = ["ListTagsForResourceResult", "TagList", "Tag"];
const OPTION_LABEL: &str = "__meta_elasticache_deployment_option";
const CLUSTER_PREFIX: &str = "__meta_elasticache_cache_cluster_";
const SERVERLESS_PREFIX: &str = "__meta_elasticache_serverless_cache_";

/// Fields of the log deliveries of a cluster, each with its label.
const LOG_DELIVERY: [(&str, &str); 7] = [
    ("destination_type", "/DestinationType"),
    ("log_format", "/LogFormat"),
    ("log_type", "/LogType"),
    ("status", "/Status"),
    ("message", "/Message"),
    ("log_group", "/DestinationDetails/CloudWatchLogsDetails/LogGroup"),
    ("delivery_stream", "/DestinationDetails/KinesisFirehoseDetails/DeliveryStream"),
];

#[derive(Debug)]
pub(super) struct ElasticacheAsker {
    client: AwsClient,
    entry: Entry,
    serverless: Wanted,
    clusters: Wanted,
}

/// Which caches of a kind: all, or these.
type Wanted = Option<Vec<String>>;

/// A cache with its tags.
struct Tagged {
    cache: Value,
    tags: Value,
}

impl ElasticacheAsker {
    pub(super) fn new(entry: Entry, means: &Means) -> Self {
        let (serverless, clusters) = wanted(&entry.clusters);
        Self { client: AwsClient::new(&ELASTICACHE, &entry, means), entry, serverless, clusters }
    }

    async fn targets(&self) -> Asked {
        let region = self.client.region().await?;
        let serverless = self.tagged(self.serverless().await?).await?;
        let clusters = self.tagged(self.clusters().await?).await?;
        let mut targets: Vec<Labels> = serverless.iter().map(of_serverless).collect();
        targets.extend(clusters.iter().flat_map(of_cluster));
        Ok(group(&region, targets))
    }

    async fn serverless(&self) -> Result<Vec<Value>, AskError> {
        let mut found = Vec::new();
        for name in names(&self.serverless) {
            let mut parameters = vec![("MaxResults".to_owned(), "50".to_owned())];
            parameters.extend(name.map(|name| ("ServerlessCacheName".to_owned(), name.clone())));
            let mut take = |cache: Value| {
                found.push(cache);
                Ok(())
            };
            let action = "DescribeServerlessCaches";
            let asked =
                self.client.query(action, &parameters, &SERVERLESS, SERVERLESS_NEXT, &mut take);
            asked.await.map_err(|error| error.during("failed to describe serverless caches"))?;
        }
        Ok(found)
    }

    /// Those in replication groups, then those in none, as the API lists them apart.
    async fn clusters(&self) -> Result<Vec<Value>, AskError> {
        let mut found: Vec<Value> = Vec::new();
        for name in names(&self.clusters) {
            for is_alone in ["false", "true"] {
                let mut parameters = vec![
                    ("MaxRecords".to_owned(), "100".to_owned()),
                    ("ShowCacheNodeInfo".to_owned(), "true".to_owned()),
                    ("ShowCacheClustersNotInReplicationGroups".to_owned(), is_alone.to_owned()),
                ];
                parameters.extend(name.map(|name| ("CacheClusterId".to_owned(), name.clone())));
                let mut take = |cluster: Value| {
                    // `false` lists all of them.
                    let arn = text(&cluster, "/ARN").into_owned();
                    if !found.iter().any(|other| !arn.is_empty() && text(other, "/ARN") == arn) {
                        found.push(cluster);
                    }
                    Ok(())
                };
                let action = "DescribeCacheClusters";
                let asked =
                    self.client.query(action, &parameters, &CLUSTERS, CLUSTERS_NEXT, &mut take);
                asked.await.map_err(|error| error.during("failed to describe cache clusters"))?;
            }
        }
        Ok(found)
    }

    async fn tagged(&self, caches: Vec<Value>) -> Result<Vec<Tagged>, AskError> {
        let tagged = async |cache: Value| {
            let Some(arn) = given(&cache, "/ARN") else {
                return Ok(Tagged { cache, tags: Value::Null });
            };
            let mut tags = Vec::new();
            let mut take = |tag: Value| {
                tags.push(tag);
                Ok(())
            };
            let parameters = [("ResourceName".to_owned(), arn.clone())];
            let action = "ListTagsForResource";
            let asked = self.client.query(action, &parameters, &TAGS, ("/none", ""), &mut take);
            asked.await.map_err(|error| {
                error.during(format_args!(
                    "failed to list tags for resources: failed to list tags for resource {arn}"
                ))
            })?;
            Ok(Tagged { cache, tags: tags.into() })
        };
        let tagged = caches.into_iter().map(tagged).collect();
        at_once(tagged, self.entry.request_count()).await
    }
}

impl RestAsker for ElasticacheAsker {
    fn ask(&mut self) -> BoxFuture<'_, Asked> {
        Box::pin(self.targets())
    }
}

/// Names of serverless caches and of replication groups out of ARNs; without any, all are wanted.
fn wanted(arns: &[String]) -> (Wanted, Wanted) {
    let of_kind = |kind: &str| {
        let names: Vec<String> = arns
            .iter()
            .filter_map(|arn| {
                let mut parts = arn.split(':').skip(5);
                (parts.next()? == kind).then_some(parts.next()?.to_owned())
            })
            .collect();
        (!names.is_empty()).then_some(names)
    };
    (of_kind("serverlesscache"), of_kind("replicationgroup"))
}

/// Each name, or none once.
fn names(wanted: &Wanted) -> Vec<Option<&String>> {
    wanted.as_ref().map_or_else(|| vec![None], |names| names.iter().map(Some).collect())
}

fn of_serverless(tagged: &Tagged) -> Labels {
    let cache = &tagged.cache;
    let mut labels = LabelsBuilder::default();
    labels.set(OPTION_LABEL, "serverless");
    Rule::apply(labels::SERVERLESS, SERVERLESS_PREFIX, cache, &mut labels);
    for (name, at) in [("security_group_id", "/SecurityGroupIds"), ("subnet_id", "/SubnetIds")] {
        for (index, id) in texts(cache, at).enumerate() {
            labels.set(&format!("{SERVERLESS_PREFIX}{name}_{index}"), &id);
        }
    }
    let prefix = format!("{SERVERLESS_PREFIX}tag_");
    set_tags(&prefix, &tagged.tags, "", ("/Key", "/Value"), &mut labels);
    set_address(cache, &mut labels);
    labels.build()
}

/// A target for each node.
fn of_cluster(tagged: &Tagged) -> Vec<Labels> {
    let cluster = &tagged.cache;
    let mut common = LabelsBuilder::default();
    common.set(OPTION_LABEL, "node");
    Rule::apply(labels::CLUSTER, CLUSTER_PREFIX, cluster, &mut common);
    for (index, delivery) in list(cluster, "/LogDeliveryConfigurations").iter().enumerate() {
        for (name, at) in LOG_DELIVERY {
            let name = format!("{CLUSTER_PREFIX}log_delivery_configuration_{name}_{index}");
            common.set(&name, &text(delivery, at));
        }
    }
    for (index, membership) in list(cluster, "/SecurityGroups").iter().enumerate() {
        for (name, at) in [("id", "/SecurityGroupId"), ("status", "/Status")] {
            let name = format!("{CLUSTER_PREFIX}security_group_membership_{name}_{index}");
            common.set(&name, &text(membership, at));
        }
    }
    let removed: Vec<_> = texts(cluster, "/PendingModifiedValues/CacheNodeIdsToRemove").collect();
    let name = format!("{CLUSTER_PREFIX}pending_modified_values_cache_node_ids_to_remove");
    common.set(&name, &removed.join(","));
    let prefix = format!("{CLUSTER_PREFIX}tag_");
    set_tags(&prefix, &tagged.tags, "", ("/Key", "/Value"), &mut common);
    let target = |node: &Value| {
        let mut labels = common.clone();
        Rule::apply(labels::NODE, &format!("{CLUSTER_PREFIX}node_"), node, &mut labels);
        set_address(node, &mut labels);
        labels.build()
    };
    list(cluster, "/CacheNodes").iter().map(target).collect()
}

/// Caches tell their ports themselves.
fn set_address(thing: &Value, labels: &mut LabelsBuilder) {
    let (host, port) = (given(thing, "/Endpoint/Address"), given(thing, "/Endpoint/Port"));
    if let (Some(host), Some(port)) = (host, port) {
        labels.set(ADDRESS, &host_port(&host, port));
    }
}
