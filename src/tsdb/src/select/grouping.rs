//! Label sets as rows of pair ids: sorted and grouped without a look at their texts, once for each pair.

use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use prom_model::{Labels, METRIC_NAME};
use prom_storage::{Grouping, Groups};

/// The places of all ids in use by the order of their texts; `key` tells the texts.
pub(super) fn rank_ids<K: Ord>(
    ids: &[u32],
    key: impl Fn(u32) -> K,
) -> HashMap<u32, u32, FixedState> {
    let mut ranked = ids.to_vec();
    ranked.sort_unstable();
    ranked.dedup();
    ranked.sort_unstable_by_key(|id| key(*id));
    ranked.iter().enumerate().map(|(rank, id)| (*id, rank as u32)).collect()
}

/// Groups rows of pair ids. Names are told by their ids, too.
pub(super) fn group_rows<'a, N: PartialEq>(
    rows: impl ExactSizeIterator<Item = &'a [u32]>,
    grouping: &Grouping<'_>,
    find_name: impl Fn(&str) -> Option<N>,
    name_of: impl Fn(u32) -> N,
    labels: impl Fn(&[u32]) -> Labels,
) -> Groups {
    let (names, is_kept): (Vec<N>, bool) = match grouping {
        Grouping::By(names) => (names.iter().filter_map(|name| find_name(name)).collect(), true),
        Grouping::Without(names) => (dropped_names(names, find_name), false),
    };
    let mut groups = Groups { of_series: Vec::with_capacity(rows.len()), labels: Vec::new() };
    let mut keys = RowSet::default();
    let mut key = Vec::new();
    for row in rows {
        key.clear();
        key.extend(row.iter().copied().filter(|id| names.contains(&name_of(*id)) == is_kept));
        let (group, is_new) = keys.insert(&key);
        if is_new {
            groups.labels.push(labels(&key));
        }
        groups.of_series.push(group);
    }
    groups
}

/// These names and the metric name, those that are known.
pub(super) fn dropped_names<N>(names: &[&str], find_name: impl Fn(&str) -> Option<N>) -> Vec<N> {
    names.iter().chain(&[METRIC_NAME]).filter_map(|name| find_name(name)).collect()
}

/// Whether no two rows are equal in the ids that are kept.
pub(super) fn rows_differ<'a>(
    count: usize,
    row: impl Fn(usize) -> &'a [u32],
    is_kept: impl Fn(u32) -> bool,
) -> bool {
    let hasher = FixedState::default();
    let kept = |at: usize| row(at).iter().copied().filter(|id| is_kept(*id));
    let mut hashes: Vec<u64> = Vec::with_capacity(count);
    let mut seen: HashTable<u32> = HashTable::with_capacity(count);
    for at in 0..count {
        let mut state = hasher.build_hasher();
        kept(at).for_each(|id| state.write_u32(id));
        let hash = state.finish();
        let is_equal = |other: &u32| {
            let other = *other as usize;
            hashes[other] == hash && kept(other).eq(kept(at))
        };
        if seen.find(hash, is_equal).is_some() {
            return false;
        }
        seen.insert_unique(hash, at as u32, |other| hashes[*other as usize]);
        hashes.push(hash);
    }
    true
}

/// Rows of ids, each once, numbered as they come.
#[derive(Debug)]
pub(super) struct RowSet {
    /// End to end, and where each ends.
    ids: Vec<u32>,
    ends: Vec<usize>,
    table: HashTable<u32>,
    hasher: FixedState,
}

impl Default for RowSet {
    fn default() -> Self {
        Self {
            ids: Vec::new(),
            ends: vec![0],
            table: HashTable::new(),
            hasher: FixedState::default(),
        }
    }
}

impl RowSet {
    pub(super) fn count(&self) -> usize {
        self.ends.len() - 1
    }

    pub(super) fn row(&self, number: u32) -> &[u32] {
        let at = number as usize;
        &self.ids[self.ends[at]..self.ends[at + 1]]
    }

    /// All ids of all rows.
    pub(super) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The number of a row, and whether it is new.
    pub(super) fn insert(&mut self, row: &[u32]) -> (u32, bool) {
        let hash = |row: &[u32]| self.hasher.hash_one(row);
        let found = self.table.find(hash(row), |number| self.row(*number) == row);
        if let Some(number) = found {
            return (*number, false);
        }
        let number = self.count() as u32;
        self.ids.extend_from_slice(row);
        self.ends.push(self.ids.len());
        let (ids, ends, hasher) = (&self.ids, &self.ends, &self.hasher);
        self.table.insert_unique(hasher.hash_one(row), number, |number| {
            let at = *number as usize;
            hasher.hash_one(&ids[ends[at]..ends[at + 1]])
        });
        (number, true)
    }
}

/// Label pairs by number, each with its own copy of the texts.
#[derive(Debug, Default)]
pub(super) struct PairTable {
    names: Vec<Box<str>>,
    /// Name and value.
    pairs: Vec<(u32, Box<str>)>,
    index: HashTable<u32>,
    hasher: FixedState,
}

impl PairTable {
    pub(super) fn intern(&mut self, name: &str, value: &str) -> u32 {
        let hash = self.hash((name, value));
        let is_it = |id: &u32| self.texts(*id) == (name, value);
        if let Some(id) = self.index.find(hash, is_it) {
            return *id;
        }
        let name = match self.find_name(name) {
            Some(name) => name,
            None => {
                self.names.push(name.into());
                self.names.len() as u32 - 1
            }
        };
        let id = self.pairs.len() as u32;
        self.pairs.push((name, value.into()));
        let mut index = std::mem::take(&mut self.index);
        index.insert_unique(hash, id, |id| self.hash(self.texts(*id)));
        self.index = index;
        id
    }

    /// Names are few.
    pub(super) fn find_name(&self, name: &str) -> Option<u32> {
        self.names.iter().position(|known| **known == *name).map(|name| name as u32)
    }

    pub(super) fn name_of(&self, id: u32) -> u32 {
        self.pairs[id as usize].0
    }

    pub(super) fn texts(&self, id: u32) -> (&str, &str) {
        let (name, value) = &self.pairs[id as usize];
        (&self.names[*name as usize], value)
    }

    pub(super) fn labels(&self, ids: &[u32]) -> Labels {
        Labels::from_sorted(ids.iter().map(|id| self.texts(*id)))
    }

    fn hash<T: Hash>(&self, value: T) -> u64 {
        self.hasher.hash_one(value)
    }
}
