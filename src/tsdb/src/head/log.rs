//! The log is shortened: what stands in blocks, and series that nobody mentions any more, are left out of a
//! checkpoint, and the segments that it stands for go. Commits go on meanwhile.

use std::{collections::HashSet, sync::atomic::Ordering};

use hashbrown::HashMap;
use prom_storage::StorageError;

use crate::{
    lock::{lock, read},
    wal::{CheckpointPlan, Keep, checkpoint_end, list_log, remove_covered, write_checkpoint},
};

use super::Head;

impl Head {
    /// Writes a checkpoint without samples before `min_t`, which stand in durable blocks by now, and removes
    /// the segments that it stands for. Says whether there were enough segments for that.
    ///
    /// # Errors
    /// The disk refused or a segment is damaged; the log is whole all the same.
    pub(crate) fn truncate_log(&self, min_t: i64) -> Result<bool, StorageError> {
        let _one_at_a_time = lock(&self.truncation);
        self.wal_metrics.truncations.inc();
        let result = self.try_truncate_log(min_t);
        if result.is_err() {
            self.wal_metrics.truncations_failed.inc();
        }
        result
    }

    /// Writes a checkpoint of all finished segments without samples that files of head chunks have, if there
    /// are two at least, and removes them. The files are made durable and read again before.
    /// Says whether it was due.
    ///
    /// # Errors
    /// See [`Self::truncate_log`].
    pub(crate) fn shorten_log(&self) -> Result<bool, StorageError> {
        let _one_at_a_time = lock(&self.truncation);
        let log = lock(&self.commit);
        let Some(wal) = &log.wal else { return Ok(false) };
        let (disk, dir) = wal.place();
        let files = list_log(&*disk, &dir).map_err(|source| StorageError::Io {
            path: dir.clone(),
            action: "list WAL",
            source,
        })?;
        drop(log);
        let last = files.segment_last.and_then(|last| last.checked_sub(1));
        let due = files.segment_first.zip(last).filter(|(first, last)| first < last);
        let Some((_, last)) = due else { return Ok(false) };
        self.wal_metrics.truncations.inc();
        // Deletions hold for out-of-order samples, too, which are older.
        let min_t = self.times.min_valid.load(Ordering::Acquire).min(self.ooo.first_time());
        let done = self.filed_until().and_then(|filed| {
            let filed_until = |series_ref| filed.get(&series_ref).copied().unwrap_or(i64::MIN);
            self.checkpoint(last, min_t, &filed_until)
        });
        if done.is_err() {
            self.wal_metrics.truncations_failed.inc();
        }
        done.map(|()| true)
    }

    /// By ref, the last sample that files of head chunks have, all of them durable and good.
    fn filed_until(&self) -> Result<HashMap<u64, i64, foldhash::fast::RandomState>, StorageError> {
        self.flush_chunks()?;
        let durable_before = self.sync_chunk_files(true)?;
        let mut filed = HashMap::default();
        for group in self.groups.iter() {
            // The group before the files, as readers do.
            let data = read(&group.data);
            self.with_chunk_maps(|maps| {
                data.for_each_filed_end(maps, durable_before, |series_ref, end| {
                    filed.insert(series_ref, end);
                });
            });
        }
        Ok(filed)
    }

    fn try_truncate_log(&self, min_t: i64) -> Result<bool, StorageError> {
        let mut log = lock(&self.commit);
        let Some(wal) = &mut log.wal else { return Ok(false) };
        let (disk, dir) = wal.place();
        let io = |source| StorageError::Io { path: dir.clone(), action: "list WAL", source };
        let files = list_log(&*disk, &dir).map_err(io)?;
        // What is written to now can be part of the next checkpoint.
        wal.begin_segment()?;
        let end = files.segment_first.zip(files.segment_last);
        let Some(last) = end.and_then(|(first, last)| checkpoint_end(first, last)) else {
            return Ok(false);
        };
        drop(log);
        self.checkpoint(last, min_t, &|_| i64::MIN)?;
        Ok(true)
    }

    /// Writes a checkpoint of the segments up to `last`, which are finished, and removes them.
    fn checkpoint(
        &self,
        last: u64,
        min_t: i64,
        filed_until: &dyn Fn(u64) -> i64,
    ) -> Result<(), StorageError> {
        let log = lock(&self.commit);
        let Some(wal) = &log.wal else { return Ok(()) };
        let ((disk, dir), segment_size_bytes) = (wal.place(), wal.segment_size_bytes());
        let io = |action: &'static str| {
            let path = dir.clone();
            move |source| StorageError::Io { path, action, source }
        };
        let mentioned = log.deleted.iter().filter(|(_, segment)| **segment > last);
        let mut needed: HashSet<u64> = mentioned.map(|(series_ref, _)| *series_ref).collect();
        drop(log);
        needed.extend(self.ooo.pinned_refs());
        for group in self.groups.iter() {
            needed.extend(read(&group.data).series_refs());
        }
        let plan = CheckpointPlan {
            dir: &dir,
            last,
            keep: Keep {
                is_series_needed: &|series_ref| needed.contains(&series_ref),
                min_t,
                filed_until,
            },
            compression: self.compression,
            segment_size_bytes,
        };
        self.wal_metrics.checkpoints.inc();
        write_checkpoint(&*disk, &plan).map_err(|err| {
            self.wal_metrics.checkpoints_failed.inc();
            io("write WAL checkpoint")(err)
        })?;
        lock(&self.commit).deleted.retain(|_, segment| *segment > last);
        // Readers pass over what is left of these.
        remove_covered(&*disk, &dir, last).map_err(io("remove WAL segments"))
    }
}
