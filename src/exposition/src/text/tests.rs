//! Bodies and errors compared with the reference's own answers.

use std::fs;

use prom_model::LabelsBuilder;
use proptest::prelude::*;

use super::*;

/// One line an entry, samples as `show` puts them, or the error.
pub(super) fn entries<'a>(
    body: &'a [u8],
    dialect: Dialect,
    mut show: impl FnMut(&mut Parser<'a>, &Sample<'a>, &mut LabelsBuilder) -> String,
) -> Vec<String> {
    let mut parser = Parser::new(body, dialect);
    let mut labels = LabelsBuilder::default();
    let mut declared = MetricType::Unknown;
    let mut out = Vec::new();
    loop {
        let entry = match parser.next_entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => return out,
            Err(err) => {
                out.push(format!("error: {err}"));
                return out;
            }
        };
        out.push(match entry {
            Entry::Help { name, text } => format!("help {name}: {}", unescape_help(text, dialect)),
            Entry::Type { name, metric_type } => {
                declared = metric_type;
                format!("type {name}: {metric_type}")
            }
            Entry::Unit { name, unit } => format!("unit {name}: {unit}"),
            Entry::Comment(text) => format!("comment {}", String::from_utf8_lossy(text)),
            Entry::Sample(sample) => {
                labels.clear();
                if let Err(err) = parser.labels(&sample, declared, &mut labels) {
                    out.push(format!("error: {err}"));
                    return out;
                }
                show(&mut parser, &sample, &mut labels)
            }
        });
    }
}

/// Samples as `series = value [@timestamp] labels`.
fn read(body: &[u8]) -> Vec<String> {
    entries(body, Dialect::Prometheus, |_, sample, labels| {
        let series = String::from_utf8_lossy(sample.series);
        let time = sample.timestamp_ms.map(|ms| format!(" @{ms}")).unwrap_or_default();
        format!("{series} = {}{time} {}", format_float_g(sample.value), labels.labels())
    })
}

fn check(body: &[u8], expected: &[&str]) {
    assert_eq!(read(body), expected, "{}", String::from_utf8_lossy(body));
}

#[test]
fn samples_are_read_as_by_the_reference() {
    check(b"", &[]);
    check(b"\n\n", &[]);
    check(b"a 1", &[r#"a = 1 {__name__="a"}"#]);
    check(b"a 1\nb 2 ", &[r#"a = 1 {__name__="a"}"#, r#"b = 2 {__name__="b"}"#]);
    check(
        b"# HELP go_gc_duration_seconds A summary of the GC invocation durations.\n\
          # \tTYPE go_gc_duration_seconds summary\n\
          go_gc_duration_seconds{quantile=\"0\"} 4.9351e-05\n\
          go_gc_duration_seconds{quantile=\"0.25\",} 7.424100000000001e-05\n\
          go_gc_duration_seconds{ quantile=\"0.9\", a=\"b\"} 8.3835e-05\n",
        &[
            "help go_gc_duration_seconds: A summary of the GC invocation durations.",
            "type go_gc_duration_seconds: summary",
            r#"go_gc_duration_seconds{quantile="0"} = 4.9351e-05 {__name__="go_gc_duration_seconds", quantile="0.0"}"#,
            r#"go_gc_duration_seconds{quantile="0.25",} = 7.424100000000001e-05 {__name__="go_gc_duration_seconds", quantile="0.25"}"#,
            r#"go_gc_duration_seconds{ quantile="0.9", a="b"} = 8.3835e-05 {__name__="go_gc_duration_seconds", a="b", quantile="0.9"}"#,
        ],
    );
}

#[test]
fn bounds_get_one_form() {
    check(
        b"# TYPE h histogram\nh_bucket{le=\"1\"} 423\nh_bucket{le=\"+Inf\"} 1\nh_bucket{le=\"1e6\"} 1\nh_bucket{le=\"-0\"} 1\nh_bucket{le=\"x\"} 1\n\
          # TYPE g gauge\ng{le=\"1\"} 1\n",
        &[
            "type h: histogram",
            r#"h_bucket{le="1"} = 423 {__name__="h_bucket", le="1.0"}"#,
            r#"h_bucket{le="+Inf"} = 1 {__name__="h_bucket", le="+Inf"}"#,
            r#"h_bucket{le="1e6"} = 1 {__name__="h_bucket", le="1e+06"}"#,
            r#"h_bucket{le="-0"} = 1 {__name__="h_bucket", le="0.0"}"#,
            r#"h_bucket{le="x"} = 1 {__name__="h_bucket", le="x"}"#,
            "type g: gauge",
            r#"g{le="1"} = 1 {__name__="g", le="1"}"#,
        ],
    );
}

#[test]
fn comments_are_read_as_by_the_reference() {
    check(
        b"# Hrandom comment starting with prefix of HELP\n#\n# comment \\n newline\n#HELP x\n# HELPx\n\
          # HELP nohelp1\n# HELP nohelp2 \n# HELP x  two\\\\ \\n \\x\n# TYPE x counter",
        &[
            "comment # Hrandom comment starting with prefix of HELP",
            "comment #",
            "comment # comment \\n newline",
            "comment #HELP x",
            "comment # HELPx",
            "help nohelp1: ",
            "help nohelp2: ",
            "help x:  two\\ \n \\x",
            "type x: counter",
        ],
    );
}

#[test]
fn unusual_samples_are_read_as_by_the_reference() {
    check(
        b"d { q=\"1.0\", a=\"b\" } 8.3835e-05\nd { q = \"2.0\" a = \"b\", } 1\nsome:aggregate:rate5m{a_b=\"c\"}\t1\n\
          go_goroutines 33  \t123123\n_m{_l=\"\\\"bar\\\"\"} -1 5 \nd{}7\n",
        &[
            r#"d { q="1.0", a="b" } = 8.3835e-05 {__name__="d", a="b", q="1.0"}"#,
            r#"d { q = "2.0" a = "b", } = 1 {__name__="d", a="b", q="2.0"}"#,
            r#"some:aggregate:rate5m{a_b="c"} = 1 {__name__="some:aggregate:rate5m", a_b="c"}"#,
            r#"go_goroutines = 33 @123123 {__name__="go_goroutines"}"#,
            r#"_m{_l="\"bar\""} = -1 @5 {__name__="_m", _l="\"bar\""}"#,
            r#"d{} = 7 {__name__="d"}"#,
        ],
    );
    check(
        "# HELP \"go.gc\" A.\n# TYPE \"go.gc\" summary\n{\"go.gc\",quantile=\"0\"} 1\n{ \"go.gc\", quantile = \"1\", } 1\n\
         {a=\"b\",\"go.gc\"} 2\n{\"go_count\"} 99\n\
         {\"H\u{f6}l \\\"x\\\" {c\\nd}\",\"s\u{2122}\\n'q'\"=\"6\"} 10.0"
            .as_bytes(),
        &[
            "help go.gc: A.",
            "type go.gc: summary",
            r#"{"go.gc",quantile="0"} = 1 {__name__="go.gc", quantile="0.0"}"#,
            r#"{ "go.gc", quantile = "1", } = 1 {__name__="go.gc", quantile="1.0"}"#,
            r#"{a="b","go.gc"} = 2 {__name__="go.gc", a="b"}"#,
            r#"{"go_count"} = 99 {__name__="go_count"}"#,
            "{\"H\u{f6}l \\\"x\\\" {c\\nd}\",\"s\u{2122}\\n'q'\"=\"6\"} = 10 \
             {__name__=\"H\u{f6}l \\\"x\\\" {c\\nd}\", \"s\u{2122}\\n'q'\"=\"6\"}",
        ],
    );
    check(
        b"# HELP metric foo\x00bar\nn{a=\"abc\x00\"} 1\nn{a=\"two\nlines\"} 1\nn{a=\"\\x\\\\\"} 1\nn{a=\"\"} 1",
        &[
            "help metric: foo\0bar",
            "n{a=\"abc\0\"} = 1 {__name__=\"n\", a=\"abc\\x00\"}",
            "n{a=\"two\nlines\"} = 1 {__name__=\"n\", a=\"two\\nlines\"}",
            r#"n{a="\x\\"} = 1 {__name__="n", a="\\x\\"}"#,
            r#"n{a=""} = 1 {__name__="n"}"#,
        ],
    );
    check(
        b"  foo 1\n \t{\"foo\"} 2\n",
        &[
            r#"  foo = 1 {__name__="  foo"}"#,
            r#" 	{"foo"} = 2 {__name__="foo"}"#.replace("\\t", "\t").as_str(),
        ],
    );
    check(
        b"a 1\n# x\0y\nb 2\n#x\0y\nc 3\n",
        &[r#"a = 1 {__name__="a"}"#, "comment # x\0y", r#"b = 2 {__name__="b"}"#],
    );
    check(b"a 1\n\0b 2\n", &[r#"a = 1 {__name__="a"}"#]);
    check(b"{\"\"} 1\n", &[r#"{""} = 1 {}"#]);
    check(
        b"a NaN\nb +inf\nc -Infinity\nd 1e400000000\n",
        &[
            r#"a = NaN {__name__="a"}"#,
            r#"b = +Inf {__name__="b"}"#,
            r#"c = -Inf {__name__="c"}"#,
            r#"error: strconv.ParseFloat: parsing "1e400000000": value out of range while parsing: "d 1e400000000""#,
        ],
    );
}

fn check_error(body: &[u8], expected: &str) {
    let answers = read(body);
    assert_eq!(answers.last().unwrap(), &format!("error: {expected}"));
}

#[test]
fn errors_are_those_of_the_reference() {
    check_error(b"a", r#"expected value after metric, got "\n" ("INVALID") while parsing: "a\n""#);
    check_error(
        b"a{b='c'} 1\n",
        r#"expected label value, got "'" ("INVALID") while parsing: "a{b='""#,
    );
    check_error(b"a{b=\n", r#"expected label value, got "\n" ("INVALID") while parsing: "a{b=\n""#);
    check_error(
        b"a{\xff=\"foo\"} 1\n",
        r#"expected label name, got "\xff" ("INVALID") while parsing: "a{\xff""#,
    );
    check_error(b"a{b=\"\xff\"} 1\n", r#"invalid UTF-8 label value: "\"\xff\"""#);
    check_error(
        br#"{"a", "b = "c"}"#,
        r#"expected equal, got "c\"" ("LNAME") while parsing: "{\"a\", \"b = \"c\"""#,
    );
    check_error(
        br#"{"a",b\nc="d"} 1"#,
        r#"expected equal, got "\\" ("INVALID") while parsing: "{\"a\",b\\""#,
    );
    check_error(
        b"a true\n",
        r#"strconv.ParseFloat: parsing "true": invalid syntax while parsing: "a true""#,
    );
    check_error(
        b"something_weird{problem=\"",
        r#"expected label value, got "\"\n" ("INVALID") while parsing: "something_weird{problem=\"\n""#,
    );
    check_error(
        b"empty_label_name{=\"\"} 0",
        r#"expected label name, got "=\"" ("EQUAL") while parsing: "empty_label_name{=\"""#,
    );
    check_error(b"{A}0", r#"expected equal, got "}0" ("BCLOSE") while parsing: "{A}0""#);
}

#[test]
fn errors_of_numbers_and_nulls_are_those_of_the_reference() {
    check_error(b"foo 1_2\n", r#"unsupported character in float while parsing: "foo 1_2""#);
    check_error(b"foo 0x1P-3\n", r#"unsupported character in float while parsing: "foo 0x1P-3""#);
    check_error(
        b"foo 0 1_2\n",
        r#"expected next entry after timestamp, got "_" ("INVALID") while parsing: "foo 0 1_""#,
    );
    check_error(br#"{a="ok"} 1"#, r#"metric name not set while parsing: "{a=\"ok\"} 1""#);
    check_error(
        b"# TYPE #\n#EOF\n",
        r##"expected metric name after TYPE, got "#" ("INVALID") while parsing: "# TYPE #""##,
    );
    check_error(
        b"# HELP #\n#EOF\n",
        r##"expected metric name after HELP, got "#" ("INVALID") while parsing: "# HELP #""##,
    );
    check_error(
        b"a{b=\x00\"ssss\"} 1\n",
        r#"expected label value, got "\x00" ("INVALID") while parsing: "a{b=\x00""#,
    );
    check_error(
        b"a{b=\"\x00",
        r#"expected label value, got "\"\x00\n" ("INVALID") while parsing: "a{b=\"\x00\n""#,
    );
    check_error(
        b"a{b\x00=\"hiih\"}\t1",
        r#"expected equal, got "\x00" ("INVALID") while parsing: "a{b\x00""#,
    );
    check_error(
        b"a\x00{b=\"ddd\"} 1",
        r#"expected value after metric, got "\x00" ("INVALID") while parsing: "a\x00""#,
    );
    check_error(
        b"a 0 1\x00",
        r#"expected next entry after timestamp, got "\x00" ("INVALID") while parsing: "a 0 1\x00""#,
    );
    check_error(
        b"ok 1\n<html>",
        r#"expected a valid start token, got "<" ("INVALID") while parsing: "<""#,
    );
    check_error(b"# TYPE a foo\n", r#"invalid metric type "foo""#);
    check_error(b"# HELP a \xff\n", r#"help text "\xff" is not a valid utf8 string"#);
    check_error(
        b"a 1 99999999999999999999\n",
        r#"strconv.ParseInt: parsing "99999999999999999999": value out of range while parsing: "a 1 99999999999999999999""#,
    );
    check_error(
        b"a 1 -5\n",
        r#"expected timestamp or new record, got "-" ("INVALID") while parsing: "a 1 -""#,
    );
    check_error(
        b"a 1\r\n",
        r#"strconv.ParseFloat: parsing "1\r": invalid syntax while parsing: "a 1\r""#,
    );
}

#[test]
fn errors_of_names_and_strings_are_those_of_the_reference() {
    check_error(b"a{b=\"1\",b=\"2\"} 1\n", r#"label name "b" is not unique: invalid sample"#);
    check_error(b"a{\"\"=\"x\"} 1\n", r#"invalid metric name or label names: "a{\"\"=\"x\"}""#);
    check_error(b"{\"a\xff\"} 1\n", r#"invalid metric name or label names: "{\"a\xff\"}""#);
    check_error(b"a{__name__=\"b\"} 1\n", r#"label name "__name__" is not unique: invalid sample"#);
    check_error(
        b"a 1\nb{c=\"d} 2\ne{f=\"g\"} 3\n",
        r#"expected equal, got "\"} 3\n\n" ("INVALID") while parsing: "b{c=\"d} 2\ne{f=\"g\"} 3\n\n""#,
    );
    check_error(
        b"a{b=\"x\\\ny\"} 1\n",
        r#"expected label value, got "\"x\\\n" ("INVALID") while parsing: "a{b=\"x\\\n""#,
    );
    check_error(br#"a{"b"} 1"#, r#"metric name already set while parsing: "a{\"b\"}""#);
    check_error(
        b"a{} {b=\"c\"} 1\n",
        r#"expected value after metric, got "{b" ("BOPEN") while parsing: "a{} {b""#,
    );
    check_error(
        b"a 1{ 2\n",
        r#"expected timestamp or new record, got "{" ("INVALID") while parsing: "a 1{""#,
    );
}

#[test]
fn errors_tell_their_place() {
    let check = |body: &[u8], line, column| {
        let mut parser = Parser::new(body, Dialect::Prometheus);
        let err = loop {
            match parser.next_entry() {
                Ok(entry) => assert!(entry.is_some()),
                Err(err) => break err,
            }
        };
        assert_eq!((err.line(), err.column()), (line, column), "{err}");
    };
    check(b"a x", 1, 3);
    check(b"a 1\n# c\n  b{c=d} 1\n", 3, 7);
    check(b"a 1\n\n# TYPE a x\n", 3, 9);
    check(b"a 1 2 3\n", 1, 7);
}

#[test]
fn limits_are_kept() {
    let long = format!("a{{b=\"{}\"}} 1\n", "x".repeat(SERIES_SIZE_BYTES_MAX));
    assert_eq!(read(long.as_bytes()), ["error: series longer than 1048576 bytes"]);
    let labels: Vec<String> = (0..=LABELS_COUNT_MAX).map(|i| format!("l{i}=\"\"")).collect();
    let many = format!("a{{{}}} 1\n", labels.join(","));
    assert_eq!(read(many.as_bytes()), ["error: more than 4096 labels"]);
    assert!(read(many.replacen("l0=\"\",", "", 1).as_bytes())[0].ends_with(r#"{__name__="a"}"#));
}

#[test]
fn known_series_need_no_parsing() {
    let take = |parser: &mut Parser<'_>, size| {
        parser.take_predicted(size).map(|suffix| (suffix.value, suffix.timestamp_ms))
    };
    let body = b"# TYPE a gauge\na{b=\"c\"} 1.5 17\na{b=\"d\"}\t2\nb  0x5\nb 3";
    let mut parser = Parser::new(body, Dialect::Prometheus);
    assert!(!parser.skip_known(b"# TYPE a gauge"));
    assert!(!parser.skip_known(b"# TYPE b gauge\n"));
    assert!(parser.skip_known(b"# TYPE a gauge\n"));
    assert!(parser.rest().starts_with(b"a{b=\"c\"}"));
    assert_eq!(take(&mut parser, b"a{b=\"c\"".len()), None);
    assert_eq!(take(&mut parser, usize::MAX), None);
    assert_eq!(take(&mut parser, b"a{b=\"c\"}".len()), Some((1.5, Some(17))));
    assert_eq!(take(&mut parser, b"a{b=\"d\"}".len()), Some((2.0, None)));
    // What is not plain is left to the grammar, which refuses it.
    assert_eq!(take(&mut parser, 1), None);
    assert!(parser.rest().starts_with(b"b  0x5"));
    assert!(parser.next_entry().is_err());
    let mut parser = Parser::new(b"b 3", Dialect::Prometheus);
    assert_eq!(take(&mut parser, 1), Some((3.0, None)));
    assert_eq!(parser.next_entry(), Ok(None));
}

type Found = (Vec<u8>, u64, Option<i64>);

/// The reference's own bodies, with and without metadata, have the same series.
#[test]
fn example_bodies_are_read_whole() {
    let Some(folder) = prom_testkit::conformance("textparse") else { return };
    for name in ["alltypes.237mfs.prom.txt", "alltypes.237mfs.nometa.prom.txt"] {
        let body = fs::read(folder.join(name)).unwrap();
        let entries = read(&body);
        // So many series the reference stores after one scrape of each of them.
        let mut series: Vec<&str> = entries
            .iter()
            .filter_map(|entry| entry.split_once(" {__name__="))
            .map(|e| e.1)
            .collect();
        series.sort_unstable();
        series.dedup();
        assert_eq!((series.len(), entries.iter().any(|e| e.starts_with("error"))), (1857, false));
    }
}

/// What the grammar alone makes of the first entry.
fn by_grammar(body: &[u8]) -> Result<Option<Found>, ParseError> {
    match Grammar::new(body).entry(0)?.0 {
        RawEntry::Sample(RawSample { series, value, timestamp_ms, .. }) => {
            Ok(Some((series.to_vec(), value.to_bits(), timestamp_ms)))
        }
        _ => Ok(None),
    }
}

proptest! {
    #[test]
    fn fast_path_agrees_with_the_grammar(
        line in r#"[a:]{1,3}(\{([ab]="(x|\\n|\\\\|\\"|\\x|\}|\{| |,|\n|\u{e9}){0,4}",?){0,2} ?\})?[ \t]{0,2}[-+0-9.eEinfNaxp_]{0,24}[ \t]{0,2}[0-9]{0,20}[ \t]{0,2}\n?"#
    ) {
        if let Some((end, suffix)) = fast::sample(line.as_bytes(), 0) {
            let series = line.as_bytes()[..end].to_vec();
            let fast = (series, suffix.value.to_bits(), suffix.timestamp_ms);
            // The fast path does not look at labels, but what it finds is what the grammar finds.
            match by_grammar(line.as_bytes()) {
                Ok(found) => prop_assert_eq!(found, Some(fast)),
                Err(err) => prop_assert!(line.contains('{'), "{}", err),
            }
        }
    }

    #[test]
    fn plain_labels_agree_with_the_grammar(
        line in r#"[a:]{1,2}(\{([ab_1:]{0,2}=?"(x|\\n|\\\\|\\"|\\x|\}|=|,|\n|\u{e9}){0,3}" ?,?){0,3}\})? 1\n"#
    ) {
        let Ok(Some((series, ..))) = by_grammar(line.as_bytes()) else { return Ok(()) };
        let mut grammar = Grammar::new(line.as_bytes());
        grammar.entry(0).unwrap();
        let mut pairs = Vec::new();
        if let Some(name) = fast::pairs(&series, &mut pairs) {
            prop_assert_eq!((Some(name), pairs), (grammar.name, grammar.labels));
        }
    }

    #[test]
    fn numbers_are_exact(value: f64, digits in "[0-9]{1,22}", fraction in "[0-9]{0,22}", exponent in -40i32..40) {
        for text in [
            value.to_string(), format!("{value:e}"), digits.clone(), format!("-{digits}.{fraction}"),
            format!("{digits}e{exponent}"), format!("{digits}.{fraction}E{exponent:+}"),
        ] {
            let body = format!("a {text}\n");
            let expected: f64 = text.parse().unwrap();
            let Some(Entry::Sample(sample)) = Parser::new(body.as_bytes(), Dialect::Prometheus).next_entry().unwrap() else {
                panic!("not a sample: {body}");
            };
            prop_assert_eq!(sample.value.to_bits(), expected.to_bits(), "{}", body);
        }
    }

    #[test]
    fn foreign_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        read(&body);
    }

    #[test]
    fn almost_right_bytes_never_panic(body in r#"([#{}="\\, \n\t\x00abHELPTYPE0-9.+-]|counter|# HELP a |# TYPE a |a\{b="){0,60}"#) {
        read(body.as_bytes());
    }
}
