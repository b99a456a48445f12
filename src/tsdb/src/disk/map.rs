//! Whole files as bytes: mapped into memory where the disk is the machine's. It is for files that are
//! finished; one that still grows is read as it was when it was mapped.
//!
//! This module contains `unsafe`: mapping a file is a promise that nobody cuts it.

use std::{fmt, fs::File, io, ops::Deref, path::Path};

use memmap2::{Advice, Mmap};

/// The content of a file.
pub(crate) enum FileBytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

/// How a file will be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// From begin to end, once: what was read need not stay in memory.
    Sequential,
    /// Here and there.
    Random,
}

impl FileBytes {
    /// Maps a file.
    #[expect(unsafe_code, reason = "there is no safe way to map a file")]
    pub(super) fn map(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        if file.metadata()?.len() == 0 {
            return Ok(Self::Owned(Vec::new()));
        }
        // SAFETY: the data directory is locked against other processes that write to it, and this one
        // replaces finished files by renaming and never cuts or rewrites them; the mapping is read only.
        let map = unsafe { Mmap::map(&file)? };
        Ok(Self::Mapped(map))
    }

    /// Tells the system how the file will be read; a hint that may be ignored.
    pub(crate) fn advise(&self, access: Access) {
        if let Self::Mapped(map) = self {
            let advice = match access {
                Access::Sequential => Advice::Sequential,
                Access::Random => Advice::Random,
            };
            if let Err(err) = map.advise(advice) {
                tracing::debug!(err = %err, "A hint about a mapped file was refused");
            }
        }
    }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

impl fmt::Debug for FileBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}
