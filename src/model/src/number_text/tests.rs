//! Floats compared with Go's answers, and with the standard library over the whole range.

use proptest::prelude::*;

use super::*;

#[test]
fn parses_what_go_parses() {
    let check = |text: &str, expected: f64| {
        let parsed = parse_go_float(text).unwrap();
        assert_eq!(parsed.to_bits(), expected.to_bits(), "{text}: {parsed}");
    };
    for (text, expected) in [
        ("1", 1.0),
        ("+1", 1.0),
        ("-0", -0.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("1E23", 1e23),
        ("99999999999999974834176", 9.999999999999997e22),
        ("0e+01234567890123456789", 0.0),
        ("-0.00e-01234567890123456789", -0.0),
        ("1.7976931348623158e308", f64::MAX),
        ("3e-324", 5e-324),
        ("2e-324", 0.0),
        ("1e-18446744073709551616", 0.0),
        ("2.2250738585072011e-308", 2.225073858507201e-308),
        ("1.00000000000000011102230246251565404236316680908203126", 1.0000000000000002),
        ("inf", f64::INFINITY),
        ("+INF", f64::INFINITY),
        ("-iNfInItY", f64::NEG_INFINITY),
        ("nan", f64::NAN),
        ("NaN", f64::NAN),
        ("1_23.50_0_0e+1_2", 1.235e14),
        ("0x_1_2.3_4_5p+1_2", 74565.0),
        ("0x1p0", 1.0),
        ("-0x1_ep-1", -15.0),
        ("0X1fFe2.P0", 131042.0),
        ("0x0.fp4", 15.0),
        ("0x.1p-2", 0.015625),
        ("0x1p-200", 6.223015277861142e-61),
        ("-0x0p+01234567890123456789", -0.0),
        ("0x1p-18446744073709551616", 0.0),
        ("0x1.fffffffffffffp1023", f64::MAX),
        ("0x.1fffffffffffffp1027", f64::MAX),
        ("0x1.fffffffffffff7fffp1023", f64::MAX),
        ("0x1.fffffffffffff7p-1010", 1.8227805048890992e-304),
        ("0x1.fffffffffffff8p-1010", 1.8227805048890994e-304),
        ("0x1.fffffffffffff8p-1022", 4.450147717014403e-308),
        ("0x1.ffffffffffffe8p-1023", 2.225073858507201e-308),
        ("0x0.00000003456788p-1022", 1.694649e-317),
        ("0x0.00000003456789p-1022", 1.6946496e-317),
        ("0x0.0000000345678800000000000000000000000001p-1022", 1.6946496e-317),
        ("0x0.00000000000058p-1022", 3e-323),
        ("0x0.00000000000057p-1022", 2.5e-323),
        ("0x0.000000000000081p-1022", 5e-324),
        ("0x0.00000000000008p-1022", 0.0),
        ("0x1.00000000000008p0", 1.0),
        ("0x1.000000000000081p0", 1.0000000000000002),
        ("0x1.00000000000018p0", 1.0000000000000004),
    ] {
        check(text, expected);
    }
    check(&format!("0x2.{}p221", "2".repeat(4000)), 7.18931911124017e66);
    check(&format!("0x1.00000000000008{}1p0", "0".repeat(10000)), 1.0000000000000002);
    check(&format!("0x1{}p-40000", "0".repeat(10000)), 1.0);
}

#[test]
fn refuses_what_go_refuses() {
    let check = |text: &str, reason| {
        assert_eq!(parse_go_float(text).map_err(|err| err.reason), Err(reason), "{text}");
    };
    for text in [
        "", "1x", "1.1.", "+", "-", ".", "e5", "1e", "1e-", ".e-1", "1 ", " 1", "1\0.2", "1p2",
        "+nan", "-NaN", "nano", "infi", "infinit", "in", "+-1", "++inf", "0x", "0x.", "0x1",
        "0x.1", "0x1p", "0x1p+", "0x.1p-", "0x1e2", "0xg.p1", "0x1.1.p1", "0x1p1.", "0x1p0x",
        "0x1p1p1", "0x-1p1", "1__0", "_1", "-_1", "1_", "1_.5", "1._5", "1_e5", "1e_5", "1e+_5",
        "1e5_", "0_x1p1", "0x__1p1", "0x1_p1", "0x1p_1", "0x1p1_", "_nan", "i_nf", "\u{661}",
    ] {
        check(text, ParseFloatReason::Syntax);
    }
    for text in [
        "1e309",
        "-2e308",
        "1.797693134862315808e308",
        "1e+18446744073709551616",
        "0x1p1024",
        "-0x2p1023",
        "0x1.fffffffffffff8p1023",
        "0x.1fffffffffffff9p1027",
        "0x1p2000000000000000000000",
    ] {
        check(text, ParseFloatReason::Range);
    }
    let text = parse_go_float("tr\"ue").unwrap_err().to_string();
    assert_eq!(text, r#"strconv.ParseFloat: parsing "tr\"ue": invalid syntax"#);
    let text = parse_go_float("1e999").unwrap_err().to_string();
    assert_eq!(text, r#"strconv.ParseFloat: parsing "1e999": value out of range"#);
}

#[test]
fn prints_as_go_does() {
    // Value, API, 'g', 'f'.
    let check = |value: f64, api: &str, g: &str, f: &str| {
        assert_eq!(
            [format_float(value), format_float_g(value), format_float_f(value)],
            [api, g, f]
        );
    };
    check(0.0, "0", "0", "0");
    check(-0.0, "-0", "-0", "-0");
    check(1.0, "1", "1", "1");
    check(-15.5, "-15.5", "-15.5", "-15.5");
    check(f64::NAN, "NaN", "NaN", "NaN");
    check(f64::INFINITY, "+Inf", "+Inf", "+Inf");
    check(f64::NEG_INFINITY, "-Inf", "-Inf", "-Inf");
    check(100_000.0, "100000", "100000", "100000");
    check(999_999.5, "999999.5", "999999.5", "999999.5");
    check(1e6, "1000000", "1e+06", "1000000");
    check(1_234_567.0, "1234567", "1.234567e+06", "1234567");
    check(22_748_862_873.0, "22748862873", "2.2748862873e+10", "22748862873");
    check(1e15, "1000000000000000", "1e+15", "1000000000000000");
    check(123e18, "123000000000000000000", "1.23e+20", "123000000000000000000");
    check(1e21, "1e+21", "1e+21", "1000000000000000000000");
    check(
        1.8446744073709552e19,
        "18446744073709552000",
        "1.8446744073709552e+19",
        "18446744073709552000",
    );
    check(0.25, "0.25", "0.25", "0.25");
    check(0.0001, "0.0001", "0.0001", "0.0001");
    check(
        -0.00010000000000000002,
        "-0.00010000000000000002",
        "-0.00010000000000000002",
        "-0.00010000000000000002",
    );
    check(
        0.00009999999999999999,
        "0.00009999999999999999",
        "9.999999999999999e-05",
        "0.00009999999999999999",
    );
    check(999_999_999_999_999.9, "999999999999999.9", "9.999999999999999e+14", "999999999999999.9");
    check(0.00001234, "0.00001234", "1.234e-05", "0.00001234");
    check(1e-6, "0.000001", "1e-06", "0.000001");
    check(9.99e-7, "9.99e-07", "9.99e-07", "0.000000999");
    check(-1e-100, "-1e-100", "-1e-100", &format!("-0.{}1", "0".repeat(99)));
    check(5e-324, "5e-324", "5e-324", &format!("0.{}5", "0".repeat(323)));
    check(
        6.399999999999999e-8,
        "6.399999999999999e-08",
        "6.399999999999999e-08",
        "0.00000006399999999999999",
    );
    check(0.1 + 0.2, "0.30000000000000004", "0.30000000000000004", "0.30000000000000004");
    let max = format!("17976931348623157{}", "0".repeat(292));
    check(f64::MAX, "1.7976931348623157e+308", "1.7976931348623157e+308", &max);
    check(1.5e300, "1.5e+300", "1.5e+300", &format!("15{}", "0".repeat(299)));
}

proptest! {
    #[test]
    fn whole_numbers_have_the_digits_of_the_standard_library(number: u64, shift in 0..64) {
        for number in [number >> shift, 10u64.saturating_pow(shift as u32), 10u64.saturating_pow(shift as u32) - 1] {
            let mut text = Vec::new();
            push_integer(&mut text, number);
            prop_assert_eq!(text, number.to_string().into_bytes());
        }
    }

    #[test]
    fn printed_floats_read_back(bits: u64) {
        let value = f64::from_bits(bits);
        for text in [format_float(value), format_float_g(value), format_float_f(value)] {
            let back = parse_float(&text).unwrap();
            prop_assert!(back.to_bits() == bits || (value.is_nan() && back.is_nan()), "{text}");
        }
    }

    #[test]
    fn texts_are_as_short_as_the_standard_librarys_and_read_back(value: f64) {
        prop_assume!(value.is_finite() && value != 0.0);
        // of two texts that are equally short and equally near, std takes the odd one and Go the even
        let scientific = format_float_g(value);
        if let Some((digits, _)) = scientific.split_once('e') {
            let theirs = format!("{value:e}");
            prop_assert_eq!(Some(digits.len()), theirs.find('e'));
        } else {
            prop_assert_eq!(scientific.len(), value.to_string().len());
        }
        prop_assert_eq!(scientific.parse(), Ok(value));
        let plain = format_float_f(value);
        prop_assert_eq!(plain.len(), value.to_string().len());
        prop_assert_eq!(plain.parse(), Ok(value));
    }

    #[test]
    fn fractions_of_moderate_size_are_plain(mantissa in 1.0..10.0, exponent in -6..18, is_negative: bool) {
        let value = mantissa * 10f64.powi(exponent) * if is_negative { -1.0 } else { 1.0 };
        let text = format_float(value);
        prop_assert_eq!(text.len(), value.to_string().len());
        prop_assert_eq!(text.parse(), Ok(value));
        prop_assert_eq!(text, format_float_f(value));
    }

    #[test]
    fn hexadecimal_floats_are_exact(mantissa: u64, exponent in -1200i64..1100) {
        let text = format!("0x{mantissa:x}p{exponent}");
        let expected = mantissa as f64 * 2f64.powi(exponent as i32);
        if expected.is_normal() && exponent > -1000 {
            prop_assert_eq!(parse_float(&text), Some(expected));
        } else if let Some(value) = parse_float(&text) {
            prop_assert!(value.is_finite());
        }
    }

    #[test]
    fn foreign_text_never_panics(text in "[-+0-9a-fA-FxXpP_.einfNA ]{0,24}") {
        let value = parse_float(&text);
        if let Ok(expected) = text.parse::<f64>() && !expected.is_nan() && expected.is_finite() {
            prop_assert_eq!(value, Some(expected));
        }
    }
}
