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
/// Whatever passes the limits must be walked by recursion on a small thread.
#[test]
fn trees_at_the_limit_fit_a_small_stack() {
    const LEVELS: usize = TREE_HEIGHT_MAX as usize - 10;
    const STACK_SIZE_BYTES: usize = 2 << 20;
    let cases = [
        "(".repeat(LEVELS) + "1" + &")".repeat(LEVELS),
        "abs(".repeat(LEVELS) + "a" + &")".repeat(LEVELS),
        "sum by (a) (".repeat(LEVELS) + "a" + &")".repeat(LEVELS),
        "-(".repeat(LEVELS / 2) + "1" + &")".repeat(LEVELS / 2),
        "1^".repeat(LEVELS) + "1",
        "1+".repeat(LEVELS) + "1",
        "-".repeat(LEVELS) + "a",
        "a[".to_owned() + &"-(".repeat(LEVELS / 2) + "step()" + &")".repeat(LEVELS / 2) + "]",
    ];
    let walk = move || {
        for case in cases {
            let expr = parse(&case, &ParseOptions::ALL).unwrap();
            assert!(expr == expr.clone(), "{:.20}", case);
        }
    };
    let thread = std::thread::Builder::new().stack_size(STACK_SIZE_BYTES);
    thread.spawn(walk).unwrap().join().unwrap();
}
