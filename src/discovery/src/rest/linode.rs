//! `linode_sd_configs`: instances with their addresses.
//! Compat: Prometheus `discovery/linode/linode.go`; <https://techdocs.akamai.com/linode-api/reference/api>.

use std::{borrow::Cow, collections::HashMap};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use prom_config::LinodeSdConfig;
use prom_model::{Labels, LabelsBuilder};
use prom_telemetry::{Counter, clock};
use serde_json::Value;

use super::{
    AskError, Call, LabelRule, Listing, Paging, Refusal, RestAsker, RestClient,
    Rule::{self, Code, Int, Mebi, Text},
    host_port, joined,
    rules::{flag, int, list, text, texts},
};
use crate::{TargetGroup, group::ADDRESS, polled::Means};

const ENDPOINT: &str = "https://api.linode.com";
/// Without events the lists are still read anew at every such attempt.
const EVENT_POLL_COUNT_MAX: u32 = 10;
const UNAUTHORIZED: u16 = 401;

const LISTING: Listing = Listing {
    at: "/data",
    paging: Paging::PageCount { at: "/pages", parameter: "page" },
    refusal: Refusal::plain("/errors/0/reason"),
};

/// Only the first page: whether there is any event at all is what matters.
const EVENTS: Listing = Listing { paging: Paging::Single, ..LISTING };

static LABELS: [LabelRule; 14] = [
    ("instance_id", Int("/id")),
    ("instance_label", Text("/label")),
    ("image", Text("/image")),
    ("region", Text("/region")),
    ("type", Text("/type")),
    ("status", Text("/status")),
    ("group", Text("/group")),
    ("gpus", Int("/specs/gpus")),
    ("hypervisor", Text("/hypervisor")),
    (
        "backups",
        Code(|it| if flag(it, "/backups/enabled") { "enabled" } else { "disabled" }.to_owned()),
    ),
    ("specs_disk_bytes", Mebi("/specs/disk")),
    ("specs_memory_bytes", Mebi("/specs/memory")),
    ("specs_vcpus", Int("/specs/vcpus")),
    ("specs_transfer_bytes", Mebi("/specs/transfer")),
];

#[derive(Debug)]
struct LinodeAsker {
    client: RestClient,
    /// Instances, addresses, ranges.
    calls: [Call; 3],
    events: Call,
    port: i64,
    tag_separator: String,
    failures: Counter,
    /// What was found when the lists were read last.
    found: Option<Vec<TargetGroup>>,
    /// When the last attempt that succeeded began.
    asked_at: Timestamp,
    /// The account may be asked for its events.
    has_events: bool,
    event_poll_count: u32,
}

/// What the account says about an address.
#[derive(Debug)]
struct Ip {
    is_public: bool,
    rdns: String,
}

/// Addresses, and IPv6 ranges by the address that they are routed to.
struct Network {
    ips: HashMap<String, Ip>,
    ranges: HashMap<String, Vec<String>>,
}

pub(super) fn asker(cfg: &LinodeSdConfig, means: &Means) -> Box<dyn RestAsker> {
    let call = |path: &str| {
        let call = Call::get(means.endpoint(ENDPOINT), path);
        match cfg.region.as_str() {
            "" => call,
            region => {
                call.with_header("x-filter", serde_json::json!({"region": region}).to_string())
            }
        }
    };
    let client = RestClient::new(&cfg.http_client, cfg.refresh_interval, means);
    Box::new(LinodeAsker {
        client,
        calls: [
            call("/v4/linode/instances?page_size=500"),
            call("/v4/networking/ips?page_size=500"),
            call("/v4/networking/ipv6/ranges?page_size=500"),
        ],
        events: Call::get(means.endpoint(ENDPOINT), "/v4/account/events?page=1&page_size=25"),
        port: cfg.port,
        tag_separator: cfg.tag_separator.clone(),
        failures: means.linode_failures.clone(),
        found: None,
        asked_at: now(),
        has_events: true,
        event_poll_count: 0,
    })
}

impl RestAsker for LinodeAsker {
    fn ask(&mut self) -> BoxFuture<'_, Result<Vec<TargetGroup>, AskError>> {
        Box::pin(async {
            let begun_at = now();
            let is_known = self.found.is_some() && self.has_events && self.is_quiet().await?;
            if !is_known {
                let asked = self.read_lists().await;
                self.found = Some(asked.inspect_err(|_| self.failures.inc())?);
                self.event_poll_count = 0;
            }
            self.asked_at = begun_at;
            Ok(self.found.clone().unwrap_or_default())
        })
    }
}

impl LinodeAsker {
    /// Whether nothing has happened since the lists were read, so that they need not be read again.
    async fn is_quiet(&mut self) -> Result<bool, AskError> {
        let since = self.asked_at.strftime("%Y-%m-%dT%H:%M:%S").to_string();
        let filter = serde_json::json!({"created": {"+gte": since}}).to_string();
        let call = self.events.clone().with_header("x-filter", filter);
        match self.client.collect(&call, &EVENTS, |_| ()).await {
            Ok(events) => {
                self.event_poll_count += 1;
                Ok(events.is_empty() && self.event_poll_count < EVENT_POLL_COUNT_MAX)
            }
            // A token need not be good for events.
            Err(error) if error.status_code == Some(UNAUTHORIZED) => {
                self.has_events = false;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    async fn read_lists(&self) -> Result<Vec<TargetGroup>, AskError> {
        let [instances, ips, ranges] = &self.calls;
        let ips = self.client.collect(ips, &LISTING, |ip| {
            // The API has been seen to say it so.
            let rdns = text(ip, "/rdns").into_owned();
            let rdns = if rdns == "null" { String::new() } else { rdns };
            let is_public = flag(ip, "/public");
            (text(ip, "/address").into_owned(), Ip { is_public, rdns })
        });
        let ips = ips.await?.into_iter().collect();
        let ranges_read = self.client.collect(ranges, &LISTING, |range| {
            let prefix = format!("{}/{}", text(range, "/range"), int(range, "/prefix"));
            (text(range, "/route_target").into_owned(), prefix)
        });
        let mut ranges = HashMap::<String, Vec<String>>::new();
        for (target, range) in ranges_read.await? {
            ranges.entry(target).or_default().push(range);
        }
        let network = Network { ips, ranges };
        let mut targets = Vec::new();
        let mut take = |instance: Value| {
            targets.extend(self.target(&instance, &network));
            Ok(())
        };
        self.client.list(instances, &LISTING, &mut take).await?;
        Ok(vec![TargetGroup { source: "Linode".into(), targets, labels: Labels::empty() }])
    }

    /// An instance without an IPv4 address is no target.
    fn target(&self, instance: &Value, network: &Network) -> Option<Labels> {
        if list(instance, "/ipv4").is_empty() {
            return None;
        }
        let (mut public, mut private, mut extra) = (None, None, Vec::new());
        for address in texts(instance, "/ipv4") {
            match network.ips.get(&*address) {
                Some(ip) if ip.is_public && public.is_none() => public = Some((address, ip)),
                Some(ip) if !ip.is_public && private.is_none() => private = Some((address, ip)),
                Some(_) => extra.push(address),
                None => {}
            }
        }
        let ipv6 = text(instance, "/ipv6");
        let slaac = ipv6.split('/').next().unwrap_or_default();
        let public_ipv6 = network.ips.get(slaac).map(|ip| (Cow::Borrowed(slaac), ip));
        let mut labels = LabelsBuilder::default();
        Rule::apply(&LABELS, "__meta_linode_", instance, &mut labels);
        let host = public.as_ref().map_or("", |(address, _)| address);
        labels.set(ADDRESS, &host_port(host, self.port));
        for (name, found) in
            [("public_ipv4", &public), ("private_ipv4", &private), ("public_ipv6", &public_ipv6)]
        {
            if let Some((address, ip)) = found {
                labels.set(&format!("__meta_linode_{name}"), address);
                labels.set(&format!("__meta_linode_{name}_rdns"), &ip.rdns);
            }
        }
        let mut set_list = |name: &str, value: String| {
            labels.set(name, &value);
        };
        let separator = &self.tag_separator;
        set_list("__meta_linode_tags", joined(texts(instance, "/tags"), separator));
        set_list("__meta_linode_extra_ips", joined(extra.iter(), separator));
        let ranges = network.ranges.get(slaac).filter(|_| !slaac.is_empty());
        set_list("__meta_linode_ipv6_ranges", joined(ranges.into_iter().flatten(), separator));
        Some(labels.build())
    }
}

fn now() -> Timestamp {
    Timestamp::from_millisecond(clock::now_ms()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use prom_testkit::{Answer, FakeTarget};

    use crate::rest::tests::{asker_of, ends_a_hang, json, lines, survives};

    const INSTANCES: &str = "/v4/linode/instances";
    const IPS: &str = "/v4/networking/ips";
    const RANGES: &str = "/v4/networking/ipv6/ranges";
    const EVENTS: &str = "/v4/account/events";

    fn answer_all(service: &FakeTarget) {
        service.answer_in_turn(INSTANCES, &[
            json(r#"{"data": [{
                "id": 26838044, "label": "prometheus-linode-sd-exporter-1", "group": "", "status": "running",
                "created": "2021-05-12T04:23:44", "type": "g6-standard-2",
                "ipv4": ["45.33.82.151", "96.126.108.16", "192.168.170.51", "192.168.201.25"],
                "ipv6": "2600:3c03::f03c:92ff:fe1a:1382/128", "image": "linode/arch", "region": "us-east",
                "specs": {"disk": 81920, "memory": 4096, "vcpus": 2, "gpus": 0, "transfer": 4000},
                "backups": {"enabled": false, "schedule": {"day": null, "window": null}},
                "hypervisor": "kvm", "watchdog_enabled": true, "tags": ["monitoring", "a"]
            }, {"id": 1, "ipv4": []}], "page": 1, "pages": 2, "results": 3}"#),
            json(r#"{"data": [{"id": 2, "label": "bare", "ipv4": ["10.1.1.1"], "ipv6": null, "image": null,
                "backups": {"enabled": true}, "specs": {}, "tags": []}], "page": 2, "pages": 2, "results": 3}"#),
        ]);
        service.answer(IPS, json(r#"{"data": [
            {"address": "45.33.82.151", "type": "ipv4", "public": true, "rdns": "li1028-151.members.linode.com"},
            {"address": "96.126.108.16", "type": "ipv4", "public": true, "rdns": "li365-16.members.linode.com"},
            {"address": "192.168.170.51", "type": "ipv4", "public": false, "rdns": null},
            {"address": "192.168.201.25", "type": "ipv4", "public": false, "rdns": "null"},
            {"address": "2600:3c03::f03c:92ff:fe1a:1382", "type": "ipv6", "public": true, "rdns": "six.example"}
        ], "page": 1, "pages": 1, "results": 5}"#));
        service.answer(RANGES, json(r#"{"data": [
            {"range": "2600:3c03:e000:123::", "region": "us-east", "prefix": 64, "route_target": "2600:3c03::f03c:92ff:fe1a:1382"},
            {"range": "2600:3c04:e001:456::", "prefix": 64, "route_target": "2600:3c04::other"}
        ], "page": 1, "pages": 1, "results": 2}"#));
        service.answer(EVENTS, json(r#"{"data": [], "page": 1, "pages": 1, "results": 0}"#));
    }

    #[tokio::test]
    async fn instances_are_targets_with_their_addresses() {
        let service = FakeTarget::start().await;
        answer_all(&service);
        let mut asker =
            asker_of(&service, "linode_sd_configs: [{region: us-east, tag_separator: '|'}]");
        let found = asker.ask().await.unwrap();
        assert_eq!(&*found[0].source, "Linode");
        assert_eq!(
            lines(&found, "__meta_linode_"),
            [
                "__address__=45.33.82.151:80 backups=disabled extra_ips=|96.126.108.16|192.168.201.25| gpus=0 hypervisor=kvm \
                 image=linode/arch instance_id=26838044 instance_label=prometheus-linode-sd-exporter-1 \
                 ipv6_ranges=|2600:3c03:e000:123::/64| private_ipv4=192.168.170.51 public_ipv4=45.33.82.151 \
                 public_ipv4_rdns=li1028-151.members.linode.com public_ipv6=2600:3c03::f03c:92ff:fe1a:1382 \
                 public_ipv6_rdns=six.example region=us-east specs_disk_bytes=85899345920 specs_memory_bytes=4294967296 \
                 specs_transfer_bytes=4194304000 specs_vcpus=2 status=running tags=|monitoring|a| type=g6-standard-2",
                "__address__=:80 backups=enabled gpus=0 instance_id=2 instance_label=bare specs_disk_bytes=0 \
                 specs_memory_bytes=0 specs_transfer_bytes=0 specs_vcpus=0",
            ]
        );
        let asked = |path: &str| service.requests().iter().filter(|it| it.contains(path)).count();
        assert_eq!((asked(INSTANCES), asked(EVENTS)), (2, 0));
        assert!(service.requests()[0].contains("x-filter: {\"region\":\"us-east\"}"));
        // As long as nothing happens, nothing is read again.
        assert_eq!(asker.ask().await.unwrap(), found);
        assert_eq!((asked(INSTANCES), asked(EVENTS)), (2, 1));
        service.answer(
            EVENTS,
            json(r#"{"data": [{"id": 1, "action": "linode_boot"}], "page": 1, "pages": 1}"#),
        );
        asker.ask().await.unwrap();
        assert_eq!((asked(INSTANCES), asked(EVENTS)), (4, 2));
        // Whoever may not ask for events reads all again each time.
        service.answer(EVENTS, Answer::status("401 Unauthorized"));
        asker.ask().await.unwrap();
        asker.ask().await.unwrap();
        assert_eq!((asked(INSTANCES), asked(EVENTS)), (8, 3));
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error() {
        for path in [INSTANCES, IPS, RANGES] {
            let service = FakeTarget::start().await;
            answer_all(&service);
            let mut asker = asker_of(&service, "linode_sd_configs: [{refresh_interval: 50ms}]");
            survives(&service, &mut *asker, path).await;
            ends_a_hang(&service, &mut *asker.hasty, path).await;
        }
        let service = FakeTarget::start().await;
        answer_all(&service);
        let mut asker = asker_of(&service, "linode_sd_configs: [{refresh_interval: 50ms}]");
        asker.ask().await.unwrap();
        service.answer(EVENTS, Answer::status("503 Busy"));
        assert!(asker.ask().await.unwrap_err().message.contains("503"));
    }
}
