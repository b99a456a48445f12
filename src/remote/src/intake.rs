//! One request on its way into an appender, a run of series at a time, and what the store says of it.

mod extras;
mod run;

use prom_model::Labels;
use prom_storage::{Appender, FloatSample, Rejected, Rejection, SeriesHandle, StorageError};

use crate::{
    cache::SeriesCache,
    error::WriteError,
    labels::{KeyMaker, LabelsError, LabelsKey, series_labels},
    wire::{Fields, WireError},
};

use self::run::SeriesMessage;

/// Samples of one request, histograms and exemplars included: what a body of the largest size holds when
/// each comes with a label.
const SAMPLES_COUNT_MAX: usize = 2_000_000;
/// Series that are looked up under one lock.
const RUN_SERIES_COUNT_MAX: usize = 1024;

/// What all requests share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shared<'a> {
    pub(crate) cache: &'a SeriesCache,
    pub(crate) keys: &'a KeyMaker,
}

/// When a request counts as received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceiveTime {
    pub(crate) minute: i64,
    /// Later samples are refused.
    pub(crate) timestamp_ms_max: i64,
}

/// What became of the samples.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// All that came, exemplars included.
    samples_count: usize,
    pub(crate) refused_count: usize,
    /// Exemplars that were refused: they fail no request.
    pub(crate) refused_exemplars_count: usize,
    pub(crate) invalid_labels_count: usize,
    /// Why the first of them was refused.
    pub(crate) reason: Option<String>,
    /// An example for the log: the labels and time of the first refused sample.
    pub(crate) example: Option<(String, i64)>,
}

/// A request that is being taken.
pub(crate) struct Intake<'a> {
    shared: Shared<'a>,
    time: ReceiveTime,
    appender: &'a mut dyn Appender,
    run: Vec<SeriesMessage<'a>>,
    floats: Vec<FloatSample>,
    /// For each float the position of its series in the run.
    owners: Vec<u32>,
    rejected: Vec<Rejected>,
    tally: Tally,
}

impl<'a> Intake<'a> {
    pub(crate) fn new(
        shared: Shared<'a>,
        time: ReceiveTime,
        appender: &'a mut dyn Appender,
    ) -> Self {
        Self {
            shared,
            time,
            appender,
            run: Vec::new(),
            floats: Vec::new(),
            owners: Vec::new(),
            rejected: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Takes a whole `WriteRequest`.
    pub(crate) fn take(mut self, request: &'a [u8]) -> Result<Tally, WriteError> {
        for field in Fields::new(request) {
            // Metadata (field 3) is not looked at, as in the reference: it names families, not series.
            if let (1, value) = field? {
                let series = SeriesMessage::read(value.bytes("Timeseries")?, self.shared.keys)?;
                self.tally.samples_count += series.samples_count + series.exemplars_count;
                if self.tally.samples_count > SAMPLES_COUNT_MAX {
                    return Err(WriteError::TooManySamples { count_max: SAMPLES_COUNT_MAX });
                }
                self.run.push(series);
                if self.run.len() == RUN_SERIES_COUNT_MAX {
                    self.flush()?;
                }
            }
        }
        self.flush()?;
        Ok(self.tally)
    }

    /// Appends the series of the run.
    fn flush(&mut self) -> Result<(), WriteError> {
        let mut run = std::mem::take(&mut self.run);
        self.resolve(&mut run)?;
        for (position, series) in run.iter().enumerate() {
            if let Some(handle) = series.handle {
                self.read_floats(position as u32, handle, series)?;
            }
        }
        self.append_floats(&mut run)?;
        for series in run.iter().filter(|series| series.histograms_count > 0) {
            self.append_histograms(series)?;
        }
        for series in run.iter().filter(|series| series.exemplars_count > 0) {
            self.append_exemplars(series)?;
        }
        run.clear();
        self.run = run;
        Ok(())
    }

    /// Finds the series of all messages: known ones by their key, others by their labels.
    fn resolve(&mut self, run: &mut [SeriesMessage<'a>]) -> Result<(), WriteError> {
        let lookup = self.shared.cache.lookup(self.time.minute);
        for series in &mut *run {
            series.handle = series.key.and_then(|key| lookup.find(key));
        }
        drop(lookup);
        let mut found: Vec<(LabelsKey, SeriesHandle)> = Vec::new();
        // What brings nothing makes no series.
        let is_wanted = |series: &&mut SeriesMessage<'_>| {
            series.handle.is_none() && series.samples_count + series.exemplars_count > 0
        };
        for series in run.iter_mut().filter(is_wanted) {
            series.handle = self.resolve_one(series)?;
            if let (Some(key), Some(handle)) = (series.key, series.handle) {
                found.push((key, handle));
            }
        }
        self.shared.cache.insert(&found, self.time.minute);
        Ok(())
    }

    /// Finds or makes a series by its labels; nothing if they cannot be one.
    fn resolve_one(
        &mut self,
        series: &SeriesMessage<'_>,
    ) -> Result<Option<SeriesHandle>, WriteError> {
        let labels = match series_labels(series.label_messages()) {
            Ok(labels) => labels,
            Err(LabelsError::Wire(err)) => return Err(err.into()),
            Err(err) => return Ok(self.refuse_series(series, err.to_string())),
        };
        match self.appender.series(&labels) {
            Ok(handle) => Ok(Some(handle)),
            Err(StorageError::InvalidSeries(reason)) => {
                Ok(self.refuse_series(series, format!("invalid labels for series: {reason}")))
            }
            Err(StorageError::SeriesLimit(reason)) => {
                self.tally.refused_count += series.samples_count;
                self.tally.reason.get_or_insert(reason);
                Ok(None)
            }
            Err(err) => Err(err.into()),
        }
    }

    fn refuse_series(
        &mut self,
        series: &SeriesMessage<'_>,
        reason: String,
    ) -> Option<SeriesHandle> {
        self.tally.invalid_labels_count += series.samples_count;
        self.tally.refused_count += series.samples_count;
        self.tally.reason.get_or_insert(reason);
        None
    }

    fn read_floats(
        &mut self,
        position: u32,
        handle: SeriesHandle,
        series: &SeriesMessage<'_>,
    ) -> Result<(), WireError> {
        for sample in series.floats() {
            let (timestamp_ms, value) = sample?;
            if timestamp_ms > self.time.timestamp_ms_max {
                self.tally.refuse_future(series, timestamp_ms);
                continue;
            }
            self.floats.push(FloatSample { series: handle, timestamp_ms, value });
            self.owners.push(position);
        }
        Ok(())
    }

    /// Hands the floats over. Those of series that the store has dropped meanwhile come a second time.
    fn append_floats(&mut self, run: &mut [SeriesMessage<'a>]) -> Result<(), WriteError> {
        let mut is_retry = false;
        while !self.floats.is_empty() {
            self.appender.append(&self.floats, &mut self.rejected);
            let mut lost = Vec::new();
            for Rejected { index, reason } in std::mem::take(&mut self.rejected) {
                let (sample, owner) = (self.floats[index], self.owners[index]);
                if reason == Rejection::UnknownSeries && !is_retry {
                    lost.push((owner, sample));
                } else {
                    self.tally.refuse(&run[owner as usize], sample.timestamp_ms, reason);
                }
            }
            self.floats.clear();
            self.owners.clear();
            self.find_again(run, lost)?;
            is_retry = true;
        }
        Ok(())
    }

    /// Resolves series anew whose handles are outdated, and queues their samples.
    fn find_again(
        &mut self,
        run: &mut [SeriesMessage<'a>],
        lost: Vec<(u32, FloatSample)>,
    ) -> Result<(), WriteError> {
        let mut found = Vec::new();
        for samples in lost.chunk_by(|a, b| a.0 == b.0) {
            let (owner, _) = samples[0];
            let series = &mut run[owner as usize];
            series.handle = self.resolve_one(series)?;
            let Some(handle) = series.handle else { continue };
            found.extend(series.key.map(|key| (key, handle)));
            for (_, sample) in samples {
                self.floats.push(FloatSample { series: handle, ..*sample });
                self.owners.push(owner);
            }
        }
        self.shared.cache.insert(&found, self.time.minute);
        Ok(())
    }
}

impl Tally {
    fn refuse(&mut self, series: &SeriesMessage<'_>, timestamp_ms: i64, reason: Rejection) {
        self.refuse_as(series, timestamp_ms, || reason.to_string());
    }

    /// Compat: text of `remoteWriteAppender` in Prometheus `storage/remote/write_handler.go`.
    fn refuse_future(&mut self, series: &SeriesMessage<'_>, timestamp_ms: i64) {
        let text = || format!("{}: timestamp is too far in the future", Rejection::OutOfBounds);
        self.refuse_as(series, timestamp_ms, text);
    }

    fn refuse_as(
        &mut self,
        series: &SeriesMessage<'_>,
        timestamp_ms: i64,
        reason: impl FnOnce() -> String,
    ) {
        self.refused_count += 1;
        if self.reason.is_none() {
            self.reason = Some(reason());
        }
        if self.example.is_none() {
            let labels = series_labels(series.label_messages()).unwrap_or_else(|_| Labels::empty());
            self.example = Some((labels.to_string(), timestamp_ms));
        }
    }
}

impl std::fmt::Debug for Intake<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake").field("tally", &self.tally).finish_non_exhaustive()
    }
}
