//! What a file holds, as a hash, and what its metadata says. Anything that is not a regular file is never
//! opened: a pipe would be emptied, or never answer.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};

/// Most bytes that are read; what is larger is no configuration, but still noticed by its size.
const READ_SIZE_BYTES_MAX: u64 = 64 << 20;
const BUFFER_SIZE_BYTES: usize = 64 << 10;

/// The content of a file, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fingerprint {
    Content {
        hash: u64,
        size_bytes: u64,
    },
    /// A directory, a pipe, a device.
    NotAFile,
    Unreadable(io::ErrorKind),
}

impl Fingerprint {
    pub(super) fn of(path: &Path) -> Self {
        read(path).unwrap_or_else(|err| Self::Unreadable(err.kind()))
    }

    /// Of a regular file that holds these bytes.
    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        Self::Content { hash: xxh3_64(bytes), size_bytes: bytes.len() as u64 }
    }

    /// There is no file, or nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Content { size_bytes, .. } => *size_bytes == 0,
            Self::NotAFile => false,
            Self::Unreadable(kind) => *kind == io::ErrorKind::NotFound,
        }
    }
}

fn read(path: &Path) -> io::Result<Fingerprint> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Ok(Fingerprint::NotAFile);
    }
    let mut file = File::open(path)?.take(READ_SIZE_BYTES_MAX);
    let mut hasher = Xxh3Default::new();
    let mut buffer = vec![0; BUFFER_SIZE_BYTES];
    let mut size_bytes = 0;
    loop {
        let size = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(size) => size,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
            Err(err) => return Err(err),
        };
        hasher.update(&buffer[..size]);
        size_bytes += size as u64;
    }
    // Of a file that is too large the size alone tells.
    let size_bytes = if size_bytes < READ_SIZE_BYTES_MAX { size_bytes } else { metadata.len() };
    Ok(Fingerprint::Content { hash: hasher.digest(), size_bytes })
}

/// What changes when a file does, without reading it; `None` if there is no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Metadata(Option<(u64, u64, u64, [i64; 4])>);

impl Metadata {
    /// Of no file.
    pub(super) const NONE: Self = Self(None);

    pub(super) fn of(path: &Path) -> Self {
        let metadata = fs::metadata(path).ok();
        Self(metadata.map(|it| {
            let times = [it.mtime(), it.mtime_nsec(), it.ctime(), it.ctime_nsec()];
            (it.dev(), it.ino(), it.len(), times)
        }))
    }
}
