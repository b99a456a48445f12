//! Behaviour of the parser as a whole.

use super::*;

fn check_error(query: &str, expected: &str) {
    let result = parse(query, &ParseOptions::default());
    assert_eq!(result.unwrap_err().to_string(), expected, "{query}");
}

#[test]
fn errors_name_place_and_context() {
    check_error("", "unknown position: parse error: no expression found in input");
    check_error(" # nothing", "1:1: parse error: no expression found in input");
    check_error("1 +", "1:4: parse error: unexpected end of input");
    check_error("foo bar", "1:5: parse error: unexpected identifier \"bar\"");
    check_error("sum(a b)", "1:7: parse error: unexpected identifier \"b\" in aggregation");
    check_error(
        "abs(foo[5m])",
        "1:5: parse error: expected type instant vector in call to function \"abs\", got range vector",
    );
    check_error(
        "{}",
        "1:1: parse error: vector selector must contain at least one non-empty matcher",
    );
}

#[test]
fn megabytes_of_nesting_give_an_error() {
    let cases = [
        "(".repeat(10_000),
        "-".repeat(1_000_000) + "a",
        "1".to_owned() + &"+1".repeat(500_000),
        "1".to_owned() + &"^1".repeat(500_000),
        "abs(".repeat(100_000),
        "a[".to_owned() + &"(".repeat(100_000),
        "a[1".to_owned() + &"+1".repeat(500_000) + "]",
        "a[".to_owned() + &"-".repeat(500_000) + "step()]",
        "sum(".repeat(100_000) + "a",
        "a".to_owned() + &"[1m:]".repeat(100_000),
    ];
    for case in cases {
        assert!(parse(&case, &ParseOptions::ALL).is_err(), "{:.20}", case);
    }
}
