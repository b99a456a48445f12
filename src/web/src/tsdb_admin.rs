//! What the admin API asks of a store. The database does it; tests bring another.

use prom_model::Matcher;
use prom_storage::{StorageError, TimeRange};
use prom_tsdb::Db;

/// Changes to what is stored. All calls may block for long.
pub trait TsdbAdmin: Send + Sync {
    /// Deletes the samples in the range of the series that match any of the sets.
    ///
    /// # Errors
    /// The disk refuses, or stored data is damaged.
    fn delete(&self, range: TimeRange, matcher_sets: &[Vec<Matcher>]) -> Result<(), StorageError>;

    /// Gives back the space of what was deleted.
    ///
    /// # Errors
    /// The disk refuses, or stored data is damaged.
    fn clean_tombstones(&self) -> Result<(), StorageError>;

    /// Takes a snapshot; gives its name under `snapshots/`.
    ///
    /// # Errors
    /// The disk refuses.
    fn snapshot(&self, with_head: bool) -> Result<String, StorageError>;
}

impl TsdbAdmin for Db {
    fn delete(&self, range: TimeRange, matcher_sets: &[Vec<Matcher>]) -> Result<(), StorageError> {
        Self::delete(self, range.mint_ms, range.maxt_ms, matcher_sets)
    }

    fn clean_tombstones(&self) -> Result<(), StorageError> {
        Self::clean_tombstones(self)
    }

    fn snapshot(&self, with_head: bool) -> Result<String, StorageError> {
        Self::snapshot(self, with_head)
    }
}
