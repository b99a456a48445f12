//! Patterns of file names as Go reads them. Compat: `filepath.Match` and `filepath.Glob`.
//! Unlike a shell's, `*` also stands for names that begin with a dot; `**` means no more than `*`.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// Most files one pattern may stand for; more are left out.
const MATCH_COUNT_MAX: usize = 100_000;

/// Compat: `filepath.ErrBadPattern`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
#[non_exhaustive]
pub struct PatternError;

/// Whether a path is more than a name.
pub(crate) fn has_meta(path: &OsStr) -> bool {
    path.as_bytes().iter().any(|byte| b"*?[\\".contains(byte))
}

/// The files that exist under a pattern, sorted within each directory. What cannot be read holds nothing.
pub(crate) fn glob(pattern: &Path) -> Result<Vec<PathBuf>, PatternError> {
    matches(pattern, Path::new(""))?;
    if !has_meta(pattern.as_os_str()) {
        let exists = fs::symlink_metadata(pattern).is_ok();
        return Ok(exists.then(|| pattern.to_owned()).into_iter().collect());
    }
    let Some(name) = pattern.file_name() else { return Ok(Vec::new()) };
    let parent = pattern.parent().unwrap_or(Path::new(""));
    let directories = match has_meta(parent.as_os_str()) {
        true => glob(parent)?,
        false => vec![parent.to_owned()],
    };
    let mut found = Vec::new();
    for directory in directories {
        let listed = if directory.as_os_str().is_empty() { Path::new(".") } else { &directory };
        let Ok(entries) = fs::read_dir(listed) else { continue };
        let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
        let mut names: Vec<_> =
            names.filter(|it| is_match(name.as_bytes(), it.as_bytes()) == Ok(true)).collect();
        names.sort();
        found.extend(names.into_iter().map(|name| directory.join(name)));
        found.truncate(MATCH_COUNT_MAX);
    }
    Ok(found)
}

/// Whether a pattern stands for this path.
pub(crate) fn matches(pattern: &Path, path: &Path) -> Result<bool, PatternError> {
    is_match(pattern.as_os_str().as_bytes(), path.as_os_str().as_bytes())
}

/// One pass with one way back: to the latest `*`. The whole pattern is checked, also behind a mismatch.
fn is_match(pattern: &[u8], name: &[u8]) -> Result<bool, PatternError> {
    check(pattern)?;
    let (mut at, mut in_name) = (0, 0);
    let mut latest_star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            latest_star = Some((at, in_name));
            continue;
        }
        match (pattern.get(at), name.get(in_name)) {
            (None, None) => return Ok(true),
            (Some(_), Some(byte)) => {
                if let Some(next) = one(pattern, at, *byte)? {
                    (at, in_name) = (next, in_name + 1);
                    continue;
                }
            }
            (Some(_), None) | (None, Some(_)) => {}
        }
        // The latest `*` takes one byte more, but no separator.
        match latest_star {
            Some((after, taken)) if name.get(taken).is_some_and(|byte| *byte != b'/') => {
                latest_star = Some((after, taken + 1));
                (at, in_name) = (after, taken + 1);
            }
            _ => return Ok(false),
        }
    }
}

fn check(pattern: &[u8]) -> Result<(), PatternError> {
    let mut at = 0;
    while at < pattern.len() {
        at = end_of_one(pattern, at)?;
    }
    Ok(())
}

/// Where the element that begins at `at` ends.
fn end_of_one(pattern: &[u8], at: usize) -> Result<usize, PatternError> {
    match pattern.get(at) {
        Some(b'\\') if at + 1 >= pattern.len() => Err(PatternError),
        Some(b'\\') => Ok(at + 2),
        Some(b'[') => class(pattern, at, 0).map(|(_, end)| end),
        _ => Ok(at + 1),
    }
}

/// Where the pattern goes on if its element at `at` stands for this byte.
fn one(pattern: &[u8], at: usize, byte: u8) -> Result<Option<usize>, PatternError> {
    let end = end_of_one(pattern, at)?;
    let is_hit = match pattern.get(at) {
        Some(b'?') => byte != b'/',
        Some(b'[') => class(pattern, at, byte)?.0 && byte != b'/',
        Some(b'\\') => pattern.get(at + 1) == Some(&byte),
        literal => literal == Some(&byte),
    };
    Ok(is_hit.then_some(end))
}

/// Whether the class that begins at `at` holds the byte, and where it ends. Ranges are ranges of bytes.
fn class(pattern: &[u8], at: usize, byte: u8) -> Result<(bool, usize), PatternError> {
    let mut at = at + 1;
    let is_negated = pattern.get(at) == Some(&b'^');
    at += usize::from(is_negated);
    let (mut is_in, mut range_count) = (false, 0);
    loop {
        if pattern.get(at) == Some(&b']') && range_count > 0 {
            return Ok((is_in != is_negated, at + 1));
        }
        let (low, after) = class_byte(pattern, at)?;
        let (mut high, mut end) = (low, after);
        if pattern.get(after) == Some(&b'-') {
            (high, end) = class_byte(pattern, after + 1)?;
        }
        is_in |= (low..=high).contains(&byte);
        range_count += 1;
        at = end;
    }
}

/// A byte of a class, perhaps behind a backslash. The class has to go on after it.
fn class_byte(pattern: &[u8], at: usize) -> Result<(u8, usize), PatternError> {
    let at = match pattern.get(at) {
        None | Some(b'-' | b']') => return Err(PatternError),
        Some(b'\\') => at + 1,
        Some(_) => at,
    };
    match (pattern.get(at), pattern.get(at + 1)) {
        (Some(byte), Some(_)) => Ok((*byte, at + 1)),
        _ => Err(PatternError),
    }
}
