//! Real programs as targets, in every format. Asked by both servers they are the same series; one recorded answer for
//! each format, served to both, is also the same values.

use std::fmt::Write as _;

use tempfile::TempDir;

use super::{
    Differences, FEATURES, Pair,
    bodies::{PROTOBUF, TEXT, native_family},
    global,
    shelf::{Book, Shelf},
};
use crate::harness::{Need, Peer, eventually, get_as, need, post_with_headers};

/// Names in the configuration, and what a server that wants nothing else says in `Accept`.
const FORMATS: [(&str, &str); 4] = [
    (
        "PrometheusProto",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
    ),
    ("OpenMetricsText1.0.0", "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8"),
    ("PrometheusText0.0.4", "text/plain;version=0.0.4"),
    ("PrometheusText1.0.0", "text/plain;version=1.0.0;escaping=allow-utf-8"),
];
/// Jobs that understand a recorded answer differently: name, and its keys.
const RECORDED_JOBS: [(&str, &str); 2] = [
    ("plain", ""),
    ("honored", "  honor_labels: true\n  always_scrape_classic_histograms: true\n"),
];
/// Debian's Alertmanager does not start without them.
const ALERTMANAGER_TEMPLATES: &str = "/usr/share/prometheus/alertmanager/default.tmpl";
/// What somebody pushes: all types, odd labels, names beyond ASCII. The gateway takes no timestamps.
const PUSHED: &str = "# HELP pushed_total Backslash \\\\, line \\n end.
# TYPE pushed_total counter
pushed_total{x=\"\\\"quoted\\\" \\\\ \\n end\",empty=\"\"} 3e10
pushed_total{x=\"\u{e4}\u{f6}\u{fc} \u{4e16}\u{754c}\",le=\"no bound\"} 0
# TYPE pushed_gauge gauge
pushed_gauge -0.25
pushed_gauge{x=\"nan\"} NaN
pushed_gauge{x=\"inf\"} -Inf
# TYPE pushed_summary summary
pushed_summary{quantile=\"0.5\"} 1
pushed_summary{quantile=\"1\"} 2.5
pushed_summary_sum 17.25
pushed_summary_count 9
# TYPE pushed_histogram histogram
pushed_histogram_bucket{x=\"a\",le=\"0.1\"} 1
pushed_histogram_bucket{x=\"a\",le=\"1\"} 2
pushed_histogram_bucket{x=\"a\",le=\"+Inf\"} 3
pushed_histogram_sum{x=\"a\"} 4.5
pushed_histogram_count{x=\"a\"} 3
# TYPE pushed_untyped untyped
pushed_untyped 1e-300
# TYPE \"pushed.d\u{fc}rch\" gauge
{\"pushed.d\u{fc}rch\",\"label.\u{fc}\"=\"1\"} 7
";
/// Under labels that the path gives, the second one in base64: `/var/tmp`.
const PUSH_PATH: &str = "/metrics/job/batch/folder@base64/L3Zhci90bXA";

/// The programs of the original project, running.
struct Programs {
    node_exporter: Peer,
    alertmanager: Peer,
    pushgateway: Peer,
    prometheus: Peer,
    _folder: TempDir,
}

impl Programs {
    /// All of them with something to tell, or none.
    fn start() -> Option<Self> {
        let prometheus = need(Need::Peer("prometheus"))?;
        let node_exporter = need(Need::Peer("prometheus-node-exporter"))?;
        let alertmanager = need(Need::Peer("prometheus-alertmanager"))?;
        let pushgateway = need(Need::Peer("prometheus-pushgateway"))?;
        need(Need::File(ALERTMANAGER_TEMPLATES))?;
        let folder = tempfile::tempdir().unwrap();
        let node_exporter =
            Peer::start(&node_exporter, |address| vec![format!("--web.listen-address={address}")]);
        let config_path = folder.path().join("alertmanager.yml");
        std::fs::write(&config_path, "route: {receiver: r}\nreceivers: [{name: r}]\n").unwrap();
        let alertmanager = Peer::start(&alertmanager, |address| {
            vec![
                format!("--config.file={}", config_path.display()),
                format!("--storage.path={}", folder.path().join("am").display()),
                format!("--web.listen-address={address}"),
                "--cluster.listen-address=".to_owned(),
            ]
        });
        let pushgateway = Peer::start(&pushgateway, |address| {
            vec![
                format!("--web.listen-address={address}"),
                "--persistence.file=".to_owned(),
                "--push.enable-utf8-names".to_owned(),
            ]
        });
        push(&pushgateway.address, PUSH_PATH, TEXT, PUSHED.as_bytes());
        let native = native_family("pushed_native");
        push(&pushgateway.address, "/metrics/job/native", PROTOBUF, &native);
        let prometheus =
            Peer::original_on(&prometheus, &folder.path().join("scraped"), &[FEATURES]);
        Some(Self { node_exporter, alertmanager, pushgateway, prometheus, _folder: folder })
    }

    fn named(&self) -> [(&'static str, &Peer); 4] {
        [
            ("node_exporter", &self.node_exporter),
            ("alertmanager", &self.alertmanager),
            ("pushgateway", &self.pushgateway),
            ("prometheus", &self.prometheus),
        ]
    }
}

fn push(address: &str, path: &str, content_type: &str, body: &[u8]) {
    eventually("the gateway takes what is pushed", || {
        let headers = [("Content-Type", content_type)];
        let answer = post_with_headers(address, path, &headers, body).ok()?;
        assert_eq!(answer.status, 200, "{}", answer.body);
        Some(())
    });
}

#[test]
fn slow_real_programs_are_read_alike_in_all_formats() {
    let Some(programs) = Programs::start() else { return };
    let jobs = |globals: &str| {
        let mut text = global(globals);
        for (format, _) in FORMATS {
            write!(
                text,
                "- job_name: {format}\n  scrape_protocols: [{format}]\n  static_configs:\n"
            )
            .unwrap();
            for (_, program) in programs.named() {
                writeln!(text, "  - targets: [\"{}\"]", program.address).unwrap();
            }
        }
        text
    };
    let pair = Pair::start(&need(Need::Peer("prometheus")).unwrap(), FEATURES, &jobs);
    let count = (FORMATS.len() * programs.named().len()) as f64;
    pair.wait_for("count(count_over_time(up{job!=\"first\"}[1h]) >= 3)", count);
    pair.wait_for("sum(up{job!=\"first\"})", count);
    let mut differences = Differences::default();
    // Their values move, and some series come with what other scrapers do; all that stays must be the same.
    let names = "count by (job, instance, __name__) ({job!=\"first\", __name__=~\".+\", __name__!~\"go_.*|promhttp_.*|net_conntrack.*|prometheus_http_.*|node_.*network.*\"})";
    differences.compare(&pair, names, &[]);
    differences.compare(&pair, "count by (job, instance) ({job!=\"first\", __name__=~\".*_bucket\", __name__!~\"prometheus_http_.*\"})", &[]);
    differences.compare(&pair, "{__name__=~\"pushed.*\", job!=\"first\"}", &[]);
    differences.assert_none();
}

#[test]
fn slow_recorded_answers_of_real_programs_become_the_same_values() {
    let Some(programs) = Programs::start() else { return };
    let mut cases = Vec::new();
    let mut books = Vec::new();
    for (program, peer) in programs.named() {
        for (format, accept) in FORMATS {
            cases.push(format!("{program}.{format}"));
            books.push(record(&peer.address, accept));
        }
    }
    // None of these programs offers OpenMetrics; that is what `bodies` has such bodies for.
    for content_type in [PROTOBUF, TEXT] {
        let kind = content_type.split(';').next().unwrap();
        assert!(books.iter().any(|(it, _)| it.starts_with(kind)), "nobody speaks {kind}");
    }
    let shelf = Shelf::open(books.into_iter());
    let jobs = |globals: &str| {
        let mut text = global(globals);
        for (job, keys) in RECORDED_JOBS {
            write!(text, "- job_name: {job}\n{keys}  static_configs:\n").unwrap();
            for (index, case) in cases.iter().enumerate() {
                writeln!(
                    text,
                    "  - {{targets: [\"{}\"], labels: {{__metrics_path__: /{index}, case: {case}.{job}, instance: i}}}}",
                    shelf.address()
                )
                .unwrap();
            }
        }
        text
    };
    let pair = Pair::start(&need(Need::Peer("prometheus")).unwrap(), FEATURES, &jobs);
    let count = (cases.len() * RECORDED_JOBS.len()) as f64;
    pair.wait_for("count(count_over_time(up{case!=\"\"}[1h]) >= 2)", count);
    pair.wait_for("sum(up{case!=\"\"})", count);
    let mut differences = Differences::default();
    let of_jobs = cases.iter().flat_map(|case| RECORDED_JOBS.map(|(job, _)| (case, job)));
    for (case, job) in of_jobs {
        let of_case = format!("case=\"{case}.{job}\"");
        let names = "__name__!~\"scrape_(duration_seconds|series_added)\"";
        differences.compare(&pair, &format!("last_over_time({{{of_case},{names}}}[1h])"), &[]);
        let added = format!("max_over_time(scrape_series_added{{{of_case}}}[1h])");
        differences.compare(&pair, &added, &[]);
    }
    differences.assert_none();
}

/// One answer of a program that is asked so; not all of them speak all formats.
fn record(address: &str, accept: &str) -> Book {
    eventually("an answer to record", || {
        let answer = get_as(address, "/metrics", accept).ok().filter(|it| it.status == 200)?;
        Some((answer.header("content-type")?.to_owned(), answer.bytes))
    })
}
