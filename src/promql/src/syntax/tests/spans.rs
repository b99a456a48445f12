//! Every node knows its text.

use super::*;

/// All nodes, parents first, by their texts.
fn check(query: &str, expected: &[&str]) {
    let mut texts = Vec::new();
    for_each_node(&parsed(query), &mut |node| {
        texts.push(&query[node.span.start as usize..node.span.end as usize]);
    });
    assert_eq!(texts, expected, "{query}");
}

#[test]
fn spans_cover_the_text_of_their_nodes() {
    check("  foo  ", &["foo"]);
    check("foo{a=\"b\"} + -1", &["foo{a=\"b\"} + -1", "foo{a=\"b\"}", "-1"]);
    check("(foo offset 5m )", &["(foo offset 5m )", "foo offset 5m"]);
    check("(foo offset (5m) )", &["(foo offset (5m) )", "foo offset (5m)"]);
    check("foo @ start( ) # c", &["foo @ start( )"]);
    check("sum (a) by (b) > 0", &["sum (a) by (b) > 0", "sum (a) by (b)", "a", "0"]);
    check("(sum(a)) ", &["(sum(a))", "sum(a)", "a"]);
    check("topk by (x) (5, a)", &["topk by (x) (5, a)", "5", "a"]);
    check("a*b*c", &["a*b*c", "a*b", "a", "b", "c"]);
    check("a[5m:1m] offset 1h", &["a[5m:1m] offset 1h", "a"]);
    check(
        "rate(a[5m] offset 1m) - - b",
        &["rate(a[5m] offset 1m) - - b", "rate(a[5m] offset 1m)", "a[5m] offset 1m", "- b", "b"],
    );
}

#[test]
fn inner_places_are_known_too() {
    let query = "a{b=\"c\"}[5m + 1m] offset -step()\n  + on(x) group_left\n  b";
    let text = |span: Span| &query[span.start as usize..span.end as usize];
    let expr = parse(query, &ParseOptions::ALL);
    // A range vector is no operand, but the error points at it.
    assert_eq!(text(expr.unwrap_err().first().span), "a{b=\"c\"}[5m + 1m] offset -step()");
    let query = "rate(a{b=\"c\"}[5m + 1m] offset -step())\n  == bool\n  b";
    let text = |span: Span| &query[span.start as usize..span.end as usize];
    let expr = parsed(query);
    let ExprKind::Binary(binary) = &expr.kind else { panic!("{expr}") };
    assert_eq!(text(binary.op_span), "==");
    let ExprKind::Call(call) = &binary.lhs.kind else { panic!("{expr}") };
    let ExprKind::Matrix(matrix) = &call.args[0].kind else { panic!("{expr}") };
    assert_eq!(text(matrix.selector_span), "a{b=\"c\"}");
    assert_eq!(text(matrix.range.span), "5m + 1m");
    assert_eq!(text(matrix.selector.offset.as_ref().unwrap().span), "-step()");
}
