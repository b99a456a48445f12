//! Which blocks are beyond the limits of age and size. Blocks go as a whole, the oldest first.
//! Compat: Prometheus `tsdb/db.go` (BeyondTimeRetention, BeyondSizeRetention), 3.14.

use std::path::Path;

use crate::{RetentionOptions, block::Block};

use super::{Db, directory::size_bytes, upkeep::UpkeepMetrics};

/// Directories besides the blocks that count against the size.
const HEAD_DIRS: [&str; 3] = ["wal", "wbl", "chunks_head"];

/// Asked about blocks, the newest first.
pub(super) struct Beyond<'a> {
    metrics: &'a UpkeepMetrics,
    duration_ms: i64,
    /// `u64::MAX` is no limit.
    size_bytes_max: u64,
    newest_max_time: Option<i64>,
    size_bytes: u64,
    is_too_old: bool,
    is_too_large: bool,
}

impl<'a> Beyond<'a> {
    pub(super) fn new(db: &'a Db) -> Self {
        let retention = db.upkeep.retention();
        let head_dirs = HEAD_DIRS.iter().map(|name| size_bytes(&db.dir.join(name)));
        Self {
            metrics: &db.upkeep.metrics,
            duration_ms: retention.duration_ms,
            size_bytes_max: size_bytes_max(&db.dir, retention),
            newest_max_time: None,
            size_bytes: head_dirs.sum(),
            is_too_old: false,
            is_too_large: false,
        }
    }

    pub(super) fn is_beyond(&mut self, block: &Block) -> bool {
        let (_, max_time) = block.times();
        let newest = *self.newest_max_time.get_or_insert(max_time);
        if self.duration_ms > 0
            && !self.is_too_old
            && newest.saturating_sub(max_time) >= self.duration_ms
        {
            self.is_too_old = true;
            self.metrics.time_retentions.inc();
        }
        self.size_bytes = self.size_bytes.saturating_add(block.size_bytes());
        // A mark of the end of other blocks takes no room.
        let has_samples = block.meta().stats.num_samples > 0;
        if has_samples && !self.is_too_large && self.size_bytes > self.size_bytes_max {
            self.is_too_large = true;
            self.metrics.size_retentions.inc();
        }
        self.is_too_old || self.is_too_large
    }
}

/// The limit of size; a percentage prevails.
fn size_bytes_max(dir: &Path, retention: RetentionOptions) -> u64 {
    if retention.percentage > 0.0 {
        match rustix::fs::statvfs(dir) {
            Ok(fs) if fs.f_blocks > 0 => {
                let size = fs.f_blocks as f64 * fs.f_frsize as f64;
                return (size * retention.percentage / 100.0) as u64;
            }
            _ => tracing::warn!(
                dir = %dir.display(),
                "The size of the file system is not known; the percentage is passed over"
            ),
        }
    }
    match retention.size_bytes {
        0 => u64::MAX,
        size_bytes => size_bytes,
    }
}
