//! The files `~/.aws/config` and `~/.aws/credentials`: sections of keys and values.
//! Compat: <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>.

use std::{collections::BTreeMap, fmt};

/// One section.
#[derive(Clone, Default)]
pub(super) struct Profile {
    pub(super) name: String,
    values: BTreeMap<String, String>,
}

impl Profile {
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(super) fn extend(&mut self, more: Self) {
        self.values.extend(more.values);
    }
}

impl fmt::Debug for Profile {
    // Values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What stands before the name of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// `profile`, except before the default one: in the configuration's file.
    Profile,
    /// Nothing: in the file with keys.
    Plain,
    /// `sso-session`.
    Session,
}

/// The section of a name.
pub(super) fn find(text: &str, name: &str, kind: Section) -> Option<Profile> {
    let mut found: Option<Profile> = None;
    let mut is_inside = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = trimmed.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            is_inside = is_section(section.trim(), name, kind);
            if is_inside {
                found
                    .get_or_insert_with(|| Profile { name: name.to_owned(), ..Profile::default() });
            }
            continue;
        }
        // An indented line belongs to the key above it, which is none that is of use here.
        if is_inside
            && !line.starts_with([' ', '\t'])
            && let (Some(profile), Some((key, value))) = (&mut found, trimmed.split_once('='))
        {
            let value = value.split(" #").next().unwrap_or_default();
            let value = value.split(" ;").next().unwrap_or_default();
            let key = key.trim().to_ascii_lowercase();
            profile.values.insert(key, value.trim().to_owned());
        }
    }
    found
}

fn is_section(section: &str, name: &str, kind: Section) -> bool {
    let after = |prefix: &str| {
        let rest = section.strip_prefix(prefix).filter(|rest| rest.starts_with([' ', '\t']));
        rest.map(|rest| rest.trim().trim_matches(['"', '\'']))
    };
    match kind {
        Section::Profile => match after("profile") {
            Some(named) => named == name,
            None => name == "default" && section == "default",
        },
        Section::Plain => section == name,
        Section::Session => after("sso-session") == Some(name),
    }
}
