//! The failing disk of `testkit` behind this room's trait.

use std::{io, path::Path};

use prom_testkit::{FaultyDisk, FaultyFile};

use super::{AppendFile, Disk, FileBytes, ReadFile};

impl Disk for FaultyDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.list(dir)
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        Ok(Box::new(self.append(path)?))
    }

    fn read(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        Ok(Box::new(self.read(path)?))
    }

    fn size_bytes(&self, path: &Path) -> io::Result<u64> {
        self.size_bytes(path)
    }

    fn map(&self, path: &Path) -> io::Result<FileBytes> {
        Ok(FileBytes::Owned(self.content(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.remove_file(path)
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.remove_dir_all(dir)
    }

    fn free_size_bytes(&self, _dir: &Path) -> Option<u64> {
        self.space_left()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.sync_dir(dir)
    }
}

impl AppendFile for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }

    fn truncate(&mut self, size_bytes: u64) -> io::Result<()> {
        self.truncate(size_bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync()
    }

    fn size_bytes(&self) -> io::Result<u64> {
        self.size_bytes()
    }
}

impl ReadFile for FaultyFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }

    fn skip(&mut self, size_bytes: u64) -> io::Result<()> {
        let mut left = size_bytes;
        let mut buffer = [0; 512];
        while left > 0 {
            let size = left.min(buffer.len() as u64) as usize;
            match self.read(&mut buffer[..size])? {
                0 => break,
                count => left -= count as u64,
            }
        }
        Ok(())
    }
}
