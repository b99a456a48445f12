//! Why a data directory could not be opened. Errors of a running store are `storage::StorageError`.

use std::{
    io,
    path::{Path, PathBuf},
};

use prom_storage::StorageError;

/// A data directory that cannot be used as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process works on the directory.
    #[error("lock DB directory: resource temporarily unavailable: {} is locked by {}", path.display(), holder_text(*holder_pid))]
    Locked { path: PathBuf, holder_pid: Option<u32> },
    /// The path, or one within it that must be a directory, is something else.
    #[error("{}: not a directory", path.display())]
    NotADirectory { path: PathBuf },
    /// The caller asked to stop while the log was being replayed.
    #[error("{}: opening canceled", path.display())]
    Canceled { path: PathBuf },
    /// The log tells of more series than can be numbered.
    #[error("{}: too many series", path.display())]
    TooManySeries { path: PathBuf },
    /// The operating system refused.
    #[error("{}: {action}: {source}", path.display())]
    Io { path: PathBuf, action: &'static str, source: io::Error },
}

impl OpenError {
    /// Another process holds the directory; waiting for it to end helps.
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Locked { .. })
    }

    /// The path is no directory; only the operator can help.
    pub fn is_not_a_directory(&self) -> bool {
        matches!(self, Self::NotADirectory { .. })
    }

    /// The caller asked to stop.
    pub fn is_canceled(&self) -> bool {
        matches!(self, Self::Canceled { .. })
    }

    /// We may not write there: permissions, or a file system mounted read-only.
    pub fn is_permission_denied(&self) -> bool {
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
        self.io_kind().is_some_and(|kind| matches!(kind, PermissionDenied | ReadOnlyFilesystem))
    }

    /// The file system is full, or the user's share of it.
    pub fn is_disk_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        self.io_kind().is_some_and(|kind| matches!(kind, StorageFull | QuotaExceeded))
    }

    /// The error number for systemd's `ERRNO=`.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Locked { .. } => Some(rustix::io::Errno::AGAIN.raw_os_error()),
            Self::NotADirectory { .. } => Some(rustix::io::Errno::NOTDIR.raw_os_error()),
            Self::Canceled { .. } | Self::TooManySeries { .. } => None,
            Self::Io { source, .. } => source.raw_os_error(),
        }
    }

    /// What the message is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Locked { path, .. }
            | Self::NotADirectory { path }
            | Self::Canceled { path }
            | Self::TooManySeries { path }
            | Self::Io { path, .. } => path,
        }
    }

    /// Wraps an I/O error; one that tells of a wrong kind of file becomes [`Self::NotADirectory`].
    pub(crate) fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotADirectory => Self::NotADirectory { path: path.to_owned() },
            _ => Self::Io { path: path.to_owned(), action, source },
        }
    }

    fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io { source, .. } => Some(source.kind()),
            _ => None,
        }
    }
}

impl From<StorageError> for OpenError {
    fn from(err: StorageError) -> Self {
        match err {
            StorageError::Io { path, action, source } => Self::io(&path, action, source),
            StorageError::Corruption { path, .. } => {
                Self::io(&path, "read", io::ErrorKind::InvalidData.into())
            }
            err => Self::io(Path::new(""), "open", io::Error::other(err)),
        }
    }
}

fn holder_text(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}
