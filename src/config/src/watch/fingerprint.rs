//! What a file holds, as a hash, and what its metadata says. Anything that is not a regular file is never
//! opened: a pipe would be emptied, or never answer.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use xxhash_rust::xxh3::Xxh3Default;

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
}

fn read(path: &Path) -> io::Result<Fingerprint> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Ok(Fingerprint::NotAFile);
    }
    let mut file = File::open(path)?.take(READ_SIZE_BYTES_MAX);
    let mut hasher = Xxh3Default::new();
    let mut buffer = vec![0; BUFFER_SIZE_BYTES];
    loop {
        let size = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(size) => size,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => continue,
            Err(err) => return Err(err),
        };
        hasher.update(&buffer[..size]);
    }
    Ok(Fingerprint::Content { hash: hasher.digest(), size_bytes: metadata.len() })
}

/// What changes when a file does, without reading it; `None` if there is no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Metadata(Option<(u64, u64, u64, [i64; 4])>);

impl Metadata {
    pub(super) fn of(path: &Path) -> Self {
        let metadata = fs::metadata(path).ok();
        Self(metadata.map(|it| {
            let times = [it.mtime(), it.mtime_nsec(), it.ctime(), it.ctime_nsec()];
            (it.dev(), it.ino(), it.len(), times)
        }))
    }
}
