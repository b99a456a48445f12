//! `consul_sd_configs`: what is asked of Consul, and how its answers become targets. When it is asked is
//! decided in `watch`.
//! Compat: Prometheus `discovery/consul/consul.go`; <https://developer.hashicorp.com/consul/api-docs>.

mod watch;

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use prom_config::{ConsulSdConfig, HttpHeader};
use prom_model::{Labels, LabelsBuilder};
use prom_telemetry::{Counter, Registry, Summary, clock};
use serde_json::Value;

use crate::{
    TargetGroup,
    group::ADDRESS,
    polled::Means,
    rest::{
        AskError, Call, LabelRule, Refusal, RestClient,
        Rule::{self, Int, Map, Text},
        host_port, joined, path_part,
        rules::{int, list, text, texts},
    },
};

pub(crate) use watch::run;

/// How long Consul may wait for something new.
const WATCH_TIMEOUT: Duration = Duration::from_secs(120);
/// A request may take so much longer.
const GRACE: Duration = Duration::from_secs(15);
/// Services that a tool asks for at the same time.
const REQUEST_COUNT_MAX: usize = 8;
/// More services are not watched: each takes a connection.
const SERVICE_COUNT_MAX: usize = 10_000;

const REFUSAL: Refusal =
    Refusal { text: "Unexpected response code: {code}", reason_at: "", is_strict: true };
const INDEX: &str = "x-consul-index";

static SERVICE: [LabelRule; 10] = [
    ("address", Text("/Node/Address")),
    ("node", Text("/Node/Node")),
    ("namespace", Text("/Service/Namespace")),
    ("partition", Text("/Service/Partition")),
    ("service_address", Text("/Service/Address")),
    ("service_port", Int("/Service/Port")),
    ("service_id", Text("/Service/ID")),
    ("metadata_", Map("/Node/Meta")),
    ("service_metadata_", Map("/Service/Meta")),
    ("tagged_address_", Map("/Node/TaggedAddresses")),
];

/// Compat: Prometheus `discovery/consul/metrics.go`.
#[derive(Clone, Debug)]
pub(crate) struct ConsulMetrics {
    failures: Counter,
    services_duration: Summary,
    service_duration: Summary,
}

/// Asks one Consul about one entry.
#[derive(Clone, Debug)]
struct Consul {
    client: RestClient,
    cfg: ConsulSdConfig,
    base: String,
    metrics: ConsulMetrics,
}

/// An answer, and the number that names what it is up to.
#[derive(Debug)]
struct Indexed<T> {
    index: u64,
    answer: T,
}

impl ConsulMetrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        let duration = registry.summary_vec(
            "prometheus_sd_consul_rpc_duration_seconds",
            "The duration of a Consul RPC call in seconds.",
            &[0.5, 0.9, 0.99],
            &["endpoint", "call"],
        );
        Self {
            failures: registry.counter(
                "prometheus_sd_consul_rpc_failures_total",
                "The number of Consul RPC call failures.",
            ),
            services_duration: duration.with(&["catalog", "services"]),
            service_duration: duration.with(&["catalog", "service"]),
        }
    }
}

impl Consul {
    fn new(cfg: &ConsulSdConfig, means: &Means) -> Self {
        let mut http = cfg.http_client.clone();
        if !cfg.token.is_empty() {
            http.http_headers.push(HttpHeader {
                name: "X-Consul-Token".to_owned(),
                values: Vec::new(),
                secrets: vec![cfg.token.clone()],
                files: Vec::new(),
            });
        }
        // Compat: the address may name its scheme itself.
        let server = match cfg.server.contains("://") {
            true => cfg.server.clone(),
            false => format!("{}://{}", cfg.scheme, cfg.server),
        };
        let prefix = cfg.path_prefix.trim_matches('/');
        let base = if prefix.is_empty() { server } else { format!("{server}/{prefix}") };
        let client = RestClient::new(&http, WATCH_TIMEOUT + GRACE, means);
        Self { client, base, cfg: cfg.clone(), metrics: means.consul.clone() }
    }

    /// Where the agent is.
    async fn datacenter(&self) -> Result<String, AskError> {
        if !self.cfg.datacenter.is_empty() {
            return Ok(self.cfg.datacenter.clone());
        }
        let answer = self.client.value(&Call::get(&self.base, "/v1/agent/self"), &REFUSAL).await;
        let answer = answer.inspect_err(|_| self.metrics.failures.inc())?;
        let datacenter = answer.pointer("/Config/Datacenter");
        let datacenter = datacenter.and_then(Value::as_str).ok_or_else(|| {
            let value = datacenter.map_or_else(|| "<nil>".to_owned(), Value::to_string);
            format!("invalid value '{value}' for Config.Datacenter")
        })?;
        Ok(datacenter.to_owned())
    }

    /// Whether all services are to be found; otherwise their names are known.
    fn has_catalog(&self) -> bool {
        self.cfg.services.is_empty() || !self.cfg.tags.is_empty() || !self.cfg.filter.is_empty()
    }

    /// The names of the services that are wanted, once there is something newer than `index`; with each whether
    /// it is one of those that the entry wants.
    async fn services(&self, index: u64) -> Result<Indexed<BTreeMap<String, bool>>, AskError> {
        let call = self.call("/v1/catalog/services", index, &self.cfg.filter);
        let began = clock::monotonic();
        let answer = self.client.fetch(&call, &REFUSAL, Some(INDEX)).await;
        let seconds = (clock::monotonic() - began).as_secs_f64();
        self.metrics.services_duration.observe(seconds);
        let answer = answer.and_then(|answer| {
            let services: BTreeMap<String, Option<Vec<String>>> =
                serde_json::from_slice(answer.body.as_slice())
                    .map_err(|error| crate::json::go_text(&error))?;
            if services.len() > SERVICE_COUNT_MAX {
                return Err(AskError::new(format!("more than {SERVICE_COUNT_MAX} services")));
            }
            let is_wanted = |name: String, tags: Option<Vec<String>>| {
                let is_wanted = self.is_wanted(&name, tags.as_deref().unwrap_or_default());
                (name, is_wanted)
            };
            let services = services.into_iter().map(|(name, tags)| is_wanted(name, tags));
            let index = index_of(answer.header.as_deref());
            Ok(Indexed { index, answer: services.collect() })
        });
        answer.inspect_err(|_| self.metrics.failures.inc())
    }

    fn is_wanted(&self, name: &str, tags: &[String]) -> bool {
        let is_named =
            self.cfg.services.is_empty() || self.cfg.services.iter().any(|it| it == name);
        is_named && self.cfg.tags.iter().all(|tag| tags.contains(tag))
    }

    /// The instances of a service, once there is something newer than `index`.
    async fn service(
        &self,
        datacenter: &str,
        name: &str,
        index: u64,
    ) -> Result<Indexed<TargetGroup>, AskError> {
        let path = format!("/v1/health/service/{}", path_part(name));
        let mut call = self.call(&path, index, &self.cfg.health_filter);
        for tag in &self.cfg.tags {
            call = call.with_parameter("tag", tag);
        }
        let began = clock::monotonic();
        let answer = self.client.fetch(&call, &REFUSAL, Some(INDEX)).await;
        let seconds = (clock::monotonic() - began).as_secs_f64();
        self.metrics.service_duration.observe(seconds);
        let answer = answer.and_then(|answer| {
            let mut targets = Vec::new();
            crate::rest::json::read_list(answer.body.as_slice(), "", &mut |instance| {
                targets.push(self.target(&instance));
                Ok(())
            })?;
            let labels = [("__meta_consul_service", name), ("__meta_consul_dc", datacenter)];
            let labels = Labels::from_pairs(labels);
            let group = TargetGroup { source: name.into(), targets, labels };
            Ok(Indexed { index: index_of(answer.header.as_deref()), answer: group })
        });
        answer.inspect_err(|_| self.metrics.failures.inc())
    }

    fn call(&self, path: &str, index: u64, filter: &str) -> Call {
        let mut call = Call::get(&self.base, path);
        for (name, value) in [
            ("ns", &*self.cfg.namespace),
            ("partition", &self.cfg.partition),
            ("dc", &self.cfg.datacenter),
            ("filter", filter),
        ] {
            if !value.is_empty() {
                call = call.with_parameter(name, value);
            }
        }
        if self.cfg.allow_stale {
            call = call.with_parameter("stale", "");
        }
        if index > 0 {
            call = call.with_parameter("index", &index.to_string());
        }
        call = call.with_parameter("wait", &format!("{}ms", WATCH_TIMEOUT.as_millis()));
        for (key, value) in &self.cfg.node_meta {
            call = call.with_parameter("node-meta", &format!("{key}:{value}"));
        }
        call
    }

    fn target(&self, instance: &Value) -> Labels {
        let mut labels = LabelsBuilder::default();
        Rule::apply(&SERVICE, "__meta_consul_", instance, &mut labels);
        let addresses = ["/Service/Address", "/Node/Address"].map(|at| text(instance, at));
        let host = addresses.iter().find(|host| !host.is_empty()).map_or("", |host| host);
        labels.set(ADDRESS, &host_port(host, int(instance, "/Service/Port")));
        let separator = &self.cfg.tag_separator;
        let tags = joined(texts(instance, "/Service/Tags"), separator);
        // Without tags there are still the separators around them.
        let tags = if tags.is_empty() { separator.repeat(2) } else { tags };
        labels.set("__meta_consul_tags", &tags);
        labels.set("__meta_consul_health", health(list(instance, "/Checks")));
        labels.build()
    }
}

/// All there is at this moment, for tools.
pub(crate) async fn discover(
    cfg: &ConsulSdConfig,
    means: &Means,
) -> Result<Vec<TargetGroup>, AskError> {
    let consul = Consul::new(cfg, means);
    let datacenter = consul.datacenter().await?;
    let names = match consul.has_catalog() {
        false => cfg.services.clone(),
        true => {
            let services = consul.services(0).await?.answer.into_iter();
            services.filter(|(_, is_wanted)| *is_wanted).map(|(name, _)| name).collect()
        }
    };
    let groups = stream::iter(names).map(|name| {
        let (consul, datacenter) = (&consul, &datacenter);
        async move { consul.service(datacenter, &name, 0).await.map(|indexed| indexed.answer) }
    });
    groups.buffered(REQUEST_COUNT_MAX).try_collect().await
}

/// The worst that any check says. Compat: `HealthChecks.AggregatedStatus` of Consul's client.
fn health(checks: &[Value]) -> &'static str {
    const STATES: [&str; 4] = ["passing", "warning", "critical", "maintenance"];
    let mut worst = 0;
    for check in checks {
        let id = text(check, "/CheckID");
        let is_maintained = id == "_node_maintenance" || id.starts_with("_service_maintenance:");
        let state = if is_maintained { "maintenance".into() } else { text(check, "/Status") };
        match STATES.iter().position(|known| *known == state) {
            Some(state) => worst = worst.max(state),
            None => return "",
        }
    }
    STATES[worst]
}

fn index_of(header: Option<&str>) -> u64 {
    header.and_then(|index| index.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
