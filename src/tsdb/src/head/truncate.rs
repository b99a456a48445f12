//! Old samples leave the head once they stand in a block, and series that have none left leave with them.
//! The log is not known here.
//!
//! Nobody is hurt: readers that began before the samples stood in a block are waited for, later ones do not
//! look at them here. A series goes only when nobody can have a sample of it underway: it is marked first,
//! then the appenders of that moment are waited for, and whoever asks for its labels meanwhile keeps it.

use std::{
    sync::{RwLockReadGuard, atomic::Ordering},
    time::Duration,
};

use prom_storage::StorageError;
use prom_telemetry::clock;

use crate::{
    chunk::range_end_ms,
    lock::{lock, read, write},
};

use super::{
    Head,
    dictionary::DictionaryFull,
    flush::HeadFiles,
    group::{Swept, Truncated},
    group_of,
    index::SeriesIndex,
    slot_in_group,
};

/// How long readers and writers of old samples are waited for; then it is tried again another time.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a truncation took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Removed {
    pub(crate) chunks_count: u64,
    pub(crate) series_count: u64,
}

impl Head {
    /// The range of the oldest block that can be made of the head: its begin, and its end, which is not part
    /// of it. `None` as long as the head holds less than one and a half chunk ranges.
    /// Compat: Prometheus `tsdb/head.go` (compactable), `tsdb/db.go` (Compact).
    pub(crate) fn compactable_range(&self) -> Option<(i64, i64)> {
        let (min_t, max_t) = self.time_bounds();
        let is_due = max_t > min_t && max_t.saturating_sub(min_t) > self.chunk_range_ms / 2 * 3;
        is_due.then(|| (min_t, range_end_ms(min_t, self.chunk_range_ms)))
    }

    /// Samples before `t_ms` are in blocks: the log's are passed over, and new ones are refused. To be told
    /// before the log is replayed.
    pub(crate) fn set_min_valid_time(&self, t_ms: i64) {
        self.times.min_valid.fetch_max(t_ms, Ordering::AcqRel);
    }

    /// No sample before `t_ms` comes any more: later appenders refuse them, and those that are open have
    /// ended when this returns.
    ///
    /// # Errors
    /// An appender that may hold such samples does not end.
    pub(crate) fn seal_before(&self, t_ms: i64) -> Result<(), StorageError> {
        self.times.min_valid.fetch_max(t_ms, Ordering::AcqRel);
        match self.writers.wait_for_times_before(t_ms, PATIENCE) {
            true => Ok(()),
            false => Err(postponed("appenders of older samples are still open")),
        }
    }

    /// Removes chunks that end before `min_t`, then series that have none left. What is removed must stand
    /// in blocks by now, and queries must find it there if they enter the head first and look at the blocks
    /// then.
    ///
    /// # Errors
    /// Readers or appenders of older samples do not end; what was removed by then is consistent.
    pub(crate) fn truncate(&self, min_t: i64) -> Result<Removed, StorageError> {
        let _one_at_a_time = lock(&self.truncation);
        self.metrics.truncations.inc();
        let result = self.try_truncate(min_t);
        if result.is_err() {
            self.metrics.truncations_failed.inc();
        }
        result
    }

    fn try_truncate(&self, min_t: i64) -> Result<Removed, StorageError> {
        self.seal_before(min_t)?;
        if !self.readers.raise_floor(min_t, PATIENCE) {
            return Err(postponed("queries of older samples are still running"));
        }
        let begin = clock::monotonic();
        self.times.min_since.store(i64::MAX, Ordering::Release);
        let left = self.truncate_groups(min_t);
        {
            let _no_commit = lock(&self.commit);
            let since = self.times.min_since.load(Ordering::Acquire);
            let oldest = match left.min_t.min(since) {
                i64::MAX => min_t,
                oldest => oldest.max(min_t),
            };
            // An empty head stays one.
            if self.times.min.load(Ordering::Acquire) < oldest {
                self.times.min.store(oldest, Ordering::Release);
            }
        }
        self.chunks_count.fetch_sub(left.chunks_count, Ordering::Relaxed);
        self.metrics.chunks_removed.inc_by(left.chunks_count);
        let mut removed = Removed { chunks_count: left.chunks_count, series_count: 0 };
        if left.doomed_count > 0 {
            removed.series_count = self.collect_doomed()?;
        }
        self.metrics.gc_duration.observe(begin.elapsed().as_secs_f64());
        Ok(removed)
    }

    pub(super) fn truncate_groups(&self, min_t: i64) -> Truncated {
        self.prune_out_of_order();
        // Nobody writes chunks to files meanwhile.
        let mut files = lock(&self.head_files);
        let mut left = Truncated::NOTHING;
        for group in self.groups.iter() {
            let is_kept = |series_ref| self.ooo.has(series_ref);
            let of_group = write(&group.data).truncate(min_t, is_kept);
            left.chunks_count += of_group.chunks_count;
            left.doomed_count += of_group.doomed_count;
            left.min_t = left.min_t.min(of_group.min_t);
            left.first_file = left.first_file.min(of_group.first_file);
        }
        left.first_file = left.first_file.min(self.ooo.first_file());
        if let Some(HeadFiles { writer, files, copied_from }) = &mut *files {
            // Chunks of the newest file go with it when they are old.
            let ended = writer.finish_file();
            let first = left.first_file.min(*copied_from).min(writer.next_number());
            if let Err(err) = ended.and_then(|()| writer.remove_before(first)) {
                tracing::warn!(dir = %files.dir().display(), err = %err, "Removing old head chunks failed");
            }
        }
        left
    }

    /// Removes the series that are marked, unless somebody wants them by now.
    pub(super) fn collect_doomed(&self) -> Result<u64, StorageError> {
        if !self.writers.wait_for_present(PATIENCE) {
            return Err(postponed("appenders from before are still open"));
        }
        let full = |_: DictionaryFull| postponed("no room for another series table");
        // Most of the work is done while queries go on.
        let compaction = {
            let index: RwLockReadGuard<'_, SeriesIndex> = self.index();
            index.compact(|slot| self.is_doomed(slot)).map_err(full)?
        };
        let mut log = lock(&self.commit);
        let segment = log.wal.as_ref().and_then(crate::wal::Wal::current_index).unwrap_or(0);
        let mut index = write(&self.index);
        let mut swept = Vec::new();
        let compacted = compaction.finish(&index, |slot| {
            let one = self
                .groups
                .get(slot)
                .and_then(|group| write(&group.data).sweep(slot_in_group(slot)));
            swept.extend(one);
            one.is_some()
        });
        *index = compacted.map_err(full)?;
        self.renumber(&index);
        drop(index);
        for Swept { series_ref, is_logged, is_stale } in &swept {
            lock(&self.metadata).remove(*series_ref);
            if *is_logged {
                log.deleted.insert(*series_ref, segment);
            }
            self.stale_count.fetch_sub(i64::from(*is_stale), Ordering::Relaxed);
        }
        self.metrics.series_removed.inc_by(swept.len() as u64);
        Ok(swept.len() as u64)
    }

    fn is_doomed(&self, slot: u32) -> bool {
        let group = self.groups.get(slot);
        group.is_some_and(|group| read(&group.data).is_doomed(slot_in_group(slot)))
    }

    /// Tells all slots the numbers of their series.
    pub(super) fn renumber(&self, index: &SeriesIndex) {
        let mut seq = 0;
        let count = index.count() as u32;
        while seq < count {
            let group_number = group_of(index.slot(seq));
            let Some(group) = self.groups.get(index.slot(seq)) else { return };
            let mut data = write(&group.data);
            while seq < count && group_of(index.slot(seq)) == group_number {
                data.set_seq(slot_in_group(index.slot(seq)), seq);
                seq += 1;
            }
        }
    }
}

pub(super) fn postponed(reason: &str) -> StorageError {
    StorageError::Suspended(format!("truncation of the head is put off: {reason}"))
}
