//! What can go wrong between a store and its callers.

use std::{io, path::PathBuf};

/// A failure of the store as a whole; a refused sample is a [`crate::Rejection`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// Stored bytes that are not what was written.
    #[error("{}: corruption at offset {offset}: {reason}", path.display())]
    Corruption { path: PathBuf, offset: u64, reason: String },
    /// The disk refused; nothing of the batch counts as stored.
    #[error("{}: {action}: {source}", path.display())]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    /// Labels that cannot be a series (empty, invalid name, too long).
    #[error("invalid series: {0}")]
    InvalidSeries(String),
    /// A series that does not exist yet, and there may be no more; those that exist go on.
    #[error("{0}")]
    SeriesLimit(String),
    /// Ingestion is suspended (disk guard, shutdown); reading goes on.
    #[error("storage does not take samples: {0}")]
    Suspended(String),
    /// The caller's deadline passed or it was canceled.
    #[error("canceled")]
    Canceled,
}

impl StorageError {
    pub fn is_corruption(&self) -> bool {
        matches!(self, Self::Corruption { .. })
    }

    /// Whether the disk is out of space (ENOSPC, EDQUOT).
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}
