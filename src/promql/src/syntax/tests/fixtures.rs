//! The tables in `fixtures/syntax`: our own queries with the answers of the reference.

use super::*;

/// A query with what is expected of it.
#[derive(Debug, Default)]
struct Case {
    query: String,
    error: Option<String>,
    text: Option<String>,
    pretty: String,
    json: Option<String>,
}

fn read(table: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in table.lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (mark, content) = line.split_at(1);
        let content = content.strip_prefix(' ').unwrap_or(content);
        if mark == "?" {
            cases.push(Case { query: content.to_owned(), ..Case::default() });
            continue;
        }
        let case = cases.last_mut().expect("a table begins with a query");
        match mark {
            "|" => case.query.extend(["\n", content]),
            "!" => case.error = Some(content.to_owned()),
            "=" => case.text = Some(content.to_owned()),
            "~" if case.pretty.is_empty() => case.pretty.push_str(content),
            "~" => case.pretty.extend(["\n", content]),
            "*" => case.json = Some(content.to_owned()),
            _ => panic!("unknown mark in {line}"),
        }
    }
    cases
}

fn check(table: &str, case_count: usize, options: &ParseOptions) {
    let cases = read(table);
    assert_eq!(cases.len(), case_count);
    for case in cases {
        let query = &case.query;
        let expr = match (parse(query, options), &case.error) {
            (Ok(expr), None) => expr,
            (Err(errors), Some(expected)) => {
                assert_eq!(errors.to_string(), *expected, "{query}");
                continue;
            }
            (Ok(expr), Some(expected)) => panic!("{query}: {expr} instead of {expected}"),
            (Err(errors), None) => panic!("{query}: {errors}"),
        };
        let text = case.text.expect("a case has a text or an error");
        assert_eq!(expr.to_string(), text, "{query}");
        let expected = if case.pretty.is_empty() { text } else { case.pretty };
        assert_eq!(pretty(&expr), expected, "{query}");
        if let Some(expected) = case.json {
            assert_eq!(parse_query_json(&expr), expected, "{query}");
        }
    }
}

#[test]
fn the_language_is_read_and_printed_as_by_the_reference() {
    check(include_str!("../../../fixtures/syntax/language.txt"), 825, &ParseOptions::ALL);
}

#[test]
fn the_newest_parts_are_read_and_printed_as_by_the_reference() {
    check(include_str!("../../../fixtures/syntax/new_language.txt"), 187, &ParseOptions::ALL);
}

#[test]
fn what_is_experimental_is_refused_by_default() {
    check(include_str!("../../../fixtures/syntax/gates.txt"), 206, &ParseOptions::default());
}

#[test]
fn random_queries_are_read_and_printed_as_by_the_reference() {
    check(include_str!("../../../fixtures/syntax/random.txt"), 330, &ParseOptions::ALL);
}

#[test]
fn differences_from_the_reference_are_these() {
    check(include_str!("../../../fixtures/syntax/differences.txt"), 10, &ParseOptions::ALL);
}
