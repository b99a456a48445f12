//! A store in memory: every sample that is pushed is there, nothing is compressed or limited.
//! It injects no faults and keeps nothing on disk.

use std::sync::{Arc, PoisonError, RwLock};

use prom_model::{HistogramValue, Labels, Matcher};
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
        self.change(labels, |columns| {
            let at = columns.timestamps_ms.partition_point(|known| *known < timestamp_ms);
            if columns.timestamps_ms.get(at) == Some(&timestamp_ms) {
                columns.values[at] = value;
            } else {
                columns.timestamps_ms.insert(at, timestamp_ms);
                columns.values.insert(at, value);
            }
        });
    }

    /// Adds a histogram; one of the same time is replaced.
    pub fn push_histogram(&self, labels: &Labels, timestamp_ms: i64, histogram: HistogramValue) {
        self.change(labels, |columns| {
            let at = columns.histograms.partition_point(|known| known.timestamp_ms < timestamp_ms);
            let point = HistogramPoint { timestamp_ms, histogram };
            match columns.histograms.get_mut(at).filter(|known| known.timestamp_ms == timestamp_ms)
            {
                Some(known) => *known = point,
                None => columns.histograms.insert(at, point),
            }
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
        }
        let within = |time_ms| range.mint_ms <= time_ms && time_ms <= range.maxt_ms;
        let histograms = columns.histograms.iter().filter(|point| within(point.timestamp_ms));
        out.histograms.extend(histograms.cloned());
        Ok(())
    }
}
