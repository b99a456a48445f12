//! `hetzner_sd_configs`: servers of the cloud and dedicated ones.
//! Compat: Prometheus `discovery/hetzner`; <https://docs.hetzner.cloud>, <https://robot.hetzner.com/doc>.

use std::{borrow::Cow, collections::HashMap, net::Ipv4Addr};

use futures_util::future::BoxFuture;
use prom_config::HetznerSdConfig;
use prom_model::LabelsBuilder;
use serde_json::Value;

use super::{
    Address, AskError, Call, Found, Listing, Paging, Refusal, RestAsker, RestClient,
    Rule::{Always, Bool, Code, Int, Lower, Map, Present, Text},
    Table, TableAsker,
    rules::{int, list, text},
    sanitized,
};
use crate::{TargetGroup, polled::Means};

const HCLOUD_ENDPOINT: &str = "https://api.hetzner.cloud/v1";
const ROBOT_ENDPOINT: &str = "https://robot-ws.your-server.de";
/// What Go prints for an address that is not there.
const NO_IP: &str = "<nil>";

const HCLOUD_PAGING: Paging =
    Paging::Cursor { at: "/meta/pagination/next_page", parameter: "page" };

static HCLOUD: Table = Table {
    source: "hetzner",
    listing: Listing {
        at: "/servers",
        paging: HCLOUD_PAGING,
        refusal: Refusal::plain("/error/message"),
    },
    prefix: "__meta_hetzner_",
    labels: &[
        ("role", Always("hcloud")),
        ("server_id", Int("/id")),
        ("server_name", Text("/name")),
        ("server_status", Text("/status")),
        ("public_ipv4", Code(|server| public_ipv4(server).into())),
        ("public_ipv6_network", Code(|server| or_nil(server, "/public_net/ipv6/ip").into())),
        ("hcloud_location", Code(|server| location(server, "/name"))),
        ("hcloud_location_network_zone", Code(|server| location(server, "/network_zone"))),
        // The names of before, which rules in use may know.
        ("hcloud_datacenter_location", Code(|server| location(server, "/name"))),
        (
            "hcloud_datacenter_location_network_zone",
            Code(|server| location(server, "/network_zone")),
        ),
        ("hcloud_server_type", Text("/server_type/name")),
        ("hcloud_cpu_cores", Int("/server_type/cores")),
        ("hcloud_cpu_type", Text("/server_type/cpu_type")),
        ("hcloud_memory_size_gb", Int("/server_type/memory")),
        ("hcloud_disk_size_gb", Int("/server_type/disk")),
        ("hcloud_image_name", Text("/image/name")),
        ("hcloud_image_description", Text("/image/description")),
        ("hcloud_image_os_version", Text("/image/os_version")),
        ("hcloud_image_os_flavor", Text("/image/os_flavor")),
        ("hcloud_labelpresent_", Present("/labels")),
        ("hcloud_label_", Map("/labels")),
    ],
    address: Address::Code(|server| Found::Host(public_ipv4(server))),
};

const NETWORKS: Listing = Listing { at: "/networks", ..HCLOUD.listing };

static ROBOT: Table = Table {
    source: "hetzner",
    listing: Listing {
        at: "",
        paging: Paging::Single,
        refusal: Refusal {
            text: "non 2xx status '{code}' response during hetzner service discovery with role robot",
            reason_at: "/error/message",
            is_strict: false,
        },
    },
    prefix: "__meta_hetzner_",
    labels: &[
        ("role", Always("robot")),
        ("server_id", Int("/server/server_number")),
        ("server_name", Text("/server/server_name")),
        ("server_status", Text("/server/status")),
        ("public_ipv4", Text("/server/server_ip")),
        ("public_ipv6_network", Code(robot_ipv6_network)),
        ("datacenter", Lower("/server/dc")),
        ("robot_datacenter", Lower("/server/dc")),
        ("robot_product", Text("/server/product")),
        ("robot_cancelled", Bool("/server/cancelled")),
    ],
    address: Address::Host("/server/server_ip"),
};

/// Asks for cloud servers, and for the networks that name their private addresses.
#[derive(Debug)]
struct HcloudAsker {
    client: RestClient,
    servers: Call,
    networks: Call,
    port: i64,
}

pub(super) fn asker(cfg: &HetznerSdConfig, means: &Means) -> Box<dyn RestAsker> {
    let client = RestClient::new(&cfg.http_client, cfg.refresh_interval, means);
    if cfg.role == "robot" {
        let call = Call::get(means.endpoint(ROBOT_ENDPOINT), "/server");
        return Box::new(TableAsker { table: &ROBOT, client, call, port: cfg.port });
    }
    let endpoint = means.endpoint(HCLOUD_ENDPOINT);
    let mut servers = Call::get(endpoint, "/servers?per_page=50");
    if !cfg.label_selector.is_empty() {
        servers = servers.with_parameter("label_selector", &cfg.label_selector);
    }
    let networks = Call::get(endpoint, "/networks?per_page=50");
    Box::new(HcloudAsker { client, servers, networks, port: cfg.port })
}

impl RestAsker for HcloudAsker {
    fn ask(&mut self) -> BoxFuture<'_, Result<Vec<TargetGroup>, AskError>> {
        Box::pin(async {
            let networks = self.client.collect(&self.networks, &NETWORKS, |network| {
                (int(network, "/id"), sanitized(&text(network, "/name")))
            });
            let networks: HashMap<i64, String> = networks.await?.into_iter().collect();
            let mut targets = Vec::new();
            let mut take = |server: Value| {
                let private = |labels: &mut LabelsBuilder| {
                    for net in list(&server, "/private_net") {
                        if let Some(name) = networks.get(&int(net, "/network")) {
                            let name = format!("__meta_hetzner_hcloud_private_ipv4_{name}");
                            labels.set(&name, &text(net, "/ip"));
                        }
                    }
                };
                targets.extend(HCLOUD.target(&server, self.port, private));
                Ok(())
            };
            self.client.list(&self.servers, &HCLOUD.listing, &mut take).await?;
            Ok(HCLOUD.group(targets))
        })
    }
}

fn public_ipv4(server: &Value) -> Cow<'_, str> {
    or_nil(server, "/public_net/ipv4/ip")
}

fn or_nil<'v>(server: &'v Value, at: &str) -> Cow<'v, str> {
    let text = text(server, at);
    if text.is_empty() { NO_IP.into() } else { text }
}

/// The API has moved it out of the datacenter.
fn location(server: &Value, at: &str) -> String {
    let location = server.get("location").or_else(|| server.pointer("/datacenter/location"));
    location.map(|location| text(location, at).into_owned()).unwrap_or_default()
}

/// The first subnet that is not one of IPv4.
fn robot_ipv6_network(server: &Value) -> String {
    let is_ipv6 = |subnet: &&Value| text(subnet, "/ip").parse::<Ipv4Addr>().is_err();
    let subnet = list(server, "/server/subnet").iter().find(is_ipv6);
    subnet.map(|it| format!("{}/{}", text(it, "/ip"), text(it, "/mask"))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use prom_testkit::{Answer, FakeTarget};

    use crate::rest::tests::{asker_of, ends_a_hang, json, lines, survives};

    const SERVERS: &str = r#"{"servers": [{
        "id": 42, "name": "my-resource", "status": "running", "created": "2016-01-30T23:55:00+00:00",
        "public_net": {
            "ipv4": {"id": 1, "ip": "1.2.3.4", "blocked": false, "dns_ptr": "server01.example.com"},
            "ipv6": {"id": 2, "ip": "2001:db8::/64", "blocked": false, "dns_ptr": []},
            "floating_ips": [478], "firewalls": []
        },
        "private_net": [
            {"network": 4711, "ip": "10.0.0.2", "alias_ips": [], "mac_address": "86:00:ff:2a:7d:e1"},
            {"network": 4, "ip": "10.9.0.2"}
        ],
        "server_type": {"id": 1, "name": "cx22", "description": "CX22", "cores": 2, "memory": 4.5, "disk": 40, "cpu_type": "shared"},
        "datacenter": {"id": 1, "name": "fsn1-dc8", "location": {"id": 1, "name": "fsn1", "network_zone": "eu-central"}},
        "image": {"id": 4711, "type": "system", "name": "ubuntu-20.04", "description": "Ubuntu 20.04 64 bit", "os_flavor": "ubuntu", "os_version": "20.04"},
        "labels": {"environment": "prod", "example.com/my": "label", "just-a-key": ""}
    }], "meta": {"pagination": {"page": 1, "per_page": 50, "previous_page": null, "next_page": 2, "last_page": 2, "total_entries": 2}}}"#;
    const MORE_SERVERS: &str = r#"{"servers": [{
        "id": 43, "name": "v6", "status": "off", "public_net": {"ipv4": null, "ipv6": null},
        "server_type": {"name": "cax11"}, "image": null, "labels": {},
        "location": {"name": "nbg1", "network_zone": "eu"}
    }], "meta": {"pagination": {"page": 2, "next_page": null}}}"#;
    const NETWORKS: &str = r#"{"networks": [{"id": 4711, "name": "my.net"}], "meta": {"pagination": {"next_page": null}}}"#;

    #[tokio::test]
    async fn cloud_servers_are_targets() {
        let service = FakeTarget::start().await;
        let mut asker = asker_of(
            &service,
            "hetzner_sd_configs: [{role: hcloud, label_selector: 'a=b,c', port: 9100, authorization: {credentials: t}}]",
        );
        service.answer_in_turn("/servers", &[json(SERVERS), json(MORE_SERVERS)]);
        service.answer("/networks", json(NETWORKS));
        let found = asker.ask().await.unwrap();
        assert_eq!(&*found[0].source, "hetzner");
        assert_eq!(
            lines(&found, "__meta_hetzner_"),
            [
                "__address__=1.2.3.4:9100 hcloud_cpu_cores=2 hcloud_cpu_type=shared \
                 hcloud_datacenter_location=fsn1 hcloud_datacenter_location_network_zone=eu-central \
                 hcloud_disk_size_gb=40 hcloud_image_description=Ubuntu 20.04 64 bit hcloud_image_name=ubuntu-20.04 \
                 hcloud_image_os_flavor=ubuntu hcloud_image_os_version=20.04 hcloud_label_environment=prod \
                 hcloud_label_example_com_my=label hcloud_labelpresent_environment=true \
                 hcloud_labelpresent_example_com_my=true hcloud_labelpresent_just_a_key=true \
                 hcloud_location=fsn1 hcloud_location_network_zone=eu-central hcloud_memory_size_gb=4 \
                 hcloud_private_ipv4_my_net=10.0.0.2 hcloud_server_type=cx22 public_ipv4=1.2.3.4 \
                 public_ipv6_network=2001:db8::/64 role=hcloud server_id=42 server_name=my-resource server_status=running",
                "__address__=<nil>:9100 hcloud_cpu_cores=0 hcloud_datacenter_location=nbg1 \
                 hcloud_datacenter_location_network_zone=eu hcloud_disk_size_gb=0 hcloud_location=nbg1 \
                 hcloud_location_network_zone=eu hcloud_memory_size_gb=0 hcloud_server_type=cax11 public_ipv4=<nil> \
                 public_ipv6_network=<nil> role=hcloud server_id=43 server_name=v6 server_status=off",
            ]
        );
        let requests = service.requests();
        assert!(
            requests[1].starts_with("GET /servers?per_page=50&label_selector=a%3Db%2Cc HTTP/1.1")
        );
        assert!(
            requests[2]
                .starts_with("GET /servers?per_page=50&label_selector=a%3Db%2Cc&page=2 HTTP")
        );
    }

    #[tokio::test]
    async fn dedicated_servers_are_targets() {
        let service = FakeTarget::start().await;
        let mut asker = asker_of(
            &service,
            "hetzner_sd_configs: [{role: robot, basic_auth: {username: u, password: p}}]",
        );
        service.answer("/server", json(r#"[
            {"server": {"server_ip": "123.123.123.123", "server_number": 321, "server_name": "server1", "product": "DS 3000",
                "dc": "NBG1-DC1", "traffic": "5 TB", "status": "ready", "cancelled": false, "paid_until": "2010-09-02",
                "subnet": [{"ip": "123.123.123.0", "mask": "29"}, {"ip": "2a01:4f8:111:4221::", "mask": "64"}]}},
            {"server": {"server_ip": null, "server_number": 421, "server_name": "server2", "product": "X5",
                "dc": "FSN1-DC10", "status": "in process", "cancelled": true, "subnet": null}}
        ]"#));
        assert_eq!(
            lines(&asker.ask().await.unwrap(), "__meta_hetzner_"),
            [
                "__address__=123.123.123.123:80 datacenter=nbg1-dc1 public_ipv4=123.123.123.123 \
                 public_ipv6_network=2a01:4f8:111:4221::/64 robot_cancelled=false robot_datacenter=nbg1-dc1 \
                 robot_product=DS 3000 role=robot server_id=321 server_name=server1 server_status=ready",
                "__address__=:80 datacenter=fsn1-dc10 robot_cancelled=true robot_datacenter=fsn1-dc10 \
                 robot_product=X5 role=robot server_id=421 server_name=server2 server_status=in process",
            ]
        );
        let status = Answer::status("401 Unauthorized");
        service.answer("/server", status);
        let text = "non 2xx status '401' response during hetzner service discovery with role robot";
        assert_eq!(asker.ask().await.unwrap_err().message, text);
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error() {
        for (role, path) in [("hcloud", "/servers"), ("hcloud", "/networks"), ("robot", "/server")]
        {
            let service = FakeTarget::start().await;
            service.answer("/servers", json(MORE_SERVERS));
            service.answer("/networks", json(NETWORKS));
            let sd = format!("hetzner_sd_configs: [{{role: {role}, refresh_interval: 50ms}}]");
            let mut asker = asker_of(&service, &sd);
            survives(&service, &mut *asker, path).await;
            ends_a_hang(&service, &mut *asker.hasty, path).await;
        }
    }
}
