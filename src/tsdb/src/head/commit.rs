//! A batch becomes durable, then visible. Records are made before the commit lock is taken; under it the
//! log is written and the samples are applied.

use std::{
    ops::Range,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
};

use hashbrown::HashMap;
use prom_model::{Exemplar, Labels};
use prom_storage::StorageError;
use smallvec::SmallVec;

use crate::{
    WalCompression,
    disk::Disk,
    lock::{lock, read, write},
    wal::{
        Compressor, EncodedRecord, RefExemplar, RefHistogram, RefMetadata, RefSample, Starts, Wal,
        encode_exemplars, encode_histograms, encode_histograms_with_start, encode_metadata,
        encode_samples, encode_samples_with_start, encode_series, push_series,
    },
};

use super::{
    Head,
    dictionary::PairId,
    group::Appended,
    group_of,
    out_of_order::{OooBatch, StagedOoo},
    slot_in_group,
};

/// Samples and series in one record; a larger batch has more records.
const RECORD_SAMPLES_COUNT_MAX: usize = 100_000;
const RECORD_SERIES_COUNT_MAX: usize = 10_000;
const RECORD_HISTOGRAMS_COUNT_MAX: usize = 10_000;
/// Samples of a batch buffer that is kept; larger ones are given back to the allocator.
const KEPT_SAMPLES_COUNT_MAX: usize = 50_000;
/// Likewise for the buffers of records: room for a scrape of 20 000 samples.
const KEPT_BUFFER_SIZE_BYTES: usize = 256 << 10;

/// What the commit lock guards.
#[derive(Debug, Default)]
pub(super) struct CommitLog {
    /// Absent while the log is replayed, and after the end.
    pub(super) wal: Option<Wal>,
    /// The log of what comes out of order; absent where nothing may.
    pub(super) wbl: Option<Wal>,
    pub(super) last_id: u64,
    /// Where the log is kept, also once it is closed.
    pub(super) place: Option<(Arc<dyn Disk>, PathBuf)>,
    /// Where the log ended, once it is closed.
    pub(super) end: Option<(u64, u64)>,
    /// Refs of series that have gone, and the segment that was written to then: up to there, the log may
    /// mention them. Or refs under which the log has samples of series that have another one.
    pub(super) deleted: HashMap<u64, u64, foldhash::fast::RandomState>,
    /// The last of such samples is no newer.
    pub(super) aliases_until: i64,
}

/// In the place of a segment: the ref is that of samples of a series that has another one.
pub(super) const ALIAS_SEGMENT: u64 = u64::MAX;

/// The samples of one appender, and buffers.
#[derive(Debug, Default)]
pub(super) struct Batch {
    samples: Vec<RefSample>,
    /// Of all floats, those out of order, too.
    pub(super) starts: Starts,
    histograms: Vec<RefHistogram>,
    /// Samples that are known to be out of order.
    pub(super) ooo: OooBatch,
    pub(super) exemplars: Vec<(u32, RefExemplar)>,
    pub(super) metadata: Vec<RefMetadata>,
    /// The last histogram of each slot that has one in this batch.
    last_histogram: HashMap<u32, usize, foldhash::fast::RandomState>,
    /// Ends of parts among the samples and the histograms. Within a part the samples of a series come
    /// before its histograms, which are of one kind: what comes in another order begins a part.
    part_ends: Vec<(usize, usize)>,
    /// Slots of series that may have no record yet; any order, more than once.
    pub(super) unlogged: Vec<u32>,
    /// One bit a slot: whether the batch has a sample of it.
    seen: Vec<u64>,
    /// The last sample of each slot, once a slot came twice and not in a row.
    last_index: HashMap<u32, usize, foldhash::fast::RandomState>,
    records: Vec<Record>,
    spare_buffers: Vec<Vec<u8>>,
    compressor: Compressor,
}

#[derive(Debug)]
struct Record {
    compression: WalCompression,
    bytes: Vec<u8>,
}

impl Record {
    fn as_encoded(&self) -> EncodedRecord<'_> {
        EncodedRecord { compression: self.compression, payload: &self.bytes }
    }
}

impl Batch {
    /// The last sample of a slot in this batch.
    #[inline]
    pub(super) fn last_of(&mut self, slot: u32) -> Option<(i64, u64)> {
        let word = self.seen.get(slot as usize / 64)?;
        if word >> (slot % 64) & 1 == 0 {
            return None;
        }
        let last = self.samples.last().filter(|last| last.slot == slot);
        let found = last.copied().or_else(|| {
            if self.last_index.is_empty() {
                self.last_index.extend(self.samples.iter().enumerate().map(|(i, s)| (s.slot, i)));
            }
            self.last_index.get(&slot).map(|index| self.samples[*index])
        })?;
        Some((found.t, found.v))
    }

    #[inline]
    pub(super) fn push(&mut self, sample: RefSample) {
        let word = sample.slot as usize / 64;
        if word >= self.seen.len() {
            self.seen.resize((word + 1).next_multiple_of(64), 0);
        }
        self.seen[word] |= 1 << (sample.slot % 64);
        if !self.last_index.is_empty() {
            self.last_index.insert(sample.slot, self.samples.len());
        }
        self.samples.push(sample);
    }

    /// Whether the batch has any sample of a slot.
    pub(super) fn has_sample_of(&mut self, slot: u32) -> bool {
        self.last_of(slot).is_some()
            || self.last_histogram.contains_key(&slot)
            || self.ooo.floats.iter().any(|one| one.slot == slot)
            || self.ooo.histograms.iter().any(|one| one.slot == slot)
    }

    /// The last histogram of a slot in this batch, if no float came after it.
    pub(super) fn last_histogram_of(&mut self, slot: u32) -> Option<&RefHistogram> {
        let index = *self.last_histogram.get(&slot)?;
        let t = self.histograms[index].t;
        let is_last = self.last_of(slot).is_none_or(|float| float.0 < t);
        is_last.then(|| &self.histograms[index])
    }

    pub(super) fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }

    pub(super) fn push_histogram(&mut self, histogram: RefHistogram) {
        // A record has histograms of one kind: those of another kind must be applied after it.
        let begin = self.part_ends.last().map_or(0, |end| end.1);
        let last = self.last_histogram.get(&histogram.slot).filter(|index| **index >= begin);
        if last.is_some_and(|last| !self.histograms[*last].is_of_kind_of(&histogram)) {
            self.part_ends.push((self.samples.len(), self.histograms.len()));
        }
        self.last_histogram.insert(histogram.slot, self.histograms.len());
        self.histograms.push(histogram);
    }

    /// A float comes for this slot: it must be applied after the histograms of its series.
    pub(super) fn part_for_float(&mut self, slot: u32) {
        let begin = self.part_ends.last().map_or(0, |end| end.1);
        if self.last_histogram.get(&slot).is_some_and(|index| *index >= begin) {
            self.part_ends.push((self.samples.len(), self.histograms.len()));
        }
    }

    /// The parts: ranges of samples and of histograms.
    fn parts(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> + use<> {
        let mut ends = self.part_ends.clone();
        ends.push((self.samples.len(), self.histograms.len()));
        let mut begin = (0, 0);
        ends.into_iter().map(move |end| {
            let begin = std::mem::replace(&mut begin, end);
            (begin.0..end.0, begin.1..end.1)
        })
    }

    /// Forgets the samples; small buffers are kept.
    pub(super) fn clear(&mut self) {
        self.histograms = Vec::new();
        self.ooo.clear();
        self.exemplars = Vec::new();
        self.metadata = Vec::new();
        self.last_histogram.clear();
        self.part_ends.clear();
        for sample in &self.samples {
            self.seen[sample.slot as usize / 64] = 0;
        }
        if self.samples.capacity() > KEPT_SAMPLES_COUNT_MAX {
            *self = Self { seen: std::mem::take(&mut self.seen), ..Self::default() };
            return;
        }
        self.samples.clear();
        self.starts.clear();
        self.unlogged.clear();
        self.last_index.clear();
        self.clear_records();
        self.spare_buffers.retain(|buffer| buffer.capacity() <= KEPT_BUFFER_SIZE_BYTES);
        self.compressor.shrink(KEPT_BUFFER_SIZE_BYTES);
    }

    fn clear_records(&mut self) {
        self.spare_buffers.extend(self.records.drain(..).map(|record| record.bytes));
    }

    fn push_record(&mut self, head: &Head, encode: impl FnOnce(&Self, &mut Vec<u8>)) {
        let mut bytes = self.spare_buffers.pop().unwrap_or_default();
        bytes.clear();
        encode(self, &mut bytes);
        self.push_encoded(head, bytes);
    }

    fn push_encoded(&mut self, head: &Head, mut bytes: Vec<u8>) {
        let (compression, saved) = self.compressor.compress(head.compression, &mut bytes);
        head.wal_metrics.count_saved(compression, saved);
        self.records.push(Record { compression, bytes });
    }

    /// Makes the records: series first.
    fn encode(&mut self, head: &Head) {
        self.clear_records();
        let unlogged = std::mem::take(&mut self.unlogged);
        for part in unlogged.chunks(RECORD_SERIES_COUNT_MAX) {
            self.push_record(head, |_, out| head.encode_series_of(part, out));
        }
        self.unlogged = unlogged;
        if !self.metadata.is_empty() {
            let mut bytes = Vec::new();
            encode_metadata(&mut bytes, &self.metadata);
            self.push_encoded(head, bytes);
        }
        for (samples, histograms) in self.parts() {
            for begin in samples.clone().step_by(RECORD_SAMPLES_COUNT_MAX) {
                let end = samples.end.min(begin + RECORD_SAMPLES_COUNT_MAX);
                self.push_record(head, |batch, out| {
                    head.encode_samples(out, &batch.samples[begin..end], &batch.starts);
                });
            }
            for begin in histograms.clone().step_by(RECORD_HISTOGRAMS_COUNT_MAX) {
                let end = histograms.end.min(begin + RECORD_HISTOGRAMS_COUNT_MAX);
                let mut records = Vec::new();
                head.encode_histograms(&self.histograms[begin..end], &mut |record| {
                    records.push(record.to_vec());
                });
                records.into_iter().for_each(|record| self.push_encoded(head, record));
            }
        }
        self.encode_out_of_order(head);
        if !self.exemplars.is_empty() {
            let exemplars: Vec<RefExemplar> =
                self.exemplars.iter().map(|(_, exemplar)| exemplar.clone()).collect();
            let mut bytes = Vec::new();
            encode_exemplars(&mut bytes, &exemplars);
            self.push_encoded(head, bytes);
        }
    }
}

impl Batch {
    /// The log has these samples, too, for those who follow it; the head's replay passes over them.
    fn encode_out_of_order(&mut self, head: &Head) {
        let OooBatch { floats, histograms } = std::mem::take(&mut self.ooo);
        for part in floats.chunks(RECORD_SAMPLES_COUNT_MAX) {
            self.push_record(head, |batch, out| head.encode_samples(out, part, &batch.starts));
        }
        for part in histograms.chunks(RECORD_HISTOGRAMS_COUNT_MAX) {
            head.encode_histograms(part, &mut |record| self.push_encoded(head, record.to_vec()));
        }
        self.ooo = OooBatch { floats, histograms };
    }
}

impl Head {
    /// Logs the batch, applies it, publishes it.
    pub(super) fn commit(&self, batch: &mut Batch) -> Result<(), StorageError> {
        let has_samples =
            !batch.samples.is_empty() || batch.has_histograms() || !batch.ooo.is_empty();
        let is_empty = !has_samples && batch.exemplars.is_empty() && batch.metadata.is_empty();
        if is_empty && batch.unlogged.is_empty() {
            return Ok(());
        }
        batch.unlogged.sort_unstable();
        batch.unlogged.dedup();
        let mut log = loop {
            batch.unlogged.retain(|slot| self.is_unlogged(*slot));
            batch.encode(self);
            let log = lock(&self.commit);
            // A series is logged once: readers of the log drop samples that stand between two records of
            // it. If another commit was faster, make the records again.
            if batch.unlogged.iter().all(|slot| self.is_unlogged(*slot)) {
                break log;
            }
        };
        let CommitLog { wal, wbl, .. } = &mut *log;
        let Some(wal) = wal else {
            return Err(StorageError::Suspended("the database is closed".to_owned()));
        };
        // Nobody follows this log, so it is the one that may be taken back.
        let mut staged = self.stage_late(wbl.as_mut(), batch)?;
        let records: SmallVec<[_; 4]> = batch.records.iter().map(Record::as_encoded).collect();
        if let Err(err) = wal.append(&records) {
            if let Some(wbl) = wbl.as_mut().filter(|_| staged.is_logged()) {
                wbl.take_back_last();
            }
            return Err(err);
        }
        for slot in &batch.unlogged {
            if let Some(group) = self.groups.get(*slot) {
                write(&group.data).set_logged(slot_in_group(*slot));
            }
        }
        log.last_id += 1;
        for (samples, histograms) in batch.parts() {
            self.apply(log.last_id, &batch.samples[samples], &batch.starts);
            self.apply_histograms(log.last_id, &batch.histograms[histograms]);
        }
        self.apply_out_of_order(log.last_id, &mut staged);
        for (slot, exemplar) in batch.exemplars.drain(..) {
            self.add_exemplar(slot, exemplar);
        }
        if !batch.metadata.is_empty() {
            let mut known = lock(&self.metadata);
            for RefMetadata { series_ref, metadata } in batch.metadata.drain(..) {
                known.set(series_ref, metadata);
            }
        }
        self.readers.publish(log.last_id);
        self.forget_replaced(log.last_id, &staged);
        Ok(())
    }

    /// Makes a record of samples; with their starts, if these are kept at all.
    pub(super) fn encode_samples(&self, out: &mut Vec<u8>, samples: &[RefSample], starts: &Starts) {
        match self.kept_starts.is_any {
            true => encode_samples_with_start(out, samples, starts),
            false => encode_samples(out, samples),
        }
    }

    /// Likewise records of histograms.
    pub(super) fn encode_histograms(
        &self,
        histograms: &[RefHistogram],
        each: &mut dyn FnMut(&[u8]),
    ) {
        match self.kept_starts.is_any {
            true => encode_histograms_with_start(histograms, each),
            false => encode_histograms(histograms, each),
        }
    }

    /// Logs what is out of order in the batch, be it that other commits have overtaken it.
    fn stage_late(&self, wbl: Option<&mut Wal>, batch: &Batch) -> Result<StagedOoo, StorageError> {
        let overtaken = match self.ooo.window_ms() {
            0 => OooBatch::default(),
            _ => self.overtaken(&batch.samples, &batch.histograms),
        };
        self.stage_out_of_order(wbl, [&batch.ooo, &overtaken], &batch.starts)
    }

    /// Puts logged samples into their series. One that another commit has overtaken is dropped, as it will
    /// be when the log is replayed.
    fn apply(&self, id: u64, samples: &[RefSample], starts: &Starts) {
        let snapshots = self.readers.snapshots_before(id);
        let mut counts = Counts::default();
        for run in samples.chunk_by(|a, b| group_of(a.slot) == group_of(b.slot)) {
            let Some(group) = run.first().and_then(|sample| self.groups.get(sample.slot)) else {
                continue;
            };
            let mut data = write(&group.data);
            data.tails.begin(id, &snapshots);
            let has_starts = !starts.is_empty() || data.has_starts();
            for sample in run {
                let slot = slot_in_group(sample.slot);
                let appended = match data.hot(slot, sample.series_ref) {
                    Some(_) if has_starts => {
                        let start_ms = starts.get(sample.start);
                        let (sample, range_ms) = ((sample.t, sample.v), self.chunk_range_ms);
                        data.append_with_start(slot, sample, start_ms, range_ms)
                    }
                    Some(_) => data.append(slot, (sample.t, sample.v), self.chunk_range_ms),
                    None => Appended::Unknown,
                };
                if let Appended::Stored { .. } = appended {
                    data.tails.count(slot);
                }
                counts.add(appended, sample.t);
            }
        }
        self.add_counts(&counts);
        self.metrics.samples_appended.inc_by(counts.stored);
        self.metrics.out_of_order_samples.inc_by(counts.dropped);
        self.metrics.series_not_found.inc_by(counts.unknown);
    }

    /// Likewise for histograms.
    fn apply_histograms(&self, id: u64, histograms: &[RefHistogram]) {
        if histograms.is_empty() {
            return;
        }
        let snapshots = self.readers.snapshots_before(id);
        let mut counts = Counts::default();
        for run in histograms.chunk_by(|a, b| group_of(a.slot) == group_of(b.slot)) {
            let Some(group) = run.first().and_then(|first| self.groups.get(first.slot)) else {
                continue;
            };
            let mut data = write(&group.data);
            data.tails.begin(id, &snapshots);
            for RefHistogram { series_ref, slot, t, start_ms, value } in run {
                let slot = slot_in_group(*slot);
                let appended = match data.hot(slot, *series_ref) {
                    Some(_) => data.append_histogram(slot, *t, value, self.chunk_range_ms),
                    None => Appended::Unknown,
                };
                data.set_start(slot, appended, self.kept_starts.of_histogram(*start_ms));
                if let Appended::Stored { .. } = appended {
                    data.tails.count(slot);
                }
                counts.add(appended, *t);
            }
        }
        self.add_counts(&counts);
        self.metrics.histograms_appended.inc_by(counts.stored);
        self.metrics.out_of_order_histograms.inc_by(counts.dropped);
        self.metrics.series_not_found.inc_by(counts.unknown);
    }

    /// Keeps an exemplar that is on the log.
    pub(super) fn add_exemplar(&self, slot: u32, exemplar: RefExemplar) {
        let RefExemplar { series_ref, t, v, labels } = exemplar;
        let exemplar = Exemplar { labels, value: v, timestamp_ms: t };
        self.exemplars.add(series_ref, exemplar, || {
            let found = self.labels_of(slot);
            found.filter(|(found_ref, _)| *found_ref == series_ref).map(|(_, labels)| labels)
        });
    }

    pub(super) fn add_counts(&self, counts: &Counts) {
        self.times.include(counts.min_t, counts.max_t);
        self.chunks_count.fetch_add(counts.new_chunks, Ordering::Relaxed);
        self.stale_count.fetch_add(counts.staleness, Ordering::Relaxed);
        self.metrics.chunks_created.inc_by(counts.new_chunks);
    }

    pub(super) fn is_unlogged(&self, slot: u32) -> bool {
        let group = self.groups.get(slot);
        group.is_some_and(|group| read(&group.data).is_unlogged(slot_in_group(slot)))
    }

    /// Writes a record of the series in these slots.
    fn encode_series_of(&self, slots: &[u32], out: &mut Vec<u8>) {
        encode_series(out, []);
        let index = read(&self.index);
        let pairs = index.dictionary().read();
        for slot in slots {
            let Some(group) = self.groups.get(*slot) else { continue };
            let data = read(&group.data);
            let slot = slot_in_group(*slot);
            if let (Some(series_ref), Some(seq)) = (data.series_ref(slot), data.seq(slot)) {
                let ids = index.pair_ids(seq).iter();
                push_series(out, series_ref, ids.map(|id| pairs.texts(PairId(*id))));
            }
        }
    }

    /// The ref and the labels of a slot.
    fn labels_of(&self, slot: u32) -> Option<(u64, Labels)> {
        let index = read(&self.index);
        let data = read(&self.groups.get(slot)?.data);
        let slot = slot_in_group(slot);
        let (series_ref, seq) = (data.series_ref(slot)?, data.seq(slot)?);
        Some((series_ref, index.dictionary().read().labels(index.pair_ids(seq))))
    }
}

/// What applying samples changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    pub(super) stored: u64,
    pub(super) dropped: u64,
    pub(super) unknown: u64,
    new_chunks: u64,
    staleness: i64,
    min_t: i64,
    max_t: i64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            stored: 0,
            dropped: 0,
            unknown: 0,
            new_chunks: 0,
            staleness: 0,
            min_t: i64::MAX,
            max_t: i64::MIN,
        }
    }
}

impl Counts {
    #[inline]
    pub(super) fn add(&mut self, appended: Appended, t: i64) {
        match appended {
            Appended::Stored { is_new_chunk, staleness } => {
                self.stored += 1;
                self.new_chunks += u64::from(is_new_chunk);
                self.staleness += i64::from(staleness);
                self.min_t = self.min_t.min(t);
                self.max_t = self.max_t.max(t);
            }
            Appended::Dropped => self.dropped += 1,
            Appended::Unknown => self.unknown += 1,
        }
    }

    pub(super) fn merge(self, other: Self) -> Self {
        Self {
            stored: self.stored + other.stored,
            dropped: self.dropped + other.dropped,
            unknown: self.unknown + other.unknown,
            new_chunks: self.new_chunks + other.new_chunks,
            staleness: self.staleness + other.staleness,
            min_t: self.min_t.min(other.min_t),
            max_t: self.max_t.max(other.max_t),
        }
    }
}
