//! Folders copied, also while a server works on them.

use std::{fs, path::Path};

/// Copies a folder with all that is in it. What goes away meanwhile is left out.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let Ok(entries) = fs::read_dir(from) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_tree(&path, &target);
        } else if path.is_file() {
            drop(fs::copy(&path, &target));
        }
    }
}
