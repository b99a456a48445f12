//! Checks of form that no compiler makes: file heads, sizes, ASCII, left-over marks.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use serde::Deserialize;

/// Longest source file without an entry in `ratchet.toml`, tests apart.
const FILE_LINE_COUNT_MAX: usize = 800;
/// Marks of unfinished work.
const UNFINISHED: [&str; 4] = ["TODO", "FIXME", "XXX", "#[ignore"];

#[derive(Deserialize)]
struct Ratchet {
    files: BTreeMap<String, usize>,
}

/// Complaints, one a line.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let ratchet: Ratchet =
        toml::from_str(&fs::read_to_string(root.join("src/xtask/ratchet.toml"))?)?;
    let mut complaints = Vec::new();
    for folder in ["src", "integration-tests"] {
        walk(&root.join(folder), &mut |path| {
            let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
            if path.extension().is_some_and(|ext| ext == "rs") && !name.ends_with("tidy.rs") {
                let text = fs::read_to_string(path).with_context(|| name.clone())?;
                complaints.extend(file(&name, &text, ratchet.files.get(&name).copied()));
            }
            Ok(())
        })?;
    }
    Ok(complaints)
}

fn file(name: &str, text: &str, granted_line_count: Option<usize>) -> Vec<String> {
    let mut complaints = Vec::new();
    if !text.starts_with("//!") {
        complaints.push(format!("{name}: does not open with a `//!` line"));
    }
    let line_count = text.lines().count();
    let line_count_max = granted_line_count.unwrap_or(FILE_LINE_COUNT_MAX);
    if line_count > line_count_max && !name.ends_with("tests.rs") {
        complaints.push(format!("{name}: {line_count} lines, {line_count_max} allowed"));
    }
    if granted_line_count.is_some_and(|_| line_count <= FILE_LINE_COUNT_MAX) {
        complaints.push(format!("{name}: needs no entry in ratchet.toml any more"));
    }
    for (index, line) in text.lines().enumerate() {
        let place = format!("{name}:{}", index + 1);
        if let Some(mark) = UNFINISHED.iter().find(|mark| line.contains(*mark)) {
            complaints.push(format!("{place}: {mark}"));
        }
        if line.ends_with(' ') && !name.ends_with("tests.rs") {
            complaints.push(format!("{place}: trailing space"));
        }
        if !line.is_ascii() && !name.contains("test") {
            complaints.push(format!("{place}: not ASCII"));
        }
    }
    complaints
}

fn walk(folder: &Path, visit: &mut dyn FnMut(&Path) -> Result<()>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() { walk(&path, visit)? } else { visit(&path)? }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, granted: Option<usize>, expected: &[&str]) {
        assert_eq!(file("a.rs", text, granted), expected);
    }

    #[test]
    fn files_keep_their_form() {
        check("//! ok\n", None, &[]);
        check("fn f() {}\n", None, &["a.rs: does not open with a `//!` line"]);
        check("//! ok\n// TODO: later\n", None, &["a.rs:2: TODO"]);
        check("//! ok \n", None, &["a.rs:1: trailing space"]);
        check("//! \u{e9}\n", None, &["a.rs:1: not ASCII"]);
        check(&"//! x\n".repeat(801), None, &["a.rs: 801 lines, 800 allowed"]);
        check(&"//! x\n".repeat(801), Some(801), &[]);
        check("//! x\n", Some(900), &["a.rs: needs no entry in ratchet.toml any more"]);
    }

    #[test]
    fn this_repository_is_tidy() {
        assert_eq!(super::check(&crate::root()).unwrap(), Vec::<String>::new());
    }
}
