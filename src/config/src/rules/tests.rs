//! Cases of rule files; texts were compared with those of the reference.

use std::path::Path;

use super::*;

fn parse(text: &str) -> Result<RuleFile, Vec<ConfigError>> {
    let check = |expression: &str| match expression.contains("bad") {
        true => Err(String::from("1:1: parse error: bad")),
        false => Ok(()),
    };
    let options = RuleOptions {
        check_expression: Some(&check),
        name_validation: NameValidation::Utf8,
        ignores_unknown_fields: false,
    };
    parse_rules(Path::new("r.yml"), text.as_bytes(), &options)
}

/// Checks all mistakes of a file as `line:column: message`.
fn check(text: &str, expected: &[&str]) {
    let errors = parse(text).expect_err(text);
    let shown: Vec<String> = errors
        .iter()
        .map(|error| format!("{}:{}: {}", error.line, error.column, error.message))
        .collect();
    assert_eq!(shown, expected, "{text}");
    assert!(errors.iter().all(|error| error.file.as_deref() == Some(Path::new("r.yml"))));
}

#[test]
fn a_whole_file_parses() {
    let file = parse(
        "groups:
- name: g
  interval: 1m30s
  query_offset: 0s
  limit: 3
  labels: {team: a}
  rules:
  - {record: 'a:b', expr: sum(x), labels: {l: v}}
  - {alert: A, expr: up == 0, for: 5m, keep_firing_for: 1d, annotations: {summary: '{{ $value }}'}}
- {name: h, rules: [{alert: B, expr: 1}]}
",
    )
    .unwrap();
    let [g, h] = file.groups.as_slice() else { panic!("{file:?}") };
    assert_eq!(g.interval, Some(Duration::from_secs(90)));
    assert_eq!((g.query_offset, h.query_offset), (Some(Duration::ZERO), None));
    assert_eq!((g.limit, g.labels["team"].as_str(), h.interval), (3, "a", None));
    assert_eq!((g.rules[0].name(), g.rules[0].expression()), ("a:b", "sum(x)"));
    assert_eq!(g.rules[0].labels()["l"], "v");
    let Rule::Alerting(alert) = &g.rules[1] else { panic!("{g:?}") };
    assert_eq!(alert.hold_for, Duration::from_secs(300));
    assert_eq!(alert.keep_firing_for, Duration::from_secs(86_400));
    assert_eq!(h.rules[0].expression(), "1");
    assert!(parse("").unwrap().groups.is_empty());
}

#[test]
fn mistakes_have_their_place_and_all_are_told() {
    check(
        "groups:\n- name: ''\n- name: a\n- name: a\n  labels: {__name__: x}\n",
        &[
            "2:3: Groupname must not be empty",
            "4:3: groupname: \"a\" is repeated in the same file",
            "5:22: invalid label name: __name__",
        ],
    );
    check(
        "groups:\n- name: g\n  rules:\n  - {record: r, alert: A, expr: x}\n  - {expr: bad}\n  - {alert: A}\n",
        &[
            "4:14: group \"g\", rule 1, \"A\": only one of 'record' and 'alert' must be set",
            "5:5: group \"g\", rule 2, \"\": one of 'record' or 'alert' must be set",
            "5:12: group \"g\", rule 2, \"\": could not parse expression: 1:1: parse error: bad",
            "6:5: group \"g\", rule 3, \"A\": field 'expr' must be set in rule",
        ],
    );
    check(
        "groups:\n- name: g\n  rules:\n  - {record: 'a{b}', expr: x, for: 1m, annotations: {a: b}}\n  - {alert: A, expr: x, for: 1x, labels: {__name__: y}}\n",
        &[
            "4:53: group \"g\", rule 1, \"a{b}\": invalid field 'annotations' in recording rule",
            "4:36: group \"g\", rule 1, \"a{b}\": invalid field 'for' in recording rule",
            "4:14: group \"g\", rule 1, \"a{b}\": braces present in the recording rule name; should it be in expr?: a{b}",
            "5:30: unknown unit \"x\" in duration \"1x\"",
            "5:53: group \"g\", rule 2, \"A\": invalid label name: __name__",
        ],
    );
}

#[test]
fn unknown_keys_are_refused_unless_they_are_to_be_ignored() {
    let text = "groups:\n- name: g\n  intervall: 1m\n  rules: [{alert: A, expr: x, fro: 1m}]\n";
    check(
        text,
        &[
            "3:3: field intervall not found in type rulefmt.RuleGroup",
            "4:31: field fro not found in type rulefmt.Rule",
        ],
    );
    let options = RuleOptions {
        check_expression: None,
        name_validation: NameValidation::Utf8,
        ignores_unknown_fields: true,
    };
    assert!(parse_rules(Path::new("r.yml"), text.as_bytes(), &options).is_ok());
    check("groups: 3", &["1:9: cannot unmarshal !!int `3` into []rulefmt.RuleGroup"]);
    check("a: [", &["2:1: did not find expected node content"]);
}
