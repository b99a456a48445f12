//! Out-of-order samples of a batch become durable: the next versions of their series are made beside, chunks
//! that are full go to files, and the log is written; then the versions take their place, all at once.
//!
//! Format: docs/format/wbl.md. Chunks and samples of a series are on the log in the order in which they
//! came, so a marker means: what the log has of the series up to here stands in this chunk. A marker is
//! written only for a chunk that can be read in its file; without it a replay makes the chunk anew.

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

use hashbrown::{HashMap, HashSet};
use prom_storage::StorageError;

use crate::{
    head_chunks::{ChunkPlace, HeadChunk, encode_head_chunk},
    lock::{read, write},
    wal::{
        Compressor, EncodedRecord, RefHistogram, RefMarker, RefSample, Starts, Wal, encode_markers,
    },
};

use super::{
    OooBatch, Versions,
    series::{OooSample, OooSeries, OooValue},
};
use crate::head::{Head, flush::HeadFiles, group_of, slot::NO_TIME, slot_in_group};

/// Samples in one record.
const RECORD_SAMPLES_COUNT_MAX: usize = 10_000;

/// The next versions of the series that a commit touches.
#[derive(Debug, Default)]
pub(in crate::head) struct StagedOoo {
    series: HashMap<u64, StagedSeries, foldhash::fast::RandomState>,
    steps: Vec<Step>,
    pending: Pending,
    floats_count: u64,
    histograms_count: u64,
    unknown_count: u64,
    new_chunks_count: u64,
}

#[derive(Debug)]
struct StagedSeries {
    slot: u32,
    next: OooSeries,
    has_closed: bool,
    /// How many of the chunks that wait for a file have a marker.
    marked_count: usize,
    /// Where these chunks are; empty until they are written.
    places: Vec<ChunkPlace>,
}

/// What goes on the log, in order.
#[derive(Debug)]
enum Step {
    /// Markers of those of a series' chunks that waited for a file.
    Markers(Vec<(u64, Range<usize>)>),
    Samples(Vec<RefSample>),
    Histograms(Vec<RefHistogram>),
}

/// Steps that can still be joined: markers come first, so a series is in one of both only.
#[derive(Debug, Default)]
struct Pending {
    markers: Vec<(u64, Range<usize>)>,
    samples: Vec<RefSample>,
    histograms: Vec<RefHistogram>,
    refs: HashSet<u64, foldhash::fast::RandomState>,
}

impl Pending {
    fn flush(&mut self, steps: &mut Vec<Step>) {
        let Self { markers, samples, histograms, refs } = std::mem::take(self);
        drop(refs);
        steps.extend((!markers.is_empty()).then_some(Step::Markers(markers)));
        steps.extend((!samples.is_empty()).then_some(Step::Samples(samples)));
        steps.extend((!histograms.is_empty()).then_some(Step::Histograms(histograms)));
    }
}

impl StagedSeries {
    fn new(slot: u32, next: OooSeries) -> Self {
        Self { slot, next, has_closed: false, marked_count: 0, places: Vec::new() }
    }
}

impl StagedOoo {
    /// Whether anything was written to the log.
    pub(in crate::head) fn is_logged(&self) -> bool {
        !self.steps.is_empty()
    }
}

impl Head {
    /// Makes the next versions of series for the late samples of a batch, whose `starts` these are; nobody sees
    /// them yet. Then writes the log. The caller holds the commit lock.
    ///
    /// # Errors
    /// The log cannot be written; nothing has changed.
    pub(in crate::head) fn stage_out_of_order(
        &self,
        wbl: Option<&mut Wal>,
        late: [&OooBatch; 2],
        starts: &Starts,
    ) -> Result<StagedOoo, StorageError> {
        let mut staged = StagedOoo::default();
        for batch in late {
            for one in &batch.floats {
                self.stage(
                    &mut staged,
                    (one.series_ref, one.slot),
                    Late::Float(*one, starts.get(one.start)),
                );
            }
            for one in &batch.histograms {
                self.stage(
                    &mut staged,
                    (one.series_ref, one.slot),
                    Late::Histogram(one, self.kept_starts.of_histogram(one.start_ms)),
                );
            }
        }
        let StagedOoo { steps, pending, .. } = &mut staged;
        pending.flush(steps);
        if staged.steps.is_empty() {
            return Ok(staged);
        }
        let Some(wbl) = wbl else {
            let reason = "the log of out-of-order samples is not open";
            return Err(StorageError::Suspended(reason.to_owned()));
        };
        self.file_staged(&mut staged);
        self.log_staged(wbl, &staged, starts)?;
        Ok(staged)
    }

    fn stage(&self, staged: &mut StagedOoo, (series_ref, slot): (u64, u32), late: Late<'_>) {
        let StagedOoo { series, steps, pending, .. } = staged;
        let one = match series.entry(series_ref) {
            hashbrown::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            hashbrown::hash_map::Entry::Vacant(entry) => {
                let group = self.groups.get(slot);
                let is_there = group.is_some_and(|group| {
                    read(&group.data).hot(slot_in_group(slot), series_ref).is_some()
                });
                if !is_there {
                    staged.unknown_count += 1;
                    return;
                }
                let shard = read(self.ooo.shard(series_ref));
                let newest = shard.get(&series_ref).and_then(Versions::newest);
                let next = newest.map(|series| OooSeries::clone(series)).unwrap_or_default();
                entry.insert(StagedSeries::new(slot, next))
            }
        };
        if one.next.open_count() >= self.ooo.open_count_max {
            if pending.refs.contains(&series_ref) {
                pending.flush(steps);
            }
            staged.new_chunks_count += one.next.close() as u64;
            let waiting = one.next.closed().iter().filter(|chunk| chunk.waiting().is_some());
            let marked_count = std::mem::replace(&mut one.marked_count, waiting.count());
            one.has_closed = true;
            pending.markers.push((series_ref, marked_count..one.marked_count));
        }
        if !one.next.insert(late.to_sample(), self.ooo.era.load(Ordering::Acquire)) {
            return;
        }
        pending.refs.insert(series_ref);
        match late {
            Late::Float(sample, _) => {
                staged.floats_count += 1;
                pending.samples.push(sample);
            }
            Late::Histogram(histogram, _) => {
                staged.histograms_count += 1;
                pending.histograms.push(histogram.clone());
            }
        }
    }

    /// Writes full chunks to the files of head chunks. If that cannot be done now they stay in memory, and on
    /// the log sample by sample.
    fn file_staged(&self, staged: &mut StagedOoo) {
        if !staged.series.values().any(|one| one.has_closed) {
            return;
        }
        // Whoever holds the files may be waiting for a commit to end.
        let Ok(mut files) = self.head_files.try_lock() else { return };
        let Some(HeadFiles { writer, .. }) = &mut *files else { return };
        let (mut bytes, mut offsets) = (Vec::new(), Vec::new());
        for (series_ref, one) in staged.series.iter().filter(|(_, one)| one.has_closed) {
            for chunk in one.next.closed() {
                let Some(data) = chunk.waiting() else { continue };
                offsets.push((*series_ref, bytes.len() as u32));
                let chunk = HeadChunk {
                    series_ref: *series_ref,
                    min_t: chunk.min_t,
                    max_t: chunk.max_t,
                    encoding: chunk.encoding as u8,
                    is_out_of_order: true,
                    data,
                };
                encode_head_chunk(&mut bytes, &chunk);
            }
        }
        let begin = match writer.append(&bytes, None) {
            Ok(begin) => begin,
            Err(err) => {
                tracing::debug!(err = %err, "Writing out-of-order chunks failed; they stay in memory");
                return;
            }
        };
        self.chunk_metrics.mapped_chunks.inc_by(offsets.len() as u64);
        for (series_ref, offset) in offsets {
            if let Some(one) = staged.series.get_mut(&series_ref) {
                one.places.push(ChunkPlace { offset: begin.offset + offset, ..begin });
            }
        }
        for (series_ref, one) in staged.series.iter_mut().filter(|(_, one)| one.has_closed) {
            one.next.set_filed(*series_ref, &one.places);
        }
    }

    fn log_staged(
        &self,
        wbl: &mut Wal,
        staged: &StagedOoo,
        starts: &Starts,
    ) -> Result<(), StorageError> {
        let mut compressor = Compressor::default();
        let mut records = Vec::new();
        let mut push = |mut bytes: Vec<u8>| {
            let (compression, saved) = compressor.compress(self.compression, &mut bytes);
            self.ooo.wal_metrics.count_saved(compression, saved);
            records.push((compression, bytes));
        };
        for step in &staged.steps {
            match step {
                Step::Markers(refs) => {
                    let markers = markers(staged, refs);
                    if !markers.is_empty() {
                        let mut bytes = Vec::new();
                        encode_markers(&mut bytes, &markers);
                        push(bytes);
                    }
                }
                Step::Samples(samples) => {
                    for part in samples.chunks(RECORD_SAMPLES_COUNT_MAX) {
                        let mut bytes = Vec::new();
                        self.encode_samples(&mut bytes, part, starts);
                        push(bytes);
                    }
                }
                Step::Histograms(histograms) => {
                    for part in histograms.chunks(RECORD_SAMPLES_COUNT_MAX) {
                        self.encode_histograms(part, &mut |record| push(record.to_vec()));
                    }
                }
            }
        }
        let encoded: Vec<EncodedRecord<'_>> = records
            .iter()
            .map(|(compression, bytes)| EncodedRecord { compression: *compression, payload: bytes })
            .collect();
        wbl.append(&encoded)
    }

    /// Shows what was staged to readers that come when commit `id` is published.
    pub(in crate::head) fn apply_out_of_order(&self, id: u64, staged: &mut StagedOoo) {
        self.metrics.series_not_found.inc_by(staged.unknown_count);
        if staged.series.is_empty() {
            return;
        }
        let snapshots = self.readers.snapshots_before(id);
        for (series_ref, one) in &mut staged.series {
            self.ooo.include(one.next.bounds());
            let mut shard = write(self.ooo.shard(*series_ref));
            let before = shard.len();
            let versions = shard.entry(*series_ref).or_default();
            versions.0.push((id, Arc::new(std::mem::take(&mut one.next))));
            versions.prune(&snapshots);
            self.ooo.series_count.fetch_add(shard.len() - before, Ordering::AcqRel);
            drop(shard);
            // It may have been about to go. Who looks for such series from here on finds that it has something.
            if let Some(group) = self.groups.get(one.slot) {
                write(&group.data).spare(slot_in_group(one.slot));
            }
        }
        self.ooo.metrics.floats_appended.inc_by(staged.floats_count);
        self.ooo.metrics.histograms_appended.inc_by(staged.histograms_count);
        self.metrics.chunks_created.inc_by(staged.new_chunks_count);
    }

    /// Commit `id` has been published: what it replaced is of use to earlier readers only.
    pub(in crate::head) fn forget_replaced(&self, id: u64, staged: &StagedOoo) {
        if staged.series.is_empty() {
            return;
        }
        let snapshots = self.readers.snapshots_before(id + 1);
        for series_ref in staged.series.keys() {
            if let Some(versions) = write(self.ooo.shard(*series_ref)).get_mut(series_ref) {
                versions.prune(&snapshots);
            }
        }
    }

    /// Logged samples of a batch that other commits have overtaken since they were checked.
    pub(in crate::head) fn overtaken(
        &self,
        floats: &[RefSample],
        histograms: &[RefHistogram],
    ) -> OooBatch {
        let mut overtaken = OooBatch::default();
        for run in floats.chunk_by(|a, b| group_of(a.slot) == group_of(b.slot)) {
            self.with_last_times(run.first().map(|one| one.slot), |last_t| {
                let is_overtaken = |one: &&RefSample| one.t < last_t(one.slot, one.series_ref);
                overtaken.floats.extend(run.iter().filter(is_overtaken));
            });
        }
        for one in histograms {
            self.with_last_times(Some(one.slot), |last_t| {
                if one.t < last_t(one.slot, one.series_ref) {
                    overtaken.histograms.push(one.clone());
                }
            });
        }
        overtaken
    }

    /// Tells `each` how to find the last in-order times of series in the group of a slot.
    fn with_last_times(&self, slot: Option<u32>, each: impl FnOnce(&dyn Fn(u32, u64) -> i64)) {
        let Some(group) = slot.and_then(|slot| self.groups.get(slot)) else { return };
        let data = read(&group.data);
        each(&|slot, series_ref| {
            data.hot(slot_in_group(slot), series_ref).map_or(NO_TIME, |hot| hot.last_t)
        });
    }
}

/// One sample on its way, and its start as the head keeps it.
#[derive(Clone, Copy)]
enum Late<'a> {
    Float(RefSample, i64),
    Histogram(&'a RefHistogram, i64),
}

impl Late<'_> {
    fn to_sample(self) -> OooSample {
        match self {
            Self::Float(one, start_ms) => {
                OooSample { t: one.t, start_ms, value: OooValue::Float(one.v) }
            }
            Self::Histogram(one, start_ms) => {
                OooSample { t: one.t, start_ms, value: OooValue::Histogram(one.value.clone()) }
            }
        }
    }
}

/// Markers for the chunks that have been written.
fn markers(staged: &StagedOoo, of_series: &[(u64, Range<usize>)]) -> Vec<RefMarker> {
    let of = |(series_ref, waited): &(u64, Range<usize>)| {
        let one = staged.series.get(series_ref);
        let places = one.and_then(|one| one.places.get(waited.clone())).unwrap_or_default();
        let series_ref = *series_ref;
        places.iter().map(move |place| RefMarker { series_ref, chunk_ref: place.chunk_ref() })
    };
    of_series.iter().flat_map(of).collect()
}
