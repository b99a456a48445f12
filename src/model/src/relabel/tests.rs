//! Cases of the relabelling rules.

use super::*;
use crate::Labels;

fn spec(action: RelabelAction, change: impl FnOnce(&mut RelabelSpec)) -> RelabelSpec {
    let mut spec = RelabelSpec { action, ..RelabelSpec::default() };
    change(&mut spec);
    spec
}

fn names(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|name| (*name).to_owned()).collect())
}

/// `replace` with source, regex, target and replacement.
fn replace(source: &str, regex: &str, target: &str, replacement: &str) -> RelabelSpec {
    spec(RelabelAction::Replace, |s| {
        s.source_labels = Some(source.split(',').map(str::to_owned).collect());
        s.regex = Some(regex.to_owned());
        target.clone_into(&mut s.target_label);
        replacement.clone_into(&mut s.replacement);
    })
}

/// An action that looks at sources and a regex.
fn sieve(action: RelabelAction, source: &str, regex: &str) -> RelabelSpec {
    spec(action, |s| {
        s.source_labels = names(&[source]);
        s.regex = Some(regex.to_owned());
    })
}

/// An action that looks at sources and a target.
fn targeted(action: RelabelAction, sources: &[&str], target: &str) -> RelabelSpec {
    spec(action, |s| {
        s.source_labels = names(sources);
        target.clone_into(&mut s.target_label);
    })
}

/// The labels after all rules; `None` when they are dropped.
fn check(pairs: &[(&str, &str)], specs: &[RelabelSpec], expected: Option<&[(&str, &str)]>) {
    let rule = |spec: &RelabelSpec| RelabelRule::new(spec.clone(), NameValidation::Utf8).unwrap();
    let rules: Vec<_> = specs.iter().map(rule).collect();
    let set = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
    let mut labels = LabelsBuilder::from_labels(&set(pairs));
    let answer = relabel(&rules, &mut labels).then(|| labels.labels());
    assert_eq!(answer, expected.map(set), "{specs:?}");
}

#[test]
fn replace_expands_target_and_replacement() {
    let abc = [("a", "foo"), ("b", "bar"), ("c", "baz")];
    let with = |name, value| vec![abc[0], abc[1], abc[2], (name, value)];
    check(&abc, &[replace("a", "f(.*)", "d", "ch${1}-ch${1}")], Some(&with("d", "choo-choo")));
    check(
        &abc,
        &[replace("a,b", "f(.*);(.*)r", "a", "b${1}${2}m")],
        Some(&[("a", "boobam"), abc[1], abc[2]]),
    );
    check(&abc, &[replace("a", "o$", "d", "x")], Some(&abc));
    check(&abc, &[replace("a", ".*(b).*", "d", "$1")], Some(&abc));
    check(&abc, &[replace("a", "(f).*", "${1}x", "y")], Some(&with("fx", "y")));
    check(&abc, &[replace("a", "x", "b", "")], Some(&abc));
    // An empty result removes the target, and so does an empty group.
    check(&abc, &[replace("a", ".*", "b", "")], Some(&[abc[0], abc[2]]));
    check(&abc, &[replace("a", "f(x)?.*", "b", "$1")], Some(&[abc[0], abc[2]]));
    // Without a regex and with nothing to look at, the value is set all the same.
    let constant = spec(RelabelAction::Replace, |s| {
        "d".clone_into(&mut s.target_label);
        "v".clone_into(&mut s.replacement);
    });
    check(&abc, &[constant], Some(&with("d", "v")));
    check(&abc, &[targeted(RelabelAction::Replace, &["a", "b"], "d")], Some(&with("d", "foo;bar")));
    check(&abc, &[targeted(RelabelAction::Replace, &["nope"], "c")], Some(&abc[..2]));
    // Rules see what earlier ones did; a line feed is a character.
    let chain = [replace("a", "f(.*)", "d", "$1\n"), replace("d", "o.*", "e", "$0")];
    check(&abc, &chain, Some(&[abc[0], abc[1], abc[2], ("d", "oo\n"), ("e", "oo\n")]));
}

#[test]
fn targets_that_are_no_names_are_left_alone() {
    let rule =
        |validation| RelabelRule::new(replace("a", "(.*)", "${1}", "x"), validation).unwrap();
    for (validation, expected) in [
        (NameValidation::Legacy, r#"{a="b.c"}"#),
        (NameValidation::Utf8, r#"{a="b.c", "b.c"="x"}"#),
    ] {
        let mut labels = LabelsBuilder::default();
        labels.set("a", "b.c");
        assert!(relabel(&[rule(validation)], &mut labels));
        assert_eq!(labels.labels().to_string(), expected);
    }
}

#[test]
fn sieves_keep_or_drop() {
    let a = [("a", "boo")];
    check(&a, &[sieve(RelabelAction::Drop, "a", "f|.*o.*")], None);
    check(&a, &[sieve(RelabelAction::Drop, "a", "f|o")], Some(&a));
    check(&a, &[sieve(RelabelAction::Drop, "b", "")], None);
    check(&a, &[sieve(RelabelAction::Keep, "a", "f")], None);
    check(&a, &[sieve(RelabelAction::Keep, "a", "f.*|b.*")], Some(&a));
    check(&a, &[sieve(RelabelAction::Keep, "b", ".+")], None);
    let equal = [("__tmp_port", "1234"), ("__port1", "1234"), ("__port2", "5678")];
    let port = |action, name: &str| targeted(action, &["__tmp_port"], name);
    check(&equal, &[port(RelabelAction::KeepEqual, "__port1")], Some(&equal));
    check(&equal, &[port(RelabelAction::KeepEqual, "__port2")], None);
    check(&equal, &[port(RelabelAction::DropEqual, "__port1")], None);
    check(&equal, &[port(RelabelAction::DropEqual, "__port2")], Some(&equal));
}

#[test]
fn values_are_hashed_and_change_case() {
    let hashed = |sources: &[&str]| {
        let mut spec = targeted(RelabelAction::HashMod, sources, "d");
        spec.modulus = 1000;
        spec
    };
    check(&[("c", "baz")], &[hashed(&["c"])], Some(&[("c", "baz"), ("d", "976")]));
    check(&[("c", "baz\n")], &[hashed(&["c"])], Some(&[("c", "baz\n"), ("d", "651")]));
    let case = |text, lower, upper| {
        let rules = [
            targeted(RelabelAction::Lowercase, &["a"], "l"),
            targeted(RelabelAction::Uppercase, &["a"], "u"),
        ];
        check(&[("a", text)], &rules, Some(&[("a", text), ("l", lower), ("u", upper)]));
    };
    case("Foo bAr;", "foo bar;", "FOO BAR;");
    case("\u{c4}\u{df}\u{e9}", "\u{e4}\u{df}\u{e9}", "\u{c4}\u{df}\u{c9}");
    // One character stays one: no special form at the end of a word, nothing taken apart.
    case("\u{3a3}\u{3a3}", "\u{3c3}\u{3c3}", "\u{3a3}\u{3a3}");
    case(
        "\u{130}\u{149}\u{1fb3}\u{1f80}",
        "i\u{149}\u{1fb3}\u{1f80}",
        "\u{130}\u{149}\u{1fbc}\u{1f88}",
    );
}

#[test]
fn names_are_mapped_dropped_and_kept() {
    let named = |action, regex: &str| spec(action, |s| s.regex = Some(regex.to_owned()));
    let map = spec(RelabelAction::LabelMap, |s| {
        s.regex = Some("meta_(ns.*)".to_owned());
        "x_${1}".clone_into(&mut s.replacement);
    });
    let meta = [("a", "foo"), ("meta_ns", "bar"), ("meta_nsb", "baz")];
    check(&meta, &[map], Some(&[meta[0], meta[1], meta[2], ("x_ns", "bar"), ("x_nsb", "baz")]));
    check(
        &[("__meta_my_bar", "aaa"), ("__meta_my_baz", "bbb")],
        &[named(RelabelAction::LabelMap, "__meta_(my.*)")],
        Some(&[
            ("__meta_my_bar", "aaa"),
            ("__meta_my_baz", "bbb"),
            ("my_bar", "aaa"),
            ("my_baz", "bbb"),
        ]),
    );
    let abb = [("a", "foo"), ("b1", "bar"), ("b2", "baz")];
    check(&abb, &[named(RelabelAction::LabelDrop, "(b.*)")], Some(&abb[..1]));
    check(&abb, &[named(RelabelAction::LabelKeep, "(b.*)")], Some(&abb[1..]));
}

#[test]
fn rules_are_checked() {
    let check = |spec: RelabelSpec, validation, expected: Option<&str>| {
        let error = RelabelRule::new(spec, validation).err().map(|err| err.to_string());
        assert_eq!(error.as_deref(), expected);
    };
    let (legacy, utf8) = (NameValidation::Legacy, NameValidation::Utf8);
    check(
        replace("a", "(b", "c", "$1"),
        utf8,
        Some("error parsing regexp: missing closing ): `^(?s:(b)$`"),
    );
    check(
        replace("a", "b", "", "$1"),
        utf8,
        Some("relabel configuration for replace action requires 'target_label' value"),
    );
    check(
        targeted(RelabelAction::HashMod, &["a"], "b"),
        utf8,
        Some("relabel configuration for hashmod requires non-zero modulus"),
    );
    check(
        targeted(RelabelAction::Lowercase, &["a"], "${3}"),
        legacy,
        Some("\"${3}\" is invalid 'target_label' for lowercase action"),
    );
    check(targeted(RelabelAction::Lowercase, &["a"], "${3}"), utf8, None);
    for (target, is_valid) in [
        ("a", true),
        ("${1}", true),
        ("$1", true),
        ("pre_${1}_x", true),
        ("a$1b", true),
        ("_", true),
        ("0abc", false),
        ("${1", false),
        ("a-b", false),
        ("$", false),
        ("a.${1}", false),
    ] {
        let expected = format!("\"{target}\" is invalid 'target_label' for replace action");
        check(replace("a", "b", target, "x"), legacy, (!is_valid).then_some(expected.as_str()));
        check(replace("a", "b", target, "x"), utf8, None);
    }
    let mut spec = targeted(RelabelAction::Uppercase, &["a"], "b");
    spec.replacement = "x".to_owned();
    check(spec, utf8, Some("'replacement' can not be set for uppercase action"));
    let mut spec = targeted(RelabelAction::DropEqual, &["a"], "b");
    spec.separator = ",".to_owned();
    check(
        spec,
        utf8,
        Some(
            "dropequal action requires only 'source_labels' and `target_label`, and no other fields",
        ),
    );
    check(
        sieve(RelabelAction::LabelKeep, "a", "b"),
        utf8,
        Some("labelkeep action requires only 'regex', and no other fields"),
    );
    let mut spec = RelabelSpec { action: RelabelAction::LabelMap, ..RelabelSpec::default() };
    spec.replacement = "b-$1".to_owned();
    check(spec, legacy, Some("\"b-$1\" is invalid 'replacement' for labelmap action"));
}

#[test]
fn what_grows_beyond_a_label_is_cut() {
    let rule = replace("a", "(?:.*)", "b", &"$0".repeat(1000));
    let rule = RelabelRule::new(rule, NameValidation::Utf8).unwrap();
    let mut labels = LabelsBuilder::default();
    labels.set("a", &"\u{e4}".repeat(1_000_000));
    assert!(relabel(&[rule], &mut labels));
    assert_eq!(labels.build().get("b").map(str::len), Some((1 << 24) - 2));
}

#[test]
fn actions_are_named_in_any_case() {
    assert_eq!(RelabelAction::from_name("LabelMap"), Some(RelabelAction::LabelMap));
    assert_eq!(RelabelAction::from_name("label_map"), None);
    let rule = |spec| RelabelRule::new(spec, NameValidation::Utf8).unwrap();
    assert_eq!(rule(replace("a", "b", "c", "d")), rule(replace("a", "b", "c", "d")));
    assert_ne!(rule(replace("a", "b", "c", "d")), rule(replace("a", "b", "c", "e")));
}
