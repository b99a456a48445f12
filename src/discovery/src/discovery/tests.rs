//! Sets over configurations and over time. Files are real, waits are for events with one patience.

use std::{fs, path::Path};

use prom_config::{Config, LoadOptions, load_with};
use prom_lifecycle::State as LifecycleState;
use prom_telemetry::{MetricValue, Registry};
use prom_testkit::{Answer, FakeTarget};

use super::*;

mod kubernetes;
mod zookeeper;

const PATIENCE: Duration = Duration::from_secs(20);

struct House {
    discovery: Discovery,
    handle: Handle,
    registry: Registry,
    folder: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        Self::with(&DiscoveryOptions::new("scrape", "Prometheus/3.5.0"))
    }

    /// Sets change as soon as anything is known.
    fn hasty() -> Self {
        let update_interval = Duration::from_millis(10);
        let options = DiscoveryOptions::new("scrape", "Prometheus/3.5.0");
        Self::with(&DiscoveryOptions { update_interval, ..options })
    }

    fn with(options: &DiscoveryOptions) -> Self {
        let (registry, handle) =
            (Registry::default(), Handle::detached("test", LifecycleState::Ready));
        let discovery = Discovery::new(options, &registry, &handle);
        Self { discovery, handle, registry, folder: tempfile::tempdir().unwrap() }
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.folder.path().join(name)).unwrap();
    }

    #[expect(clippy::disallowed_methods, reason = "an operator's rename need not be durable")]
    fn rename(&self, from: &str, to: &str) {
        let at = |name: &str| self.folder.path().join(name);
        fs::rename(at(from), at(to)).unwrap();
    }

    fn prepare(&self, jobs: &str) -> Prepared {
        let cfg = config(self.folder.path(), jobs);
        self.discovery.prepare(sets(&cfg)).unwrap()
    }

    fn reload(&self, jobs: &str) {
        self.discovery.commit(self.prepare(jobs));
    }

    /// Addresses with the file they came from, if one did, in order.
    fn targets(&self, set: &str) -> Vec<String> {
        let mut found = Vec::new();
        for group in &*self.discovery.target_set(set).groups {
            let file = group.labels.get("__meta_filepath").map(Path::new);
            let file = file.map(|file| file.file_name().unwrap().to_string_lossy().into_owned());
            for target in &group.targets {
                let address = target.get("__address__").unwrap();
                found.push(
                    file.iter().fold(address.to_owned(), |all, file| format!("{all}@{file}")),
                );
            }
        }
        found
    }

    async fn wait_for(&self, set: &str, expected: &[&str]) {
        let mut changes = self.discovery.changes();
        let wait = async {
            while self.targets(set) != expected {
                changes.next().await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "{set}: {:?} never became {expected:?}", self.targets(set));
    }

    async fn wait_for_metric(&self, name: &str, expected: f64) {
        self.wait_until(name, |value| value == expected).await;
    }

    async fn wait_for_metric_above(&self, name: &str, bound: f64) {
        self.wait_until(name, |value| value > bound).await;
    }

    async fn wait_until(&self, name: &str, is_reached: impl Fn(f64) -> bool) {
        let wait = async {
            while !is_reached(self.metric(name)) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        assert!(waited.is_ok(), "{name} is {}", self.metric(name));
    }

    /// The sum over all labels.
    fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name == name);
        let metrics = family.iter().flat_map(|family| &family.metrics);
        let value = |value: &MetricValue| match value {
            MetricValue::Number(value) => *value,
            MetricValue::Summary(value) => value.count as f64,
            other => panic!("{other:?}"),
        };
        metrics.map(|metric| value(&metric.value)).sum()
    }
}

fn config(folder: &Path, jobs: &str) -> Config {
    let path = folder.join("prometheus.yml");
    let text = format!("scrape_configs:\n{jobs}\n");
    let mut sources = Sources::with_text(&path, text.as_bytes());
    load_with(&path, &mut sources, &LoadOptions::CHECK).unwrap()
}

fn sets(cfg: &Config) -> impl Iterator<Item = SetConfig<'_>> {
    cfg.scrape_configs.iter().map(|job| SetConfig {
        set: &job.job_name,
        static_configs: &job.static_configs,
        discovery_configs: &job.discovery_configs,
    })
}

const FILES: &str = "- {job_name: a, file_sd_configs: [{files: ['t/*.json', 't/*.yml']}], static_configs: [{targets: ['fixed:1']}]}";

#[tokio::test]
async fn files_are_read_with_the_configuration_and_followed() {
    let house = House::new();
    house.write("t/1.json", r#"[{"targets": ["a:1", "a:2"], "labels": {"x": "y"}}]"#);
    house.write("t/2.yml", "- targets: ['b:1']\n  labels: {__meta_filepath: 'forged'}\n");
    let prepared = house.prepare(FILES);
    assert_eq!(house.targets("a"), [""; 0], "prepare has no effect");
    assert_eq!(prepared.changes().added.count, 4);
    house.discovery.commit(prepared);
    assert_eq!(house.targets("a"), ["fixed:1", "a:1@1.json", "a:2@1.json", "b:1@2.yml"]);
    let groups = house.discovery.target_set("a").groups;
    assert_eq!(groups[1].labels.get("x"), Some("y"));

    // Edited in place, by rename, added, removed.
    house.write("t/1.json", r#"[{"targets": ["a:3"]}]"#);
    house.wait_for("a", &["fixed:1", "a:3@1.json", "b:1@2.yml"]).await;
    house.write("t/2.tmp", "- targets: ['b:2']\n");
    house.rename("t/2.tmp", "t/2.yml");
    house.wait_for("a", &["fixed:1", "a:3@1.json", "b:2@2.yml"]).await;
    house.write("t/0.json", r#"[{"targets": ["c:1"]}]"#);
    house.wait_for("a", &["fixed:1", "c:1@0.json", "a:3@1.json", "b:2@2.yml"]).await;
    assert_eq!(house.metric("prometheus_sd_discovered_targets"), 4.0);
    house.remove("t/1.json");
    house.wait_for("a", &["fixed:1", "c:1@0.json", "b:2@2.yml"]).await;
    let mtimes = house.registry.gather();
    let mtimes = mtimes.iter().find(|it| it.name == "prometheus_sd_file_mtime_seconds").unwrap();
    assert_eq!(mtimes.metrics.len(), 2);
}

#[tokio::test]
async fn a_bad_file_keeps_its_last_good_groups() {
    let house = House::new();
    house.write("t/1.json", r#"[{"targets": ["a:1"]}]"#);
    house.write("t/bad.yml", "- targetss: []\n");
    house.reload(FILES);
    assert_eq!(house.targets("a"), ["fixed:1", "a:1@1.json"]);
    assert_eq!(house.metric("prometheus_sd_file_read_errors_total"), 1.0);
    let before = house.discovery.target_set("a");
    for (index, text) in ["[{", "[null]", "{}", "[{\"targets\": [1]}]"].iter().enumerate() {
        house.write("t/1.json", text);
        house.wait_for_metric("prometheus_sd_file_read_errors_total", 2.0 + index as f64).await;
        assert_eq!(house.discovery.target_set("a"), before, "{text}");
    }
    house.write("t/bad.yml", "- targets: ['b:1']\n");
    house.wait_for("a", &["fixed:1", "a:1@1.json", "b:1@bad.yml"]).await;
    house.write("t/1.json", "[]");
    house.wait_for("a", &["fixed:1", "b:1@bad.yml"]).await;
}

#[tokio::test]
async fn a_swapped_link_is_followed() {
    let house = House::new();
    let at = |name: &str| house.folder.path().join(name);
    house.write("v1/t.json", r#"[{"targets": ["a:1"]}]"#);
    house.write("v2/t.json", r#"[{"targets": ["a:2"]}]"#);
    fs::create_dir(at("t")).unwrap();
    std::os::unix::fs::symlink(at("v1"), at("t/..data")).unwrap();
    std::os::unix::fs::symlink("..data/t.json", at("t/t.json")).unwrap();
    house.reload(FILES);
    assert_eq!(house.targets("a"), ["fixed:1", "a:1@t.json"]);
    std::os::unix::fs::symlink(at("v2"), at("t/..new")).unwrap();
    house.rename("t/..new", "t/..data");
    house.wait_for("a", &["fixed:1", "a:2@t.json"]).await;
}

#[tokio::test]
async fn what_a_reload_does_not_change_is_left_alone() {
    let house = House::new();
    house.write("t/1.json", r#"[{"targets": ["a:1"]}]"#);
    house.reload(FILES);
    let before = house.discovery.target_set("a");
    let scans = house.metric("prometheus_sd_file_scan_duration_seconds");
    let shared = FILES.replace("job_name: a", "job_name: b").replace("fixed:1", "fixed:2");
    house.reload(&format!("{FILES}\n{shared}"));
    assert_eq!(house.discovery.target_set("a"), before);
    assert_eq!(house.targets("b"), ["fixed:2", "a:1@1.json"]);
    // The second job shares what the first one has.
    assert_eq!(house.metric("prometheus_sd_file_scan_duration_seconds"), scans);
    house.write("t/1.json", r#"[{"targets": ["a:2"]}]"#);
    house.wait_for("a", &["fixed:1", "a:2@1.json"]).await;
    assert_eq!(house.targets("b"), ["fixed:2", "a:2@1.json"]);

    house.reload(&shared);
    assert_eq!(house.targets("a"), [""; 0]);
    house.write("t/1.json", r#"[{"targets": ["a:3"]}]"#);
    house.wait_for("b", &["fixed:2", "a:3@1.json"]).await;
    let prepared = house.prepare("");
    assert_eq!(prepared.changes().removed.count, 2);
    house.discovery.commit(prepared);
    assert_eq!(house.metric("prometheus_sd_discovered_targets"), 0.0);
}

#[tokio::test]
async fn many_targets_are_taken_over_and_too_many_are_not() {
    let house = House::new();
    let list = |count: usize| {
        let targets: Vec<String> = (0..count).map(|n| format!("\"h{n}:1\"")).collect();
        format!("[{{\"targets\": [{}]}}]", targets.join(","))
    };
    house.write("t/1.json", &list(100_000));
    house.reload(FILES);
    assert_eq!(house.targets("a").len(), 100_001);
    house.write("t/2.json", &list(TARGET_COUNT_MAX));
    house.write("t/1.json", &list(3));
    house.wait_for_metric("prometheus_sd_received_updates_total", 2.0).await;
    assert_eq!(house.targets("a").len(), 100_001);
    house.remove("t/2.json");
    let is_few = async {
        while house.targets("a").len() != 4 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, is_few).await.unwrap();
}

fn list(addresses: &str) -> Answer {
    Answer::body("application/json", &[], format!("[{{\"targets\": [{addresses}]}}]").as_bytes())
}

#[tokio::test]
async fn a_service_is_asked_again_and_again_and_its_last_good_list_stays() {
    let house = House::new();
    let service = FakeTarget::start().await;
    service.answer("/sd", list("\"a:1\""));
    let job = |url: &str| {
        format!("- {{job_name: a, http_sd_configs: [{{url: '{url}', refresh_interval: 50ms}}]}}")
    };
    house.reload(&job(&service.url("/sd")));
    house.wait_for("a", &["a:1"]).await;
    service.answer("/sd", list("\"a:2\", \"a:3\""));
    house.wait_for("a", &["a:2", "a:3"]).await;
    let before = house.discovery.target_set("a");
    for (index, answer) in
        [Answer::status("503 Busy"), Answer::text("[]"), Answer::Reset].into_iter().enumerate()
    {
        let failures = house.metric("prometheus_sd_http_failures_total");
        assert_eq!(failures > 0.0, index > 0);
        service.answer("/sd", answer);
        let more = async {
            while house.metric("prometheus_sd_http_failures_total") < failures + 2.0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, more).await.unwrap();
        assert_eq!(house.discovery.target_set("a"), before);
    }
    assert!(house.metric("prometheus_sd_refresh_failures_total") >= 6.0);

    // An edited entry begins with what the old one had, until its own first answer.
    service.answer("/other", list("\"b:1\""));
    house.reload(&job(&service.url("/other")));
    assert_eq!(house.targets("a"), ["a:2", "a:3"]);
    house.wait_for("a", &["b:1"]).await;
    // One that never answers does not keep the targets of another.
    house.reload(&job(&service.url("/nowhere")));
    house.wait_for("a", &[]).await;
    service.answer("/nowhere", list(""));
    house.reload("");
    let asked = service.requests().len();
    let ended = async {
        while house.handle.view().tasks_count > 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
    assert!(service.requests().len() <= asked + 1, "nobody is asked once nobody wants to know");
}

fn consul(index: u64, body: &str) -> Answer {
    let header = format!("X-Consul-Index: {index}");
    Answer::body("application/json", &[&header], body.as_bytes())
}

fn instances(addresses: &[&str]) -> String {
    let instance = |address: &&str| {
        format!(r#"{{"Node": {{"Address": "{address}"}}, "Service": {{"Port": 1}}, "Checks": []}}"#)
    };
    format!("[{}]", addresses.iter().map(instance).collect::<Vec<_>>().join(","))
}

#[tokio::test]
async fn services_of_consul_are_watched_and_the_last_good_ones_stay() {
    let house = House::new();
    let service = FakeTarget::start().await;
    let (catalog, web, db) =
        ("/v1/catalog/services", "/v1/health/service/web", "/v1/health/service/db");
    service.answer(catalog, consul(7, r#"{"web": [], "db": ["x"]}"#));
    service.answer(web, consul(8, &instances(&["w1", "w2"])));
    service.answer(db, consul(8, &instances(&["d1"])));
    let job = |keys: &str| {
        format!(
            "- {{job_name: a, consul_sd_configs: [{{server: '{}', datacenter: dc, refresh_interval: 10ms{keys}}}]}}",
            service.address()
        )
    };
    house.reload(&job(""));
    let empty = house.discovery.target_set("a");
    // All services come together, in the order of their names.
    house.wait_for("a", &["d1:1", "w1:1", "w2:1"]).await;
    assert_eq!(house.discovery.target_set("a").version, empty.version + 1);
    // Each request names what is known, so that it can wait for something new.
    let is_waiting = async {
        let waits = |path: &str, index: u64| {
            let query = format!("index={index}&wait=120000ms");
            service.requests().iter().any(|it| it.contains(path) && it.contains(&query))
        };
        while !(waits(catalog, 7) && waits(web, 8) && waits(db, 8)) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, is_waiting).await.unwrap();
    service.answer(web, consul(9, &instances(&["w3"])));
    house.wait_for("a", &["d1:1", "w3:1"]).await;
    // Failures leave all as it is.
    let before = house.discovery.target_set("a");
    for answer in [Answer::status("500 Oops"), Answer::text("<html>"), Answer::Reset] {
        let failures = house.metric("prometheus_sd_consul_rpc_failures_total");
        for path in [catalog, web, db] {
            service.answer(path, answer.clone());
        }
        let more = async {
            while house.metric("prometheus_sd_consul_rpc_failures_total") < failures + 6.0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, more).await.unwrap();
        assert_eq!(house.discovery.target_set("a"), before);
    }
    // A service that has gone takes its targets with it.
    service.answer(catalog, consul(10, r#"{"web": []}"#));
    service.answer(web, consul(10, &instances(&["w4"])));
    house.wait_for("a", &["w4:1"]).await;
    assert!(house.metric("prometheus_sd_consul_rpc_duration_seconds") > 10.0);
    // Named services need no catalog.
    service.answer(db, consul(11, &instances(&["d2"])));
    house.reload(&job(", services: [db]"));
    house.wait_for("a", &["d2:1"]).await;
    house.reload("");
    let ended = async {
        while house.handle.view().tasks_count > 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
}

#[tokio::test]
async fn an_api_that_fails_is_counted_and_its_last_good_targets_stay() {
    let house = House::new();
    let service = FakeTarget::start().await;
    let json = |body: &str| Answer::body("application/json", &[], body.as_bytes());
    let (services, web) = ("/v1/services", "/v1/service/web");
    service.answer(services, json(r#"[{"Services": [{"ServiceName": "web"}]}]"#));
    service.answer(web, json(r#"[{"Address": "n", "Port": 1}, {"Address": "n", "Port": 2}]"#));
    let url = service.url("");
    house.reload(&format!(
        "- {{job_name: a, nomad_sd_configs: [{{server: '{url}', refresh_interval: 50ms}}]}}"
    ));
    house.wait_for("a", &["n:1", "n:2"]).await;
    let before = house.discovery.target_set("a");
    for (path, answer) in [
        (web, Answer::status("500 Oops")),
        (web, json("[{")),
        (services, Answer::status("403 Forbidden")),
        (services, Answer::BytesThenHang(Vec::new())),
    ] {
        let failures = house.metric("prometheus_sd_nomad_failures_total");
        service.answer(path, answer);
        let more = async {
            while house.metric("prometheus_sd_nomad_failures_total") < failures + 2.0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, more).await.unwrap();
        assert_eq!(house.discovery.target_set("a"), before);
    }
    assert!(house.metric("prometheus_sd_refresh_failures_total") >= 8.0);
    // An empty list is an answer.
    service.answer(services, json("[]"));
    house.wait_for("a", &[]).await;
}
