//! Writes a block from a source: everything goes to a directory under another name, is made durable there,
//! and gets its name at the end. A crash at any moment leaves the block whole, or not there at all.

use std::path::Path;

use prom_storage::StorageError;

use crate::{
    FloatEncoding,
    block::{
        BlockMeta, BlockSource, BlockStats, ChunkMeta, ChunkWriter, IndexWriter,
        SEGMENT_SIZE_BYTES, SourceSeries, Tombstones,
    },
    chunk::Encoding,
    disk::Disk,
};

use super::{metrics::ChunkMetrics, shape::Shape, xor2};

/// Behind the name of a block that is being made.
pub(crate) const CREATION_SUFFIX: &str = ".tmp-for-creation";

/// How a block is written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WriteOptions<'a> {
    pub(crate) floats: FloatEncoding,
    /// Where chunks are counted that no block had before.
    pub(crate) metrics: Option<&'a ChunkMetrics>,
    /// Whether a block without samples is one.
    pub(crate) is_empty_kept: bool,
}

/// Writes a block into `dir` under the name that `meta` tells. Gives its meta file, or nothing if there
/// was no sample, and then no block.
pub(crate) fn write_block(
    disk: &dyn Disk,
    dir: &Path,
    meta: BlockMeta,
    source: &mut dyn BlockSource,
    shape: Shape,
) -> Result<Option<BlockMeta>, StorageError> {
    write_block_with(WriteOptions::default(), disk, dir, meta, source, shape)
}

/// The same with options.
pub(crate) fn write_block_with(
    options: WriteOptions<'_>,
    disk: &dyn Disk,
    dir: &Path,
    meta: BlockMeta,
    source: &mut dyn BlockSource,
    shape: Shape,
) -> Result<Option<BlockMeta>, StorageError> {
    let name = meta.ulid.to_string();
    let tmp = dir.join(format!("{name}{CREATION_SUFFIX}"));
    let written = prepare(disk, &tmp).and_then(|()| fill(options, disk, &tmp, meta, source, shape));
    match written {
        Ok(Some(meta)) => {
            let io =
                |source| StorageError::Io { path: dir.join(&name), action: "name block", source };
            disk.rename(&tmp, &dir.join(&name)).map_err(io)?;
            disk.sync_dir(dir).map_err(io)?;
            Ok(Some(meta))
        }
        other => {
            if let Err(err) = disk.remove_dir_all(&tmp) {
                tracing::error!(dir = %tmp.display(), err = %err, "Removing an unfinished block failed");
            }
            other
        }
    }
}

fn prepare(disk: &dyn Disk, tmp: &Path) -> Result<(), StorageError> {
    let made = disk.remove_dir_all(tmp).and_then(|()| disk.create_dir_all(tmp));
    made.map_err(|source| StorageError::Io {
        path: tmp.to_owned(),
        action: "create block directory",
        source,
    })
}

fn fill(
    options: WriteOptions<'_>,
    disk: &dyn Disk,
    tmp: &Path,
    mut meta: BlockMeta,
    source: &mut dyn BlockSource,
    shape: Shape,
) -> Result<Option<BlockMeta>, StorageError> {
    let metrics = options.metrics.filter(|_| ChunkMetrics::is_for(meta.compaction.level));
    let mut index = IndexWriter::new(disk, tmp)?;
    let mut chunks = ChunkWriter::new(disk, tmp, SEGMENT_SIZE_BYTES)?;
    // The empty text is the first symbol, so the source's numbers are one less.
    source.symbols(&mut |text| index.add_symbol(text).map(|_| ()))?;
    let (mut series, mut shaped) = (SourceSeries::default(), SourceSeries::default());
    let mut rewritten = SourceSeries::default();
    let mut entries: Vec<ChunkMeta> = Vec::new();
    let mut stats = BlockStats::default();
    while source.next_series(&mut series)? {
        shape.apply(&mut series, &mut shaped)?;
        if options.floats == FloatEncoding::Xor2 {
            xor2::rewrite(&shaped, &mut rewritten)?;
            std::mem::swap(&mut shaped, &mut rewritten);
        }
        if shaped.chunks.is_empty() {
            continue;
        }
        entries.clear();
        for chunk in &shaped.chunks {
            let data = shaped.bytes_of(chunk);
            let samples_count = count(&mut stats, chunk.encoding, data);
            if let Some(metrics) = metrics {
                metrics.observe(chunk, samples_count);
            }
            let chunk_ref = chunks.write(chunk.encoding, data)?;
            entries.push(ChunkMeta { min_t: chunk.min_t, max_t: chunk.max_t, chunk_ref });
        }
        stats.num_series += 1;
        series.labels.iter_mut().for_each(|(name, value)| {
            *name += 1;
            *value += 1;
        });
        index.add_series(&series.labels, &entries)?;
    }
    if stats.num_samples == 0 && !options.is_empty_kept {
        return Ok(None);
    }
    chunks.finish()?;
    index.finish()?;
    meta.stats = stats;
    Tombstones::default().write(disk, tmp)?;
    meta.write(disk, tmp)?;
    disk.sync_dir(tmp).map_err(|source| StorageError::Io {
        path: tmp.to_owned(),
        action: "sync",
        source,
    })?;
    Ok(Some(meta))
}

/// Counts a chunk, and says how many samples it has.
fn count(stats: &mut BlockStats, encoding: u8, data: &[u8]) -> u64 {
    let header = data.first_chunk().map_or(0, |count| u16::from_be_bytes(*count));
    let encoding = Encoding::of_byte(encoding);
    let count = u64::from(encoding.map_or(header, |encoding| encoding.count_of_header(header)));
    let is_float = encoding.is_ok_and(Encoding::is_float);
    stats.num_chunks += 1;
    stats.num_samples += count;
    if is_float {
        stats.num_float_samples += count;
    } else {
        stats.num_histogram_samples += count;
    }
    count
}
