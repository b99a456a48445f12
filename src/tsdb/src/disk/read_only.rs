//! A disk that is read and never changed: what opening a directory repairs, creates or removes is
//! forgotten. Whoever opens a directory this way sees what a real opening would serve.

use std::{io, path::Path};

use super::{AppendFile, Disk, FileBytes, ReadFile, RealDisk};

/// Reads files, drops writes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReadOnlyDisk(RealDisk);

impl Disk for ReadOnlyDisk {
    fn create_dir_all(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    /// A directory that would have been made is empty.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        match self.0.list(dir) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed,
        }
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let size_bytes = self.0.size_bytes(path).unwrap_or(0);
        Ok(Box::new(Forgetful { size_bytes }))
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        self.0.read(path)
    }

    fn size_bytes(&self, path: &Path) -> io::Result<u64> {
        self.0.size_bytes(path)
    }

    fn map(&self, path: &Path) -> io::Result<FileBytes> {
        self.0.map(path)
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Ok(())
    }

    fn hard_link(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove_file(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove_dir_all(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// A file that counts what it is given and keeps none of it.
#[derive(Debug)]
struct Forgetful {
    size_bytes: u64,
}

impl AppendFile for Forgetful {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.size_bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn truncate(&mut self, size_bytes: u64) -> io::Result<()> {
        self.size_bytes = size_bytes;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.size_bytes)
    }
}
