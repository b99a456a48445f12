//! `ionos_sd_configs`: servers of a data center.
//! Compat: Prometheus `discovery/ionos/server.go`; <https://api.ionos.com/docs/cloud/v6/#tag/Servers>.

use std::borrow::Cow;

use futures_util::future::BoxFuture;
use prom_config::IonosSdConfig;
use prom_model::{Labels, LabelsBuilder};
use serde_json::Value;

use super::{
    Address, AskError, Call, Found, Listing, Paging, Refusal, RestAsker, RestClient,
    Rule::{Code, Text},
    Table, joined, path_part,
    rules::{list, text, texts},
    sanitized,
};
use crate::{TargetGroup, polled::Means};

const ENDPOINT: &str = "https://api.ionos.com";
/// Of network cards without one.
const NIC_NAME: &str = "unnamed";

static SERVERS: Table = Table {
    source: "ionos",
    listing: Listing {
        at: "/items",
        paging: Paging::Single,
        refusal: Refusal::plain("/messages/0/message"),
    },
    prefix: "__meta_ionos_server_",
    labels: &[
        ("id", Text("/id")),
        ("name", Text("/properties/name")),
        ("type", Text("/properties/type")),
        ("state", Text("/properties/vmState")),
        ("lifecycle", Text("/metadata/state")),
        ("availability_zone", Text("/properties/availabilityZone")),
        ("cpu_family", Text("/properties/cpuFamily")),
        ("boot_cdrom_id", Text("/properties/bootCdrom/id")),
        ("boot_volume_id", Text("/properties/bootVolume/id")),
        ("boot_image_id", Text("/entities/volumes/items/0/properties/image")),
        ("ip", Code(|server| joined(ips(server, |_| true).into_iter(), ","))),
    ],
    address: Address::Code(|server| {
        ips(server, |_| true).into_iter().next().map_or(Found::NoTarget, Found::Host)
    }),
};

#[derive(Debug)]
struct IonosAsker {
    client: RestClient,
    call: Call,
    port: i64,
}

pub(super) fn asker(cfg: &IonosSdConfig, means: &Means) -> Box<dyn RestAsker> {
    let path =
        format!("/cloudapi/v6/datacenters/{}/servers?depth=3", path_part(&cfg.datacenter_id));
    Box::new(IonosAsker {
        client: RestClient::new(&cfg.http_client, cfg.refresh_interval, means),
        call: Call::get(means.endpoint(ENDPOINT), &path),
        port: cfg.port,
    })
}

impl RestAsker for IonosAsker {
    fn ask(&mut self) -> BoxFuture<'_, Result<Vec<TargetGroup>, AskError>> {
        Box::pin(async {
            let mut targets = Vec::new();
            let mut take = |server: Value| {
                let by_nic = |labels: &mut LabelsBuilder| {
                    for nic in nics(&server) {
                        let name = nic_name(nic);
                        let ips = ips(&server, |other| nic_name(other) == name);
                        let name = format!("__meta_ionos_server_nic_ip_{}", sanitized(&name));
                        labels.set(&name, &joined(ips.into_iter(), ","));
                    }
                };
                targets.extend(SERVERS.target(&server, self.port, by_nic));
                Ok(())
            };
            let around = self.client.list(&self.call, &SERVERS.listing, &mut take).await?;
            let id = Labels::from_pairs([("__meta_ionos_server_servers_id", text(&around, "/id"))]);
            let mut groups = SERVERS.group(targets);
            groups.iter_mut().for_each(|group| group.labels = id.clone());
            Ok(groups)
        })
    }
}

fn nics(server: &Value) -> impl DoubleEndedIterator<Item = &Value> {
    let nics = list(server, "/entities/nics/items").iter();
    nics.filter(|nic| nic.get("properties").is_some_and(Value::is_object))
}

fn nic_name(nic: &Value) -> Cow<'_, str> {
    match nic.pointer("/properties/name") {
        None | Some(Value::Null) => NIC_NAME.into(),
        Some(_) => text(nic, "/properties/name"),
    }
}

/// The addresses of some network cards, those of the last one first.
fn ips(server: &Value, is_wanted: impl Fn(&Value) -> bool) -> Vec<Cow<'_, str>> {
    let nics = nics(server).rev().filter(|nic| is_wanted(nic));
    nics.flat_map(|nic| texts(nic, "/properties/ips")).collect()
}

#[cfg(test)]
mod tests {
    use prom_testkit::FakeTarget;

    use crate::rest::tests::{asker_of, ends_a_hang, json, lines, survives};

    const PATH: &str = "/cloudapi/v6/datacenters/8feda53f/servers";
    const SD: &str = "ionos_sd_configs: [{datacenter_id: 8feda53f, basic_auth: {username: u, password: p}, refresh_interval: 50ms}]";

    #[tokio::test]
    async fn servers_with_addresses_are_targets() {
        let service = FakeTarget::start().await;
        service.answer(PATH, json(r#"{"id": "8feda53f/servers", "type": "collection", "items": [
            {"id": "523415e6", "type": "server", "metadata": {"state": "AVAILABLE"},
             "properties": {"name": "prometheus-2", "cores": 1, "ram": 4096, "availabilityZone": "ZONE_1", "vmState": "RUNNING",
                "bootCdrom": {"id": "0e4d57f9"}, "bootVolume": {"id": "3d5a9a6a"}, "cpuFamily": "INTEL_SKYLAKE", "type": "ENTERPRISE"},
             "entities": {
                "volumes": {"items": [{"id": "3d5a9a6a", "properties": {"image": "4f2e0ab3"}}]},
                "nics": {"items": [
                    {"properties": {"name": "metrics", "ips": ["85.215.243.177", "85.215.243.178"]}},
                    {"properties": {"name": null, "ips": ["10.7.222.244"]}},
                    {"id": "no properties"}
                ]}}},
            {"id": "no address", "entities": {"nics": {"items": []}}},
            {"id": "no entities"}
        ]}"#));
        let found = asker_of(&service, SD).ask().await.unwrap();
        assert_eq!(&*found[0].source, "ionos");
        assert_eq!(
            lines(&found, "__meta_ionos_server_"),
            [
                "__address__=10.7.222.244:80 availability_zone=ZONE_1 boot_cdrom_id=0e4d57f9 boot_image_id=4f2e0ab3 \
              boot_volume_id=3d5a9a6a cpu_family=INTEL_SKYLAKE id=523415e6 ip=,10.7.222.244,85.215.243.177,85.215.243.178, \
              lifecycle=AVAILABLE name=prometheus-2 nic_ip_metrics=,85.215.243.177,85.215.243.178, nic_ip_unnamed=,10.7.222.244, \
              servers_id=8feda53f/servers state=RUNNING type=ENTERPRISE"
            ]
        );
        assert!(service.requests()[0].starts_with(&format!("GET {PATH}?depth=3 HTTP")));
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error() {
        let service = FakeTarget::start().await;
        let mut asker = asker_of(&service, SD);
        survives(&service, &mut *asker, PATH).await;
        ends_a_hang(&service, &mut *asker.hasty, PATH).await;
    }
}
