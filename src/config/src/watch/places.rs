//! Where something may happen that makes a path lead to other content: the directory of the file, those of
//! all symlinks on the way, and the deepest one that exists if the way breaks off; and under which names.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::{OsStr, OsString},
    fs,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

use crate::sources::{glob, has_meta};

/// Most symlinks that are followed for one path, as in the kernel.
const LINK_COUNT_MAX: usize = 40;

/// Which directory stands at a path: another one may take its place under the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

/// A directory to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) identity: Identity,
    pub(super) names: Names,
}

/// Which of its entries matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Names {
    All,
    These(BTreeSet<OsString>),
}

impl Names {
    pub(super) fn contains(&self, name: &OsStr) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.contains(name),
        }
    }

    fn merge(&mut self, other: Self) {
        match (self, other) {
            (Self::All, _) => {}
            (this, Self::All) => *this = Self::All,
            (Self::These(names), Self::These(more)) => names.extend(more),
        }
    }
}

/// Directories by path.
pub(super) type Places = BTreeMap<PathBuf, Place>;

/// The directories to watch for files and for patterns of files.
pub(super) fn places_of(files: &[PathBuf], patterns: &[PathBuf]) -> Places {
    let mut places = Places::new();
    // Files mostly share a directory, whose way is walked once.
    let mut directories: HashMap<&Path, PathBuf> = HashMap::new();
    for file in files {
        let parent = file.parent().unwrap_or(Path::new(""));
        let is_symlink = || fs::symlink_metadata(file).is_ok_and(|metadata| metadata.is_symlink());
        if let (Some(directory), Some(name)) = (directories.get(parent), file.file_name())
            && !is_symlink()
        {
            add(directory, Some(name), &mut places);
        } else if let Some(directory) = walk(file, &mut places) {
            directories.insert(parent, directory);
        }
    }
    for pattern in patterns {
        walk_pattern(pattern, &mut places);
    }
    places
}

/// All directories in which something may appear that a pattern stands for.
fn walk_pattern(pattern: &Path, places: &mut Places) {
    let parent = pattern.parent().unwrap_or(Path::new(""));
    let directories = match has_meta(parent.as_os_str()) {
        true => {
            walk_pattern(parent, places);
            glob(parent).unwrap_or_default()
        }
        false => vec![parent.to_owned()],
    };
    for directory in directories {
        // An entry of that name never exists, so the walk ends at the directory itself.
        if let Some(directory) = walk(&directory.join("*"), places)
            && let Some(place) = places.get_mut(&directory)
        {
            place.names = Names::All;
        }
    }
}

/// Adds all places on the way; the directory that holds the file in the end, if the way leads so far and
/// its last step is no symlink.
fn walk(file: &Path, places: &mut Places) -> Option<PathBuf> {
    let mut rest: Vec<OsString> = Vec::new();
    push_components(&mut rest, file);
    let mut at = PathBuf::from(if file.is_absolute() { "/" } else { "." });
    let mut link_count = 0;
    while let Some(name) = rest.pop() {
        let next = at.join(&name);
        let Ok(metadata) = fs::symlink_metadata(&next) else {
            add(&at, Some(&name), places);
            return rest.is_empty().then_some(at);
        };
        if metadata.is_symlink() {
            add(&at, Some(&name), places);
            link_count += 1;
            let target = fs::read_link(&next).ok()?;
            if link_count > LINK_COUNT_MAX {
                return None;
            }
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            push_components(&mut rest, &target);
        } else if rest.is_empty() {
            add(&at, Some(&name), places);
            return (link_count == 0).then_some(at);
        } else {
            at = next;
        }
    }
    None
}

/// Puts the parts of a path on a stack, the first one on top.
fn push_components(rest: &mut Vec<OsString>, path: &Path) {
    let parts = path.components().rev().filter_map(|component| match component {
        Component::Normal(_) | Component::ParentDir => Some(component.as_os_str().to_owned()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    rest.extend(parts);
}

/// Adds an entry of a directory, or all of them.
fn add(directory: &Path, name: Option<&OsStr>, places: &mut Places) {
    let names = name.map_or(Names::All, |name| Names::These(BTreeSet::from([name.to_owned()])));
    if let Some(place) = places.get_mut(directory) {
        place.names.merge(names);
    } else if let Ok(metadata) = fs::metadata(directory) {
        let identity = Identity { device: metadata.dev(), inode: metadata.ino() };
        places.insert(directory.to_owned(), Place { identity, names });
    }
}
