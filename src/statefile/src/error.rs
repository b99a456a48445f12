//! Why a state file could not be read or written.

use std::{io, path::PathBuf};

/// A state file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateFileError {
    #[error("cannot {action} {path:?}: {source}")]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{path:?} is of another kind: it begins with {found:?}")]
    OtherKind { path: PathBuf, found: String },
    #[error("{path:?} has version {found}, not {wanted}")]
    OtherVersion { path: PathBuf, found: u32, wanted: u32 },
    #[error("{path:?} is damaged: {what}")]
    Damaged { path: PathBuf, what: String },
    #[error("{path:?} would have more than {size_bytes_max} bytes")]
    TooLarge { path: PathBuf, size_bytes_max: u64 },
    #[error("{path:?} cannot hold the value: {what}")]
    NotEncodable { path: PathBuf, what: String },
}

impl StateFileError {
    /// Some bytes are not those that were written.
    pub fn is_corruption(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }

    /// Written by an older or a newer program.
    pub fn is_other_version(&self) -> bool {
        matches!(self, Self::OtherVersion { .. })
    }

    /// No space is left for it.
    pub fn is_disk_full(&self) -> bool {
        let Self::Io { source, .. } = self else { return false };
        matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}
