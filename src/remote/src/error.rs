//! Why a request was not taken, or not as a whole.

use prom_storage::StorageError;

use crate::{snappy::SnappyError, wire::WireError};

/// A failed request. The texts are what the sender is shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    #[error(transparent)]
    Compression(#[from] SnappyError),
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The request has more samples than are taken at once.
    #[error("request has more than {count_max} samples")]
    TooManySamples { count_max: usize },
    /// Samples were refused, all others are stored; the reason of the first.
    #[error("{reason}")]
    Refused { reason: String, samples_count: usize },
    /// Nothing was stored; the same request may succeed later.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl WriteError {
    /// Whether the request itself is at fault, so that sending it again is of no use.
    pub fn is_bad_request(&self) -> bool {
        !matches!(self, Self::Storage(_))
    }

    /// Whether the store takes nothing for the time being.
    pub fn is_suspended(&self) -> bool {
        matches!(self, Self::Storage(StorageError::Suspended(_)))
    }
}
