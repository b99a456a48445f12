//! What benchmarks of blocks measure below the public door.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use prom_model::Labels;
use prom_storage::{StorageError, TimeRange};

use crate::{
    block::{Block, BlockId, BlockMeta, BlockSource, IndexReader, SourceSeries},
    chunk::{Encoding, encode_densest, encode_floats},
    compact::{BlockMerge, Shape, merged_meta, write_block},
    disk::RealDisk,
};

/// A series with its samples, for [`write_series`].
pub type SampledSeries = (Labels, Vec<(i64, f64)>);

/// Samples of a chunk as the head cuts it.
const CHUNK_SAMPLES_COUNT: usize = 120;
const ALL: TimeRange = TimeRange { mint_ms: i64::MIN, maxt_ms: i64::MAX };

/// Bytes of the samples as chunks of the head, and as dense ones; the latter as few as the rules allow.
pub fn chunk_sizes(samples: &[(i64, f64)]) -> (usize, usize) {
    let samples: Vec<(i64, u64)> = samples.iter().map(|(t, v)| (*t, v.to_bits())).collect();
    let plain = samples.chunks(CHUNK_SAMPLES_COUNT).map(|part| {
        let mut data = Vec::new();
        encode_floats(part, &mut data);
        data.len()
    });
    let plain = plain.sum();
    let (mut dense, mut rest) = (0, samples.as_slice());
    while !rest.is_empty() {
        let mut data = Vec::new();
        let count = encode_densest(rest, &mut data);
        dense += data.len();
        rest = &rest[count..];
    }
    (plain, dense)
}

/// Writes a block of the series, which ascend by labels, in chunks as the head cuts them; gives its path.
///
/// # Errors
/// The disk refuses.
pub fn write_series(
    dir: &Path,
    series: &[SampledSeries],
    made_ms: i64,
) -> Result<PathBuf, StorageError> {
    let times = series.iter().flat_map(|(_, samples)| samples.iter().map(|(t, _)| *t));
    let (min_t, max_t) = (times.clone().min().unwrap_or(0), times.max().unwrap_or(0));
    let meta = BlockMeta::new(BlockId::new(made_ms), (min_t, max_t + 1));
    let path = dir.join(meta.ulid.to_string());
    let mut source = SampledSource { series, symbols: Vec::new(), next: 0 };
    write_block(&RealDisk, dir, meta, &mut source, Shape { range: ALL, is_dense: false })?;
    Ok(path)
}

/// Opens the index of a block; gives the memory it takes beside the file.
///
/// # Errors
/// The index is damaged.
pub fn open_index(block: &Path) -> Result<usize, StorageError> {
    Ok(IndexReader::open(&RealDisk, block)?.memory_size_bytes())
}

/// How many series have all of the pairs.
///
/// # Errors
/// The index is damaged.
pub fn intersect(block: &Path, pairs: &[(&str, &str)]) -> Result<usize, StorageError> {
    let index = IndexReader::open(&RealDisk, block)?;
    let mut series: Vec<u32> = index.all_postings()?.iter().collect();
    for (name, value) in pairs {
        index.postings(name, value)?.intersect(&mut series);
    }
    Ok(series.len())
}

/// Merges blocks into one, as dense as can be; gives its size before and after.
///
/// # Errors
/// A block is damaged, or the disk refuses.
pub fn merge(dir: &Path, blocks: &[PathBuf], made_ms: i64) -> Result<(u64, u64), StorageError> {
    let blocks: Vec<Arc<Block>> = blocks
        .iter()
        .map(|path| Block::open(&RealDisk, path).map(Arc::new))
        .collect::<Result<_, _>>()?;
    let metas: Vec<BlockMeta> = blocks.iter().map(|block| block.meta()).collect();
    let meta = merged_meta(BlockId::new(made_ms), &metas);
    let path = dir.join(meta.ulid.to_string());
    let mut source = BlockMerge::new(&blocks)?;
    write_block(&RealDisk, dir, meta, &mut source, Shape { range: ALL, is_dense: true })?;
    let before = blocks.iter().map(|block| block.size_bytes()).sum();
    Ok((before, Block::open(&RealDisk, &path)?.size_bytes()))
}

struct SampledSource<'a> {
    series: &'a [SampledSeries],
    symbols: Vec<&'a str>,
    next: usize,
}

impl BlockSource for SampledSource<'_> {
    fn symbols(
        &mut self,
        each: &mut dyn FnMut(&str) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let labels = self.series.iter().flat_map(|(labels, _)| labels.iter());
        let texts: BTreeSet<&str> = labels.flat_map(|(name, value)| [name, value]).collect();
        self.symbols = texts.into_iter().collect();
        self.symbols.iter().try_for_each(|text| each(text))
    }

    fn next_series(&mut self, series: &mut SourceSeries) -> Result<bool, StorageError> {
        series.clear();
        let Some((labels, samples)) = self.series.get(self.next) else { return Ok(false) };
        self.next += 1;
        let place = |text: &str| self.symbols.partition_point(|other| *other < text) as u32;
        series.labels.extend(labels.iter().map(|(name, value)| (place(name), place(value))));
        let mut data = Vec::new();
        for part in samples.chunks(CHUNK_SAMPLES_COUNT) {
            let part: Vec<(i64, u64)> = part.iter().map(|(t, v)| (*t, v.to_bits())).collect();
            data.clear();
            encode_floats(&part, &mut data);
            let times = (part[0].0, part[part.len() - 1].0);
            series.push_chunk(times, Encoding::Xor as u8, &data);
        }
        Ok(true)
    }
}
