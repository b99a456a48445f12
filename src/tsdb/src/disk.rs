//! The file operations that the log needs, as a parameter: tests bring a disk that fails on demand.
//! Only what must fail in tests goes through here; it is no general file system.

#[cfg(test)]
pub(crate) mod faulty;
mod map;
mod read_only;
mod real;

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

pub(crate) use self::{
    map::{Access, FileBytes},
    read_only::ReadOnlyDisk,
    real::RealDisk,
};

/// Where files live.
pub(crate) trait Disk: Send + Sync + fmt::Debug {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Names in a directory, in no order; names that are not UTF-8 are left out.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Opens a file for appending; it is created if it does not exist.
    fn append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>>;

    fn read(&self, path: &Path) -> io::Result<Box<dyn ReadFile>>;

    fn size_bytes(&self, path: &Path) -> io::Result<u64>;

    /// The whole of a finished file.
    fn map(&self, path: &Path) -> io::Result<FileBytes>;

    /// Renames a file or a directory. Replaces `to` by `from`, both in one directory.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// A second name for the same file.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory with all that is in it; one that is not there is no error.
    fn remove_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Where a private state file may be kept by its own room; nowhere on disks that only tests know.
    fn state_file(&self, _path: &Path) -> Option<PathBuf> {
        None
    }

    /// How much may still be written below the directory; nothing where nobody knows.
    fn free_size_bytes(&self, _dir: &Path) -> Option<u64> {
        None
    }

    /// Whether finished segments may be made durable by another thread; tests want to know the order.
    fn may_sync_later(&self) -> bool {
        true
    }

    /// Makes names in the directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// A file that grows at its end.
pub(crate) trait AppendFile: Send + fmt::Debug {
    /// Writes some of the bytes at the end; says how many.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Cuts the file.
    fn truncate(&mut self, size_bytes: u64) -> io::Result<()>;

    /// Makes the content durable.
    fn sync(&mut self) -> io::Result<()>;

    fn size_bytes(&self) -> io::Result<u64>;
}

/// A file that is read from its beginning.
pub(crate) trait ReadFile: Send + fmt::Debug {
    /// Reads some of the bytes that follow; 0 at the end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Passes over bytes that follow; it is no error if there are fewer.
    fn skip(&mut self, size_bytes: u64) -> io::Result<()>;
}

/// Writes all of the bytes, or says why not; some may have been written then.
pub(crate) fn write_all(file: &mut dyn AppendFile, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(())
}
