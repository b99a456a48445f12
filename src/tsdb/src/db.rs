//! A data directory that is open: lock, log, head, and what leads to them.

mod lock;
mod options;
mod stats;

use std::{
    collections::BTreeMap,
    fs, io,
    ops::ControlFlow,
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use prom_model::{Labels, Matcher};
use prom_storage::{
    Appendable, Appender, Columns, FloatSample, LabelHints, Querier, Queryable, Rejected,
    Rejection, SelectHints, Selection, SeriesHandle, SeriesRef, StorageError, TimeRange,
};
use prom_telemetry::Registry;

use self::lock::DirLock;
pub use self::{
    options::{Options, RetentionOptions, WalCompression},
    stats::{HeadStats, ReplayProgress, StatEntry, TsdbStats},
};
use crate::OpenError;

#[derive(Debug, Default, Clone)]
struct Series {
    labels: Labels,
    samples: Vec<(i64, f64)>,
}

#[derive(Debug, Default)]
struct Memory {
    by_labels: BTreeMap<Labels, u32>,
    series: Vec<Series>,
}

/// An open data directory.
#[derive(Debug)]
pub struct Db {
    memory: Arc<RwLock<Memory>>,
    lock: Mutex<Option<DirLock>>,
}

impl Db {
    /// Opens the directory, creating it if need be, and replays its log. `progress` is told how far that
    /// is, and may end it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        dir: &Path,
        options: Options,
        registry: &Registry,
        progress: &(dyn Fn(ReplayProgress) -> ControlFlow<()> + Sync),
    ) -> Result<Arc<Self>, OpenError> {
        let _ = progress;
        match fs::create_dir_all(dir) {
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {
                return Err(OpenError::NotADirectory { path: dir.to_owned() });
            }
            other => other.map_err(|err| OpenError::io(dir, "create data directory", err))?,
        }
        let lock = options.is_lockfile_used.then(|| DirLock::acquire(dir)).transpose()?;
        registry
            .gauge(
                "prometheus_tsdb_clean_start",
                "-1: lockfile is disabled. 0: a lockfile from a previous execution was replaced. 1: lockfile creation was clean",
            )
            .set(lock.as_ref().map_or(-1.0, |lock| f64::from(u8::from(lock.is_clean_start))));
        let memory = Arc::new(RwLock::new(Memory::default()));
        let head = Arc::clone(&memory);
        registry.gauge_fn(
            "prometheus_tsdb_head_series",
            "Total number of series in the head block.",
            move || head.read().unwrap_or_else(PoisonError::into_inner).series.len() as f64,
        );
        Ok(Arc::new(Self { memory, lock: Mutex::new(lock) }))
    }

    /// Figures for the status API; top lists have at most `top_count_max` entries.
    pub fn stats(&self, top_count_max: usize) -> TsdbStats {
        let _ = top_count_max;
        let memory = self.memory.read().unwrap_or_else(PoisonError::into_inner);
        let times = || memory.series.iter().flat_map(|series| &series.samples).map(|s| s.0);
        TsdbStats {
            head: HeadStats {
                series_count: memory.series.len() as u64,
                label_pairs_count: 0,
                chunks_count: memory.series.len() as u64,
                min_time_ms: times().min().unwrap_or(i64::MAX),
                max_time_ms: times().max().unwrap_or(i64::MIN),
            },
            series_count_by_metric_name: Vec::new(),
            label_value_count_by_label_name: Vec::new(),
            memory_in_bytes_by_label_name: Vec::new(),
            series_count_by_label_value_pair: Vec::new(),
        }
    }

    /// Writes everything out and gives the directory back. Appends fail from here on; reads go on.
    ///
    /// # Errors
    /// The log could not be made durable.
    pub fn close(&self) -> Result<(), StorageError> {
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
        Ok(())
    }
}

impl Appendable for Db {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(Batch { db: self, samples: Vec::new() })
    }
}

struct Batch<'a> {
    db: &'a Db,
    samples: Vec<FloatSample>,
}

impl Appender for Batch<'_> {
    fn series(&mut self, labels: &Labels) -> Result<SeriesHandle, StorageError> {
        if labels.is_empty() {
            return Err(StorageError::InvalidSeries("empty labelset".to_owned()));
        }
        let mut memory = self.db.memory.write().unwrap_or_else(PoisonError::into_inner);
        let next = memory.series.len() as u32;
        let slot = *memory.by_labels.entry(labels.clone()).or_insert(next);
        if slot == next {
            memory.series.push(Series { labels: labels.clone(), samples: Vec::new() });
        }
        Ok(SeriesHandle { series_ref: SeriesRef(u64::from(slot) + 1), slot })
    }

    fn append(&mut self, samples: &[FloatSample], rejected: &mut Vec<Rejected>) {
        let memory = self.db.memory.read().unwrap_or_else(PoisonError::into_inner);
        for (index, sample) in samples.iter().enumerate() {
            let Some(series) = memory.series.get(sample.series.slot as usize) else {
                rejected.push(Rejected { index, reason: Rejection::UnknownSeries });
                continue;
            };
            match series.samples.last() {
                Some(last) if last.0 > sample.timestamp_ms => {
                    rejected.push(Rejected { index, reason: Rejection::OutOfOrder });
                }
                Some(last) if last.0 == sample.timestamp_ms => {
                    if last.1.to_bits() != sample.value.to_bits() {
                        rejected.push(Rejected { index, reason: Rejection::DuplicateTimestamp });
                    }
                }
                _ => self.samples.push(*sample),
            }
        }
    }

    fn commit(self: Box<Self>) -> Result<(), StorageError> {
        let mut memory = self.db.memory.write().unwrap_or_else(PoisonError::into_inner);
        for sample in &self.samples {
            let series = &mut memory.series[sample.series.slot as usize].samples;
            if series.last().is_none_or(|last| last.0 < sample.timestamp_ms) {
                series.push((sample.timestamp_ms, sample.value));
            }
        }
        Ok(())
    }
}

impl Queryable for Db {
    fn querier(&self, range: TimeRange) -> Result<Arc<dyn Querier>, StorageError> {
        let memory = self.memory.read().unwrap_or_else(PoisonError::into_inner);
        let mut series: Vec<Series> =
            memory.by_labels.values().map(|slot| memory.series[*slot as usize].clone()).collect();
        for one in &mut series {
            one.samples.retain(|s| s.0 >= range.mint_ms && s.0 <= range.maxt_ms);
        }
        Ok(Arc::new(View(series)))
    }
}

#[derive(Clone)]
struct View(Vec<Series>);

impl View {
    fn matching<'a>(&'a self, matchers: &'a [Matcher]) -> impl Iterator<Item = &'a Series> {
        self.0.iter().filter(|series| {
            matchers.iter().all(|m| m.matches(series.labels.get(m.name()).unwrap_or_default()))
        })
    }
}

impl Querier for View {
    fn select(
        &self,
        matchers: &[Matcher],
        _hints: &SelectHints,
    ) -> Result<Box<dyn Selection>, StorageError> {
        Ok(Box::new(View(self.matching(matchers).cloned().collect())))
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        _hints: &LabelHints,
    ) -> Result<Vec<String>, StorageError> {
        let pairs = self.matching(matchers).flat_map(|series| series.labels.iter());
        let mut names: Vec<String> = pairs.map(|(name, _)| name.to_owned()).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        _hints: &LabelHints,
    ) -> Result<Vec<String>, StorageError> {
        let series = self.matching(matchers).filter_map(|series| series.labels.get(name));
        let mut values: Vec<String> = series.map(str::to_owned).collect();
        values.sort();
        values.dedup();
        Ok(values)
    }
}

impl Selection for View {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, index: usize) -> Labels {
        self.0[index].labels.clone()
    }

    fn read(&self, index: usize, range: TimeRange, out: &mut Columns) -> Result<(), StorageError> {
        for (timestamp_ms, value) in &self.0[index].samples {
            if (range.mint_ms..=range.maxt_ms).contains(timestamp_ms) {
                out.push(*timestamp_ms, *value);
            }
        }
        Ok(())
    }
}
