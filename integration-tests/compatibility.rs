//! Beside the original: a real exporter scraped, and our data folder opened by the real `prometheus`.

use std::thread::available_parallelism;

use serde_json::Value;

use crate::harness::{Need, Peer, ServerBuilder, Target, eventually, get, need, post};

const QUERY: &str = "sum by (mode) (rate(node_cpu_seconds_total[1m]))";

#[test]
fn metadata_is_logged_where_it_is_asked_for_and_the_original_reads_it() {
    const FEATURE: &str = "--enable-feature=metadata-wal-records";
    let target = Target::serving(|_| "# HELP a Logged help.\n# TYPE a gauge\na 1\n".to_owned());
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
         scrape_configs: [{{job_name: j, static_configs: [{{targets: [\"{}\"]}}]}}]\n",
        target.address()
    );
    for is_asked_for in [false, true] {
        let server = ServerBuilder::new(&config).arg("--no-storage.tsdb.wal-compression");
        let mut server = if is_asked_for { server.arg(FEATURE) } else { server }.start();
        eventually("a scrape", || server.value("a"));
        server.kill();
        let wal = std::fs::read_dir(server.data_path().join("wal")).unwrap();
        let segments = wal.filter_map(|entry| std::fs::read(entry.unwrap().path()).ok());
        let log = segments.collect::<Vec<_>>().concat();
        let count = |text: &[u8]| log.windows(text.len()).filter(|it| *it == text).count();
        assert_eq!(count(b"Logged help."), usize::from(is_asked_for));
        let Some(original) = need(Need::Peer("prometheus")) else { return };
        let original = Peer::original_on(&original, server.data_path(), &[FEATURE]);
        let metrics = get(&original.address, "/metrics").unwrap().body;
        for line in [
            "prometheus_tsdb_wal_corruptions_total 0",
            "prometheus_tsdb_wal_replay_unknown_refs_total{type=\"metadata\"} 0",
        ] {
            let is_told = line.split_once(' ').is_some_and(|(name, _)| metrics.contains(name));
            assert!(metrics.contains(line) || !is_told, "{line}: {metrics}");
        }
    }
}

#[test]
fn slow_a_real_exporter_is_scraped_and_the_original_opens_our_data() {
    let Some(exporter) = need(Need::Peer("prometheus-node-exporter")) else { return };
    let Some(original) = need(Need::Peer("prometheus")) else { return };
    let exporter =
        Peer::start(&exporter, |address| vec![format!("--web.listen-address={address}")]);
    let mut server = ServerBuilder::new(&format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
         scrape_configs: [{{job_name: node, static_configs: [{{targets: [\"{}\"]}}]}}]\n",
        exporter.address
    ))
    .start();
    // a rate over a minute is right once there is a minute
    for scrape_count in [30.0, 64.0] {
        eventually("a minute of scrapes", || {
            server.value("count_over_time(up[10m])").filter(|count| *count >= scrape_count)
        });
    }

    let cores = available_parallelism().unwrap().get() as f64;
    let total = server.value(&format!("sum({QUERY})")).unwrap();
    assert!((total - cores).abs() < 0.15 * cores, "{total} seconds a second on {cores} cores");

    let time = server.value("vector(time())").unwrap();
    let queries = [
        QUERY.to_owned(),
        "node_cpu_seconds_total".to_owned(),
        "sum by (job) (scrape_samples_scraped)".to_owned(),
        "count_over_time(up[1m])".to_owned(),
        "max by (device) (node_network_receive_bytes_total) - 1".to_owned(),
        "count({__name__=~\".+\"})".to_owned(),
    ];
    let at = |address: &str, query: &str| {
        let form = format!("time={time}&query={}", percent(query));
        sorted(&post(address, "/api/v1/query", &form).unwrap().json())
    };
    let ours: Vec<Value> = queries.iter().map(|query| at(&server.address(), query)).collect();
    assert!(server.stop().success());

    let config = server.config_path().display().to_string();
    let data = server.data_path().display().to_string();
    let original = Peer::start(&original, |address| {
        vec![
            format!("--config.file={config}"),
            format!("--storage.tsdb.path={data}"),
            format!("--web.listen-address={address}"),
        ]
    });
    eventually("the original is ready", || {
        get(&original.address, "/-/ready").ok().filter(|answer| answer.status == 200)
    });
    for (query, ours) in queries.iter().zip(&ours) {
        assert_eq!(&at(&original.address, query), ours, "{query}");
    }
    let metrics = get(&original.address, "/metrics").unwrap().body;
    let corruptions =
        metrics.lines().find(|line| line.starts_with("prometheus_tsdb_wal_corruptions_total "));
    assert_eq!(corruptions, Some("prometheus_tsdb_wal_corruptions_total 0"));
}

/// The result with its series in order.
fn sorted(answer: &Value) -> Value {
    assert_eq!(answer["status"], "success", "{answer}");
    let mut result = answer["data"]["result"].as_array().unwrap().clone();
    result.sort_by_key(|series| series["metric"].to_string());
    Value::Array(result)
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// `{__name__="a", b="c"} 1.5 1750016837413` to labels, time and value.
fn dump_line(line: &str) -> Option<(String, i64, f64)> {
    let (rest, time) = line.rsplit_once(' ')?;
    let (labels, value) = rest.rsplit_once("} ")?;
    let value: f64 = value.parse().ok()?;
    Some((format!("{labels}}}"), time.parse().ok()?, value))
}

#[test]
fn the_log_of_a_killed_original_is_read_to_the_last_float() {
    let Some(golden) = prom_testkit::conformance("golden_block") else { return };
    // NaN is left out: as text, a staleness marker and a number that is none are the same
    let dump = std::fs::read_to_string(golden.join("dump.txt")).unwrap();
    let mut expected: Vec<_> =
        dump.lines().filter_map(dump_line).filter(|(_, _, value)| !value.is_nan()).collect();
    expected.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));

    let folder = tempfile::tempdir().unwrap();
    let wal = folder.path().join("wal");
    std::fs::create_dir(&wal).unwrap();
    std::fs::copy(golden.join("wal/00000000"), wal.join("00000000")).unwrap();
    let server = ServerBuilder::new("").data(folder.path()).start();
    let form = format!("time=1750018330&query={}", percent("{__name__=~\".+\"}[1h]"));
    let answer = server.post("/api/v1/query", &form).json();
    let mut found = Vec::new();
    for series in answer["data"]["result"].as_array().unwrap() {
        let labels: std::collections::BTreeMap<String, String> =
            serde_json::from_value(series["metric"].clone()).unwrap();
        let labels: Vec<String> =
            labels.iter().map(|(name, value)| format!("{}={value:?}", name_text(name))).collect();
        let labels = format!("{{{}}}", labels.join(", "));
        for pair in series["values"].as_array().into_iter().flatten() {
            let time = (pair[0].as_f64().unwrap() * 1000.0).round() as i64;
            let value: f64 = pair[1].as_str().unwrap().parse().unwrap();
            if !value.is_nan() {
                found.push((labels.clone(), time, value));
            }
        }
    }
    found.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
}

/// A label name as the dump writes it: quoted where it is not plain.
fn name_text(name: &str) -> String {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_plain { name.to_owned() } else { format!("{name:?}") }
}
