//! `azure_sd_configs`: virtual machines, alone and in scale sets. Compat: Prometheus
//! `discovery/azure/azure.go`; <https://learn.microsoft.com/rest/api/compute/virtual-machines/list-all>.

mod credentials;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, future::BoxFuture, stream};
use prom_config::AzureSdConfig;
use prom_model::{Labels, LabelsBuilder};
use prom_telemetry::{Counter, Registry};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    AskError, Call, LabelRule, Listing, Paging, Refusal, RestAsker, RestClient,
    Rule::{self, Map, Text},
    host_port, path_part,
    rules::{list, text},
};
use crate::{TargetGroup, group::ADDRESS, polled::Means};
use credentials::Credentials;

const COMPUTE: &str = "providers/Microsoft.Compute";
const COMPUTE_VERSION: &str = "2024-07-01";
const NETWORK_VERSION: &str = "2024-01-01";
/// Interfaces of scale sets are told by an older version only.
const SCALE_SET_NETWORK_VERSION: &str = "2018-10-01";
/// Network interfaces that are asked for at the same time.
const REQUEST_COUNT_MAX: usize = 16;
/// Network interfaces that are remembered. Compat: the capacity of the original's cache.
const CACHE_COUNT_MAX: usize = 5000;

const REFUSAL: Refusal =
    Refusal { text: "RESPONSE {status}", reason_at: "/error/message", is_strict: false };
const LIST: Listing =
    Listing { at: "/value", paging: Paging::Link { at: "/nextLink" }, refusal: REFUSAL };

static LABELS: [LabelRule; 7] = [
    ("id", Text("/id")),
    ("name", Text("/name")),
    ("computer_name", Text("/properties/osProfile/computerName")),
    ("os_type", Text("/properties/storageProfile/osDisk/osType")),
    ("location", Text("/location")),
    ("size", Text("/properties/hardwareProfile/vmSize")),
    ("tag_", Map("/tags")),
];

/// Where a cloud is.
#[derive(Debug)]
pub(super) struct Cloud {
    login: &'static str,
    management: &'static str,
}

static PUBLIC: Cloud = Cloud {
    login: "https://login.microsoftonline.com",
    management: "https://management.azure.com",
};
static CHINA: Cloud = Cloud {
    login: "https://login.chinacloudapi.cn",
    management: "https://management.chinacloudapi.cn",
};
static GOVERNMENT: Cloud = Cloud {
    login: "https://login.microsoftonline.us",
    management: "https://management.usgovcloudapi.net",
};

/// Of `azure_sd_configs`. Compat: Prometheus `discovery/azure/metrics.go`.
#[derive(Clone, Debug)]
pub(crate) struct AzureMetrics {
    failures: Counter,
    cache_hits: Counter,
}

#[derive(Debug)]
struct AzureAsker {
    client: RestClient,
    /// Or why there can be none.
    credentials: Result<Credentials, String>,
    endpoint: String,
    cfg: AzureSdConfig,
    cache: HashMap<String, Remembered>,
    metrics: AzureMetrics,
}

/// A network interface, as far as targets need it.
#[derive(Clone, Debug, Default)]
struct Interface {
    /// Not known for machines that are switched off.
    is_primary: Option<bool>,
    private_ip: String,
    public_ip: String,
}

#[derive(Debug)]
struct Remembered {
    interface: Interface,
    until: Instant,
}

/// A machine, and the scale set that it belongs to.
#[derive(Debug)]
struct Machine {
    vm: Value,
    scale_set: Option<String>,
}

impl AzureMetrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        Self {
            failures: registry.counter(
                "prometheus_sd_azure_failures_total",
                "Number of Azure service discovery refresh failures.",
            ),
            cache_hits: registry.counter(
                "prometheus_sd_azure_cache_hit_total",
                "Number of cache hit during refresh.",
            ),
        }
    }
}

pub(super) fn asker(cfg: &AzureSdConfig, means: &Means) -> Box<dyn RestAsker> {
    let cloud = cloud(&cfg.environment);
    let management = cloud.as_ref().map_or("", |cloud| cloud.management);
    Box::new(AzureAsker {
        client: RestClient::new(&cfg.http_client, cfg.refresh_interval, means),
        endpoint: means.endpoint(management).to_owned(),
        credentials: cloud.map(|cloud| Credentials::new(cfg, cloud, means)),
        cfg: cfg.clone(),
        cache: HashMap::new(),
        metrics: means.azure.clone(),
    })
}

fn cloud(name: &str) -> Result<&'static Cloud, String> {
    match name.to_uppercase().as_str() {
        "AZUREPUBLICCLOUD" | "AZURECLOUD" | "AZUREGERMANCLOUD" => Ok(&PUBLIC),
        "AZURECHINACLOUD" => Ok(&CHINA),
        "AZUREUSGOVERNMENT" | "AZUREUSGOVERNMENTCLOUD" => Ok(&GOVERNMENT),
        upper => Err(format!(
            "could not create Azure client: there is no cloud configuration matching the name {upper:?}"
        )),
    }
}

impl RestAsker for AzureAsker {
    fn ask(&mut self) -> BoxFuture<'_, Result<Vec<TargetGroup>, AskError>> {
        Box::pin(async {
            let asked = self.targets().await;
            if asked.is_err() {
                self.metrics.failures.inc();
            }
            asked
        })
    }
}

impl AzureAsker {
    async fn targets(&mut self) -> Result<Vec<TargetGroup>, AskError> {
        let credentials = self.credentials.as_mut().map_err(|reason| reason.clone())?;
        let token = credentials.token().await?;
        let asked = self.targets_by(&token).await;
        if let (Err(AskError { status_code: Some(401), .. }), Ok(credentials)) =
            (&asked, &mut self.credentials)
        {
            credentials.forget();
        }
        let targets = asked?;
        Ok(vec![TargetGroup { source: "".into(), targets, labels: Labels::empty() }])
    }

    async fn targets_by(&mut self, token: &str) -> Result<Vec<Labels>, AskError> {
        let machines = self.machines(token).await?;
        let interfaces = self.interfaces(token, &machines).await?;
        let mut targets = Vec::with_capacity(machines.len());
        for machine in &machines {
            targets.extend(self.target(machine, &interfaces)?);
        }
        Ok(targets)
    }

    async fn machines(&self, token: &str) -> Result<Vec<Machine>, AskError> {
        let alone = |vm: &Value| Machine { vm: vm.clone(), scale_set: None };
        let call = self.call(token, &self.compute_path("virtualMachines"), COMPUTE_VERSION);
        let machines = self.client.collect(&call, &LIST, alone).await;
        let mut machines = machines.map_err(|error| {
            error.during("could not get virtual machines: could not list virtual machines")
        })?;
        let call = self.call(token, &self.compute_path("virtualMachineScaleSets"), COMPUTE_VERSION);
        let sets = self.client.collect(&call, &LIST, Value::clone).await.map_err(|error| {
            error.during("could not get virtual machine scale sets: could not list virtual machine scale sets")
        })?;
        for set in sets {
            let (id, name) = (text(&set, "/id"), text(&set, "/name"));
            let group = group_of(&id)?;
            let path = format!(
                "{}/{COMPUTE}/virtualMachineScaleSets/{}/virtualMachines",
                self.group_path(group),
                path_part(&name)
            );
            let of_set =
                |vm: &Value| Machine { vm: vm.clone(), scale_set: Some(name.clone().into_owned()) };
            let call = self.call(token, &path, COMPUTE_VERSION);
            let found = self.client.collect(&call, &LIST, of_set).await.map_err(|error| {
                error.during("could not get virtual machine scale set vms: could not list virtual machine scale set vms")
            })?;
            machines.extend(found);
        }
        Ok(machines)
    }

    /// All interfaces of the machines by their ids; those that do not exist any more are not among them.
    async fn interfaces(
        &mut self,
        token: &str,
        machines: &[Machine],
    ) -> Result<BTreeMap<String, Interface>, AskError> {
        let now = Instant::now();
        let mut known = BTreeMap::new();
        let mut missing = Vec::new();
        for machine in machines {
            for interface in list(&machine.vm, "/properties/networkProfile/networkInterfaces") {
                let id = text(interface, "/id").into_owned();
                match self.cache.get(&id).filter(|remembered| now < remembered.until) {
                    Some(remembered) => {
                        self.metrics.cache_hits.inc();
                        known.insert(id, remembered.interface.clone());
                    }
                    None => missing.push(self.interface(token, machine, id)),
                }
            }
        }
        let asked = stream::iter(missing).buffered(REQUEST_COUNT_MAX);
        let found: Vec<Option<(String, Interface)>> =
            asked.try_collect().await.map_err(|error: AskError| {
                error.during("unable to complete Azure service discovery")
            })?;
        self.cache.retain(|_, remembered| now < remembered.until);
        for (id, interface) in found.into_iter().flatten() {
            if self.cache.len() < CACHE_COUNT_MAX {
                let until = now + self.lifetime(&id);
                let interface = interface.clone();
                self.cache.insert(id.clone(), Remembered { interface, until });
            }
            known.insert(id, interface);
        }
        Ok(known)
    }

    /// Ten to thirteen intervals, so that not all are asked for again at once.
    fn lifetime(&self, id: &str) -> Duration {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let spread = (hasher.finish() % 3000) as u32;
        self.cfg.refresh_interval * 10 + self.cfg.refresh_interval * spread / 1000
    }

    async fn interface(
        &self,
        token: &str,
        machine: &Machine,
        id: String,
    ) -> Result<Option<(String, Interface)>, AskError> {
        let name = path_part(id.rsplit('/').next().unwrap_or_default());
        let group = self.group_path(group_of(&id)?);
        let (path, version) = match &machine.scale_set {
            None => (
                format!("{group}/providers/Microsoft.Network/networkInterfaces/{name}"),
                NETWORK_VERSION,
            ),
            Some(set) => (
                format!(
                    "{group}/{COMPUTE}/virtualMachineScaleSets/{}/virtualMachines/{}/networkInterfaces/{name}",
                    path_part(set),
                    path_part(&text(&machine.vm, "/instanceId"))
                ),
                SCALE_SET_NETWORK_VERSION,
            ),
        };
        let call = self.call(token, &path, version);
        let call = call.with_parameter("$expand", "IPConfigurations/PublicIPAddress");
        match self.client.value(&call, &REFUSAL).await {
            Ok(found) => Ok(Some((id, Interface::of(&found)))),
            Err(err) if err.status_code == Some(404) => {
                tracing::warn!(discovery = "azure", name = id, %err, "Network interface does not exist");
                Ok(None)
            }
            Err(error) => {
                Err(error.during(format_args!("failed to retrieve Interface {id} with error")))
            }
        }
    }

    /// The target that a machine is; none if it is switched off or has lost its interface.
    fn target(
        &self,
        machine: &Machine,
        interfaces: &BTreeMap<String, Interface>,
    ) -> Result<Option<Labels>, AskError> {
        let vm = &machine.vm;
        let id = text(vm, "/id");
        let mut labels = LabelsBuilder::default();
        Rule::apply(&LABELS, "__meta_azure_machine_", vm, &mut labels);
        labels.set("__meta_azure_subscription_id", &self.cfg.subscription_id);
        labels.set("__meta_azure_tenant_id", &self.cfg.tenant_id);
        labels.set("__meta_azure_machine_resource_group", group_of(&id)?);
        labels.set(
            "__meta_azure_machine_scale_set",
            machine.scale_set.as_deref().unwrap_or_default(),
        );
        for interface in list(vm, "/properties/networkProfile/networkInterfaces") {
            let Some(interface) = interfaces.get(&*text(interface, "/id")) else { return Ok(None) };
            match interface.is_primary {
                None => return Ok(None),
                Some(false) => {}
                Some(true) if interface.private_ip.is_empty() => {
                    let name = text(vm, "/name");
                    let text = format!(
                        "unable to complete Azure service discovery: unable to find a private IP for VM {name}"
                    );
                    return Err(AskError::new(text));
                }
                Some(true) => {
                    labels.set("__meta_azure_machine_public_ip", &interface.public_ip);
                    labels.set("__meta_azure_machine_private_ip", &interface.private_ip);
                    labels.set(ADDRESS, &host_port(&interface.private_ip, self.cfg.port));
                    return Ok(Some(labels.build()));
                }
            }
        }
        Ok(None)
    }

    fn call(&self, token: &str, path: &str, version: &str) -> Call {
        Call::get(&self.endpoint, path)
            .with_parameter("api-version", version)
            .with_header("authorization", format!("Bearer {token}"))
    }

    fn group_path(&self, group: &str) -> String {
        let subscription = path_part(&self.cfg.subscription_id);
        format!("/subscriptions/{subscription}/resourceGroups/{}", path_part(group))
    }

    /// A list of the whole subscription, or of the resource group that is wanted.
    fn compute_path(&self, kind: &str) -> String {
        match self.cfg.resource_group.as_str() {
            "" => {
                let subscription = path_part(&self.cfg.subscription_id);
                format!("/subscriptions/{subscription}/{COMPUTE}/{kind}")
            }
            group => format!("{}/{COMPUTE}/{kind}", self.group_path(group)),
        }
    }
}

impl Interface {
    fn of(found: &Value) -> Self {
        let main = |at: &str| {
            text(found, &format!("/properties/ipConfigurations/0/properties/{at}")).into_owned()
        };
        Self {
            is_primary: found.pointer("/properties/primary").and_then(Value::as_bool),
            private_ip: main("privateIPAddress"),
            public_ip: main("publicIPAddress/properties/ipAddress"),
        }
    }
}

/// The resource group in an id.
fn group_of(id: &str) -> Result<&str, AskError> {
    let mut parts = id.split('/');
    let name = parts.find(|part| part.eq_ignore_ascii_case("resourceGroups"));
    let group = name.and_then(|_| parts.next()).filter(|group| !group.is_empty());
    group.ok_or_else(|| AskError::new(format!("invalid ID '{id}': it names no resource group")))
}
