//! `oci_sd_configs`: instances of Oracle's cloud, by requests that an RSA key signs.
//! Compat: Prometheus `discovery/oci/oci.go`.

mod principal;
mod signature;

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use prom_config::{OciSdConfig, Secret};
use prom_http_client::{RsaKey, SmallFiles};
use prom_model::{Labels, LabelsBuilder};
use serde_json::Value;
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep_until},
};

use self::{
    principal::InstancePrincipal,
    signature::{Signer, sign},
};
use super::{
    AskError, Call, LabelRule, Listing, Paging, Refusal, RestAsker, RestClient,
    Rule::{self, Map, Text},
    host_port, joined, path_part,
    rules::{flag, sanitized, text, texts},
};
use crate::{TargetGroup, group::ADDRESS, polled::Means};

const VERSION: &str = "/20160918";
const KEY_SIZE_BYTES_MAX: usize = 64 << 10;
/// Compat: the original's own limit, below that of the service.
const REQUEST_INTERVAL: Duration = Duration::from_millis(100);
const REQUEST_BURST_COUNT: u32 = 50;

const REFUSAL: Refusal = Refusal {
    text: "Error returned by OCI Service. Http Status Code: {code}",
    reason_at: "/message",
    is_strict: true,
};
const LIST: Listing = Listing {
    at: "",
    paging: Paging::CursorHeader { header: "opc-next-page", parameter: "page" },
    refusal: REFUSAL,
};

static INSTANCE_LABELS: [LabelRule; 10] = [
    ("instance_id", Text("/id")),
    ("instance_name", Text("/displayName")),
    ("instance_state", Text("/lifecycleState")),
    ("instance_shape", Text("/shape")),
    ("availability_domain", Text("/availabilityDomain")),
    ("fault_domain", Text("/faultDomain")),
    ("region", Text("/region")),
    ("compartment_id", Text("/compartmentId")),
    ("image_id", Text("/imageId")),
    ("tag_", Map("/freeformTags")),
];
static VNIC_LABELS: [LabelRule; 4] = [
    ("vnic_id", Text("/id")),
    ("private_ip", Text("/privateIp")),
    ("public_ip", Text("/publicIp")),
    ("hostname_label", Text("/hostnameLabel")),
];

#[derive(Debug)]
struct OciAsker {
    plain: RestClient,
    cfg: OciSdConfig,
    identity: String,
    compute: String,
    pace: Pace,
    files: Arc<SmallFiles>,
    /// What was signed with before.
    signing: Option<Signing>,
    /// Who asks, if that is the machine.
    principal: Option<InstancePrincipal>,
    /// What all compartments are below.
    tenancy: String,
}

struct Signing {
    /// Of the key's file, and the passphrase.
    from: (Arc<[u8]>, Secret),
    client: RestClient,
}

/// A bucket of permissions to ask, refilled with time.
#[derive(Debug)]
struct Pace {
    /// When the bucket would be full.
    full_at: Instant,
}

pub(super) fn asker(cfg: &OciSdConfig, means: &Means) -> Box<dyn RestAsker> {
    let (region, realm) = (&cfg.region, realm(&cfg.region));
    let identity = format!("https://identity.{region}.oci.{realm}");
    let compute = format!("https://iaas.{region}.{realm}");
    let plain = RestClient::new(&cfg.http_client, cfg.refresh_interval, means);
    let is_machine = cfg.auth == "instance_principal";
    Box::new(OciAsker {
        principal: is_machine.then(|| InstancePrincipal::new(&plain, means)),
        tenancy: cfg.tenancy.clone(),
        plain,
        identity: means.endpoint(&identity).to_owned(),
        compute: means.endpoint(&compute).to_owned(),
        cfg: cfg.clone(),
        pace: Pace { full_at: Instant::now() },
        files: Arc::clone(&means.files),
        signing: None,
    })
}

/// The domain of a region: governments have their own.
fn realm(region: &str) -> &'static str {
    match region {
        "us-langley-1" | "us-luke-1" => "oraclegovcloud.com",
        region if region.starts_with("us-gov-") => "oraclegovcloud.com",
        region if region.starts_with("uk-gov-") => "oraclegovcloud.uk",
        _ => "oraclecloud.com",
    }
}

impl Pace {
    /// Waits until one more request may be sent.
    async fn wait(&mut self) {
        let now = Instant::now();
        self.full_at = self.full_at.max(now) + REQUEST_INTERVAL;
        sleep_until(self.full_at - REQUEST_INTERVAL * REQUEST_BURST_COUNT).await;
    }
}

impl OciAsker {
    async fn targets(&mut self) -> Result<Vec<TargetGroup>, AskError> {
        let client = match &mut self.principal {
            None => self.signing_client().await?,
            Some(principal) => {
                let session = principal.session().await?;
                self.tenancy = session.tenancy;
                signing(&self.plain, session.signer)
            }
        };
        let compartments = self.compartments(&client).await;
        let compartments =
            compartments.map_err(|error| error.during("oci_sd: failed to list compartments"))?;
        let mut targets = Vec::new();
        for compartment in &compartments {
            let call = Call::get(&self.compute, &format!("{VERSION}/instances?limit=100"))
                .with_parameter("compartmentId", compartment);
            self.pace.wait().await;
            let instances = client.collect(&call, &LIST, Value::clone).await.map_err(|error| {
                error.during(format_args!("listing OCI instances in compartment {compartment}"))
            })?;
            for instance in &instances {
                let vnic = self.vnic(&client, instance).await?;
                targets.extend(vnic.and_then(|vnic| self.target(instance, &vnic)));
            }
        }
        Ok(vec![TargetGroup { source: "OCI".into(), targets, labels: Labels::empty() }])
    }

    /// Those of the configuration, or all that are below the tenancy. What may not be seen is left out.
    async fn compartments(&mut self, client: &RestClient) -> Result<Vec<String>, AskError> {
        if !self.cfg.compartments.is_empty() {
            return Ok(self.cfg.compartments.clone());
        }
        let mut all = vec![self.tenancy.clone()];
        let mut known: HashSet<String> = all.iter().cloned().collect();
        let mut next = 0;
        while let Some(parent) = all.get(next).cloned() {
            next += 1;
            let path =
                "/compartments?accessLevel=ACCESSIBLE&compartmentIdInSubtree=false&limit=100";
            let call = Call::get(&self.identity, &format!("{VERSION}{path}"))
                .with_parameter("compartmentId", &parent);
            let active = |child: &Value| {
                let is_active = text(child, "/lifecycleState") == "ACTIVE";
                is_active.then(|| text(child, "/id").into_owned()).filter(|id| !id.is_empty())
            };
            self.pace.wait().await;
            match client.collect(&call, &LIST, active).await {
                Ok(children) => {
                    all.extend(
                        children.into_iter().flatten().filter(|id| known.insert(id.clone())),
                    );
                }
                Err(err) if is_hidden(&err) => tracing::warn!(
                    discovery = "oci",
                    compartment_id = parent,
                    %err,
                    "OCI SD failed to list child compartments, skipping subtree"
                ),
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// The main network card of an instance, if it has one.
    async fn vnic(
        &mut self,
        client: &RestClient,
        instance: &Value,
    ) -> Result<Option<Value>, AskError> {
        let (id, compartment) = (text(instance, "/id"), text(instance, "/compartmentId"));
        if id.is_empty() || compartment.is_empty() {
            return Ok(None);
        }
        match self.try_vnic(client, &id, &compartment).await {
            Err(err) if is_hidden(&err) => {
                tracing::warn!(discovery = "oci", instance_id = %id, %err, "OCI SD failed to resolve VNIC IPs, skipping instance");
                Ok(None)
            }
            found => found,
        }
    }

    async fn try_vnic(
        &mut self,
        client: &RestClient,
        instance: &str,
        compartment: &str,
    ) -> Result<Option<Value>, AskError> {
        let call = Call::get(&self.compute, &format!("{VERSION}/vnicAttachments?limit=100"))
            .with_parameter("compartmentId", compartment)
            .with_parameter("instanceId", instance);
        let attached = |attachment: &Value| {
            let is_attached = text(attachment, "/lifecycleState") == "ATTACHED";
            is_attached.then(|| text(attachment, "/vnicId").into_owned())
        };
        self.pace.wait().await;
        let attached = client.collect(&call, &LIST, attached).await.map_err(|error| {
            error.during(format_args!("listing VNIC attachments for instance {instance}"))
        })?;
        for id in attached.into_iter().flatten().filter(|id| !id.is_empty()) {
            let call = Call::get(&self.compute, &format!("{VERSION}/vnics/{}", path_part(&id)));
            self.pace.wait().await;
            let vnic = client.value(&call, &REFUSAL).await;
            let vnic = vnic.map_err(|error| error.during(format_args!("fetching VNIC {id}")))?;
            if flag(&vnic, "/isPrimary") {
                return Ok(Some(vnic));
            }
        }
        Ok(None)
    }

    fn target(&self, instance: &Value, vnic: &Value) -> Option<Labels> {
        const PREFIX: &str = "__meta_oci_";
        let mut ipv6: Vec<_> = texts(vnic, "/ipv6Addresses").collect();
        ipv6.sort_unstable();
        let main = [text(vnic, "/privateIp"), text(vnic, "/publicIp")];
        let ip = main.iter().chain(ipv6.first()).find(|ip| !ip.is_empty())?;
        let mut labels = LabelsBuilder::default();
        Rule::apply(&INSTANCE_LABELS, PREFIX, instance, &mut labels);
        Rule::apply(&VNIC_LABELS, PREFIX, vnic, &mut labels);
        labels.set(ADDRESS, &host_port(ip, self.cfg.port));
        labels.set("__meta_oci_tenancy_id", &self.tenancy);
        labels.set("__meta_oci_ipv6_addresses", &joined(ipv6.iter(), ","));
        let spaces = instance.get("definedTags").and_then(Value::as_object);
        for (space, tags) in spaces.into_iter().flatten() {
            for (key, value) in tags.as_object().into_iter().flatten() {
                let name = format!("{PREFIX}defined_tag_{}_{}", sanitized(space), sanitized(key));
                labels.set(&name, &text(value, ""));
            }
        }
        Some(labels.build())
    }

    /// The key is looked at each time: somebody may have changed it. To open it takes a while, so that this happens
    /// once.
    async fn signing_client(&mut self) -> Result<RestClient, AskError> {
        let path = self.cfg.key_file.display();
        let failed =
            |reason: String| AskError::new(format!("reading OCI key file \"{path}\": {reason}"));
        let pem = self.files.read(&self.cfg.key_file, KEY_SIZE_BYTES_MAX).await;
        let pem = pem.map_err(|error| failed(error.to_string()))?;
        let passphrase = self.passphrase().await?;
        if let Some(signing) = self.signing.as_ref().filter(|it| it.is_from(&pem, &passphrase)) {
            return Ok(signing.client.clone());
        }
        let (bytes, phrase) = (Arc::clone(&pem), passphrase.clone());
        let opened = spawn_blocking(move || RsaKey::from_sealed_pem(&bytes, phrase.reveal()));
        let opened = opened.await.map_err(|error| failed(error.to_string()))?;
        let key = opened.map_err(failed)?;
        let key_id = format!("{}/{}/{}", self.cfg.tenancy, self.cfg.user, self.cfg.fingerprint);
        let client = signing(&self.plain, Arc::new(Signer { key, key_id }));
        self.signing = Some(Signing { from: (pem, passphrase), client: client.clone() });
        Ok(client)
    }

    /// Empty if there is none. Compat: only the ends of lines are cut off.
    async fn passphrase(&self) -> Result<Secret, AskError> {
        let file = &self.cfg.key_passphrase_file;
        if file.as_os_str().is_empty() {
            return Ok(self.cfg.key_passphrase.clone());
        }
        let text = self.files.read_text(file, KEY_SIZE_BYTES_MAX).await.map_err(|error| {
            let path = file.display();
            AskError::new(format!("reading OCI key passphrase file \"{path}\": {error}"))
        })?;
        Ok(Secret::new(text.trim_end_matches(['\r', '\n'])))
    }
}

impl Signing {
    /// Equal bytes of a file are the same object.
    fn is_from(&self, pem: &Arc<[u8]>, passphrase: &Secret) -> bool {
        Arc::ptr_eq(&self.from.0, pem) && self.from.1 == *passphrase
    }
}

impl std::fmt::Debug for Signing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signing")
    }
}

impl RestAsker for OciAsker {
    fn ask(&mut self) -> BoxFuture<'_, Result<Vec<TargetGroup>, AskError>> {
        Box::pin(async {
            let asked = self.targets().await;
            if let (Err(AskError { status_code: Some(401), .. }), Some(principal)) =
                (&asked, &mut self.principal)
            {
                principal.forget();
            }
            asked
        })
    }
}

fn signing(plain: &RestClient, signer: Arc<Signer>) -> RestClient {
    plain.clone().with_sign(Arc::new(move |call| sign(call, &signer)))
}

/// Whether the service says that we may not see a thing, or that it is not there.
fn is_hidden(error: &AskError) -> bool {
    matches!(error.status_code, Some(403 | 404))
}

#[cfg(test)]
mod tests;
