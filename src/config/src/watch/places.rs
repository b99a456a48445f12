//! Where something may happen that makes a path lead to other content: the directory of the file, those of
//! all symlinks on the way, and the deepest one that exists if the way breaks off.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

/// Most symlinks that are followed for one path, as in the kernel.
const LINK_COUNT_MAX: usize = 40;

/// Which directory stands at a path: another one may take its place under the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

/// The directories to watch for a set of files.
pub(super) fn places_of(files: &[PathBuf]) -> BTreeMap<PathBuf, Identity> {
    let mut places = BTreeMap::new();
    for file in files {
        walk(file, &mut places);
    }
    places
}

fn walk(file: &Path, places: &mut BTreeMap<PathBuf, Identity>) {
    let mut rest: Vec<OsString> = Vec::new();
    push_components(&mut rest, file);
    let mut at = PathBuf::from(if file.is_absolute() { "/" } else { "." });
    let mut link_count = 0;
    while let Some(name) = rest.pop() {
        let next = at.join(&name);
        let Ok(metadata) = fs::symlink_metadata(&next) else {
            add(at, places);
            return;
        };
        if metadata.is_symlink() {
            add(at.clone(), places);
            link_count += 1;
            let Ok(target) = fs::read_link(&next) else { return };
            if link_count > LINK_COUNT_MAX {
                return;
            }
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            push_components(&mut rest, &target);
        } else if rest.is_empty() {
            add(at, places);
            return;
        } else {
            at = next;
        }
    }
}

/// Puts the parts of a path on a stack, the first one on top.
fn push_components(rest: &mut Vec<OsString>, path: &Path) {
    let parts = path.components().rev().filter_map(|component| match component {
        Component::Normal(_) | Component::ParentDir => Some(component.as_os_str().to_owned()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    rest.extend(parts);
}

fn add(directory: PathBuf, places: &mut BTreeMap<PathBuf, Identity>) {
    if let Ok(metadata) = fs::metadata(&directory) {
        let identity = Identity { device: metadata.dev(), inode: metadata.ino() };
        places.insert(directory, identity);
    }
}
