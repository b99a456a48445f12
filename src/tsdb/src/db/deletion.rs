//! Deleting series: marks in blocks, and rewriting blocks without what is marked.

use std::{ops::ControlFlow, sync::Arc};

use prom_model::Matcher;
use prom_storage::{StorageError, TimeRange};
use prom_telemetry::clock;

use crate::{
    block::{Block, BlockId, BlockMeta},
    compact::BlockMerge,
    lock::lock,
    select::{HeadQuerier, Patience, for_each_matching},
};

use super::{Db, upkeep::whole};

impl Db {
    /// Deletes the samples between both times, inclusive, of the series that match any of the sets. They
    /// are gone for queries at once; the space is given back by [`Self::clean_tombstones`] and compaction.
    ///
    /// # Errors
    /// The disk refuses, or a block is damaged; what was deleted by then stays deleted.
    pub fn delete(
        &self,
        mint_ms: i64,
        maxt_ms: i64,
        matcher_sets: &[Vec<Matcher>],
    ) -> Result<(), StorageError> {
        let _turn = lock(&self.upkeep.turn);
        let range = TimeRange { mint_ms, maxt_ms };
        if mint_ms > maxt_ms {
            return Ok(());
        }
        for block in self.blocks.list().iter().filter(|block| block.overlaps(mint_ms, maxt_ms)) {
            self.delete_in_block(block, range, matcher_sets)?;
        }
        let head = HeadQuerier::new(&self.head, range);
        matcher_sets.iter().try_for_each(|matchers| {
            let series = head.handles(matchers, range)?;
            self.head.delete(&series, range)
        })
    }

    /// Writes blocks that have tombstones anew, without what is deleted.
    ///
    /// # Errors
    /// The disk refuses, or a block is damaged; blocks that were done by then stay so.
    pub fn clean_tombstones(&self) -> Result<(), StorageError> {
        let _turn = lock(&self.upkeep.turn);
        let begin = clock::monotonic();
        let cleaned = self.try_clean_tombstones();
        self.upkeep.metrics.tombstone_cleanup.observe(begin.elapsed().as_secs_f64());
        cleaned
    }

    fn try_clean_tombstones(&self) -> Result<(), StorageError> {
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
            if self.write(&self.dir, meta.clone(), &mut source, whole(false))?.is_none() {
                self.leave_mark(meta)?;
                block.update_meta(&*self.disk, |meta| meta.compaction.deletable = true)?;
            }
            self.reload_blocks()?;
        }
        Ok(())
    }

    fn delete_in_block(
        &self,
        block: &Block,
        range: TimeRange,
        matcher_sets: &[Vec<Matcher>],
    ) -> Result<(), StorageError> {
        let mut tombstones = (*block.tombstones()).clone();
        for matchers in matcher_sets {
            for_each_matching(block, matchers, &Patience::endless(), |number, entry| {
                let is_hit = entry
                    .chunks
                    .iter()
                    .any(|chunk| chunk.min_t <= range.maxt_ms && chunk.max_t >= range.mint_ms);
                if is_hit
                    && let (Some(first), Some(last)) = (entry.chunks.first(), entry.chunks.last())
                {
                    // No further than there are samples.
                    let mint_ms = range.mint_ms.max(first.min_t);
                    let maxt_ms = range.maxt_ms.min(last.max_t);
                    tombstones.add(u64::from(number), TimeRange { mint_ms, maxt_ms });
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        if tombstones == *block.tombstones() {
            return Ok(());
        }
        block.set_tombstones(&*self.disk, tombstones)
    }
}
