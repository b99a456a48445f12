//! `scaleway_sd_configs`: instances and bare metal servers of a zone.
//! Compat: Prometheus `discovery/scaleway`; <https://www.scaleway.com/en/developers/api>.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use futures_util::future::BoxFuture;
use prom_config::{HttpHeader, ScalewaySdConfig};
use prom_model::{Labels, LabelsBuilder};
use serde_json::Value;

use super::{
    AskError, Call, LabelRule, Listing, Paging, Refusal, RestAsker, RestClient,
    Rule::{self, Joined, Text},
    host_port, joined, path_part,
    rules::{flag, list, text},
};
use crate::{TargetGroup, group::ADDRESS, polled::Means};

/// Network cards that are asked for at once: more make no good address.
const NIC_COUNT_MAX: usize = 50;

const LISTING: Listing = Listing {
    at: "/servers",
    paging: Paging::ElementCount { at: "/total_count", header: "x-total-count", parameter: "page" },
    refusal: Refusal::plain("/message"),
};
const OFFERS: Listing = Listing { at: "/offers", ..LISTING };
const SYSTEMS: Listing = Listing { at: "/os", ..LISTING };
const IPS: Listing = Listing { at: "/ips", ..LISTING };

static INSTANCE: [LabelRule; 18] = [
    ("boot_type", Text("/boot_type")),
    ("hostname", Text("/hostname")),
    ("id", Text("/id")),
    ("name", Text("/name")),
    ("organization_id", Text("/organization")),
    ("project_id", Text("/project")),
    ("status", Text("/state")),
    ("type", Text("/commercial_type")),
    ("zone", Text("/zone")),
    ("image_arch", Text("/image/arch")),
    ("image_id", Text("/image/id")),
    ("image_name", Text("/image/name")),
    ("location_cluster_id", Text("/location/cluster_id")),
    ("location_hypervisor_id", Text("/location/hypervisor_id")),
    ("location_node_id", Text("/location/node_id")),
    ("security_group_id", Text("/security_group/id")),
    ("security_group_name", Text("/security_group/name")),
    ("tags", Joined("/tags", ",")),
];

static BAREMETAL: [LabelRule; 6] = [
    ("id", Text("/id")),
    ("name", Text("/name")),
    ("zone", Text("/zone")),
    ("status", Text("/status")),
    ("project_id", Text("/project_id")),
    ("tags", Joined("/tags", ",")),
];

#[derive(Debug)]
struct ScalewayAsker {
    client: RestClient,
    servers: Call,
    /// Offers and systems name what bare metal servers only refer to.
    names: Option<[Call; 2]>,
    endpoint: String,
    port: i64,
}

pub(super) fn asker(cfg: &ScalewaySdConfig, means: &Means) -> Box<dyn RestAsker> {
    let mut http = cfg.http_client.clone();
    let has_file = !cfg.secret_key_file.as_os_str().is_empty();
    http.http_headers.push(HttpHeader {
        name: "X-Auth-Token".to_owned(),
        values: Vec::new(),
        secrets: Vec::from_iter((!has_file).then(|| cfg.secret_key.clone())),
        files: Vec::from_iter(has_file.then(|| cfg.secret_key_file.clone())),
    });
    let zone = path_part(&cfg.zone);
    let call = |product: &str, what: &str| {
        let path = format!("/{product}/v1/zones/{zone}/{what}?page=1");
        Call::get(&cfg.api_url, &path)
    };
    let is_baremetal = cfg.role == "baremetal";
    let mut servers = call(if is_baremetal { "baremetal" } else { "instance" }, "servers");
    if !cfg.name_filter.is_empty() {
        servers = servers.with_parameter("name", &cfg.name_filter);
    }
    if is_baremetal {
        for tag in &cfg.tags_filter {
            servers = servers.with_parameter("tags", tag);
        }
    } else if !cfg.tags_filter.is_empty() {
        servers = servers.with_parameter("tags", &cfg.tags_filter.join(","));
    }
    let names = is_baremetal.then(|| [call("baremetal", "offers"), call("baremetal", "os")]);
    let client = RestClient::new(&http, cfg.refresh_interval, means);
    Box::new(ScalewayAsker {
        client,
        servers,
        names,
        endpoint: cfg.api_url.clone(),
        port: cfg.port,
    })
}

impl RestAsker for ScalewayAsker {
    fn ask(&mut self) -> BoxFuture<'_, Result<Vec<TargetGroup>, AskError>> {
        Box::pin(async {
            let targets = match &self.names {
                Some(names) => self.bare_metal(names).await?,
                None => self.instances().await?,
            };
            Ok(vec![TargetGroup { source: "scaleway".into(), targets, labels: Labels::empty() }])
        })
    }
}

impl ScalewayAsker {
    async fn instances(&self) -> Result<Vec<Labels>, AskError> {
        let mut found = Vec::new();
        let mut take = |server: Value| {
            found.push(instance(&server));
            Ok(())
        };
        self.client.list(&self.servers, &LISTING, &mut take).await?;
        let private = self.private_addresses(&found).await?;
        let target = |(mut labels, host, nics): Instance| {
            let host = host.or_else(|| {
                let address = nics.iter().find_map(|nic| private.get(nic))?;
                labels.set("__meta_scaleway_instance_private_ipv4", address);
                Some(address.clone())
            })?;
            labels.set(ADDRESS, &host_port(&host, self.port));
            Some(labels.build())
        };
        Ok(found.into_iter().filter_map(target).collect())
    }

    /// The addresses of network cards, for instances that have no other one.
    async fn private_addresses(
        &self,
        found: &[Instance],
    ) -> Result<HashMap<String, String>, AskError> {
        let mut by_region = BTreeMap::<String, Vec<&str>>::new();
        for (labels, _, nics) in
            found.iter().filter(|(_, host, nics)| host.is_none() && !nics.is_empty())
        {
            let zone = labels.get("__meta_scaleway_instance_zone");
            let region = region(zone).ok_or_else(|| format!("bad zone format {zone:?}"))?;
            by_region.entry(region.to_owned()).or_default().extend(nics.iter().map(String::as_str));
        }
        let mut addresses = HashMap::new();
        for (region, nics) in by_region {
            for nics in nics.chunks(NIC_COUNT_MAX) {
                let path = format!("/ipam/v1/regions/{}/ips?page=1", path_part(&region));
                let mut call = Call::get(&self.endpoint, &path)
                    .with_parameter("resource_types", "instance_private_nic");
                for nic in nics {
                    call = call.with_parameter("resource_ids", nic);
                }
                let read = |ip: &Value| {
                    let address = text(ip, "/address");
                    let address = address.split('/').next().unwrap_or_default().to_owned();
                    let is_usable = !flag(ip, "/is_ipv6") && !address.is_empty();
                    is_usable.then(|| (text(ip, "/resource/id").into_owned(), address))
                };
                addresses
                    .extend(self.client.collect(&call, &IPS, read).await?.into_iter().flatten());
            }
        }
        Ok(addresses)
    }

    async fn bare_metal(&self, [offers, systems]: &[Call; 2]) -> Result<Vec<Labels>, AskError> {
        let owned = |thing: &Value, at: &str| text(thing, at).into_owned();
        let read = |it: &Value| (owned(it, "/id"), owned(it, "/name"));
        let offers = self.client.collect(offers, &OFFERS, read).await?;
        let read = |it: &Value| (owned(it, "/id"), (owned(it, "/name"), owned(it, "/version")));
        let systems = self.client.collect(systems, &SYSTEMS, read).await?;
        let (offers, systems): (HashMap<_, _>, HashMap<_, _>) =
            (offers.into_iter().collect(), systems.into_iter().collect());
        let mut targets = Vec::new();
        let mut take = |server: Value| {
            let mut labels = LabelsBuilder::default();
            Rule::apply(&BAREMETAL, "__meta_scaleway_baremetal_", &server, &mut labels);
            if let Some(name) = offers.get(&*text(&server, "/offer_id")) {
                labels.set("__meta_scaleway_baremetal_type", name);
            }
            if let Some((name, version)) = systems.get(&*text(&server, "/install/os_id")) {
                labels.set("__meta_scaleway_baremetal_os_name", name);
                labels.set("__meta_scaleway_baremetal_os_version", version);
            }
            self.set_addresses(&server, &mut labels)?;
            targets.push(labels.build());
            Ok(())
        };
        self.client.list(&self.servers, &LISTING, &mut take).await?;
        Ok(targets)
    }

    /// The first address of each family; one of IPv4 is preferred.
    fn set_addresses(&self, server: &Value, labels: &mut LabelsBuilder) -> Result<(), String> {
        for ip in list(server, "/ips") {
            let (version, address) = (text(ip, "/version"), text(ip, "/address"));
            let (name, is_better) = match &*version {
                "IPv4" => ("__meta_scaleway_baremetal_public_ipv4", true),
                "IPv6" => ("__meta_scaleway_baremetal_public_ipv6", labels.get(ADDRESS).is_empty()),
                other => return Err(format!("unknown IP version: {other}")),
            };
            if labels.get(name).is_empty() {
                labels.set(name, &address);
                if is_better {
                    labels.set(ADDRESS, &host_port(&address, self.port));
                }
            }
        }
        Ok(())
    }
}

/// Labels, the address if there is one, and otherwise the network cards.
type Instance = (LabelsBuilder, Option<String>, Vec<String>);

fn instance(server: &Value) -> Instance {
    let mut labels = LabelsBuilder::default();
    Rule::apply(&INSTANCE, "__meta_scaleway_instance_", server, &mut labels);
    let mut set = |name: &str, value: &str| {
        labels.set(&format!("__meta_scaleway_instance_{name}"), value);
    };
    set("region", region(&text(server, "/zone")).unwrap_or_default());
    for (family, name) in [("inet", "public_ipv4_addresses"), ("inet6", "public_ipv6_addresses")] {
        let ips = list(server, "/public_ips").iter().filter(|ip| text(ip, "/family") == family);
        set(name, &joined(ips.map(|ip| text(ip, "/address")), ","));
    }
    let present = |at: &str| Some(text(server, at)).filter(|address| !address.is_empty());
    let public_ipv6 = present("/ipv6/address");
    set("public_ipv6", public_ipv6.as_deref().unwrap_or_default());
    let public = present("/public_ip/address");
    if text(server, "/public_ip/family") != "inet6" {
        set("public_ipv4", public.as_deref().unwrap_or_default());
    }
    let private = present("/private_ip");
    set("private_ipv4", private.as_deref().unwrap_or_default());
    let host = private.or(public).or(public_ipv6).map(Cow::into_owned);
    let nics = list(server, "/private_nics").iter().map(|nic| text(nic, "/id").into_owned());
    (labels, host, nics.filter(|id| !id.is_empty()).collect())
}

/// `fr-par-1` is in `fr-par`.
fn region(zone: &str) -> Option<&str> {
    let (region, number) = zone.rsplit_once('-')?;
    let is_zone = region.contains('-') && number.bytes().all(|it| it.is_ascii_digit());
    is_zone.then_some(region)
}

#[cfg(test)]
mod tests {
    use prom_testkit::FakeTarget;

    use crate::rest::tests::{asker_of, ends_a_hang, json, lines, survives};

    const KEYS: &str = "project_id: 8feda53f-15f0-447f-badf-ccb2dad2e1c1, api_url: 'URL', access_key: SCW0123456789ABCDEFG, \
                        secret_key: 6d6579e5-a5b9-49fc-a35f-b4feb9b87301, refresh_interval: 50ms";

    #[tokio::test]
    async fn instances_are_targets() {
        let service = FakeTarget::start().await;
        let sd = format!(
            "scaleway_sd_configs: [{{role: instance, {KEYS}, name_filter: scw, tags_filter: [a, b]}}]"
        );
        let mut asker = asker_of(&service, &sd);
        service.answer_in_turn("/instance/v1/zones/fr-par-1/servers", &[json(r#"{"total_count": 3, "servers": [
            {"id": "93c18a61", "name": "scw-nervous-shirley", "arch": "x86_64", "boot_type": "local", "commercial_type": "DEV1-S",
             "hostname": "scw-nervous-shirley", "organization": "cb334986", "project": "cb334987", "state": "running", "zone": "fr-par-1",
             "image": {"id": "90d4ef20", "arch": "x86_64", "name": "Debian Buster"},
             "location": {"cluster_id": "40", "hypervisor_id": "1601", "node_id": "29", "platform_id": "14", "zone_id": "fr-par-1"},
             "security_group": {"id": "a6a794b7", "name": "Default security group"}, "tags": ["web", "x"],
             "private_ip": "10.70.60.57",
             "public_ip": {"id": "d", "address": "51.158.183.115", "family": "inet"},
             "public_ips": [{"address": "51.158.183.115", "family": "inet"}, {"address": "2001:bc8::1", "family": "inet6"}],
             "ipv6": {"address": "2001:bc8:1824:61b::1", "gateway": "x", "netmask": "64"}},
            {"id": "2", "zone": "fr-par-1", "private_ip": null, "public_ip": null, "private_nics": [{"id": "nic-2"}]}
        ]}"#), json(r#"{"total_count": 3, "servers": [{"id": "3", "zone": "fr-par-1", "private_nics": []}]}"#)]);
        service.answer(
            "/ipam/v1/regions/fr-par/ips",
            json(
                r#"{"total_count": 2, "ips": [
            {"address": "fd00::2/64", "is_ipv6": true, "resource": {"id": "nic-2"}},
            {"address": "172.16.0.2/22", "is_ipv6": false, "resource": {"id": "nic-2"}}
        ]}"#,
            ),
        );
        let found = asker.ask().await.unwrap();
        assert_eq!(
            lines(&found, "__meta_scaleway_instance_"),
            [
                "__address__=10.70.60.57:80 boot_type=local hostname=scw-nervous-shirley id=93c18a61 image_arch=x86_64 image_id=90d4ef20 \
                 image_name=Debian Buster location_cluster_id=40 location_hypervisor_id=1601 location_node_id=29 \
                 name=scw-nervous-shirley organization_id=cb334986 private_ipv4=10.70.60.57 project_id=cb334987 \
                 public_ipv4=51.158.183.115 public_ipv4_addresses=,51.158.183.115, public_ipv6=2001:bc8:1824:61b::1 \
                 public_ipv6_addresses=,2001:bc8::1, region=fr-par security_group_id=a6a794b7 \
                 security_group_name=Default security group status=running tags=,web,x, type=DEV1-S zone=fr-par-1",
                "__address__=172.16.0.2:80 id=2 private_ipv4=172.16.0.2 region=fr-par zone=fr-par-1",
            ]
        );
        let requests = service.requests();
        assert!(requests[0].starts_with(
            "GET /instance/v1/zones/fr-par-1/servers?page=1&name=scw&tags=a%2Cb HTTP"
        ));
        assert!(
            requests[0]
                .to_lowercase()
                .contains("x-auth-token: 6d6579e5-a5b9-49fc-a35f-b4feb9b87301")
        );
        assert!(requests[1].contains("page=2"), "{}", requests[1]);
    }

    #[tokio::test]
    async fn bare_metal_servers_are_targets() {
        let service = FakeTarget::start().await;
        let sd = format!("scaleway_sd_configs: [{{role: baremetal, {KEYS}, zone: fr-par-2}}]");
        let mut asker = asker_of(&service, &sd);
        let at = |what: &str| format!("/baremetal/v1/zones/fr-par-2/{what}");
        service.answer(
            &at("offers"),
            json(r#"{"total_count": 1, "offers": [{"id": "o1", "name": "EM-A115X-SSD"}]}"#),
        );
        service.answer(&at("os"), json(r#"{"total_count": 1, "os": [{"id": "s1", "name": "Ubuntu", "version": "22.04 LTS"}]}"#));
        service
            .answer(&at("servers"), json(include_str!("../../fixtures/scaleway_baremetal.json")));
        assert_eq!(
            lines(&asker.ask().await.unwrap(), "__meta_scaleway_baremetal_"),
            [
                "__address__=51.1.1.1:80 id=b1 name=bm os_name=Ubuntu os_version=22.04 LTS project_id=p public_ipv4=51.1.1.1 \
                 public_ipv6=2001:bc8::5 status=ready tags=,t, type=EM-A115X-SSD zone=fr-par-2",
                "__address__=[2001:bc8::6]:80 id=b2 public_ipv6=2001:bc8::6 zone=fr-par-2",
            ]
        );
        service.answer(
            &at("servers"),
            json(r#"{"total_count": 1, "servers": [{"id": "b1", "ips": [{"version": "IPv9"}]}]}"#),
        );
        let error = asker.ask().await.unwrap_err().message;
        assert!(error.starts_with("unknown IP version: IPv9"), "{error}");
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error() {
        let service = FakeTarget::start().await;
        let sd = format!("scaleway_sd_configs: [{{role: instance, {KEYS}}}]");
        let mut asker = asker_of(&service, &sd);
        let path = "/instance/v1/zones/fr-par-1/servers";
        survives(&service, &mut *asker, path).await;
        ends_a_hang(&service, &mut *asker.hasty, path).await;
    }
}
