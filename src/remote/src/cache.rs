//! Which series the senders' label bytes mean. An entry may be outdated: the store says so when it is used.

use std::sync::{
    PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicI64, AtomicU32, Ordering},
};

use hashbrown::HashTable;
use prom_storage::{SeriesHandle, SeriesRef};

use crate::labels::LabelsKey;

/// Series that are remembered, 32 bytes each and the slack of the table. More are resolved each time.
const SERIES_COUNT_MAX: usize = 8 << 20;
/// How long a series is remembered that no request names.
const KEPT_MINUTES: u32 = 20;
/// How often what is forgotten is looked for.
const SWEEP_INTERVAL_MINUTES: i64 = 10;

/// Known series by the key of their label bytes.
#[derive(Debug, Default)]
pub(crate) struct SeriesCache {
    table: RwLock<HashTable<Entry>>,
    swept_minute: AtomicI64,
}

#[derive(Debug)]
struct Entry {
    key: [u64; 2],
    series_ref: u64,
    slot: u32,
    /// When it was last asked for.
    seen_minute: AtomicU32,
}

/// Looks series up under one lock.
#[derive(Debug)]
pub(crate) struct Lookup<'a> {
    table: RwLockReadGuard<'a, HashTable<Entry>>,
    minute: u32,
}

impl SeriesCache {
    /// For a run of lookups; the table cannot change until it is dropped.
    pub(crate) fn lookup(&self, minute: i64) -> Lookup<'_> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        Lookup { table, minute: minute as u32 }
    }

    /// Enters series, or what they mean now.
    pub(crate) fn insert(&self, found: &[(LabelsKey, SeriesHandle)], minute: i64) {
        if found.is_empty() {
            return;
        }
        let mut table = self.write();
        for (key, handle) in found {
            if table.len() >= SERIES_COUNT_MAX {
                table.clear();
            }
            let key = split(*key);
            let entry = Entry {
                key,
                series_ref: handle.series_ref.0,
                slot: handle.slot,
                seen_minute: AtomicU32::new(minute as u32),
            };
            match table.entry(key[0], |known| known.key == key, |known| known.key[0]) {
                hashbrown::hash_table::Entry::Occupied(mut known) => *known.get_mut() = entry,
                hashbrown::hash_table::Entry::Vacant(place) => {
                    place.insert(entry);
                }
            }
        }
    }

    /// Forgets what nobody has asked for of late; does nothing most of the time.
    pub(crate) fn sweep(&self, minute: i64) {
        let swept = self.swept_minute.load(Ordering::Relaxed);
        let is_due = (minute - swept).abs() >= SWEEP_INTERVAL_MINUTES;
        let take = || {
            self.swept_minute.compare_exchange(swept, minute, Ordering::Relaxed, Ordering::Relaxed)
        };
        if !is_due || take().is_err() {
            return;
        }
        let mut table = self.write();
        let now = minute as u32;
        // A clock that was set back makes an entry look new or very old; either is harmless.
        table.retain(|entry| {
            now.wrapping_sub(entry.seen_minute.load(Ordering::Relaxed)) <= KEPT_MINUTES
        });
        if table.len() < table.capacity() / 4 {
            table.shrink_to_fit(|entry| entry.key[0]);
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.table.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashTable<Entry>> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lookup<'_> {
    #[inline]
    pub(crate) fn find(&self, key: LabelsKey) -> Option<SeriesHandle> {
        let key = split(key);
        let entry = self.table.find(key[0], |entry| entry.key == key)?;
        // Most requests come within the same minute as the one before: no store, no shared cache line.
        if entry.seen_minute.load(Ordering::Relaxed) != self.minute {
            entry.seen_minute.store(self.minute, Ordering::Relaxed);
        }
        Some(SeriesHandle { series_ref: SeriesRef(entry.series_ref), slot: entry.slot })
    }
}

fn split(key: LabelsKey) -> [u64; 2] {
    [key as u64, (key >> 64) as u64]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(slot: u32) -> SeriesHandle {
        SeriesHandle { series_ref: SeriesRef(u64::from(slot) + 1), slot }
    }

    #[test]
    fn series_are_found_replaced_and_forgotten() {
        let cache = SeriesCache::default();
        cache.sweep(100);
        cache.insert(&[(1, handle(1)), (1 << 64, handle(2))], 100);
        let find = |key, minute| cache.lookup(minute).find(key);
        assert_eq!(find(1, 100), Some(handle(1)));
        assert_eq!(find(1 << 64, 115), Some(handle(2)));
        assert_eq!(find(1 | 1 << 64, 115), None);
        cache.insert(&[(1, handle(3))], 101);
        assert_eq!(find(1, 101), Some(handle(3)));
        cache.sweep(109);
        assert_eq!(cache.count(), 2);
        cache.sweep(130);
        assert_eq!(cache.count(), 1, "only the one that was asked for at 115");
        assert_eq!(find(1 << 64, 130), Some(handle(2)));
    }
}
