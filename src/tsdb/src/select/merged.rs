//! The series of several blocks and the head as one selection: series with the same labels are one, their
//! samples are put in order when they are read. How each part finds its series is told elsewhere.

use std::{ops::ControlFlow, sync::Arc};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use prom_model::{Labels, Matcher};
use prom_storage::{Columns, Grouping, Groups, Selection, StorageError, TimeRange};
use smallvec::SmallVec;

use crate::{
    block::{Block, BlockId, ChunkMeta, SeriesEntry, Tombstones, read_chunk},
    head::Arrival,
};

use super::{
    block::{for_each_matching, has_chunk_in},
    columns,
    grouping::{PairTable, RowSet, dropped_names, group_rows, rank_ids, rows_differ},
    patience::Patience,
    selection::HeadSelection,
};

/// No further place.
const NONE: u32 = u32::MAX;

/// Series that matched anywhere.
#[derive(Debug)]
pub(super) struct MergedSelection {
    /// The querier's range.
    range: TimeRange,
    blocks: Vec<BlockPart>,
    head: Option<HeadSelection>,
    pairs: PairTable,
    rows: RowSet,
    /// By row: its first and its last place.
    ends: Vec<(u32, u32)>,
    places: Vec<Place>,
    /// Rows in the order of the selection.
    order: Vec<u32>,
}

/// A block as it was when the selection was made.
#[derive(Debug)]
struct BlockPart {
    block: Arc<Block>,
    tombstones: Arc<Tombstones>,
    is_out_of_order: bool,
    /// Its place among the blocks by seniority: of samples at one time that of the least stays.
    rank: usize,
}

/// Where a series is, too.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// A block, or behind them the head.
    part: u32,
    /// The series in that part.
    number: u32,
    next: u32,
}

/// A chunk with samples that may be wanted.
struct Piece<'a> {
    part: usize,
    rank: usize,
    chunk: ChunkMeta,
    deleted: &'a [TimeRange],
}

impl MergedSelection {
    /// Takes the series of the blocks that have a chunk in `asked`, and those of the head.
    pub(super) fn new(
        blocks: &[Arc<Block>],
        head: HeadSelection,
        matchers: &[Matcher],
        range: TimeRange,
        asked: TimeRange,
        patience: &Patience<'_>,
    ) -> Result<Self, StorageError> {
        let mut merged = Self {
            range,
            blocks: parts(blocks),
            head: None,
            pairs: PairTable::default(),
            rows: RowSet::default(),
            ends: Vec::new(),
            places: Vec::new(),
            order: Vec::new(),
        };
        for part in 0..merged.blocks.len() {
            merged.add_block(part, matchers, asked, patience)?;
        }
        merged.add_head(head);
        merged.order = (0..merged.rows.count() as u32).collect();
        Ok(merged)
    }

    pub(super) fn sort(&mut self) {
        let ranks = rank_ids(self.rows.ids(), |id| self.pairs.texts(id));
        let row = |number: u32| self.rows.row(number).iter().map(|id| ranks[id]);
        self.order.sort_unstable_by(|a, b| row(*a).cmp(row(*b)));
    }

    pub(super) fn truncate(&mut self, count_max: usize) {
        self.order.truncate(count_max);
    }

    fn add_block(
        &mut self,
        part: usize,
        matchers: &[Matcher],
        asked: TimeRange,
        patience: &Patience<'_>,
    ) -> Result<(), StorageError> {
        let BlockPart { block, tombstones, .. } = &self.blocks[part];
        let (block, tombstones) = (Arc::clone(block), Arc::clone(tombstones));
        let mut ids: HashMap<(u32, u32), u32, FixedState> = HashMap::default();
        let mut row: SmallVec<[u32; 32]> = SmallVec::new();
        for_each_matching(&block, matchers, patience, |number, entry| {
            if has_chunk_in(number, entry, &tombstones, asked) {
                row.clear();
                for pair in &entry.labels {
                    let id = match ids.get(pair) {
                        Some(id) => *id,
                        None => {
                            let (name, value) = *pair;
                            let index = block.index();
                            let id = self.pairs.intern(index.symbol(name)?, index.symbol(value)?);
                            ids.insert(*pair, id);
                            id
                        }
                    };
                    row.push(id);
                }
                self.add(&row, part, number);
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    fn add_head(&mut self, head: HeadSelection) {
        let part = self.blocks.len();
        {
            let pairs = head.pairs();
            let ids = head.distinct_pair_ids().into_iter().map(|id| {
                let (name, value) = pairs.texts(id);
                (id.0, self.pairs.intern(name, value))
            });
            let ids: HashMap<u32, u32, FixedState> = ids.collect();
            let mut row: SmallVec<[u32; 32]> = SmallVec::new();
            for number in 0..head.len() {
                row.clear();
                row.extend(head.ids(number).iter().map(|id| ids[id]));
                self.add(&row, part, number as u32);
            }
        }
        self.head = Some(head);
    }

    fn add(&mut self, row: &[u32], part: usize, number: u32) {
        let place = self.places.len() as u32;
        self.places.push(Place { part: part as u32, number, next: NONE });
        let (row, is_new) = self.rows.insert(row);
        if is_new {
            self.ends.push((place, place));
        } else {
            let (_, last) = &mut self.ends[row as usize];
            self.places[*last as usize].next = place;
            *last = place;
        }
    }

    /// Where the series at `index` is, blocks by time, then the head.
    fn places(&self, index: usize) -> impl Iterator<Item = Place> {
        let (first, _) = self.ends[self.order[index] as usize];
        std::iter::successors(self.places.get(first as usize), |place| {
            self.places.get(place.next as usize)
        })
        .copied()
    }

    fn decode(
        &self,
        piece: &Piece<'_>,
        range: TimeRange,
        out: &mut Columns,
    ) -> Result<(), StorageError> {
        let block = &self.blocks[piece.part].block;
        self.try_decode(block, piece, range, out).inspect_err(|err| block.suspect(err))
    }

    fn try_decode(
        &self,
        block: &Block,
        piece: &Piece<'_>,
        range: TimeRange,
        out: &mut Columns,
    ) -> Result<(), StorageError> {
        let chunks = block.chunks();
        let chunk_ref = piece.chunk.chunk_ref;
        let (encoding, data) = chunks.get(chunk_ref)?;
        let is_hit = |d: &TimeRange| {
            d.mint_ms <= piece.chunk.max_t.min(range.maxt_ms)
                && d.maxt_ms >= piece.chunk.min_t.max(range.mint_ms)
        };
        let read = |out: &mut Columns| {
            read_chunk(encoding, data, range, out)
                .map_err(|err| chunks.corruption(chunk_ref, &err.to_string()))
        };
        if !piece.deleted.iter().any(is_hit) {
            return read(out);
        }
        let mut all = Columns::default();
        read(&mut all)?;
        columns::delete(&mut all, piece.deleted);
        columns::append(out, &all);
        Ok(())
    }

    /// Appends the samples of pieces, which ascend by their begin.
    fn read_pieces(
        &self,
        pieces: &[Piece<'_>],
        range: TimeRange,
        out: &mut Columns,
    ) -> Result<(), StorageError> {
        let mut rest = pieces;
        while let Some((first, others)) = rest.split_first() {
            let mut end = first.chunk.max_t;
            let mut count = 1;
            while let Some(next) = others.get(count - 1).filter(|next| next.chunk.min_t <= end) {
                end = end.max(next.chunk.max_t);
                count += 1;
            }
            let (together, after) = rest.split_at(count);
            rest = after;
            if together.len() == 1 {
                self.decode(first, range, out)?;
                continue;
            }
            let mut together: SmallVec<[&Piece<'_>; 8]> = together.iter().collect();
            together.sort_by_key(|piece| piece.rank);
            let mut merged = Columns::default();
            for piece in together {
                let mut one = Columns::default();
                self.decode(piece, range, &mut one)?;
                merged = match merged.is_empty() {
                    true => one,
                    false => columns::merge(&merged, &one),
                };
            }
            columns::append(out, &merged);
        }
        Ok(())
    }
}

impl Selection for MergedSelection {
    fn len(&self) -> usize {
        self.order.len()
    }

    fn may_have_histograms(&self) -> bool {
        self.head.as_ref().is_some_and(HeadSelection::may_have_histograms)
            || self.blocks.iter().any(|part| part.block.may_have_histograms())
    }

    fn labels(&self, index: usize) -> Labels {
        self.pairs.labels(self.rows.row(self.order[index]))
    }

    fn read(&self, index: usize, range: TimeRange, out: &mut Columns) -> Result<(), StorageError> {
        let range = TimeRange {
            mint_ms: range.mint_ms.max(self.range.mint_ms),
            maxt_ms: range.maxt_ms.min(self.range.maxt_ms),
        };
        let mut pieces: SmallVec<[Piece<'_>; 16]> = SmallVec::new();
        let mut entry = SeriesEntry::default();
        let mut in_head = None;
        for place in self.places(index) {
            let part = place.part as usize;
            let Some(BlockPart { block, tombstones, rank, .. }) = self.blocks.get(part) else {
                in_head = Some(place.number as usize);
                continue;
            };
            block.index().series(place.number, &mut entry)?;
            let deleted = tombstones.of(u64::from(place.number));
            let is_within =
                |chunk: &&ChunkMeta| chunk.min_t <= range.maxt_ms && chunk.max_t >= range.mint_ms;
            let chunks = entry.chunks.iter().filter(is_within);
            pieces.extend(chunks.map(|chunk| Piece { part, rank: *rank, chunk: *chunk, deleted }));
        }
        pieces.sort_by_key(|piece| piece.chunk.min_t);
        let Some((in_head, head)) = in_head.zip(self.head.as_ref()) else {
            return self.read_pieces(&pieces, range, out);
        };
        if pieces.is_empty() {
            return head.read(in_head, range, out);
        }
        let (mut old, mut recent) = (Columns::default(), Columns::default());
        self.read_pieces(&pieces, range, &mut old)?;
        head.read(in_head, range, &mut recent)?;
        let is_apart = match (columns::bounds(&old), columns::bounds(&recent)) {
            (Some((_, last)), Some((first, _))) => last < first,
            _ => true,
        };
        if is_apart {
            columns::append(out, &old);
            columns::append(out, &recent);
            return Ok(());
        }
        let is_late = |piece: &Piece<'_>| self.blocks[piece.part].is_out_of_order;
        if !pieces.iter().any(is_late) {
            columns::append(out, &columns::merge(&old, &recent));
            return Ok(());
        }
        // What came in order stays, wherever it is; then what came first.
        let (late, in_order): (SmallVec<[_; 16]>, SmallVec<[_; 16]>) =
            pieces.into_iter().partition(is_late);
        let mut sources: [Columns; 4] = Default::default();
        self.read_pieces(&in_order, range, &mut sources[0])?;
        head.read_arrived(in_head, (range, Arrival::InOrder), &mut sources[1])?;
        self.read_pieces(&late, range, &mut sources[2])?;
        head.read_arrived(in_head, (range, Arrival::OutOfOrder), &mut sources[3])?;
        let merged = sources.into_iter().reduce(|a, b| columns::merge(&a, &b));
        columns::append(out, &merged.unwrap_or_default());
        Ok(())
    }

    fn group(&self, grouping: &Grouping<'_>) -> Groups {
        group_rows(
            self.order.iter().map(|row| self.rows.row(*row)),
            grouping,
            |name| self.pairs.find_name(name),
            |id| self.pairs.name_of(id),
            |ids| self.pairs.labels(ids),
        )
    }

    fn differ_without(&self, names: &[&str]) -> bool {
        let dropped = dropped_names(names, |name| self.pairs.find_name(name));
        let is_kept = |id| !dropped.contains(&self.pairs.name_of(id));
        rows_differ(self.len(), |index| self.rows.row(self.order[index]), is_kept)
    }
}

/// The blocks with their ranks.
fn parts(blocks: &[Arc<Block>]) -> Vec<BlockPart> {
    let mut seniorities: Vec<_> = blocks.iter().map(|block| block.seniority()).collect();
    let of_blocks = seniorities.clone();
    seniorities.sort_unstable();
    let part = |(block, seniority): (&Arc<Block>, (bool, BlockId))| BlockPart {
        block: Arc::clone(block),
        tombstones: block.tombstones(),
        is_out_of_order: seniority.0,
        rank: seniorities.partition_point(|other| *other < seniority),
    };
    blocks.iter().zip(of_blocks).map(part).collect()
}
