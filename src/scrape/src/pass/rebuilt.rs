//! The entries of a body that differs from the last one, put together while it is read.

use std::mem;

use hashbrown::HashTable;

use super::Key;
use crate::cache::{Entry, Kind};

/// The entries of a body that differs from the last one.
pub(super) struct Rebuilt {
    pub(super) entries: Vec<Entry>,
    /// Which entries of the last body have been met.
    pub(super) is_met: Vec<bool>,
    /// Places of lines by hash: those of the last body, then those in `entries` that are new.
    index: HashTable<u32>,
}

/// A series that is known.
pub(super) enum Found {
    /// From the last body, and not met in this one.
    Known(usize),
    Met(Entry),
}

impl Rebuilt {
    /// `known` are the entries of the last body, of which the first `met_count` have been met in order.
    pub(super) fn new(known: &[Entry], met_count: usize) -> Self {
        let mut entries = Vec::with_capacity(known.len());
        entries.extend_from_slice(&known[..met_count]);
        let mut is_met = vec![false; known.len()];
        is_met[..met_count].fill(true);
        let mut index = HashTable::with_capacity(known.len());
        for (place, entry) in (0u32..).zip(known) {
            if matches!(entry.kind(), Kind::Series | Kind::Dropped) {
                index.insert_unique(entry.hash(), place, |place| known[*place as usize].hash());
            }
        }
        Self { entries, is_met, index }
    }

    /// Adds an entry behind the others; says where.
    pub(super) fn push(&mut self, entry: Entry) -> usize {
        self.entries.push(entry);
        self.entries.len() - 1
    }

    /// Adds an entry that may be looked for later in this body.
    pub(super) fn push_new(&mut self, known: &[Entry], entry: Entry) -> usize {
        let position = self.push(entry);
        let place = (known.len() + position) as u32;
        let mut index = mem::take(&mut self.index);
        index.insert_unique(entry.hash(), place, |place| self.at(known, *place).hash());
        self.index = index;
        position
    }

    pub(super) fn find(&self, known: &[Entry], key: Key) -> Option<Found> {
        let is_it = |place: &u32| self.at(known, *place).is(key.hash, key.size_bytes);
        let place = *self.index.find(key.hash, is_it)?;
        match self.is_met.get(place as usize) {
            Some(false) => Some(Found::Known(place as usize)),
            _ => Some(Found::Met(*self.at(known, place))),
        }
    }

    /// An entry of the last body, or a new one.
    fn at<'e>(&'e self, known: &'e [Entry], place: u32) -> &'e Entry {
        let place = place as usize;
        known.get(place).unwrap_or_else(|| &self.entries[place - known.len()])
    }
}
