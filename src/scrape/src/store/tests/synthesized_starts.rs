//! Starts that are made up: which samples are left out, what the others come to, and what begins it anew.

use prom_testkit::Message;

use super::{
    stored_starts::{family, metric},
    *,
};

impl Rig {
    fn synthesizing(keys: &str, format: Format) -> Self {
        let mut rig = Self { format, ..Self::new(keys) };
        rig.rules.starts =
            StartRules { are_synthesized: true, are_stored: true, are_zeroed: false };
        rig
    }

    /// Scrapes each body (`!` fails) and compares the samples, then the starts, that each scrape has added.
    fn check_counting(&mut self, rounds: &[(&str, &[&str], &[&str])]) {
        for (index, (body, samples, starts)) in rounds.iter().enumerate() {
            let stored = if *body == "!" { self.fail() } else { self.scrape(body) };
            assert!(stored.refused.is_none() && stored.failed.is_none(), "{index}: {stored:?}");
            assert_eq!(self.added(), *samples, "{index}: {body:?}");
            assert_eq!(self.starts(), *starts, "{index}: {body:?}");
        }
    }

    /// A series that somebody else has written until then.
    fn write_elsewhere(&mut self, body: &str, timestamp_ms: i64) {
        let mut other = TargetStore::new(Arc::new(self.store.clone()));
        let time = ScrapeTime { timestamp_ms, ..self.time() };
        self.now_ms -= INTERVAL_MS;
        let body = Body { bytes: body.as_bytes(), format: Format::Text };
        other.store_body(body, &rules(""), time, Report::default(), &self.table);
        self.added();
    }
}

#[test]
fn the_first_sample_is_left_out_and_others_count_from_it() {
    let counter = |value: u64| format!("# TYPE a counter\na {value}\n# TYPE g gauge\ng 1\n");
    let alone = |value: u64| format!("# TYPE a counter\na {value}\n");
    let told = "# TYPE a counter\na 20\na_created 0.5\n# EOF\n";
    let with_end = |body: &str| format!("{body}# EOF\n");
    Rig::synthesizing("", Format::Text).check_counting(&[
        (&counter(10), &["g 1"], &[]),
        (&counter(15), &["a 5", "g 1"], &["a 1000"]),
        (&counter(15), &["a 5", "g 1"], &["a 1000"]),
        // Reset.
        (&counter(4), &["a 4", "g 1"], &["a 3999"]),
        (&counter(6), &["a 6", "g 1"], &["a 3999"]),
        // A scrape that fails, and a body without a line, forget nothing; a body without the series does.
        ("!", &["a stale", "g stale"], &[]),
        (&counter(7), &["a 7", "g 1"], &["a 3999"]),
        ("", &["a stale", "g stale"], &[]),
        (&counter(8), &["a 8", "g 1"], &["a 3999"]),
        ("g 1\n", &["a stale", "g 1"], &[]),
        (&counter(9), &["g 1"], &[]),
        (&counter(11), &["a 2", "g 1"], &["a 11000"]),
    ]);
    let mut rig = Rig::synthesizing("", Format::OpenMetrics);
    rig.check_counting(&[
        (&with_end(&alone(10)), &[], &[]),
        (&with_end(&alone(15)), &["a 5"], &["a 1000"]),
        // What the target tells counts, and begins it anew.
        (told, &["a 20"], &["a 500"]),
        (&with_end(&alone(25)), &[], &[]),
        (&with_end(&alone(32)), &["a 7"], &["a 4000"]),
        (&with_end(""), &["a stale"], &[]),
    ]);
    // One that is told from the beginning, and then no more.
    Rig::synthesizing("", Format::OpenMetrics).check_counting(&[
        (told, &["a 20"], &["a 500"]),
        (&with_end(&alone(25)), &[], &[]),
        (&with_end(&alone(32)), &["a 7"], &["a 2000"]),
    ]);
    // A series of one sample has never been, so it does not end.
    Rig::synthesizing("", Format::Text)
        .check_counting(&[(&alone(1), &[], &[]), ("b 1\n", &["b 1"], &[])]);
}

#[test]
fn series_that_count_are_those_of_their_family_and_type() {
    let body = |n: u64| {
        format!(
            "# TYPE a counter\na_total {n}\na_created {n}\nb {n}\n# TYPE s summary\ns{{quantile=\"0.5\"}} {n}\ns_sum {n}\n\
             s_count {n}\n# TYPE h histogram\nh_bucket{{le=\"1\"}} {n}\nh_bucket{{le=\"+Inf\"}} {n}\nh_sum {n}\n\
             h_count {n}\n# TYPE u untyped\nu {n}\n# HELP c none\nc_total {n}\n"
        )
    };
    let others = |n: u64| {
        ["a_created", "b", "c_total", "s{quantile=\"0.5\"}", "u"].map(|name| format!("{name} {n}"))
    };
    let counting = [
        "a_total 2",
        "h_bucket{le=\"+Inf\"} 2",
        "h_bucket{le=\"1.0\"} 2",
        "h_count 2",
        "h_sum 2",
        "s_count 2",
        "s_sum 2",
    ];
    let mut rig = Rig::synthesizing("", Format::Text);
    rig.scrape(&body(5));
    assert_eq!(rig.added(), others(5));
    assert_eq!(rig.report("scrape_series_added"), 12.0);
    assert_eq!(rig.report("scrape_samples_post_metric_relabeling"), 12.0);
    rig.scrape(&body(7));
    let mut expected: Vec<String> =
        counting.map(str::to_owned).into_iter().chain(others(7)).collect();
    let mut added = rig.added();
    expected.sort();
    added.sort();
    assert_eq!(added, expected);
    assert_eq!(rig.starts().len(), counting.len());
    assert_eq!(rig.report("scrape_series_added"), 0.0);
    // They are known lines from then on.
    let lookup_count = rig.store.lookup_count();
    rig.scrape(&body(7));
    assert_eq!(rig.store.lookup_count(), lookup_count);
}

#[test]
fn histograms_of_all_kinds_count_from_their_first() {
    let shown = |rig: &Rig| -> Vec<String> {
        let taken = rig.store.take_histograms().into_iter();
        taken
            .map(|(labels, _, value)| {
                format!("{} {}", labels.metric_name(), value.to_float().to_test_text())
            })
            .collect()
    };
    let lines = |n: u64| {
        format!(
            "# TYPE h histogram\nh_bucket{{le=\"1\"}} {n}\nh_bucket{{le=\"+Inf\"}} {}\nh_sum {n}\nh_count {}\n",
            n + 1,
            n + 1
        )
    };
    let mut rig = Rig::synthesizing("convert_classic_histograms_to_nhcb: true", Format::Text);
    for (n, expected, start) in [
        (5, &[][..], &[][..]),
        (7, &["h {{schema:-53 count:2 sum:2 custom_values:[1] buckets:[2]}}"], &["h 1000"]),
        (1, &["h {{schema:-53 count:2 sum:1 custom_values:[1] buckets:[1 1]}}"], &["h 2999"]),
        (4, &["h {{schema:-53 count:5 sum:4 custom_values:[1] buckets:[4 1]}}"], &["h 2999"]),
    ] {
        rig.scrape(&lines(n));
        assert_eq!(shown(&rig), expected);
        assert_eq!(rig.starts(), start);
        assert_eq!(rig.added(), [""; 0]);
    }
    let span = Message::new().signed(1, 0).integer(2, 2);
    let native = |n: u64, start: Option<i64>| {
        let part =
            Message::new().integer(1, 2 * n).double(2, n as f64).signed(5, 3).message(12, &span);
        let part = part.signed_list(13, &[n as i64, 0]);
        let part = start.map_or(part.clone(), |ms| part.time(15, ms));
        family("h", 4, &[metric(7, &part)])
    };
    let mut rig = Rig::synthesizing("scrape_native_histograms: true", Format::Protobuf);
    for (body, expected, start) in [
        (native(5, None), &[][..], &[][..]),
        (native(7, None), &["h {{schema:3 count:4 sum:2 buckets:[2 2]}}"], &["h 1000"]),
        (native(2, None), &["h {{schema:3 count:4 sum:2 buckets:[2 2]}}"], &["h 2999"]),
        (native(3, Some(3_500)), &["h {{schema:3 count:6 sum:3 buckets:[3 3]}}"], &["h 3500"]),
        (native(4, None), &[], &[]),
        (native(4, None), &["h {{schema:3}}"], &["h 5000"]),
    ] {
        assert!(rig.scrape_bytes(&body).refused.is_none());
        assert_eq!(shown(&rig), expected);
        assert_eq!(rig.starts(), start);
    }
    // What is not sound is refused, also where it would be left out.
    let unsound = Message::new().integer(1, 9).double(2, 1.0).signed(5, 3).message(12, &span);
    let unsound = family("k", 4, &[metric(7, &unsound.signed_list(13, &[1, 0]))]);
    assert!(rig.scrape_bytes(&unsound).refused.is_some());
}

#[test]
fn a_sample_that_is_refused_begins_it_anew() {
    let counter = |value: u64| format!("# TYPE a counter\na {value}\n");
    let mut rig = Rig::synthesizing("", Format::Text);
    rig.check_counting(&[(&counter(10), &[], &[]), (&counter(11), &["a 1"], &["a 1000"])]);
    rig.write_elsewhere("a 99\n", 3_500);
    assert_eq!(rig.scrape(&counter(100)).tally.out_of_order, 1);
    assert_eq!(rig.added(), [""; 0]);
    // The large value is forgotten, so this is no reset.
    rig.check_counting(&[
        (&counter(25), &[], &[]),
        (&counter(26), &["a 1"], &["a 4000"]),
        ("b 1\n", &["a stale", "b 1"], &[]),
    ]);
    // The same where the series would have begun with it.
    let mut rig = Rig::synthesizing("", Format::Text);
    rig.check_counting(&[(&counter(10), &[], &[])]);
    rig.write_elsewhere("a 99\n", 2_500);
    assert_eq!(rig.scrape(&counter(100)).tally.out_of_order, 1);
    rig.starts();
    rig.check_counting(&[(&counter(25), &[], &[]), (&counter(26), &["a 1"], &["a 3000"])]);
}

#[test]
fn samples_with_their_own_time_count_in_their_order() {
    let at = |value: u64, time_ms: i64| format!("# TYPE a counter\na {value} {time_ms}\n");
    let mut rig = Rig::synthesizing("", Format::Text);
    rig.check_counting(&[
        (&at(10, 700), &[], &[]),
        (&at(12, 800), &["a 2 @800"], &["a 700 @800"]),
        // As targets do that say the same until they know better.
        (&at(12, 800), &[], &[]),
    ]);
    assert_eq!(rig.scrape(&at(11, 750)).tally.out_of_order, 1);
    rig.check_counting(&[
        (&at(13, 900), &[], &[]),
        (&at(15, 950), &["a 2 @950"], &["a 900 @950"]),
        // Their end is marked, unlike that of others with a time of their own.
        ("b 1 970\n", &["a stale", "b 1 @970"], &[]),
        ("c 1\n", &["c 1"], &[]),
    ]);
    let mut rig = Rig::synthesizing("", Format::Text);
    rig.check_counting(&[(&at(10, 700), &[], &[])]);
    assert_eq!(rig.scrape(&at(11, 600)).tally.out_of_order, 1);
    rig.check_counting(&[(&at(12, 800), &[], &[]), (&at(14, 900), &["a 2 @900"], &["a 800 @900"])]);
    // Two samples of one body.
    let two = "# TYPE a counter\na 10 1500\na 12 1600\na 13 1700\n";
    Rig::synthesizing("", Format::Text).check_counting(&[(
        two,
        &["a 2 @1600", "a 3 @1700"],
        &["a 1500 @1600", "a 1500 @1700"],
    )]);
}

#[test]
fn a_line_that_comes_twice_is_refused_also_where_the_first_is_left_out() {
    let twice = |value: u64| format!("# TYPE a counter\na {value}\na {}\n", value + 1);
    let mut rig = Rig::synthesizing("", Format::Text);
    for (value, expected) in [(5, &[][..]), (7, &["a 2"]), (9, &["a 4"])] {
        let stored = rig.scrape(&twice(value));
        assert_eq!(
            (rig.added(), stored.tally.duplicate),
            (expected.iter().map(|it| (*it).to_owned()).collect(), 1)
        );
    }
}

#[test]
fn limits_are_those_of_stored_samples() {
    let body = |n: u64| {
        format!("# TYPE a counter\na{{x=\"1\"}} {n}\na{{x=\"2\"}} {n}\n# TYPE g gauge\ng {n}\n")
    };
    let mut rig = Rig::synthesizing("sample_limit: 1", Format::Text);
    rig.check_counting(&[(&body(1), &["g 1"], &[])]);
    assert!(rig.scrape(&body(2)).refused.is_some());
    let mut rig = Rig::synthesizing("", Format::Text);
    rig.store.set_series_count_max(Some(6));
    rig.check_counting(&[(&body(1), &["g 1"], &[])]);
    assert!(rig.scrape(&body(2)).beyond_limit.is_some());
    assert_eq!(rig.added(), ["g 2"]);
    rig.store.set_series_count_max(None);
    rig.starts();
    let starts = ["a{x=\"1\"} 1000", "a{x=\"2\"} 1000"];
    rig.check_counting(&[(&body(3), &["a{x=\"1\"} 2", "a{x=\"2\"} 2", "g 3"], &starts)]);
}

#[test]
fn a_store_that_fails_or_forgets_changes_nothing() {
    let counter = |value: u64| format!("# TYPE a counter\na {value}\n");
    let mut rig = Rig::synthesizing("", Format::Text);
    rig.check_counting(&[(&counter(10), &[], &[]), (&counter(11), &["a 1"], &["a 1000"])]);
    rig.store.set_full(true);
    assert!(rig.scrape(&counter(5)).failed.is_some());
    rig.store.set_full(false);
    rig.check_counting(&[(&counter(12), &["a 2"], &["a 1000"])]);
    rig.store.forget_series();
    rig.check_counting(&[(&counter(13), &["a 3"], &["a 1000"])]);
    // A body that is refused in its middle.
    assert!(rig.scrape("# TYPE a counter\na 3\n!\n").refused.is_some());
    rig.added();
    rig.check_counting(&[(&counter(14), &["a 4"], &["a 1000"])]);
    // Other rules make other lines.
    rig.target.retire(&rig.rules);
    rig.check_counting(&[(&counter(15), &["a stale"], &[]), (&counter(17), &["a 2"], &["a 8000"])]);
}

#[test]
fn other_features_have_their_part_of_it() {
    let counter = |value: u64| format!("# TYPE a counter\na {value}\na_created 0.5\n");
    let with = |are_zeroed, are_stored| {
        let mut rig = Rig::synthesizing("", Format::Text);
        rig.rules.starts = StartRules { are_zeroed, are_stored, are_synthesized: true };
        rig
    };
    // Without a store for starts the values are the same.
    with(false, false).check_counting(&[
        (&counter(10), &["a_created 0.5"], &[]),
        (&counter(15), &["a 5", "a_created 0.5"], &[]),
    ]);
    // With zeros, there is one at each start.
    with(true, false).check_counting(&[
        (&counter(10), &["a_created 0.5"], &[]),
        (&counter(15), &["a 0 @1000", "a 5", "a_created 0.5"], &[]),
        (&counter(16), &["a 6", "a_created 0.5"], &[]),
        (&counter(2), &["a 0 @3999", "a 2", "a_created 0.5"], &[]),
        (&counter(3), &["a 3", "a_created 0.5"], &[]),
    ]);
    // Exemplars and metadata are those of stored samples.
    let mut rig = Rig::synthesizing("", Format::OpenMetrics);
    rig.rules.logs_metadata = true;
    let body = "# TYPE a counter\na_total 1 # {id=\"1\"} 1\n# EOF\n";
    for (exemplar_count, metadata_count) in [(0, 0), (1, 1), (1, 0)] {
        rig.scrape(body);
        assert_eq!(rig.store.take_exemplars().len(), exemplar_count);
        let metadata = rig.store.take_metadata().into_iter();
        assert_eq!(
            metadata.filter(|(labels, _)| labels.metric_name() == "a_total").count(),
            metadata_count
        );
    }
}
