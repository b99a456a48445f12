//! Bodies and errors compared with the reference's own answers: those of
//! `promtool tsdb create-blocks-from openmetrics`, version 3.5.3.

use prom_model::{LabelsBuilder, format_float_g};
use proptest::prelude::*;

use super::super::{Dialect, Entry, Parser, Suffix, tests::entries};
use super::*;

/// Samples as `value [@timestamp] labels [# exemplar]`.
fn read(body: &[u8]) -> Vec<String> {
    entries(body, Dialect::OpenMetrics, |parser, sample, labels| {
        let time = |ms: Option<i64>| ms.map(|ms| format!(" @{ms}")).unwrap_or_default();
        let (value, at) = (format_float_g(sample.value), time(sample.timestamp_ms));
        let mut line = format!("{value}{at} {}", labels.labels());
        if let Some(exemplar) = &sample.exemplar {
            labels.clear();
            parser.exemplar_labels(exemplar, labels).unwrap();
            let (value, at) = (format_float_g(exemplar.value), time(exemplar.timestamp_ms));
            line += &format!(" # {} {value}{at}", labels.labels());
        }
        line
    })
}

#[test]
fn entries_are_read_as_by_the_reference() {
    let check = |body: &str, expected: &[&str]| {
        assert_eq!(read(format!("{body}# EOF\n").as_bytes()), expected, "{body}");
        // the last line feed may be missing
        assert_eq!(read(format!("{body}# EOF").as_bytes()), expected, "{body}");
    };
    check("", &[]);
    check(
        "# TYPE a_seconds counter\n# HELP a_seconds b\\n\\\"c\n# UNIT a_seconds seconds\n\
         # HELP e \n# UNIT e \na_seconds_total{x=\"y\\\"\",} 1 1.5\n",
        &[
            "type a_seconds: counter",
            "help a_seconds: b\n\"c",
            "unit a_seconds: seconds",
            "help e: ",
            "unit e: ",
            r#"1 @1500 {__name__="a_seconds_total", x="y\""}"#,
        ],
    );
    check(
        "# TYPE h histogram\nh_bucket{le=\"1\"} 4 # {trace_id=\"KOO5S4vxi0o\"} 0.67\n\
         h_bucket{le=\"+Inf\"} 5 1520879607.789 # {trace_id=\"a\",\"x.y\"=\"z\",} -9.8 1520879607.7891\nh_count NaN\n",
        &[
            "type h: histogram",
            r#"4 {__name__="h_bucket", le="1.0"} # {trace_id="KOO5S4vxi0o"} 0.67"#,
            r#"5 @1520879607789 {__name__="h_bucket", le="+Inf"} # {trace_id="a", "x.y"="z"} -9.8 @1520879607789"#,
            r#"NaN {__name__="h_count"}"#,
        ],
    );
    check(
        "# TYPE \"a.b\" stateset\n{\"a.b\",c=\"d\"} 1\n{c=\"d\",\"a.b\"} 1 # {} 2\n",
        &[
            "type a.b: stateset",
            r#"1 {__name__="a.b", c="d"}"#,
            r#"1 {__name__="a.b", c="d"} # {} 2"#,
        ],
    );
    for word in ["gauge", "gaugehistogram", "summary", "info", "unknown"] {
        check(&format!("# TYPE a {word}\n"), &[&format!("type a: {word}")]);
    }
}

#[test]
fn errors_are_those_of_the_reference() {
    let check = |body: &[u8], expected: &str| {
        let last = read(body).pop().unwrap_or_default();
        assert_eq!(last, format!("error: {expected}"), "{}", body.escape_ascii());
    };
    check(b"", "data does not end with # EOF");
    check(b"a 1", "data does not end with # EOF");
    check(b"a 1\n", "data does not end with # EOF");
    check(b"a 1 # {a=\"b\"} 1", "data does not end with # EOF");
    check(b"# EOF\n\n", "unexpected data after # EOF");
    check(b"# EOFx\n", "unexpected data after # EOF");
    check(b"# HELP a\n# EOF\n", "expected text in HELP");
    check(b"# HELP a b", "expected text in HELP");
    check(b"# UNIT a\n# EOF\n", "expected text in UNIT");
    check(b"# TYPE a counter \n# EOF\n", r#"invalid metric type "counter ""#);
    check(
        b"# UNIT metricsuffix suffix\n# EOF\n",
        r#"unit "suffix" not a suffix of metric "metricsuffix""#,
    );
    check(
        b"# HELP  a b\n",
        "expected metric name after HELP, got \" \" (\"INVALID\") while parsing: \"# HELP  \"",
    );
    let start = |body: &[u8], got: &str, parsed: &str| {
        let expected = "expected a valid start token";
        check(body, &format!(r#"{expected}, got "{got}" ("INVALID") while parsing: "{parsed}""#));
    };
    start(b"\n# EOF\n", r"\n", r"\n");
    start(b"# comment\n", "# c", "# c");
    start(b"# HEXP\n", "# HEX", "# HEX");
    start(b"#EOF\n", "#E", "#E");
    start(b"9a 1\n", "9", "9");
    let invalid = |body: &[u8], expected: &str, got: &str, token: &str, parsed: &str| {
        check(body, &format!(r#"{expected}, got "{got}" ("{token}") while parsing: "{parsed}""#));
    };
    let value = "expected label value";
    invalid(b"a{b='c'} 1\n", value, "'", "INVALID", "a{b='");
    invalid(b"a{b=\"c\n\"} 1\n", value, r#"\"c\n"#, "INVALID", r#"a{b=\"c\n"#);
    invalid(b"a 1 # {a=b} 1\n", value, "b", "INVALID", "a 1 # {a=b");
    let name = "expected label name";
    invalid(b"a{b=\"c\",,} 1\n", name, ",}", "COMMA", r#"a{b=\"c\",,}"#);
    invalid(b"a{,b=\"c\"} 1\n", name, ",b", "COMMA", "a{,b");
    invalid(b"a{\xff=\"x\"} 1\n", name, r"\xff", "INVALID", r"a{\xff");
    invalid(b"a{9=\"b\"} 1\n", name, "9", "INVALID", "a{9");
    invalid(b"a 1 # {\"a\"} 1\n", name, "} ", "BCLOSE", r#"a 1 # {\"a\"} "#);
    invalid(b"a 1 # {a,b} 1\n", name, ",b", "COMMA", "a 1 # {a,b");
    let comma = "expected comma or brace close";
    invalid(b"a{b=\"c\" d=\"e\"} 1\n", comma, " ", "INVALID", r#"a{b=\"c\" "#);
    let after = "expected value after metric";
    invalid(b"a\t1\n", after, r"\t", "INVALID", r"a\t");
    invalid(b"a  1\n", after, "  ", "INVALID", "a  ");
    invalid(b"a{b=\"c\"}1\n", after, "1", "INVALID", r#"a{b=\"c\"}1"#);
    let labels = "expected value after exemplar labels";
    invalid(b"a 1 # {a=\"b\"}\n", labels, r"\n", "INVALID", r#"a 1 # {a=\"b\"}\n"#);
    let next = "expected next entry after timestamp";
    invalid(b"a 1 2 \n", next, r" \n", "INVALID", r"a 1 2 \n");
    invalid(b"a 1 2 3\n", next, r" 3\n", "TIMESTAMP", r"a 1 2 3\n");
    check(b"a 1 x\n", r#"strconv.ParseFloat: parsing "x": invalid syntax while parsing: "a 1 x""#);
    check(b"a 0x1p-3\n", r#"unsupported character in float while parsing: "a 0x1p-3""#);
    check(b"a 1 NaN\n", "invalid timestamp NaN");
    check(b"a 1 -Inf\n", "invalid timestamp -Inf");
    check(b"a 1 Inf\n", "invalid timestamp +Inf");
    check(b"a 1 # {a=\"b\"} 1 NaN\n", "invalid exemplar timestamp NaN");
    check(b"{c=\"d\"} 1\n", r#"metric name not set while parsing: "{c=\"d\"} 1""#);
    check(b"a{b} 1\n", r#"metric name already set while parsing: "a{b}""#);
    check(b"{\"a\",\"b\"} 1\n", r#"metric name already set while parsing: "{\"a\",\"b\"}""#);
    check(b"a{b=\"\xff\"} 1\n", r#"invalid UTF-8 label value: "\"\xff\"""#);
    check(b"# HELP a \xff\n", r#"help text "\xff" is not a valid utf8 string"#);
}

#[test]
fn what_the_reference_takes_for_the_next_entry_is_an_error_at_once() {
    let check = |body: &[u8]| {
        let last = read(body).pop().unwrap_or_default();
        assert!(last.starts_with("error: expected timestamp or # symbol, got "), "{last}");
    };
    check(b"a 1 \n# EOF\n");
    check(b"a 1\0\n# EOF\n");
    check(b"a 1 # a=\"b\"} 1\n# EOF\n");
}

fn predicted<'a>(body: &'a [u8], series: &str) -> Option<(Suffix<'a>, usize)> {
    let mut parser = Parser::new(body, Dialect::OpenMetrics);
    let suffix = parser.take_predicted(series.len())?;
    Some((suffix, body.len() - parser.rest().len()))
}

proptest! {
    /// A line is the same whether its series is recognized or read.
    #[test]
    fn predicted_lines_are_read_alike(
        value in prop_oneof!["-?[0-9]{1,18}(\\.[0-9]{1,9})?(e[0-9])?", "NaN|\\+Inf|-Inf", "[ -~]{0,4}"],
        timestamp in prop_oneof![Just(String::new()), " -?[0-9]{1,12}(\\.[0-9]{1,5})?", " [ -~]{0,3}"],
        exemplar in prop_oneof![
            Just(String::new()), " # \\{(a=\"[a-z\\\\\"]{0,3}\",?)?\\} [0-9]{1,3}( [0-9.]{1,9})?", " #[ -~]{0,9}",
        ],
    ) {
        let line = format!("a_total{{b=\"c\"}} {value}{timestamp}{exemplar}\n");
        let mut parser = Parser::new(line.as_bytes(), Dialect::OpenMetrics);
        let read = parser.next_entry();
        let read_size = line.len() - parser.rest().len();
        if let Some((suffix, size)) = predicted(line.as_bytes(), "a_total{b=\"c\"}") {
            let Ok(Some(Entry::Sample(sample))) = read else { panic!("{read:?}: {line}") };
            prop_assert_eq!(suffix.value.to_bits(), sample.value.to_bits());
            prop_assert_eq!(suffix.timestamp_ms, sample.timestamp_ms);
            prop_assert_eq!(suffix.exemplar, sample.exemplar);
            prop_assert_eq!(size, read_size);
        } else if let Ok(Some(Entry::Sample(_))) = read {
            // only what is far from plain may take the long way
            prop_assert!(value.len() + timestamp.len() > 17 || value.contains(['e', 'x']), "{}", line);
        }
    }

    /// No body makes the parser panic or stand still.
    #[test]
    fn any_body_comes_to_an_end(body in "([ -~\\n\\x00\u{e9}]{0,40}|a 1\n|# TYPE a counter\n|a\\{b=\"c\"\\} 1 2 # \\{d=\"e\"\\} 3\n){0,6}# EOF") {
        let mut parser = Parser::new(body.as_bytes(), Dialect::OpenMetrics);
        let mut rest_size = body.len();
        while let Ok(Some(entry)) = parser.next_entry() {
            if let Entry::Sample(sample) = entry {
                let mut labels = LabelsBuilder::default();
                let _any = parser.labels(&sample, MetricType::Unknown, &mut labels);
            }
            prop_assert!(parser.rest().len() < rest_size);
            rest_size = parser.rest().len();
        }
    }
}
