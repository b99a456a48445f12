//! Small files whose names are known only when they are needed: keys and tokens that the environment or another
//! file points to. Read like those of `files`: by a thread of their own, one for each path however often it hangs.
//! What the bytes mean is not known here.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::timeout;

use crate::files::{Files, Unread};

/// A file that takes longer is on a disk that hangs.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Paths that are remembered; more come up only where somebody renames files for ever.
const PATH_COUNT_MAX: usize = 1024;

/// Reads the files of accounts.
#[derive(Debug, Default)]
pub struct SmallFiles {
    by_path: Mutex<BTreeMap<PathBuf, Arc<Files>>>,
}

/// Why a file gives nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    is_missing: bool,
    text: String,
}

impl SmallFiles {
    /// What a file holds at this moment.
    ///
    /// # Errors
    /// It cannot be read, or not in time; it is no regular file, or a large one.
    ///
    /// # Cancel safety
    /// Whoever asks for the same path later waits for the read that is under way.
    pub async fn read(&self, path: &Path, size_bytes_max: usize) -> Result<Arc<[u8]>, FileError> {
        let failed = |reason: String| FileError::new(format!("read {}: {reason}", path.display()));
        let files = self.files(path);
        let contents = match timeout(READ_TIMEOUT, files.look()).await {
            Ok(contents) => contents.map_err(|cause| FileError::new(cause.to_string()))?,
            Err(_) => return Err(failed(format!("no answer in {} s", READ_TIMEOUT.as_secs()))),
        };
        let bytes = contents.look_up(path)?;
        match bytes.len() > size_bytes_max {
            true => Err(failed(format!("larger than {size_bytes_max} bytes"))),
            false => Ok(bytes),
        }
    }

    /// The same of a file that is a text; the text itself is not told in an error.
    ///
    /// # Errors
    /// See [`SmallFiles::read`]; or it is not UTF-8.
    pub async fn read_text(&self, path: &Path, size_bytes_max: usize) -> Result<String, FileError> {
        let bytes = self.read(path, size_bytes_max).await?;
        let text = std::str::from_utf8(&bytes).map(str::to_owned);
        text.map_err(|_| FileError::new(format!("read {}: not UTF-8", path.display())))
    }

    fn files(&self, path: &Path) -> Arc<Files> {
        // Whole entries come and go, so a panic elsewhere leaves nothing half-changed.
        let mut by_path = self.by_path.lock().unwrap_or_else(PoisonError::into_inner);
        if by_path.len() >= PATH_COUNT_MAX && !by_path.contains_key(path) {
            by_path.clear();
        }
        let files = by_path.entry(path.to_owned()).or_insert_with(|| Arc::new(Files::new([path])));
        Arc::clone(files)
    }
}

impl FileError {
    fn new(text: String) -> Self {
        Self { is_missing: false, text }
    }

    /// There is no such file.
    pub fn is_missing(&self) -> bool {
        self.is_missing
    }
}

impl From<Unread> for FileError {
    fn from(unread: Unread) -> Self {
        Self { is_missing: unread.is_missing, text: unread.text }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::*;

    #[tokio::test]
    async fn what_can_be_read_is_read_and_the_rest_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let files = SmallFiles::default();
        fs::write(path("key"), "one").unwrap();
        assert_eq!(files.read_text(&path("key"), 3).await.unwrap(), "one");
        fs::write(path("key"), "two!").unwrap();
        assert_eq!(files.read_text(&path("key"), 4).await.unwrap(), "two!");
        fs::write(path("bytes"), [0xff]).unwrap();
        assert!(Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
        for (name, expected, is_missing) in [
            ("key", "read KEY: larger than 3 bytes", false),
            ("gone", "open KEY: no such file or directory", true),
            ("bytes", "read KEY: not UTF-8", false),
            ("pipe", "open KEY: not a regular file", false),
            (".", "read KEY: is a directory", false),
        ] {
            let error = files.read_text(&path(name), 3).await.unwrap_err();
            let expected = expected.replace("KEY", &path(name).display().to_string());
            assert_eq!((error.to_string(), error.is_missing()), (expected, is_missing));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_hangs_costs_one_thread_and_no_more_than_its_time() {
        let files = SmallFiles::default();
        let path = Path::new("/nowhere");
        // As if somebody had begun to read and the disk did not answer.
        let hung = files.files(path);
        hung.pretend_to_read();
        for _ in 0..3 {
            let error = files.read(path, 1).await.unwrap_err();
            assert_eq!(error.to_string(), "read /nowhere: no answer in 10 s");
        }
        assert_eq!(hung.begun_count(), 1);
        let other = files.read(Path::new("/nowhere/else"), 1).await.unwrap_err();
        assert!(other.is_missing(), "others are not held up: {other}");
    }

    #[tokio::test]
    async fn paths_are_not_remembered_for_ever() {
        let files = SmallFiles::default();
        for number in 0..=PATH_COUNT_MAX {
            drop(files.read(Path::new(&format!("/nowhere/{number}")), 1).await);
        }
        assert!(files.by_path.lock().unwrap().len() <= PATH_COUNT_MAX);
    }
}
