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
/// and the other after holds them nowhere. So all that is listed before must be there to be copied, and
/// nothing else be listed afterwards, or it is copied again.
///
/// # Panics
/// Something cannot be read or written, or the folder never stands still.
pub fn copy_tree(from: &Path, to: &Path) {
    for _ in 0..TRIES_MAX {
        let before = entries(from);
        if copy(from, &before, to) && entries(from) == before {
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
            if there(entry.file_type()).is_some_and(|kind| kind.is_dir()) {
                folders.push(path.clone());
            }
            found.insert(path);
        }
    }
    found
}

/// Whether all was there.
fn copy(from: &Path, entries: &BTreeSet<PathBuf>, to: &Path) -> bool {
    fs::create_dir_all(to).expect("the copy's folder can be made");
    entries.iter().all(|entry| {
        let (path, target) = (from.join(entry), to.join(entry));
        let Some(metadata) = there(fs::symlink_metadata(&path)) else { return false };
        if metadata.is_dir() {
            fs::create_dir(target).expect("a folder of the copy can be made");
            return true;
        }
        !metadata.is_file() || there(fs::copy(&path, &target)).is_some()
    })
}

/// `None` for what is gone meanwhile.
fn there<T>(done: io::Result<T>) -> Option<T> {
    match done {
        Err(err) if err.kind() == ErrorKind::NotFound => None,
        done => Some(done.expect("what is there can be copied")),
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;

    #[test]
    fn what_is_moved_meanwhile_is_in_the_copy() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        // Far apart in the order of names, with much to copy between them.
        let places = [from.join("a/moves"), from.join("z/moves")];
        for name in ["a", "m/deep/er", "z"] {
            fs::create_dir_all(from.join(name)).unwrap();
        }
        for at in 0..50 {
            fs::write(from.join(format!("m/deep/{at}")), [7; 4096]).unwrap();
        }
        fs::write(&places[0], "here").unwrap();
        thread::scope(|scope| {
            let mover = scope.spawn(|| {
                for at in (0..2).cycle().take(30) {
                    fs::copy(&places[at], &places[1 - at]).unwrap();
                    fs::remove_file(&places[at]).unwrap();
                    thread::sleep(Duration::from_millis(20));
                }
            });
            while !mover.is_finished() {
                let to = tempfile::tempdir().unwrap();
                let to = to.path().join("to");
                copy_tree(&from, &to);
                let texts = ["a/moves", "z/moves"].map(|name| fs::read_to_string(to.join(name)));
                let is_found = texts.iter().any(|text| text.as_deref().is_ok_and(|t| t == "here"));
                assert!(is_found, "{texts:?}");
                assert!(to.join("m/deep/er").is_dir());
                assert_eq!(fs::read(to.join("m/deep/49")).unwrap(), [7; 4096]);
            }
        });
    }
}
