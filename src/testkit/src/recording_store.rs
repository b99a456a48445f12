//! A store in memory that takes samples as a head does, and shows what it has taken.
//!
//! Faults that it can inject: a commit that fails, series that are forgotten.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prom_model::{Labels, is_stale};
use prom_storage::{
    Appendable, Appender, FloatSample, Rejected, Rejection, SeriesHandle, SeriesRef, StorageError,
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
    last_ref: u64,
    commit_count: usize,
    is_full: bool,
    lookup_count: usize,
}

impl RecordingStore {
    /// All samples, a line each: `{labels} value timestamp`, by labels; the staleness marker is `stale`.
    pub fn dump(&self) -> Vec<String> {
        let state = self.lock();
        let mut all: Vec<_> = state.series.values().collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        let line = |labels: &Labels, (timestamp_ms, value): &(i64, f64)| match is_stale(*value) {
            true => format!("{labels} stale {timestamp_ms}"),
            false => format!("{labels} {value} {timestamp_ms}"),
        };
        all.iter()
            .flat_map(|(labels, samples)| samples.iter().map(|sample| line(labels, sample)))
            .collect()
    }

    /// Samples of the series with exactly these labels.
    pub fn samples(&self, labels: &Labels) -> Vec<(i64, f64)> {
        let state = self.lock();
        let series = state.refs.get(labels).and_then(|series_ref| state.series.get(series_ref));
        series.map(|(_, samples)| samples.clone()).unwrap_or_default()
    }

    /// Forgets all samples, but not the series.
    pub fn clear(&self) {
        self.lock().series.values_mut().for_each(|(_, samples)| samples.clear());
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
        Box::new(Batch { store: self, added: Vec::new(), samples: Vec::new() })
    }
}

struct Batch<'a> {
    store: &'a RecordingStore,
    /// Series that exist only if the batch is committed.
    added: Vec<(SeriesRef, Labels)>,
    samples: Vec<FloatSample>,
}

impl Batch<'_> {
    fn last_of(
        &self,
        state: &State,
        series_ref: SeriesRef,
    ) -> Result<Option<(i64, f64)>, Rejection> {
        let here = self.samples.iter().rev().find(|sample| sample.series.series_ref == series_ref);
        if let Some(sample) = here {
            return Ok(Some((sample.timestamp_ms, sample.value)));
        }
        match state.series.get(&series_ref) {
            Some((_, samples)) => Ok(samples.last().copied()),
            None if self.added.iter().any(|(added, _)| *added == series_ref) => Ok(None),
            None => Err(Rejection::UnknownSeries),
        }
    }
}

impl Appender for Batch<'_> {
    fn series(&mut self, labels: &Labels) -> Result<SeriesHandle, StorageError> {
        let mut state = self.store.lock();
        state.lookup_count += 1;
        let here = self.added.iter().find(|(_, added)| added == labels).map(|(added, _)| *added);
        let known = here.or_else(|| state.refs.get(labels).copied());
        let series_ref = known.unwrap_or_else(|| {
            state.last_ref += 1;
            let added = SeriesRef(state.last_ref);
            self.added.push((added, labels.clone()));
            added
        });
        Ok(SeriesHandle { series_ref, slot: series_ref.0 as u32 })
    }

    fn append(&mut self, samples: &[FloatSample], rejected: &mut Vec<Rejected>) {
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
                None => self.samples.push(*sample),
            }
        }
    }

    fn commit(self: Box<Self>) -> Result<(), StorageError> {
        let mut state = self.store.lock();
        if state.is_full {
            let source = io::Error::from(io::ErrorKind::StorageFull);
            return Err(StorageError::Io { path: PathBuf::from("wal"), action: "write", source });
        }
        for (series_ref, labels) in self.added {
            state.refs.insert(labels.clone(), series_ref);
            state.series.insert(series_ref, (labels, Vec::new()));
        }
        for sample in self.samples {
            let series = state.series.get_mut(&sample.series.series_ref);
            let (_, samples) = series.expect("append has refused unknown series");
            samples.push((sample.timestamp_ms, sample.value));
        }
        state.commit_count += 1;
        Ok(())
    }
}
