//! The series of the head by number: their label sets, their slots, and for each pair the series that
//! have it. Numbers are given in the order of creation, so postings only ever grow at their ends; slots
//! may be used again, numbers are not.

use std::{hash::BuildHasher, sync::Arc};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use prom_model::Labels;
use smallvec::SmallVec;

use super::dictionary::{Dictionary, DictionaryFull, PairId, PairIds};

/// Pair ids in one page of label sets: 64 KiB.
const LABEL_PAGE_IDS: usize = 16 * 1024;
const LABEL_PAGE_SHIFT: u32 = LABEL_PAGE_IDS.trailing_zeros();
/// A label set fits a page, with its count.
pub(super) const LABELS_COUNT_MAX: usize = LABEL_PAGE_IDS - 1;
/// Slots in a growing table are added by this part of what is there.
const GROWTH_DIVISOR: usize = 8;

/// Series that have a pair, ascending.
pub(super) type Postings = SmallVec<[u32; 4]>;

/// Tables over all series.
#[derive(Debug, Default)]
pub(crate) struct SeriesIndex {
    dictionary: Arc<Dictionary>,
    hasher: RandomState,
    by_labels: HashTable<u32>,
    /// By series number: where its label set is, and its slot.
    label_places: Vec<u32>,
    slots: Vec<u32>,
    label_sets: LabelSets,
    /// By pair id.
    postings: Vec<Postings>,
}

impl SeriesIndex {
    pub(crate) fn count(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn dictionary(&self) -> &Arc<Dictionary> {
        &self.dictionary
    }

    /// The series of a label set.
    pub(super) fn find(&self, labels: &Labels) -> Option<u32> {
        self.find_ids(&self.dictionary.find(labels)?)
    }

    pub(super) fn find_ids(&self, ids: &[u32]) -> Option<u32> {
        let is_it = |seq: &u32| self.pair_ids(*seq) == ids;
        self.by_labels.find(self.hasher.hash_one(ids), is_it).copied()
    }

    pub(super) fn intern(&self, labels: &Labels) -> Result<PairIds, DictionaryFull> {
        self.dictionary.intern(labels)
    }

    /// Adds a series that is not there; gives its number.
    pub(super) fn insert(&mut self, ids: &[u32], slot: u32) -> Result<u32, DictionaryFull> {
        let seq = u32::try_from(self.slots.len()).map_err(|_| DictionaryFull)?;
        let place = self.label_sets.push(ids)?;
        push_tight(&mut self.label_places, place);
        push_tight(&mut self.slots, slot);
        for id in ids {
            let id = *id as usize;
            while self.postings.len() <= id {
                push_tight(&mut self.postings, Postings::new());
            }
            let list = &mut self.postings[id];
            if list.len() == list.capacity() {
                list.reserve_exact((list.len() / GROWTH_DIVISOR).max(4));
            }
            list.push(seq);
        }
        let (hasher, sets, places) = (&self.hasher, &self.label_sets, &self.label_places);
        self.by_labels.insert_unique(hasher.hash_one(ids), seq, |seq| {
            hasher.hash_one(sets.get(places[*seq as usize]))
        });
        Ok(seq)
    }

    pub(crate) fn slot(&self, seq: u32) -> u32 {
        self.slots[seq as usize]
    }

    #[inline]
    pub(crate) fn pair_ids(&self, seq: u32) -> &[u32] {
        self.label_sets.get(self.label_places[seq as usize])
    }

    /// The series that have a pair, ascending.
    pub(crate) fn postings(&self, pair: PairId) -> &[u32] {
        self.postings.get(pair.0 as usize).map_or(&[], |list| list)
    }
}

/// Label sets end to end: count, then pair ids.
#[derive(Debug, Default)]
struct LabelSets {
    pages: Vec<Vec<u32>>,
}

impl LabelSets {
    fn push(&mut self, ids: &[u32]) -> Result<u32, DictionaryFull> {
        if self.pages.last().is_none_or(|page| page.len() + 1 + ids.len() > LABEL_PAGE_IDS) {
            self.pages.push(Vec::with_capacity(LABEL_PAGE_IDS));
        }
        let page_at = self.pages.len() - 1;
        let page = &mut self.pages[page_at];
        let place = (page_at << LABEL_PAGE_SHIFT) + page.len();
        page.push(ids.len() as u32);
        page.extend_from_slice(ids);
        u32::try_from(place).map_err(|_| DictionaryFull)
    }

    #[inline]
    fn get(&self, place: u32) -> &[u32] {
        let page = &self.pages[(place >> LABEL_PAGE_SHIFT) as usize];
        let at = place as usize % LABEL_PAGE_IDS;
        &page[at + 1..at + 1 + page[at] as usize]
    }
}

/// Adds to a large table without doubling it.
fn push_tight<T>(table: &mut Vec<T>, item: T) {
    if table.len() == table.capacity() {
        table.reserve_exact((table.len() / GROWTH_DIVISOR).max(16));
    }
    table.push(item);
}
