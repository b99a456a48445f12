//! Behaviour of lexer, parser, check and printers together.

mod conformance;
mod fixtures;
mod limits;
mod properties;
mod series;
mod spans;

use super::*;

/// Parses with all features on.
fn parsed(query: &str) -> Expr {
    parse(query, &ParseOptions::ALL).unwrap_or_else(|err| panic!("{query}: {err}"))
}

/// Calls `visit` with every node, parents first.
fn for_each_node(expr: &Expr, visit: &mut dyn FnMut(&Expr)) {
    visit(expr);
    match &expr.kind {
        ExprKind::Number { .. }
        | ExprKind::String(_)
        | ExprKind::Vector(_)
        | ExprKind::Matrix(_) => {}
        ExprKind::Subquery(subquery) => for_each_node(&subquery.operand, visit),
        ExprKind::Paren(inner) => for_each_node(inner, visit),
        ExprKind::Unary { operand, .. } => for_each_node(operand, visit),
        ExprKind::Binary(binary) => {
            for_each_node(&binary.lhs, visit);
            for_each_node(&binary.rhs, visit);
        }
        ExprKind::Aggregate(aggregate) => {
            if let Some(param) = &aggregate.param {
                for_each_node(param, visit);
            }
            for_each_node(&aggregate.operand, visit);
        }
        ExprKind::Call(call) => call.args.iter().for_each(|arg| for_each_node(arg, visit)),
    }
}

fn check_error(query: &str, expected: &str) {
    let result = parse(query, &ParseOptions::default());
    assert_eq!(result.unwrap_err().to_string(), expected, "{query:?}");
}

#[test]
fn odd_characters_are_told_as_go_does() {
    check_error("", "unknown position: parse error: no expression found in input");
    check_error("\t\r\n", "1:1: parse error: no expression found in input");
    check_error("foo\r\nbar", "2:1: parse error: unexpected identifier \"bar\"");
    check_error("foo\u{b}", "1:4: parse error: unexpected character: '\\v'");
    check_error("foo\u{a0}bar", "1:4: parse error: unexpected character: '\\u00a0'");
    check_error("a\0b", "1:2: parse error: unexpected character: '\\x00'");
    check_error("\u{2028}", "1:1: parse error: unexpected character: '\\u2028'");
    check_error("\u{fffd}", "1:1: parse error: unexpected character: '\u{fffd}'");
    check_error("\"\u{fffd}\"", "1:1: parse error: invalid UTF-8 rune");
    check_error("`\u{fffd}`", "1:1: parse error: invalid UTF-8 rune");
    check_error("{a=\"\u{fffd}\"}", "1:4: parse error: invalid UTF-8 rune");
    check_error("\"\\\u{301}\"", "1:1: parse error: unknown escape sequence U+0301 '\u{301}'");
    check_error("foo\\", "1:4: parse error: unexpected character: '\\\\'");
    check_error("foo ! '", "1:5: parse error: unexpected character after '!': ' '");
}

#[test]
fn strings_that_are_no_utf8_keep_their_bytes() {
    let expr = parsed(r#""a\xffb""#);
    let ExprKind::String(literal) = &expr.kind else { panic!("{expr}") };
    assert_eq!(literal.text, "a\u{fffd}b");
    assert_eq!(literal.bytes.as_deref(), Some(&b"a\xffb"[..]));
    assert_eq!(expr.to_string(), r#""a\xffb""#);
    assert_eq!(parsed(r#""\xc3\xa9""#), parsed("'\\xc3\\xa9'"));
    assert_eq!(parsed(r#""\xc3\xa9""#).to_string(), "\"\u{e9}\"");
    // The replacement character can only be written as an escape.
    assert_eq!(parsed(r#"foo{a="\ufffd"}"#).to_string(), r#"foo{a="\ufffd"}"#);
    assert_eq!(parsed(r#""\ufffd""#).to_string(), r#""\ufffd""#);
}

#[test]
fn all_errors_of_types_are_listed() {
    let errors = parse("abs(1) + rate(foo) + sum(\"x\")", &ParseOptions::default()).unwrap_err();
    let places: Vec<u32> = errors.iter().map(|error| error.span.start).collect();
    assert_eq!(places, [4, 14, 25]);
    assert_eq!(errors.first().position, Some((1, 5)));
}

#[test]
fn selectors_of_parameters_take_no_more_than_matchers() {
    let check = |text: &str, expected: Result<&str, &str>| {
        let result = parse_metric_selector(text);
        let shown = result
            .map(|matchers| matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        let shown = shown.map_err(|errors| errors.to_string());
        assert_eq!(shown.as_deref().map_err(String::as_str), expected, "{text}");
    };
    check("foo", Ok(r#"__name__="foo""#));
    check(r#"foo{a="b",}"#, Ok(r#"a="b" __name__="foo""#));
    check(r#"{"a.b", c!~"d"}"#, Ok(r#"__name__="a.b" c!~"d""#));
    check("{}", Ok(""));
    check("sum", Ok(r#"__name__="sum""#));
    check("foo # comment", Ok(r#"__name__="foo""#));
    check("", Err("unknown position: parse error: unexpected end of input"));
    check("1", Err("1:1: parse error: unexpected number \"1\""));
    check("foo[5m]", Err("1:4: parse error: unexpected \"[\""));
    check("foo offset 5m", Err("1:5: parse error: unexpected <offset>"));
    check("foo bar", Err("1:5: parse error: unexpected identifier \"bar\""));
    check("sum(foo)", Err("1:4: parse error: unexpected \"(\""));
    check("on", Err("1:1: parse error: unexpected <on>"));
    check(
        "{a}",
        Err(
            "1:3: parse error: unexpected \"}\" in label matching, expected label matching operator",
        ),
    );
    check("{a=\"b\"", Err("1:7: parse error: unexpected end of input inside braces"));
}
