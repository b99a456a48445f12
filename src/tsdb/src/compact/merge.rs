//! Several blocks as one source: series with the same labels are one, without the samples that are deleted
//! in the block they come from. How overlapping chunks are merged is the matter of `shape`.

use std::sync::Arc;

use prom_storage::{StorageError, TimeRange};

use crate::{
    block::{
        Block, BlockId, BlockMeta, BlockSource, HINT_OUT_OF_ORDER, SeriesEntry, SourceSeries,
        Tombstones,
    },
    select::columns,
};

use super::shape::{decode, push_samples};

/// Blocks that are read side by side.
#[derive(Debug)]
pub(crate) struct BlockMerge {
    inputs: Vec<Input>,
}

#[derive(Debug)]
struct Input {
    block: Arc<Block>,
    tombstones: Arc<Tombstones>,
    /// Places among the symbols of all blocks, by what the block calls them.
    symbols: Vec<u32>,
    /// Numbers of all series in the order of their labels, the last one first.
    series: Vec<u32>,
    /// Whether what cannot be read is left out.
    is_lenient: bool,
    /// The series that comes next, with places for symbols.
    next: Option<(u32, SeriesEntry)>,
}

impl BlockMerge {
    /// Of samples at one time, that of the senior block stays.
    pub(crate) fn new(blocks: &[Arc<Block>]) -> Result<Self, StorageError> {
        let mut blocks: Vec<&Arc<Block>> = blocks.iter().collect();
        blocks.sort_by_cached_key(|block| block.seniority());
        let inputs = blocks.into_iter().map(|block| Input::new(block, false));
        Ok(Self { inputs: inputs.collect::<Result<_, StorageError>>()? })
    }

    /// What can be read of a damaged block.
    pub(crate) fn salvage(block: &Arc<Block>) -> Result<Self, StorageError> {
        Ok(Self { inputs: vec![Input::new(block, true)?] })
    }
}

/// What the block that replaces others is told to be.
/// Compat: Prometheus `tsdb/compact.go` (CompactBlockMetas), 3.14.
pub(crate) fn merged_meta(id: BlockId, metas: &[BlockMeta]) -> BlockMeta {
    let times = metas.iter().map(|meta| (meta.min_time, meta.max_time));
    let times = times.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).unwrap_or_default();
    let mut merged = BlockMeta::new(id, times);
    let compaction = &mut merged.compaction;
    compaction.level = metas.iter().map(|meta| meta.compaction.level).max().unwrap_or(0) + 1;
    compaction.parents = metas.iter().map(BlockMeta::desc).collect();
    compaction.sources = metas.iter().flat_map(|meta| meta.compaction.sources.clone()).collect();
    compaction.sources.sort_unstable();
    compaction.sources.dedup();
    for hint in metas.iter().flat_map(|meta| &meta.compaction.hints) {
        // Mixed with samples that came in order, the block stands for those.
        if hint != HINT_OUT_OF_ORDER || metas.iter().all(|meta| meta.has_hint(HINT_OUT_OF_ORDER)) {
            merged.add_hint(hint);
        }
    }
    merged
}

impl BlockSource for BlockMerge {
    fn symbols(
        &mut self,
        each: &mut dyn FnMut(&str) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let blocks: Vec<Arc<Block>> =
            self.inputs.iter().map(|input| Arc::clone(&input.block)).collect();
        let mut tables = Vec::with_capacity(blocks.len());
        for block in &blocks {
            let mut table = block.index().sorted_symbols()?.peekable();
            // The empty text is no symbol of a series.
            while let Some(Ok((_, ""))) = table.peek() {
                table.next();
            }
            tables.push(table);
        }
        let mut place = 0;
        loop {
            let mut least: Option<&str> = None;
            for table in &mut tables {
                match table.peek() {
                    Some(Ok((_, text))) => {
                        least = Some(least.map_or(*text, |least| least.min(text)));
                    }
                    Some(Err(_)) => {
                        table.next().transpose()?;
                    }
                    None => {}
                }
            }
            let Some(least) = least else { break };
            for (table, input) in tables.iter_mut().zip(&mut self.inputs) {
                if let Some(Ok((symbol, _))) =
                    table.next_if(|next| next.as_ref().is_ok_and(|(_, text)| *text == least))
                {
                    let at = symbol as usize;
                    if input.symbols.len() <= at {
                        input.symbols.resize(at + 1, u32::MAX);
                    }
                    input.symbols[at] = place;
                }
            }
            each(least)?;
            place += 1;
        }
        drop(tables);
        self.inputs.iter_mut().try_for_each(Input::advance)
    }

    fn next_series(&mut self, series: &mut SourceSeries) -> Result<bool, StorageError> {
        series.clear();
        let labels = self.inputs.iter().filter_map(|input| Some(&input.next.as_ref()?.1.labels));
        let Some(labels) = labels.min() else { return Ok(false) };
        series.labels.extend_from_slice(labels);
        for input in &mut self.inputs {
            if input.next.as_ref().is_some_and(|(_, entry)| entry.labels == series.labels) {
                input.add_chunks(series)?;
                input.advance()?;
            }
        }
        Ok(true)
    }
}

impl Input {
    fn new(block: &Arc<Block>, is_lenient: bool) -> Result<Self, StorageError> {
        let mut series: Vec<u32> = block.index().all_postings()?.iter().collect();
        series.reverse();
        Ok(Self {
            block: Arc::clone(block),
            tombstones: block.tombstones(),
            symbols: Vec::new(),
            series,
            is_lenient,
            next: None,
        })
    }

    /// Reads the next series.
    fn advance(&mut self) -> Result<(), StorageError> {
        let (_, mut entry) = self.next.take().unwrap_or_default();
        while let Some(number) = self.series.pop() {
            match self.read(number, &mut entry) {
                Ok(()) => {
                    self.next = Some((number, entry));
                    return Ok(());
                }
                Err(_) if self.is_lenient => {}
                Err(err) => return Err(err),
            }
        }
        Ok(())
    }

    /// Reads a series, with places for symbols.
    fn read(&self, number: u32, entry: &mut SeriesEntry) -> Result<(), StorageError> {
        self.block.index().series(number, entry)?;
        for symbol in entry.labels.iter_mut().flat_map(|(name, value)| [name, value]) {
            let place = self.symbols.get(*symbol as usize).filter(|place| **place != u32::MAX);
            *symbol = *place.ok_or_else(|| StorageError::Corruption {
                path: self.block.dir().to_owned(),
                offset: u64::from(number),
                reason: format!("series has a symbol {symbol} that is not in the table"),
            })?;
        }
        Ok(())
    }

    /// Adds the chunks of the series that is next, without what is deleted.
    fn add_chunks(&self, series: &mut SourceSeries) -> Result<(), StorageError> {
        let Some((number, entry)) = &self.next else { return Ok(()) };
        let deleted = self.tombstones.of(u64::from(*number));
        for chunk in &entry.chunks {
            let hit = |d: &TimeRange| d.mint_ms <= chunk.max_t && d.maxt_ms >= chunk.min_t;
            let covers = |d: &TimeRange| d.mint_ms <= chunk.min_t && d.maxt_ms >= chunk.max_t;
            if deleted.iter().any(covers) {
                continue;
            }
            if self.is_lenient && self.block.samples(chunk).is_err() {
                continue;
            }
            let (encoding, data) = self.block.chunks().get(chunk.chunk_ref)?;
            if !deleted.iter().any(hit) {
                series.push_chunk((chunk.min_t, chunk.max_t), encoding, data);
                continue;
            }
            let mut one = SourceSeries::default();
            one.push_chunk((chunk.min_t, chunk.max_t), encoding, data);
            let all = TimeRange { mint_ms: i64::MIN, maxt_ms: i64::MAX };
            let mut samples = decode(&one, &one.chunks[0], all)?;
            columns::delete(&mut samples, deleted);
            if !samples.is_empty() {
                push_samples(&samples, series);
            }
        }
        Ok(())
    }
}
