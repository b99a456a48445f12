//! A store in memory: every sample that is pushed is there, nothing is compressed or limited.
//! It injects no faults and keeps nothing on disk.

use std::sync::{Arc, PoisonError, RwLock};

use prom_model::{CounterResetHint, FloatHistogram, HistogramValue, Labels, Matcher};
use prom_storage::{
    Columns, HistogramPoint, LabelHints, Querier, Queryable, SelectHints, Selection, StorageError,
    TimeRange,
};

/// Series in the order in which they were first pushed.
#[derive(Debug, Default)]
pub struct MemoryStore {
    series: RwLock<Arc<Vec<MemorySeries>>>,
}

#[derive(Clone, Debug)]
struct MemorySeries {
    labels: Labels,
    columns: Columns,
}

impl MemoryStore {
    /// Adds a sample; one of the same time and kind is replaced.
    pub fn push(&self, labels: &Labels, timestamp_ms: i64, value: f64) {
        self.push_started(labels, timestamp_ms, value, 0);
    }

    /// Adds a sample that tells when it began to count; 0: it does not tell.
    pub fn push_started(&self, labels: &Labels, timestamp_ms: i64, value: f64, start_ms: i64) {
        self.change(labels, |columns| {
            let at = columns.timestamps_ms.partition_point(|known| *known < timestamp_ms);
            let is_new = columns.timestamps_ms.get(at) != Some(&timestamp_ms);
            if is_new {
                columns.timestamps_ms.insert(at, timestamp_ms);
                columns.values.insert(at, value);
            }
            columns.values[at] = value;
            let (starts, len) = (&mut columns.start_timestamps_ms, columns.values.len());
            set_start(starts, len, at, is_new, start_ms);
        });
    }

    /// Adds a histogram; one of the same time is replaced.
    /// Its hint becomes what a store gives back that keeps histograms in chunks.
    pub fn push_histogram(&self, labels: &Labels, timestamp_ms: i64, histogram: HistogramValue) {
        self.push_histogram_started(labels, timestamp_ms, histogram, 0);
    }

    /// Adds a histogram that tells when it began to count; 0: it does not tell.
    pub fn push_histogram_started(
        &self,
        labels: &Labels,
        timestamp_ms: i64,
        histogram: HistogramValue,
        start_ms: i64,
    ) {
        self.change(labels, |columns| {
            let at = columns.histograms.partition_point(|known| known.timestamp_ms < timestamp_ms);
            let histogram = with_stored_hint(columns, at, timestamp_ms, histogram);
            let is_new =
                columns.histograms.get(at).is_none_or(|known| known.timestamp_ms != timestamp_ms);
            let point = HistogramPoint { timestamp_ms, histogram };
            if is_new {
                columns.histograms.insert(at, point);
            } else {
                columns.histograms[at] = point;
            }
            let len = columns.histograms.len();
            let starts = &mut columns.histogram_start_timestamps_ms;
            set_start(starts, len, at, is_new, start_ms);
        });
    }

    fn change(&self, labels: &Labels, change: impl FnOnce(&mut Columns)) {
        let mut guard = self.series.write().unwrap_or_else(PoisonError::into_inner);
        let series = Arc::make_mut(&mut guard);
        let at = series.iter().position(|known| known.labels == *labels).unwrap_or_else(|| {
            series.push(MemorySeries { labels: labels.clone(), columns: Columns::default() });
            series.len() - 1
        });
        change(&mut series[at].columns);
    }

    /// Adds a new series whole; `samples` are in time order.
    pub fn push_series(&self, labels: Labels, samples: impl IntoIterator<Item = (i64, f64)>) {
        let mut columns = Columns::default();
        samples.into_iter().for_each(|(timestamp_ms, value)| columns.push(timestamp_ms, value));
        let mut guard = self.series.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut guard).push(MemorySeries { labels, columns });
    }

    /// Drops all series.
    pub fn clear(&self) {
        *self.series.write().unwrap_or_else(PoisonError::into_inner) = Arc::default();
    }
}

/// Keeps a column of starts as long as that of the samples, or empty where nothing is known.
fn set_start(starts: &mut Vec<i64>, len: usize, at: usize, is_new: bool, start_ms: i64) {
    if starts.is_empty() && start_ms == 0 {
        return;
    }
    if starts.is_empty() {
        starts.resize(len, 0);
    } else if is_new {
        starts.insert(at, 0);
    }
    starts[at] = start_ms;
}

/// Within a chunk nothing is reset; whether its first histogram is, nobody says.
/// Compat: Prometheus `tsdb/chunkenc/float_histogram.go`, `appendable`.
fn with_stored_hint(
    columns: &Columns,
    at: usize,
    timestamp_ms: i64,
    histogram: HistogramValue,
) -> HistogramValue {
    let mut float = FloatHistogram::clone(&histogram.to_float());
    if float.counter_reset_hint == CounterResetHint::Gauge || float.is_stale() {
        return histogram;
    }
    let before = at.checked_sub(1).map(|before| &columns.histograms[before]).filter(|before| {
        let between = before.timestamp_ms..timestamp_ms;
        !columns.timestamps_ms.iter().any(|time_ms| between.contains(time_ms))
    });
    let continues = before.is_some_and(|before| {
        let before = before.histogram.to_float();
        let mut now = float.clone();
        let is_told = now.counter_reset_hint == CounterResetHint::CounterReset;
        now.counter_reset_hint = CounterResetHint::Unknown;
        !is_told
            && !before.is_stale()
            && before.counter_reset_hint != CounterResetHint::Gauge
            && before.schema == now.schema
            && before.zero_threshold == now.zero_threshold
            && before.custom_values == now.custom_values
            && !now.is_reset_since(&before)
    });
    float.counter_reset_hint =
        if continues { CounterResetHint::NotCounterReset } else { CounterResetHint::Unknown };
    HistogramValue::Float(Arc::new(float))
}

impl Queryable for MemoryStore {
    fn querier(&self, _range: TimeRange) -> Result<Arc<dyn Querier>, StorageError> {
        let series = Arc::clone(&self.series.read().unwrap_or_else(PoisonError::into_inner));
        Ok(Arc::new(Snapshot { series }))
    }
}

struct Snapshot {
    series: Arc<Vec<MemorySeries>>,
}

impl Snapshot {
    fn matching<'a>(&'a self, matchers: &'a [Matcher]) -> impl Iterator<Item = usize> + 'a {
        let matches = |labels: &Labels| {
            matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or_default()))
        };
        (0..self.series.len()).filter(move |index| matches(&self.series[*index].labels))
    }
}

impl Querier for Snapshot {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn Selection>, StorageError> {
        let mut indices: Vec<usize> = self.matching(matchers).collect();
        if hints.is_sorted {
            indices.sort_by(|a, b| self.series[*a].labels.cmp(&self.series[*b].labels));
        }
        if hints.series_count_max > 0 {
            indices.truncate(hints.series_count_max);
        }
        Ok(Box::new(Found { series: Arc::clone(&self.series), indices }))
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        hints: &LabelHints,
    ) -> Result<Vec<String>, StorageError> {
        let series = self.matching(matchers).map(|index| &self.series[index]);
        Ok(distinct(series.flat_map(|series| series.labels.iter().map(|(name, _)| name)), hints))
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        hints: &LabelHints,
    ) -> Result<Vec<String>, StorageError> {
        let series = self.matching(matchers).map(|index| &self.series[index]);
        Ok(distinct(series.filter_map(|series| series.labels.get(name)), hints))
    }
}

fn distinct<'a>(texts: impl Iterator<Item = &'a str>, hints: &LabelHints) -> Vec<String> {
    let mut texts: Vec<String> = texts.map(str::to_owned).collect();
    texts.sort_unstable();
    texts.dedup();
    if hints.count_max > 0 {
        texts.truncate(hints.count_max);
    }
    texts
}

struct Found {
    series: Arc<Vec<MemorySeries>>,
    indices: Vec<usize>,
}

impl Selection for Found {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn may_have_histograms(&self) -> bool {
        self.indices.iter().any(|index| !self.series[*index].columns.histograms.is_empty())
    }

    fn labels(&self, index: usize) -> Labels {
        self.series[self.indices[index]].labels.clone()
    }

    fn read(&self, index: usize, range: TimeRange, out: &mut Columns) -> Result<(), StorageError> {
        let columns = &self.series[self.indices[index]].columns;
        let start = columns.timestamps_ms.partition_point(|time_ms| *time_ms < range.mint_ms);
        let end = columns.timestamps_ms.partition_point(|time_ms| *time_ms <= range.maxt_ms);
        if start < end {
            out.timestamps_ms.extend_from_slice(&columns.timestamps_ms[start..end]);
            out.values.extend_from_slice(&columns.values[start..end]);
            out.start_timestamps_ms
                .extend(columns.start_timestamps_ms.get(start..end).into_iter().flatten());
        }
        let histograms = &columns.histograms;
        let start = histograms.partition_point(|point| point.timestamp_ms < range.mint_ms);
        let end = histograms.partition_point(|point| point.timestamp_ms <= range.maxt_ms);
        if start < end {
            out.histograms.extend_from_slice(&histograms[start..end]);
            let starts = columns.histogram_start_timestamps_ms.get(start..end);
            out.histogram_start_timestamps_ms.extend(starts.into_iter().flatten());
        }
        Ok(())
    }
}
