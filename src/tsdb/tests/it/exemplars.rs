//! Exemplars and metadata beside the installed Prometheus: it reads ours, we read its.

use std::io::{Read, Write};

use prom_model::{Exemplar, MatchOp, Metadata, MetricType};
use prom_storage::{ExemplarQueryable, ExemplarSample};

use super::*;

const FEATURES: &str = "--enable-feature=exemplar-storage,metadata-wal-records";

fn options() -> Options {
    Options { exemplars_count_max: 100, is_metadata_logged: true, ..Options::default() }
}

/// Labels and value of each exemplar, by series.
pub(super) fn our_exemplars(db: &Db) -> Vec<(String, Vec<(String, f64)>)> {
    let all = [Matcher::new("__name__", MatchOp::NotEqual, "").unwrap()];
    let found = db.exemplars(ALL, &[all.into()]).unwrap();
    let told = |one: &Exemplar| (one.labels.to_string(), one.value);
    let series = found
        .iter()
        .map(|one| (one.labels.metric_name().to_owned(), one.exemplars.iter().map(told).collect()));
    series.collect()
}

/// A counter with metadata and three exemplars.
pub(super) fn add_exemplars(db: &Db) {
    let now_ms = clock::now_ms();
    let metadata = Metadata {
        metric_type: MetricType::Counter,
        unit: "requests".to_owned(),
        help: "How many \"requests\".".to_owned(),
    };
    for round in 0..3 {
        let mut appender = db.appender();
        let labels = Labels::from_pairs([("__name__", "requests_total"), ("n", "1")]);
        let series = appender.series(&labels).unwrap();
        let timestamp_ms = now_ms - 3000 + round * 1000;
        let mut rejected = Vec::new();
        appender
            .append(&[FloatSample { series, timestamp_ms, value: round as f64 }], &mut rejected);
        let labels = Labels::from_pairs([("trace_id", format!("t{round}").as_str())]);
        let exemplar = Exemplar { labels, value: round as f64, timestamp_ms };
        appender.append_exemplars(&[ExemplarSample { series, exemplar }], &mut rejected);
        appender.set_metadata(series, &metadata);
        assert_eq!(rejected, []);
        appender.commit().unwrap();
    }
}

#[test]
fn exemplars_and_metadata_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path(), options());
    add_exemplars(&db);
    let expected = our_exemplars(&db);
    assert_eq!(expected.len(), 1);
    assert_eq!(expected[0].1.len(), 3);
    drop(db);
    let db = open(dir.path(), options());
    assert_eq!(our_exemplars(&db), expected);
    // Fewer are kept, and none where none are asked for.
    db.set_exemplars_count_max(1);
    assert_eq!(our_exemplars(&db)[0].1.len(), 1);
    drop(db);
    assert_eq!(our_exemplars(&open(dir.path(), Options::default())), []);
    let Some(peers) = peers() else { return };
    let (prometheus, port) =
        Prometheus::start_with(&peers, dir.path(), |_| "global: {}\n".to_owned(), &[FEATURES]);
    prometheus.assert_nothing_repaired();
    let answer =
        http_get(port, "/api/v1/query_exemplars?query=requests_total&start=0&end=9999999999");
    for trace in ["t0", "t1", "t2"] {
        assert!(answer.contains(&format!("\"trace_id\":\"{trace}\"")), "{answer}");
    }
    prometheus.stop();
}

#[test]
fn the_exemplars_of_a_killed_prometheus_are_there() {
    let Some(peers) = peers() else { return };
    let target = serve_metrics();
    let dir = tempfile::tempdir().unwrap();
    let config = |_| {
        format!(
            "scrape_configs:\n- job_name: t\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\n  \
             static_configs:\n  - targets: ['127.0.0.1:{target}']\n"
        )
    };
    let (prometheus, port) = Prometheus::start_with(&peers, dir.path(), config, &[FEATURES]);
    let path = "/api/v1/query_exemplars?query=served_total&start=0&end=9999999999";
    eventually("storing exemplars", || http_get(port, path).matches("trace_id").count() > 3);
    prometheus.kill();
    let db = open(dir.path(), options());
    let found = our_exemplars(&db);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, "served_total");
    assert!(found[0].1.len() > 3, "{found:?}");
    assert!(found[0].1.iter().all(|(labels, value)| labels.contains("trace_id") && *value == 0.5));
}

/// Serves a counter that has another exemplar each time; gives the port. Ends with the process.
fn serve_metrics() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            if stream.read(&mut request).is_err() {
                continue;
            }
            let body = format!(
                "# TYPE served counter\n# HELP served Served.\nserved_total {n} # {{trace_id=\"{n}\"}} 0.5\n# EOF\n"
            );
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
            let answer = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
            if stream.write_all(answer.as_bytes()).is_err() {
                continue;
            }
        }
    });
    port
}

pub(super) fn http_get(port: u16, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
