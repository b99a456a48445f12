//! Out-of-order samples leave the head once they stand in blocks: what is here when a compaction begins is
//! an era; its samples are written, then its chunks go, and the log up to where the era ended goes with them.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use prom_storage::StorageError;

use crate::{
    chunk::ChunkError,
    lock::{lock, read, write},
    wal::{Wal, list_log, remove_covered},
};

use super::super::{Head, commit::CommitLog};

/// What a compaction takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OooCut {
    /// Chunks up to this era.
    pub(crate) era: u32,
    /// The log up to this segment speaks of nothing else.
    segment_last: Option<u64>,
}

impl Head {
    /// Begins a compaction of what has come out of order by now; nothing if there is none.
    ///
    /// # Errors
    /// The log cannot be cut.
    pub(crate) fn begin_out_of_order_compaction(&self) -> Result<Option<OooCut>, StorageError> {
        if self.ooo.is_empty() {
            return Ok(None);
        }
        let cut = {
            let mut log = lock(&self.commit);
            let era = self.ooo.era.fetch_add(1, Ordering::AcqRel);
            let segment_last = match &mut log.wbl {
                Some(wbl) => {
                    wbl.begin_segment()?;
                    wbl.current_index().and_then(|index| index.checked_sub(1))
                }
                None => None,
            };
            OooCut { era, segment_last }
        };
        for shard in &self.ooo.shards {
            // The next version of a series is made from this one.
            let _no_commit = lock(&self.commit);
            for versions in write(shard).values_mut() {
                // Readers see the same samples in it.
                if let Some((_, series)) = versions.0.last_mut()
                    && series.is_open_since(cut.era)
                {
                    let chunks_count = Arc::make_mut(series).close();
                    self.metrics.chunks_created.inc_by(chunks_count as u64);
                }
            }
        }
        Ok(Some(cut))
    }

    /// The samples of a cut stand in blocks, which queries find if they enter the head first and look at the
    /// blocks then: they leave the head, and the log.
    ///
    /// # Errors
    /// The disk refuses; the log is shortened another time.
    pub(crate) fn end_out_of_order_compaction(&self, cut: OooCut) -> Result<(), StorageError> {
        self.remove_era(cut.era);
        let Some(last) = cut.segment_last else { return Ok(()) };
        let place = lock(&self.commit).wbl.as_ref().map(Wal::place);
        let Some((disk, dir)) = place else { return Ok(()) };
        let metrics = self.wbl_metrics();
        metrics.truncations.inc();
        remove_covered(&*disk, &dir, last).map_err(|source| {
            metrics.truncations_failed.inc();
            StorageError::Io { path: dir.clone(), action: "remove WBL segments", source }
        })?;
        lock(&self.ooo.pinned_refs).clear();
        Ok(())
    }

    fn remove_era(&self, era: u32) {
        let mut log = lock(&self.commit);
        log.last_id += 1;
        let id = log.last_id;
        let mut bounds = (i64::MAX, i64::MIN);
        for shard in &self.ooo.shards {
            for versions in write(shard).values_mut() {
                let Some(newest) = versions.newest() else { continue };
                let left = newest.without(era);
                let (min_t, max_t) = left.bounds();
                bounds = (bounds.0.min(min_t), bounds.1.max(max_t));
                versions.0.push((id, Arc::new(left)));
            }
        }
        self.readers.publish(id);
        // Earlier readers have the earlier versions, and pass these bounds at most once too often.
        let snapshots = self.readers.snapshots_before(id + 1);
        if snapshots.len() == 1 {
            self.ooo.min_t.store(bounds.0, Ordering::Release);
            self.ooo.max_t.store(bounds.1, Ordering::Release);
        }
        self.ooo.prune(&snapshots);
    }

    /// Drops versions that no reader can ask for any more.
    pub(in crate::head) fn prune_out_of_order(&self) {
        if self.ooo.is_empty() {
            return;
        }
        let log = lock(&self.commit);
        self.ooo.prune(&self.readers.snapshots_before(log.last_id + 1));
    }

    /// The block ranges that samples fall into, each with its end, which is not part of it; with an era, those
    /// of samples up to it.
    ///
    /// # Errors
    /// A chunk is damaged in its file.
    pub(crate) fn out_of_order_ranges(
        &self,
        era: Option<u32>,
    ) -> Result<Vec<(i64, i64)>, StorageError> {
        let range_ms = self.chunk_range_ms;
        let begin = |t: i64| t.div_euclid(range_ms).saturating_mul(range_ms);
        let is_one_part = |min_t, max_t| begin(min_t) == begin(max_t);
        let mut begins = BTreeSet::new();
        self.with_chunk_maps(|maps| {
            for shard in &self.ooo.shards {
                for (series_ref, versions) in read(shard).iter() {
                    let Some(series) = versions.newest() else { continue };
                    let mut each = |t| {
                        begins.insert(begin(t));
                    };
                    let seen = series.for_each_time(era, maps, &mut each, is_one_part);
                    seen.map_err(|err| corruption(*series_ref, err))?;
                }
            }
            Ok::<_, StorageError>(())
        })?;
        Ok(begins.into_iter().map(|begin| (begin, begin.saturating_add(range_ms))).collect())
    }

    /// Begins the log of out-of-order samples beside that of all samples, unless it is there.
    ///
    /// # Errors
    /// The disk refuses, or the database is closed.
    pub(crate) fn begin_wbl(&self, dir: &Path) -> Result<(), StorageError> {
        let mut log = lock(&self.commit);
        let CommitLog { wal, wbl, .. } = &mut *log;
        if wbl.is_some() {
            return Ok(());
        }
        let Some(wal) = wal else {
            return Err(StorageError::Suspended("the database is closed".to_owned()));
        };
        let io = |source| StorageError::Io { path: dir.to_owned(), action: "create WBL", source };
        let (disk, _) = wal.place();
        disk.create_dir_all(dir).map_err(io)?;
        let last = list_log(&*disk, dir).map_err(io)?.last_segment();
        wbl.insert(wal.beside(dir, last, self.wbl_metrics().clone())).begin()
    }
}

fn corruption(series_ref: u64, err: ChunkError) -> StorageError {
    StorageError::Corruption {
        path: "head".into(),
        offset: series_ref,
        reason: format!("out-of-order chunk of series {series_ref}: {err}"),
    }
}
