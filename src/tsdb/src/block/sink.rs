//! A file that is written once from begin to end, in large pieces.

use std::path::PathBuf;

use prom_storage::StorageError;

use crate::disk::{AppendFile, Disk, write_all};

use super::file::io_error;

/// Bytes that are collected before they are written.
const BUFFER_SIZE_BYTES: usize = 1 << 20;

/// Collects bytes and writes them.
#[derive(Debug)]
pub(super) struct FileSink {
    path: PathBuf,
    file: Box<dyn AppendFile>,
    buffer: Vec<u8>,
    written_size_bytes: u64,
}

impl FileSink {
    /// Begins a file that must not be there yet, or be empty.
    pub(super) fn create(disk: &dyn Disk, path: PathBuf) -> Result<Self, StorageError> {
        let file = disk.append(&path).map_err(|err| io_error(&path, "create", err))?;
        Ok(Self { path, file, buffer: Vec::new(), written_size_bytes: 0 })
    }

    /// Bytes so far.
    pub(super) fn position(&self) -> u64 {
        self.written_size_bytes + self.buffer.len() as u64
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_SIZE_BYTES { self.flush() } else { Ok(()) }
    }

    /// Hands everything to the system.
    pub(super) fn flush(&mut self) -> Result<(), StorageError> {
        let written = write_all(&mut *self.file, &self.buffer);
        written.map_err(|err| io_error(&self.path, "write", err))?;
        self.written_size_bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Makes the file durable. Gives its size.
    pub(super) fn finish(mut self) -> Result<u64, StorageError> {
        self.flush()?;
        self.file.sync().map_err(|err| io_error(&self.path, "sync", err))?;
        Ok(self.written_size_bytes)
    }
}
