//! Whether what a compaction writes will fit the disk. One that would not is put off: the log and the blocks
//! that are there go on, and it is tried again when upkeep comes round. What operators ask for (deleting,
//! cleaning, snapshots) is not held back here; it fails by itself where there is no room.

use std::sync::Mutex;

use prom_telemetry::{Counter, Registry};

use crate::{block::Block, lock::lock};

use super::Db;

/// Left to the log while a block is being written.
const FLOOR_SIZE_BYTES: u64 = 16 << 20;
/// What a block takes for a chunk and for a series of the head, seen generously.
const CHUNK_SIZE_BYTES: u64 = 256;
const SERIES_SIZE_BYTES: u64 = 192;

/// What stands in the way of the compaction that is due.
#[derive(Debug)]
pub(super) struct Room {
    shortage: Mutex<Option<String>>,
    /// The same for the round of upkeep that is going on.
    found: Mutex<Option<String>>,
    skipped: Counter,
}

impl Room {
    pub(super) fn new(registry: &Registry) -> Self {
        let skipped = registry.counter(
            "prometheus_tsdb_compactions_skipped_total",
            "Total number of skipped compactions due to disabled auto compaction or a lack of disk space.",
        );
        Self { shortage: Mutex::default(), found: Mutex::default(), skipped }
    }

    /// Begins a round of upkeep.
    pub(super) fn begin(&self) {
        *lock(&self.found) = None;
    }

    /// Ends it: what it has not put off fits.
    pub(super) fn end(&self) {
        let found = lock(&self.found).take();
        *lock(&self.shortage) = found;
    }
}

impl Db {
    /// Why the compaction that is due is put off; nothing while there is room for it.
    pub fn disk_shortage(&self) -> Option<String> {
        lock(&self.upkeep.room.shortage).clone()
    }

    pub(super) fn has_room_for_head_block(&self) -> bool {
        let head = self.head.head_stats();
        let chunks = head.chunks_count.saturating_mul(CHUNK_SIZE_BYTES);
        let series = head.series_count.saturating_mul(SERIES_SIZE_BYTES);
        self.has_room_for("a block of the head", chunks.saturating_add(series))
    }

    /// A block is hardly larger than those that it is made of.
    pub(super) fn has_room_for_merged(&self, blocks: &[impl AsRef<Block>]) -> bool {
        let sizes = blocks.iter().map(|block| block.as_ref().size_bytes());
        self.has_room_for("a compaction of blocks", sizes.sum())
    }

    fn has_room_for(&self, what: &str, size_bytes: u64) -> bool {
        let needed = size_bytes.saturating_add(FLOOR_SIZE_BYTES);
        // A disk that does not tell may have room.
        let free = match self.disk.free_size_bytes(&self.dir) {
            Some(free) if free < needed => free,
            _ => return true,
        };
        let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
        let reason = format!(
            "{}: {what} is put off: it may take {} MiB, {} MiB are free",
            self.dir.display(),
            mebibytes(needed),
            mebibytes(free)
        );
        self.upkeep.room.skipped.inc();
        tracing::warn!(needed_bytes = needed, free_bytes = free, "No room for {what}");
        *lock(&self.upkeep.room.found) = Some(reason);
        false
    }
}
