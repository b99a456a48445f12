//! Blocks are written from sources of all kinds of series, merged, and hold what the sources held.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use prom_storage::{Columns, StorageError, TimeRange};
use prom_testkit::FaultyDisk;
use proptest::prelude::*;

use crate::{
    block::{Block, BlockId, BlockMeta, BlockSource, SeriesEntry, SourceSeries, read_chunk},
    chunk::encode_floats,
    select::columns,
};

use super::*;

const DIR: &str = "/data";
const ALL: TimeRange = TimeRange { mint_ms: i64::MIN, maxt_ms: i64::MAX };

/// Series by the value of their one label; chunks as lists of samples.
type Content = BTreeMap<String, Vec<Vec<(i64, u64)>>>;
type Samples = BTreeMap<String, BTreeMap<i64, u64>>;

struct MemorySource {
    content: Content,
    deleted: Vec<TimeRange>,
}

impl BlockSource for MemorySource {
    fn symbols(
        &mut self,
        each: &mut dyn FnMut(&str) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        each("LABEL")?;
        self.content.keys().try_for_each(|value| each(value))
    }

    fn next_series(&mut self, series: &mut SourceSeries) -> Result<bool, StorageError> {
        series.clear();
        let Some((_, chunks)) = self.content.pop_first() else { return Ok(false) };
        let place = TOTAL.with(|total| total.get()) - self.content.len() as u32;
        series.labels.push((0, place));
        for samples in chunks.iter().filter(|samples| !samples.is_empty()) {
            let mut data = Vec::new();
            encode_floats(samples, &mut data);
            series.push_chunk((samples[0].0, samples[samples.len() - 1].0), 1, &data);
        }
        series.deleted.clone_from(&self.deleted);
        Ok(true)
    }
}

thread_local! {
    /// How many series the source began with.
    static TOTAL: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

fn write(
    disk: &FaultyDisk,
    content: &Content,
    deleted: &[TimeRange],
    shape: Shape,
) -> Option<Arc<Block>> {
    TOTAL.with(|total| total.set(content.len() as u32));
    let mut source = MemorySource { content: content.clone(), deleted: deleted.to_vec() };
    let id = BlockId::new(1);
    let meta = BlockMeta::new(id, (0, 1 << 40));
    disk.create_dir_all(Path::new(DIR)).unwrap();
    write_block(disk, Path::new(DIR), meta, &mut source, shape).unwrap()?;
    Some(Arc::new(Block::open(disk, &Path::new(DIR).join(id.to_string())).unwrap()))
}

/// The samples of a block; checks that chunks do not overlap and say what they hold.
fn read(block: &Block) -> Samples {
    let mut found = Samples::new();
    let mut entry = SeriesEntry::default();
    let (mut samples_count, mut chunks_count) = (0, 0);
    for number in block.index().all_postings().unwrap().iter() {
        block.index().series(number, &mut entry).unwrap();
        let value = block.index().symbol(entry.labels[0].1).unwrap();
        let samples = found.entry(value.to_owned()).or_default();
        let mut last = i64::MIN;
        for chunk in &entry.chunks {
            let (encoding, data) = block.chunks().get(chunk.chunk_ref).unwrap();
            let mut columns = Columns::default();
            read_chunk(encoding, data, ALL, &mut columns).unwrap();
            assert_eq!(columns::bounds(&columns), Some((chunk.min_t, chunk.max_t)));
            assert!(chunk.min_t > last);
            last = chunk.max_t;
            samples_count += columns.len() as u64;
            chunks_count += 1;
            let values = columns.values.iter().map(|value| value.to_bits());
            samples.extend(columns.timestamps_ms.iter().copied().zip(values));
        }
    }
    let stats = block.meta().stats;
    assert_eq!(
        (stats.num_samples, stats.num_chunks, stats.num_series),
        (samples_count, chunks_count, found.len() as u64)
    );
    found
}

/// What is to be found: of two samples at one time, that of the chunk that comes first.
fn expected(content: &Content, deleted: &[TimeRange], range: TimeRange) -> Samples {
    let mut samples = Samples::new();
    for (value, chunks) in content {
        let mut of_series = BTreeMap::new();
        for (t, v) in chunks.iter().flatten().copied() {
            let is_within = |range: &TimeRange| (range.mint_ms..=range.maxt_ms).contains(&t);
            if is_within(&range) && !deleted.iter().any(is_within) {
                of_series.entry(t).or_insert(v);
            }
        }
        if !of_series.is_empty() {
            samples.insert(value.clone(), of_series);
        }
    }
    samples
}

fn any_content() -> impl Strategy<Value = Content> {
    let sample = (1i64..40_000, (0u32..50).prop_map(|v| f64::from(v).to_bits()));
    let chunk =
        (0i64..2_000_000, prop::collection::vec(sample, 0..150)).prop_map(|(begin, steps)| {
            let mut t = begin;
            let next = |(step, value)| {
                t += step;
                (t, value)
            };
            steps.into_iter().map(next).collect::<Vec<_>>()
        });
    prop::collection::btree_map("[a-c]{1,3}", prop::collection::vec(chunk, 0..5), 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn blocks_hold_what_their_sources_held(
        content in any_content(),
        ends in (0i64..2_000_000, 0i64..4_000_000),
        deleted in prop::option::of((0i64..2_000_000, 0i64..500_000)),
        is_dense in any::<bool>(),
    ) {
        let range = TimeRange { mint_ms: ends.0, maxt_ms: ends.0 + ends.1 };
        let deleted: Vec<TimeRange> = deleted
            .map(|(begin, size)| TimeRange { mint_ms: begin, maxt_ms: begin + size })
            .into_iter()
            .collect();
        for range in [ALL, range] {
            let disk = FaultyDisk::default();
            let wanted = expected(&content, &deleted, range);
            match write(&disk, &content, &deleted, Shape { range, is_dense }) {
                Some(block) => prop_assert_eq!(read(&block), wanted),
                None => prop_assert!(wanted.is_empty()),
            }
        }
    }

    #[test]
    fn merged_blocks_hold_what_the_blocks_held(
        contents in prop::collection::vec(any_content(), 1..4),
        deleted in prop::collection::vec((0i64..2_000_000, 0i64..500_000), 3),
    ) {
        let mut blocks = Vec::new();
        let (mut wanted, mut times) = (Samples::new(), Vec::new());
        for (content, (begin, size)) in contents.iter().zip(&deleted) {
            let disk = FaultyDisk::default();
            let shape = Shape { range: ALL, is_dense: false };
            let Some(block) = write(&disk, content, &[], shape) else { continue };
            let gone = TimeRange { mint_ms: *begin, maxt_ms: begin + size };
            let mut tombstones = (*block.tombstones()).clone();
            for number in block.index().all_postings().unwrap().iter() {
                tombstones.add(u64::from(number), gone);
            }
            block.set_tombstones(&disk, tombstones).unwrap();
            for (value, samples) in expected(content, &[gone], ALL) {
                wanted.entry(value).or_default().extend(samples);
            }
            times.push(block.times());
            blocks.push(block);
        }
        if blocks.is_empty() {
            return Ok(());
        }
        let disk = FaultyDisk::default();
        disk.create_dir_all(Path::new(DIR)).unwrap();
        let metas: Vec<BlockMeta> = blocks.iter().map(|block| block.meta()).collect();
        let meta = merged_meta(BlockId::new(2), &metas);
        let id = meta.ulid;
        let mut merge = BlockMerge::new(&blocks).unwrap();
        let shape = Shape { range: ALL, is_dense: true };
        let written = write_block(&disk, Path::new(DIR), meta, &mut merge, shape).unwrap();
        let found = match written {
            Some(_) => read(&Block::open(&disk, &Path::new(DIR).join(id.to_string())).unwrap()),
            None => Samples::new(),
        };
        // Values of equal times may come from either block.
        let times = |samples: &Samples| -> BTreeMap<String, Vec<i64>> {
            samples.iter().map(|(k, v)| (k.clone(), v.keys().copied().collect())).collect()
        };
        prop_assert_eq!(times(&found), times(&wanted));
    }
}

#[test]
fn dense_blocks_are_smaller_and_hold_the_same() {
    let chunk = |begin: i64, series: i64| -> Vec<(i64, u64)> {
        let value = |at: i64| match at % 10 {
            9 => 123_456.789 * at as f64,
            n => (n + series) as f64,
        };
        (0..120).map(|at| ((begin + at) * 15_000, value(at).to_bits())).collect()
    };
    let content: Content = (0..20)
        .map(|series| {
            (format!("s{series:02}"), (0..12).map(|at| chunk(at * 120, series)).collect())
        })
        .collect();
    let size = |is_dense| {
        let disk = FaultyDisk::default();
        let block = write(&disk, &content, &[], Shape { range: ALL, is_dense }).unwrap();
        assert_eq!(read(&block), expected(&content, &[], ALL));
        block.chunks().size_bytes() + block.index().size_bytes()
    };
    let (plain, dense) = (size(false), size(true));
    assert!(dense * 10 <= plain * 9, "{dense} of {plain}");
}

#[test]
fn no_sample_no_block() {
    let disk = FaultyDisk::default();
    let content: Content = [("a".to_owned(), vec![vec![(5, 1)]])].into();
    let shape = Shape { range: TimeRange { mint_ms: 6, maxt_ms: 9 }, is_dense: false };
    assert!(write(&disk, &content, &[], shape).is_none());
    assert_eq!(disk.list(Path::new(DIR)).unwrap(), Vec::<String>::new());
}
