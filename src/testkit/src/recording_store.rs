//! A store in memory that takes samples as a head does, and shows what it has taken.
//!
//! Faults that it can inject: a commit that fails, series that are forgotten, a limit of series.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prom_model::{Exemplar, HistogramValue, Labels, Metadata};
use prom_storage::{
    Appendable, Appender, ExemplarSample, FloatSample, HistogramSample, Rejected, Rejection,
    SeriesHandle, SeriesRef, SeriesStart, StorageError,
};

/// Samples of all series, for tests of those who append.
#[derive(Clone, Debug, Default)]
pub struct RecordingStore {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    refs: HashMap<Labels, SeriesRef>,
    series: BTreeMap<SeriesRef, (Labels, Vec<(i64, f64)>)>,
    added: Vec<(Labels, i64, f64)>,
    exemplars: Vec<(Labels, Exemplar)>,
    histograms: Vec<(Labels, i64, HistogramValue)>,
    starts: Vec<(Labels, i64, i64)>,
    metadata: Vec<(Labels, Metadata)>,
    last_ref: u64,
    commit_count: usize,
    is_full: bool,
    /// No series beyond so many.
    series_count_max: Option<usize>,
    lookup_count: usize,
}

impl RecordingStore {
    /// What was committed since the last call, in the order of the labels.
    pub fn take_added(&self) -> Vec<(Labels, i64, f64)> {
        let mut added = std::mem::take(&mut self.lock().added);
        added.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        added
    }

    /// Exemplars that were committed since the last call, as they came.
    pub fn take_exemplars(&self) -> Vec<(Labels, Exemplar)> {
        std::mem::take(&mut self.lock().exemplars)
    }

    /// Histograms that were committed since the last call, as they came. All are taken, whatever their time.
    pub fn take_histograms(&self) -> Vec<(Labels, i64, HistogramValue)> {
        std::mem::take(&mut self.lock().histograms)
    }

    /// Of the samples and histograms that were committed since the last call, those whose start is known: series,
    /// time, start.
    pub fn take_starts(&self) -> Vec<(Labels, i64, i64)> {
        let mut starts = std::mem::take(&mut self.lock().starts);
        starts.sort();
        starts
    }

    /// What was said of series since the last call, as it was committed, known or not.
    pub fn take_metadata(&self) -> Vec<(Labels, Metadata)> {
        std::mem::take(&mut self.lock().metadata)
    }

    /// Samples of the series with exactly these labels.
    pub fn samples(&self, labels: &Labels) -> Vec<(i64, f64)> {
        let state = self.lock();
        let series = state.refs.get(labels).and_then(|series_ref| state.series.get(series_ref));
        series.map(|(_, samples)| samples.clone()).unwrap_or_default()
    }

    /// Forgets all series, as a head does with those that are long out of use.
    pub fn forget_series(&self) {
        let mut state = self.lock();
        state.refs.clear();
        state.series.clear();
    }

    /// From now on commits fail, or succeed again.
    pub fn set_full(&self, is_full: bool) {
        self.lock().is_full = is_full;
    }

    /// From now on there may be so many series, or any number.
    pub fn set_series_count_max(&self, count_max: Option<usize>) {
        self.lock().series_count_max = count_max;
    }

    /// How many batches were committed.
    pub fn commit_count(&self) -> usize {
        self.lock().commit_count
    }

    /// How often a series was looked up by its labels.
    pub fn lookup_count(&self) -> usize {
        self.lock().lookup_count
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Appendable for RecordingStore {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(Batch {
            store: self,
            added: HashMap::new(),
            samples: Vec::new(),
            starts_ms: Vec::new(),
            exemplars: Vec::new(),
            histograms: Vec::new(),
            metadata: Vec::new(),
            last: HashMap::new(),
        })
    }
}

struct Batch<'a> {
    store: &'a RecordingStore,
    /// Series that exist only if the batch is committed.
    added: HashMap<Labels, SeriesRef>,
    samples: Vec<FloatSample>,
    /// Of the samples, in their order.
    starts_ms: Vec<i64>,
    exemplars: Vec<ExemplarSample>,
    histograms: Vec<HistogramSample>,
    metadata: Vec<(SeriesHandle, Metadata)>,
    /// The last sample of series that are in the batch or new.
    last: HashMap<SeriesRef, Option<(i64, f64)>>,
}

impl Batch<'_> {
    fn last_of(
        &self,
        state: &State,
        series_ref: SeriesRef,
    ) -> Result<Option<(i64, f64)>, Rejection> {
        if let Some(last) = self.last.get(&series_ref) {
            return Ok(*last);
        }
        let (_, samples) = state.series.get(&series_ref).ok_or(Rejection::UnknownSeries)?;
        Ok(samples.last().copied())
    }
}

impl Appender for Batch<'_> {
    fn series(&mut self, labels: &Labels) -> Result<SeriesHandle, StorageError> {
        let mut state = self.store.lock();
        state.lookup_count += 1;
        let known = self.added.get(labels).or_else(|| state.refs.get(labels)).copied();
        let series_count = state.refs.len() + self.added.len();
        if known.is_none() && state.series_count_max.is_some_and(|max| series_count >= max) {
            return Err(StorageError::SeriesLimit("series limit reached".to_owned()));
        }
        let series_ref = known.unwrap_or_else(|| {
            state.last_ref += 1;
            let added = SeriesRef(state.last_ref);
            self.added.insert(labels.clone(), added);
            self.last.insert(added, None);
            added
        });
        Ok(SeriesHandle { series_ref, slot: series_ref.0 as u32 })
    }

    fn append(&mut self, samples: &[FloatSample], rejected: &mut Vec<Rejected>) {
        self.append_with_starts(samples, &vec![0; samples.len()], rejected);
    }

    fn append_with_starts(
        &mut self,
        samples: &[FloatSample],
        starts_ms: &[i64],
        rejected: &mut Vec<Rejected>,
    ) {
        assert_eq!(samples.len(), starts_ms.len());
        let state = self.store.lock();
        for (index, sample) in samples.iter().enumerate() {
            let reason = match self.last_of(&state, sample.series.series_ref) {
                Err(reason) => Some(reason),
                Ok(Some((last_ms, _))) if sample.timestamp_ms < last_ms => {
                    Some(Rejection::OutOfOrder)
                }
                Ok(Some((last_ms, last))) if sample.timestamp_ms == last_ms => {
                    if last.to_bits() == sample.value.to_bits() {
                        continue;
                    }
                    Some(Rejection::DuplicateTimestamp)
                }
                Ok(_) => None,
            };
            match reason {
                Some(reason) => rejected.push(Rejected { index, reason }),
                None => {
                    let last = Some((sample.timestamp_ms, sample.value));
                    self.last.insert(sample.series.series_ref, last);
                    self.samples.push(*sample);
                    self.starts_ms.push(starts_ms[index]);
                }
            }
        }
    }

    fn append_histograms(&mut self, samples: &[HistogramSample], _rejected: &mut Vec<Rejected>) {
        self.histograms.extend_from_slice(samples);
    }

    fn append_start_zeros(&mut self, starts: &[SeriesStart]) {
        for SeriesStart { series, start_ms, sample_ms, zero } in starts {
            if start_ms >= sample_ms {
                continue;
            }
            let timestamp_ms = *start_ms;
            match zero {
                Some(histogram) => {
                    let (series, histogram) = (*series, histogram.clone());
                    self.histograms.push(HistogramSample {
                        series,
                        timestamp_ms,
                        start_ms: 0,
                        histogram,
                    });
                }
                // One that is too late is refused, as any sample.
                None => {
                    let sample = FloatSample { series: *series, timestamp_ms, value: 0.0 };
                    self.append(&[sample], &mut Vec::new());
                }
            }
        }
    }

    fn append_exemplars(&mut self, exemplars: &[ExemplarSample], _rejected: &mut Vec<Rejected>) {
        self.exemplars.extend_from_slice(exemplars);
    }

    fn set_metadata(&mut self, series: SeriesHandle, metadata: &Metadata) {
        self.metadata.push((series, metadata.clone()));
    }

    fn commit(self: Box<Self>) -> Result<(), StorageError> {
        let mut state = self.store.lock();
        if state.is_full {
            let source = io::Error::from(io::ErrorKind::StorageFull);
            return Err(StorageError::Io { path: PathBuf::from("wal"), action: "write", source });
        }
        for (labels, series_ref) in self.added {
            state.refs.insert(labels.clone(), series_ref);
            state.series.insert(series_ref, (labels, Vec::new()));
        }
        let State { series, added, exemplars, histograms, starts, metadata, .. } = &mut *state;
        for HistogramSample { series: handle, timestamp_ms, start_ms, histogram } in self.histograms
        {
            let (labels, _) = series.get(&handle.series_ref).expect("its series was looked up");
            if start_ms != 0 {
                starts.push((labels.clone(), timestamp_ms, start_ms));
            }
            histograms.push((labels.clone(), timestamp_ms, histogram));
        }
        for ExemplarSample { series: handle, exemplar } in self.exemplars {
            let (labels, _) = series.get(&handle.series_ref).expect("its sample came before");
            exemplars.push((labels.clone(), exemplar));
        }
        for (handle, said) in self.metadata {
            let (labels, _) = series.get(&handle.series_ref).expect("its series was looked up");
            metadata.push((labels.clone(), said));
        }
        for (sample, start_ms) in self.samples.into_iter().zip(self.starts_ms) {
            let series = series.get_mut(&sample.series.series_ref);
            let (labels, samples) = series.expect("append has refused unknown series");
            samples.push((sample.timestamp_ms, sample.value));
            added.push((labels.clone(), sample.timestamp_ms, sample.value));
            if start_ms != 0 {
                starts.push((labels.clone(), sample.timestamp_ms, start_ms));
            }
        }
        state.commit_count += 1;
        Ok(())
    }
}
