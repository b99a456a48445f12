//! Deleted times of the head's series: on the log first, then hidden from readers and from blocks. The
//! samples themselves leave when the head is truncated.

use std::sync::{
    RwLock,
    atomic::{AtomicBool, Ordering},
};

use hashbrown::HashMap;
use prom_storage::{Columns, SeriesHandle, StorageError, TimeRange};

use crate::{
    block::add_range,
    lock::{lock, read, write},
    select::columns,
    wal::{Compressor, EncodedRecord, RefTombstone, encode_tombstones},
};

use super::{Head, commit::CommitLog};

/// Tombstones in one record; more make more records.
const RECORD_TOMBSTONES_COUNT_MAX: usize = 10_000;

type Ranges = HashMap<u64, Vec<TimeRange>, foldhash::fast::RandomState>;

/// What is deleted, by series ref; ranges of a series ascend.
#[derive(Debug, Default)]
pub(super) struct Deletions {
    /// Nearly always nothing is deleted, and nobody has to look.
    is_any: AtomicBool,
    ranges: RwLock<Ranges>,
}

impl Deletions {
    pub(super) fn add(&self, tombstones: &[RefTombstone]) {
        let mut ranges = write(&self.ranges);
        for one in tombstones.iter().filter(|one| one.min_t <= one.max_t) {
            let range = TimeRange { mint_ms: one.min_t, maxt_ms: one.max_t };
            add_range(ranges.entry(one.series_ref).or_default(), range);
        }
        self.is_any.store(!ranges.is_empty(), Ordering::Release);
    }

    pub(super) fn for_each(&self, mut each: impl FnMut(u64, TimeRange)) {
        for (series_ref, of_series) in &*read(&self.ranges) {
            of_series.iter().for_each(|range| each(*series_ref, *range));
        }
    }

    fn of(&self, series_ref: u64) -> Vec<TimeRange> {
        if !self.is_any.load(Ordering::Acquire) {
            return Vec::new();
        }
        read(&self.ranges).get(&series_ref).cloned().unwrap_or_default()
    }

    fn begin_before(&self, t_ms: i64) -> bool {
        let begins = |range: &TimeRange| range.mint_ms < t_ms;
        self.is_any.load(Ordering::Acquire) && read(&self.ranges).values().flatten().any(begins)
    }

    fn forget_before(&self, t_ms: i64) {
        let mut ranges = write(&self.ranges);
        ranges.retain(|_, of_series| {
            of_series.retain(|range| range.maxt_ms >= t_ms);
            !of_series.is_empty()
        });
        self.is_any.store(!ranges.is_empty(), Ordering::Release);
    }
}

impl Head {
    /// Deletes what these series have in the range. Samples that come later are not hidden.
    ///
    /// # Errors
    /// The log refuses; nothing is deleted then.
    pub(crate) fn delete(
        &self,
        series: &[SeriesHandle],
        range: TimeRange,
    ) -> Result<(), StorageError> {
        let mut tombstones = Vec::new();
        // Nothing is added to a series meanwhile, so it ends where it is seen to end.
        let mut log = lock(&self.commit);
        for handle in series {
            let mut times: Option<(i64, i64)> = None;
            let seen = self.for_each_chunk(*handle, range, |chunk| {
                let (min_t, max_t) = times.unwrap_or((chunk.min_t, chunk.max_t));
                times = Some((min_t.min(chunk.min_t), max_t.max(chunk.max_t)));
            });
            // A chunk that cannot be read has no samples to hide.
            if let Err(err) = seen {
                tracing::warn!(series = %handle.series_ref, err = %err, "Deleting passes over a chunk");
            }
            if let Some((min_t, max_t)) = self.out_of_order_bounds(handle.series_ref.0)
                && min_t <= range.maxt_ms
                && max_t >= range.mint_ms
            {
                let known = times.unwrap_or((min_t, max_t));
                times = Some((known.0.min(min_t), known.1.max(max_t)));
            }
            if let Some((min_t, max_t)) = times {
                tombstones.push(RefTombstone {
                    series_ref: handle.series_ref.0,
                    min_t: min_t.max(range.mint_ms),
                    max_t: max_t.min(range.maxt_ms),
                });
            }
        }
        if tombstones.is_empty() {
            return Ok(());
        }
        self.log_tombstones(&mut log, &tombstones)?;
        self.deletions.add(&tombstones);
        Ok(())
    }

    /// Writes deletions to the log; the caller holds the commit lock.
    ///
    /// # Errors
    /// The log refuses; nothing was written.
    pub(super) fn log_tombstones(
        &self,
        log: &mut CommitLog,
        tombstones: &[RefTombstone],
    ) -> Result<(), StorageError> {
        let Some(wal) = &mut log.wal else {
            return Err(StorageError::Suspended("the database is closed".to_owned()));
        };
        let mut compressor = Compressor::default();
        let records = tombstones.chunks(RECORD_TOMBSTONES_COUNT_MAX).map(|part| {
            let mut bytes = Vec::new();
            encode_tombstones(&mut bytes, part);
            let (compression, saved) = compressor.compress(self.compression, &mut bytes);
            self.wal_metrics.count_saved(compression, saved);
            (compression, bytes)
        });
        let records: Vec<_> = records.collect();
        let encoded: Vec<EncodedRecord<'_>> = records
            .iter()
            .map(|(compression, bytes)| EncodedRecord { compression: *compression, payload: bytes })
            .collect();
        wal.append(&encoded)
    }

    /// Deleted times of a series, ascending.
    pub(crate) fn deleted(&self, handle: SeriesHandle) -> Vec<TimeRange> {
        self.deletions.of(handle.series_ref.0)
    }

    /// Reads as [`Head::read`] does, and leaves out what is deleted.
    pub(super) fn without_deleted<E>(
        &self,
        handle: SeriesHandle,
        out: &mut Columns,
        read: impl FnOnce(&mut Columns) -> Result<(), E>,
    ) -> Result<(), E> {
        let deleted = self.deleted(handle);
        if deleted.is_empty() {
            return read(out);
        }
        let mut all = Columns::default();
        let result = read(&mut all);
        columns::delete(&mut all, &deleted);
        columns::append(out, &all);
        result
    }

    /// Whether samples before the time may be deleted.
    pub(crate) fn has_deletions_before(&self, t_ms: i64) -> bool {
        self.deletions.begin_before(t_ms)
    }

    /// Deletions of samples that have left the head are of no use any more.
    pub(crate) fn forget_deletions_before(&self, t_ms: i64) {
        self.deletions.forget_before(t_ms);
    }
}
