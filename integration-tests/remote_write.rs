//! Hard remote write requests, one after the other, to the original and to ours: what is answered and what is
//! stored. Where ours differs, the case says both answers.

use std::sync::Arc;

use prom_model::{
    CUSTOM_BUCKETS_SCHEMA, Exemplar, Histogram, HistogramValue, Labels, Span, stale_nan,
};
use prom_telemetry::clock;
use prom_testkit::{WriteRequest, WriteSeries};
use serde_json::Value;

use crate::harness::{
    Need, Peer, RECEIVER, Response, ServerBuilder, get, need, post_bytes, post_with_headers,
};

const CONFIG: &str = "storage: {exemplars: {max_exemplars: 100}}\n";
const FEATURES: &str = "--enable-feature=exemplar-storage,native-histograms";
const WRITE: &str = "/api/v1/write";
const PROTOBUF: (&str, &str) = ("Content-Type", "application/x-protobuf");
const SNAPPY: (&str, &str) = ("Content-Encoding", "snappy");

/// How the two answers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// Status and text.
    Same,
    /// The status; ours does not tell the values.
    SameStatus,
    /// Ours and theirs: 3.5.3 lets pass, or calls its own fault, what will never be stored.
    Status(u16, u16),
}
use Expected::{Same, SameStatus, Status};

/// Answers 400 where the original drops silently.
const TOLD: Expected = Status(400, 204);
/// 400 where the original answers 500, so that a sender tries again without end; 3.14 answers 400, too.
const NO_USE: Expected = Status(400, 500);

/// One series of its own name for each case. Names that begin with `same` must be stored alike.
fn series(labels: &[(&str, &str)], floats: &[(i64, f64)]) -> Vec<u8> {
    let mut request = WriteRequest::default();
    request.push(WriteSeries { labels, floats, ..WriteSeries::default() });
    request.body()
}

fn named(name: &str, floats: &[(i64, f64)]) -> Vec<u8> {
    series(&[("__name__", name)], floats)
}

fn histogram_of(name: &str, t: i64, histogram: Histogram) -> Vec<u8> {
    let mut request = WriteRequest::default();
    let histograms = [(t, HistogramValue::Integer(Arc::new(histogram)))];
    let labels = [("__name__", name)];
    request.push(WriteSeries {
        labels: &labels,
        histograms: &histograms,
        ..WriteSeries::default()
    });
    request.body()
}

fn exemplar_of(name: &str, floats: &[(i64, f64)], trace: &str, timestamp_ms: i64) -> Vec<u8> {
    let mut request = WriteRequest::default();
    let labels = Labels::from_pairs([("trace_id", trace)]);
    let exemplars = [Exemplar { labels, value: 0.5, timestamp_ms }];
    let labels = [("__name__", name)];
    request.push(WriteSeries {
        labels: &labels,
        floats,
        exemplars: &exemplars,
        ..WriteSeries::default()
    });
    request.body()
}

fn sound() -> Histogram {
    Histogram {
        count: 4,
        sum: 1.5,
        zero_threshold: 0.001,
        zero_count: 1,
        positive_spans: [Span { offset: 0, length: 2 }].into(),
        positive_buckets: vec![1, 1],
        ..Histogram::default()
    }
}

fn custom(custom_values: &[f64]) -> Histogram {
    Histogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: 3,
        zero_threshold: 0.0,
        zero_count: 0,
        custom_values: custom_values.into(),
        ..sound()
    }
}

type Case = (&'static str, Vec<u8>, Expected);

fn float_cases(now: i64) -> Vec<Case> {
    let a = "same_a";
    vec![
        ("a float", named(a, &[(now - 5_000, 1.0)]), Same),
        ("no series", WriteRequest::default().body(), Same),
        ("no bytes", Vec::new(), Same),
        ("a series without samples", named("same_none", &[]), Same),
        ("the same again", named(a, &[(now - 5_000, 1.0)]), Same),
        ("another value", named(a, &[(now - 5_000, 2.0)]), SameStatus),
        ("out of order", named(a, &[(now - 9_000, 2.0)]), Same),
        ("out of order within", named("same_b", &[(now - 1_000, 1.0), (now - 3_000, 2.0)]), TOLD),
        ("twice within", named("same_c", &[(now, 1.0), (now, 1.0)]), Same),
        ("far ahead", named("same_d", &[(now + 3_600_000, 1.0)]), Same),
        ("a little ahead", named("same_e", &[(now + 300_000, 1.0)]), Same),
        ("a day old", named("same_f", &[(now - 86_400_000, 1.0)]), Same),
        ("a marker", named("same_g", &[(now - 1, 1.0), (now, stale_nan())]), Same),
        ("no number", named("same_h", &[(now, f64::NAN), (now + 1, f64::INFINITY)]), Same),
        ("before 1970", named("same_i", &[(-1, 1.0)]), Same),
        (
            "labels in any order",
            series(&[("x", "1"), ("__name__", "same_j"), ("a", "")], &[(now, 1.0)]),
            Same,
        ),
        ("UTF-8 names", series(&[("__name__", "same k"), ("l.d", "1")], &[(now, 1.0)]), Same),
        (
            "a label twice",
            series(&[("__name__", "l"), ("x", "1"), ("x", "2")], &[(now, 1.0)]),
            TOLD,
        ),
        ("a label without a name", series(&[("__name__", "m"), ("", "1")], &[(now, 1.0)]), TOLD),
        ("no name", series(&[("x", "1")], &[(now, 1.0)]), TOLD),
        ("no labels", series(&[], &[(now, 1.0)]), TOLD),
        ("cut short", named("n", &[(now, 1.0)])[..12].to_vec(), Same),
        ("no snappy", b"hello world".to_vec(), Same),
        ("a size that nobody has", vec![0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0], Same),
        ("no message", vec![3, 2 << 2, 0xff, 0xff, 0xff], Same),
    ]
}

fn histogram_cases(now: i64) -> Vec<Case> {
    let finer = |schema| Histogram { schema, zero_count: 0, count: 3, ..sound() };
    vec![
        ("a histogram", histogram_of("same_ha", now, sound()), Same),
        ("the same again", histogram_of("same_ha", now, sound()), Same),
        ("another sum", histogram_of("same_ha", now, Histogram { sum: 9.0, ..sound() }), Same),
        ("out of order", histogram_of("same_ha", now - 5_000, sound()), Same),
        ("then a float", named("same_ha", &[(now + 1_000, 1.0)]), Same),
        ("count", histogram_of("hb", now, Histogram { count: 9, ..sound() }), NO_USE),
        (
            "spans",
            histogram_of("hc", now, Histogram { positive_buckets: vec![1], ..sound() }),
            NO_USE,
        ),
        (
            "below zero",
            histogram_of("hd", now, Histogram { positive_buckets: vec![1, -5], ..sound() }),
            NO_USE,
        ),
        (
            "no sum",
            histogram_of("same_he", now, Histogram { sum: f64::NAN, count: 9, ..sound() }),
            Same,
        ),
        // 3.5.3 stores these as they are and ends when it is asked for them; 3.14 does as we do.
        ("schema 9", histogram_of("hf", now, finer(9)), Same),
        ("schema 52", histogram_of("hg", now, finer(52)), Same),
        ("schema 53", histogram_of("hh", now, finer(53)), TOLD),
        ("schema -5", histogram_of("hi", now, finer(-5)), TOLD),
        ("custom", histogram_of("same_hj", now, custom(&[0.5, 1.0])), Same),
        ("custom down", histogram_of("hk", now, custom(&[1.0, 0.5])), NO_USE),
        ("custom infinite", histogram_of("hl", now, custom(&[0.5, f64::INFINITY])), NO_USE),
        ("custom no number", histogram_of("hm", now, custom(&[f64::NAN, 1.0])), TOLD),
        (
            "custom zero",
            histogram_of("hn", now, Histogram { zero_count: 1, ..custom(&[1.0, 2.0]) }),
            NO_USE,
        ),
    ]
}

fn exemplar_cases(now: i64) -> Vec<Case> {
    let name = "same_xa";
    vec![
        ("an exemplar", exemplar_of(name, &[(now, 1.0)], "x", now), Same),
        ("alone", exemplar_of(name, &[], "y", now + 10), Same),
        ("again", exemplar_of(name, &[], "y", now + 10), Same),
        ("of no series", exemplar_of("same_xb", &[], "y", now), Same),
        ("out of order", exemplar_of(name, &[], "z", now - 10_000), Same),
        ("long", exemplar_of(name, &[], &"z".repeat(200), now + 20), Same),
        ("far ahead", exemplar_of(name, &[], "z", now + 3_600_000), Same),
    ]
}

fn check(what: &str, ours: &Response, theirs: &Response, expected: Expected) {
    let statuses = (ours.status, theirs.status);
    let is_as_expected = match expected {
        Same => statuses.0 == statuses.1 && ours.body == theirs.body,
        SameStatus => statuses.0 == statuses.1,
        Status(of_ours, of_theirs) => statuses == (of_ours, of_theirs),
    };
    assert!(is_as_expected, "{what}: {statuses:?}\nours: {}\ntheirs: {}", ours.body, theirs.body);
}

/// The data of an answer; lists are sorted.
fn data(address: &str, path: &str) -> Value {
    let answer = get(address, path).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let mut data = answer.json()["data"].clone();
    if let Value::Array(list) = &mut data {
        list.sort_by_key(Value::to_string);
    }
    data
}

#[test]
fn hard_requests_are_answered_and_stored_as_by_the_original() {
    let Some(original) = need(Need::Peer("prometheus")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let theirs_dir = folder.path().join("data");
    std::fs::create_dir(&theirs_dir).unwrap();
    let theirs = Peer::original_with(&original, &theirs_dir, CONFIG, &[RECEIVER, FEATURES]);
    let server = ServerBuilder::new(CONFIG).arg(RECEIVER).arg(FEATURES).start();
    let ours = server.address();
    let now = clock::now_ms() / 1_000 * 1_000;
    let cases = [float_cases(now), histogram_cases(now), exemplar_cases(now)];
    for (what, body, expected) in cases.into_iter().flatten() {
        let answers = [&*ours, &*theirs.address].map(|at| post_bytes(at, WRITE, &body).unwrap());
        check(what, &answers[0], &answers[1], expected);
    }
    let body = named("same_headers", &[(now, 1.0)]);
    for (headers, expected) in [
        (&[PROTOBUF, SNAPPY][..], Same),
        (&[PROTOBUF], Same),
        (&[SNAPPY], Same),
        (&[PROTOBUF, ("Content-Encoding", "SNAPPY")], Same),
        (&[PROTOBUF, ("Content-Encoding", "gzip")], Same),
        (&[PROTOBUF, ("Content-Encoding", "zstd")], Same),
        (&[("Content-Type", "application/json"), SNAPPY], Same),
        (&[("Content-Type", "application/x-protobuf;proto=prometheus.WriteRequest"), SNAPPY], Same),
        (&[("Content-Type", "application/x-protobuf;proto=other"), SNAPPY], Same),
        (&[("Content-Type", "application/x-protobuf;proto"), SNAPPY], Same),
    ] {
        let answers = [&*ours, &*theirs.address]
            .map(|at| post_with_headers(at, WRITE, headers, &body).unwrap());
        check(&format!("{headers:?}"), &answers[0], &answers[1], expected);
    }
    let until = now / 1_000 + 400;
    // {__name__=~"same.+"}[2d]
    let stored =
        format!("/api/v1/query?time={until}&query=%7B__name__%3D~%22same.%2B%22%7D%5B2d%5D");
    let series =
        format!("/api/v1/series?end={until}&start=0&match%5B%5D=%7B__name__%3D~%22same.%2B%22%7D");
    let exemplars =
        "/api/v1/query_exemplars?start=0&end=9999999999&query=%7B__name__%3D~%22same.%2B%22%7D";
    for path in [&*stored, &*series, exemplars] {
        let found = data(&ours, path);
        assert_eq!(found, data(&theirs.address, path), "{path}");
        assert!(found.to_string().contains("same_xa"), "{found}");
    }
    // Finer histograms are kept at schema 8: two buckets become one.
    let sum = server.value("histogram_count(hf) + histogram_count(hg)");
    assert_eq!(sum, Some(6.0));
}
