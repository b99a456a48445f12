//! Samples with the times since when they count: which formats tell them, and which samples have them.

use prom_testkit::Message;

use super::*;

impl Rig {
    fn storing(keys: &str, format: Format) -> Self {
        let mut rig = Self { format, ..Self::new(keys) };
        rig.rules.starts.are_stored = true;
        rig
    }

    /// The starts of all samples since the last call: `name{labels} start`, with the time of the sample if it
    /// is not that of the last scrape.
    pub(super) fn starts(&self) -> Vec<String> {
        let starts = self.store.take_starts().into_iter();
        starts
            .map(|(labels, timestamp_ms, start_ms)| {
                let time = match timestamp_ms == self.now_ms {
                    true => String::new(),
                    false => format!(" @{timestamp_ms}"),
                };
                let labels = labels.without(&TARGET_LABELS.map(|(label, _)| label));
                format!("{} {start_ms}{time}", shown(&labels))
            })
            .collect()
    }

    /// Scrapes each body (`!` fails) and compares the starts that each scrape has added.
    fn check_starts(&mut self, rounds: &[(&str, &[&str])]) {
        for (index, (body, expected)) in rounds.iter().enumerate() {
            let stored = if *body == "!" { self.fail() } else { self.scrape(body) };
            assert!(stored.refused.is_none() && stored.failed.is_none(), "{index}: {stored:?}");
            assert_eq!(self.starts(), *expected, "{index}: {body:?}");
        }
    }
}

fn shown(labels: &Labels) -> String {
    let rest = labels.without(&["__name__"]);
    let rest = if rest.is_empty() { String::new() } else { rest.to_string() };
    format!("{}{rest}", labels.metric_name())
}

pub(super) fn family(name: &str, kind: u64, metrics: &[Message]) -> Vec<u8> {
    let family = Message::new().text(1, name).integer(3, kind);
    metrics.iter().fold(family, |family, metric| family.message(4, metric)).delimited()
}

/// A counter, gauge, summary or histogram; `field` says which.
pub(super) fn metric(field: u64, part: &Message) -> Message {
    Message::new().message(field, part)
}

const COUNTERS: &str = "# TYPE a counter\na_total{x=\"1\"} 5\na_created{x=\"1\"} 0.25\na_total{x=\"2\"} 1\n\
                        # TYPE g gauge\ng 1\ng_created 0.25\n# EOF\n";

#[test]
fn each_sample_has_the_start_that_is_told_with_it() {
    let later = COUNTERS.replace("5\na_created{x=\"1\"} 0.25", "1\na_created{x=\"1\"} 4.5");
    let other =
        "# TYPE a counter\na_total{x=\"2\"} 1\na_created{x=\"2\"} 0.5\na_total{x=\"1\"} 5\n# EOF\n";
    let mut rig = Rig::storing("", Format::OpenMetrics);
    rig.check_starts(&[
        (COUNTERS, &["a_total{x=\"1\"} 250"]),
        // Known lines as well as new ones; after a failure; anew; in another order, by another line.
        (COUNTERS, &["a_total{x=\"1\"} 250"]),
        ("!", &[]),
        (COUNTERS, &["a_total{x=\"1\"} 250"]),
        (&later, &["a_total{x=\"1\"} 4500"]),
        (other, &["a_total{x=\"2\"} 500"]),
        ("# EOF\n", &[]),
    ]);
    assert!(rig.added().iter().all(|sample| !sample.starts_with("a_created")));
    // Neither markers nor reports have one, nor samples where nobody asks.
    let mut rig = Rig { format: Format::OpenMetrics, ..Rig::new("") };
    rig.check_starts(&[(COUNTERS, &[]), (COUNTERS, &[])]);
    Rig::storing("", Format::Text).check_starts(&[(&COUNTERS.replace("# EOF\n", ""), &[])]);
}

#[test]
fn all_series_of_a_family_have_its_start() {
    let body = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_count 2\nh_sum 3\nh_created 0.25\n\
                # TYPE s summary\ns{quantile=\"0.5\"} 7\ns_count 1\ns_sum 1\ns_created 0.5\n# EOF\n";
    let expected = [
        "h_bucket{le=\"+Inf\"} 250",
        "h_bucket{le=\"1.0\"} 250",
        "h_count 250",
        "h_sum 250",
        "s{quantile=\"0.5\"} 500",
        "s_count 500",
        "s_sum 500",
    ];
    let mut rig = Rig::storing("", Format::OpenMetrics);
    rig.check_starts(&[(body, &expected), (body, &expected)]);
    for (keys, expected) in [
        ("convert_classic_histograms_to_nhcb: true", &["h 250"][..]),
        (
            "convert_classic_histograms_to_nhcb: true\nalways_scrape_classic_histograms: true",
            &[
                "h 250",
                "h_bucket{le=\"+Inf\"} 250",
                "h_bucket{le=\"1.0\"} 250",
                "h_count 250",
                "h_sum 250",
            ],
        ),
    ] {
        let expected =
            [expected, &["s{quantile=\"0.5\"} 500", "s_count 500", "s_sum 500"]].concat();
        let mut rig = Rig::storing(keys, Format::OpenMetrics);
        rig.check_starts(&[(body, &expected), (body, &expected)]);
    }
}

#[test]
fn families_of_protobuf_tell_starts_of_every_kind() {
    let counter = metric(3, &Message::new().double(1, 3.0).time(3, 250));
    let untold = metric(3, &Message::new().double(1, 3.0)).label(1, "x", "1");
    let gauge = metric(2, &Message::new().double(1, 3.0).time(3, 250));
    let quantile = Message::new().double(1, 0.5).double(2, 7.0);
    let summary = Message::new().integer(1, 9).double(2, 1.5).message(3, &quantile).time(4, 500);
    let span = Message::new().signed(1, 0).integer(2, 1);
    let bucket = Message::new().integer(1, 4).double(2, 1.0);
    let classic = Message::new().integer(1, 4).double(2, 4.5).message(3, &bucket).time(15, 750);
    let native = classic.clone().signed(5, 3).message(12, &span).signed_list(13, &[4]);
    let body = [
        family("a", 0, &[counter, untold]),
        family("g", 1, &[gauge]),
        family("s", 2, &[metric(4, &summary)]),
        family("h", 4, &[metric(7, &native)]),
        family("k", 4, &[metric(7, &classic)]),
    ]
    .concat();
    let classic_starts = |name: &str| {
        ["_bucket{le=\"+Inf\"}", "_bucket{le=\"1.0\"}", "_count", "_sum"]
            .map(|part| format!("{name}{part} 750"))
    };
    let others = ["s{quantile=\"0.5\"} 500", "s_count 500", "s_sum 500"].map(str::to_owned);
    for (keys, histograms) in [
        ("", [classic_starts("h"), classic_starts("k")].concat()),
        ("scrape_native_histograms: true", {
            [&["h 750".to_owned()][..], &classic_starts("k")].concat()
        }),
        (
            "scrape_native_histograms: true\nconvert_classic_histograms_to_nhcb: true",
            vec!["h 750".to_owned(), "k 750".to_owned()],
        ),
    ] {
        let mut rig = Rig::storing(keys, Format::Protobuf);
        let expected = [&["a 250".to_owned()][..], &histograms, &others].concat();
        for _ in 0..2 {
            assert!(rig.scrape_bytes(&body).refused.is_none());
            assert_eq!(rig.starts(), expected, "{keys}");
        }
    }
}

#[test]
fn samples_with_their_own_time_have_starts_too() {
    let body = "# TYPE a counter\na_total 1 0.1\na_total 2 0.2\na_created 0.05\n# EOF\n";
    let mut rig = Rig::storing("", Format::OpenMetrics);
    rig.check_starts(&[(body, &["a_total 50 @100", "a_total 50 @200"])]);
    let mut rig = Rig::storing("honor_timestamps: false", Format::OpenMetrics);
    rig.check_starts(&[(
        "# TYPE a counter\na_total 1 0.1\na_created 0.5\n# EOF\n",
        &["a_total 500"],
    )]);
}

#[test]
fn starts_stay_with_their_samples_over_many_batches() {
    // A batch has 512 samples: ends of batches fall between samples with and without a start.
    let body: String = (0..1_500)
        .map(|x| match x % 3 {
            0 => format!("a_total{{x=\"{x}\"}} 1\na_created{{x=\"{x}\"}} {}\n", x + 1),
            _ => format!("a_total{{x=\"{x}\"}} 1\n"),
        })
        .collect();
    let body = format!("# TYPE a counter\n{body}# EOF\n");
    let mut expected: Vec<String> = (0..1_500)
        .step_by(3)
        .map(|x| format!("a_total{{x=\"{x}\"}} {}", (x + 1) * 1_000))
        .collect();
    expected.sort_by_key(|line| Labels::from_pairs([("x", line.split('"').nth(1).unwrap())]));
    let mut rig = Rig::storing("", Format::OpenMetrics);
    for _ in 0..2 {
        rig.scrape(&body);
        assert_eq!(rig.starts(), expected);
    }
}

#[test]
fn zeros_and_starts_go_together() {
    let mut rig = Rig::storing("scrape_native_histograms: true", Format::OpenMetrics);
    rig.rules.starts.are_zeroed = true;
    let counter = "# TYPE a counter\na_total 5\na_created 0.25\n# EOF\n";
    for expected in [&["a_total 0 @250", "a_total 5"][..], &["a_total 5"]] {
        rig.scrape(counter);
        assert_eq!(rig.added(), expected);
        // The zero has none.
        assert_eq!(rig.starts(), ["a_total 250"]);
    }
    rig.format = Format::Protobuf;
    let span = Message::new().signed(1, 0).integer(2, 1);
    let native = Message::new().integer(1, 4).double(2, 4.5).signed(5, 3).message(12, &span);
    let native = native.signed_list(13, &[4]).time(15, 2_750);
    for count in [2, 1] {
        rig.scrape_bytes(&family("h", 4, &[metric(7, &native)]));
        assert_eq!(rig.store.take_histograms().len(), count);
        assert_eq!(rig.starts(), ["h 2750"]);
    }
}
