//! What tools ask about a directory: opened without changing it, its blocks, what is in one, and whether
//! all of it can be read. Printing is the tools' matter.

use std::{collections::BTreeSet, ops::ControlFlow, path::Path, sync::Arc};

use hashbrown::HashMap;
use prom_model::{HistogramValue, Matcher};
use prom_storage::{Columns, StorageError, TimeRange};
use prom_telemetry::Registry;

use crate::{
    OpenError, Options,
    block::{Block, SeriesEntry, read_chunk},
    disk::ReadOnlyDisk,
    wal::{FileReport, LogReader, list_log},
};

use super::{Db, open::WAL_DIR, out_of_order::WBL_DIR};

/// All times.
const EVER: TimeRange = TimeRange { mint_ms: i64::MIN, maxt_ms: i64::MAX };
/// Each chunk begins with how many samples it has.
const SAMPLES_COUNT_SIZE_BYTES: usize = 2;

/// A block as its meta file tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockInfo {
    pub id: String,
    pub min_time_ms: i64,
    /// Exclusive.
    pub max_time_ms: i64,
    pub samples_count: u64,
    pub chunks_count: u64,
    pub series_count: u64,
    pub size_bytes: u64,
}

/// What a block's series have in common.
#[derive(Clone, Debug, Default)]
pub struct BlockAnalysis {
    /// Series that were looked at.
    pub series_count: u64,
    /// Label pairs of all series together.
    pub entries_count: u64,
    pub pairs: Vec<PairFigures>,
    pub names: Vec<NameFigures>,
    /// Absent where chunks were not asked for.
    pub chunks: Option<ChunkFigures>,
}

/// A label pair.
#[derive(Clone, Debug)]
pub struct PairFigures {
    pub name: String,
    pub value: String,
    pub series_count: u64,
    /// Milliseconds of the block's time that series with it do not cover, summed up.
    pub uncovered_ms: u64,
}

/// A label name.
#[derive(Clone, Debug)]
pub struct NameFigures {
    pub name: String,
    pub values_count: u64,
    pub values_size_bytes: u64,
    pub uncovered_ms: u64,
}

/// One entry for each chunk.
#[derive(Clone, Debug, Default)]
pub struct ChunkFigures {
    pub float_samples: Vec<u64>,
    pub float_sizes_bytes: Vec<u64>,
    pub histogram_samples: Vec<u64>,
    pub histogram_sizes_bytes: Vec<u64>,
    pub histogram_buckets: Vec<u64>,
}

impl Db {
    /// Opens a directory to read it, be it in use or not: nothing on disk is changed, no lock is taken.
    /// Damaged parts are left out, as an opening to write would, and named in the log.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_read_only(dir: &Path) -> Result<Arc<Self>, OpenError> {
        std::fs::read_dir(dir).map_err(|err| OpenError::io(dir, "open data directory", err))?;
        let disk = Arc::new(ReadOnlyDisk::default());
        let go_on = |_| ControlFlow::Continue(());
        Self::open_on(disk, dir, &Options::default(), &Registry::default(), &go_on, None)
    }

    /// Reads both logs from end to end and tells each damaged place.
    ///
    /// # Errors
    /// A log cannot be read.
    pub fn verify_log(dir: &Path) -> Result<Vec<String>, OpenError> {
        let disk = ReadOnlyDisk::default();
        let mut damages = Vec::new();
        for log_dir in [dir.join(WAL_DIR), dir.join(WBL_DIR)] {
            let io = |err| OpenError::io(&log_dir, "read log", err);
            let log = list_log(&disk, &log_dir).map_err(io)?;
            let mut reader = LogReader::new(&disk, &log);
            while reader.next_decoded().map_err(io)?.is_some() {}
            let reports = reader.into_reports();
            damages.extend(reports.iter().flat_map(FileReport::damages));
            if log.has_gap {
                damages.push(format!("{}: segments are missing", log_dir.display()));
            }
        }
        Ok(damages)
    }

    /// The blocks, by time.
    pub fn blocks(&self) -> Vec<BlockInfo> {
        self.blocks.list().iter().map(|block| info(block)).collect()
    }

    /// Looks at the series of a block that match; at their chunks, too, if `has_chunks`.
    /// `None` if there is no such block.
    ///
    /// # Errors
    /// The block is damaged.
    pub fn analyze_block(
        &self,
        id: &str,
        matchers: &[Matcher],
        has_chunks: bool,
    ) -> Result<Option<BlockAnalysis>, StorageError> {
        let list = self.blocks.list();
        let Some(block) = list.iter().find(|block| block.id().to_string() == id) else {
            return Ok(None);
        };
        let mut analyst = Analyst::new(block, has_chunks);
        for_each_series(block, |number, entry| analyst.add(number, entry, matchers))?;
        analyst.finish().map(Some)
    }

    /// Reads everything in a block and compares it with what the block says of itself. `None` if there is
    /// no such block.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify_block(&self, id: &str) -> Result<Option<BlockInfo>, StorageError> {
        let list = self.blocks.list();
        let Some(block) = list.iter().find(|block| block.id().to_string() == id) else {
            return Ok(None);
        };
        verify(block).map(|()| Some(info(block)))
    }
}

pub(super) fn info(block: &Block) -> BlockInfo {
    let meta = block.meta();
    BlockInfo {
        id: block.id().to_string(),
        min_time_ms: meta.min_time,
        max_time_ms: meta.max_time,
        samples_count: meta.stats.num_samples,
        chunks_count: meta.stats.num_chunks,
        series_count: meta.stats.num_series,
        size_bytes: block.size_bytes(),
    }
}

fn for_each_series(
    block: &Block,
    mut each: impl FnMut(u32, &SeriesEntry) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    let mut entry = SeriesEntry::default();
    for number in block.index().all_postings()?.iter() {
        block.index().series(number, &mut entry)?;
        each(number, &entry)?;
    }
    Ok(())
}

/// Collects figures by symbol; texts are made at the end.
struct Analyst<'b> {
    block: &'b Block,
    range_ms: u64,
    series_count: u64,
    entries_count: u64,
    /// For each pair its series and its uncovered time.
    pairs: HashMap<(u32, u32), (u64, u64), foldhash::fast::RandomState>,
    chunks: Option<ChunkFigures>,
}

impl<'b> Analyst<'b> {
    fn new(block: &'b Block, has_chunks: bool) -> Self {
        let meta = block.meta();
        Self {
            block,
            range_ms: meta.max_time.wrapping_sub(meta.min_time).cast_unsigned(),
            series_count: 0,
            entries_count: 0,
            pairs: HashMap::default(),
            chunks: has_chunks.then(ChunkFigures::default),
        }
    }

    fn add(
        &mut self,
        _number: u32,
        entry: &SeriesEntry,
        matchers: &[Matcher],
    ) -> Result<(), StorageError> {
        if !is_match(self.block, entry, matchers)? {
            return Ok(());
        }
        self.series_count += 1;
        let covered = match (entry.chunks.first(), entry.chunks.last()) {
            (Some(first), Some(last)) => last.max_t.wrapping_sub(first.min_t).cast_unsigned(),
            _ => 0,
        };
        // Compat: the reference's numbers wrap where a series reaches beyond its block.
        let uncovered_ms = self.range_ms.wrapping_sub(covered);
        for pair in &entry.labels {
            let figures = self.pairs.entry(*pair).or_default();
            figures.0 += 1;
            figures.1 = figures.1.wrapping_add(uncovered_ms);
            self.entries_count += 1;
        }
        let Some(figures) = &mut self.chunks else { return Ok(()) };
        for chunk in &entry.chunks {
            figures.add(self.block, chunk.chunk_ref)?;
        }
        Ok(())
    }

    fn finish(self) -> Result<BlockAnalysis, StorageError> {
        let index = self.block.index();
        let mut pairs = Vec::with_capacity(self.pairs.len());
        for ((name, value), (series_count, uncovered_ms)) in self.pairs {
            let name = index.symbol(name)?.to_owned();
            let value = index.symbol(value)?.to_owned();
            pairs.push(PairFigures { name, value, series_count, uncovered_ms });
        }
        pairs.sort_by(|a, b| (&a.name, &a.value).cmp(&(&b.name, &b.value)));
        let names = pairs.chunk_by(|a, b| a.name == b.name).map(|pairs| NameFigures {
            name: pairs[0].name.clone(),
            values_count: pairs.len() as u64,
            values_size_bytes: pairs.iter().map(|pair| pair.value.len() as u64).sum(),
            uncovered_ms: pairs.iter().fold(0, |sum, pair| sum.wrapping_add(pair.uncovered_ms)),
        });
        Ok(BlockAnalysis {
            series_count: self.series_count,
            entries_count: self.entries_count,
            names: names.collect(),
            pairs,
            chunks: self.chunks,
        })
    }
}

impl ChunkFigures {
    fn add(&mut self, block: &Block, chunk_ref: u64) -> Result<(), StorageError> {
        let (encoding, data) = block.chunks().get(chunk_ref)?;
        let size_bytes = data.len() as u64;
        let samples_count = match data.get(..SAMPLES_COUNT_SIZE_BYTES) {
            Some(bytes) => u64::from(u16::from_be_bytes([bytes[0], bytes[1]])),
            None => 0,
        };
        let mut columns = Columns::default();
        read_chunk(encoding, data, EVER, &mut columns)
            .map_err(|err| block.chunks().corruption(chunk_ref, &err.to_string()))?;
        if columns.histograms.is_empty() {
            self.float_samples.push(samples_count);
            self.float_sizes_bytes.push(size_bytes);
            return Ok(());
        }
        let buckets = columns.histograms.iter().map(|point| match &point.histogram {
            HistogramValue::Integer(h) => h.positive_buckets.len() + h.negative_buckets.len(),
            HistogramValue::Float(h) => h.positive_buckets.len() + h.negative_buckets.len(),
        });
        self.histogram_samples.push(samples_count);
        self.histogram_sizes_bytes.push(size_bytes);
        self.histogram_buckets.push(buckets.sum::<usize>() as u64);
        Ok(())
    }
}

fn is_match(
    block: &Block,
    entry: &SeriesEntry,
    matchers: &[Matcher],
) -> Result<bool, StorageError> {
    for matcher in matchers {
        let mut value = "";
        for (name, text) in &entry.labels {
            if block.index().symbol(*name)? == matcher.name() {
                value = block.index().symbol(*text)?;
            }
        }
        if !matcher.matches(value) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads all series and chunks of a block, and holds them against index and meta file.
fn verify(block: &Block) -> Result<(), StorageError> {
    let meta = block.meta();
    let (mut series_count, mut chunks_count, mut samples_count) = (0, 0, 0);
    let mut columns = Columns::default();
    let mut seen = BTreeSet::new();
    for_each_series(block, |number, entry| {
        let wrong = |reason: &str| StorageError::Corruption {
            path: block.dir().join("index"),
            offset: u64::from(number) * 16,
            reason: reason.to_owned(),
        };
        for (name, value) in &entry.labels {
            block.index().symbol(*name)?;
            block.index().symbol(*value)?;
        }
        if !seen.insert(entry.labels.clone()) {
            return Err(wrong("the series is there twice"));
        }
        series_count += 1;
        let mut previous_max_t = None;
        for chunk in &entry.chunks {
            if previous_max_t.is_some_and(|max_t| max_t >= chunk.min_t) {
                return Err(wrong("chunks of a series overlap"));
            }
            previous_max_t = Some(chunk.max_t);
            let (encoding, data) = block.chunks().get(chunk.chunk_ref)?;
            let corruption = |reason: &str| block.chunks().corruption(chunk.chunk_ref, reason);
            columns.clear();
            read_chunk(encoding, data, EVER, &mut columns)
                .map_err(|err| corruption(&err.to_string()))?;
            let mut times: Vec<i64> = columns.timestamps_ms.clone();
            times.extend(columns.histograms.iter().map(|point| point.timestamp_ms));
            if !times.is_sorted_by(|a, b| a < b) {
                return Err(corruption("samples are not in order"));
            }
            if times.first() != Some(&chunk.min_t) || times.last() != Some(&chunk.max_t) {
                return Err(corruption("the index tells other times than the chunk"));
            }
            if chunk.min_t < meta.min_time || chunk.max_t >= meta.max_time {
                return Err(corruption("samples are outside of the block's time"));
            }
            chunks_count += 1;
            samples_count += times.len() as u64;
        }
        Ok(())
    })?;
    let told = (meta.stats.num_series, meta.stats.num_chunks, meta.stats.num_samples);
    let found = (series_count, chunks_count, samples_count);
    if told != (0, 0, 0) && told != found {
        return Err(StorageError::Corruption {
            path: block.dir().join("meta.json"),
            offset: 0,
            reason: format!(
                "the file tells of {} series, {} chunks, {} samples; there are {}, {}, {}",
                told.0, told.1, told.2, found.0, found.1, found.2
            ),
        });
    }
    Ok(())
}
