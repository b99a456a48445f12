//! Tests of label sets and their builder.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn check(pairs: &[(&str, &str)], expected: &str) {
    assert_eq!(Labels::from_pairs(pairs.iter().copied()).to_string(), expected);
}

#[test]
fn pairs_are_sorted_unique_and_not_empty() {
    check(&[], "{}");
    check(&[("b", "2"), ("a", "1")], r#"{a="1", b="2"}"#);
    check(&[("a", "1"), ("a", "2")], r#"{a="2"}"#);
    check(&[("a", "1"), ("a", "")], "{}");
    check(&[("a.b", "x\"y")], r#"{"a.b"="x\"y"}"#);
}

#[test]
fn long_strings_survive() {
    let long = "x".repeat(70_000);
    let labels = Labels::from_pairs([("a", long.as_str()), ("b", "c")]);
    assert_eq!(labels.get("a"), Some(long.as_str()));
    assert_eq!(labels.get("b"), Some("c"));
    assert_eq!(labels.get("c"), None);
}

#[test]
fn order_is_pair_by_pair() {
    let set = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
    assert!(set(&[("a", "1")]) < set(&[("a", "1"), ("b", "1")]));
    assert!(set(&[("a", "1"), ("b", "1")]) < set(&[("a", "2")]));
    assert!(set(&[("a", "2")]) < set(&[("b", "1")]));
}

#[test]
fn builders_set_remove_and_start_again() {
    let mut builder = LabelsBuilder::from_labels(&Labels::from_pairs([("b", "2"), ("a", "1")]));
    builder.set("c", "3").set("a", "one").remove("b").set("d", "4").set("d", "");
    assert_eq!((builder.get("a"), builder.get("b"), builder.get("c")), ("one", "", "3"));
    assert_eq!(builder.labels().to_string(), r#"{a="one", c="3"}"#);
    assert_eq!(builder.duplicate_name(), None);
    builder.append("a", "two").append("e", "");
    assert_eq!(builder.duplicate_name(), Some("a"));
    assert_eq!(builder.labels().to_string(), r#"{a="two", c="3"}"#);
    builder.reset(&Labels::from_pairs([("x", "y")]));
    assert_eq!(builder.labels().to_string(), r#"{x="y"}"#);
    assert!(builder.clear().is_empty());
    assert_eq!(builder.build(), Labels::empty());
}

proptest! {
    #[test]
    fn sets_equal_ordered_maps(
        operations in prop::collection::vec(("[a-d\u{e9}]{0,2}", "[a-c]{0,2}|\u{e9}{120,200}"), 0..20)
    ) {
        let mut map = BTreeMap::new();
        let mut builder = LabelsBuilder::default();
        for (name, value) in &operations {
            builder.set(name, value);
            map.insert(name.as_str(), value.as_str());
        }
        map.retain(|_, value| !value.is_empty());
        let labels = builder.build();
        prop_assert!(labels.iter().eq(map.iter().map(|(n, v)| (*n, *v))));
        for (name, value) in &operations {
            prop_assert_eq!(labels.get(name), map.get(name.as_str()).copied());
            prop_assert!(labels.without(&[name]).get(name).is_none() && value.len() <= 400);
        }
        prop_assert_eq!(&Labels::from_sorted(map.iter().map(|(n, v)| (*n, *v))), &labels);
        prop_assert_eq!(labels.count(), map.len());
    }
}
