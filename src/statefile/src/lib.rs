//! Small files with private state that Prometheus does not define: written whole and durably, read back
//! only if every byte is as it was written. What is in them is known to the rooms that write them.
//!
//! Neighbours: none below. The server keeps its generations here, `tsdb` what makes a restart fast.
//! The format stands in `docs/format/statefile.md`.
//!
//! Invariants:
//! I1. At its path stands a whole file or none: it is written beside, made durable, then renamed.
//! I2. A file that is not exactly what was written is an error, never a wrong value. Whoever gets the
//!     error starts without the file.
//! I3. Only the owner may read it (mode 0600): it may hold secrets.
//! I4. Foreign bytes neither panic nor take more memory than the file is long.
//! I5. Nobody else names `bincode`.
//!
//! Concurrency: all calls block. One writer for each path at a time; readers see the old file or the new.
//!
//! Limits: [`Kind::payload_size_bytes_max`], when reading and when writing.

mod codec;
mod error;
mod header;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;

use serde::{Serialize, de::DeserializeOwned};

pub use error::StateFileError;
pub use reader::StateReader;
pub use writer::StateWriter;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Eight ASCII letters of its own.
    pub magic: [u8; 8],
    /// Of the payload: files of another version are not read.
    pub version: u32,
    pub payload_size_bytes_max: u64,
}

/// Reads the one value that [`write()`] wrote; `None` if there is no file.
///
/// # Errors
/// The file is not exactly what was written, is of another kind or version, or cannot be read.
pub fn read<T: DeserializeOwned>(path: &Path, kind: Kind) -> Result<Option<T>, StateFileError> {
    let Some(mut reader) = StateReader::open(path, kind)? else { return Ok(None) };
    let value = reader.value()?;
    reader.finish()?;
    Ok(Some(value))
}

/// Replaces the file by one with this value.
///
/// # Errors
/// The value is too large or cannot be encoded, or the disk refuses; the file is what it was.
pub fn write<T: Serialize>(path: &Path, kind: Kind, value: &T) -> Result<(), StateFileError> {
    let mut writer = StateWriter::create(path, kind)?;
    writer.value(value)?;
    writer.finish()
}
