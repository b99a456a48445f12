//! Zeros at the times since when series count: which formats tell them, and when they are stored.

use prom_testkit::Message;

use super::*;

impl Rig {
    fn zeroing(keys: &str, format: Format) -> Self {
        let mut rig = Self { format, ..Self::new(keys) };
        rig.rules.starts.are_zeroed = true;
        rig
    }
}

/// Lines of OpenMetrics; scrapes come at 1, 2, 3 ... seconds.
fn counter(value: u64, start: &str) -> String {
    format!("# TYPE a counter\na_total {value}\na_created {start}\n# EOF\n")
}

#[test]
fn a_counter_begins_with_a_zero_and_again_when_it_was_reset() {
    Rig::zeroing("", Format::OpenMetrics).check(&[
        (&counter(5, "0.25"), &["a_total 0 @250", "a_total 5"]),
        (&counter(6, "0.25"), &["a_total 6"]),
        // Restarted between two scrapes; at a sample of its own; and before its last sample.
        (&counter(1, "2.5"), &["a_total 0 @2500", "a_total 1"]),
        (&counter(2, "3"), &["a_total 2"]),
        (&counter(3, "3.999"), &["a_total 3"]),
        // The target's clock runs ahead until the scrape after the next.
        (&counter(1, "6.5"), &["a_total 1"]),
        (&counter(2, "6.5"), &["a_total 0 @6500", "a_total 2"]),
        ("# EOF\n", &["a_total stale"]),
        (&counter(2, "6.5"), &["a_total 2"]),
    ]);
    let mut rig = Rig::zeroing("", Format::OpenMetrics);
    rig.scrape(&counter(5, "0.25"));
    rig.fail();
    assert_eq!(rig.report("scrape_samples_scraped"), 0.0);
    rig.added();
    rig.scrape(&counter(1, "1.5"));
    // The failed scrape has marked the end at 2 seconds.
    assert_eq!(rig.added(), ["a_total 1"]);
}

#[test]
fn lines_that_tell_starts_are_no_series_where_their_family_counts() {
    let body = "# TYPE a counter\na_total 5\na_created 0.25\n# TYPE g gauge\ng 1\ng_created 0.25\n\
                # TYPE u unknown\nu_created 2\n# EOF\n";
    let mut rig = Rig::zeroing("", Format::OpenMetrics);
    for expected in [
        &["a_total 0 @250", "a_total 5", "g 1", "g_created 0.25", "u_created 2"][..],
        &["a_total 5", "g 1", "g_created 0.25", "u_created 2"],
    ] {
        let stored = rig.scrape(body);
        assert_eq!(rig.added(), expected);
        assert_eq!(stored.report.counts.scraped, 4);
    }
    // Without the feature, and in the other text format, they are like other lines.
    let mut rig = Rig { format: Format::OpenMetrics, ..Rig::new("") };
    rig.check(&[(&counter(5, "0.25"), &["a_created 0.25", "a_total 5"])]);
    let lines = "# TYPE a counter\na_total 5\na_created 0.25\n";
    Rig::zeroing("", Format::Text).check(&[(lines, &["a_created 0.25", "a_total 5"])]);
}

#[test]
fn a_start_counts_for_the_lines_of_its_labels() {
    Rig::zeroing("", Format::OpenMetrics).check(&[
        (
            "# TYPE h histogram\nh_bucket{x=\"1\",le=\"1\"} 1\nh_bucket{x=\"1\",le=\"+Inf\"} 2\nh_count{x=\"1\"} 2\n\
             h_created{x=\"1\"} 0.25\nh_sum{x=\"1\"} 3\nh_count{x=\"2\"} 4\n# EOF\n",
            &[
                "h_bucket{le=\"+Inf\", x=\"1\"} 0 @250",
                "h_bucket{le=\"+Inf\", x=\"1\"} 2",
                "h_bucket{le=\"1.0\", x=\"1\"} 0 @250",
                "h_bucket{le=\"1.0\", x=\"1\"} 1",
                "h_count{x=\"1\"} 0 @250",
                "h_count{x=\"1\"} 2",
                "h_count{x=\"2\"} 4",
                "h_sum{x=\"1\"} 0 @250",
                "h_sum{x=\"1\"} 3",
            ],
        ),
        // The next one of the family is of other labels; that of another family is not looked at.
        (
            "# TYPE c counter\nc_total{x=\"1\"} 1\nc_total{x=\"2\"} 2\nc_created{x=\"2\"} 1.5\n\
             c_created{x=\"1\"} 1.5\n# TYPE s summary\ns{quantile=\"0.5\"} 7\ns_count 1\ns_created 1.5\n\
             # TYPE d counter\nd_total 1\n# TYPE e counter\nd_created 1.5\n# EOF\n",
            &[
                "c_total{x=\"1\"} 1",
                "c_total{x=\"2\"} 0 @1500",
                "c_total{x=\"2\"} 2",
                "d_total 1",
                "h_bucket{le=\"+Inf\", x=\"1\"} stale",
                "h_bucket{le=\"1.0\", x=\"1\"} stale",
                "h_count{x=\"1\"} stale",
                "h_count{x=\"2\"} stale",
                "h_sum{x=\"1\"} stale",
                "s{quantile=\"0.5\"} 0 @1500",
                "s{quantile=\"0.5\"} 7",
                "s_count 0 @1500",
                "s_count 1",
            ],
        ),
        // Quoted names, names in values of labels, and a start that is nobody's.
        (
            "# TYPE q counter\n{\"q_total\",x=\"_created\"} 1\n{\"q_created\",x=\"_created\"} 2.5\n\
             q_total{y=\"a_created \"} 1\nq_created{y=\"b\"} 2.5\n# EOF\n",
            &[
                "c_total{x=\"1\"} stale",
                "c_total{x=\"2\"} stale",
                "d_total stale",
                "q_total{x=\"_created\"} 0 @2500",
                "q_total{x=\"_created\"} 1",
                "q_total{y=\"a_created \"} 1",
                "s{quantile=\"0.5\"} stale",
                "s_count stale",
            ],
        ),
    ]);
}

#[test]
fn known_lines_and_their_starts_are_not_looked_up_again() {
    let body = "# TYPE a counter\na_total{x=\"1\"} 1\na_created{x=\"1\"} 0.25\na_total{x=\"2\"} 2\n\
                a_created{x=\"2\"} 0.25\n# TYPE b gauge\nb 1\n# EOF\n";
    let mut rig = Rig::zeroing("", Format::OpenMetrics);
    rig.scrape(body);
    let lookup_count = rig.store.lookup_count();
    for _ in 0..3 {
        assert!(rig.scrape(body).metadata.is_none());
    }
    let later = body.replace("0.25\na_total{x=\"2\"}", "4.5\na_total{x=\"2\"}");
    rig.added();
    rig.scrape(&later);
    assert_eq!(rig.store.lookup_count(), lookup_count);
    let expected = ["a_total{x=\"1\"} 0 @4500", "a_total{x=\"1\"} 1", "a_total{x=\"2\"} 2", "b 1"];
    assert_eq!(rig.added(), expected);
}

#[test]
fn samples_with_their_own_time_have_zeros_before_it() {
    let mut rig = Rig::zeroing("", Format::OpenMetrics);
    let body = "# TYPE a counter\na_total 1 0.1\na_total 2 0.2\na_created 0.05\n# EOF\n";
    rig.scrape(body);
    assert_eq!(rig.added(), ["a_total 0 @50", "a_total 1 @100", "a_total 2 @200"]);
    // Where their time is not honored, it is that of the scrape.
    let mut rig = Rig::zeroing("honor_timestamps: false", Format::OpenMetrics);
    rig.scrape("# TYPE a counter\na_total 1 0.1\na_created 0.5\n# EOF\n");
    assert_eq!(rig.added(), ["a_total 0 @500", "a_total 1"]);
}

#[test]
fn limits_count_no_zeros_and_refused_bodies_leave_none() {
    let mut rig = Rig::zeroing("sample_limit: 1", Format::OpenMetrics);
    assert!(rig.scrape(&counter(1, "0.5")).refused.is_none());
    assert_eq!(rig.added(), ["a_total 0 @500", "a_total 1"]);
    let two = "# TYPE b counter\nb_total 1\nb_created 1.5\nb_total{x=\"1\"} 1\n# EOF\n";
    assert!(rig.scrape(two).refused.is_some());
    assert_eq!(rig.added(), ["a_total stale"]);
}

#[test]
fn families_of_protobuf_begin_with_zeros_of_their_kind() {
    let at = |ms: i64| Message::new().double(1, 3.0).time(3, ms);
    let family = |name: &str, kind: u64, field: u64, part: &Message| {
        let metric = Message::new().message(field, part);
        Message::new().text(1, name).integer(3, kind).message(4, &metric).delimited()
    };
    let mut rig = Rig::zeroing("scrape_native_histograms: true", Format::Protobuf);
    let summary = Message::new().integer(1, 9).double(2, 1.5).time(4, 250);
    let body =
        [family("a", 0, 3, &at(250)), family("g", 1, 2, &at(250)), family("s", 2, 4, &summary)];
    rig.scrape_bytes(&body.concat());
    let expected =
        ["a 0 @250", "a 3", "g 3", "s_count 0 @250", "s_count 9", "s_sum 0 @250", "s_sum 1.5"];
    assert_eq!(rig.added(), expected);
    rig.scrape_bytes(&body.concat());
    assert_eq!(rig.added(), ["a 3", "g 3", "s_count 9", "s_sum 1.5"]);
    rig.scrape_bytes(&family("a", 0, 3, &at(2_500)));
    assert_eq!(rig.added()[..2], ["a 0 @2500", "a 3"]);

    let span = Message::new().signed(1, 0).integer(2, 1);
    let native = |start_ms: i64| {
        let part = Message::new().integer(1, 5).double(2, 4.5).signed(5, 3).double(6, 0.125);
        let part = part.integer(7, 1).message(12, &span).signed_list(13, &[4]);
        family("h", 4, 7, &part.time(15, start_ms))
    };
    rig.store.take_histograms();
    for (start_ms, expected) in [(3_500, &[3_500, 4_000][..]), (3_500, &[5_000]), (0, &[6_000])] {
        assert!(rig.scrape_bytes(&native(start_ms)).refused.is_none());
        let histograms = rig.store.take_histograms();
        let times: Vec<i64> = histograms.iter().map(|(_, time, _)| *time).collect();
        assert_eq!(times, expected);
        if times.len() == 2 {
            let zero = histograms[0].2.to_float();
            assert_eq!((zero.count, zero.schema, zero.zero_threshold), (0.0, 3, 0.125));
            assert!(zero.positive_buckets.is_empty());
        }
    }
}

#[test]
fn converted_histograms_begin_with_zeros_too() {
    let body = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_count 2\nh_created 0.25\n\
                h_sum 3\n# EOF\n";
    for (keys, expected) in [
        ("convert_classic_histograms_to_nhcb: true", 0),
        ("convert_classic_histograms_to_nhcb: true\nalways_scrape_classic_histograms: true", 8),
    ] {
        let mut rig = Rig::zeroing(keys, Format::OpenMetrics);
        rig.scrape(body);
        let histograms = rig.store.take_histograms();
        let counts: Vec<(i64, f64)> =
            histograms.iter().map(|(_, time, value)| (*time, value.to_float().count)).collect();
        assert_eq!(counts, [(250, 0.0), (1_000, 2.0)]);
        assert_eq!(rig.added().len(), expected);
        rig.scrape(body);
        assert_eq!(rig.store.take_histograms().len(), 1);
    }
}
