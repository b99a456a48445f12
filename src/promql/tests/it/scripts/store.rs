//! Where the series of a script go and its queries read: memory, or a database on disk.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use prom_model::{FloatHistogram, HistogramValue, Labels};
use prom_storage::{Appendable, FloatSample, HistogramSample, Queryable};
use prom_telemetry::Registry;
use prom_testkit::MemoryStore;
use prom_tsdb::{Db, FloatEncoding, Options, RetentionOptions};
use tempfile::TempDir;

/// A sample of either kind.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Float(f64),
    Histogram(FloatHistogram),
}

pub(super) trait ScriptStore {
    /// Adds a sample and when it began to count (0: it does not tell); one of the same time is replaced.
    fn push(&mut self, labels: &Labels, time_ms: i64, value: Value, start_ms: i64);

    fn clear(&mut self);

    /// What queries read.
    fn queryable(&mut self) -> &dyn Queryable;
}

impl ScriptStore for MemoryStore {
    fn push(&mut self, labels: &Labels, time_ms: i64, value: Value, start_ms: i64) {
        match value {
            Value::Float(value) => self.push_started(labels, time_ms, value, start_ms),
            Value::Histogram(histogram) => {
                let histogram = HistogramValue::Float(Arc::new(histogram));
                self.push_histogram_started(labels, time_ms, histogram, start_ms);
            }
        }
    }

    fn clear(&mut self) {
        MemoryStore::clear(self);
    }

    fn queryable(&mut self) -> &dyn Queryable {
        self
    }
}

/// Where a database has the samples when they are read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    /// All of them in the head.
    Head,
    /// As [`Place::Head`], after the database was closed and opened again.
    ReopenedHead,
    /// The older ones in blocks.
    Blocks,
}

/// A head range beyond any script.
const NO_BLOCKS_MS: i64 = 1000 * 24 * 3_600_000;
/// Ranges of blocks that the samples of a script span, more or less.
const BLOCK_RANGES_COUNT: i64 = 3;

/// A database that is made anew from all samples when they are asked for: scripts add to old times.
#[derive(Debug)]
pub(super) struct DiskStore {
    place: Place,
    /// With when each began to count.
    samples: BTreeMap<Labels, BTreeMap<i64, (Value, i64)>>,
    opened: Option<(Arc<Db>, TempDir)>,
    /// Blocks of all databases that were made.
    pub(super) blocks_count: usize,
}

impl DiskStore {
    pub(super) fn new(place: Place) -> Self {
        Self { place, samples: BTreeMap::new(), opened: None, blocks_count: 0 }
    }

    fn make(&mut self) -> (Arc<Db>, TempDir) {
        let folder = TempDir::new().expect("there is room for a folder");
        let (min_block_duration_ms, max_block_duration_ms) = match self.place {
            Place::Blocks => {
                let times = self.samples.values().flat_map(|samples| samples.keys().copied());
                let range_ms = (times.max().unwrap_or_default() / BLOCK_RANGES_COUNT).max(1000);
                (range_ms, 2 * range_ms)
            }
            Place::Head | Place::ReopenedHead => (NO_BLOCKS_MS, NO_BLOCKS_MS),
        };
        let options = Options {
            min_block_duration_ms,
            max_block_duration_ms,
            retention: RetentionOptions::default(),
            are_starts_kept: true,
            are_histogram_starts_encoded: true,
            float_encoding: FloatEncoding::Xor2,
            ..Options::default()
        };
        let open = || {
            let progress = |_| ControlFlow::Continue(());
            let options = options.clone();
            Db::open(folder.path(), options, &Registry::default(), &progress).expect("it opens")
        };
        let mut db = open();
        self.fill(&db);
        match self.place {
            Place::Head => {}
            Place::ReopenedHead => {
                db.close().expect("it closes");
                drop(db);
                db = open();
            }
            Place::Blocks => db.do_upkeep().expect("blocks are made"),
        }
        self.blocks_count += db.blocks().len();
        (db, folder)
    }

    /// One batch of all samples, each series in the order of time.
    fn fill(&self, db: &Db) {
        let mut appender = db.appender();
        let mut rejected = Vec::new();
        // The first sample decides how old the others may be.
        let mut all: Vec<_> = self.samples.iter().collect();
        all.sort_by_key(|(_, samples)| samples.first_key_value().map(|(time_ms, _)| *time_ms));
        for (labels, samples) in all {
            let series = appender.series(labels).expect("the labels are those of a series");
            for (&timestamp_ms, (value, start_ms)) in samples {
                let start_ms = *start_ms;
                match value {
                    &Value::Float(value) => {
                        let sample = FloatSample { series, timestamp_ms, value };
                        appender.append_with_starts(&[sample], &[start_ms], &mut rejected);
                    }
                    Value::Histogram(histogram) => {
                        let histogram = HistogramValue::Float(Arc::new(histogram.clone()));
                        let sample = HistogramSample { series, timestamp_ms, start_ms, histogram };
                        appender.append_histograms(&[sample], &mut rejected);
                    }
                }
                assert!(rejected.is_empty(), "{labels} at {timestamp_ms}: {rejected:?}");
            }
        }
        appender.commit().expect("the log can be written");
    }
}

impl ScriptStore for DiskStore {
    fn push(&mut self, labels: &Labels, time_ms: i64, value: Value, start_ms: i64) {
        self.opened = None;
        self.samples.entry(labels.clone()).or_default().insert(time_ms, (value, start_ms));
    }

    fn clear(&mut self) {
        self.opened = None;
        self.samples.clear();
    }

    fn queryable(&mut self) -> &dyn Queryable {
        if self.opened.is_none() {
            self.opened = Some(self.make());
        }
        let (db, _) = self.opened.as_ref().expect("it was opened above");
        &**db
    }
}
