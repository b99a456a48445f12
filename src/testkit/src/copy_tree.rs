//! Folders copied, also while a server works on them.

use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
};

/// Copies a folder with all that is in it; what is no file and no folder, or goes away meanwhile, is left out.
///
/// # Panics
/// Something cannot be read or written.
pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the copy's folder can be made");
    for entry in there(fs::read_dir(from)).into_iter().flatten() {
        let path = entry.expect("a folder can be listed").path();
        let target = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            copy_tree(&path, &target);
        } else if path.is_file() {
            there(fs::copy(&path, &target));
        }
    }
}

fn there<T>(done: io::Result<T>) -> Option<T> {
    match done {
        Err(err) if err.kind() == ErrorKind::NotFound => None,
        done => Some(done.expect("what is there can be copied")),
    }
}
