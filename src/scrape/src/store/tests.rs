//! Bodies in, samples out: what a target's lines become over a few scrapes.

mod bad_bodies;
mod families;
mod logged_metadata;
mod starts;
mod stored_starts;
mod synthesized_starts;
mod types_and_units;

use std::{path::Path, sync::Arc, time::Duration};

use prom_config::load_text;
use prom_exposition::Format;
use prom_model::{Labels, is_stale};
use prom_telemetry::clock;
use prom_testkit::RecordingStore;

use super::{ScrapeTime, Stored, TargetStore};
use crate::{
    metadata::MetadataTable,
    pass::Body,
    report::Report,
    rules::{HistogramRules, Rules, StartRules},
};

/// The first scrape is at 1000 ms, each next one a second later.
const INTERVAL_MS: i64 = 1_000;
const TARGET_LABELS: [(&str, &str); 2] = [("job", "j"), ("instance", "i")];

/// One target and what it has stored.
struct Rig {
    store: RecordingStore,
    target: TargetStore,
    rules: Rules,
    table: MetadataTable,
    now_ms: i64,
    format: Format,
}

impl Rig {
    /// `keys` are lines of the job's configuration.
    fn new(keys: &str) -> Self {
        let store = RecordingStore::default();
        let target = TargetStore::new(Arc::new(store.clone()));
        let rules = rules(keys);
        let format = Format::Text;
        Self { store, target, rules, table: MetadataTable::default(), now_ms: 0, format }
    }

    fn time(&mut self) -> ScrapeTime {
        self.now_ms += INTERVAL_MS;
        let began = clock::monotonic();
        ScrapeTime { timestamp_ms: self.now_ms, began, timeout: Duration::from_secs(1) }
    }

    fn scrape(&mut self, body: &str) -> Stored {
        self.scrape_bytes(body.as_bytes())
    }

    fn scrape_bytes(&mut self, body: &[u8]) -> Stored {
        let time = self.time();
        let body = Body { bytes: body, format: self.format };
        self.target.store_body(body, &self.rules, time, Report::default(), &self.table)
    }

    fn fail(&mut self) -> Stored {
        let time = self.time();
        self.target.store_failure(&self.rules, time, Report::default())
    }

    /// What was stored of the target's own series since the last call: `name{labels} value`, without the
    /// target's labels, and with the time if it is not that of the last scrape.
    fn added(&self) -> Vec<String> {
        let own = self.store.take_added().into_iter().filter(|(labels, ..)| {
            let name = labels.metric_name();
            name != "up" && !name.starts_with("scrape_")
        });
        own.map(|(labels, timestamp_ms, value)| {
            let name = labels.metric_name().to_owned();
            let rest =
                TARGET_LABELS.iter().fold(labels.without(&["__name__"]), |rest, (label, value)| {
                    if rest.get(label) == Some(value) { rest.without(&[label]) } else { rest }
                });
            let rest = if rest.is_empty() { String::new() } else { rest.to_string() };
            let value = if is_stale(value) { "stale".to_owned() } else { value.to_string() };
            match timestamp_ms == self.now_ms {
                true => format!("{name}{rest} {value}"),
                false => format!("{name}{rest} {value} @{timestamp_ms}"),
            }
        })
        .collect()
    }

    /// The last value of a report.
    fn report(&self, metric: &str) -> f64 {
        let samples = self.store.samples(&self.rules.report_labels(metric));
        samples.last().map_or(f64::NAN, |(_, value)| *value)
    }

    /// Scrapes each body (`!` fails) and compares what each scrape has added.
    fn check(&mut self, rounds: &[(&str, &[&str])]) {
        for (index, (body, expected)) in rounds.iter().enumerate() {
            let stored = if *body == "!" { self.fail() } else { self.scrape(body) };
            assert!(stored.refused.is_none() && stored.failed.is_none(), "{index}: {stored:?}");
            assert_eq!(self.added(), *expected, "{index}: {body:?}");
        }
    }
}

fn rules(keys: &str) -> Rules {
    let indented: String = keys.lines().map(|line| format!("    {line}\n")).collect();
    let text = format!("scrape_configs:\n  - job_name: j\n{indented}");
    let cfg = load_text(Path::new("test.yml"), text.as_bytes()).unwrap();
    let target_labels = Labels::from_pairs(TARGET_LABELS);
    let cfg = Arc::clone(&cfg.scrape_configs[0]);
    let histograms = HistogramRules::new(&cfg);
    let tells_extra = cfg.extra_scrape_metrics;
    Rules {
        cfg,
        target_labels,
        histograms,
        tells_extra,
        logs_metadata: false,
        labels_types_and_units: false,
        starts: StartRules::default(),
        generation: 0,
    }
}

#[test]
fn lines_become_samples_whatever_their_order() {
    Rig::new("").check(&[
        ("a 1\nb{x=\"1\"} 2\nb{x=\"2\"} 3\n", &["a 1", "b{x=\"1\"} 2", "b{x=\"2\"} 3"]),
        // As before; in another order; without one; with a new one; and back.
        ("a 4\nb{x=\"1\"} 5\nb{x=\"2\"} 6\n", &["a 4", "b{x=\"1\"} 5", "b{x=\"2\"} 6"]),
        ("b{x=\"2\"} 6\na 4\nb{x=\"1\"} 5\n", &["a 4", "b{x=\"1\"} 5", "b{x=\"2\"} 6"]),
        ("b{x=\"2\"} 7\nb{x=\"1\"} 8\n", &["a stale", "b{x=\"1\"} 8", "b{x=\"2\"} 7"]),
        ("b{x=\"2\"} 7\nc 1\nb{x=\"1\"} 8\n", &["b{x=\"1\"} 8", "b{x=\"2\"} 7", "c 1"]),
        ("a 1\nb{x=\"1\"} 2\n", &["a 1", "b{x=\"1\"} 2", "b{x=\"2\"} stale", "c stale"]),
        ("", &["a stale", "b{x=\"1\"} stale"]),
        ("", &[]),
        ("a 1\n", &["a 1"]),
    ]);
}

#[test]
fn lines_that_begin_alike_are_told_apart() {
    Rig::new("").check(&[
        ("foo 1\n", &["foo 1"]),
        ("foobar 2\n", &["foo stale", "foobar 2"]),
        ("foo 3\nfoobar 4\n", &["foo 3", "foobar 4"]),
        ("foo{a=\"b\"} 5\n", &["foo{a=\"b\"} 5", "foo stale", "foobar stale"]),
        ("foo {a=\"b\"} 6\n", &["foo{a=\"b\"} 6"]),
        ("foo{a=\"b\"}7\n", &["foo{a=\"b\"} 7"]),
        ("foo{a=\"b\",} 8\n", &["foo{a=\"b\"} 8"]),
        ("\n\nfoo{a=\"b\"}  9 \n\n", &["foo{a=\"b\"} 9"]),
        ("foo{a=\"b\"} 10", &["foo{a=\"b\"} 10"]),
    ]);
}

#[test]
fn known_lines_are_not_looked_up_again() {
    let mut rig =
        Rig::new("metric_relabel_configs: [{source_labels: [__name__], regex: d, action: drop}]");
    let body = "# HELP a help\n# TYPE a counter\na 1\n\n# TYPE b gauge\nb{x=\"1\"} 2\nb{x=\"1\"} 2\nd 1\nc 2 500\n";
    rig.scrape(body);
    let lookup_count = rig.store.lookup_count();
    assert_eq!(lookup_count, 3 + 5);
    for _ in 0..3 {
        let stored = rig.scrape(body);
        assert!(stored.metadata.is_none());
        assert_eq!(stored.report.counts.scraped, 5);
        assert_eq!(stored.report.counts.post_relabeling, 4);
        assert_eq!(stored.report.counts.series_added, 0);
        assert_eq!(stored.tally.duplicate, 1);
    }
    assert_eq!(rig.store.lookup_count(), lookup_count);
    // Blank lines are no news, nor are lines that come in another order.
    rig.scrape(&body.replace("# TYPE b", "\n\n# TYPE b"));
    rig.scrape("c 2 500\nd 1\nb{x=\"1\"} 2\na 1\n");
    assert_eq!(rig.store.lookup_count(), lookup_count);
}

#[test]
fn the_first_of_two_equal_lines_counts() {
    let mut rig = Rig::new("");
    for (body, expected, duplicate_count) in [
        ("a 1\na 2\n", &["a 1"][..], 1),
        ("a 3\na 4\n", &["a 3"], 1),
        ("a 5\na 5\na 6\n", &["a 5"], 2),
        ("b 1\na 5\na 6\n", &["a 5", "b 1"], 1),
        ("b 1\na 6\n", &["a 6", "b 1"], 0),
        // Two ways to write one series.
        (
            "c{x=\"1\",y=\"2\"} 1\nc{y=\"2\",x=\"1\"} 2\na 1\nb 1\n",
            &["a 1", "b 1", "c{x=\"1\", y=\"2\"} 1"],
            1,
        ),
        ("c{y=\"2\",x=\"1\"} 2\na 1\nb 1\n", &["a 1", "b 1", "c{x=\"1\", y=\"2\"} 2"], 0),
    ] {
        let stored = rig.scrape(body);
        assert_eq!(rig.added(), expected, "{body}");
        assert_eq!(stored.tally.duplicate, duplicate_count, "{body}");
    }
}

#[test]
fn samples_with_their_own_time_are_not_marked() {
    Rig::new("").check(&[
        ("a 1 500\nb 1\n", &["a 1 @500", "b 1"]),
        ("b 2\n", &["b 2"]),
        ("a 2 600\na 3 700\nb 3\n", &["a 2 @600", "a 3 @700", "b 3"]),
        ("a 4 800\na 5 900\nb 3\n", &["a 4 @800", "a 5 @900", "b 3"]),
        // From the scrape's time to their own, and back: the first ends a series that is marked.
        ("a 6\nb 4 4999\n", &["a 6", "b 4 @4999", "b stale"]),
        ("a 7\nb 5\n", &["a 7", "b 5"]),
        ("!", &["a stale", "b stale"]),
        ("a 8 6999\n", &[]),
    ]);
    Rig::new("track_timestamps_staleness: true")
        .check(&[("a 1 500\nb 1\n", &["a 1 @500", "b 1"]), ("b 2\n", &["a stale", "b 2"])]);
    Rig::new("honor_timestamps: false")
        .check(&[("a 1 500\nb 1\n", &["a 1", "b 1"]), ("b 2\n", &["a stale", "b 2"])]);
}

#[test]
fn a_failed_scrape_ends_all_series_once() {
    let mut rig = Rig::new("");
    rig.check(&[
        ("a 1\nb 1\n", &["a 1", "b 1"]),
        ("!", &["a stale", "b stale"]),
        ("!", &[]),
        ("a 2\n", &["a 2"]),
        ("a 2\nb 2\n", &["a 2", "b 2"]),
    ]);
    assert_eq!(rig.report("up"), 1.0);
    rig.fail();
    assert_eq!(rig.report("up"), 0.0);
    assert_eq!(rig.report("scrape_samples_scraped"), 0.0);
}

#[test]
fn a_body_that_is_refused_is_a_failed_scrape() {
    let check = |keys: &str, body: &str, error: &str, scraped: f64, post_relabeling: f64| {
        let mut rig = Rig::new(keys);
        rig.check(&[("a 1\nb 1\n", &["a 1", "b 1"])]);
        let stored = rig.scrape(body);
        assert_eq!(stored.refused.map(|refused| refused.to_string()).as_deref(), Some(error));
        assert_eq!(rig.added(), ["a stale", "b stale"], "{body}");
        assert_eq!(rig.report("up"), 0.0, "{body}");
        assert_eq!(rig.report("scrape_samples_scraped"), scraped, "{body}");
        assert_eq!(rig.report("scrape_samples_post_metric_relabeling"), post_relabeling, "{body}");
        rig.check(&[("a 2\n", &["a 2"]), ("b 1\n", &["a stale", "b 1"])]);
    };
    check(
        "",
        "a 1\nb abc\n",
        "strconv.ParseFloat: parsing \"abc\": invalid syntax while parsing: \"b abc\"",
        1.0,
        1.0,
    );
    check("sample_limit: 2", "a 1\nb 1\nc 1\nd 1\n", "sample limit exceeded", 4.0, 4.0);
    check("sample_limit: 2", "a 1\na 1\nb 1\nc 1\n", "sample limit exceeded", 4.0, 4.0);
    check(
        "label_limit: 4",
        "a 1\nb{c=\"1\",d=\"2\",e=\"3\"} 1\nf 1\n",
        "label_limit exceeded (metric: b, number of labels: 6, limit: 4)",
        2.0,
        1.0,
    );
    check(
        "label_name_length_limit: 8",
        "b{too_long_name=\"1\"} 1\n",
        "label_name_length_limit exceeded (metric: b, label name: too_long_name, length: 13, limit: 8)",
        1.0,
        0.0,
    );
    check(
        "label_value_length_limit: 3",
        "b{x=\"\u{e4}\\nuvw\"} 1\n",
        "label_value_length_limit exceeded (metric: b, label name: x, value: \"\u{e4}\\nuvw\", length: 6, limit: 3)",
        1.0,
        0.0,
    );
    check(
        "metric_relabel_configs: [{source_labels: [__name__], regex: c, target_label: __name__, replacement: ''}]",
        "c 1\n",
        "missing metric name (__name__ label)",
        1.0,
        0.0,
    );
}

#[test]
fn labels_of_target_and_line_meet() {
    let body = "a{job=\"own\",x=\"1\"} 1\na{exported_job=\"e\",job=\"own\"} 2\n";
    Rig::new("").check(&[(
        body,
        &[
            "a{exported_exported_job=\"own\", exported_job=\"e\"} 2",
            "a{exported_job=\"own\", x=\"1\"} 1",
        ],
    )]);
    Rig::new("honor_labels: true")
        .check(&[(body, &["a{exported_job=\"e\", job=\"own\"} 2", "a{job=\"own\", x=\"1\"} 1"])]);
    let relabel = "metric_relabel_configs:\n- {source_labels: [x], regex: drop, action: drop}\n- {source_labels: [x], target_label: y}\n- {regex: x, action: labeldrop}";
    Rig::new(relabel).check(&[
        ("a{x=\"1\"} 1\na{x=\"drop\"} 2\n", &["a{y=\"1\"} 1"]),
        ("a{x=\"1\"} 3\na{x=\"drop\"} 4\n", &["a{y=\"1\"} 3"]),
        ("a{x=\"drop\"} 4\n", &["a{y=\"1\"} stale"]),
    ]);
}

#[test]
fn a_label_that_a_line_leaves_empty_stands_against_that_of_the_target() {
    for (keys, job) in [("honor_labels: true", None), ("", Some("j"))] {
        let mut rig = Rig::new(keys);
        rig.scrape("a{job=\"\"} 1\n");
        let added = rig.store.take_added();
        let (labels, ..) = added.iter().find(|(labels, ..)| labels.metric_name() == "a").unwrap();
        assert_eq!((labels.get("job"), labels.get("instance")), (job, Some("i")), "{keys}");
    }
}

#[test]
fn bounds_of_histograms_get_one_form() {
    Rig::new("").check(&[
        ("# TYPE h histogram\nh_bucket{le=\"1\"} 1\n", &["h_bucket{le=\"1.0\"} 1"]),
        // The type is known from comments that are not read again.
        (
            "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 1\n",
            &["h_bucket{le=\"1.0\"} 1", "h_bucket{le=\"2.0\"} 1"],
        ),
    ]);
}

#[test]
fn samples_from_the_future_and_the_past_are_counted() {
    let mut rig = Rig::new("");
    rig.check(&[("a 1\nb 1\n", &["a 1", "b 1"])]);
    let stored = rig.scrape("a 1 500\nb 1 99999999999999\n");
    assert_eq!((stored.tally.out_of_order, stored.tally.out_of_bounds), (1, 1));
    assert!(stored.refused.is_none());
    // They were taken before, and nothing goes on with them.
    assert_eq!(rig.added(), ["a stale", "b stale"]);
}

#[test]
fn a_refused_sample_leaves_the_end_to_others() {
    let mut rig = Rig::new("");
    rig.check(&[("a 1\nb 1\n", &["a 1", "b 1"])]);
    // Somebody else writes the same series, later than we.
    let mut other = TargetStore::new(Arc::new(rig.store.clone()));
    let time = ScrapeTime { timestamp_ms: 2_500, ..rig.time() };
    let body = Body { bytes: b"a 7\n", format: Format::Text };
    other.store_body(body, &rig.rules, time, Report::default(), &rig.table);
    rig.added();
    rig.now_ms = 1_400;
    assert_eq!(rig.scrape("a 2\nb 2\n").tally.out_of_order, 1);
    assert_eq!(rig.added(), ["b 2"]);
    rig.check(&[
        ("b 3\n", &["b 3"]),
        ("a 1\nb 3\n", &["a 1", "b 3"]),
        ("b 3\n", &["a stale", "b 3"]),
    ]);
}

#[test]
fn reports_tell_what_happened() {
    let mut rig =
        Rig::new("metric_relabel_configs: [{source_labels: [__name__], regex: d, action: drop}]");
    for (body, scraped, post_relabeling, added) in [
        ("a 1\nd 1\na 1\n", 3.0, 2.0, 1.0),
        ("a 1\nd 1\nb 1\n", 3.0, 2.0, 1.0),
        ("", 0.0, 0.0, 0.0),
        ("a 1\n", 1.0, 1.0, 1.0),
    ] {
        rig.scrape(body);
        assert_eq!(rig.report("up"), 1.0);
        assert_eq!(rig.report("scrape_samples_scraped"), scraped, "{body}");
        assert_eq!(rig.report("scrape_samples_post_metric_relabeling"), post_relabeling, "{body}");
        assert_eq!(rig.report("scrape_series_added"), added, "{body}");
        assert!(rig.report("scrape_duration_seconds") > 0.0);
        assert!(rig.report("scrape_timeout_seconds").is_nan());
    }
    let mut rig = Rig::new("extra_scrape_metrics: true\nsample_limit: 7");
    rig.scrape("a 1\n");
    assert_eq!(rig.report("scrape_timeout_seconds"), 0.0);
    assert_eq!(rig.report("scrape_sample_limit"), 7.0);
}

#[test]
fn a_store_that_fails_keeps_nothing_and_says_so() {
    let mut rig = Rig::new("");
    rig.check(&[("a 1\n", &["a 1"])]);
    rig.store.set_full(true);
    for body in ["a 2\nb 2\n", "a 2\nb x\n"] {
        let failed = rig.scrape(body).failed.map(|error| error.to_string()).unwrap_or_default();
        assert!(failed.starts_with("wal: write: "), "{failed}");
        assert_eq!(rig.added(), [""; 0]);
    }
    rig.store.set_full(false);
    rig.check(&[("a 3\nb 3\n", &["a 3", "b 3"]), ("b 3\n", &["a stale", "b 3"])]);
}

#[test]
fn series_that_the_store_has_lost_are_made_again() {
    let mut rig = Rig::new("");
    rig.check(&[("a 1\nb 1\n", &["a 1", "b 1"])]);
    rig.store.forget_series();
    rig.check(&[
        ("a 2\nb 2\n", &["a 2", "b 2"]),
        ("a 3\nb 3\n", &["a 3", "b 3"]),
        ("b 4\n", &["a stale", "b 4"]),
    ]);
    assert_eq!(rig.report("up"), 1.0);
}

#[test]
fn other_rules_end_what_they_do_not_make() {
    let mut rig = Rig::new("");
    rig.check(&[("a{x=\"1\"} 1\nb 1\n", &["a{x=\"1\"} 1", "b 1"])]);
    let changed = rules("metric_relabel_configs: [{regex: x, action: labeldrop}]");
    rig.target.retire(&rig.rules);
    rig.rules = changed;
    rig.check(&[
        ("a{x=\"1\"} 2\nb 2\n", &["a 2", "a{x=\"1\"} stale", "b 2"]),
        ("a{x=\"1\"} 3\nb 3\n", &["a 3", "b 3"]),
    ]);
    rig.target.retire(&rig.rules);
    rig.check(&[("!", &["a stale", "b stale"]), ("!", &[]), ("a 4\n", &["a 4"])]);
}

#[test]
fn the_end_of_a_target_ends_its_reports_too() {
    let mut rig = Rig::new("");
    rig.check(&[("a 1\n", &["a 1"])]);
    rig.store.take_added();
    rig.target.store_end(&rig.rules, 2_000).unwrap();
    let ended = rig.store.take_added();
    assert_eq!(ended.len(), 6);
    assert!(
        ended.iter().all(|(_, timestamp_ms, value)| *timestamp_ms == 2_000 && is_stale(*value))
    );
}

#[test]
fn metadata_is_read_when_it_changes() {
    let mut rig = Rig::new("");
    let said = |stored: Stored| {
        let line = |said: &Arc<crate::MetricMetadata>| {
            format!("{} {}: {}", said.family, said.kind, said.help)
        };
        stored.metadata.map(|all| all.iter().map(line).collect::<Vec<_>>())
    };
    let body = "# HELP b beta\n# TYPE b counter\nb 1\n# some remark\n# TYPE a gauge\na 1\n";
    let both = ["a gauge: ", "b counter: beta"].map(str::to_owned).to_vec();
    assert_eq!(said(rig.scrape(body)), Some(both.clone()));
    assert_eq!(said(rig.scrape(body)), None);
    assert_eq!(said(rig.scrape(&body.replace("a 1\n", "a 1\na{x=\"2\"} 1\n"))), None);
    let third = "# HELP b beta\\nand more\n# TYPE b counter\nb 1\n";
    assert_eq!(said(rig.scrape(third)), Some(vec!["b counter: beta\nand more".to_owned()]));
    // What was refused says nothing; what comes back is read again.
    assert_eq!(said(rig.scrape("# HELP x y\nb x\n")), None);
    assert_eq!(said(rig.scrape(body)), Some(both));
}

#[test]
fn openmetrics_bodies_bring_exemplars_and_units() {
    let mut rig = Rig::new("");
    rig.format = Format::OpenMetrics;
    let body = |count: u32, exemplar: &str| {
        format!(
            "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n# HELP a_seconds one\\\"two\n\
             a_seconds_total{{b=\"c\"}} {count}{exemplar}\nd 1 2.5\n# EOF\n"
        )
    };
    let first = rig.scrape(&body(1, " # {id=\"x\"} 0.5"));
    let metadata = first.metadata.unwrap();
    assert_eq!(metadata.len(), 1);
    assert_eq!((&*metadata[0].unit, &*metadata[0].help), ("seconds", "one\"two"));
    assert_eq!(rig.added(), ["a_seconds_total{b=\"c\"} 1", "d 1 @2500"]);
    let exemplars = |rig: &Rig| {
        let taken = rig.store.take_exemplars().into_iter();
        let shown = taken.map(|(series, exemplar)| {
            let name = series.metric_name();
            format!("{name} {} {} @{}", exemplar.labels, exemplar.value, exemplar.timestamp_ms)
        });
        shown.collect::<Vec<_>>()
    };
    assert_eq!(exemplars(&rig), ["a_seconds_total {id=\"x\"} 0.5 @1000"]);
    // known lines, with and without an exemplar, and with a time of its own
    for (exemplar, expected) in [
        (" # {id=\"y\",z=\"\"} -7 1.5", Some("a_seconds_total {id=\"y\"} -7 @1500")),
        ("", None),
        (" # {} 3", Some("a_seconds_total {} 3 @4000")),
    ] {
        let stored = rig.scrape(&body(2, exemplar));
        assert!(stored.refused.is_none() && stored.metadata.is_none());
        assert_eq!(exemplars(&rig), Vec::from_iter(expected), "{exemplar}");
    }
    rig.added();
    let refused = rig.scrape("a_seconds_total{b=\"c\"} 3\n").refused.unwrap();
    assert_eq!(refused.to_string(), "data does not end with # EOF");
    assert_eq!(rig.added(), ["a_seconds_total{b=\"c\"} stale"]);
}

#[test]
fn series_beyond_a_limit_are_left_out_and_told() {
    let mut rig = Rig::new("");
    rig.check(&[("a 1\nb 1\n", &["a 1", "b 1"])]);
    // The target's own two, and five reports.
    rig.store.set_series_count_max(Some(7));
    for _ in 0..2 {
        let stored = rig.scrape("a 2\nnew 2\nb 2\nother 2\n");
        assert_eq!(
            stored.beyond_limit.unwrap().to_string(),
            "series limit reached; new series refused: 2"
        );
        assert!(stored.refused.is_none() && stored.failed.is_none());
        assert_eq!(rig.added(), ["a 2", "b 2"]);
        assert_eq!(rig.report("up"), 1.0);
        assert_eq!(rig.report("scrape_samples_post_metric_relabeling"), 4.0);
        assert_eq!(rig.report("scrape_series_added"), 0.0);
    }
    rig.store.set_series_count_max(None);
    rig.check(&[("a 3\nnew 3\nb 3\n", &["a 3", "b 3", "new 3"])]);
}

#[test]
fn reports_that_find_no_room_come_when_there_is_some() {
    let mut rig = Rig::new("");
    rig.store.set_series_count_max(Some(1));
    assert!(rig.scrape("a 1\n").failed.is_none());
    assert_eq!(rig.added(), ["a 1"]);
    rig.store.set_series_count_max(None);
    rig.check(&[("a 2\n", &["a 2"])]);
    assert_eq!(rig.report("up"), 1.0);
}
