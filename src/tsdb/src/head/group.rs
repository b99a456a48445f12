//! 1 024 slots behind one lock, with all that their samples need: a batch takes the lock once for a run of
//! samples, a reader for one series.

mod closed_files;
mod filed;
mod image;
mod open;
mod starts;

use std::sync::{OnceLock, RwLock};

use prom_model::{HistogramValue, is_stale};
use prom_storage::{Columns, Rejection, TimeRange};

pub(super) use self::{
    closed_files::{Lost, Remade},
    image::RestoredGroup,
};

use self::{filed::ChunksAhead, open::Open};
use crate::{
    chunk::{ChunkError, Encoding, Extent, is_new_chunk_due, range_end_ms, read_chunk},
    head_chunks::ChunkMaps,
};

use super::{
    blocks::BlockPool,
    closed::{ClosedChunks, ClosedId},
    histograms::{HistogramSlots, is_marker, stale_like},
    slot::{ColdSlot, HotSlot, NO_TIME},
    starts::OpenStarts,
    visibility::CommitTails,
};

pub(super) const GROUP_SLOTS: usize = 1024;
/// Groups that one page numbers, and pages: 2^30 slots in all.
const PAGE_GROUPS: usize = 1024;
const PAGES: usize = 1024;

type GroupPage = Box<[OnceLock<Box<Group>>]>;

/// All groups; slots are found without a lock.
#[derive(Debug)]
pub(super) struct Groups {
    pages: Box<[OnceLock<GroupPage>]>,
}

#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) data: RwLock<GroupData>,
}

#[derive(Debug, Default)]
pub(super) struct GroupData {
    hot: Vec<HotSlot>,
    cold: Vec<ColdSlot>,
    blocks: BlockPool,
    closed: ClosedChunks,
    /// By slot, while the log is replayed; empty otherwise.
    ahead: Vec<ChunksAhead>,
    pub(super) histograms: HistogramSlots,
    starts: OpenStarts,
    pub(super) tails: CommitTails,
    /// Holds a chunk while it is put together.
    scratch: Vec<u8>,
}

/// A chunk as it is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunkView<'a> {
    pub(crate) min_t: i64,
    pub(crate) max_t: i64,
    pub(crate) encoding: Encoding,
    pub(crate) data: &'a [u8],
}

/// What is left of a group, or of a head, when old chunks have gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Truncated {
    pub(super) chunks_count: u64,
    /// Series without samples: they may go.
    pub(super) doomed_count: u64,
    /// The oldest sample that is left; `i64::MAX` if there is none.
    pub(super) min_t: i64,
    /// The oldest file with a chunk that is left; `u32::MAX` if there is none.
    pub(super) first_file: u32,
}

impl Truncated {
    pub(super) const NOTHING: Self =
        Self { chunks_count: 0, doomed_count: 0, min_t: i64::MAX, first_file: u32::MAX };
}

/// A series that has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Swept {
    pub(super) series_ref: u64,
    /// There is a record of it on the log.
    pub(super) is_logged: bool,
    pub(super) is_stale: bool,
}

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Appended {
    /// `staleness` is what it adds to the number of stale series.
    Stored { is_new_chunk: bool, staleness: i8 },
    /// Not newer than what is there.
    Dropped,
    /// There is no such series, or the slot belongs to another one by now.
    Unknown,
}

impl Groups {
    pub(super) fn new() -> Self {
        Self { pages: (0..PAGES).map(|_| OnceLock::new()).collect() }
    }

    /// The group of a slot, if any slot of it was ever taken.
    #[inline]
    pub(super) fn get(&self, slot: u32) -> Option<&Group> {
        let group = slot as usize / GROUP_SLOTS;
        self.pages
            .get(group / PAGE_GROUPS)?
            .get()?
            .get(group % PAGE_GROUPS)?
            .get()
            .map(|group| &**group)
    }

    /// All groups there are.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Group> {
        let pages = self.pages.iter().filter_map(OnceLock::get);
        pages.flat_map(|page| page.iter()).filter_map(OnceLock::get).map(|group| &**group)
    }

    /// The group of a slot, made if need be; `None` past the last slot there can be.
    pub(super) fn get_or_make(&self, slot: u32) -> Option<&Group> {
        let group = slot as usize / GROUP_SLOTS;
        let page = self.pages.get(group / PAGE_GROUPS)?;
        let page = page.get_or_init(|| (0..PAGE_GROUPS).map(|_| OnceLock::new()).collect());
        Some(page[group % PAGE_GROUPS].get_or_init(Box::default))
    }
}

impl GroupData {
    /// Takes a slot: one that is free again, or the next one.
    pub(super) fn create(&mut self, slot: usize, series_ref: u64, seq: u32, flags: u8) {
        if self.hot.is_empty() {
            self.hot.reserve_exact(GROUP_SLOTS);
            self.cold.reserve_exact(GROUP_SLOTS);
        }
        let (hot, cold) = (HotSlot::new(series_ref, flags), ColdSlot { seq, closed_last: None });
        if slot < self.hot.len() {
            debug_assert_eq!(self.hot[slot].series_ref, HotSlot::NO_REF);
            (self.hot[slot], self.cold[slot]) = (hot, cold);
        } else {
            debug_assert_eq!(self.hot.len(), slot);
            self.hot.push(hot);
            self.cold.push(cold);
        }
    }

    /// Gives the series of a slot another ref, if it has no samples; says whether it did.
    pub(super) fn rename(&mut self, slot: usize, series_ref: u64) -> bool {
        let is_empty = self.cold.get(slot).is_some_and(|cold| cold.closed_last.is_none());
        let hot = self.hot.get_mut(slot).filter(|hot| is_empty && hot.samples_count == 0);
        hot.map(|hot| hot.series_ref = series_ref).is_some()
    }

    /// The slot, if it belongs to the series.
    #[inline]
    pub(super) fn hot(&self, slot: usize, series_ref: u64) -> Option<&HotSlot> {
        let is_its = |hot: &&HotSlot| hot.series_ref == series_ref && series_ref != HotSlot::NO_REF;
        self.hot.get(slot).filter(is_its)
    }

    pub(super) fn series_ref(&self, slot: usize) -> Option<u64> {
        let series_ref = self.hot.get(slot)?.series_ref;
        (series_ref != HotSlot::NO_REF).then_some(series_ref)
    }

    pub(super) fn stale_count(&self) -> usize {
        self.hot.iter().filter(|hot| hot.has(HotSlot::STALE)).count()
    }

    pub(super) fn series_refs(&self) -> impl Iterator<Item = u64> {
        let refs = self.hot.iter().map(|hot| hot.series_ref);
        refs.filter(|series_ref| *series_ref != HotSlot::NO_REF)
    }

    pub(super) fn is_doomed(&self, slot: usize) -> bool {
        self.hot.get(slot).is_some_and(|hot| hot.has(HotSlot::DOOMED))
    }

    /// Somebody wants the series: it stays.
    pub(super) fn spare(&mut self, slot: usize) {
        if let Some(hot) = self.hot.get_mut(slot) {
            hot.set(HotSlot::DOOMED, false);
        }
    }

    /// The numbers of the series have changed.
    pub(super) fn set_seq(&mut self, slot: usize, seq: u32) {
        if let Some(cold) = self.cold.get_mut(slot) {
            cold.seq = seq;
        }
    }

    pub(super) fn seq(&self, slot: usize) -> Option<u32> {
        Some(self.cold.get(slot)?.seq)
    }

    pub(super) fn is_unlogged(&self, slot: usize) -> bool {
        self.hot.get(slot).is_some_and(|hot| hot.has(HotSlot::UNLOGGED))
    }

    pub(super) fn set_logged(&mut self, slot: usize) {
        if let Some(hot) = self.hot.get_mut(slot) {
            hot.set(HotSlot::UNLOGGED, false);
        }
    }

    /// Adds a sample if it is newer than the last one (I4).
    #[inline]
    pub(super) fn append(
        &mut self,
        slot: usize,
        (t, v): (i64, u64),
        chunk_range_ms: i64,
    ) -> Appended {
        let Some(hot) = self.hot.get_mut(slot) else { return Appended::Unknown };
        if t <= hot.last_t {
            return Appended::Dropped;
        }
        if hot.has(HotSlot::HISTOGRAM) {
            if let Some(stale) = self.marker_for(slot, v) {
                return self.append_histogram(slot, t, &stale, chunk_range_ms);
            }
            self.leave_histograms(slot);
        }
        let hot = &mut self.hot[slot];
        let mut is_new_chunk = hot.samples_count == 0;
        if !is_new_chunk {
            let mut chunk = hot.chunk_state();
            is_new_chunk = is_new_chunk_due(&mut chunk, t);
            hot.next_at = chunk.next_at;
            if is_new_chunk {
                self.close_chunk(slot);
            }
        }
        let hot = &mut self.hot[slot];
        if hot.samples_count == 0 {
            hot.next_at = range_end_ms(t, chunk_range_ms);
        }
        hot.push_float((t, v), &mut self.blocks);
        let staleness = i8::from(is_stale(f64::from_bits(v))) - i8::from(hot.has(HotSlot::STALE));
        hot.set(HotSlot::STALE, is_stale(f64::from_bits(v)));
        hot.set(HotSlot::DOOMED, false);
        Appended::Stored { is_new_chunk, staleness }
    }

    pub(super) fn hot_mut(&mut self, slot: usize) -> Option<&mut HotSlot> {
        self.hot.get_mut(slot)
    }

    /// Ends the open chunk of a slot, of floats or of histograms.
    pub(super) fn close_chunk(&mut self, slot: usize) {
        let (hot, cold) = (&mut self.hot[slot], &mut self.cold[slot]);
        self.scratch.clear();
        let open = Open { slot, hot, blocks: &self.blocks, histograms: &self.histograms };
        let encoding = open.put(&self.starts, Extent::Whole, &mut self.scratch);
        let times = (hot.chunk_min_t, hot.last_t);
        let kind = (encoding, hot.samples_count);
        let id = self.closed.push(slot, cold.closed_last, times, kind, &self.scratch);
        cold.closed_last = Some(id);
        self.blocks.free(hot.chain);
        self.histograms.end_chunk(slot);
        self.starts.end_chunk(slot);
        hot.end_chunk();
    }

    /// What a float stands for that ends a series of histograms.
    #[cold]
    fn marker_for(&self, slot: usize, v: u64) -> Option<HistogramValue> {
        self.histograms.last(slot).filter(|_| is_marker(v)).map(stale_like)
    }

    /// Floats come from now on.
    #[cold]
    fn leave_histograms(&mut self, slot: usize) {
        if self.hot[slot].samples_count > 0 {
            self.close_chunk(slot);
        }
        self.histograms.remove(slot);
        self.hot[slot].set(HotSlot::HISTOGRAM, false);
    }

    /// What the last value of a series was, where only files know.
    pub(super) fn recall_last_values(&mut self, maps: &ChunkMaps) {
        let mut columns = Columns::default();
        for (slot, (hot, cold)) in self.hot.iter_mut().zip(&self.cold).enumerate() {
            let Some(id) = cold.closed_last.filter(|_| hot.samples_count == 0) else { continue };
            let chunk = self.closed.get(id);
            let Ok(data) = self.closed.data(chunk, hot.series_ref, maps) else { continue };
            columns.clear();
            let last = TimeRange { mint_ms: chunk.max_t, maxt_ms: i64::MAX };
            if read_chunk(chunk.encoding, data, usize::MAX, last, &mut columns).is_err() {
                continue;
            }
            if let Some(value) = columns.values.last() {
                hot.last_v = value.to_bits();
                hot.set(HotSlot::STALE, is_stale(*value));
            }
            if let Some(point) = columns.histograms.pop() {
                hot.set(HotSlot::STALE, point.histogram.is_stale());
                hot.set(HotSlot::HISTOGRAM, true);
                self.histograms.set_last(slot, point.histogram);
            }
        }
    }

    pub(super) fn closed(&self) -> &ClosedChunks {
        &self.closed
    }

    pub(super) fn closed_mut(&mut self) -> &mut ClosedChunks {
        &mut self.closed
    }

    /// Drops chunks that end before `min_t`, and marks series that have none left, unless they are kept.
    pub(super) fn truncate(&mut self, min_t: i64, is_kept: impl Fn(u64) -> bool) -> Truncated {
        let mut left = Truncated::NOTHING;
        for (slot, hot) in self.hot.iter_mut().enumerate() {
            if hot.samples_count > 0 && hot.last_t < min_t {
                self.blocks.free(hot.chain);
                self.histograms.end_chunk(slot);
                self.starts.end_chunk(slot);
                hot.end_chunk();
                left.chunks_count += 1;
            }
        }
        let lasts = self.cold.iter_mut().map(|cold| &mut cold.closed_last);
        left.chunks_count += self.closed.truncate(min_t, lasts);
        self.blocks.shrink();
        left.first_file = self.closed.first_file();
        for (hot, cold) in self.hot.iter_mut().zip(&self.cold) {
            if hot.samples_count > 0 {
                left.min_t = left.min_t.min(hot.chunk_min_t);
            }
            let closed =
                std::iter::successors(cold.closed_last, |id| self.closed.get(*id).previous);
            if let Some(first) = closed.last() {
                left.min_t = left.min_t.min(self.closed.get(first).min_t);
            } else if hot.samples_count == 0
                && hot.series_ref != HotSlot::NO_REF
                && !is_kept(hot.series_ref)
            {
                hot.set(HotSlot::DOOMED, true);
                left.doomed_count += 1;
            }
        }
        left
    }

    /// Frees the slot if its series is still doomed.
    pub(super) fn sweep(&mut self, slot: usize) -> Option<Swept> {
        let hot = self.hot.get_mut(slot).filter(|hot| hot.has(HotSlot::DOOMED))?;
        let swept = Swept {
            series_ref: hot.series_ref,
            is_logged: !hot.has(HotSlot::UNLOGGED),
            is_stale: hot.has(HotSlot::STALE),
        };
        *hot = HotSlot::new(HotSlot::NO_REF, 0);
        self.histograms.remove(slot);
        Some(swept)
    }

    /// Whether any chunk of the series reaches into the range.
    pub(super) fn has_chunk_in(&self, slot: usize, range: TimeRange) -> bool {
        let Some(hot) = self.hot.get(slot) else { return false };
        let is_within = |min_t, max_t| min_t <= range.maxt_ms && max_t >= range.mint_ms;
        if hot.samples_count > 0 && is_within(hot.chunk_min_t, hot.last_t) {
            return true;
        }
        self.closed_from(slot).any(|(_, chunk)| is_within(chunk.min_t, chunk.max_t))
    }

    /// Whether the series has histograms in any chunk.
    pub(super) fn may_have_histograms(&self, slot: usize) -> bool {
        self.hot.get(slot).is_some_and(|hot| hot.has(HotSlot::HISTOGRAM))
            || self.closed.may_have_histograms()
                && self.closed_from(slot).any(|(_, chunk)| chunk.encoding.is_histogram())
    }

    /// Shows the chunks of a series that reach into the range, oldest first, whoever may see their samples.
    ///
    /// # Errors
    /// A chunk is damaged in its file; the others are shown all the same.
    pub(super) fn for_each_chunk(
        &mut self,
        slot: usize,
        range: TimeRange,
        maps: &ChunkMaps,
        mut each: impl FnMut(ChunkView<'_>),
    ) -> Result<(), ChunkError> {
        let series_ref = self.series_ref(slot).unwrap_or(HotSlot::NO_REF);
        let mut result = Ok(());
        let is_within = |min_t: i64, max_t: i64| min_t <= range.maxt_ms && max_t >= range.mint_ms;
        let mut wanted: smallvec::SmallVec<[ClosedId; 16]> = smallvec::SmallVec::new();
        let closed = self.closed_from(slot);
        let closed = closed.filter(|(_, chunk)| is_within(chunk.min_t, chunk.max_t));
        wanted.extend(closed.map(|(id, _)| id));
        for id in wanted.into_iter().rev() {
            let chunk = self.closed.get(id);
            match self.closed.data(chunk, series_ref, maps) {
                Ok(data) => each(ChunkView {
                    min_t: chunk.min_t,
                    max_t: chunk.max_t,
                    encoding: chunk.encoding,
                    data,
                }),
                Err(err) => result = Err(err),
            }
        }
        let hot = self.hot.get(slot).filter(|hot| hot.samples_count > 0);
        let Some(hot) = hot else { return result };
        if is_within(hot.chunk_min_t, hot.last_t) {
            self.scratch.clear();
            let open = Open { slot, hot, blocks: &self.blocks, histograms: &self.histograms };
            let encoding = open.put(&self.starts, Extent::Whole, &mut self.scratch);
            each(ChunkView {
                min_t: hot.chunk_min_t,
                max_t: hot.last_t,
                encoding,
                data: &self.scratch,
            });
        }
        result
    }

    /// Appends the samples of a series to `out`, without the `hidden_count` last ones.
    pub(super) fn read(
        &self,
        slot: usize,
        range: TimeRange,
        mut hidden_count: usize,
        maps: &ChunkMaps,
        out: &mut Columns,
    ) -> Result<(), ChunkError> {
        let Some(hot) = self.hot.get(slot).filter(|hot| hot.last_t != NO_TIME) else {
            return Ok(());
        };
        // Newest first: what is hidden is at the end.
        let mut wanted: smallvec::SmallVec<[(ClosedId, usize); 16]> = smallvec::SmallVec::new();
        let open_count = usize::from(hot.samples_count).saturating_sub(hidden_count);
        hidden_count = hidden_count.saturating_sub(usize::from(hot.samples_count));
        for (id, chunk) in self.closed_from(slot) {
            if chunk.max_t < range.mint_ms {
                break;
            }
            let count = usize::from(chunk.samples_count).saturating_sub(hidden_count);
            hidden_count = hidden_count.saturating_sub(usize::from(chunk.samples_count));
            if chunk.min_t <= range.maxt_ms && count > 0 {
                wanted.push((id, count));
            }
        }
        for (id, count) in wanted.into_iter().rev() {
            let chunk = self.closed.get(id);
            let data = self.closed.data(chunk, hot.series_ref, maps)?;
            read_chunk(chunk.encoding, data, count, range, out)?;
        }
        if open_count == 0 || hot.chunk_min_t > range.maxt_ms || hot.last_t < range.mint_ms {
            return Ok(());
        }
        if !hot.has(HotSlot::HISTOGRAM) {
            return match self.starts.has(slot) {
                true => self.read_floats_with_starts((slot, hot), open_count, range, out),
                false => {
                    hot.read_floats(&self.blocks, open_count, range, out)?;
                    out.align_starts();
                    Ok(())
                }
            };
        }
        let mut data = Vec::new();
        let open = Open { slot, hot, blocks: &self.blocks, histograms: &self.histograms };
        let encoding = open.put(&self.starts, Extent::Whole, &mut data);
        read_chunk(encoding, &data, open_count, range, out)
    }

    /// Tells for each series the end of its newest chunk that is in a file before this one, if all of its
    /// chunks there are good.
    pub(super) fn for_each_filed_end(
        &self,
        maps: &ChunkMaps,
        file: u32,
        mut each: impl FnMut(u64, i64),
    ) {
        for slot in 0..self.hot.len() {
            let Some(series_ref) = self.series_ref(slot) else { continue };
            let mut end = None;
            let is_good = self.closed_from(slot).all(|(_, chunk)| {
                if !self.closed.is_filed_before(chunk, file) {
                    return true;
                }
                end = end.or(Some(chunk.max_t));
                self.closed.data(chunk, series_ref, maps).is_ok()
            });
            if let Some(end) = end.filter(|_| is_good) {
                each(series_ref, end);
            }
        }
    }

    /// Closed chunks of a slot, newest first.
    fn closed_from(
        &self,
        slot: usize,
    ) -> impl Iterator<Item = (ClosedId, &super::closed::ClosedChunk)> {
        let last = self.cold.get(slot).and_then(|cold| cold.closed_last);
        let ids = std::iter::successors(last, |id| self.closed.get(*id).previous);
        ids.map(|id| (id, self.closed.get(id)))
    }
}

/// What stands in the way of a sample, given the last one of its series.
#[inline]
pub(super) fn check(last: (i64, u64), (t, v): (i64, u64)) -> Result<bool, Rejection> {
    if t > last.0 {
        return Ok(true);
    }
    if t < last.0 {
        return Err(Rejection::OutOfOrder);
    }
    // Bits, not values: NaN equals itself here, and -0 is not 0.
    if v == last.1 { Ok(false) } else { Err(Rejection::DuplicateTimestamp) }
}
