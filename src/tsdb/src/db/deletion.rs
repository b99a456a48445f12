//! Rewriting blocks without what is marked as deleted.

use std::sync::Arc;

use prom_storage::StorageError;
use prom_telemetry::clock;

use crate::{
    block::{BlockId, BlockMeta},
    compact::BlockMerge,
    lock::lock,
};

use super::{Db, upkeep::whole};

impl Db {
    /// Writes blocks that have tombstones anew, without what is deleted.
    ///
    /// # Errors
    /// The disk refuses, or a block is damaged; blocks that were done by then stay so.
    pub fn clean_tombstones(&self) -> Result<(), StorageError> {
        let _turn = lock(&self.upkeep.turn);
        for block in self.blocks.list().iter().filter(|block| !block.tombstones().is_empty()) {
            let old = block.meta();
            let mut meta =
                BlockMeta::new(BlockId::new(clock::now_ms()), (old.min_time, old.max_time));
            // It is another block of the same samples.
            meta.compaction.level = old.compaction.level;
            meta.compaction.sources = vec![meta.ulid];
            meta.compaction.parents = vec![old.desc()];
            meta.compaction.hints = old.compaction.hints;
            let mut source = BlockMerge::new(&[Arc::clone(block)])?;
            if self.write(&self.dir, meta, &mut source, whole(false))?.is_none() {
                block.update_meta(&*self.disk, |meta| meta.compaction.deletable = true)?;
            }
            self.reload_blocks()?;
        }
        Ok(())
    }
}
