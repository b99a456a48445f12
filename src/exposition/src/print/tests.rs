//! Printed families compared with the reference's forms, and read back.

use prom_model::{LabelsBuilder, MetricType};
use prom_telemetry::Registry;

use super::*;
use crate::text::{Dialect, Entry, Parser};

fn registry() -> Registry {
    let registry = Registry::default();
    registry.counter("requests_total", "All \\ of\nthem \"quoted\".").inc_by(1_234_567);
    registry.counter("odd", "").add(0.5);
    let gauges = registry.gauge_vec("gauge", "G.", &["z", "a"]);
    gauges.with(&["1", "x\"y\\z\nw"]).set(1.0);
    gauges.with(&["2", ""]).set(f64::NEG_INFINITY);
    let histogram = registry.histogram("seconds", "H.", &[0.5, 1.0, 10.0]);
    [0.25, 0.75, 100.0].into_iter().for_each(|value| histogram.observe(value));
    registry.summary_vec("summary", "S.", &[0.5, 0.9], &["slice"]).with(&["q"]).observe(2.5);
    registry.summary("summary_empty", "S.", &[0.99]);
    registry.collect_fn(|families| {
        let mut family = MetricFamily::new("a.b", "Dotted.", MetricKind::Untyped);
        family.push(&[("c.d", "e")], 0.0).push(&[], f64::NAN);
        families.push(family);
    });
    registry
}

#[test]
fn text_equals_the_reference() {
    let mut out = Vec::new();
    text(&registry().gather(), &mut out);
    let expected = r#"# HELP "a.b" Dotted.
# TYPE "a.b" untyped
{"a.b"} NaN
{"a.b","c.d"="e"} 0
# HELP gauge G.
# TYPE gauge gauge
gauge{a="",z="2"} -Inf
gauge{a="x\"y\\z\nw",z="1"} 1
# HELP odd 
# TYPE odd counter
odd 0.5
# HELP requests_total All \\ of\nthem "quoted".
# TYPE requests_total counter
requests_total 1.234567e+06
# HELP seconds H.
# TYPE seconds histogram
seconds_bucket{le="0.5"} 1
seconds_bucket{le="1"} 2
seconds_bucket{le="10"} 2
seconds_bucket{le="+Inf"} 3
seconds_sum 101
seconds_count 3
# HELP summary S.
# TYPE summary summary
summary{slice="q",quantile="0.5"} 2.5
summary{slice="q",quantile="0.9"} 2.5
summary_sum{slice="q"} 2.5
summary_count{slice="q"} 1
# HELP summary_empty S.
# TYPE summary_empty summary
summary_empty{quantile="0.99"} NaN
summary_empty_sum 0
summary_empty_count 0
"#;
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn openmetrics_equals_the_reference() {
    let mut out = Vec::new();
    openmetrics(&registry().gather(), &mut out);
    let expected = r#"# HELP "a.b" Dotted.
# TYPE "a.b" unknown
{"a.b"} NaN
{"a.b","c.d"="e"} 0.0
# HELP gauge G.
# TYPE gauge gauge
gauge{a="",z="2"} -Inf
gauge{a="x\"y\\z\nw",z="1"} 1.0
# HELP odd 
# TYPE odd unknown
odd 0.5
# HELP requests All \\ of\nthem \"quoted\".
# TYPE requests counter
requests_total 1.234567e+06
# HELP seconds H.
# TYPE seconds histogram
seconds_bucket{le="0.5"} 1
seconds_bucket{le="1.0"} 2
seconds_bucket{le="10.0"} 2
seconds_bucket{le="+Inf"} 3
seconds_sum 101.0
seconds_count 3
# HELP summary S.
# TYPE summary summary
summary{slice="q",quantile="0.5"} 2.5
summary{slice="q",quantile="0.9"} 2.5
summary_sum{slice="q"} 2.5
summary_count{slice="q"} 1
# HELP summary_empty S.
# TYPE summary_empty summary
summary_empty{quantile="0.99"} NaN
summary_empty_sum 0.0
summary_empty_count 0
# EOF
"#;
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn printed_text_reads_back() {
    let mut out = Vec::new();
    families(&registry().gather(), Format::Text, &mut out);
    let mut parser = Parser::new(&out, Dialect::Prometheus);
    let mut labels = LabelsBuilder::default();
    let mut seen = Vec::new();
    while let Some(entry) = parser.next_entry().unwrap() {
        if let Entry::Sample(sample) = entry {
            labels.clear();
            parser.labels(&sample, MetricType::Unknown, &mut labels).unwrap();
            seen.push(labels.labels().to_string());
        }
    }
    assert_eq!(seen.len(), 19);
    assert_eq!(seen[1], r#"{__name__="a.b", "c.d"="e"}"#);
    assert_eq!(seen[3], r#"{__name__="gauge", a="x\"y\\z\nw", z="1"}"#);
}
