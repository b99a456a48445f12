//! A block of samples that somebody has at hand: no directory is opened, nothing goes on a log. Whether the
//! block overlaps others is the caller's matter.
//! Compat: Prometheus `tsdb/blockwriter.go`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use prom_storage::{Appendable, Appender, StorageError, TimeRange};
use prom_telemetry::{Registry, clock};

use crate::{
    Options, WalCompression,
    block::{Block, BlockId, BlockMeta},
    compact::{Shape, write_block},
    disk::{ReadOnlyDisk, RealDisk},
    head::Head,
    select::HeadExport,
    wal::Wal,
};

use super::inspect::{BlockInfo, info};

/// Collects samples in memory and writes them as one block.
#[derive(Debug)]
pub struct BlockWriter {
    dir: PathBuf,
    head: Arc<Head>,
}

impl BlockWriter {
    /// A writer into `dir`. All samples must lie within `span_ms`; within it they come in any order of
    /// series, and in order of time in each.
    pub fn new(dir: &Path, span_ms: i64) -> Self {
        // A head takes what is no older than half of its range.
        let options = Options {
            min_block_duration_ms: span_ms.saturating_mul(2),
            wal_compression: WalCompression::None,
            ..Options::default()
        };
        let registry = Registry::default();
        let head = Head::new(&options, &registry);
        // Commits need a log; this one goes nowhere.
        let metrics = head.wal_metrics().clone();
        head.set_wal(Wal::new(Arc::new(ReadOnlyDisk::default()), dir, &options, None, metrics));
        Self { dir: dir.to_owned(), head }
    }

    /// Writes the block under a name of its own; nothing if there is no sample. Its time is that of the
    /// samples, its chunks are those that a server would have cut.
    ///
    /// # Errors
    /// The disk refuses; there is no block then.
    pub fn flush(self) -> Result<Option<BlockInfo>, StorageError> {
        let (min_t, max_t) = self.head.time_bounds();
        if min_t > max_t {
            return Ok(None);
        }
        let id = BlockId::new(clock::now_ms());
        let mut meta = BlockMeta::new(id, (min_t, max_t.saturating_add(1)));
        meta.compaction.level = 1;
        meta.compaction.sources = vec![id];
        let range = TimeRange { mint_ms: min_t, maxt_ms: max_t };
        let mut export = HeadExport::new(&self.head, min_t, max_t.saturating_add(1));
        let shape = Shape { range, is_dense: false };
        let written = write_block(&RealDisk, &self.dir, meta, &mut export, shape)?;
        let Some(meta) = written else { return Ok(None) };
        let block = Block::open(&RealDisk, &self.dir.join(meta.ulid.to_string()))?;
        Ok(Some(info(&block)))
    }
}

impl Appendable for BlockWriter {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(self.head.appender())
    }
}

#[cfg(test)]
mod tests {
    use prom_model::Labels;
    use prom_storage::FloatSample;

    use super::*;
    use crate::Db;

    const HOUR_MS: i64 = 3_600_000;

    fn append(writer: &BlockWriter, name: &str, times: impl IntoIterator<Item = i64>) {
        let mut appender = writer.appender();
        let series = appender.series(&Labels::from_pairs([("__name__", name)])).unwrap();
        let sample = |timestamp_ms| FloatSample { series, timestamp_ms, value: 1.0 };
        let samples: Vec<_> = times.into_iter().map(sample).collect();
        let mut rejected = Vec::new();
        appender.append(&samples, &mut rejected);
        appender.commit().unwrap();
        assert_eq!(rejected, []);
    }

    #[test]
    fn samples_of_the_whole_span_make_one_block_whatever_their_series() {
        let dir = tempfile::tempdir().unwrap();
        for begin in [-5 * HOUR_MS, 0, 20_000 * HOUR_MS] {
            let writer = BlockWriter::new(dir.path(), 2 * HOUR_MS);
            let last = begin + 2 * HOUR_MS - 1;
            append(&writer, "late", [last]);
            append(&writer, "all", (begin..=last).step_by(15_000));
            append(&writer, "early", [begin]);
            let block = writer.flush().unwrap().unwrap();
            let found = (block.min_time_ms, block.max_time_ms, block.samples_count);
            assert_eq!(found, (begin, last + 1, 482));
            assert_eq!((block.series_count, block.chunks_count), (3, 6));
        }
        let db = Db::open_read_only(dir.path()).unwrap();
        assert_eq!(db.blocks().len(), 3);
        for block in db.blocks() {
            db.verify_block(&block.id).unwrap().unwrap();
        }
    }

    #[test]
    fn without_samples_there_is_no_block() {
        let dir = tempfile::tempdir().unwrap();
        let writer = BlockWriter::new(dir.path(), 2 * HOUR_MS);
        append(&writer, "none", []);
        assert_eq!(writer.flush().unwrap(), None);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
