//! One batch on its way in: samples are checked against their series and each other, then kept until the
//! commit. Writing and applying them is `commit`'s matter.

use std::sync::{Arc, atomic::Ordering};

use prom_model::{Labels, Metadata};
use prom_storage::{
    Appender, ExemplarSample, FloatSample, HistogramSample, Rejected, Rejection, SeriesHandle,
    StorageError,
};

use crate::{
    lock::{lock, read},
    wal::RefSample,
};

use super::{
    Head,
    commit::Batch,
    group::{Group, check},
    group_of,
    slot::{HotSlot, NO_TIME},
    slot_in_group,
    writers::{WriterTicket, Writers},
};

/// Batches that are kept for the next appenders.
const BATCHES_COUNT_MAX: usize = 32;

/// A batch; dropping it forgets it.
#[derive(Debug)]
pub(crate) struct HeadAppender {
    head: Arc<Head>,
    batch: Batch,
    writer: WriterTicket,
    /// Set by the first sample.
    min_valid_t: Option<i64>,
}

impl Head {
    pub(crate) fn appender(self: &Arc<Self>) -> HeadAppender {
        self.metrics.active_appenders.inc();
        self.metrics.appenders_created.inc();
        let batch = lock(&self.batches).pop().unwrap_or_default();
        let writer = Writers::enter(&self.writers);
        HeadAppender { head: Arc::clone(self), batch, writer, min_valid_t: None }
    }
}

impl Appender for HeadAppender {
    fn series(&mut self, labels: &Labels) -> Result<SeriesHandle, StorageError> {
        if !self.head.is_open.load(Ordering::Acquire) {
            return Err(StorageError::Suspended("the database is closed".to_owned()));
        }
        let handle = self.head.series(labels)?;
        // Whoever commits first logs it, be it its creator or not.
        let slot = slot_in_group(handle.slot);
        let group = self.head.groups.get(handle.slot);
        if group.is_some_and(|group| read(&group.data).is_unlogged(slot)) {
            self.batch.unlogged.push(handle.slot);
        }
        Ok(handle)
    }

    fn append(&mut self, samples: &[FloatSample], rejected: &mut Vec<Rejected>) {
        let Some(first) = samples.first() else { return };
        let first_t = first.timestamp_ms;
        let min_valid_t = *self
            .min_valid_t
            .get_or_insert_with(|| self.writer.set_min_valid(|| self.head.min_valid_time(first_t)));
        let head = Arc::clone(&self.head);
        let is_one_group =
            |a: &FloatSample, b: &FloatSample| group_of(a.series.slot) == group_of(b.series.slot);
        let mut index = 0;
        for run in samples.chunk_by(is_one_group) {
            let group = run.first().and_then(|sample| head.groups.get(sample.series.slot));
            self.append_run(group, run, index, min_valid_t, rejected);
            index += run.len();
        }
    }

    fn append_histograms(&mut self, samples: &[HistogramSample], rejected: &mut Vec<Rejected>) {
        Rejection::HistogramsDisabled.all(samples.len(), rejected);
    }

    fn append_exemplars(&mut self, exemplars: &[ExemplarSample], rejected: &mut Vec<Rejected>) {
        Rejection::ExemplarsDisabled.all(exemplars.len(), rejected);
    }

    fn set_metadata(&mut self, _series: SeriesHandle, _metadata: &Metadata) {}

    fn commit(mut self: Box<Self>) -> Result<(), StorageError> {
        let head = Arc::clone(&self.head);
        head.commit(&mut self.batch)
    }
}

impl HeadAppender {
    /// Takes samples of one group.
    fn append_run(
        &mut self,
        group: Option<&Group>,
        run: &[FloatSample],
        begin: usize,
        min_valid_t: i64,
        rejected: &mut Vec<Rejected>,
    ) {
        let data = group.map(|group| read(&group.data));
        let before = rejected.len();
        for (index, sample) in run.iter().enumerate() {
            let FloatSample { series, timestamp_ms: t, value } = *sample;
            let mut reject = |reason| rejected.push(Rejected { index: begin + index, reason });
            let slot = slot_in_group(series.slot);
            let Some(hot) = data.as_ref().and_then(|data| data.hot(slot, series.series_ref.0))
            else {
                reject(Rejection::UnknownSeries);
                continue;
            };
            if hot.has(HotSlot::DOOMED) {
                // It is about to go; whoever asks for it by its labels keeps it.
                reject(Rejection::UnknownSeries);
                continue;
            }
            if t < min_valid_t || t == NO_TIME {
                reject(Rejection::OutOfBounds);
                continue;
            }
            let v = value.to_bits();
            let last = self.batch.last_of(series.slot).unwrap_or((hot.last_t, hot.last_v));
            match check(last, (t, v)) {
                Ok(true) => {
                    if hot.has(HotSlot::UNLOGGED) {
                        self.batch.unlogged.push(series.slot);
                    }
                    let series_ref = series.series_ref.0;
                    self.batch.push(RefSample { series_ref, slot: series.slot, t, v });
                }
                Ok(false) => {}
                Err(reason) => reject(reason),
            }
        }
        drop(data);
        self.head.metrics.count_rejections(&rejected[before..]);
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
