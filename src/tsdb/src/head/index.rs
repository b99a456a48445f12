//! The series of the head by number: their label sets, their slots, and for each pair the series that
//! have it. Numbers are given in the order of creation, so postings only ever grow at their ends; slots
//! may be used again, numbers are not.

use std::{hash::BuildHasher, sync::Arc};

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};
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
    /// Slots whose series have gone, the lowest one last.
    free_slots: Vec<u32>,
    slots_count: u32,
    /// Counts how often the numbers of series and pairs have changed.
    generation: u64,
}

/// A [`SeriesIndex`] without the series that were doomed, and with numbers of its own; what has happened
/// since it was begun is added by [`Compaction::finish`].
#[derive(Debug)]
pub(super) struct Compaction {
    index: SeriesIndex,
    known_pairs: HashMap<u32, u32, RandomState>,
    /// Numbers in the old index: those that have been looked at, and the doomed ones of them.
    seen_count: usize,
    doomed: Vec<u32>,
}

impl SeriesIndex {
    pub(crate) fn count(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn dictionary(&self) -> &Arc<Dictionary> {
        &self.dictionary
    }

    /// Numbers of series and pairs mean what they meant while this stays the same.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Takes the lowest slot that is free.
    pub(super) fn take_slot(&mut self) -> Result<u32, DictionaryFull> {
        if let Some(slot) = self.free_slots.pop() {
            return Ok(slot);
        }
        let slot = self.slots_count;
        self.slots_count = slot.checked_add(1).ok_or(DictionaryFull)?;
        Ok(slot)
    }

    /// How many slots have ever been taken.
    pub(super) fn slots_count(&self) -> u32 {
        self.slots_count
    }

    /// An index of these pairs, each of them once, by their ids; it has no series yet.
    pub(super) fn with_pairs(pairs: &[(&str, &str)]) -> Result<Self, DictionaryFull> {
        let dictionary = Arc::new(Dictionary::of_pairs(pairs)?);
        Ok(Self { dictionary, ..Self::default() })
    }

    /// Adds many series to an index that has none, each with its slot and the pair ids up to its end among
    /// all of them; they differ in their pairs.
    pub(super) fn with_series(
        mut self,
        slots: &[u32],
        (sets, ends): (&[u32], &[usize]),
        slots_count: u32,
    ) -> Result<Self, DictionaryFull> {
        let mut is_used = vec![false; slots_count as usize];
        for slot in slots {
            *is_used.get_mut(*slot as usize).ok_or(DictionaryFull)? = true;
        }
        self.slots_count = slots_count;
        self.free_slots = (0..slots_count).rev().filter(|slot| !is_used[*slot as usize]).collect();
        self.slots = slots.to_vec();
        self.label_places.reserve_exact(slots.len());
        for ids in sets_of(sets, ends) {
            self.label_places.push(self.label_sets.push(ids)?);
        }
        let pairs_count = self.dictionary.read().count();
        let (postings, by_labels) = rayon::join(
            || postings_of(sets_of(sets, ends), sets, pairs_count),
            || by_labels_of(sets_of(sets, ends), ends.len(), &self.hasher),
        );
        (self.postings, self.by_labels) = (postings, by_labels);
        Ok(self)
    }

    /// Begins to make an index of the series that are not doomed.
    pub(super) fn compact(
        &self,
        is_doomed: impl Fn(u32) -> bool,
    ) -> Result<Compaction, DictionaryFull> {
        let mut compaction = Compaction {
            index: Self { generation: self.generation + 1, ..Self::default() },
            known_pairs: HashMap::default(),
            seen_count: self.count(),
            doomed: Vec::new(),
        };
        for seq in 0..self.count() as u32 {
            match is_doomed(self.slot(seq)) {
                true => compaction.doomed.push(seq),
                false => compaction.adopt(self, seq)?,
            }
        }
        Ok(compaction)
    }

    /// The series of a label set.
    pub(super) fn find(&self, labels: &Labels) -> Option<u32> {
        self.find_ids(&self.dictionary.find(labels)?)
    }

    pub(super) fn find_ids(&self, ids: &[u32]) -> Option<u32> {
        let is_it = |seq: &u32| self.pair_ids(*seq) == ids;
        self.by_labels.find(self.hasher.hash_one(ids), is_it).copied()
    }

    /// See [`Dictionary::find_first`]; the ids hold as long as the generation.
    pub(super) fn find_first_ids(&self, labels: &Labels) -> PairIds {
        self.dictionary.find_first(labels)
    }

    /// See [`Dictionary::intern`].
    pub(super) fn intern(
        &self,
        labels: &Labels,
        first: PairIds,
    ) -> Result<PairIds, DictionaryFull> {
        self.dictionary.intern(labels, first)
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

impl Compaction {
    /// Adds the series that have come since; those that were doomed are asked about once more, and their
    /// slots are free if they go. `old` is the index that it was begun with.
    pub(super) fn finish(
        mut self,
        old: &SeriesIndex,
        mut is_gone: impl FnMut(u32) -> bool,
    ) -> Result<SeriesIndex, DictionaryFull> {
        let mut free_slots = old.free_slots.clone();
        for seq in std::mem::take(&mut self.doomed) {
            match is_gone(old.slot(seq)) {
                true => free_slots.push(old.slot(seq)),
                false => self.adopt(old, seq)?,
            }
        }
        for seq in self.seen_count..old.count() {
            self.adopt(old, seq as u32)?;
        }
        free_slots.sort_unstable_by(|a, b| b.cmp(a));
        Ok(SeriesIndex { free_slots, slots_count: old.slots_count, ..self.index })
    }

    fn adopt(&mut self, old: &SeriesIndex, seq: u32) -> Result<(), DictionaryFull> {
        let pairs = old.dictionary.read();
        let ids = self.index.dictionary.adopt(&pairs, old.pair_ids(seq), &mut self.known_pairs)?;
        self.index.insert(&ids, old.slot(seq)).map(|_| ())
    }
}

fn sets_of<'a>(sets: &'a [u32], ends: &'a [usize]) -> impl Iterator<Item = &'a [u32]> {
    let begins = std::iter::once(0).chain(ends.iter().copied());
    begins.zip(ends).map(|(begin, end)| &sets[begin..*end])
}

/// Postings of series that are numbered as they come, each list as large as it must be.
fn postings_of<'a>(
    series: impl Iterator<Item = &'a [u32]>,
    all: &[u32],
    pairs_count: usize,
) -> Vec<Postings> {
    let mut counts = vec![0_u32; pairs_count];
    all.iter().for_each(|id| counts[*id as usize] += 1);
    let mut postings: Vec<Postings> =
        counts.iter().map(|count| Postings::with_capacity(*count as usize)).collect();
    for (seq, ids) in series.enumerate() {
        ids.iter().for_each(|id| postings[*id as usize].push(seq as u32));
    }
    postings
}

fn by_labels_of<'a>(
    series: impl Iterator<Item = &'a [u32]>,
    count: usize,
    hasher: &RandomState,
) -> HashTable<u32> {
    let hashes: Vec<u64> = series.map(|ids| hasher.hash_one(ids)).collect();
    let mut table = HashTable::with_capacity(count);
    for (seq, hash) in hashes.iter().enumerate() {
        table.insert_unique(*hash, seq as u32, |seq| hashes[*seq as usize]);
    }
    table
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
