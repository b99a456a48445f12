//! Cases of the YAML rules; expectations were taken from go-yaml's answers where the reference runs.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::error::ConfigError;

/// All kinds of fields.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename = "test.Thing#top", default)]
struct Thing {
    text: String,
    flag: bool,
    pointer: Option<bool>,
    int: i64,
    uint: u64,
    float: f64,
    list: Vec<String>,
    labels: BTreeMap<String, String>,
    things: Vec<Option<Thing>>,
    #[serde(rename = "#part")]
    part: Part,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename = "#part", default)]
struct Part {
    inside: u64,
    named: String,
}

impl Default for Part {
    fn default() -> Self {
        Self { inside: 7, named: "unset".to_owned() }
    }
}

static TEST_SCHEMA: Schema = Schema {
    type_name: |_, key| match key {
        "labels" => Some("map[string]string"),
        "list" => Some("[]test.Name"),
        _ => None,
    },
    is_secret: |_| false,
    inline_fields: |name| if name == "#part" { &["inside", "named"] } else { &[] },
};

fn read(text: &str) -> Result<Decoded<Thing>, Fault> {
    Ok(decode(&Document::parse(text)?, &TEST_SCHEMA))
}

/// Checks that a text is read without a mistake.
fn check(text: &str, expected: Thing) {
    let decoded = read(text).unwrap();
    assert_eq!(decoded.errors, [], "{text}");
    assert_eq!(decoded.value, expected, "{text}");
}

/// Checks place, path and message of all mistakes.
fn check_errors(text: &str, expected: &[&str]) {
    let show = |error: &ConfigError| {
        format!("{}:{} {}: {}", error.line, error.column, error.key_path, error.message)
    };
    let errors: Vec<String> = read(text).unwrap().errors.iter().map(show).collect();
    assert_eq!(errors, expected, "{text}");
}

fn text(value: &str) -> Thing {
    Thing { text: value.to_owned(), ..Thing::default() }
}

fn uint(value: u64) -> Thing {
    Thing { uint: value, ..Thing::default() }
}

#[test]
fn texts_stay_what_they_are() {
    for value in ["abc", "yes", "0755", "1_000", "3.14", "2020-01-01"] {
        check(&format!("text: {value}"), text(value));
        check(&format!("text: '{value}'"), text(value));
    }
    for null in ["", "~", "null", "NULL", "!!null ~"] {
        check(&format!("text: {null}"), text(""));
    }
    check("text: 'null'", text("null"));
    check("text: !!str null", text("null"));
    check("text: !!binary aGVsbG8=", text("hello"));
    check("text: |\n  a\n  b\n", text("a\nb\n"));
}

#[test]
fn booleans_are_those_of_yaml_1_1() {
    let flag = |value| Thing { flag: value, ..Thing::default() };
    for yes in ["y", "Y", "yes", "Yes", "YES", "true", "True", "on", "On"] {
        check(&format!("flag: {yes}"), flag(true));
    }
    for no in ["n", "N", "no", "No", "NO", "false", "FALSE", "off", "Off", "~", ""] {
        check(&format!("flag: {no}"), flag(false));
    }
    check("pointer: ~", Thing::default());
    check("pointer: off", Thing { pointer: Some(false), ..Thing::default() });
    check_errors("flag: yEs", &["1:7 flag: cannot unmarshal !!str `yEs` into bool"]);
    check_errors("flag: 'yes'", &["1:7 flag: cannot unmarshal !!str `yes` into bool"]);
    check_errors("flag: 1", &["1:7 flag: cannot unmarshal !!int `1` into bool"]);
}

#[test]
fn numbers_are_those_of_go() {
    let cases = [
        ("0755", 0o755),
        ("0o17", 0o17),
        ("08", 8), // not octal, so a float
        ("1_000", 1000),
        ("0x1F", 31),
        ("0b101", 5),
        ("1e3", 1000),
        ("1.9", 1),
        ("+7", 7),
        ("18446744073709551615", u64::MAX),
        ("~", 0),
    ];
    for (number, expected) in cases {
        check(&format!("uint: {number}"), uint(expected));
    }
    check("int: -0x10", Thing { int: -16, ..Thing::default() });
    check("int: -9223372036854775808", Thing { int: i64::MIN, ..Thing::default() });
    for (number, expected) in
        [("1", 1.0), (".5", 0.5), ("-1.5e3", -1500.0), (".inf", f64::INFINITY)]
    {
        check(&format!("float: {number}"), Thing { float: expected, ..Thing::default() });
    }
    check_errors("uint: -1", &["1:7 uint: cannot unmarshal !!int `-1` into uint"]);
    check_errors("uint: '3'", &["1:7 uint: cannot unmarshal !!str `3` into uint"]);
    check_errors("uint: 1e30", &["1:7 uint: cannot unmarshal !!float `1e30` into uint"]);
    check_errors(
        "uint: 2020-01-02",
        &["1:7 uint: cannot unmarshal !!timestamp `2020-01-02` into uint"],
    );
    check_errors(
        "uint: 2020-01-02 03:04:05",
        &["1:7 uint: cannot unmarshal !!timestamp `2020-01...` into uint"],
    );
    check_errors("int: inf", &["1:6 int: cannot unmarshal !!str `inf` into int"]);
    check_errors("float: 1__e", &["1:8 float: cannot unmarshal !!str `1__e` into float64"]);
    check_errors("uint: +-5", &["1:7 uint: cannot unmarshal !!str `+-5` into uint"]);
}

#[test]
fn all_mistakes_are_found_at_once() {
    check_errors(
        "flag: maybe\nlist: {a: b}\nthings:\n- abc\n- foo: 1\n  uint: x\n-\n- labels: [a]\n  list: [a, [b]]\n",
        &[
            "1:7 flag: cannot unmarshal !!str `maybe` into bool",
            "2:7 list: cannot unmarshal !!map into []test.Name",
            "4:3 things[0]: cannot unmarshal !!str `abc` into test.Thing",
            "5:3 things[1].foo: field foo not found in type test.Thing",
            "6:9 things[1].uint: cannot unmarshal !!str `x` into uint",
            "8:11 things[3].labels: cannot unmarshal !!seq into map[string]string",
            "9:13 things[3].list[1]: cannot unmarshal !!seq into test.Name",
        ],
    );
}

#[test]
fn a_key_stands_once() {
    check_errors(
        "uint: 1\ntext: a\nuint: 2\n",
        &["3:1 uint: field uint already set in type test.Thing"],
    );
    check_errors(
        "inside: 1\ninside: 2",
        &["2:1 inside: field inside already set in type test.Thing"],
    );
    check_errors("labels: {a: b, a: c}", &["1:19 labels.a: key \"a\" already set in map"]);
    check_errors("? [a]\n: b", &["1:3 : cannot unmarshal !!seq into string"]);
}

#[test]
fn merges_count_where_they_stand() {
    let anchor = "things:\n- &a {uint: 1, text: x, labels: {l: m}}\n";
    let merged = |text: &str| read(&format!("{anchor}{text}")).unwrap().value;
    assert_eq!(merged("- {<<: *a, uint: 2}").things[1].as_ref().unwrap().uint, 2);
    assert_eq!(merged("- {uint: 2, <<: *a}").things[1].as_ref().unwrap().uint, 1);
    let both = merged("- &b {uint: 5}\n- {<<: [*b, *a]}");
    let both = both.things[2].as_ref().unwrap();
    assert_eq!((both.uint, both.text.as_str(), both.labels["l"].as_str()), (5, "x", "m"));
    check_errors("'<<': {uint: 1}", &["1:1 <<: field << not found in type test.Thing"]);
    for bad in ["<<: 3", "<<: [a]", "things: &s []\n<<: *s"] {
        let decoded = read(bad).unwrap();
        assert!(decoded.is_partial, "{bad}");
        assert_eq!(
            decoded.errors[0].message,
            "map merge requires map or sequence of maps as the value"
        );
    }
}

#[test]
fn an_inlined_struct_takes_its_keys_from_its_holder() {
    let part = Part { inside: 3, named: "unset".to_owned() };
    check("inside: 3\nuint: 1", Thing { part, ..uint(1) });
    check("uint: 1", uint(1));
    check_errors("inside: x", &["1:9 inside: cannot unmarshal !!str `x` into uint"]);
    check_errors("'#part': 1", &["1:1 #part: field #part not found in type test.Thing"]);
}

#[test]
fn unknown_keys_get_a_hint() {
    let hint = |key: &str| read(&format!("{key}: 1")).unwrap().errors[0].hint.clone();
    assert_eq!(hint("unit").as_deref(), Some("did you mean uint?"));
    assert_eq!(hint("insid").as_deref(), Some("did you mean inside?"));
    assert_eq!(hint("unrelated"), None);
}

#[test]
fn the_first_document_counts_and_may_be_empty() {
    for empty in ["", "# nothing\n", "~", "---\n...\n", "\u{feff}"] {
        check(empty.trim_start_matches('\u{feff}'), Thing::default());
    }
    check("uint: 1\n---\nuint: [\n", uint(1));
    check_errors("hello", &["1:1 : cannot unmarshal !!str `hello` into test.Thing"]);
    check_errors("[]", &["1:1 : cannot unmarshal !!seq into test.Thing"]);
}

#[test]
fn binary_text_must_be_text() {
    check_errors(
        "labels: {!!binary /w==: a}",
        &["1:10 labels: \"\\xff\" is not a valid label name"],
    );
    check_errors(
        "labels: {a: !!binary /w==}",
        &["1:13 labels.a: \"\\xff\" is not a valid label value"],
    );
    check_errors("text: !!binary /w==", &["1:7 text: !!binary value is not valid UTF-8"]);
    let decoded = read("text: !!binary '?'").unwrap();
    assert!(decoded.is_partial);
    assert_eq!(decoded.errors[0].message, "!!binary value contains invalid base64 data");
}

#[test]
fn a_tag_must_fit() {
    check("uint: !!int '3'", uint(3));
    check("float: !!float 3", Thing { float: 3.0, ..Thing::default() });
    check("text: !custom abc", text("abc"));
    check_errors("uint: !custom 3", &["1:7 uint: cannot unmarshal !custom `3` into uint"]);
    let decoded = read("uint: !!int abc").unwrap();
    assert_eq!(decoded.errors[0].message, "cannot decode !!str `abc` as a !!int");
}

#[test]
fn faults_of_syntax_have_a_place_and_the_words_of_go() {
    // text, line, column, the line go-yaml names, message
    let cases = [
        ("a: b: c", 1, 5, 0, "mapping values are not allowed in this context"),
        ("x: y\na: b: c", 2, 5, 2, "mapping values are not allowed in this context"),
        ("a: @x", 1, 4, 0, "found character that cannot start any token"),
        ("a: [b\nc: d\n", 2, 2, 1, "did not find expected ',' or ']'"),
        ("a: \"b\nc: d\n", 1, 4, 3, "found unexpected end of stream"),
        ("a:\n  b: c\n d: e\n", 3, 2, 2, "did not find expected key"),
        ("a:\n\tb: c\n", 2, 1, 2, "found character that cannot start any token"),
        ("a: \"\\q\"", 1, 4, 0, "found unknown escape character"),
        ("a: {b: c}}", 1, 10, 0, "did not find expected key"),
        ("a: !<b", 1, 4, 0, "did not find the expected '>'"),
        ("a: *b", 1, 4, 0, "unknown anchor 'b' referenced"),
    ];
    for (text, line, column, shown_line, message) in cases {
        let fault = Document::parse(text).unwrap_err();
        assert_eq!(
            (fault.line, fault.column, fault.shown_line, fault.message.as_ref()),
            (line, column, shown_line, message),
            "{text}"
        );
    }
}

#[test]
fn bytes_that_are_no_text_are_named() {
    // bytes, line, column, message
    let cases: [(&[u8], usize, usize, &str); 6] = [
        (b"a: \xff", 1, 4, "invalid leading UTF-8 octet"),
        (b"a: b\nc\xc3(", 2, 2, "invalid trailing UTF-8 octet"),
        (b"a: \xe2\x82", 1, 4, "incomplete UTF-8 octet sequence"),
        (b"a\0b", 1, 2, "control characters are not allowed"),
        (b"a: b\n\x07", 2, 1, "control characters are not allowed"),
        (b"\xff\xfea\0b", 1, 2, "incomplete UTF-16 character"),
    ];
    for (bytes, line, column, message) in cases {
        let fault = to_text(bytes).unwrap_err();
        assert_eq!((fault.line, fault.column, fault.message.as_ref()), (line, column, message));
    }
    assert_eq!(to_text(b"\xef\xbb\xbfa: b").unwrap(), "a: b");
    assert_eq!(to_text(b"\xff\xfea\0:\0").unwrap(), "a:");
    assert_eq!(to_text(b"\xfe\xff\0a\0:").unwrap(), "a:");
}

#[test]
fn aliases_that_explode_are_refused_in_little_memory() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let aliases = vec![format!("*a{}", i - 1); 9].join(", ");
        bomb.push_str(&format!("a{i}: &a{i} [{aliases}]\n"));
    }
    // Nobody asks for the keys, so nothing is expanded.
    assert!(read(&bomb).unwrap().errors.iter().all(|e| e.message.contains("not found in type")));
    // A list of lists of mappings has few levels, so width is what can explode.
    let wide =
        format!("things:\n- &t {{list: [{}]}}\n{}", "x,".repeat(2000), "- *t\n".repeat(2000));
    let decoded = read(&wide).unwrap();
    assert!(decoded.is_partial);
    assert_eq!(decoded.errors[0].message, "document contains excessive aliasing");
    let decoded = read("things: [&a {things: [*a]}]").unwrap();
    assert_eq!(decoded.errors[0].message, "anchor 'a' value contains itself");
    let decoded = read("things: [&a {<<: *a}]").unwrap();
    assert_eq!(decoded.errors[0].message, "anchor 'a' value contains itself");
}

#[test]
fn depth_and_length_are_limited_everywhere() {
    let blocks = "- ".repeat(20_000);
    assert_eq!(Document::parse(&blocks).unwrap_err().message, "exceeded max depth of 10000");
    let long = format!("a: {}", "x".repeat(2 << 20));
    assert_eq!(Document::parse(&long).unwrap_err().message, "value has more than 1048576 bytes");
    let flow = format!("a: {}", "[".repeat(1000));
    assert!(Document::parse(&flow).unwrap_err().message.starts_with("exceeded max depth of 255"));
    let chain: String = (1..200).map(|i| format!("- &a{i} {{<<: *a{}}}\n", i - 1)).collect();
    let decoded = read(&format!("things:\n- &a0 {{uint: 1}}\n{chain}")).unwrap();
    assert_eq!(decoded.errors[0].message, "more than 64 merges into each other");
}

#[test]
fn the_list_of_mistakes_is_limited() {
    let text: String = (0..5000).map(|i| format!("key{i}: x\n")).collect();
    assert_eq!(read(&text).unwrap().errors.len(), ERROR_COUNT_MAX);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[-a:{}\\[\\]&*<! \n\t'\"|>#?0~,]{0,60}") {
        if let Ok(decoded) = read(&text) {
            for error in decoded.errors {
                prop_assert!(error.line <= text.lines().count() + 1);
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(text) = to_text(&bytes) {
            drop(read(&text));
        }
    }
}
