//! Series that have ended leave the head before their time, once their samples stand in blocks: a staleness
//! marker is the last that came of them. The log says so with a deletion of all times, see docs/format/wal.md.
//!
//! Nobody is hurt: readers that came before the blocks are waited for, and a series of which anything came since
//! stays whole.

use std::{collections::BTreeMap, sync::atomic::Ordering, time::Duration};

use hashbrown::HashMap;
use prom_storage::StorageError;

use crate::{
    lock::{lock, read, write},
    wal::RefTombstone,
};

use super::{Head, group_of, slot_in_group, truncate::postponed};

/// How long queries are waited for that may read such series; then it is tried again another time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Series that have ended, by slot.
#[derive(Debug, Default)]
pub(crate) struct StaleSeries {
    by_slot: HashMap<u32, Ended, foldhash::fast::RandomState>,
}

/// How a series was when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) series_ref: u64,
    pub(super) last_t: i64,
}

impl StaleSeries {
    pub(crate) fn len(&self) -> usize {
        self.by_slot.len()
    }

    /// Whether the series in a slot is one.
    pub(crate) fn has(&self, slot: u32) -> bool {
        self.by_slot.contains_key(&slot)
    }
}

impl Head {
    /// Which part of all series has ended; nothing of no series.
    pub(crate) fn stale_share(&self) -> f64 {
        match self.index().count() {
            0 => 0.0,
            count => self.stale_count.load(Ordering::Relaxed) as f64 / count as f64,
        }
    }

    /// The series that have ended now, without those that have anything out of order.
    pub(crate) fn stale_series(&self) -> StaleSeries {
        let mut stale = StaleSeries::default();
        for (number, group) in self.groups.iter().enumerate() {
            let first_slot = (number * super::GROUP_SLOTS) as u32;
            read(&group.data).for_each_ended(|slot, ended| {
                if !self.ooo.has(ended.series_ref) {
                    stale.by_slot.insert(first_slot + slot as u32, ended);
                }
            });
        }
        stale
    }

    /// Takes series out of the head whose samples stand in blocks by now, unless anything has come of them
    /// since they were looked at. Says how many have gone. Queries must find the blocks if they enter the head
    /// first and look at the blocks then.
    ///
    /// # Errors
    /// The log refuses, or queries do not end. What is still in the head is whole.
    pub(crate) fn evict_stale(&self, stale: &StaleSeries) -> Result<usize, StorageError> {
        let _no_truncation = lock(&self.truncation);
        if !self.readers.wait_for_present(PATIENCE) {
            return Err(postponed("queries from before are still running"));
        }
        let mut by_group: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        let mut tombstones = Vec::new();
        // Nothing is added to a series meanwhile.
        let mut log = lock(&self.commit);
        for (slot, ended) in &stale.by_slot {
            let Some(group) = self.groups.get(*slot) else { continue };
            let is_same = read(&group.data).is_ended(slot_in_group(*slot), *ended);
            if !is_same || self.ooo.has(ended.series_ref) {
                continue;
            }
            by_group.entry(group_of(*slot)).or_default().push(slot_in_group(*slot));
            let (min_t, max_t) = (i64::MIN, i64::MAX);
            tombstones.push(RefTombstone { series_ref: ended.series_ref, min_t, max_t });
        }
        if tombstones.is_empty() {
            return Ok(0);
        }
        self.log_tombstones(&mut log, &tombstones)?;
        for (number, slots) in &by_group {
            let Some(group) = self.groups.get(number * super::GROUP_SLOTS as u32) else { continue };
            let chunks_count = write(&group.data).evict_all(slots);
            self.chunks_count.fetch_sub(chunks_count, Ordering::Relaxed);
            self.metrics.chunks_removed.inc_by(chunks_count);
        }
        self.stale_count.fetch_sub(tombstones.len() as i64, Ordering::Relaxed);
        drop(log);
        self.collect_doomed()?;
        Ok(tombstones.len())
    }
}
