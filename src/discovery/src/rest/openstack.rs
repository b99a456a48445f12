//! `openstack_sd_configs`: instances, hypervisors and load balancers. Compat: Prometheus
//! `discovery/openstack` and gophercloud; <https://docs.openstack.org/api-ref/compute/>.

mod identity;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use futures_util::future::BoxFuture;
use prom_config::{HttpClientConfig, OpenstackSdConfig};
use prom_model::{Labels, LabelsBuilder};
use serde_json::Value;

use super::{
    AskError, LabelRule, Listing, Paging, Refusal, RestAsker, RestClient,
    Rule::{self, Map, Text},
    host_port,
    rules::{int, list, text, texts},
};
use crate::{
    TargetGroup,
    group::ADDRESS,
    polled::{Env, Means},
};
use identity::Session;

const PREFIX: &str = "__meta_openstack_";
const PROMETHEUS: &str = "PROMETHEUS";

const REFUSAL: Refusal = Refusal {
    text: "Expected HTTP response code [200], but got {code} instead",
    reason_at: "",
    is_strict: true,
};

macro_rules! listing {
    ($name:literal) => {
        Listing {
            at: concat!("/", $name),
            paging: Paging::Links { at: concat!("/", $name, "_links") },
            refusal: REFUSAL,
        }
    };
}

static INSTANCE_LABELS: [LabelRule; 7] = [
    ("instance_id", Text("/id")),
    ("instance_status", Text("/status")),
    ("instance_name", Text("/name")),
    ("instance_image", Text("/image/id")),
    ("project_id", Text("/tenant_id")),
    ("user_id", Text("/user_id")),
    ("tag_", Map("/metadata")),
];

static HYPERVISOR_LABELS: [LabelRule; 6] = [
    ("hypervisor_id", Text("/id")),
    ("hypervisor_hostname", Text("/hypervisor_hostname")),
    ("hypervisor_host_ip", Text("/host_ip")),
    ("hypervisor_status", Text("/status")),
    ("hypervisor_state", Text("/state")),
    ("hypervisor_type", Text("/hypervisor_type")),
];

static BALANCER_LABELS: [LabelRule; 8] = [
    ("loadbalancer_id", Text("/id")),
    ("loadbalancer_name", Text("/name")),
    ("loadbalancer_operating_status", Text("/operating_status")),
    ("loadbalancer_provisioning_status", Text("/provisioning_status")),
    ("loadbalancer_availability_zone", Text("/availability_zone")),
    ("loadbalancer_vip", Text("/vip_address")),
    ("loadbalancer_provider", Text("/provider")),
    ("project_id", Text("/project_id")),
];

#[derive(Debug)]
struct OpenstackAsker {
    client: RestClient,
    cfg: OpenstackSdConfig,
    env: Env,
}

/// Addresses that the outside sees.
#[derive(Default)]
struct FloatingIps {
    /// By machine and its own address.
    by_device: HashMap<(String, String), String>,
    all: HashSet<String>,
}

pub(super) fn asker(cfg: &OpenstackSdConfig, means: &Means) -> Box<dyn RestAsker> {
    let http_client = HttpClientConfig {
        tls: cfg.tls_config.clone(),
        // Compat: the original's own transport offers nothing else.
        enable_http2: false,
        ..HttpClientConfig::default()
    };
    Box::new(OpenstackAsker {
        client: RestClient::new(&http_client, cfg.refresh_interval, means),
        cfg: cfg.clone(),
        env: means.env.clone(),
    })
}

impl RestAsker for OpenstackAsker {
    fn ask(&mut self) -> BoxFuture<'_, Result<Vec<TargetGroup>, AskError>> {
        Box::pin(async {
            let session = Session::open(&self.client, &self.cfg, &self.env).await;
            let session =
                session.map_err(|error| error.during("could not authenticate to OpenStack"))?;
            let targets = match self.cfg.role.as_str() {
                "hypervisor" => self.hypervisors(&session).await?,
                "loadbalancer" => self.balancers(&session).await?,
                _ => self.instances(&session).await?,
            };
            let source = format!("OS_{}", self.cfg.region).into();
            Ok(vec![TargetGroup { source, targets, labels: Labels::empty() }])
        })
    }
}

impl OpenstackAsker {
    async fn instances(&self, session: &Session) -> Result<Vec<Labels>, AskError> {
        let compute = self.endpoint(session, "compute")?;
        let network = self.endpoint(session, "network")?;
        let floating = self.floating_ips(session, &network).await?;
        let query = if self.cfg.all_tenants { "?all_tenants=true" } else { "" };
        let call = session.call(&compute, &format!("servers/detail{query}"));
        let mut targets = Vec::new();
        let mut take = |server: Value| {
            targets.extend(self.addresses(&server, &floating));
            Ok(())
        };
        let listed = self.client.list(&call, &listing!("servers"), &mut take).await;
        listed.map_err(|error| error.during("could not extract instances"))?;
        Ok(targets)
    }

    async fn floating_ips(
        &self,
        session: &Session,
        network: &str,
    ) -> Result<FloatingIps, AskError> {
        let network = with_version(network);
        let pair =
            |port: &Value| (text(port, "/id").into_owned(), text(port, "/device_id").into_owned());
        let ports = session.call(&network, "ports");
        let ports = self.client.collect(&ports, &listing!("ports"), pair).await;
        let ports = ports.map_err(|error| error.during("failed to list all ports"))?;
        let devices: HashMap<String, String> = ports.into_iter().collect();
        let mut floating = FloatingIps::default();
        let mut take = |ip: Value| {
            let (port, own) = (text(&ip, "/port_id"), text(&ip, "/fixed_ip_address"));
            let public = text(&ip, "/floating_ip_address").into_owned();
            if let Some(device) = devices.get(&*port).filter(|_| !own.is_empty()) {
                floating.all.insert(public.clone());
                floating.by_device.insert((device.clone(), own.into_owned()), public);
            }
            Ok(())
        };
        let call = session.call(&network, "floatingips");
        let listed = self.client.list(&call, &listing!("floatingips"), &mut take).await;
        listed.map_err(|error| error.during("could not extract floatingips"))?;
        Ok(floating)
    }

    /// A target for each address of an instance that is its own.
    fn addresses(&self, server: &Value, floating: &FloatingIps) -> Vec<Labels> {
        let flavors = ["/flavor/original_name", "/flavor/id"];
        let flavor = flavors.iter().find_map(|at| server.pointer(at)?.as_str());
        let Some(flavor) = flavor else { return Vec::new() };
        let mut common = LabelsBuilder::default();
        Rule::apply(&INSTANCE_LABELS, PREFIX, server, &mut common);
        common.set("__meta_openstack_instance_flavor", flavor);
        let id = text(server, "/id");
        let pools = server.get("addresses").and_then(Value::as_object);
        let mut targets = Vec::new();
        for (pool, addresses) in pools.into_iter().flatten() {
            for address in list(addresses, "") {
                let ip = text(address, "/addr");
                if ip.is_empty() || floating.all.contains(&*ip) {
                    continue;
                }
                let mut labels = common.clone();
                labels.set("__meta_openstack_address_pool", pool);
                labels.set("__meta_openstack_private_ip", &ip);
                let key = (id.clone().into_owned(), ip.clone().into_owned());
                let public = floating.by_device.get(&key).map(String::as_str);
                labels.set("__meta_openstack_public_ip", public.unwrap_or_default());
                labels.set(ADDRESS, &host_port(&ip, self.cfg.port));
                targets.push(labels.build());
            }
        }
        targets
    }

    async fn hypervisors(&self, session: &Session) -> Result<Vec<Labels>, AskError> {
        let compute = self.endpoint(session, "compute")?;
        let target = |hypervisor: &Value| {
            let mut labels = LabelsBuilder::default();
            Rule::apply(&HYPERVISOR_LABELS, PREFIX, hypervisor, &mut labels);
            labels.set(ADDRESS, &host_port(&text(hypervisor, "/host_ip"), self.cfg.port));
            labels.build()
        };
        let call = session.call(&compute, "os-hypervisors/detail");
        let found = self.client.collect(&call, &listing!("hypervisors"), target).await;
        found.map_err(|error| error.during("could not extract hypervisors"))
    }

    /// Those with a listener that speaks to Prometheus.
    async fn balancers(&self, session: &Session) -> Result<Vec<Labels>, AskError> {
        let base = with_version(&self.endpoint(session, "load-balancer")?);
        let network = with_version(&self.endpoint(session, "network")?);
        let balancers = session.call(&base, "lbaas/loadbalancers");
        let balancers =
            self.client.collect(&balancers, &listing!("loadbalancers"), Value::clone).await;
        let balancers = balancers.map_err(|error| error.during("failed to list load balancers"))?;
        let mut ports = HashMap::new();
        let mut take = |listener: Value| {
            if text(&listener, "/protocol") == PROMETHEUS {
                for balancer in list(&listener, "/loadbalancers") {
                    let id = text(balancer, "/id").into_owned();
                    ports.entry(id).or_insert(int(&listener, "/protocol_port"));
                }
            }
            Ok(())
        };
        let call = session.call(&base, "lbaas/listeners");
        let listed = self.client.list(&call, &listing!("listeners"), &mut take).await;
        listed.map_err(|error| error.during("failed to list all listeners"))?;
        let pair = |ip: &Value| {
            let port = text(ip, "/port_id").into_owned();
            (port, text(ip, "/floating_ip_address").into_owned())
        };
        let call = session.call(&network, "floatingips");
        let floating = self.client.collect(&call, &listing!("floatingips"), pair).await;
        let floating = floating.map_err(|error| error.during("failed to list floating IPs"))?;
        let floating: HashMap<String, String> = floating.into_iter().collect();
        let target = |balancer: &Value| {
            let port = ports.get(&*text(balancer, "/id"))?;
            let mut labels = LabelsBuilder::default();
            Rule::apply(&BALANCER_LABELS, PREFIX, balancer, &mut labels);
            labels.set(ADDRESS, &host_port(&text(balancer, "/vip_address"), port));
            let tags: Vec<_> = texts(balancer, "/tags").collect();
            labels.set("__meta_openstack_loadbalancer_tags", &tags.join(","));
            let port_id = text(balancer, "/vip_port_id");
            let public = floating.get(&*port_id).filter(|_| !port_id.is_empty());
            let public = public.map_or("", String::as_str);
            labels.set("__meta_openstack_loadbalancer_floating_ip", public);
            Some(labels.build())
        };
        Ok(balancers.iter().filter_map(target).collect())
    }

    fn endpoint(&self, session: &Session, kind: &str) -> Result<String, AskError> {
        let found = session.endpoint(kind, &self.cfg.region, &self.cfg.availability);
        let name = kind.replace('-', " ");
        found.ok_or_else(|| {
            AskError::new(format!(
                "could not create OpenStack {name} session: No suitable endpoint could be found in the service catalog."
            ))
        })
    }
}

/// Networks and load balancers have a version in their paths, which catalogs mostly leave out.
fn with_version(endpoint: &str) -> String {
    let endpoint = endpoint.trim_end_matches('/');
    format!("{}/v2.0/", endpoint.strip_suffix("/v2.0").unwrap_or(endpoint))
}
