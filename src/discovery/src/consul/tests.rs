//! A Consul that answers as it is told, and what comes out of its answers.

use std::path::Path;

use prom_config::{DiscoveryConfig, LoadOptions, Sources, load_with};
use prom_testkit::{Answer, FakeTarget};

use super::*;

const KEYS: &str = "refresh_interval: 1s, token: secret, tags: [a], node_meta: {rack: '1'}, namespace: team, partition: p, \
                    filter: 'NodeMeta.os == linux', health_filter: 'x'";
const REDIS: &str = include_str!("../../fixtures/consul_service.json");

fn config(service: &FakeTarget, keys: &str) -> ConsulSdConfig {
    let address = service.address();
    let text = format!(
        "scrape_configs: [{{job_name: a, consul_sd_configs: [{{server: '{address}', {keys}}}]}}]"
    );
    let path = Path::new("/p/p.yml");
    let mut sources = Sources::with_text(path, text.as_bytes());
    let cfg = load_with(path, &mut sources, &LoadOptions::SERVER).unwrap();
    match &cfg.scrape_configs[0].discovery_configs[0] {
        DiscoveryConfig::Consul(cfg) => (**cfg).clone(),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn indexed(index: u64, body: &str) -> Answer {
    let header = format!("X-Consul-Index: {index}");
    Answer::body("application/json", &[&header], body.as_bytes())
}

fn means() -> Means {
    Means::new("Prometheus/3.5.0", &Registry::default())
}

#[test]
fn the_worst_check_counts() {
    let check = |checks: &[(&str, &str)]| {
        let checks: Vec<Value> = checks
            .iter()
            .map(|(id, status)| serde_json::json!({"CheckID": id, "Status": status}))
            .collect();
        health(&checks)
    };
    assert_eq!(check(&[]), "passing");
    assert_eq!(check(&[("a", "passing"), ("b", "warning")]), "warning");
    assert_eq!(check(&[("a", "critical"), ("b", "warning")]), "critical");
    assert_eq!(check(&[("_node_maintenance", "critical"), ("b", "critical")]), "maintenance");
    assert_eq!(check(&[("_service_maintenance:x", "critical")]), "maintenance");
    assert_eq!(check(&[("a", "odd")]), "");
}

#[tokio::test]
async fn instances_of_wanted_services_are_targets() {
    let service = FakeTarget::start().await;
    service.answer(
        "/v1/agent/self",
        indexed(1, r#"{"Config": {"Datacenter": "dc1", "NodeName": "foobar"}}"#),
    );
    let catalog = r#"{"consul": [], "redis": ["a", "b"], "web app": ["a"], "null": null}"#;
    service.answer("/v1/catalog/services", indexed(41, catalog));
    service.answer("/v1/health/service/redis", indexed(42, REDIS));
    service.answer("/v1/health/service/web%20app", indexed(42, "[]"));
    let means = means();
    let found = discover(&config(&service, KEYS), &means).await.unwrap();
    let sources: Vec<_> = found.iter().map(|group| &*group.source).collect();
    assert_eq!(sources, ["redis", "web app"]);
    assert_eq!(
        crate::rest::tests::lines(&found, "__meta_consul_"),
        [
            "__address__=10.1.10.12:8000 address=10.1.10.12 dc=dc1 health=warning metadata_rack_id=1 namespace=team node=foobar partition=p \
             service=redis service_id=redis service_metadata_redis_version=4.0 service_port=8000 tagged_address_lan=10.1.10.12 \
             tagged_address_wan_1=10.1.10.13 tags=,primary,a,",
            "__address__=[fd00::1]:1 address=10.1.10.14 dc=dc1 health=passing node=n2 service=redis service_address=fd00::1 service_id=2 \
             service_port=1 tags=,,",
        ]
    );
    let requests = service.requests();
    assert!(requests[0].to_lowercase().contains("x-consul-token: secret"));
    let query = "ns=team&partition=p&filter=NodeMeta.os+%3D%3D+linux&stale=&wait=120000ms&node-meta=rack%3A1";
    assert!(
        requests[1].starts_with(&format!("GET /v1/catalog/services?{query} HTTP")),
        "{}",
        requests[1]
    );
    let query = "ns=team&partition=p&filter=x&stale=&wait=120000ms&node-meta=rack%3A1&tag=a";
    assert!(
        requests[2].starts_with(&format!("GET /v1/health/service/redis?{query} HTTP")),
        "{}",
        requests[2]
    );
    assert_eq!(means.consul.failures.get(), 0.0);
}

#[tokio::test]
async fn what_is_no_answer_is_an_error() {
    let service = FakeTarget::start().await;
    let means = means();
    let cfg = config(&service, "datacenter: dc1, path_prefix: /consul/");
    for (count, (answer, expected)) in [
        (Answer::status("500 Oops"), "Unexpected response code: 500"),
        (Answer::status("429 Slow"), "Unexpected response code: 429"),
        (Answer::status("403 Forbidden"), "Unexpected response code: 403"),
        (Answer::text("<html>"), "expected value"),
        (Answer::text("[]"), "invalid type"),
        (Answer::text("{\"a\": [1]}"), "invalid type"),
        (Answer::text(""), "unexpected end of JSON input"),
        (Answer::Reset, ""),
    ]
    .into_iter()
    .enumerate()
    {
        service.answer("/consul/v1/catalog/services", answer);
        let error = discover(&cfg, &means).await.unwrap_err().message;
        assert!(error.contains(expected), "{error}");
        assert_eq!(means.consul.failures.get(), 1.0 + count as f64);
    }
    let cfg = config(&service, "");
    service.answer("/v1/agent/self", indexed(1, r#"{"Config": {"Datacenter": 7}}"#));
    let error = discover(&cfg, &means).await.unwrap_err().message;
    assert_eq!(error, "invalid value '7' for Config.Datacenter");
}
