//! What differs between the rule files of two configurations: groups, and the rules in them. Files that two
//! configurations share are not looked into; nothing is told of where a group stands in its file.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

use super::RoomChange;
use crate::{Rule, RuleFile, RuleGroup};

/// Groups first, then rules.
pub(super) fn between(old: &[Arc<RuleFile>], new: &[Arc<RuleFile>]) -> [RoomChange; 2] {
    let mut changes =
        Comparison { groups: RoomChange::of("rule groups"), rules: RoomChange::of("rules") };
    let mut old: BTreeMap<&Path, &Arc<RuleFile>> =
        old.iter().map(|file| (file.path.as_path(), file)).collect();
    for file in new {
        match old.remove(file.path.as_path()) {
            Some(before) if Arc::ptr_eq(before, file) => changes.leave(file),
            before => {
                changes.compare(&file.path, before.map(|file| &file.groups[..]), &file.groups)
            }
        }
    }
    for (path, file) in old {
        changes.compare(path, Some(&file.groups), &[]);
    }
    [changes.groups, changes.rules]
}

struct Comparison {
    groups: RoomChange,
    rules: RoomChange,
}

impl Comparison {
    fn leave(&mut self, file: &RuleFile) {
        self.groups.unchanged_count += file.groups.len() as u64;
        self.rules.unchanged_count += file.rule_count() as u64;
    }

    fn compare(&mut self, file: &Path, old: Option<&[Arc<RuleGroup>]>, new: &[Arc<RuleGroup>]) {
        let mut old: BTreeMap<&str, &Arc<RuleGroup>> =
            old.unwrap_or_default().iter().map(|group| (group.name.as_str(), group)).collect();
        for group in new {
            let name = || format!("{} in {}", group.name, file.display());
            match old.remove(group.name.as_str()) {
                None => {
                    self.groups.added.push(&name());
                    self.compare_rules(&name, &[], &group.rules);
                }
                Some(before) if before == group => {
                    self.groups.unchanged_count += 1;
                    self.rules.unchanged_count += group.rules.len() as u64;
                }
                Some(before) => {
                    self.groups.changed.push(&name());
                    self.compare_rules(&name, &before.rules, &group.rules);
                }
            }
        }
        for group in old.into_values() {
            let name = || format!("{} in {}", group.name, file.display());
            self.groups.removed.push(&name());
            self.compare_rules(&name, &group.rules, &[]);
        }
    }

    fn compare_rules(&mut self, group: &dyn Fn() -> String, old: &[Rule], new: &[Rule]) {
        let name = |(rule, nth): (&str, usize)| match nth {
            0 => format!("{rule} in {}", group()),
            nth => format!("{rule} ({}) in {}", nth + 1, group()),
        };
        let mut old: BTreeMap<(&str, usize), &Rule> = numbered(old).collect();
        for (key, rule) in numbered(new) {
            match old.remove(&key) {
                None => self.rules.added.push(&name(key)),
                Some(before) if before == rule => self.rules.unchanged_count += 1,
                Some(_) => self.rules.changed.push(&name(key)),
            }
        }
        old.into_keys().for_each(|key| self.rules.removed.push(&name(key)));
    }
}

/// Rules by name; of those with one name, the how manieth.
fn numbered(rules: &[Rule]) -> impl Iterator<Item = ((&str, usize), &Rule)> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    rules.iter().map(move |rule| {
        let count = counts.entry(rule.name()).or_default();
        *count += 1;
        ((rule.name(), *count - 1), rule)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Changes, RuleOptions, parse_rules};

    fn file(path: &str, text: &str) -> Arc<RuleFile> {
        let options = RuleOptions {
            check_expression: None,
            name_validation: prom_model::NameValidation::Utf8,
            ignores_unknown_fields: false,
        };
        Arc::new(parse_rules(Path::new(path), text.as_bytes(), &options).unwrap())
    }

    #[track_caller]
    fn check(old: &[(&str, &str)], new: &[(&str, &str)], expected: &str, names: &[&str]) {
        let files = |list: &[(&str, &str)]| -> Vec<_> {
            list.iter().map(|(path, text)| file(path, text)).collect()
        };
        let mut changes = Changes::default();
        between(&files(old), &files(new)).into_iter().for_each(|change| changes.add(change));
        assert_eq!(changes.to_string(), expected);
        let of_rules = changes.rooms.iter().find(|room| room.subject == "rules");
        let shown = of_rules.map_or(Vec::new(), |room| {
            let kinds = [("+", &room.added), ("-", &room.removed), ("~", &room.changed)];
            let of_kind = kinds
                .iter()
                .flat_map(|(mark, all)| all.names.iter().map(move |name| format!("{mark}{name}")));
            of_kind.collect()
        });
        assert_eq!(shown, names);
    }

    #[test]
    fn rules_are_told_by_name_group_and_file() {
        const A: &str = "groups: [{name: g, rules: [{record: a, expr: x}, {alert: B, expr: y}]}]";
        let same = "nothing but layout, comments or secrets";
        check(&[("f", A)], &[("f", A)], same, &[]);
        check(
            &[],
            &[("f", A)],
            "rule groups: 1 added; rules: 2 added",
            &["+a in g in f", "+B in g in f"],
        );
        check(
            &[("f", A)],
            &[],
            "rule groups: 1 removed; rules: 2 removed",
            &["-B in g in f", "-a in g in f"],
        );
        let other = A.replace("expr: y", "expr: z").replace("record: a", "record: c");
        check(
            &[("f", A)],
            &[("f", &other)],
            "rule groups: 1 changed; rules: 1 added, 1 removed, 1 changed",
            &["+c in g in f", "-a in g in f", "~B in g in f"],
        );
        // The order within a group and its settings belong to the group.
        let slower = A.replace("name: g", "name: g, interval: 5m");
        check(&[("f", A)], &[("f", &slower)], "rule groups: 1 changed", &[]);
        // One name several times.
        let twice =
            "groups: [{name: g, rules: [{alert: A, expr: x}, {alert: A, expr: EXPR, for: 5m}]}]";
        check(
            &[("f", twice)],
            &[("f", &twice.replace("EXPR", "w"))],
            "rule groups: 1 changed; rules: 1 changed",
            &["~A (2) in g in f"],
        );
    }

    #[test]
    fn shared_files_are_counted_and_left_alone() {
        let one = file("f", "groups: [{name: g, rules: [{record: a, expr: x}]}]");
        let [groups, rules] = between(&[Arc::clone(&one)], &[one]);
        assert_eq!((groups.unchanged_count, rules.unchanged_count), (1, 1));
        assert!(groups.is_empty() && rules.is_empty());
    }
}
