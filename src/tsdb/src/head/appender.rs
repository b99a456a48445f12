//! One batch on its way in: samples are checked against their series and each other, then kept until the
//! commit. Writing and applying them is `commit`'s matter.

mod starts;

use std::sync::{Arc, atomic::Ordering};

use prom_model::{HistogramValue, Labels, Metadata};
use prom_storage::{
    Appender, ExemplarSample, FloatSample, HistogramSample, Rejected, Rejection, SeriesHandle,
    SeriesStart, StorageError,
};

use crate::{
    lock::{lock, read},
    wal::{RefExemplar, RefHistogram, RefMetadata, RefSample, StartId, Starts},
};

use super::{
    Head,
    commit::Batch,
    group::{Group, GroupData, check},
    group_of,
    histograms::{is_marker, is_same, stale_like},
    slot::{HotSlot, NO_TIME},
    slot_in_group,
    writers::{WriterTicket, Writers},
};

/// Batches that are kept for the next appenders: commits are applied one at a time, so few are in use.
const BATCHES_COUNT_MAX: usize = 4;

/// A batch; dropping it forgets it.
#[derive(Debug)]
pub(crate) struct HeadAppender {
    head: Arc<Head>,
    batch: Batch,
    writer: WriterTicket,
    /// Set by the first sample.
    bounds: Option<Bounds>,
}

/// Which times a batch takes.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Below it nothing is in order.
    min_valid_t: i64,
    /// The newest sample of the head.
    max_t: i64,
    /// How much older a sample may be that is out of order; zero: none may be.
    window_ms: i64,
}

impl Head {
    pub(crate) fn appender(self: &Arc<Self>) -> HeadAppender {
        self.metrics.active_appenders.inc();
        self.metrics.appenders_created.inc();
        let batch = lock(&self.batches).pop().unwrap_or_default();
        let writer = Writers::enter(&self.writers);
        HeadAppender { head: Arc::clone(self), batch, writer, bounds: None }
    }
}

impl Appender for HeadAppender {
    fn series(&mut self, labels: &Labels) -> Result<SeriesHandle, StorageError> {
        if !self.head.is_open.load(Ordering::Acquire) {
            return Err(StorageError::Suspended("the database is closed".to_owned()));
        }
        let handle = self.head.series(labels)?;
        // Whoever commits first logs it, be it its creator or not.
        if self.head.is_unlogged(handle.slot) {
            self.batch.unlogged.push(handle.slot);
        }
        Ok(handle)
    }

    fn append(&mut self, samples: &[FloatSample], rejected: &mut Vec<Rejected>) {
        self.append_all(samples, |_, _| StartId::NONE, rejected);
    }

    fn append_with_starts(
        &mut self,
        samples: &[FloatSample],
        starts_ms: &[i64],
        rejected: &mut Vec<Rejected>,
    ) {
        if !self.head.kept_starts.is_any {
            return self.append(samples, rejected);
        }
        let start_of = |starts: &mut Starts, index: usize| {
            starts.add(starts_ms.get(index).copied().unwrap_or(0))
        };
        self.append_all(samples, start_of, rejected);
    }

    fn append_histograms(&mut self, samples: &[HistogramSample], rejected: &mut Vec<Rejected>) {
        let Some(first) = samples.first() else { return };
        let bounds = self.bounds(first.timestamp_ms);
        let before = rejected.len();
        for (index, sample) in samples.iter().enumerate() {
            if let Err(reason) = self.append_histogram(sample, bounds) {
                rejected.push(Rejected { index, reason });
            }
        }
        self.head.metrics.count_histogram_rejections(&rejected[before..]);
        self.head.ooo.metrics.count_rejections(&rejected[before..], false);
    }

    fn append_start_zeros(&mut self, starts: &[SeriesStart]) {
        let Some(first) = starts.first() else { return };
        let bounds = self.bounds(first.sample_ms);
        for start in starts {
            self.append_start_zero(start, bounds);
        }
    }

    fn append_exemplars(&mut self, exemplars: &[ExemplarSample], rejected: &mut Vec<Rejected>) {
        if !self.head.exemplars.is_enabled() {
            return Rejection::ExemplarsDisabled.all(exemplars.len(), rejected);
        }
        for (index, ExemplarSample { series, exemplar }) in exemplars.iter().enumerate() {
            let series_ref = series.series_ref.0;
            // Compat: Prometheus `tsdb/head_append.go` (AppendExemplar): an exemplar makes no series.
            let is_there = self.head.is_alive(*series)
                && (!self.head.is_unlogged(series.slot) || self.batch.has_sample_of(series.slot));
            let checked = match is_there {
                true => self.head.exemplars.check(series_ref, exemplar),
                false => Err(Rejection::UnknownSeries),
            };
            match checked {
                Ok(()) => self.batch.exemplars.push((
                    series.slot,
                    RefExemplar {
                        series_ref,
                        t: exemplar.timestamp_ms,
                        v: exemplar.value,
                        labels: exemplar.labels.clone(),
                    },
                )),
                Err(reason) => rejected.push(Rejected { index, reason }),
            }
        }
    }

    fn set_metadata(&mut self, series: SeriesHandle, metadata: &Metadata) {
        let series_ref = series.series_ref.0;
        if !self.head.is_metadata_logged || !self.head.is_alive(series) {
            return;
        }
        // Compat: Prometheus `tsdb/head_append.go` (UpdateMetadata): only what is new is logged.
        let known = lock(&self.head.metadata);
        if !known.has(series_ref, metadata) {
            let metadata = known.share(metadata);
            self.batch.metadata.push(RefMetadata { series_ref, metadata });
        }
    }

    fn commit(mut self: Box<Self>) -> Result<(), StorageError> {
        let head = Arc::clone(&self.head);
        head.commit(&mut self.batch)
    }
}

impl Head {
    /// Whether the handle's series is there, and stays.
    fn is_alive(&self, series: SeriesHandle) -> bool {
        let Some(group) = self.groups.get(series.slot) else { return false };
        let data = read(&group.data);
        let hot = data.hot(slot_in_group(series.slot), series.series_ref.0);
        hot.is_some_and(|hot| !hot.has(HotSlot::DOOMED))
    }
}

impl HeadAppender {
    /// The times that this batch takes; its first sample decides.
    fn bounds(&mut self, first_t: i64) -> Bounds {
        let (writer, head) = (&self.writer, &self.head);
        *self.bounds.get_or_insert_with(|| {
            let min_valid_t = writer.set_min_valid(|| head.min_valid_time(first_t));
            let max_t = match head.times.max.load(Ordering::Acquire) {
                NO_TIME => first_t,
                max_t => max_t,
            };
            Bounds { min_valid_t, max_t, window_ms: head.ooo.window_ms() }
        })
    }

    /// Whether a sample that does not go on its series, for that reason, is taken out of order.
    /// Compat: Prometheus `tsdb/head_append.go` (appendable).
    #[cold]
    fn check_late(&self, t: i64, bounds: Bounds, reason: Rejection) -> Result<(), Rejection> {
        if t == NO_TIME || !matches!(reason, Rejection::OutOfOrder | Rejection::OutOfBounds) {
            return Err(reason);
        }
        let delta_ms = bounds.max_t.saturating_sub(t);
        if bounds.window_ms > 0 || reason == Rejection::OutOfOrder {
            self.head.ooo.metrics.observe_delta(delta_ms);
        }
        match bounds.window_ms {
            0 => Err(reason),
            window_ms if delta_ms > window_ms => Err(Rejection::TooOld),
            _ => Ok(()),
        }
    }

    /// Takes a float out of order, if that may be.
    #[cold]
    fn append_late(
        &mut self,
        data: &GroupData,
        sample: RefSample,
        bounds: Bounds,
        reason: Rejection,
    ) -> Result<(), Rejection> {
        self.check_late(sample.t, bounds, reason)?;
        let RefSample { series_ref, slot, start, t, v } = sample;
        let in_group = slot_in_group(slot);
        if data.is_unlogged(in_group) {
            self.batch.unlogged.push(slot);
        }
        match data.histograms.last(in_group).filter(|_| is_marker(v)) {
            Some(last) => {
                let (start_ms, value) = (self.batch.starts.get(start), stale_like(last));
                let marker = RefHistogram { series_ref, slot, t, start_ms, value };
                self.batch.ooo.histograms.push(marker);
            }
            None => self.batch.ooo.floats.push(sample),
        }
        Ok(())
    }

    fn append_histogram(
        &mut self,
        sample: &HistogramSample,
        bounds: Bounds,
    ) -> Result<(), Rejection> {
        let HistogramSample { series, timestamp_ms: t, start_ms, histogram } = sample;
        let head = Arc::clone(&self.head);
        let group = head.groups.get(series.slot).ok_or(Rejection::UnknownSeries)?;
        let data = read(&group.data);
        let slot = slot_in_group(series.slot);
        let hot = data.hot(slot, series.series_ref.0).filter(|hot| !hot.has(HotSlot::DOOMED));
        let hot = hot.ok_or(Rejection::UnknownSeries)?;
        let new = RefHistogram {
            series_ref: series.series_ref.0,
            slot: series.slot,
            t: *t,
            start_ms: if head.kept_starts.is_any { *start_ms } else { 0 },
            value: histogram.clone(),
        };
        if *t < bounds.min_valid_t || *t == NO_TIME {
            self.check_late(*t, bounds, Rejection::OutOfBounds)?;
            self.push_late(new, hot.has(HotSlot::UNLOGGED));
            return Ok(());
        }
        let (last_t, last) = match self.batch.last_of(series.slot) {
            Some((last_t, _)) => (last_t, None),
            None => (hot.last_t, data.histograms.last(slot)),
        };
        let is_unlogged = hot.has(HotSlot::UNLOGGED);
        let (last_t, last) = match self.batch.last_histogram_of(series.slot) {
            Some(last) => (last.t, Some(&last.value)),
            None => (last_t, last),
        };
        match t.cmp(&last_t) {
            std::cmp::Ordering::Less => {
                self.check_late(*t, bounds, Rejection::OutOfOrder)?;
                self.push_late(new, is_unlogged);
                return Ok(());
            }
            std::cmp::Ordering::Equal if last.is_some_and(|last| is_same(last, histogram)) => {
                return Ok(());
            }
            std::cmp::Ordering::Equal => return Err(Rejection::DuplicateTimestamp),
            std::cmp::Ordering::Greater => {}
        }
        if is_unlogged {
            self.batch.unlogged.push(series.slot);
        }
        self.batch.push_histogram(new);
        Ok(())
    }

    #[cold]
    fn push_late(&mut self, histogram: RefHistogram, is_unlogged: bool) {
        if is_unlogged {
            self.batch.unlogged.push(histogram.slot);
        }
        self.batch.ooo.histograms.push(histogram);
    }

    /// A float for a series whose last sample is a histogram, or that has one in this batch. Says whether
    /// it is a marker, which goes on as a histogram, or a duplicate.
    #[cold]
    fn meet_histogram(
        &mut self,
        slot: u32,
        of_head: Option<(i64, &HistogramValue)>,
        (t, v): (i64, u64),
    ) -> Result<Option<HistogramValue>, Rejection> {
        let has_float = self.batch.last_of(slot).is_some();
        let last = match self.batch.last_histogram_of(slot) {
            Some(last) => Some((last.t, &last.value)),
            None if has_float => None,
            None => of_head,
        };
        let Some((last_t, last)) = last else { return Ok(None) };
        let marker = is_marker(v).then(|| stale_like(last));
        match t.cmp(&last_t) {
            std::cmp::Ordering::Less => Err(Rejection::OutOfOrder),
            std::cmp::Ordering::Equal => Err(Rejection::DuplicateTimestamp),
            std::cmp::Ordering::Greater => {
                if marker.is_none() {
                    self.batch.part_for_float(slot);
                }
                Ok(marker)
            }
        }
    }

    /// Takes samples; `start_of` tells the start of each by its index.
    #[inline]
    fn append_all(
        &mut self,
        samples: &[FloatSample],
        start_of: impl Fn(&mut Starts, usize) -> StartId,
        rejected: &mut Vec<Rejected>,
    ) {
        let Some(first) = samples.first() else { return };
        let bounds = self.bounds(first.timestamp_ms);
        let head = Arc::clone(&self.head);
        let is_one_group =
            |a: &FloatSample, b: &FloatSample| group_of(a.series.slot) == group_of(b.series.slot);
        let mut index = 0;
        for run in samples.chunk_by(is_one_group) {
            let group = run.first().and_then(|sample| head.groups.get(sample.series.slot));
            self.append_run(group, (run, index), &start_of, bounds, rejected);
            index += run.len();
        }
    }

    /// Takes samples of one group; the first of them has the index `begin`.
    fn append_run(
        &mut self,
        group: Option<&Group>,
        (run, begin): (&[FloatSample], usize),
        start_of: &impl Fn(&mut Starts, usize) -> StartId,
        bounds: Bounds,
        rejected: &mut Vec<Rejected>,
    ) {
        let group = group.map(|group| read(&group.data));
        let data = group.as_deref();
        let before = rejected.len();
        for (index, sample) in run.iter().enumerate() {
            let FloatSample { series, timestamp_ms: t, value } = *sample;
            let mut reject = |reason| rejected.push(Rejected { index: begin + index, reason });
            let slot = slot_in_group(series.slot);
            let Some((data, hot)) =
                data.and_then(|data| Some((data, data.hot(slot, series.series_ref.0)?)))
            else {
                reject(Rejection::UnknownSeries);
                continue;
            };
            if hot.has(HotSlot::DOOMED) {
                // It is about to go; whoever asks for it by its labels keeps it.
                reject(Rejection::UnknownSeries);
                continue;
            }
            let v = value.to_bits();
            let start = start_of(&mut self.batch.starts, begin + index);
            let new = RefSample { series_ref: series.series_ref.0, slot: series.slot, start, t, v };
            if t < bounds.min_valid_t || t == NO_TIME {
                if let Err(reason) = self.append_late(data, new, bounds, Rejection::OutOfBounds) {
                    reject(reason);
                }
                continue;
            }
            if hot.has(HotSlot::HISTOGRAM) || self.batch.has_histograms() {
                let of_head = data.histograms.last(slot).map(|last| (hot.last_t, last));
                match self.meet_histogram(series.slot, of_head, (t, v)) {
                    Err(reason) => {
                        if let Err(reason) = self.append_late(data, new, bounds, reason) {
                            reject(reason);
                        }
                        continue;
                    }
                    Ok(Some(value)) => {
                        let (series_ref, slot) = (series.series_ref.0, series.slot);
                        let start_ms = self.batch.starts.get(start);
                        let marker = RefHistogram { series_ref, slot, t, start_ms, value };
                        self.batch.push_histogram(marker);
                        continue;
                    }
                    Ok(None) => {}
                }
            }
            let last = self.batch.last_of(series.slot).unwrap_or((hot.last_t, hot.last_v));
            match check(last, (t, v)) {
                Ok(true) => {
                    if hot.has(HotSlot::UNLOGGED) {
                        self.batch.unlogged.push(series.slot);
                    }
                    self.batch.push(new);
                }
                Ok(false) => {}
                Err(reason) => {
                    if let Err(reason) = self.append_late(data, new, bounds, reason) {
                        reject(reason);
                    }
                }
            }
        }
        drop(group);
        self.head.metrics.count_rejections(&rejected[before..]);
        self.head.ooo.metrics.count_rejections(&rejected[before..], true);
    }
}

impl Drop for HeadAppender {
    fn drop(&mut self) {
        self.head.metrics.active_appenders.dec();
        let mut batch = std::mem::take(&mut self.batch);
        batch.clear();
        let mut batches = lock(&self.head.batches);
        if batches.len() < BATCHES_COUNT_MAX {
            batches.push(batch);
        }
    }
}
