//! `ovhcloud_sd_configs`: virtual and dedicated servers.
//! Compat: Prometheus `discovery/ovhcloud`; <https://eu.api.ovh.com/console>.

use std::{net::IpAddr, sync::Arc};

use futures_util::{StreamExt, TryStreamExt, future::BoxFuture, stream};
use prom_config::{HttpClientConfig, OvhcloudSdConfig};
use prom_model::{Labels, LabelsBuilder};
use prom_telemetry::clock;
use serde_json::Value;
use sha1::{Digest, Sha1};

use super::{
    AskError, Call, LabelRule, Listing, Paging, Refusal, RestAsker, RestClient,
    Rule::{self, Bool, Code, Int, Text},
    path_part,
    rules::{text, texts},
};
use crate::{TargetGroup, group::ADDRESS, polled::Means};

/// Servers that are asked for at the same time.
const REQUEST_COUNT_MAX: usize = 8;
const ENDPOINTS: [(&str, &str); 7] = [
    ("ovh-eu", "https://eu.api.ovh.com/1.0"),
    ("ovh-ca", "https://ca.api.ovh.com/1.0"),
    ("ovh-us", "https://api.us.ovhcloud.com/1.0"),
    ("kimsufi-eu", "https://eu.api.kimsufi.com/1.0"),
    ("kimsufi-ca", "https://ca.api.kimsufi.com/1.0"),
    ("soyoustart-eu", "https://eu.api.soyoustart.com/1.0"),
    ("soyoustart-ca", "https://ca.api.soyoustart.com/1.0"),
];

const REFUSAL: Refusal = Refusal {
    text: "OVHcloud API error (status code {code})",
    reason_at: "/message",
    is_strict: false,
};
const NAMES: Listing = Listing { at: "", paging: Paging::Single, refusal: REFUSAL };

/// What is told of one kind of server.
#[derive(Debug)]
struct Service {
    source: &'static str,
    path: &'static str,
    prefix: &'static str,
    labels: &'static [LabelRule],
}

static VPS: Service = Service {
    source: "ovhcloud_vps",
    path: "/vps",
    prefix: "__meta_ovhcloud_vps_",
    labels: &[
        ("offer", Text("/model/offer")),
        ("datacenter", Code(go_list)),
        ("model_vcore", Int("/model/vcore")),
        ("maximum_additional_ip", Int("/model/maximumAdditionnalIp")),
        ("version", Text("/model/version")),
        ("model_name", Text("/model/name")),
        ("disk", Int("/model/disk")),
        ("memory", Int("/model/memory")),
        ("zone", Text("/zone")),
        ("display_name", Text("/displayName")),
        ("cluster", Text("/cluster")),
        ("state", Text("/state")),
        ("name", Text("/name")),
        ("netboot_mode", Text("/netbootMode")),
        ("memory_limit", Int("/memoryLimit")),
        ("offer_type", Text("/offerType")),
        ("vcore", Int("/vcore")),
    ],
};

static DEDICATED: Service = Service {
    source: "ovhcloud_dedicated_server",
    path: "/dedicated/server",
    prefix: "__meta_ovhcloud_dedicated_server_",
    labels: &[
        ("state", Text("/state")),
        ("commercial_range", Text("/commercialRange")),
        ("link_speed", Int("/linkSpeed")),
        ("rack", Text("/rack")),
        ("no_intervention", Bool("/noIntervention")),
        ("os", Text("/os")),
        ("support_level", Text("/supportLevel")),
        ("server_id", Int("/serverId")),
        ("reverse", Text("/reverse")),
        ("datacenter", Text("/datacenter")),
        ("name", Text("/name")),
    ],
};

#[derive(Debug)]
struct OvhAsker {
    /// Without a signature: for the time.
    plain: RestClient,
    cfg: OvhcloudSdConfig,
    endpoint: String,
    service: &'static Service,
    /// Of the service's clock before ours, once it is known.
    time_delta_s: Option<i64>,
}

pub(super) fn asker(cfg: &OvhcloudSdConfig, means: &Means) -> Box<dyn RestAsker> {
    let known = ENDPOINTS.iter().find(|(name, _)| *name == cfg.endpoint);
    let endpoint = match known {
        Some((_, url)) => means.endpoint(url),
        None => &cfg.endpoint,
    };
    Box::new(OvhAsker {
        plain: RestClient::new(&HttpClientConfig::default(), cfg.refresh_interval, means),
        endpoint: endpoint.trim_end_matches('/').to_owned(),
        service: if cfg.service == "vps" { &VPS } else { &DEDICATED },
        cfg: cfg.clone(),
        time_delta_s: None,
    })
}

impl RestAsker for OvhAsker {
    fn ask(&mut self) -> BoxFuture<'_, Result<Vec<TargetGroup>, AskError>> {
        Box::pin(async {
            let client = self.signing_client().await?;
            let service = self.service;
            let names = Call::get(&self.endpoint, service.path);
            let names = client.collect(&names, &NAMES, |name| text(name, "").into_owned()).await?;
            let targets = stream::iter(names).map(|name| self.target(&client, name));
            let targets: Vec<Option<Labels>> =
                targets.buffered(REQUEST_COUNT_MAX).try_collect().await?;
            let targets = targets.into_iter().flatten().collect();
            Ok(vec![TargetGroup {
                source: service.source.into(),
                targets,
                labels: Labels::empty(),
            }])
        })
    }
}

impl OvhAsker {
    /// The service refuses requests whose time is not its own, so it is asked for it once.
    async fn signing_client(&mut self) -> Result<RestClient, AskError> {
        let delta_s = match self.time_delta_s {
            Some(delta_s) => delta_s,
            None => {
                let call = Call::get(&self.endpoint, "/auth/time");
                let time = self.plain.value(&call, &REFUSAL).await?;
                let time_s = time.as_i64().ok_or_else(|| format!("invalid time {time}"))?;
                *self.time_delta_s.insert(time_s - clock::now_ms() / 1000)
            }
        };
        let cfg = self.cfg.clone();
        Ok(self.plain.clone().with_sign(Arc::new(move |call| {
            let time_s = clock::now_ms() / 1000 + delta_s;
            *call = signed(call.clone(), &cfg, time_s);
            Ok(())
        })))
    }

    /// A server that the service does not tell about is left out, as in the original; a service that fails is an
    /// error of the whole, so that no server vanishes because of it.
    async fn target(&self, client: &RestClient, name: String) -> Result<Option<Labels>, AskError> {
        match self.try_target(client, &name).await {
            Ok(labels) => Ok(Some(labels)),
            Err(error) if error.status_code.is_none_or(|code| code == 429 || code >= 500) => {
                Err(error)
            }
            Err(err) => {
                let source = self.service.source;
                tracing::warn!(discovery = "ovhcloud", %err, "{source}: Could not get details of {name}");
                Ok(None)
            }
        }
    }

    async fn try_target(&self, client: &RestClient, name: &str) -> Result<Labels, AskError> {
        let path = format!("{}/{}", self.service.path, path_part(name));
        let server = client.value(&Call::get(&self.endpoint, &path), &REFUSAL).await?;
        let ips = Call::get(&self.endpoint, &format!("{path}/ips"));
        let ips = client.value(&ips, &REFUSAL).await?;
        let (ipv4, ipv6) = addresses(texts(&ips, "")).map_err(|message| AskError {
            // An answer that makes no sense is about this server only.
            status_code: Some(200),
            ..AskError::new(message)
        })?;
        let mut labels = LabelsBuilder::default();
        Rule::apply(self.service.labels, self.service.prefix, &server, &mut labels);
        labels.set(ADDRESS, if ipv4.is_empty() { &ipv6 } else { &ipv4 });
        labels.set("instance", &text(&server, "/name"));
        labels.set(&format!("{}ipv4", self.service.prefix), &ipv4);
        labels.set(&format!("{}ipv6", self.service.prefix), &ipv6);
        Ok(labels.build())
    }
}

/// The last address of each family. A block of addresses counts only if it is one of IPv4.
fn addresses<T: AsRef<str>>(texts: impl Iterator<Item = T>) -> Result<(String, String), String> {
    let unreadable = || "could not parse IP addresses from list".to_owned();
    let (mut ipv4, mut ipv6) = (String::new(), String::new());
    for text in texts {
        let text = text.as_ref();
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| unreadable())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| unreadable())?;
        if bits.is_none_or(|bits| bits == 32) && !address.is_unspecified() {
            let family = if address.is_ipv4() { &mut ipv4 } else { &mut ipv6 };
            *family = address.to_string();
        }
    }
    if ipv4.is_empty() && ipv6.is_empty() { Err(unreadable()) } else { Ok((ipv4, ipv6)) }
}

/// The signature of <https://help.ovhcloud.com/csm/en-api-getting-started-ovhcloud-api>: a hash over secrets,
/// request and time.
fn signed(call: Call, cfg: &OvhcloudSdConfig, time_s: i64) -> Call {
    let (secret, consumer) = (cfg.application_secret.reveal(), cfg.consumer_key.reveal());
    let hash = Sha1::digest(format!("{secret}+{consumer}+GET+{}++{time_s}", call.url));
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    call.with_header("x-ovh-application", &*cfg.application_key)
        .with_header("x-ovh-consumer", consumer)
        .with_header("x-ovh-timestamp", time_s.to_string())
        .with_header("x-ovh-signature", format!("$1${hash}"))
}

/// As Go prints a list of strings.
fn go_list(server: &Value) -> String {
    format!("[{}]", texts(server, "/model/datacenter").collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use prom_testkit::{Answer, FakeTarget};

    use super::*;
    use crate::rest::tests::{asker_of, ends_a_hang, json, lines, survives};

    const KEYS: &str = "application_key: APPKEY, application_secret: APPSECRET, consumer_key: CONSUMER, refresh_interval: 50ms";

    #[test]
    fn requests_are_signed() {
        let cfg = OvhcloudSdConfig {
            endpoint: "ovh-eu".to_owned(),
            application_key: "7kbG7Bk7S9Nt7ZSV".to_owned(),
            application_secret: prom_config::Secret::new("EXEgWIz07P0HYwtQDs7cNIqCiQaWSuHF"),
            consumer_key: prom_config::Secret::new("MtSwSrPpNjqfVSmJhLbPyr2i45lSwPU1"),
            refresh_interval: std::time::Duration::from_secs(60),
            service: "vps".to_owned(),
        };
        let call =
            signed(Call::get("https://eu.api.ovh.com/1.0", "/domains/"), &cfg, 1_366_560_945);
        let header =
            |name| call.headers.iter().find(|(other, _)| *other == name).unwrap().1.as_str();
        assert_eq!(header("x-ovh-timestamp"), "1366560945");
        // Computed with sha1sum over the text that the documentation describes.
        assert_eq!(header("x-ovh-signature"), "$1$d3705e8afb27a0d2970a322b96550abfc67bb798");
    }

    #[test]
    fn addresses_are_read_or_refused() {
        let read = |texts: &[&str]| addresses(texts.iter());
        let found = |ipv4: &str, ipv6: &str| Ok((ipv4.to_owned(), ipv6.to_owned()));
        assert_eq!(read(&["192.0.2.1", "2001:db1::1"]), found("192.0.2.1", "2001:db1::1"));
        assert_eq!(read(&["1.2.3.4/32", "2001:db8::/64"]), found("1.2.3.4", ""));
        assert_eq!(read(&["1.2.3.0/24", "1.2.3.4", "5.6.7.8"]), found("5.6.7.8", ""));
        for refused in [&["0.0.0.0"][..], &["A.B.C.D"], &["1.2.3.4/x"], &[]] {
            assert_eq!(read(refused), Err("could not parse IP addresses from list".to_owned()));
        }
    }

    #[tokio::test]
    async fn virtual_servers_are_targets() {
        let service = FakeTarget::start().await;
        let mut asker =
            asker_of(&service, &format!("ovhcloud_sd_configs: [{{service: vps, {KEYS}}}]"));
        service.answer("/auth/time", json("1366560945"));
        service.answer("/vps", json(r#"["abc", "gone", "strange"]"#));
        service.answer("/vps/abc", json(include_str!("../../fixtures/ovhcloud_vps.json")));
        service.answer("/vps/abc/ips", json(r#"["192.0.2.1", "2001:db1::1"]"#));
        service.answer("/vps/strange", json("{}"));
        service.answer("/vps/strange/ips", json("[]"));
        let found = asker.ask().await.unwrap();
        assert_eq!(&*found[0].source, "ovhcloud_vps");
        assert_eq!(
            lines(&found, "__meta_ovhcloud_vps_"),
            [
                "__address__=192.0.2.1 cluster=cluster_test datacenter=[a b] disk=40 display_name=abc ipv4=192.0.2.1 ipv6=2001:db1::1 \
              maximum_additional_ip=16 memory=2048 memory_limit=2048 model_name=vps-value-1-2-40 model_vcore=1 name=abc \
              netboot_mode=local offer=VPS abc offer_type=ssd state=running vcore=1 version=2019v1 zone=zone instance=abc"
            ]
        );
        let requests = service.requests();
        assert!(!requests[0].contains("x-ovh-signature"));
        assert!(requests[1].contains("x-ovh-signature: $1$"));
        assert!(requests[1].contains("x-ovh-consumer: CONSUMER"));
        let seconds =
            requests[1].lines().find_map(|it| it.strip_prefix("x-ovh-timestamp: ")).unwrap();
        assert!((1_366_560_945..1_366_561_045).contains(&seconds.parse::<i64>().unwrap()));
        // A service that fails makes no server vanish.
        service.answer("/vps/abc/ips", Answer::status("500 Oops"));
        assert!(asker.ask().await.unwrap_err().message.contains("500"));
    }

    #[tokio::test]
    async fn dedicated_servers_are_targets() {
        let service = FakeTarget::start().await;
        let sd = format!(
            "ovhcloud_sd_configs: [{{service: dedicated_server, endpoint: 'URL', {KEYS}}}]"
        );
        let mut asker = asker_of(&service, &sd);
        service.answer("/auth/time", json("1366560945"));
        service.answer("/dedicated/server", json(r#"["abcde"]"#));
        service.answer(
            "/dedicated/server/abcde",
            json(include_str!("../../fixtures/ovhcloud_dedicated_server.json")),
        );
        service.answer("/dedicated/server/abcde/ips", json(r#"["1.2.3.4/32", "2001:db8::/64"]"#));
        assert_eq!(
            lines(&asker.ask().await.unwrap(), "__meta_ovhcloud_dedicated_server_"),
            [
                "__address__=1.2.3.4 commercial_range=Advance-1 Gen 2 datacenter=gra3 ipv4=1.2.3.4 link_speed=123 name=abcde \
              no_intervention=false os=debian11_64 rack=TESTRACK reverse=abcde-rev server_id=1234 state=test support_level=pro instance=abcde"
            ]
        );
    }

    #[tokio::test]
    async fn what_is_no_answer_is_an_error() {
        let service = FakeTarget::start().await;
        service.answer("/auth/time", json("1366560945"));
        let mut asker =
            asker_of(&service, &format!("ovhcloud_sd_configs: [{{service: vps, {KEYS}}}]"));
        survives(&service, &mut *asker, "/vps").await;
        ends_a_hang(&service, &mut *asker.hasty, "/vps").await;
    }
}
