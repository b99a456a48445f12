//! Writes the texts of a generation back to their files, each as a whole; if one cannot be written, those
//! before it get their old texts again. Which files, and whether at all, is decided elsewhere.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use crate::SourceText;

/// The file that could not be written. All files are as they were before.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path:?}: {source}")]
#[non_exhaustive]
pub struct RestoreError {
    pub path: PathBuf,
    pub source: io::Error,
}

/// Makes the files hold these texts; symlinks are followed, permissions and owners kept. Files that hold
/// them already are left alone. Returns those that were written.
///
/// # Errors
/// A file cannot be written; none is changed.
pub fn write_files(texts: &[SourceText]) -> Result<Vec<PathBuf>, RestoreError> {
    let mut written: Vec<(PathBuf, Option<Vec<u8>>)> = Vec::new();
    for SourceText { path, bytes } in texts {
        let before = match fs::read(path) {
            Ok(before) if *before == **bytes => continue,
            Ok(before) => Some(before),
            Err(_) => None,
        };
        if let Err(source) = replace(path, bytes) {
            for (path, before) in written.iter().rev() {
                let undone = match before {
                    Some(before) => replace(path, before),
                    None => fs::remove_file(path),
                };
                if let Err(err) = undone {
                    let file = path.display();
                    tracing::error!(%file, %err, "A file keeps the text of an earlier generation");
                }
            }
            return Err(RestoreError { path: path.clone(), source });
        }
        written.push((path.clone(), before));
    }
    Ok(written.into_iter().map(|(path, _)| path).collect())
}

/// Puts a whole new file in the place of the one that the path leads to.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".restored");
    let beside = target.with_file_name(name);
    let written = write_beside(&beside, &target, bytes);
    if written.is_err() {
        drop(fs::remove_file(&beside));
    }
    written
}

fn write_beside(beside: &Path, target: &Path, bytes: &[u8]) -> io::Result<()> {
    // Never through something that was put there before us.
    match fs::remove_file(beside) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
    match fs::metadata(target) {
        Ok(before) => {
            let own = file.metadata()?;
            if (own.uid(), own.gid()) != (before.uid(), before.gid()) {
                fchown(&file, Some(before.uid()), Some(before.gid()))?;
            }
            file.set_permissions(before.permissions())?;
        }
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            file.set_permissions(fs::Permissions::from_mode(0o640))?;
        }
        Err(err) => return Err(err),
    }
    file.write_all(bytes)?;
    file.sync_all()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the file is durable, and so is its directory below"
    )]
    fs::rename(beside, target)?;
    File::open(target.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn text(path: &Path, text: &str) -> SourceText {
        SourceText { path: path.to_owned(), bytes: text.as_bytes().into() }
    }

    #[test]
    fn files_get_their_texts_or_stay_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("real"), "new").unwrap();
        fs::set_permissions(at("real"), fs::Permissions::from_mode(0o604)).unwrap();
        symlink("real", at("link")).unwrap();
        fs::write(at("same"), "same").unwrap();
        let all = [text(&at("link"), "old"), text(&at("same"), "same"), text(&at("gone"), "old")];
        assert_eq!(write_files(&all).unwrap(), [at("link"), at("gone")]);
        assert_eq!(fs::read_to_string(at("real")).unwrap(), "old");
        assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink());
        assert_eq!(fs::metadata(at("real")).unwrap().permissions().mode() & 0o777, 0o604);
        assert_eq!(fs::read_to_string(at("gone")).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);

        let all = [
            text(&at("same"), "other"),
            text(&at("born"), "other"),
            text(&at("no/such/folder"), "other"),
        ];
        let err = write_files(&all).unwrap_err();
        assert_eq!(err.path, at("no/such/folder"));
        assert_eq!(fs::read_to_string(at("same")).unwrap(), "same");
        assert!(!at("born").exists());
    }
}
