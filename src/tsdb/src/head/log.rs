//! The log is shortened: what stands in blocks, and series that nobody mentions any more, are left out of a
//! checkpoint, and the segments that it stands for go. Commits go on meanwhile.

use std::sync::atomic::Ordering;

use hashbrown::{HashMap, HashSet};
use prom_storage::StorageError;
use prom_telemetry::clock;

use crate::{
    WalCompression,
    lock::{lock, read},
    wal::{
        CheckpointPlan, Keep, SegmentFile, checkpoint_end, list_log, remove_covered,
        write_checkpoint,
    },
};

use super::{Head, commit::ALIAS_SEGMENT};

/// A shorter log is left alone when it could be shortened early.
const EARLY_SIZE_BYTES_MIN: u64 = 256 << 10;
/// The log is shortened early when it has grown to so many times its checkpoint since that was written.
const EARLY_GROWTH: u64 = 2;

type RefSet = HashSet<u64, foldhash::fast::RandomState>;

/// How a checkpoint is written that is to be small.
struct Early<'a> {
    /// By ref, the last sample that durable files of head chunks have.
    filed_until: &'a dyn Fn(u64) -> i64,
    compression: WalCompression,
}

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

    /// Whether it is worth while to shorten the log early: what came since the last checkpoint is a multiple
    /// of what that holds, so each sample is written anew about once, however long it stays.
    pub(crate) fn is_log_long(&self) -> bool {
        let log = lock(&self.commit);
        let Some((disk, dir)) = log.wal.as_ref().map(crate::wal::Wal::place) else { return false };
        drop(log);
        list_log(&*disk, &dir).is_ok_and(|files| {
            let (checkpoint, since): (Vec<_>, Vec<_>) =
                files.files.iter().partition(|file| file.is_checkpoint);
            let size_bytes =
                |files: &[&SegmentFile]| files.iter().map(|file| file.size_bytes).sum::<u64>();
            size_bytes(&since) >= EARLY_SIZE_BYTES_MIN.max(EARLY_GROWTH * size_bytes(&checkpoint))
        })
    }

    /// Begins a segment and writes a checkpoint of all before it, without samples that files of head chunks
    /// have; then they are removed. The files are made durable and read again before.
    ///
    /// # Errors
    /// See [`Self::truncate_log`].
    pub(crate) fn shorten_log(&self) -> Result<(), StorageError> {
        let _one_at_a_time = lock(&self.truncation);
        self.wal_metrics.truncations.inc();
        let done = self.try_shorten_log();
        if done.is_err() {
            self.wal_metrics.truncations_failed.inc();
        }
        done
    }

    fn try_shorten_log(&self) -> Result<(), StorageError> {
        let mut log = lock(&self.commit);
        let Some(wal) = &mut log.wal else { return Ok(()) };
        wal.begin_segment()?;
        let last = wal.current_index().and_then(|current| current.checked_sub(1));
        drop(log);
        let Some(last) = last else { return Ok(()) };
        // Deletions hold for out-of-order samples, too, which are older.
        let min_t = self.times.min_valid.load(Ordering::Acquire).min(self.ooo.first_time());
        let filed = self.filed_until()?;
        let early = Early {
            filed_until: &|series_ref| filed.get(&series_ref).copied().unwrap_or(i64::MIN),
            compression: match self.compression {
                WalCompression::None => WalCompression::None,
                WalCompression::Snappy | WalCompression::Zstd => WalCompression::Zstd,
            },
        };
        self.checkpoint(last, min_t, Some(&early))
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
        self.checkpoint(last, min_t, None)?;
        Ok(true)
    }

    /// Writes a checkpoint of the segments up to `last`, which are finished, and removes them.
    fn checkpoint(
        &self,
        last: u64,
        min_t: i64,
        early: Option<&Early<'_>>,
    ) -> Result<(), StorageError> {
        let begin = clock::monotonic();
        let log = lock(&self.commit);
        let Some(wal) = &log.wal else { return Ok(()) };
        let ((disk, dir), segment_size_bytes) = (wal.place(), wal.segment_size_bytes());
        let io = |action: &'static str| {
            let path = dir.clone();
            move |source| StorageError::Io { path, action, source }
        };
        let are_aliases_needed = min_t <= log.aliases_until;
        let is_mentioned = |segment: u64| match segment {
            ALIAS_SEGMENT => are_aliases_needed,
            segment => segment > last,
        };
        let mentioned = log.deleted.iter().filter(|(_, segment)| is_mentioned(**segment));
        let mut mentioned: RefSet = mentioned.map(|(series_ref, _)| *series_ref).collect();
        drop(log);
        mentioned.extend(self.ooo.pinned_refs());
        let mut current = RefSet::default();
        for group in self.groups.iter() {
            current.extend(read(&group.data).series_refs());
        }
        let plan = CheckpointPlan {
            dir: &dir,
            last,
            keep: Keep {
                is_series_needed: &|series_ref| {
                    current.contains(&series_ref) || mentioned.contains(&series_ref)
                },
                is_ref_current: &|series_ref| current.contains(&series_ref),
                min_t,
                filed_until: early.map_or(&|_| i64::MIN, |early| early.filed_until),
            },
            compression: early.map_or(self.compression, |early| early.compression),
            segment_size_bytes,
        };
        let metrics = &self.wal_metrics.checkpoints;
        metrics.creations.inc();
        write_checkpoint(&*disk, &plan).map_err(|err| {
            metrics.creations_failed.inc();
            io("write WAL checkpoint")(err)
        })?;
        lock(&self.commit).deleted.retain(|_, segment| is_mentioned(*segment));
        tracing::info!(
            last,
            is_early = early.is_some(),
            duration = format!("{:.3}s", begin.elapsed().as_secs_f64()),
            "WAL checkpoint complete"
        );
        // Readers pass over what is left of these.
        metrics.deletions.inc();
        remove_covered(&*disk, &dir, last).map_err(|err| {
            metrics.deletions_failed.inc();
            io("remove WAL segments")(err)
        })?;
        metrics.truncate_duration.observe(begin.elapsed().as_secs_f64());
        Ok(())
    }
}
