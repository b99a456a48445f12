//! Bodies that nobody should send: none ends the server, and the next good one is taken as if nothing had been.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

const GOOD: &str = "# TYPE good counter\ngood{x=\"1\"} 7\nbetter 8\n";

/// Scrapes what is bad, then what is good.
fn survive(rig: &mut Rig, bodies: &[(Format, Vec<u8>)]) {
    for (format, body) in bodies {
        rig.format = *format;
        rig.scrape_bytes(body);
    }
    rig.store.take_added();
    rig.format = Format::Text;
    for _ in 0..2 {
        assert!(rig.scrape(GOOD).refused.is_none());
        let added = rig.added();
        let good = added.iter().filter(|line| !line.ends_with(" stale"));
        assert_eq!(good.collect::<Vec<_>>(), ["better 8", "good{x=\"1\"} 7"]);
    }
    assert_eq!(rig.report("up"), 1.0);
    assert_eq!(rig.report("scrape_samples_scraped"), 2.0);
}

#[track_caller]
fn check(format: Format, body: Vec<u8>, expected: &str) {
    let mut rig = Rig { format, ..Rig::new("") };
    let refused = rig.scrape_bytes(&body).refused.map(|refused| refused.to_string());
    let refused = refused.unwrap_or_default();
    assert!(refused.contains(expected) && refused.is_empty() == expected.is_empty(), "{refused}");
    survive(&mut rig, &[]);
}

#[test]
fn what_is_endless_is_refused_or_taken() {
    const MEBIBYTE: usize = 1 << 20;
    let label = format!("a{{x=\"{}\"}} 1\n", "y".repeat(MEBIBYTE));
    check(Format::Text, label.clone().into_bytes(), "series longer than 1048576 bytes");
    check(Format::OpenMetrics, label.into_bytes(), "series longer than 1048576 bytes");
    check(Format::Text, "#".repeat(4 * MEBIBYTE).into_bytes(), "");
    check(Format::Text, "# a\n".repeat(MEBIBYTE).into_bytes(), "");
    check(Format::Text, b"# HELP a b\n# TYPE a gauge\n".repeat(50_000), "");
    check(Format::Text, "a".repeat(4 * MEBIBYTE).into_bytes(), "longer than");
    check(Format::Text, "{".repeat(MEBIBYTE).into_bytes(), "expected label name");
    check(Format::Text, format!("a {}\n", "1".repeat(MEBIBYTE)).into_bytes(), "strconv.ParseFloat");
    check(Format::OpenMetrics, b"a 1 +Inf\n# EOF\n".to_vec(), "invalid timestamp +Inf");
    check(Format::OpenMetrics, b"a 1 -1.5\n# EOF\n".to_vec(), "");
    check(Format::Text, b"a 1 99999999999999999999\n".to_vec(), "value out of range");
    check(Format::Protobuf, [0x80; 100].to_vec(), "invalid varint");
    check(Format::Protobuf, [0xff, 0xff, 0xff, 0xff, 0x0f].to_vec(), "insufficient length");
}

#[test]
fn targets_may_change_everything_each_time() {
    let mut rig = Rig::new("");
    for round in 0..20 {
        let mut body = String::new();
        for index in 0..50 {
            let index = (index * 7 + round) % 50;
            let kind = ["counter", "gauge", "histogram", "summary"][(index + round) % 4];
            writeln!(body, "# TYPE m{index} {kind}\nm{index}{{round=\"{round}\"}} {round}")
                .unwrap();
        }
        assert!(rig.scrape(&body).refused.is_none());
        let added = rig.added();
        let stale = added.iter().filter(|line| line.ends_with(" stale")).count();
        assert_eq!((added.len() - stale, stale), (50, if round == 0 { 0 } else { 50 }));
    }
    survive(&mut rig, &[]);
}

/// Pieces of bodies, and anything at all.
fn any_body() -> impl Strategy<Value = (Format, Vec<u8>)> {
    let piece = prop::sample::select(vec![
        "good{x=\"1\"} 7\n",
        "better 8\n",
        "good 1 1000\n",
        "# TYPE good counter\n",
        "# TYPE h histogram\n",
        "h_bucket{le=\"1\"} 1\n",
        "h_bucket{le=\"+Inf\"} 2\n",
        "h_count 2\n",
        "# HELP",
        "\n",
        "{\"q\"} 1\n",
        " # {a=\"b\"} 1\n",
        "# EOF\n",
        "\"",
        "\\",
        "\u{0}",
    ]);
    let pieces = prop::collection::vec(piece, 0..20).prop_map(|all| all.concat().into_bytes());
    let format = prop::sample::select(vec![Format::Text, Format::OpenMetrics, Format::Protobuf]);
    (format, prop_oneof![pieces, prop::collection::vec(any::<u8>(), 0..200)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_bodies_are_survived(
        bodies in prop::collection::vec(any_body(), 0..6),
        converts in any::<bool>(),
        (are_zeroed, are_stored, are_synthesized) in any::<(bool, bool, bool)>(),
    ) {
        let mut rig = Rig::new(&format!(
            "convert_classic_histograms_to_nhcb: {converts}\nscrape_native_histograms: true"
        ));
        rig.rules.starts = StartRules { are_zeroed, are_stored, are_synthesized };
        for (format, body) in &bodies {
            rig.format = *format;
            rig.scrape_bytes(body);
        }
        rig.target.retire(&rig.rules);
        rig.rules.starts = StartRules::default();
        survive(&mut rig, &bodies);
    }
}
