//! Series descriptions of test scripts and unit tests.

use super::*;

fn check(text: &str, labels: &str, items: &[SeriesItem]) {
    let series = parse_series_description(text).unwrap_or_else(|err| panic!("{text}: {err}"));
    assert_eq!(series.labels.to_string(), labels, "{text}");
    assert_eq!(series.items, items, "{text}");
}

fn floats(first: f64, delta: f64, count: u64) -> SeriesItem {
    SeriesItem::Floats { first, delta, count }
}

#[test]
fn labels_and_floats() {
    check("foo", r#"{__name__="foo"}"#, &[]);
    check("{}  ", "{}", &[]);
    check(r#"foo{a="b",'c'="d",} 1"#, r#"{__name__="foo", a="b", c="d"}"#, &[floats(1.0, 0.0, 1)]);
    check(r#"{"a.b"} 1"#, r#"{__name__="a.b"}"#, &[floats(1.0, 0.0, 1)]);
    check(
        "sum 1  -2x3\t+0.5-1.5x2",
        r#"{__name__="sum"}"#,
        &[floats(1.0, 0.0, 1), floats(-2.0, 0.0, 4), floats(0.5, -1.5, 3)],
    );
    check(
        "a _ _x3 0x2 1e2+60x1",
        r#"{__name__="a"}"#,
        &[
            SeriesItem::Omitted { count: 1 },
            SeriesItem::Omitted { count: 3 },
            floats(0.0, 0.0, 3),
            floats(100.0, 60.0, 2),
        ],
    );
}

#[test]
fn floats_are_added_up_one_by_one() {
    let values: Vec<f64> = floats(1.0, 0.1, 4).floats().collect();
    assert_eq!(values, [1.0, 1.1, 1.1 + 0.1, 1.1 + 0.1 + 0.1]);
    let series = parse_series_description("a stale 1 stale").unwrap();
    assert!([0, 2].iter().all(|i| series.items[*i].floats().all(prom_model::is_stale)));
    // Unfolded by nobody, so it costs nothing.
    let series = parse_series_description("a 1x18446744073709551615").unwrap();
    assert_eq!(series.items[0].count(), u64::MAX);
}

#[test]
fn histograms() {
    let one = HistogramLiteral {
        schema: -53,
        sum: -5.5,
        count: 4.0,
        custom_values: vec![1.0, f64::INFINITY],
        positive_buckets: vec![1.0, 2.0, -1.0],
        positive_offset: -2,
        zero_count: 3.0,
        zero_threshold: 0.001,
        counter_reset_hint: Some(ResetHint::Gauge),
        ..HistogramLiteral::default()
    };
    let text = "h {{schema:-53 sum:-5.5 count:4 custom_values:[1 inf] buckets:[1 2 -1] offset:-2 \
                z_bucket:3 z_bucket_w:0.001 counter_reset_hint:gauge}}x2";
    let histogram = Box::new(one);
    check(text, r#"{__name__="h"}"#, &[SeriesItem::Histograms { histogram, count: 3 }]);
    let empty = Box::<HistogramLiteral>::default;
    check(
        "h {{}}-{{ }}x1 {{n_offset:1 n_buckets:[7]}}",
        r#"{__name__="h"}"#,
        &[
            SeriesItem::HistogramSequence {
                first: empty(),
                op: UnaryOp::Minus,
                delta: empty(),
                count: 2,
            },
            SeriesItem::Histograms {
                histogram: Box::new(HistogramLiteral {
                    negative_offset: 1,
                    negative_buckets: vec![7.0],
                    ..HistogramLiteral::default()
                }),
                count: 1,
            },
        ],
    );
}

#[test]
fn errors_are_those_of_the_reference() {
    let check = |text: &str, expected: &str| {
        let errors = parse_series_description(text).unwrap_err();
        assert_eq!(errors.to_string(), expected, "{text}");
    };
    check("on 1", "1:1: parse error: unexpected <on> in series values");
    check("foo{a=\"b\"}1", "1:11: parse error: unexpected number \"1\" in series values");
    check("foo __", "1:6: parse error: unexpected \"_\"");
    check("foo 1 x3", "1:7: parse error: unexpected \"x\"");
    check(
        "foo bar",
        "1:5: parse error: unexpected identifier \"bar\" in series values, expected number or \"stale\"",
    );
    check("foo 1+x3", "1:7: parse error: unexpected \"x\" in series values");
    check("foo 1+1", "1:8: parse error: unexpected end of input in series values");
    check(
        "foo 1x1.5",
        "1:7: parse error: invalid repetition in series values: strconv.ParseUint: parsing \"1.5\": invalid syntax",
    );
    check(
        "foo 1x99999999999999999999",
        "1:7: parse error: invalid repetition in series values: strconv.ParseUint: parsing \"99999999999999999999\": value out of range",
    );
    check("foo 1,2", "1:6: parse error: unexpected character in series sequence: ','");
    check("foo{a~\"b\"} 1", "1:6: parse error: unexpected character inside braces: '~'");
    check("foo{a=~\"b\"} 1", "1:6: parse error: unexpected <op:=~> in label set, expected \"=\"");
    check(
        "foo{a=b} 1",
        "1:7: parse error: unexpected identifier \"b\" in label set, expected string",
    );
    check(
        "foo{=} 1",
        "1:5: parse error: unexpected \"=\" in label set, expected identifier or \"}\"",
    );
    check(
        "foo{a=\"b\" c} 1",
        "1:11: parse error: unexpected identifier \"c\" in label set, expected \",\" or \"}\"",
    );
    check("foo {{schema 0}}", "1:7: parse error: missing `:` for histogram descriptor");
    check("foo {{bar:1}}", "1:7: parse error: bad histogram descriptor found: \"bar\"");
    check("foo {{sum:1 sum:2}}", "1:1: parse error: duplicate key \"sum\" in histogram");
    check(
        "foo {{sum:1 5}}",
        "1:13: parse error: unexpected number \"5\" in histogram description, expected histogram description key, e.g. buckets:[5 10 7]",
    );
    check(
        "foo {{sum:1",
        "1:12: parse error: histogram description incomplete unexpected: '\u{fffd}'",
    );
}
