//! Durations compared with the reference's answers.

use proptest::prelude::*;

use super::*;

#[test]
fn prometheus_durations_are_read_and_printed() {
    let check = |text: &str, ms: i64, printed: &str| {
        assert_eq!(parse_duration(text), Ok(ms), "{text}");
        assert_eq!(format_duration(ms), printed);
    };
    check("0", 0, "0s");
    check("0w", 0, "0s");
    check("0s", 0, "0s");
    check("324ms", 324, "324ms");
    check("3s", 3_000, "3s");
    check("5m", 300_000, "5m");
    check("1h", 3_600_000, "1h");
    check("4d", 345_600_000, "4d");
    check("4d1h", 349_200_000, "4d1h");
    check("14d", 1_209_600_000, "2w");
    check("3w", 1_814_400_000, "3w");
    check("3w2d1h", 1_990_800_000, "23d1h");
    check("8w2d", 5_011_200_000, "58d");
    check("10y", 315_360_000_000, "10y");
    check("1y2w3d4h5m6s7ms", 33_019_506_007, "382d4h5m6s7ms");
    check("90m", 5_400_000, "1h30m");
    check("9223372036854ms", 9_223_372_036_854, "106751d23h47m16s854ms");
    assert_eq!(format_duration(-90_000), "-1m30s");
    assert_eq!(parse_duration_allow_negative("-1m30s"), Ok(-90_000));
    assert_eq!(parse_duration_allow_negative("2s"), Ok(2_000));
}

#[test]
fn malformed_prometheus_durations_are_refused() {
    let check = |text: &str, expected: &str| {
        assert_eq!(parse_duration(text).unwrap_err().to_string(), expected, "{text}");
    };
    check("", "empty duration string");
    check("1", r#"not a valid duration string: "1""#);
    check("1y1m1d", r#"not a valid duration string: "1y1m1d""#);
    check("1s1s", r#"not a valid duration string: "1s1s""#);
    check("-1w", r#"not a valid duration string: "-1w""#);
    check("d", r#"not a valid duration string: "d""#);
    check("1.5d", r#"unknown unit "." in duration "1.5d""#);
    check("294y", "duration out of range");
    check("200y10400w", "duration out of range");
    check("107675d", "duration out of range");
    check("9223372036855ms", "duration out of range");
    check("99999999999999999999s", r#"not a valid duration string: "99999999999999999999s""#);
    check("9999999999999999999s", "duration out of range");
    check("1\u{e9}2s", "unknown unit \"\u{e9}\" in duration \"1\u{e9}2s\"");
    check("1h ", r#"unknown unit "h " in duration "1h ""#);
    assert_eq!(
        parse_duration_allow_negative("--1s").unwrap_err().to_string(),
        r#"not a valid duration string: "-1s""#
    );
}

#[test]
fn go_durations_are_read_and_printed() {
    let check = |text: &str, ns: i64, printed: &str| {
        assert_eq!(parse_go_duration(text), Ok(ns), "{text}");
        assert_eq!(format_go_duration(ns), printed);
    };
    check("0", 0, "0s");
    check("-0", 0, "0s");
    check("1ns", 1, "1ns");
    check("1100ns", 1_100, "1.1\u{b5}s");
    check("1.961us", 1_961, "1.961\u{b5}s");
    check("5\u{3bc}s", 5_000, "5\u{b5}s");
    check("2.2ms", 2_200_000, "2.2ms");
    check("1.022689ms", 1_022_689, "1.022689ms");
    check("3.3s", 3_300_000_000, "3.3s");
    check("+5.s", 5_000_000_000, "5s");
    check("4m5s", 245_000_000_000, "4m5s");
    check("4m5001ms", 245_001_000_000, "4m5.001s");
    check("90m", 5_400_000_000_000, "1h30m0s");
    check("5h6m7.001s", 18_367_001_000_000, "5h6m7.001s");
    check("1s1h1s", 3_602_000_000_000, "1h0m2s");
    check("8m0.000000001s", 480_000_000_001, "8m0.000000001s");
    check("-39h9m14.425s", -140_954_425_000_000, "-39h9m14.425s");
    check("0.3333333333333333333h", 1_200_000_000_000, "20m0s");
    check("0.100000000000000000000h", 360_000_000_000, "6m0s");
    check("0.9223372036854775807h", 3_320_413_933_267, "55m20.413933267s");
    check("9223372036854775807ns", i64::MAX, "2562047h47m16.854775807s");
    check("-9223372036854775808ns", i64::MIN, "-2562047h47m16.854775808s");
}

#[test]
fn malformed_go_durations_are_refused() {
    let check = |text: &str, expected: &str| {
        assert_eq!(parse_go_duration(text).unwrap_err().to_string(), expected, "{text}");
    };
    check("", r#"time: invalid duration """#);
    check("-", r#"time: invalid duration "-""#);
    check("s", r#"time: invalid duration "s""#);
    check(".s", r#"time: invalid duration ".s""#);
    check("3", r#"time: missing unit in duration "3""#);
    check("1h3", r#"time: missing unit in duration "1h3""#);
    check("1d", r#"time: unknown unit "d" in duration "1d""#);
    check("1\u{e9}\"", r#"time: unknown unit "\xc3\xa9\"" in duration "1\xc3\xa9\"""#);
    check("9223372036854775808ns", r#"time: invalid duration "9223372036854775808ns""#);
    check("-9223372036854775809ns", r#"time: invalid duration "-9223372036854775809ns""#);
    check("3000000h", r#"time: invalid duration "3000000h""#);
    check("99999999999999999999s", r#"time: invalid duration "99999999999999999999s""#);
}

proptest! {
    #[test]
    fn printed_durations_read_back(ms in -DURATION_MS_MAX..=DURATION_MS_MAX, ns: i64) {
        prop_assert_eq!(parse_duration_allow_negative(&format_duration(ms)), Ok(ms));
        prop_assert_eq!(parse_go_duration(&format_go_duration(ns)), Ok(ns));
    }

    #[test]
    fn foreign_text_never_panics(text in "[-+.0-9ywdhmsnu\u{b5} ]{0,16}") {
        if let Ok(ms) = parse_duration_allow_negative(&text) {
            prop_assert_eq!(parse_duration_allow_negative(&format_duration(ms)), Ok(ms));
        }
        if let Ok(ns) = parse_go_duration(&text) {
            prop_assert_eq!(parse_go_duration(&format_go_duration(ns)), Ok(ns));
        }
    }
}
