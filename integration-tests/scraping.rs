//! Scrapes beside the original: the same bodies, and the same real exporters, become the same series in both servers.

mod bodies;
mod labels_and_starts;
mod programs;
mod shelf;

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::Value;

use self::{
    bodies::{Case, cases},
    shelf::Shelf,
};
use crate::harness::{Need, Peer, Server, ServerBuilder, eventually, get, need, post};

/// Jobs that understand the same bodies differently: name, and its keys.
const JOBS: [(&str, &str); 6] = [
    ("plain", ""),
    ("keep", "  always_scrape_classic_histograms: true\n"),
    ("convert", "  convert_classic_histograms_to_nhcb: true\n"),
    (
        "both",
        "  convert_classic_histograms_to_nhcb: true\n  always_scrape_classic_histograms: true\n",
    ),
    (
        "ours",
        "  honor_labels: true\n  honor_timestamps: false\n  sample_limit: 40\n  label_limit: 6\n  \
         native_histogram_bucket_limit: 4\n",
    ),
    ("relabeled", RELABELLING),
];
/// Every action once.
const RELABELLING: &str = "  metric_relabel_configs:
  - {source_labels: [__name__], regex: \"go_.*|.*_sum\", action: drop}
  - {source_labels: [__name__], regex: \"[a-s{].*\", action: keep}
  - {source_labels: [__name__, le, x], separator: \"|\", target_label: joined}
  - {source_labels: [joined], regex: \"(.)(.*)\\\\|.*\", target_label: \"first_${1}\", replacement: \"${2}-$1-${3}\"}
  - {source_labels: [joined], modulus: 7, target_label: hashed, action: hashmod}
  - {source_labels: [hashed], target_label: x, action: dropequal}
  - {source_labels: [job], target_label: job, action: keepequal}
  - {source_labels: [joined], target_label: upper, action: uppercase}
  - {source_labels: [upper], target_label: lower, action: lowercase}
  - {regex: \"l(.*)\", replacement: \"mapped_$1\", action: labelmap}
  - {regex: \"upper|instance\", action: labeldrop}
  - {regex: \"__name__|job|case|[a-z_]*\", action: labelkeep}
";
/// What ours says in the configuration and the original by flags.
const OUR_GLOBALS: &str = ", scrape_native_histograms: true, extra_scrape_metrics: true";
const FEATURES: &str = "--enable-feature=native-histograms,extra-scrape-metrics,exemplar-storage";
/// What version 3.5 converts in another way than later ones, which ours follows: it leaves gauge histograms
/// classic, loses `_created` lines once it has looked for them, and passes over a histogram whose counts sink.
const UNLIKE_CONVERSIONS: &str =
    "classic_gauge|openmetrics6|alltypes[.]5mfs[.]om[.]txt|histograms7";
/// Differences that are shown before the rest is only counted.
const SHOWN_COUNT_MAX: usize = 100;

#[test]
fn slow_the_same_bodies_become_the_same_series() {
    let Some(original) = need(Need::Peer("prometheus")) else { return };
    let cases = cases();
    let shelf = shelf_of(&cases);
    let jobs = |globals: &str| config(globals, &shelf, &cases);
    let pair = Pair::start(&original, FEATURES, &jobs);
    let count = (cases.len() * JOBS.len()) as f64;
    pair.wait_for("min(count_over_time(up{job!=\"first\"}[1h])) >= 2", 2.0);
    pair.wait_for("count(up{job!=\"first\"})", count);
    let mut differences = Differences::default();
    let refused = query(&pair.original.address, "last_over_time(up{job!=\"first\"}[1h]) == 0");
    let refused: Vec<String> = refused.keys().filter_map(|series| place(series)).collect();
    for (job, _) in JOBS {
        let unlike = if matches!(job, "convert" | "both") { UNLIKE_CONVERSIONS } else { "none" };
        let of_job = format!("job=\"{job}\",case!~\"({unlike}).*\"");
        let names = "__name__!~\"scrape_(duration_seconds|series_added|samples_.*)\"";
        differences.compare(&pair, &format!("last_over_time({{{of_job},{names}}}[1h])"), &[]);
        // How much of a body is counted before it is refused depends on how far a parser looks ahead.
        for counted in [
            format!("last_over_time({{{of_job},__name__=~\"scrape_samples_.*\"}}[1h])"),
            format!("max_over_time(scrape_series_added{{{of_job}}}[1h])"),
        ] {
            differences.compare(&pair, &counted, &refused);
        }
    }
    differences.assert_none();
}

/// Both servers with the same jobs.
struct Pair {
    ours: Server,
    original: Peer,
    _folder: tempfile::TempDir,
}

impl Pair {
    /// `jobs` gives the configuration for what the one server says in `global` and the other by flags. One target comes
    /// before the others, so that the times that a head takes do not depend on which of them is scraped first.
    fn start(original: &std::path::Path, features: &str, jobs: &dyn Fn(&str) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let first = |globals: &str, address: &str| {
            format!(
                "{}- job_name: first\n  static_configs: [{{targets: [\"{address}\"]}}]\n",
                global(globals)
            )
        };
        let lifecycle = "--web.enable-lifecycle";
        let ours = ServerBuilder::new(&global(OUR_GLOBALS)).arg(features).start();
        let data = folder.path().join("data");
        let original = Peer::original_with(original, &data, &global(""), &[features, lifecycle]);
        let pair = Self { ours, original, _folder: folder };
        let configure = |ours: &str, theirs: &str| {
            std::fs::write(pair.ours.config_path(), ours).unwrap();
            std::fs::write(data.with_extension("peer.yml"), theirs).unwrap();
            for address in [pair.ours.address(), pair.original.address.clone()] {
                let answer = post(&address, "/-/reload", "").unwrap();
                assert_eq!(answer.status, 200, "{address}: {}", answer.body);
            }
        };
        let address = pair.original.address.clone();
        configure(&first(OUR_GLOBALS, &address), &first("", &address));
        pair.wait_for("count(up{job=\"first\"})", 1.0);
        let with_first = |globals: &str| {
            let rest = jobs(globals);
            let rest = rest.strip_prefix(&global(globals)).unwrap();
            format!("{}{rest}", first(globals, &address))
        };
        configure(&with_first(OUR_GLOBALS), &with_first(""));
        pair
    }

    fn addresses(&self) -> [String; 2] {
        [self.ours.address(), self.original.address.clone()]
    }

    #[track_caller]
    fn wait_for(&self, expression: &str, at_least: f64) {
        for address in self.addresses() {
            eventually(&format!("{address} {expression}"), || {
                let value = query(&address, expression).into_values().next()?;
                (value.parse::<f64>().ok()? >= at_least).then_some(())
            });
        }
    }
}

/// What one server has and the other has not, or otherwise.
#[derive(Default)]
struct Differences {
    compared_count: usize,
    lines: Vec<String>,
}

impl Differences {
    /// Compares the answers of both, except for jobs and cases of `left_out`.
    fn compare(&mut self, pair: &Pair, expression: &str, left_out: &[String]) {
        let [ours, theirs] = pair.addresses().map(|address| {
            let mut found = query(&address, expression);
            found.retain(|series, _| place(series).is_none_or(|place| !left_out.contains(&place)));
            found
        });
        self.compared_count += theirs.len();
        for (series, value) in &theirs {
            match ours.get(series) {
                None => self.lines.push(format!("missing {series} {value}")),
                Some(other) if other != value => {
                    self.lines.push(format!("{series}: {other} is not {value}"));
                }
                Some(_) => {}
            }
        }
        let more = ours.iter().filter(|(series, _)| !theirs.contains_key(*series));
        self.lines.extend(more.map(|(series, value)| format!("too much {series} {value}")));
    }

    #[track_caller]
    fn assert_none(&self) {
        println!("compared {} series", self.compared_count);
        assert!(self.compared_count > 0);
        let shown = self.lines.iter().take(SHOWN_COUNT_MAX).cloned().collect::<Vec<_>>();
        assert!(self.lines.is_empty(), "{} differences:\n{}", self.lines.len(), shown.join("\n"));
    }
}

/// Result of an instant query: values and histograms by labels, all of them if it is about a range.
fn query(address: &str, expression: &str) -> BTreeMap<String, String> {
    let form = format!("query={}", percent(expression));
    let Ok(answer) = post(address, "/api/v1/query", &form) else { return BTreeMap::new() };
    assert_eq!(answer.status, 200, "{expression}: {}", answer.body);
    let result = answer.json()["data"]["result"].as_array().cloned().unwrap_or_default();
    let value = |one: &Value| match (&one["value"][1], &one["histogram"][1]) {
        (Value::String(value), _) => value.clone(),
        (_, Value::Null) => format!("{} {}", one["values"], one["histograms"]),
        (_, histogram) => histogram.to_string(),
    };
    result.iter().map(|one| (sorted(&one["metric"]), value(one))).collect()
}

/// Job and case of a series.
fn place(series: &str) -> Option<String> {
    let labels: Value = serde_json::from_str(series).ok()?;
    Some(format!("{} {}", labels["job"].as_str()?, labels["case"].as_str()?))
}

fn sorted(metric: &Value) -> String {
    let labels: BTreeMap<&String, &Value> = metric.as_object().into_iter().flatten().collect();
    serde_json::to_string(&labels).unwrap()
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn global(more: &str) -> String {
    format!("global: {{scrape_interval: 10s, scrape_timeout: 10s{more}}}\nscrape_configs:\n")
}

fn shelf_of(cases: &[Case]) -> Shelf {
    Shelf::open(cases.iter().map(|case| (case.content_type.to_owned(), case.body.clone())))
}

fn config(globals: &str, shelf: &Shelf, cases: &[Case]) -> String {
    config_of(globals, shelf, cases, &|_| true)
}

/// Those of `JOBS` that `is_wanted`.
fn config_of(
    globals: &str,
    shelf: &Shelf,
    cases: &[Case],
    is_wanted: &dyn Fn(&str) -> bool,
) -> String {
    let mut text = global(globals);
    for (job, keys) in JOBS.into_iter().filter(|(job, _)| is_wanted(job)) {
        write!(text, "- job_name: {job}\n{keys}  static_configs:\n").unwrap();
        for (index, case) in cases.iter().enumerate() {
            writeln!(
                text,
                "  - {{targets: [\"{}\"], labels: {{__metrics_path__: /{index}, case: {}, instance: i}}}}",
                shelf.address(),
                case.name
            )
            .unwrap();
        }
    }
    text
}

#[test]
fn a_failed_scrape_is_logged_where_it_is_wanted() {
    let server = ServerBuilder::new("").spawn();
    let log = server.config_path().with_file_name("failures.log");
    drop(server);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join(log.file_name().unwrap());
    let config = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 400ms, scrape_failure_log_file: {}}}\n\
         scrape_configs: [{{job_name: gone, static_configs: [{{targets: [\"127.0.0.1:1\"]}}]}}]\n",
        log.display()
    );
    let server = ServerBuilder::new(&config).start();
    let line = eventually("a line in the log", || {
        let text = std::fs::read_to_string(&log).ok()?;
        text.lines().next().map(str::to_owned)
    });
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["job_name"], &line["level"]), (&"gone".into(), &"ERROR".into()));
    assert_eq!(line["target"], "http://127.0.0.1:1/metrics");
    assert!(line["msg"].as_str().unwrap().contains("connection refused"), "{line}");
    assert_eq!(get(&server.address(), "/-/ready").unwrap().status, 200);
}
