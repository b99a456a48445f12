//! A copy of a folder whose owner may still be writing to it.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// So often is a folder copied that changes under the copy.
const TRIES_MAX: usize = 100;

/// Copies a folder with all that is in it; what is no file and no folder is left out. A running database
/// moves samples from file to file, first written there, then deleted here: a copy that saw one place before
/// and the other after holds them nowhere. So what the folder lists must be the same before and after, or it
/// is copied again.
///
/// # Panics
/// Something cannot be read or written, or the folder never stands still.
pub fn copy_tree(from: &Path, to: &Path) {
    for _ in 0..TRIES_MAX {
        let before = entries(from);
        copy(from, &before, to);
        if entries(from) == before {
            return;
        }
        fs::remove_dir_all(to).expect("a stale copy can be deleted");
    }
    panic!("{} changed under each of {TRIES_MAX} copies", from.display());
}

/// All folders and files below a folder, as paths in it; each folder stands before what it holds.
fn entries(root: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in there(fs::read_dir(root.join(&folder))).into_iter().flatten() {
            let entry = entry.expect("a folder can be listed");
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(path.clone());
            }
            found.insert(path);
        }
    }
    found
}

fn copy(from: &Path, entries: &BTreeSet<PathBuf>, to: &Path) {
    fs::create_dir_all(to).expect("the copy's folder can be made");
    for entry in entries {
        let (path, target) = (from.join(entry), to.join(entry));
        if path.is_dir() {
            fs::create_dir_all(target).expect("a folder of the copy can be made");
        } else if path.is_file()
            // missing if its folder went away and its file came back: the next try will know
            && target.parent().is_some_and(Path::is_dir)
        {
            there(fs::copy(&path, &target));
        }
    }
}

/// `None` for what is gone meanwhile.
fn there<T>(done: io::Result<T>) -> Option<T> {
    match done {
        Err(err) if err.kind() == ErrorKind::NotFound => None,
        done => Some(done.expect("what is there can be copied")),
    }
}
