//! Whole pools against targets on the loopback. Intervals are short, and every wait is for an event with
//! one patience for all.

use std::{ops::ControlFlow, path::Path, sync::Arc, time::Duration};

use prom_config::load_text;
use prom_lifecycle::{Handle, State};
use prom_model::{Labels, is_stale};
use prom_storage::Appendable;
use prom_telemetry::Registry;
use prom_testkit::{Answer, FakeTarget, RecordingStore, unix_socket_to};

use crate::{ScrapeManager, ScrapeOptions, TargetHealth, TargetView};

const PATIENCE: Duration = Duration::from_secs(20);

/// A manager over a store in memory.
struct House {
    manager: ScrapeManager,
    store: RecordingStore,
    handle: Handle,
    registry: Registry,
}

impl House {
    fn new() -> Self {
        let (store, registry) = (RecordingStore::default(), Registry::default());
        let handle = Handle::detached("test", State::Ready);
        let options = ScrapeOptions::new("Prometheus/3.5.0", "host");
        let appendable: Arc<dyn Appendable> = Arc::new(store.clone());
        let manager = ScrapeManager::new(appendable, handle.clone(), &registry, options);
        Self { manager, store, handle, registry }
    }

    /// Takes over jobs with a name and YAML keys each, scraped every 50 ms unless they say otherwise.
    fn reload(&self, jobs: &[(&str, &str)]) {
        let mut text =
            "global: {scrape_interval: 50ms, scrape_timeout: 50ms}\nscrape_configs:\n".to_owned();
        for (name, keys) in jobs {
            text.push_str(&format!("  - job_name: {name}\n"));
            keys.lines().for_each(|line| text.push_str(&format!("    {line}\n")));
        }
        let cfg = load_text(Path::new("test.yml"), text.as_bytes()).unwrap();
        let prepared = self.manager.prepare(&cfg).unwrap();
        self.manager.commit(prepared);
    }

    fn job(&self, name: &str) -> Option<TargetView> {
        self.manager.targets().into_iter().find(|target| &*target.scrape_pool == name)
    }

    async fn wait_for_health(&self, job: &str, health: TargetHealth) -> TargetView {
        let is_it = || self.job(job).filter(|target| target.health == health);
        eventually(&format!("{job} {health:?}"), is_it).await
    }

    /// Values of a series with these labels, `None` for the staleness marker.
    fn values(&self, labels: &[(&str, &str)]) -> Vec<Option<f64>> {
        let samples = self.store.samples(&Labels::from_pairs(labels.iter().copied()));
        samples.iter().map(|(_, value)| (!is_stale(*value)).then_some(*value)).collect()
    }

    fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name == name).unwrap();
        match &family.metrics[0].value {
            prom_telemetry::MetricValue::Number(value) => *value,
            other => panic!("{other:?}"),
        }
    }
}

async fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = probe() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"))
}

fn at(target: &FakeTarget) -> String {
    format!("static_configs: [{{targets: ['{}']}}]", target.address())
}

#[tokio::test]
async fn a_target_is_scraped_and_shown() {
    let house = House::new();
    let target = FakeTarget::start().await;
    target.answer("/metrics", Answer::text("# HELP a help\n# TYPE a gauge\na 1\n"));
    house.reload(&[("j", &at(&target))]);
    let fresh = house.job("j").unwrap();
    assert_eq!((fresh.health, fresh.last_scrape_ms), (TargetHealth::Unknown, None));
    let view = house.wait_for_health("j", TargetHealth::Up).await;
    target.wait_for_requests(3).await;
    let address = target.address();
    let labels = [("instance", address.as_str()), ("job", "j")];
    assert_eq!(view.labels, Labels::from_pairs(labels));
    assert_eq!(view.discovered_labels.get("__scrape_interval__"), Some("50ms"));
    assert_eq!(view.scrape_url, target.url("/metrics"));
    assert_eq!(view.last_error, "");
    assert!(view.last_scrape_ms.is_some() && view.last_scrape_duration > Duration::ZERO);
    assert_eq!(view.scrape_interval, Duration::from_millis(50));
    let head = target.requests()[0].to_lowercase();
    for line in [
        "get /metrics http/1.1",
        "user-agent: prometheus/3.5.0",
        "accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        "accept-encoding: gzip",
        "x-prometheus-scrape-timeout-seconds: 0.05",
    ] {
        assert!(head.contains(line), "{line}: {head}");
    }
    let series = [("__name__", "a"), labels[0], labels[1]];
    assert!(house.values(&series).iter().all(|value| *value == Some(1.0)));
    let up = [("__name__", "up"), labels[0], labels[1]];
    assert_eq!(house.values(&up)[0], Some(1.0));
    // One connection serves all scrapes.
    assert_eq!(target.connection_count(), 1);
    let pools = house.manager.pools();
    assert_eq!((pools[0].active_count, pools[0].up_count, pools[0].dropped_count), (1, 1, 0));
    let mut said = Vec::new();
    house.manager.visit_metadata(&mut |labels, metadata| {
        said.push((labels.clone(), metadata.clone()));
        ControlFlow::Continue(())
    });
    assert_eq!(said.len(), 1);
    assert_eq!((&*said[0].1.family, said[0].1.kind, &*said[0].1.help), ("a", "gauge", "help"));
    assert_eq!(house.metric("prometheus_target_metadata_cache_entries"), 1.0);
    assert_eq!(house.metric("prometheus_target_scrape_pool_targets"), 1.0);
}

#[tokio::test]
async fn targets_may_listen_on_unix_sockets() {
    let house = House::new();
    let folder = tempfile::tempdir().unwrap();
    let job = |name: &str| {
        let path = folder.path().join(name).display().to_string();
        format!(
            "static_configs: [{{targets: ['h.invalid:1'], labels: {{__unix_socket__: '{path}'}}}}]"
        )
    };
    let (one, other) = (FakeTarget::start().await, FakeTarget::start().await);
    for (target, name) in [(&one, "one"), (&other, "other")] {
        target.answer("/metrics", Answer::text(&format!("{name} 1\n")));
        unix_socket_to(target.address(), &folder.path().join(name));
    }
    house.reload(&[("one", &job("one")), ("other", &job("other")), ("none", &job("none"))]);
    for name in ["one", "other"] {
        let view = house.wait_for_health(name, TargetHealth::Up).await;
        assert_eq!(view.scrape_url, "http://h.invalid:1/metrics");
        let labels = [("__name__", name), ("instance", "h.invalid:1"), ("job", name)];
        assert_eq!(house.values(&labels)[0], Some(1.0));
    }
    assert!(one.requests()[0].to_lowercase().contains("\r\nhost: h.invalid:1\r\n"));
    let view = house.wait_for_health("none", TargetHealth::Down).await;
    let path = folder.path().join("none");
    let expected = format!("dial unix {}: connect: no such file or directory", path.display());
    assert!(view.last_error.ends_with(&expected), "{}", view.last_error);
}

#[tokio::test]
async fn each_bad_target_has_its_reason_and_harms_nobody() {
    let house = House::new();
    let target = FakeTarget::start().await;
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n";
    let answers = [
        ("good", "", Answer::text("a 1\n"), ""),
        ("empty", "", Answer::text(""), ""),
        ("error", "", Answer::status("500 Oh no"), "server returned HTTP status 500 Oh no"),
        ("hang", "", Answer::BytesThenHang(Vec::new()), "Get \"URL\": context deadline exceeded"),
        ("slow", "", Answer::BytesThenHang(head.to_vec()), "context deadline exceeded"),
        ("early", "", Answer::BytesThenClose(Vec::new()), "Get \"URL\": EOF"),
        (
            "forever",
            "body_size_limit: 1MB\nscrape_interval: 5s\nscrape_timeout: 5s",
            Answer::BytesThenForever(head.to_vec(), b"a 1\n".repeat(10_000)),
            "body size limit exceeded",
        ),
        (
            "html",
            "",
            Answer::body("text/html", &[], b"<html>\n"),
            "received unsupported Content-Type \"text/html\" and no fallback_scrape_protocol specified for target",
        ),
        (
            "proto",
            "",
            Answer::body("application/vnd.google.protobuf", &[], &[0xff; 9]),
            "clientpb: invalid varint encountered",
        ),
        (
            "garbage",
            "",
            Answer::body("text/plain", &[], &[0xff; 100]),
            "expected a valid start token, got",
        ),
        ("limit", "sample_limit: 1", Answer::text("a 1\nb 1\n"), "sample limit exceeded"),
        (
            "many",
            "target_limit: 1",
            Answer::text(""),
            "target_limit exceeded (number of targets: 2, limit: 1)",
        ),
    ];
    let jobs: Vec<_> = answers
        .iter()
        .map(|(name, keys, answer, _)| {
            target.answer(&format!("/{name}"), answer.clone());
            let more = if *name == "many" { ", '127.0.0.1:1'" } else { "" };
            let targets = format!("static_configs: [{{targets: ['{}'{more}]}}]", target.address());
            (*name, format!("{keys}\nmetrics_path: /{name}\n{targets}"))
        })
        .collect();
    let jobs: Vec<_> = jobs.iter().map(|(name, keys)| (*name, keys.as_str())).collect();
    house.reload(&jobs);
    for (name, _, _, error) in answers {
        let health = if error.is_empty() { TargetHealth::Up } else { TargetHealth::Down };
        let view = house.wait_for_health(name, health).await;
        let expected = error.replace("URL", &target.url(&format!("/{name}")));
        assert!(view.last_error.starts_with(&expected), "{name}: {}", view.last_error);
        assert_eq!(view.last_error.is_empty(), expected.is_empty(), "{name}: {}", view.last_error);
    }
    assert_eq!(house.metric("prometheus_target_scrapes_exceeded_body_size_limit_total"), 1.0);
    assert_eq!(house.job("good").unwrap().health, TargetHealth::Up);
}

#[tokio::test]
async fn a_reload_leaves_alone_what_it_does_not_change() {
    let house = House::new();
    let (kept, other) = (FakeTarget::start().await, FakeTarget::start().await);
    for target in [&kept, &other] {
        target.answer("/metrics", Answer::text("a 1\n"));
        target.answer("/other", Answer::text("a 1\n"));
    }
    house.reload(&[("kept", &at(&kept)), ("other", &at(&other))]);
    kept.wait_for_requests(2).await;
    other.wait_for_requests(2).await;
    let lookup_count = house.store.lookup_count();
    // One job changes its timeout, then a target comes to it.
    house.reload(&[
        ("kept", &at(&kept)),
        ("other", &format!("scrape_timeout: 40ms\n{}", at(&other))),
    ]);
    assert_eq!(house.job("other").unwrap().scrape_timeout, Duration::from_millis(40));
    assert_eq!(house.job("other").unwrap().health, TargetHealth::Up);
    kept.wait_for_requests(4).await;
    other.wait_for_requests(4).await;
    assert_eq!(house.store.lookup_count(), lookup_count);
    assert_eq!((kept.connection_count(), other.connection_count()), (1, 1));
    assert_eq!(house.metric("prometheus_target_scrape_pool_reloads_total"), 1.0);
    let both = format!(
        "static_configs: [{{targets: ['{}', '{}']}}]",
        other.address(),
        other.address().replace("127.0.0.1", "localhost")
    );
    house.reload(&[("kept", &at(&kept)), ("other", &both)]);
    eventually("both up", || (house.manager.pools()[1].up_count == 2).then_some(())).await;
    assert_eq!(other.connection_count(), 2);
}

#[tokio::test]
async fn a_target_that_is_gone_is_marked_unless_it_returns() {
    let house = House::new();
    let target = FakeTarget::start().await;
    target.answer("/metrics", Answer::text("a 1\n"));
    let address = target.address();
    let labels = [("__name__", "a"), ("instance", address.as_str()), ("job", "j")];
    house.reload(&[("j", &at(&target))]);
    house.wait_for_health("j", TargetHealth::Up).await;
    let lookup_count = house.store.lookup_count();
    // Gone and back at once: nothing is marked, nothing is forgotten.
    house.reload(&[("j", "static_configs: []")]);
    assert_eq!(house.manager.targets(), []);
    house.reload(&[("j", &at(&target))]);
    let count = target.requests().len();
    target.wait_for_requests(count + 3).await;
    assert!(house.values(&labels).iter().all(Option::is_some));
    assert_eq!(house.store.lookup_count(), lookup_count);
    // Gone for good, with its job.
    house.reload(&[]);
    assert_eq!(house.manager.pools().iter().map(|pool| pool.active_count).sum::<usize>(), 0);
    let is_marked = || (house.values(&labels).last() == Some(&None)).then_some(());
    eventually("marked", is_marked).await;
    let last_two = &house.store.samples(&Labels::from_pairs(labels));
    let [.., (last_ms, _), (marked_ms, _)] = last_two[..] else { panic!("{last_two:?}") };
    // The marker has the time at which the target was first missed, though it is written later.
    assert!(marked_ms - last_ms <= 2 * 50, "{last_ms} {marked_ms}");
    let up = [("__name__", "up"), labels[1], labels[2]];
    assert_eq!(house.values(&up).last(), Some(&None));
}

#[tokio::test]
async fn discovery_changes_targets_without_a_reload() {
    let house = House::new();
    let target = FakeTarget::start().await;
    target.answer("/metrics", Answer::text("a 1\n"));
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| std::fs::write(folder.path().join("t.json"), text).unwrap();
    let keys = format!(
        "relabel_configs: [{{source_labels: [keep], regex: 'no', action: drop}}]\nkeep_dropped_targets: 1\nfile_sd_configs: [{{files: ['{}/*.json']}}]",
        folder.path().display()
    );
    house.reload(&[("j", &keys)]);
    let address = target.address();
    let yes = format!(r#"{{"targets": ["{address}", "{address}"], "labels": {{"keep": "yes"}}}}"#);
    let no = r#"{"targets": ["x:1", "x:2"], "labels": {"keep": "no"}}"#;
    write(&format!("[{yes},{no}]"));
    eventually("found", || house.job("j")).await;
    let view = house.wait_for_health("j", TargetHealth::Up).await;
    assert_eq!(view.labels.get("keep"), Some("yes"));
    let file = folder.path().join("t.json").display().to_string();
    assert_eq!(view.discovered_labels.get("__meta_filepath"), Some(file.as_str()));
    let pools = house.manager.pools();
    // Of two equal targets there is one; of dropped ones as many are remembered as the job says.
    assert_eq!((pools[0].active_count, pools[0].dropped_count), (1, 2));
    assert_eq!(house.manager.dropped_targets().len(), 1);

    // What stays is not touched: its loop goes on, with nothing missed.
    let scrapes = target.requests().len();
    write(&format!(r#"[{yes},{{"targets": ["y:1"]}}]"#));
    eventually("two", || (house.manager.targets().len() == 2).then_some(())).await;
    target.wait_for_requests(scrapes + 3).await;
    let labels = [("__name__", "a"), ("instance", address.as_str()), ("job", "j"), ("keep", "yes")];
    assert!(house.values(&labels).iter().all(|value| *value == Some(1.0)));
    write(&format!("[{no}]"));
    eventually("gone", || house.manager.targets().is_empty().then_some(())).await;
}

#[tokio::test]
async fn of_many_targets_only_those_that_change_are_touched() {
    const FILE_COUNT: usize = 20;
    const TARGETS_IN_FILE_COUNT: usize = 1_000;
    const JOB_COUNT: usize = 1_000;
    let house = House::new();
    let target = FakeTarget::start().await;
    target.answer("/metrics", Answer::text("a 1\n"));
    let folder = tempfile::tempdir().unwrap();
    let write = |file: usize, port: u32| {
        let targets = (0..TARGETS_IN_FILE_COUNT).map(|n| match n {
            0 => format!("\"10.{file}.0.0:{port}\""),
            _ => format!("\"10.{file}.{}.{}:1\"", n / 256, n % 256),
        });
        let text = format!("[{{\"targets\": [{}]}}]", targets.collect::<Vec<_>>().join(","));
        std::fs::write(folder.path().join(format!("{file:02}.json")), text).unwrap();
    };
    (0..FILE_COUNT).for_each(|file| write(file, 1));
    let many = format!(
        "scrape_interval: 1h\nscrape_timeout: 1h\nfile_sd_configs: [{{files: ['{}/*.json']}}]",
        folder.path().display()
    );
    let names: Vec<String> = (0..JOB_COUNT).map(|n| format!("job-{n}")).collect();
    let single =
        "scrape_interval: 1h\nscrape_timeout: 1h\nstatic_configs: [{targets: ['10.99.0.0:1']}]";
    let steady = at(&target);
    let mut jobs = vec![("many", many.as_str()), ("steady", steady.as_str())];
    jobs.extend(names.iter().map(|name| (name.as_str(), single)));
    house.reload(&jobs);
    let count = FILE_COUNT * TARGETS_IN_FILE_COUNT + JOB_COUNT + 1;
    assert_eq!(house.manager.targets().len(), count);
    house.wait_for_health("steady", TargetHealth::Up).await;

    let before = house.manager.plans();
    let scrapes = target.requests().len();
    write(7, 2);
    let is_there = || {
        let targets = house.manager.targets();
        targets
            .iter()
            .any(|target| target.scrape_url.starts_with("http://10.7.0.0:2/"))
            .then_some(())
    };
    eventually("the new target", is_there).await;
    let after = house.manager.plans();
    assert_eq!(after.len(), count);
    let known: std::collections::HashSet<_> = before.iter().map(Arc::as_ptr).collect();
    let touched = after.iter().filter(|plan| !known.contains(&Arc::as_ptr(plan)));
    assert_eq!(touched.count(), 1, "loops were told of what does not concern them");
    // Scrapes go on meanwhile.
    target.wait_for_requests(scrapes + 3).await;

    // A reload that changes one job leaves the others alone.
    let other = single.replace("10.99", "10.98");
    jobs[2].1 = &other;
    let before = house.manager.plans();
    house.reload(&jobs);
    let known: std::collections::HashSet<_> = before.iter().map(Arc::as_ptr).collect();
    let plans = house.manager.plans();
    assert_eq!(plans.iter().filter(|plan| !known.contains(&Arc::as_ptr(plan))).count(), 1);
}

#[tokio::test]
async fn a_full_store_is_shown_and_heals() {
    let house = House::new();
    let target = FakeTarget::start().await;
    target.answer("/metrics", Answer::text("a 1\n"));
    house.store.set_full(true);
    house.reload(&[("j", &at(&target))]);
    let view = house.wait_for_health("j", TargetHealth::Down).await;
    assert!(view.last_error.starts_with("wal: write: "), "{}", view.last_error);
    house.store.set_full(false);
    house.wait_for_health("j", TargetHealth::Up).await;
}

#[tokio::test]
async fn loops_end_with_the_service_and_mark_nothing() {
    let house = House::new();
    let target = FakeTarget::start().await;
    target.answer("/metrics", Answer::text("a 1\n"));
    house.reload(&[("j", &at(&target))]);
    house.wait_for_health("j", TargetHealth::Up).await;
    house.handle.cancellation().cancel();
    eventually("ended", || (house.handle.view().tasks_count == 0).then_some(())).await;
    let added = house.store.take_added();
    assert!(added.iter().all(|(.., value)| !is_stale(*value)));
}

#[tokio::test]
async fn a_loop_behind_its_promise_is_noticed() {
    let house = House::new();
    let target = FakeTarget::start().await;
    target.answer("/metrics", Answer::text("a 1\n"));
    house.reload(&[("j", &format!("scrape_interval: 1h\n{}", at(&target)))]);
    tokio::task::yield_now().await;
    assert!(house.manager.overdue_target().is_none());
    house.manager.wedge("j");
    assert_eq!(house.manager.overdue_target(), Some(target.url("/metrics")));
}

#[tokio::test]
async fn large_bodies_are_worked_on_elsewhere() {
    let house = House::new();
    let target = FakeTarget::start().await;
    let body: String = (0..20_000).map(|n| format!("a{{n=\"{n}\"}} {n}\n")).collect();
    target.answer("/metrics", Answer::text(&body));
    let slow = "scrape_interval: 1s\nscrape_timeout: 1s";
    house.reload(&[("j", &format!("{slow}\n{}", at(&target)))]);
    house.wait_for_health("j", TargetHealth::Up).await;
    let address = target.address();
    let labels =
        [("__name__", "scrape_samples_scraped"), ("instance", address.as_str()), ("job", "j")];
    assert_eq!(house.values(&labels)[0], Some(20_000.0));
}
