//! A site over made-up rooms, for the tests of this room: a store in memory, targets out of a list.
//! Its faults: none; every room answers at once.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use axum::{Router, body::Body};
use http::{HeaderMap, Method, Request, StatusCode, header::CONTENT_TYPE};
use http_body_util::BodyExt;
use prom_cli::BuildInfo;
use prom_config::{Accepted, Changes, Generations, Rejection, RoomChange, SourceText, Sources};
use prom_lifecycle::{Handle, State};
use prom_model::{
    Exemplar, Labels, Matcher, NameValidation, RelabelAction, RelabelRule, RelabelSpec,
};
use prom_promql::{Engine, EngineOptions, ParseOptions};
use prom_remote::Receiver;
use prom_scrape::{DroppedTargetView, MetricMetadata, PoolView, TargetHealth, TargetView};
use prom_storage::{ExemplarQueryable, ExemplarSeries, StorageError, TimeRange};
use prom_telemetry::Registry;
use prom_testkit::{MemoryStore, RecordingStore};
use prom_tsdb::{HeadStats, StatEntry, TsdbStats};
use tower::ServiceExt;

use crate::{MetadataVisitor, Targets, TsdbAdmin, WalReplay, WebOptions, WebParts, router};

/// A moment that all tests share: samples end here.
pub(crate) const NOW_S: i64 = 1_700_000_000;

/// A label value as an attacker would choose it.
pub(crate) const HOSTILE: &str = "\"><script>alert('x')</script>&{{7*7}}";

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// A router and what is behind it.
pub(crate) struct Site {
    router: Router,
    pub(crate) registry: Registry,
}

impl Site {
    /// A site that is ready.
    pub(crate) fn new() -> Self {
        Self::with_targets(ListedTargets::few())
    }

    /// A site that is ready and has never stored anything.
    pub(crate) fn with_empty_store() -> Self {
        let options = WebOptions::default();
        Self::build(options, State::Ready, ListedTargets::default(), MemoryStore::default())
    }

    /// A site that is ready, with these targets.
    pub(crate) fn with_targets(targets: ListedTargets) -> Self {
        let external_url = "http://prom.example.org/".parse().unwrap();
        let options = WebOptions { external_url, ..WebOptions::default() };
        Self::build(options, State::Ready, targets, store())
    }

    pub(crate) fn with(options: WebOptions, state: State) -> Self {
        Self::build(options, state, ListedTargets::few(), store())
    }

    /// A site that is ready and takes remote write.
    pub(crate) fn with_remote_write() -> Self {
        let received = Arc::new(RecordingStore::default());
        let take = |parts: &mut WebParts| {
            parts.remote_write = Some(Arc::new(Receiver::new(received, &parts.registry)));
        };
        let options = WebOptions::default();
        Self::build_with(options, State::Ready, ListedTargets::few(), store(), take)
    }

    /// A site that is ready and was started with `--web.enable-admin-api`.
    pub(crate) fn with_admin() -> Self {
        let switch = |parts: &mut WebParts| {
            parts.flags.insert("web.enable-admin-api".to_owned(), "true".to_owned());
        };
        let options = WebOptions::default();
        Self::build_with(options, State::Ready, ListedTargets::few(), store(), switch)
    }

    /// A site that is ready and lets its store be changed.
    pub(crate) fn with_tsdb_admin(admin: Arc<dyn TsdbAdmin>) -> Self {
        let options = WebOptions::default();
        Self::build_with(options, State::Ready, ListedTargets::few(), store(), |parts| {
            parts.tsdb_admin = Some(admin);
        })
    }

    fn build(
        options: WebOptions,
        state: State,
        targets: ListedTargets,
        store: MemoryStore,
    ) -> Self {
        Self::build_with(options, state, targets, store, |_| {})
    }

    fn build_with(
        options: WebOptions,
        state: State,
        targets: ListedTargets,
        store: MemoryStore,
        change: impl FnOnce(&mut WebParts),
    ) -> Self {
        let registry = Registry::default();
        let config = prom_config::load_text(Path::new("prometheus.yml"), b"global: {}\n").unwrap();
        let mut parts = WebParts {
            engine: Arc::new(Engine::new(EngineOptions::default(), &registry)),
            parse_options: ParseOptions::default(),
            storage: Arc::new(store),
            exemplars: Arc::new(OneExemplar),
            tsdb_stats: Arc::new(tsdb_stats),
            wal_replay: Arc::new(|| WalReplay { min: 1, max: 3, current: 3 }),
            remote_write: None,
            tsdb_admin: None,
            targets: Arc::new(targets),
            config: Arc::new(ArcSwap::from_pointee(config)),
            generations: Arc::new(generations()),
            flags: BTreeMap::from([
                ("config.file".to_owned(), "prometheus.yml".to_owned()),
                ("web.page-title".to_owned(), HOSTILE.to_owned()),
            ]),
            build: BuildInfo { version: "1.2.3".to_owned(), ..BuildInfo::default() },
            previous_stop: "clean",
            storage_retention: Arc::new(|| "15d".to_owned()),
            registry: registry.clone(),
            lifecycle: Handle::detached("Prometheus Server", state),
        };
        change(&mut parts);
        Self { router: router(options, parts), registry }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, form: &str) -> Answer {
        let form_type = (CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded");
        self.ask(Method::POST, path, &[form_type], form).await
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        Answer { status: parts.status, headers: parts.headers, body }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// `up` of two jobs and a counter, a minute apart over an hour, ending at [`NOW_S`].
fn store() -> MemoryStore {
    let store = MemoryStore::default();
    let times = || (0..=60).map(|minute| (NOW_S - 3600 + minute * 60) * 1000);
    for (name, job, instance) in [
        ("up", "api", "a:1"),
        ("up", "api", "b:1"),
        ("up", HOSTILE, "c:1"),
        ("requests_total", "api", "a:1"),
    ] {
        let labels = Labels::from_pairs([("__name__", name), ("job", job), ("instance", instance)]);
        let value = |at_ms: i64| if name == "up" { 1.0 } else { (at_ms / 1000 % 86_400) as f64 };
        store.push_series(labels, times().map(|at_ms| (at_ms, value(at_ms))));
    }
    store
}

/// A store whose only exemplar is that of `requests_total`.
struct OneExemplar;

impl ExemplarQueryable for OneExemplar {
    fn exemplars(
        &self,
        range: TimeRange,
        sets: &[Vec<Matcher>],
    ) -> Result<Vec<ExemplarSeries>, StorageError> {
        let labels = Labels::from_pairs([("__name__", "requests_total"), ("job", "api")]);
        let timestamp_ms = NOW_S * 1000 + 500;
        let value_of = |matcher: &Matcher| labels.get(matcher.name()).unwrap_or_default();
        let is_match = |set: &Vec<Matcher>| set.iter().all(|m| m.matches(value_of(m)));
        if range.maxt_ms < timestamp_ms || !sets.iter().any(is_match) {
            return Ok(Vec::new());
        }
        let trace = Labels::from_pairs([("trace_id", HOSTILE)]);
        let exemplars = vec![Exemplar { labels: trace, value: 2.5, timestamp_ms }];
        Ok(vec![ExemplarSeries { labels, exemplars }])
    }
}

fn tsdb_stats(limit: usize) -> TsdbStats {
    let list = |name: &str| {
        let entry = |index: u64| StatEntry { name: format!("{name}<{index}>"), value: 10 - index };
        (0..3).take(limit).map(entry).collect()
    };
    TsdbStats {
        head: HeadStats {
            series_count: 4,
            label_pairs_count: 7,
            chunks_count: 4,
            min_time_ms: (NOW_S - 3600) * 1000,
            max_time_ms: NOW_S * 1000,
        },
        series_count_by_metric_name: list("metric"),
        label_value_count_by_label_name: list("label"),
        memory_in_bytes_by_label_name: list("memory"),
        series_count_by_label_value_pair: list("pair"),
        series_refused_by_limit: Vec::new(),
    }
}

/// Targets out of a list.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListedTargets {
    active: Vec<TargetView>,
    dropped: Vec<DroppedTargetView>,
}

impl ListedTargets {
    /// One up, one down with an error, one dropped.
    pub(crate) fn few() -> Self {
        let error = format!("Get \"http://b:1/metrics\": {HOSTILE}");
        let dropped = Labels::from_pairs([("__address__", "x:1"), ("job", "api")]);
        Self {
            active: vec![
                target("api", "localhost:9090", TargetHealth::Up, ""),
                target("api", "b:1", TargetHealth::Down, &error),
                target(HOSTILE, "c:1", TargetHealth::Unknown, ""),
            ],
            dropped: vec![DroppedTargetView {
                scrape_pool: "api".into(),
                discovered_labels: dropped,
            }],
        }
    }

    /// Many targets in ten pools, every seventh of them down.
    pub(crate) fn many(count: usize) -> Self {
        let one = |index: usize| {
            let health =
                if index.is_multiple_of(7) { TargetHealth::Down } else { TargetHealth::Up };
            let address = format!("host-{index:05}:9100");
            target(&format!("pool-{}", index * 10 / count), &address, health, "")
        };
        Self { active: (0..count).map(one).collect(), dropped: Vec::new() }
    }
}

fn target(pool: &str, address: &str, health: TargetHealth, error: &str) -> TargetView {
    let is_known = health != TargetHealth::Unknown;
    TargetView {
        scrape_pool: pool.into(),
        discovered_labels: Labels::from_pairs([("__address__", address), ("job", pool)]),
        labels: Labels::from_pairs([("instance", address), ("job", pool)]),
        scrape_url: format!("http://{address}/metrics"),
        last_error: error.to_owned(),
        last_scrape_ms: is_known.then_some(NOW_S * 1000),
        last_scrape_duration: Duration::from_micros(if is_known { 1_500 } else { 0 }),
        health,
        scrape_interval: Duration::from_secs(90),
        scrape_timeout: Duration::from_secs(10),
    }
}

impl Targets for ListedTargets {
    fn active(&self) -> Vec<TargetView> {
        self.active.clone()
    }

    fn dropped(&self) -> Vec<DroppedTargetView> {
        self.dropped.clone()
    }

    fn pools(&self) -> Vec<PoolView> {
        let mut pools: BTreeMap<Arc<str>, PoolView> = BTreeMap::new();
        for target in &self.active {
            let name = Arc::clone(&target.scrape_pool);
            let dropped = self.dropped.iter().filter(|dropped| dropped.scrape_pool == name);
            let dropped_count = dropped.count();
            let pool = pools.entry(Arc::clone(&name)).or_insert_with(|| PoolView {
                name,
                active_count: 0,
                up_count: 0,
                dropped_count,
            });
            pool.active_count += 1;
            pool.up_count += usize::from(target.health == TargetHealth::Up);
        }
        pools.into_values().collect()
    }

    /// The pool `api` replaces one label and drops another target than its own.
    fn relabel_rules(&self, pool: &str) -> Option<Vec<RelabelRule>> {
        let rule = |spec| RelabelRule::new(spec, NameValidation::Utf8).expect("the rule is valid");
        let label = |name: &str| Some(vec![name.to_owned()]);
        let replace = RelabelSpec {
            source_labels: label("__address__"),
            target_label: "instance".to_owned(),
            ..RelabelSpec::default()
        };
        let drop = RelabelSpec {
            source_labels: label("instance"),
            regex: Some("x:1".to_owned()),
            action: RelabelAction::Drop,
            ..RelabelSpec::default()
        };
        let map = RelabelSpec {
            regex: Some("__meta_(.+)".to_owned()),
            action: RelabelAction::LabelMap,
            ..RelabelSpec::default()
        };
        (pool == "api").then(|| [replace, drop, map].map(rule).to_vec())
    }

    fn visit_metadata(&self, visit: &mut MetadataVisitor<'_>) {
        let tell = |family: &str, kind: &'static str, help: &str| MetricMetadata {
            family: family.into(),
            kind,
            help: help.into(),
            unit: "".into(),
        };
        let told = [
            tell("up_total", "counter", "Ups & <downs>."),
            tell("build_info", "gauge", "Build."),
            tell("up_total", "counter", "Another help."),
        ];
        for target in &self.active {
            for metadata in &told {
                if visit(&target.labels, metadata).is_break() {
                    return;
                }
            }
        }
    }
}

/// A generation and a refusal, with texts of others in them; nothing is on disk.
fn generations() -> Generations {
    let generations = Generations::open(Path::new("/proc/no/such/folder"));
    let path = Path::new("prometheus.yml");
    let text = serde_json::json!({"scrape_configs": [{"job_name": HOSTILE}]}).to_string();
    let mut sources = Sources::with_text(path, text.as_bytes());
    sources.read(path).unwrap();
    let mut changes = Changes::default();
    changes.add(RoomChange::between("scrape jobs", [], [(HOSTILE, 1)]));
    generations.accept(Accepted {
        accepted_ms: NOW_S * 1000,
        cause: HOSTILE.to_owned(),
        restores: None,
        changes,
        sources: &sources,
        is_file_other: false,
    });
    let errors = format!("prometheus.yml:1:1: {HOSTILE}");
    let rejection = Rejection { rejected_ms: NOW_S * 1000, cause: HOSTILE.to_owned(), errors };
    let text = format!("password: s3cret\n{HOSTILE}: [");
    let text = SourceText { path: "prometheus.yml".into(), bytes: text.as_bytes().into() };
    generations.reject(rejection, Some(&text));
    generations
}
