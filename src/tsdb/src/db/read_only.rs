//! A data directory that is only looked at: nothing is locked, repaired, moved or written. What is damaged is
//! told. For tools; another process may work on the directory meanwhile.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use prom_model::{Labels, Matcher};
use prom_storage::{Querier, Queryable, StorageError, TimeRange};
use prom_telemetry::{Registry, clock};

use crate::{
    OpenError, Options,
    block::Block,
    disk::{Disk, RealDisk},
    head::Head,
    select::{DbQuerier, HeadQuerier, for_each_matching},
};

use super::{
    blocks::{BlockSet, in_order_max_time},
    open::read_log,
};

/// Blocks and log of a directory, as they were when it was opened.
#[derive(Debug)]
pub struct ReadOnlyDb {
    head: Arc<Head>,
    blocks: Vec<Arc<Block>>,
    damaged: Vec<(PathBuf, StorageError)>,
}

/// What the meta file of a block tells, and how large it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockSummary {
    pub ulid: String,
    pub min_time_ms: i64,
    /// Samples are before it.
    pub max_time_ms: i64,
    pub samples_count: u64,
    pub chunks_count: u64,
    pub series_count: u64,
    pub tombstones_count: u64,
    pub level: u32,
    pub size_bytes: u64,
}

/// A chunk of a series of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkSummary {
    /// First and last sample.
    pub min_time_ms: i64,
    pub max_time_ms: i64,
    pub samples_count: u16,
    pub size_bytes: usize,
    /// The byte that tells how it is written; 1 is XOR.
    pub encoding: u8,
}

impl ReadOnlyDb {
    /// Opens a directory.
    ///
    /// # Errors
    /// It cannot be listed, or its log cannot be read.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let registry = Registry::default();
        let head = Head::new(&Options::default(), &registry);
        let (blocks, damaged) = BlockSet::look(&*disk, dir)?;
        let now_ms = clock::now_ms();
        if let Some(max_time_ms) = in_order_max_time(&blocks, now_ms) {
            head.set_min_valid_time(max_time_ms);
        }
        read_log(&*disk, dir, &head)?;
        Ok(Self { head, blocks, damaged })
    }

    /// The blocks, by time.
    pub fn blocks(&self) -> Vec<BlockSummary> {
        self.blocks.iter().map(|block| summary(block)).collect()
    }

    /// Blocks that could not be opened, and why.
    pub fn damaged(&self) -> &[(PathBuf, StorageError)] {
        &self.damaged
    }

    /// Calls `each` with the series of a block that match, in the order of their labels, and their chunks.
    ///
    /// # Errors
    /// There is no such block, or it is damaged.
    pub fn for_each_series(
        &self,
        ulid: &str,
        matchers: &[Matcher],
        each: &mut dyn FnMut(Labels, &[ChunkSummary]),
    ) -> Result<(), StorageError> {
        let block = self.block(ulid)?;
        let index = block.index();
        let mut chunks = Vec::new();
        for_each_matching(block, matchers, |_, entry| {
            chunks.clear();
            for chunk in &entry.chunks {
                let (encoding, data) = block.chunks().get(chunk.chunk_ref)?;
                let count = data.first_chunk().map_or(0, |count| u16::from_be_bytes(*count));
                chunks.push(ChunkSummary {
                    min_time_ms: chunk.min_t,
                    max_time_ms: chunk.max_t,
                    samples_count: count,
                    size_bytes: data.len(),
                    encoding,
                });
            }
            let pairs = entry.labels.iter();
            let pairs: Vec<(&str, &str)> = pairs
                .map(|(name, value)| Ok((index.symbol(*name)?, index.symbol(*value)?)))
                .collect::<Result<_, StorageError>>()?;
            each(Labels::from_sorted(pairs), &chunks);
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Reads everything a block holds, and calls `each` with what is wrong.
    ///
    /// # Errors
    /// There is no such block.
    pub fn verify(
        &self,
        ulid: &str,
        each: &mut dyn FnMut(StorageError),
    ) -> Result<(), StorageError> {
        self.block(ulid)?.verify(each);
        Ok(())
    }

    fn block(&self, ulid: &str) -> Result<&Block, StorageError> {
        let found = self.blocks.iter().find(|block| block.id().to_string() == ulid);
        found.map(|block| &**block).ok_or_else(|| StorageError::Io {
            path: PathBuf::from(ulid),
            action: "open block",
            source: std::io::ErrorKind::NotFound.into(),
        })
    }
}

impl Queryable for ReadOnlyDb {
    fn querier(&self, range: TimeRange) -> Result<Arc<dyn Querier>, StorageError> {
        let head = HeadQuerier::new(&self.head, range);
        Ok(Arc::new(DbQuerier::new(head, &self.blocks, range)))
    }
}

fn summary(block: &Block) -> BlockSummary {
    let meta = block.meta();
    BlockSummary {
        ulid: meta.ulid.to_string(),
        min_time_ms: meta.min_time,
        max_time_ms: meta.max_time,
        samples_count: meta.stats.num_samples,
        chunks_count: meta.stats.num_chunks,
        series_count: meta.stats.num_series,
        tombstones_count: meta.stats.num_tombstones,
        level: meta.compaction.level,
        size_bytes: block.size_bytes(),
    }
}
