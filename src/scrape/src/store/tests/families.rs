//! Bodies of protobuf, and histograms of all formats: what becomes of them over a few scrapes.

use prom_model::HistogramValue;
use prom_testkit::Message;

use super::*;

const COUNTER: u64 = 0;
const GAUGE: u64 = 1;
const SUMMARY: u64 = 2;
const HISTOGRAM: u64 = 4;

fn family(name: &str, kind: u64, metrics: &[Message]) -> Vec<u8> {
    let family = Message::new().text(1, name).text(2, "help").integer(3, kind);
    metrics.iter().fold(family, |family, metric| family.message(4, metric)).delimited()
}

/// A metric of a counter or gauge with the label `x`.
fn simple(field: u64, x: &str, value: f64) -> Message {
    let labels = if x.is_empty() { Message::new() } else { Message::new().label(1, "x", x) };
    labels.message(field, &Message::new().double(1, value))
}

fn counter(x: &str, value: f64) -> Message {
    simple(3, x, value)
}

/// Three observations, with classic buckets at 1 and 2.
fn classic() -> Message {
    let bucket = |bound, count| Message::new().integer(1, count).double(2, bound);
    let buckets = [bucket(1.0, 1), bucket(2.0, 3)];
    buckets.iter().fold(Message::new().integer(1, 3).double(2, 4.5), |it, b| it.message(3, b))
}

/// The same with native buckets: 1, 2 and an empty one.
fn native() -> Message {
    let span = Message::new().signed(1, 0).integer(2, 3);
    classic().signed(5, 3).double(6, 0.125).message(12, &span).signed_list(13, &[1, 1, -2])
}

fn histogram(message: &Message) -> Message {
    Message::new().label(1, "x", "1").message(7, message)
}

impl Rig {
    fn families(keys: &str) -> Self {
        Self { format: Format::Protobuf, ..Self::new(keys) }
    }

    /// Everything that the last scrape has added, histograms included.
    fn all_added(&self) -> Vec<String> {
        let mut added = self.added();
        for (labels, timestamp_ms, value) in self.store.take_histograms() {
            let (kind, value) = match &value {
                HistogramValue::Integer(value) => ('i', value.to_float().to_test_text()),
                HistogramValue::Float(value) => ('f', value.to_test_text()),
            };
            let time = match timestamp_ms == self.now_ms {
                true => String::new(),
                false => format!(" @{timestamp_ms}"),
            };
            added.push(format!("{} {kind}{value}{time}", labels.metric_name()));
        }
        added
    }

    fn check_all(&mut self, rounds: &[(&[u8], &[&str])]) {
        for (index, (body, expected)) in rounds.iter().enumerate() {
            let stored = self.scrape_bytes(body);
            assert!(stored.refused.is_none() && stored.failed.is_none(), "{index}: {stored:?}");
            assert_eq!(self.all_added(), *expected, "{index}");
        }
    }

    fn check_refused(&mut self, body: &[u8], expected: &str) {
        let refused = self.scrape_bytes(body).refused.map(|refused| refused.to_string());
        assert_eq!(refused.as_deref(), Some(expected));
        assert!(self.store.take_histograms().is_empty());
    }
}

#[test]
fn families_become_samples_whatever_their_order() {
    let body = |metrics: &[Message]| family("a", COUNTER, metrics);
    let gauge = family("b", GAUGE, &[simple(2, "", 9.0)]);
    Rig::families("").check_all(&[
        (&body(&[counter("1", 1.0), counter("2", 2.0)]), &["a{x=\"1\"} 1", "a{x=\"2\"} 2"]),
        (&body(&[counter("1", 3.0), counter("2", 4.0)]), &["a{x=\"1\"} 3", "a{x=\"2\"} 4"]),
        (&body(&[counter("2", 5.0), counter("1", 6.0)]), &["a{x=\"1\"} 6", "a{x=\"2\"} 5"]),
        (&body(&[counter("2", 7.0)]), &["a{x=\"1\"} stale", "a{x=\"2\"} 7"]),
        (
            &[body(&[counter("2", 8.0), counter("3", 1.0)]), gauge].concat(),
            &["a{x=\"2\"} 8", "a{x=\"3\"} 1", "b 9"],
        ),
        // Twice the same: the first counts.
        (
            &body(&[counter("2", 1.0), counter("2", 2.0)]),
            &["a{x=\"2\"} 1", "a{x=\"3\"} stale", "b stale"],
        ),
        (&[], &["a{x=\"2\"} stale"]),
    ]);
}

#[test]
fn known_families_are_not_looked_up() {
    let mut rig = Rig::families("scrape_native_histograms: true");
    let body = |value: f64| {
        let quantile = Message::new().double(1, 0.5).double(2, value);
        let summary = Message::new().integer(1, 9).double(2, 1.5).message(3, &quantile);
        let metrics = [counter("1", value), counter("2", value).integer(6, 5_000)];
        [
            family("a", COUNTER, &metrics),
            family("s", SUMMARY, &[Message::new().message(4, &summary)]),
            family("h", HISTOGRAM, &[histogram(&native())]),
        ]
        .concat()
    };
    rig.scrape_bytes(&body(1.0));
    let before = rig.store.lookup_count();
    let report = rig.report("scrape_series_added");
    rig.scrape_bytes(&body(2.0));
    assert_eq!(rig.store.lookup_count(), before);
    assert_eq!((report, rig.report("scrape_series_added")), (6.0, 0.0));
    assert_eq!(rig.report("scrape_samples_scraped"), 6.0);
}

const CLASSIC: [&str; 5] = [
    "h_bucket{le=\"+Inf\", x=\"1\"} 3",
    "h_bucket{le=\"1.0\", x=\"1\"} 1",
    "h_bucket{le=\"2.0\", x=\"1\"} 3",
    "h_count{x=\"1\"} 3",
    "h_sum{x=\"1\"} 4.5",
];
const NATIVE: &str = "h i{{schema:3 count:3 sum:4.5 z_bucket_w:0.125 buckets:[1 2]}}";
const CUSTOM: &str = "h i{{schema:-53 count:3 sum:4.5 custom_values:[1 2] buckets:[1 2]}}";

#[test]
fn histograms_are_taken_as_they_are_wanted() {
    let check = |keys: &[&str], message: &Message, expected: &[&str]| {
        let body = family("h", HISTOGRAM, &[histogram(message)]);
        let lines: String = keys.iter().map(|key| format!("{key}: true\n")).collect();
        let mut rig = Rig::families(&lines);
        // What is known is read as what is new.
        rig.check_all(&[(&body, expected), (&body, expected)]);
    };
    let (native_on, keep, convert) = (
        "scrape_native_histograms",
        "always_scrape_classic_histograms",
        "convert_classic_histograms_to_nhcb",
    );
    let with =
        |more: &[&'static str]| -> Vec<&str> { CLASSIC.iter().chain(more).copied().collect() };
    check(&[], &classic(), &CLASSIC);
    check(&[], &native(), &CLASSIC);
    check(&[native_on], &classic(), &CLASSIC);
    check(&[native_on], &native(), &[NATIVE]);
    check(&[native_on, keep], &native(), &with(&[NATIVE]));
    check(&[convert], &classic(), &[CUSTOM]);
    check(&[convert], &native(), &[CUSTOM]);
    check(&[convert, keep], &classic(), &with(&[CUSTOM]));
    check(&[convert, native_on], &native(), &[NATIVE]);
    check(&[convert, native_on], &classic(), &[CUSTOM]);
}

#[test]
fn histograms_meet_their_limits() {
    let body = family("h", HISTOGRAM, &[histogram(&native())]);
    let with = |key: &str| Rig::families(&format!("scrape_native_histograms: true\n{key}"));
    let coarser = "h i{{schema:2 count:3 sum:4.5 z_bucket_w:0.125 buckets:[1 2]}}";
    with("native_histogram_min_bucket_factor: 1.15").check_all(&[(&body, &[coarser])]);
    let coarsest = "h i{{schema:1 count:3 sum:4.5 z_bucket_w:0.125 buckets:[1 2]}}";
    with("native_histogram_bucket_limit: 2").check_all(&[(&body, &[NATIVE])]);
    with("native_histogram_min_bucket_factor: 1.3").check_all(&[(&body, &[coarsest])]);
    // Two of three buckets lie above 1, so the limit of one is never met.
    let refused = "histogram bucket limit exceeded";
    with("native_histogram_bucket_limit: 1").check_refused(&body, refused);
    let two = family("h", HISTOGRAM, &[histogram(&native()), Message::new().message(7, &native())]);
    with("sample_limit: 1").check_refused(&two, "sample limit exceeded");
    let unsound = native().integer(1, 9);
    let body = family("h", HISTOGRAM, &[histogram(&unsound)]);
    let counts = "3 observations found in buckets, but the Count field is 9: histogram's observation count \
                  should equal the number of observations found in the buckets (in absence of NaN)";
    with("").check_refused(&body, counts);
}

#[test]
fn exemplars_of_families_follow_their_samples() {
    let exemplar = |id: &str, time: Option<i64>| {
        let message = Message::new().label(1, "id", id).double(2, 0.5);
        time.map_or(message.clone(), |ms| message.time(3, ms))
    };
    let count = Message::new().double(1, 1.0).message(2, &exemplar("c", None));
    let bucket = Message::new().integer(1, 3).double(2, 2.0).message(3, &exemplar("b", Some(7)));
    let both = native()
        .message(16, &exemplar("late", Some(900)))
        .message(16, &exemplar("none", None))
        .message(16, &exemplar("early", Some(800)));
    let body = [
        family("a", COUNTER, &[Message::new().message(3, &count)]),
        family("h", HISTOGRAM, &[histogram(&both)]),
        family("k", HISTOGRAM, &[histogram(&Message::new().integer(1, 3).message(3, &bucket))]),
    ]
    .concat();
    let mut rig = Rig::families("scrape_native_histograms: true");
    for _ in 0..2 {
        assert!(rig.scrape_bytes(&body).refused.is_none());
        let taken = rig.store.take_exemplars().into_iter();
        let shown: Vec<String> = taken
            .map(|(series, exemplar)| {
                let id = exemplar.labels.get("id").unwrap_or_default();
                format!("{} {id} @{}", series.metric_name(), exemplar.timestamp_ms)
            })
            .collect();
        let of_sample = format!("a c @{}", rig.now_ms);
        assert_eq!(
            shown,
            [&of_sample, "h early @800", "h late @900", "k_bucket b @7"].map(|it| it.to_owned())
        );
    }
}

#[test]
fn classic_lines_become_custom_buckets() {
    let text = "# TYPE h histogram\nh_bucket{x=\"1\",le=\"1\"} 1\nh_bucket{x=\"1\",le=\"2\"} 3\n\
                h_bucket{x=\"1\",le=\"+Inf\"} 3\nh_sum{x=\"1\"} 4.5\nh_count{x=\"1\"} 3\n";
    let other = "h_bucket{x=\"2\",le=\"+Inf\"} 1\nh_sum{x=\"2\"} 1\nh_count{x=\"2\"} 1\nh 7\n# TYPE a counter\na 1\n";
    let both = format!("{text}{other}");
    let second = "h i{{schema:-53 count:1 sum:1 custom_values:[] buckets:[1]}}";
    let mut rig = Rig::new("convert_classic_histograms_to_nhcb: true");
    let expected = ["a 1", "h 7", CUSTOM, second];
    rig.check_all(&[
        (both.as_bytes(), &expected),
        (both.as_bytes(), &expected),
        (text.as_bytes(), &["a stale", "h stale", "h{x=\"2\"} stale", CUSTOM]),
    ]);
    assert_eq!(rig.report("scrape_samples_scraped"), 1.0);
    let mut rig = Rig::new(
        "convert_classic_histograms_to_nhcb: true\nalways_scrape_classic_histograms: true",
    );
    let expected: Vec<&str> = CLASSIC.iter().chain(&[CUSTOM]).copied().collect();
    rig.check_all(&[(text.as_bytes(), &expected), (text.as_bytes(), &expected)]);
    // What contradicts itself is left out, and fails nothing.
    let wrong = text.replace("h_count{x=\"1\"} 3", "h_count{x=\"1\"} 4");
    Rig::new("convert_classic_histograms_to_nhcb: true").check_all(&[(wrong.as_bytes(), &[])]);
}
