//! A block without samples, where one with samples would have been the last in time, or was until it went beyond
//! retention: it tells that the samples before its end have been in blocks. The log and the files of head chunks
//! may have samples of these times still; without it the next start would take them, though they were deleted.
//!
//! It is a block like others: Prometheus reads it and understands the same. It goes when it is merged with
//! later ones, or when it is too old. As the last block in order it stays whatever the limits are.

use prom_storage::StorageError;
use prom_telemetry::clock;

use crate::{
    block::{BlockMeta, BlockSource, SourceSeries},
    compact::{WriteOptions, write_block_with},
};

use super::{Db, upkeep::whole};

impl Db {
    /// Writes a block without samples instead of the one that `meta` tells of, which would have none, unless
    /// another block that stays reaches as far.
    ///
    /// # Errors
    /// The disk refuses.
    pub(super) fn leave_mark(&self, meta: BlockMeta) -> Result<(), StorageError> {
        let is_staying = |other: &BlockMeta| {
            meta.compaction.parents.iter().all(|parent| parent.ulid != other.ulid)
        };
        let end = self.blocks.in_order_max_time_of(clock::now_ms(), is_staying);
        if end.is_some_and(|end| end >= meta.max_time) {
            return Ok(());
        }
        let options = WriteOptions { is_empty_kept: true, ..WriteOptions::default() };
        write_block_with(options, &*self.disk, &self.dir, meta, &mut NoSeries, whole(false))?;
        Ok(())
    }
}

/// Nothing, as a source.
struct NoSeries;

impl BlockSource for NoSeries {
    fn symbols(
        &mut self,
        _each: &mut dyn FnMut(&str) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        Ok(())
    }

    fn next_series(&mut self, _series: &mut SourceSeries) -> Result<bool, StorageError> {
        Ok(false)
    }
}
