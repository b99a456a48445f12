//! The series of one selection: label sets as pair ids, samples read when asked for.

use std::{
    hash::BuildHasher,
    sync::{Arc, RwLockReadGuard},
};

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use prom_model::{Labels, METRIC_NAME};
use prom_storage::{
    Columns, Grouping, Groups, Selection, SeriesHandle, SeriesRef, StorageError, TimeRange,
};

use crate::head::{ChunkView, Dictionary, Head, NameId, PairId, Pairs, ReaderTicket, SeriesIndex};

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
        head.filter_by_range(&slots, asked, |at, series_ref| {
            let ids = index.pair_ids(candidates[at]);
            let handle = SeriesHandle { series_ref: SeriesRef(series_ref), slot: slots[at] };
            let ids_begin = pair_ids.len() as u32;
            series.push(Selected { handle, ids_begin, ids_count: ids.len() as u32 });
            pair_ids.extend_from_slice(ids);
        });
        let dictionary = Arc::clone(index.dictionary());
        Self { head: Arc::clone(head), ticket, dictionary, range, series, pair_ids }
    }

    /// Sorts by labels. Pairs are ranked first, so that each text is compared a few times only.
    pub(super) fn sort(&mut self) {
        let mut ranked = self.pair_ids.clone();
        ranked.sort_unstable();
        ranked.dedup();
        {
            let pairs = self.dictionary.read();
            ranked.sort_unstable_by_key(|id| pairs.texts(PairId(*id)));
        }
        let ranks: HashMap<u32, u32, FixedState> =
            ranked.iter().enumerate().map(|(rank, id)| (*id, rank as u32)).collect();
        let ranks: Vec<u32> = self.pair_ids.iter().map(|id| ranks[id]).collect();
        let rank_row = |one: &Selected| &ranks[one.ids()];
        self.series.sort_unstable_by(|a, b| rank_row(a).cmp(rank_row(b)));
    }

    /// Shows the chunks of a series that reach into the querier's range, oldest first.
    pub(super) fn for_each_chunk(&self, index: usize, each: impl FnMut(ChunkView<'_>)) {
        self.head.for_each_chunk(self.series[index].handle, self.range, each);
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

impl Selection for HeadSelection {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.dictionary.read().labels(self.ids(index))
    }

    fn read(&self, index: usize, range: TimeRange, out: &mut Columns) -> Result<(), StorageError> {
        let range = TimeRange {
            mint_ms: range.mint_ms.max(self.range.mint_ms),
            maxt_ms: range.maxt_ms.min(self.range.maxt_ms),
        };
        let handle = self.series[index].handle;
        self.head.read(&self.ticket, handle, range, out).map_err(|err| StorageError::Corruption {
            path: "memory".into(),
            offset: u64::from(handle.slot),
            reason: format!("chunk of series {}: {err}", handle.series_ref),
        })
    }

    fn group(&self, grouping: &Grouping<'_>) -> Groups {
        let pairs = self.dictionary.read();
        let name_ids = |names: &[&str]| -> Vec<NameId> {
            names.iter().filter_map(|name| pairs.find_name(name)).collect()
        };
        let (names, is_kept) = match grouping {
            Grouping::By(names) => (name_ids(names), true),
            Grouping::Without(names) => {
                let mut ids = name_ids(names);
                ids.extend(pairs.find_name(METRIC_NAME));
                (ids, false)
            }
        };
        let hasher = FixedState::default();
        let mut groups = Groups { of_series: Vec::with_capacity(self.len()), labels: Vec::new() };
        // Keys of all groups, end to end, and where each ends.
        let (mut keys, mut ends): (Vec<u32>, Vec<usize>) = (Vec::new(), vec![0]);
        let mut table: HashTable<u32> = HashTable::new();
        for index in 0..self.len() {
            let begin = keys.len();
            let ids = self.ids(index).iter().copied();
            keys.extend(ids.filter(|id| names.contains(&pairs.name_of(PairId(*id))) == is_kept));
            let key = &keys[begin..];
            let row = |group: u32| &keys[ends[group as usize]..ends[group as usize + 1]];
            let is_it = |group: &u32| row(*group) == key;
            let hash = hasher.hash_one(key);
            if let Some(group) = table.find(hash, is_it) {
                groups.of_series.push(*group);
                keys.truncate(begin);
                continue;
            }
            let group = groups.labels.len() as u32;
            groups.labels.push(pairs.labels(key));
            groups.of_series.push(group);
            ends.push(keys.len());
            table.insert_unique(hash, group, |group| {
                hasher.hash_one(&keys[ends[*group as usize]..ends[*group as usize + 1]])
            });
        }
        groups
    }
}
