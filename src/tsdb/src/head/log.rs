//! The log is shortened: what stands in blocks, and series that nobody mentions any more, are left out of a
//! checkpoint, and the segments that it stands for go. Commits go on meanwhile.

use std::collections::HashSet;

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

    fn try_truncate_log(&self, min_t: i64) -> Result<bool, StorageError> {
        let mut log = lock(&self.commit);
        let Some(wal) = &mut log.wal else { return Ok(false) };
        let ((disk, dir), segment_size_bytes) = (wal.place(), wal.segment_size_bytes());
        let io = |action: &'static str| {
            let path = dir.clone();
            move |source| StorageError::Io { path, action, source }
        };
        let files = list_log(&*disk, &dir).map_err(io("list WAL"))?;
        // What is written to now can be part of the next checkpoint.
        wal.begin_segment()?;
        let end = files.segment_first.zip(files.segment_last);
        let Some(last) = end.and_then(|(first, last)| checkpoint_end(first, last)) else {
            return Ok(false);
        };
        let mentioned = log.deleted.iter().filter(|(_, segment)| **segment > last);
        let mut needed: HashSet<u64> = mentioned.map(|(series_ref, _)| *series_ref).collect();
        drop(log);
        for group in self.groups.iter() {
            needed.extend(read(&group.data).series_refs());
        }
        let plan = CheckpointPlan {
            dir: &dir,
            last,
            keep: Keep { is_series_needed: &|series_ref| needed.contains(&series_ref), min_t },
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
        remove_covered(&*disk, &dir, last).map_err(io("remove WAL segments"))?;
        Ok(true)
    }
}
