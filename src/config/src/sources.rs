//! Where the loader gets texts from: the disk, or texts that were kept, as those of an earlier generation.
//! It remembers what it was asked for, so that the same can be watched and kept. It understands no text.

mod go_glob;
mod masked;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

use crate::{ConfigErrors, error::Cause};

pub use go_glob::PatternError;
pub(crate) use go_glob::{glob, has_meta, matches};

/// Largest configuration file, in bytes. The largest ones known hold some 20 000 targets in 4 MB.
pub const FILE_SIZE_BYTES_MAX: u64 = 32 << 20;

/// A file that a configuration is made of. It may hold secrets, so that `Debug` shows its size only.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceText {
    /// As it was named, from the root or from the working directory.
    pub path: PathBuf,
    pub bytes: Arc<[u8]>,
}

/// Texts of one configuration, the main file first. Every text that belongs to it (the main file,
/// `scrape_config_files`, `rule_files`) is read through this; what is only named in it (secrets,
/// certificates, files of targets) is not.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    kept: KeptTexts,
    /// The first of the kept texts.
    kept_main: Option<PathBuf>,
    is_disk_left_alone: bool,
    read: Vec<SourceText>,
    /// Where each text stands in `read`.
    index_by_path: BTreeMap<PathBuf, usize>,
    /// Asked for, and not there or not readable.
    failed: Vec<PathBuf>,
    patterns: Vec<PathBuf>,
}

/// Texts by path; `Debug` shows the paths only.
#[derive(Clone, Default)]
struct KeptTexts(BTreeMap<PathBuf, Arc<[u8]>>);

impl Sources {
    /// All texts from the disk, as they are now.
    pub fn of_disk() -> Self {
        Self::default()
    }

    /// This text in place of that file; all others from the disk.
    pub fn with_text(path: &Path, bytes: &[u8]) -> Self {
        let kept = KeptTexts(BTreeMap::from([(path.to_owned(), Arc::from(bytes))]));
        Self { kept, ..Self::default() }
    }

    /// These texts and no others, the main file first; the disk is left alone.
    pub fn of_kept(texts: impl IntoIterator<Item = SourceText>) -> Self {
        let mut texts = texts.into_iter().peekable();
        let kept_main = texts.peek().map(|text| text.path.clone());
        let kept = KeptTexts(texts.map(|text| (text.path, text.bytes)).collect());
        Self { kept, kept_main, is_disk_left_alone: true, ..Self::default() }
    }

    /// What was read so far, in order.
    pub fn texts(&self) -> &[SourceText] {
        &self.read
    }

    /// All files that were asked for, those that could not be read included.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.read.iter().map(|text| &*text.path).chain(self.failed.iter().map(PathBuf::as_path))
    }

    /// Patterns whose matches were asked for: files that appear under them belong to the configuration.
    pub fn patterns(&self) -> &[PathBuf] {
        &self.patterns
    }

    /// Name and xxh3 of each text that the main file brings in.
    pub fn included(&self) -> BTreeMap<String, u64> {
        let included = self.read.iter().skip(1);
        included.map(|it| (it.path.display().to_string(), xxh3_64(&it.bytes))).collect()
    }

    /// xxh3 of all texts, with the names of those that the main file brings in: equal hashes mean that
    /// nothing was edited, added or removed.
    pub fn content_hash(&self) -> u64 {
        let mut hasher = Xxh3Default::new();
        for (index, SourceText { path, bytes }) in self.read.iter().enumerate() {
            let name = path.as_os_str().as_encoded_bytes();
            hasher.update(if index == 0 { b"" } else { name });
            hasher.update(&[0]);
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
        hasher.digest()
    }

    /// Reads a file that belongs to the configuration.
    ///
    /// # Errors
    /// It is missing, cannot be read, or is larger than [`FILE_SIZE_BYTES_MAX`].
    pub fn read(&mut self, path: &Path) -> Result<Arc<[u8]>, ConfigErrors> {
        if let Some(index) = self.index_by_path.get(path) {
            return Ok(Arc::clone(&self.read[*index].bytes));
        }
        let bytes = match self.kept.0.get(path) {
            Some(bytes) => Ok(Arc::clone(bytes)),
            None if self.is_disk_left_alone => Err(Cause::io(&io::ErrorKind::NotFound.into())),
            None => read_bounded(path).map(Arc::from),
        };
        match bytes {
            Ok(bytes) => {
                self.index_by_path.insert(path.to_owned(), self.read.len());
                self.read.push(SourceText { path: path.to_owned(), bytes: Arc::clone(&bytes) });
                Ok(bytes)
            }
            Err(cause) => {
                self.failed.push(path.to_owned());
                Err(ConfigErrors { file: path.to_owned(), errors: Vec::new(), cause })
            }
        }
    }

    /// The main file of texts that were kept.
    pub(crate) fn kept_main(&self) -> Option<&Path> {
        self.kept_main.as_deref()
    }

    /// Whether the texts are what the disk holds.
    pub(crate) fn is_of_disk(&self) -> bool {
        !self.is_disk_left_alone
    }

    /// Files that a pattern of `rule_files` or `scrape_config_files` stands for, sorted as Go sorts them.
    ///
    /// # Errors
    /// It is no pattern.
    pub fn glob(&mut self, pattern: &Path) -> Result<Vec<PathBuf>, PatternError> {
        if !self.patterns.iter().any(|known| known == pattern) {
            self.patterns.push(pattern.to_owned());
        }
        let mut found = match self.is_disk_left_alone {
            true => Vec::new(),
            false => glob(pattern)?,
        };
        for path in self.kept.0.keys() {
            let is_new = self.is_disk_left_alone || !found.contains(path);
            if is_new && matches(pattern, path)? {
                found.push(path.clone());
            }
        }
        Ok(found)
    }
}

impl fmt::Debug for KeptTexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl fmt::Debug for SourceText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} bytes)", self.path.display(), self.bytes.len())
    }
}

/// Reads a file without ever holding more than the limit.
fn read_bounded(path: &Path) -> Result<Vec<u8>, Cause> {
    let io_error = |err: io::Error| Cause::io(&err);
    let file = File::open(path).map_err(io_error)?;
    let size_bytes = file.metadata().map_err(io_error)?.len();
    let too_large =
        |size_bytes| Cause::TooLarge { size_bytes, size_bytes_max: FILE_SIZE_BYTES_MAX };
    if size_bytes > FILE_SIZE_BYTES_MAX {
        return Err(too_large(size_bytes));
    }
    // A pipe or a device has no size, and a file may grow while it is read.
    let mut bytes = Vec::new();
    file.take(FILE_SIZE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io_error)?;
    match bytes.len() as u64 {
        read_bytes if read_bytes > FILE_SIZE_BYTES_MAX => Err(too_large(read_bytes)),
        _ => Ok(bytes),
    }
}
