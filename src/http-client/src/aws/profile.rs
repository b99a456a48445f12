//! The files `~/.aws/config` and `~/.aws/credentials`: sections of keys and values.
//! Compat: <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>.

use std::{collections::BTreeMap, fmt, fs::File, io, io::Read, path::Path};

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

/// The text of a file; `None` if there is no file.
pub(super) fn read(path: &Path, size_bytes_max: u64) -> Result<Option<String>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    // A pipe may never answer.
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err("not a regular file".to_owned());
    }
    let mut text = String::new();
    file.take(size_bytes_max + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    match text.len() as u64 > size_bytes_max {
        true => Err(format!("larger than {size_bytes_max} bytes")),
        false => Ok(Some(text)),
    }
}

/// The section of a profile. In the configuration's file all but the default one have `profile` before
/// their name.
pub(super) fn find(text: &str, name: &str, has_prefix: bool) -> Option<Profile> {
    let mut found: Option<Profile> = None;
    let mut is_inside = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = trimmed.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            is_inside = is_section(section.trim(), name, has_prefix);
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

fn is_section(section: &str, name: &str, has_prefix: bool) -> bool {
    let of_profile = section.strip_prefix("profile").filter(|rest| rest.starts_with([' ', '\t']));
    match (has_prefix, of_profile) {
        (true, Some(rest)) => rest.trim().trim_matches(['"', '\'']) == name,
        (true, None) => name == "default" && section == "default",
        (false, _) => section == name,
    }
}
