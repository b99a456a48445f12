//! Limits of size and depth: a clear error, never an overflow.

use super::*;

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
        let errors = parse(&case, &ParseOptions::ALL).unwrap_err();
        let expected = format!("expression nests deeper than {TREE_HEIGHT_MAX} levels");
        assert_eq!(errors.first().message, expected, "{:.20}", case);
    }
}

#[test]
fn too_many_parts_give_an_error() {
    let expected = format!("query has more than {NODE_COUNT_MAX} parts");
    let cases = [
        "label_join(a, \"b\", \"c\"".to_owned() + &",\"d\"".repeat(300_000) + ")",
        "{".to_owned() + &"a=\"\",".repeat(300_000) + "}",
        "sum by (".to_owned() + &"a,".repeat(300_000) + ") (a)",
    ];
    for case in cases {
        let errors = parse(&case, &ParseOptions::ALL).unwrap_err();
        assert_eq!(errors.first().message, expected, "{:.20}", case);
    }
}

#[test]
fn errors_of_types_are_listed_up_to_a_limit() {
    let query = "label_join(a, \"b\", \"c\"".to_owned() + &",1".repeat(100_000) + ")";
    assert_eq!(parse(&query, &ParseOptions::ALL).unwrap_err().iter().count(), 100);
}

#[test]
fn a_query_of_many_megabytes_is_not_read() {
    let query = " ".repeat(QUERY_SIZE_BYTES_MAX) + "1";
    let size = query.len();
    let expected = format!(
        "1:1: parse error: query has {size} bytes, more than the limit of {QUERY_SIZE_BYTES_MAX}"
    );
    check_error(&query, &expected);
    assert_eq!(parse_metric_selector(&query).unwrap_err().to_string(), expected);
    assert_eq!(parse_series_description(&query).unwrap_err().to_string(), expected);
    parsed(&query[1..]);
}

#[test]
fn a_long_regular_expression_is_fine() {
    let values: Vec<String> = (0..10_000).map(|i| format!("instance-{i}")).collect();
    parsed(&format!("up{{instance=~\"{}\"}}", values.join("|")));
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
            let expr = parsed(&case);
            assert!(expr == expr.clone(), "{:.20}", case);
            assert_eq!(parsed(&expr.to_string()).to_string(), expr.to_string());
            assert_eq!(parsed(&pretty(&expr)).to_string(), expr.to_string());
            assert!(parse_query_json(&expr).len() > LEVELS);
        }
    };
    let thread = std::thread::Builder::new().stack_size(STACK_SIZE_BYTES);
    thread.spawn(walk).unwrap().join().unwrap();
}
