//! Mechanisms that ask Amazon's cloud: what they share. Each service has a module; `aws_sd_configs` chooses
//! one of them by its role. Keys, regions and signatures are the HTTP client's.
//! Compat: Prometheus `discovery/aws`.

mod client;
mod ec2;
mod ecs;
mod elasticache;
mod lightsail;
mod msk;
mod rds;
#[cfg(test)]
mod tests;

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use prom_config::{AwsFilter, AwsSdConfig, HttpClientConfig};
use prom_http_client::AwsConfig;
use prom_model::{Labels, LabelsBuilder};
use serde_json::Value;

use super::{
    AskError, RestAsker,
    rules::{list, sanitized, text},
};
use crate::{TargetGroup, polled::Means};
use client::AwsClient;

/// More requests at a time are not sent, whatever the configuration wants.
const REQUEST_COUNT_MAX: usize = 100;
/// Compat: the defaults that the roles of `aws_sd_configs` have by themselves.
const PORT: i64 = 80;
const REFRESH_INTERVAL: Duration = Duration::from_secs(60);
const ECS_REQUEST_COUNT: i64 = 20;
const REQUEST_COUNT: i64 = 10;

/// What an entry says, whatever its service.
#[derive(Clone, Debug)]
struct Entry {
    account: AwsConfig,
    endpoint: String,
    http_client: HttpClientConfig,
    port: i64,
    refresh_interval: Duration,
    filters: Vec<AwsFilter>,
    clusters: Vec<String>,
    request_count: i64,
}

/// Takes an entry out of a section of the configuration; what a section has not is empty.
macro_rules! entry {
    ($cfg:expr, $filters:expr, $clusters:expr, $request_count:expr) => {{
        let cfg = $cfg;
        Entry {
            account: AwsConfig {
                region: cfg.region.clone(),
                access_key: cfg.access_key.clone(),
                secret_key: cfg.secret_key.clone(),
                profile: cfg.profile.clone(),
                role_arn: cfg.role_arn.clone(),
                external_id: cfg.external_id.clone(),
                use_fips_sts_endpoint: false,
            },
            endpoint: cfg.endpoint.clone(),
            http_client: cfg.http_client.clone(),
            port: cfg.port,
            refresh_interval: cfg.refresh_interval,
            filters: $filters,
            clusters: $clusters,
            request_count: $request_count,
        }
    }};
}

/// What asks for an entry, and how often; `None` if its mechanism is not one of these.
pub(super) fn asker(
    cfg: &prom_config::DiscoveryConfig,
    means: &Means,
) -> Option<(Box<dyn RestAsker>, Duration)> {
    use prom_config::DiscoveryConfig as Cfg;
    let (role, entry) = match cfg {
        Cfg::Aws(cfg) => (cfg.role.as_str(), of_role(cfg)),
        Cfg::Ec2(cfg) => ("ec2", entry!(cfg, cfg.filters.clone(), Vec::new(), REQUEST_COUNT)),
        Cfg::Lightsail(cfg) => ("lightsail", entry!(cfg, Vec::new(), Vec::new(), REQUEST_COUNT)),
        Cfg::Ecs(cfg) => {
            ("ecs", entry!(cfg, Vec::new(), cfg.clusters.clone(), cfg.request_concurrency))
        }
        Cfg::Elasticache(cfg) => {
            ("elasticache", entry!(cfg, Vec::new(), cfg.clusters.clone(), cfg.request_concurrency))
        }
        Cfg::Msk(cfg) => {
            ("msk", entry!(cfg, Vec::new(), cfg.clusters.clone(), cfg.request_concurrency))
        }
        Cfg::Rds(cfg) => {
            ("rds", entry!(cfg, cfg.filters.clone(), cfg.clusters.clone(), cfg.request_concurrency))
        }
        _ => return None,
    };
    let every = entry.refresh_interval;
    let asker: Box<dyn RestAsker> = match role {
        "ec2" => Box::new(ec2::Ec2Asker::new(entry, means)),
        "lightsail" => Box::new(lightsail::LightsailAsker::new(entry, means)),
        "ecs" => Box::new(ecs::EcsAsker::new(entry, means)),
        "elasticache" => Box::new(elasticache::ElasticacheAsker::new(entry, means)),
        "msk" => Box::new(msk::MskAsker::new(entry, means)),
        "rds" => Box::new(rds::RdsAsker::new(entry, means)),
        _ => return None,
    };
    Some((asker, every))
}

fn of_role(cfg: &AwsSdConfig) -> Entry {
    let request_count = if cfg.role == "ecs" { ECS_REQUEST_COUNT } else { REQUEST_COUNT };
    let mut entry = entry!(cfg, cfg.filters.clone(), cfg.clusters.clone(), request_count);
    if entry.port == 0 {
        entry.port = PORT;
    }
    if entry.refresh_interval.is_zero() {
        entry.refresh_interval = REFRESH_INTERVAL;
    }
    entry
}

impl Entry {
    fn request_count(&self) -> usize {
        usize::try_from(self.request_count).unwrap_or(1).clamp(1, REQUEST_COUNT_MAX)
    }
}

/// The answers to all questions, in their order, so many of them at a time.
async fn at_once<T>(
    asked: Vec<impl Future<Output = Result<T, AskError>>>,
    count: usize,
) -> Result<Vec<T>, AskError> {
    stream::iter(asked).buffered(count).try_collect().await
}

/// The only group of a region.
fn group(region: &str, targets: Vec<Labels>) -> Vec<TargetGroup> {
    vec![TargetGroup { source: region.into(), targets, labels: Labels::empty() }]
}

/// A label for each tag of the list at a place; `key` and `value` are the names of its fields.
fn set_tags(
    prefix: &str,
    thing: &Value,
    at: &str,
    (key, value): (&str, &str),
    labels: &mut LabelsBuilder,
) {
    for tag in list(thing, at) {
        let (key, value) = (text(tag, key), text(tag, value));
        labels.set(&format!("{prefix}{}", sanitized(&key)), &value);
    }
}

/// The text at a place, if it is there.
fn given(thing: &Value, at: &str) -> Option<String> {
    thing.pointer(at).map(|_| text(thing, at).into_owned()).filter(|text| !text.is_empty())
}

type Asked = Result<Vec<TargetGroup>, AskError>;
