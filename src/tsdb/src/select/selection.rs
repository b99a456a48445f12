//! The series of one selection: label sets as pair ids, samples read when asked for.

use std::sync::{Arc, RwLockReadGuard};

use prom_model::Labels;
use prom_storage::{
    Columns, Grouping, Groups, Selection, SeriesHandle, SeriesRef, StorageError, TimeRange,
};

use crate::{
    chunk::{ChunkError, Encoding},
    head::{Arrival, ChunkView, Dictionary, Head, PairId, Pairs, ReaderTicket, SeriesIndex},
};

use super::grouping::{dropped_names, group_rows, rank_ids, rows_differ};

/// Series that matched. It keeps what it needs of the head's tables, so they may change.
#[derive(Debug)]
pub(super) struct HeadSelection {
    head: Arc<Head>,
    ticket: Arc<ReaderTicket>,
    dictionary: Arc<Dictionary>,
    /// The querier's range.
    range: TimeRange,
    series: Vec<Selected>,
    /// Pair ids of all series, end to end.
    pair_ids: Vec<u32>,
    may_have_histograms: bool,
}

#[derive(Clone, Copy, Debug)]
struct Selected {
    handle: SeriesHandle,
    ids_begin: u32,
    ids_count: u32,
}

impl HeadSelection {
    /// Takes the series that have a chunk in `asked`.
    pub(super) fn new(
        head: &Arc<Head>,
        index: &SeriesIndex,
        ticket: Arc<ReaderTicket>,
        range: TimeRange,
        candidates: &[u32],
        asked: TimeRange,
    ) -> Self {
        let slots: Vec<u32> = candidates.iter().map(|seq| index.slot(*seq)).collect();
        let mut series = Vec::with_capacity(candidates.len());
        let mut pair_ids = Vec::with_capacity(candidates.len() * 8);
        let mut may_have_histograms = false;
        head.filter_by_range(&slots, &ticket, asked, |at, series_ref, has_histograms| {
            may_have_histograms |= has_histograms;
            let ids = index.pair_ids(candidates[at]);
            let handle = SeriesHandle { series_ref: SeriesRef(series_ref), slot: slots[at] };
            let ids_begin = pair_ids.len() as u32;
            series.push(Selected { handle, ids_begin, ids_count: ids.len() as u32 });
            pair_ids.extend_from_slice(ids);
        });
        let dictionary = Arc::clone(index.dictionary());
        let head = Arc::clone(head);
        Self { head, ticket, dictionary, range, series, pair_ids, may_have_histograms }
    }

    /// Sorts by labels. Pairs are ranked first, so that each text is compared a few times only.
    pub(super) fn sort(&mut self) {
        let ranks = {
            let pairs = self.dictionary.read();
            rank_ids(&self.pair_ids, |id| pairs.texts(PairId(id)))
        };
        let ranks: Vec<u32> = self.pair_ids.iter().map(|id| ranks[id]).collect();
        let rank_row = |one: &Selected| &ranks[one.ids()];
        self.series.sort_unstable_by(|a, b| rank_row(a).cmp(rank_row(b)));
    }

    /// Shows the chunks of a series that reach into the querier's range, oldest first.
    ///
    /// # Errors
    /// A chunk is damaged in its file.
    pub(super) fn for_each_chunk(
        &self,
        index: usize,
        each: impl FnMut(ChunkView<'_>),
    ) -> Result<(), StorageError> {
        let handle = self.series[index].handle;
        self.head.for_each_chunk(handle, self.range, each).map_err(|err| corruption(handle, err))
    }

    /// Shows the out-of-order chunks of a series that reach into the querier's range; with an era, those up to
    /// it.
    ///
    /// # Errors
    /// A chunk is damaged in its file.
    pub(super) fn for_each_out_of_order_chunk(
        &self,
        index: usize,
        era: Option<u32>,
        each: impl FnMut((i64, i64), Encoding, &[u8]),
    ) -> Result<(), StorageError> {
        let handle = self.series[index].handle;
        self.head
            .for_each_out_of_order_chunk(handle, &self.ticket, (self.range, era), each)
            .map_err(|err| corruption(handle, err))
    }

    /// Appends those samples of a series within the range that came in order, or those that did not.
    ///
    /// # Errors
    /// A chunk is damaged in its file.
    pub(super) fn read_arrived(
        &self,
        index: usize,
        (range, arrival): (TimeRange, Arrival),
        out: &mut Columns,
    ) -> Result<(), StorageError> {
        let asked = (self.within(range), arrival);
        let handle = self.series[index].handle;
        let read = self.head.read_arrived(&self.ticket, handle, asked, out);
        read.map_err(|err| corruption(handle, err))
    }

    /// Leaves the series that have out-of-order samples in the querier's range.
    pub(super) fn retain_out_of_order(&mut self) {
        self.series.retain(|one| {
            let series_ref = one.handle.series_ref.0;
            self.head.overlaps_out_of_order(series_ref, &self.ticket, self.range)
        });
    }

    /// Deleted times of a series, ascending.
    pub(super) fn deleted(&self, index: usize) -> Vec<TimeRange> {
        self.head.deleted(self.series[index].handle)
    }

    pub(super) fn handles(&self) -> impl Iterator<Item = SeriesHandle> {
        self.series.iter().map(|one| one.handle)
    }

    pub(super) fn truncate(&mut self, count_max: usize) {
        self.series.truncate(count_max);
    }

    /// The pairs that any series has, by number.
    pub(super) fn distinct_pair_ids(&self) -> Vec<PairId> {
        let mut ids: Vec<PairId> = self.pair_ids.iter().map(|id| PairId(*id)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// What pair ids mean.
    pub(super) fn pairs(&self) -> RwLockReadGuard<'_, Pairs> {
        self.dictionary.read()
    }

    /// What the querier's range has of another one.
    fn within(&self, range: TimeRange) -> TimeRange {
        TimeRange {
            mint_ms: range.mint_ms.max(self.range.mint_ms),
            maxt_ms: range.maxt_ms.min(self.range.maxt_ms),
        }
    }

    pub(super) fn ids(&self, index: usize) -> &[u32] {
        &self.pair_ids[self.series[index].ids()]
    }
}

impl Selected {
    fn ids(&self) -> std::ops::Range<usize> {
        let begin = self.ids_begin as usize;
        begin..begin + self.ids_count as usize
    }
}

fn corruption(handle: SeriesHandle, err: ChunkError) -> StorageError {
    StorageError::Corruption {
        path: "head".into(),
        offset: u64::from(handle.slot),
        reason: format!("chunk of series {}: {err}", handle.series_ref),
    }
}

impl Selection for HeadSelection {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn may_have_histograms(&self) -> bool {
        self.may_have_histograms
    }

    fn labels(&self, index: usize) -> Labels {
        self.dictionary.read().labels(self.ids(index))
    }

    fn read(&self, index: usize, range: TimeRange, out: &mut Columns) -> Result<(), StorageError> {
        self.read_arrived(index, (range, Arrival::Any), out)
    }

    fn read_newest(
        &self,
        index: usize,
        range: TimeRange,
        out: &mut Columns,
    ) -> Result<(), StorageError> {
        let asked = self.within(range);
        match self.head.newest_float(&self.ticket, self.series[index].handle, asked) {
            Some((timestamp_ms, value, start_ms)) => {
                out.push_with_start(timestamp_ms, value, start_ms);
            }
            None => self.read(index, range, out)?,
        }
        Ok(())
    }

    fn group(&self, grouping: &Grouping<'_>) -> Groups {
        let pairs = self.dictionary.read();
        group_rows(
            (0..self.len()).map(|index| self.ids(index)),
            grouping,
            |name| pairs.find_name(name),
            |id| pairs.name_of(PairId(id)),
            |ids| pairs.labels(ids),
        )
    }

    fn differ_without(&self, names: &[&str]) -> bool {
        let pairs = self.dictionary.read();
        let dropped = dropped_names(names, |name| pairs.find_name(name));
        let is_kept = |id| !dropped.contains(&pairs.name_of(PairId(id)));
        rows_differ(self.len(), |index| self.ids(index), is_kept)
    }
}
