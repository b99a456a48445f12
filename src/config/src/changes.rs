//! What a new configuration changes, room by room, as each room says it while it prepares. Finding it out
//! is the matter of the rooms; here is only the form, for the log, the pages and the generations.

mod rules;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Config;

/// Most names that are listed of one kind; of more only the number is kept.
const NAME_COUNT_MAX: usize = 50;

/// What changes in each room; rooms that nothing changes for are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    pub rooms: Vec<RoomChange>,
}

/// What changes in one room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomChange {
    /// In one or two words: `scrape jobs`, `targets`, `files`.
    pub subject: String,
    pub added: ChangedNames,
    pub removed: ChangedNames,
    pub changed: ChangedNames,
    pub unchanged_count: u64,
}

/// ChangedNames, or how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedNames {
    pub count: u64,
    /// The first ones.
    pub names: Vec<String>,
}

impl Changes {
    /// Adds what one room says.
    pub fn add(&mut self, change: RoomChange) {
        if !change.is_empty() {
            self.rooms.push(change);
        }
    }
}

impl Config {
    /// What differs in the parts that no room compares by itself: sections as a whole, groups of rules, and
    /// rules.
    pub fn changed_parts(old: &Self, new: &Self) -> [RoomChange; 3] {
        let mut sections = RoomChange::of("sections");
        for (name, is_same) in [
            ("global", old.global == new.global),
            ("runtime", old.runtime == new.runtime),
            ("alerting", old.alerting == new.alerting),
            ("storage", old.storage == new.storage),
            ("tracing", old.tracing == new.tracing),
            ("remote_write", old.remote_write == new.remote_write),
            ("remote_read", old.remote_read == new.remote_read),
            ("otlp", old.otlp == new.otlp),
        ] {
            match is_same {
                true => sections.unchanged_count += 1,
                false => sections.changed.push(name),
            }
        }
        let [groups, rules] = rules::between(&old.rule_files, &new.rule_files);
        [sections, groups, rules]
    }
}

impl RoomChange {
    pub fn of(subject: &str) -> Self {
        Self { subject: subject.to_owned(), ..Self::default() }
    }

    /// Compares two states, thing by thing, by name.
    pub fn between<'a, T: PartialEq + 'a>(
        subject: &str,
        old: impl IntoIterator<Item = (&'a str, T)>,
        new: impl IntoIterator<Item = (&'a str, T)>,
    ) -> Self {
        let mut change = Self::of(subject);
        let mut old: std::collections::BTreeMap<&str, T> = old.into_iter().collect();
        for (name, thing) in new {
            match old.remove(name) {
                None => change.added.push(name),
                Some(before) if before == thing => change.unchanged_count += 1,
                Some(_) => change.changed.push(name),
            }
        }
        old.keys().for_each(|name| change.removed.push(name));
        change
    }

    pub fn is_empty(&self) -> bool {
        [&self.added, &self.removed, &self.changed].iter().all(|names| names.count == 0)
    }
}

impl ChangedNames {
    pub fn push(&mut self, name: &str) {
        self.count += 1;
        if self.names.len() < NAME_COUNT_MAX {
            self.names.push(name.to_owned());
        }
    }
}

impl fmt::Display for Changes {
    /// `scrape jobs: 1 added, 2 changed; targets: 5 added`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rooms.is_empty() {
            return f.write_str("nothing but layout, comments or secrets");
        }
        for (index, room) in self.rooms.iter().enumerate() {
            write!(f, "{}{room}", if index > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for RoomChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.subject)?;
        let kinds =
            [("added", &self.added), ("removed", &self.removed), ("changed", &self.changed)];
        let mut is_first = true;
        for (kind, names) in kinds.into_iter().filter(|(_, names)| names.count > 0) {
            write!(f, "{}{} {kind}", if is_first { "" } else { ", " }, names.count)?;
            is_first = false;
        }
        if is_first {
            f.write_str("unchanged")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(old: &[(&str, u8)], new: &[(&str, u8)], expected: &str) {
        let mut changes = Changes::default();
        changes.add(RoomChange::between("jobs", old.iter().copied(), new.iter().copied()));
        assert_eq!(changes.to_string(), expected);
    }

    #[test]
    fn changes_are_told_by_name() {
        let same = "nothing but layout, comments or secrets";
        check(&[], &[], same);
        check(&[("a", 1)], &[("a", 1)], same);
        check(&[("a", 1)], &[("b", 1)], "jobs: 1 added, 1 removed");
        check(&[("a", 1), ("b", 1)], &[("b", 2)], "jobs: 1 removed, 1 changed");
        let many: Vec<String> = (0..60).map(|index| index.to_string()).collect();
        let change = RoomChange::between("x", [], many.iter().map(|name| (&**name, 0)));
        assert_eq!((change.added.count, change.added.names.len()), (60, NAME_COUNT_MAX));
    }
}
