//! Label pairs as numbers: each name and value is kept once, a label set is a row of pair ids.
//! Ids are given in order and are never changed in the life of a dictionary; a selection keeps the
//! dictionary it was made with.

use std::{hash::BuildHasher, sync::RwLock};

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};
use prom_model::Labels;
use smallvec::SmallVec;

use crate::lock::{read, write};

const TEXT_PAGE_SIZE_BYTES: usize = 64 * 1024;

/// A label name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NameId(u32);

/// A label name with one of its values; also the number of the pair's postings list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PairId(pub(crate) u32);

/// Pair ids of one label set, sorted by name.
pub(super) type PairIds = SmallVec<[u32; 16]>;

/// Four billion pairs or 4 GiB of label values are in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DictionaryFull;

/// The dictionary, open for more.
#[derive(Debug, Default)]
pub(crate) struct Dictionary {
    pairs: RwLock<Pairs>,
}

/// The dictionary as it is at one moment; see [`Dictionary::read`].
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    names: Vec<Name>,
    name_index: HashTable<u32>,
    pairs: Vec<Pair>,
    pair_index: HashTable<u32>,
    hasher: RandomState,
    values: Texts,
}

#[derive(Debug)]
struct Name {
    text: Box<str>,
    pairs: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    name: u32,
    value: TextRef,
}

impl Dictionary {
    /// Holds the dictionary still; others can read meanwhile, nobody can add.
    pub(crate) fn read(&self) -> std::sync::RwLockReadGuard<'_, Pairs> {
        read(&self.pairs)
    }

    /// The pair ids of a label set, if all of its pairs are known.
    pub(super) fn find(&self, labels: &Labels) -> Option<PairIds> {
        let pairs = self.read();
        labels.iter().map(|(name, value)| Some(pairs.find_pair(name, value)?.0)).collect()
    }

    /// The pair ids of a label set up to the first pair that is not known.
    pub(super) fn find_first(&self, labels: &Labels) -> PairIds {
        let pairs = self.read();
        labels.iter().map_while(|(name, value)| Some(pairs.find_pair(name, value)?.0)).collect()
    }

    /// The pair ids of a label set, made where they are not known; `first` has the first of them.
    pub(super) fn intern(
        &self,
        labels: &Labels,
        first: PairIds,
    ) -> Result<PairIds, DictionaryFull> {
        let mut pairs = write(&self.pairs);
        let mut ids = first;
        for (name, value) in labels.iter().skip(ids.len()) {
            ids.push(pairs.intern_pair(name, value)?);
        }
        Ok(ids)
    }

    /// A dictionary of these pairs, which differ, by their ids.
    pub(super) fn of_pairs(all: &[(&str, &str)]) -> Result<Self, DictionaryFull> {
        let mut pairs = Pairs::default();
        pairs.pairs.reserve_exact(all.len());
        for (name, value) in all {
            let value = pairs.values.push(value)?;
            let name = pairs.intern_name(name);
            let id = u32::try_from(pairs.pairs.len()).map_err(|_| DictionaryFull)?;
            pairs.pairs.push(Pair { name, value });
            pairs.names[name as usize].pairs.push(id);
        }
        let hashes: Vec<u64> = all.iter().map(|pair| pairs.hasher.hash_one(pair)).collect();
        pairs.pair_index = HashTable::with_capacity(all.len());
        for (id, hash) in hashes.iter().enumerate() {
            pairs.pair_index.insert_unique(*hash, id as u32, |id| hashes[*id as usize]);
        }
        Ok(Self { pairs: RwLock::new(pairs) })
    }

    /// The pair ids of a label set of another dictionary, made where they are not known. `known` has what
    /// was found before, by the other dictionary's ids.
    pub(super) fn adopt(
        &self,
        other: &Pairs,
        ids: &[u32],
        known: &mut HashMap<u32, u32, RandomState>,
    ) -> Result<PairIds, DictionaryFull> {
        let mut pairs = write(&self.pairs);
        let adopt_one = |id: &u32| {
            if let Some(ours) = known.get(id) {
                return Ok(*ours);
            }
            let (name, value) = other.texts(PairId(*id));
            let ours = pairs.intern_pair(name, value)?;
            known.insert(*id, ours);
            Ok(ours)
        };
        ids.iter().map(adopt_one).collect()
    }
}

impl Pairs {
    pub(crate) fn count(&self) -> usize {
        self.pairs.len()
    }

    pub(crate) fn find_name(&self, name: &str) -> Option<NameId> {
        let is_it = |id: &u32| *self.names[*id as usize].text == *name;
        self.name_index.find(self.hasher.hash_one(name), is_it).map(|id| NameId(*id))
    }

    pub(crate) fn find_pair(&self, name: &str, value: &str) -> Option<PairId> {
        let is_it = |id: &u32| self.texts(PairId(*id)) == (name, value);
        self.pair_index.find(self.hasher.hash_one((name, value)), is_it).map(|id| PairId(*id))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = (NameId, &str)> {
        self.names.iter().enumerate().map(|(id, name)| (NameId(id as u32), &*name.text))
    }

    pub(crate) fn name_text(&self, name: NameId) -> &str {
        &self.names[name.0 as usize].text
    }

    /// The pairs of a name, in the order in which they were made.
    pub(crate) fn pairs_of(&self, name: NameId) -> impl ExactSizeIterator<Item = PairId> {
        self.names[name.0 as usize].pairs.iter().map(|id| PairId(*id))
    }

    #[inline]
    pub(crate) fn name_of(&self, pair: PairId) -> NameId {
        NameId(self.pairs[pair.0 as usize].name)
    }

    pub(crate) fn value(&self, pair: PairId) -> &str {
        self.values.get(self.pairs[pair.0 as usize].value)
    }

    /// Name and value.
    pub(crate) fn texts(&self, pair: PairId) -> (&str, &str) {
        let Pair { name, value } = self.pairs[pair.0 as usize];
        (&self.names[name as usize].text, self.values.get(value))
    }

    pub(crate) fn labels(&self, ids: &[u32]) -> Labels {
        Labels::from_sorted(ids.iter().map(|id| self.texts(PairId(*id))))
    }

    fn intern_pair(&mut self, name: &str, value: &str) -> Result<u32, DictionaryFull> {
        if let Some(pair) = self.find_pair(name, value) {
            return Ok(pair.0);
        }
        let id = u32::try_from(self.pairs.len()).map_err(|_| DictionaryFull)?;
        let value = self.values.push(value)?;
        let name = self.intern_name(name);
        self.pairs.push(Pair { name, value });
        self.names[name as usize].pairs.push(id);
        let hash = |pairs: &Self, id: u32| pairs.hasher.hash_one(pairs.texts(PairId(id)));
        let mut index = std::mem::take(&mut self.pair_index);
        index.insert_unique(hash(self, id), id, |id| hash(self, *id));
        self.pair_index = index;
        Ok(id)
    }

    fn intern_name(&mut self, name: &str) -> u32 {
        if let Some(id) = self.find_name(name) {
            return id.0;
        }
        // Each name has a pair, so there are no more names than pairs.
        let id = self.names.len() as u32;
        self.names.push(Name { text: name.into(), pairs: Vec::new() });
        let (names, hasher) = (&self.names, &self.hasher);
        self.name_index.insert_unique(hasher.hash_one(name), id, |id| {
            hasher.hash_one(&*names[*id as usize].text)
        });
        id
    }
}

/// Texts end to end, in pages that never move.
#[derive(Debug, Default)]
struct Texts {
    pages: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
struct TextRef {
    /// Page in the upper half, offset in the lower.
    place: u32,
    size_bytes: u32,
}

impl Texts {
    fn push(&mut self, text: &str) -> Result<TextRef, DictionaryFull> {
        let has_room = |page: &String| {
            page.len() < TEXT_PAGE_SIZE_BYTES && page.len() + text.len() <= page.capacity()
        };
        if !self.pages.last().is_some_and(has_room) {
            // A text larger than a page gets one of its own size.
            self.pages.push(String::with_capacity(text.len().max(TEXT_PAGE_SIZE_BYTES)));
        }
        let page = u32::try_from(self.pages.len() - 1).ok().filter(|page| *page <= 0xffff);
        let page = page.ok_or(DictionaryFull)?;
        let text_page = &mut self.pages[page as usize];
        let place = page << 16 | text_page.len() as u32;
        text_page.push_str(text);
        Ok(TextRef { place, size_bytes: text.len() as u32 })
    }

    #[inline]
    fn get(&self, text: TextRef) -> &str {
        let begin = (text.place & 0xffff) as usize;
        &self.pages[(text.place >> 16) as usize][begin..begin + text.size_bytes as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_kept_once() {
        let dictionary = Dictionary::default();
        let long = "x".repeat(100_000);
        let sets: Vec<Labels> = (0..3000)
            .map(|n: i32| {
                let unique = format!("value {n}");
                Labels::from_pairs([
                    ("job", "a"),
                    ("pod", unique.as_str()),
                    ("long", long.as_str()),
                ])
            })
            .collect();
        assert!(dictionary.find(&sets[0]).is_none());
        let ids: Vec<_> = sets
            .iter()
            .map(|labels| dictionary.intern(labels, dictionary.find_first(labels)).unwrap())
            .collect();
        for (labels, ids) in sets.iter().zip(&ids) {
            assert_eq!(dictionary.find(labels).as_ref(), Some(ids));
            assert_eq!(dictionary.read().labels(ids), *labels);
        }
        let pairs = dictionary.read();
        assert_eq!(pairs.count(), 3002);
        let pod = pairs.find_name("pod").unwrap();
        assert_eq!(pairs.pairs_of(pod).len(), 3000);
        assert_eq!(pairs.value(pairs.pairs_of(pod).nth(7).unwrap()), "value 7");
        assert!(pairs.find_pair("pod", "a").is_none());
        assert!(pairs.find_name("nil").is_none());
    }
}
