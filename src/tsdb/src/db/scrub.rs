//! Blocks are read from time to time, so that damage is found before somebody needs what is damaged. A block
//! with damage is copied without it; as it was, it is kept aside (I10).

use std::sync::{Arc, Mutex};

use prom_storage::StorageError;
use prom_telemetry::{Counter, Registry, clock};

use crate::{
    block::{Block, BlockId, BlockMeta},
    compact::BlockMerge,
    lock::lock,
};

use super::{Db, blocks::is_damage, upkeep::whole};

/// Bytes of chunks that one step reads: about one megabyte a second.
const STEP_SIZE_BYTES: u64 = 64 << 20;
/// Flaws of one block that are told one by one.
const TOLD_COUNT_MAX: usize = 20;

/// How far the reading is.
#[derive(Debug)]
pub(super) struct Scrubber {
    position: Mutex<Option<Position>>,
    flaws: Counter,
}

#[derive(Clone, Copy, Debug)]
struct Position {
    block: BlockId,
    /// Series that have been read.
    series_count: usize,
}

impl Scrubber {
    pub(super) fn new(registry: &Registry) -> Self {
        let flaws = registry.counter(
            "prometheus_tsdb_block_flaws_total",
            "Number of damaged places that were found in blocks.",
        );
        Self { position: Mutex::default(), flaws }
    }
}

impl Db {
    /// Reads the next part of the blocks, round and round; mends a block that has damage.
    ///
    /// # Errors
    /// A block could not be mended; it stays as it is.
    pub(super) fn scrub_step(&self) -> Result<(), StorageError> {
        let blocks = self.blocks.list();
        let position = *lock(&self.scrubber.position);
        let next = |id: BlockId| blocks.iter().filter(|b| b.id() > id).min_by_key(|b| b.id());
        let first = || blocks.iter().min_by_key(|block| block.id());
        let found = match position {
            Some(at) => match blocks.iter().find(|block| block.id() == at.block) {
                Some(block) => Some((block, at.series_count)),
                None => next(at.block).or_else(first).map(|block| (block, 0)),
            },
            None => first().map(|block| (block, 0)),
        };
        let Some((block, from)) = found else { return Ok(()) };
        let mut flaws_count = 0;
        let read = block.verify_part(from, STEP_SIZE_BYTES, &mut |flaw| {
            self.tell(&mut flaws_count, &flaw);
        });
        *lock(&self.scrubber.position) = match read {
            Some(series_count) => Some(Position { block: block.id(), series_count }),
            None => {
                let other = next(block.id()).or_else(first);
                other.map(|block| Position { block: block.id(), series_count: 0 })
            }
        };
        if flaws_count > 0 { self.mend(block) } else { Ok(()) }
    }

    /// Reads all of a block and mends it if need be. Says whether it had damage.
    pub(super) fn mend_if_damaged(&self, block: &Arc<Block>) -> Result<bool, StorageError> {
        let mut flaws_count = 0;
        block.verify(&mut |flaw| self.tell(&mut flaws_count, &flaw));
        if flaws_count > 0 {
            self.mend(block)?;
        }
        Ok(flaws_count > 0)
    }

    fn tell(&self, flaws_count: &mut usize, flaw: &StorageError) {
        *flaws_count += 1;
        self.scrubber.flaws.inc();
        if *flaws_count <= TOLD_COUNT_MAX {
            tracing::error!(err = %flaw, "Found damage in a block");
        }
    }

    /// Copies what can be read of a block, and keeps the block aside.
    fn mend(&self, block: &Arc<Block>) -> Result<(), StorageError> {
        let old = block.meta();
        let mut meta = BlockMeta::new(BlockId::new(clock::now_ms()), (old.min_time, old.max_time));
        meta.compaction.level = old.compaction.level;
        meta.compaction.sources = old.compaction.sources;
        meta.compaction.hints = old.compaction.hints;
        let written = BlockMerge::salvage(block)
            .and_then(|mut source| self.write(&self.dir, meta, &mut source, whole(false)));
        let reason = StorageError::Corruption {
            path: block.dir().to_owned(),
            offset: 0,
            reason: match written {
                Ok(Some(meta)) => format!("what could be read of it is in {}", meta.ulid),
                Ok(None) => "nothing of it could be read".to_owned(),
                // Queries would fail as long as it stays.
                Err(err) if is_damage(&err) => format!("it cannot be copied: {err}"),
                Err(err) => return Err(err),
            },
        };
        self.blocks.quarantine(block.dir(), &reason);
        self.reload_blocks()
    }
}
