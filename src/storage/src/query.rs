//! The way out: a snapshot, a selection of its series, and their samples as columns.

use std::{hash::BuildHasher, sync::Arc};

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use prom_model::{Exemplar, HistogramValue, Labels, Matcher};

use crate::StorageError;

/// Inclusive on both ends, milliseconds since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeRange {
    pub mint_ms: i64,
    pub maxt_ms: i64,
}

/// What the caller knows about a selection, so that the store can do less.
#[derive(Clone, Debug)]
pub struct SelectHints {
    /// Only samples within are asked for.
    pub range: TimeRange,
    /// Series must come sorted by labels; otherwise in the store's own order.
    pub is_sorted: bool,
    /// At most this many series (0: all).
    pub series_count_max: usize,
}

/// Limits of a label listing.
#[derive(Clone, Copy, Debug, Default)]
pub struct LabelHints {
    /// At most this many values (0: all).
    pub count_max: usize,
}

/// Samples of one series: two lanes, each in time order. Staleness markers are kept.
/// At one time a series has a float or a histogram, not both.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Columns {
    pub timestamps_ms: Vec<i64>,
    pub values: Vec<f64>,
    pub histograms: Vec<HistogramPoint>,
    /// When each float, or each histogram, began to count; 0 where that is not known.
    /// Empty where the store keeps no such times.
    pub start_timestamps_ms: Vec<i64>,
    pub histogram_start_timestamps_ms: Vec<i64>,
}

/// One histogram and its time.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramPoint {
    pub timestamp_ms: i64,
    pub histogram: HistogramValue,
}

/// Exemplars of one series, in time order.
#[derive(Clone, Debug, PartialEq)]
pub struct ExemplarSeries {
    pub labels: Labels,
    pub exemplars: Vec<Exemplar>,
}

impl Columns {
    pub fn clear(&mut self) {
        self.timestamps_ms.clear();
        self.values.clear();
        self.histograms.clear();
        self.start_timestamps_ms.clear();
        self.histogram_start_timestamps_ms.clear();
    }

    /// Adds a float.
    pub fn push(&mut self, timestamp_ms: i64, value: f64) {
        self.timestamps_ms.push(timestamp_ms);
        self.values.push(value);
    }

    /// Adds a histogram.
    pub fn push_histogram(&mut self, timestamp_ms: i64, histogram: HistogramValue) {
        self.histograms.push(HistogramPoint { timestamp_ms, histogram });
    }

    /// Adds a float and when it began to count (0: nobody knows).
    pub fn push_with_start(&mut self, timestamp_ms: i64, value: f64, start_ms: i64) {
        if start_ms != 0 || !self.start_timestamps_ms.is_empty() {
            self.start_timestamps_ms.resize(self.values.len(), 0);
            self.start_timestamps_ms.push(start_ms);
        }
        self.push(timestamp_ms, value);
    }

    /// Adds a histogram and when it began to count (0: nobody knows).
    pub fn push_histogram_with_start(
        &mut self,
        timestamp_ms: i64,
        histogram: HistogramValue,
        start_ms: i64,
    ) {
        if start_ms != 0 || !self.histogram_start_timestamps_ms.is_empty() {
            self.histogram_start_timestamps_ms.resize(self.histograms.len(), 0);
            self.histogram_start_timestamps_ms.push(start_ms);
        }
        self.push_histogram(timestamp_ms, histogram);
    }

    /// Fills in zeros for samples that were added without a start, where others have one.
    pub fn align_starts(&mut self) {
        if !self.start_timestamps_ms.is_empty() {
            self.start_timestamps_ms.resize(self.values.len(), 0);
        }
        if !self.histogram_start_timestamps_ms.is_empty() {
            self.histogram_start_timestamps_ms.resize(self.histograms.len(), 0);
        }
    }

    /// How many floats.
    pub fn len(&self) -> usize {
        self.timestamps_ms.len()
    }

    /// Whether there is neither a float nor a histogram.
    pub fn is_empty(&self) -> bool {
        self.timestamps_ms.is_empty() && self.histograms.is_empty()
    }
}

/// A store that can be read.
pub trait Queryable: Send + Sync {
    /// Takes a snapshot over `range`.
    ///
    /// # Errors
    /// The store cannot be read.
    fn querier(&self, range: TimeRange) -> Result<Arc<dyn Querier>, StorageError>;
}

/// A store whose exemplars can be read.
pub trait ExemplarQueryable: Send + Sync {
    /// The exemplars within the range, both ends inclusive, of the series that match all matchers of one of
    /// the sets at least. Series are sorted by labels.
    ///
    /// # Errors
    /// The store cannot be read.
    fn exemplars(
        &self,
        range: TimeRange,
        sets: &[Vec<Matcher>],
    ) -> Result<Vec<ExemplarSeries>, StorageError>;
}

/// A snapshot: later commits are not seen.
pub trait Querier: Send + Sync {
    /// Resolves matchers to series. No sample is decoded yet.
    ///
    /// # Errors
    /// Stored data is damaged.
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn Selection>, StorageError>;

    /// As [`Self::select`], for as long as `goes_on` says so: it is asked every few hundred values or series.
    ///
    /// # Errors
    /// Stored data is damaged; [`StorageError::Canceled`] once the answer was no.
    fn select_while(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Box<dyn Selection>, StorageError> {
        if goes_on() { self.select(matchers, hints) } else { Err(StorageError::Canceled) }
    }

    /// Sorted names of labels of the series that match (all series if there is no matcher).
    ///
    /// # Errors
    /// Stored data is damaged.
    fn label_names(
        &self,
        matchers: &[Matcher],
        hints: &LabelHints,
    ) -> Result<Vec<String>, StorageError>;

    /// Sorted values of one label of the series that match.
    ///
    /// # Errors
    /// Stored data is damaged.
    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        hints: &LabelHints,
    ) -> Result<Vec<String>, StorageError>;
}

/// Series that match, in order; any thread may read any of them.
pub trait Selection: Send + Sync {
    /// How many series.
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether any of the series may have histograms. A store that knows of none spares its readers
    /// looking for them.
    fn may_have_histograms(&self) -> bool {
        true
    }

    /// Labels of the series at `index`, made when asked for.
    fn labels(&self, index: usize) -> Labels;

    /// Appends the samples of the series at `index` within `range` to `out`.
    ///
    /// # Errors
    /// Stored data is damaged.
    fn read(&self, index: usize, range: TimeRange, out: &mut Columns) -> Result<(), StorageError>;

    /// Appends the newest sample within `range` of the series at `index` to `out`; older ones may come
    /// before it. A store that knows the newest sample need not look for it.
    ///
    /// # Errors
    /// Stored data is damaged.
    fn read_newest(
        &self,
        index: usize,
        range: TimeRange,
        out: &mut Columns,
    ) -> Result<(), StorageError> {
        self.read(index, range, out)
    }

    /// Numbers the groups of an aggregation. A store that interns labels does this without strings.
    fn group(&self, grouping: &Grouping<'_>) -> Groups {
        group_by_labels((0..self.len()).map(|index| self.labels(index)), grouping)
    }

    /// Whether all series differ in labels other than these and the metric name. A store that interns
    /// labels finds out without strings.
    fn differ_without(&self, names: &[&str]) -> bool {
        self.group(&Grouping::Without(names)).labels.len() == self.len()
    }
}

/// How series fall into groups.
#[derive(Clone, Copy, Debug)]
pub enum Grouping<'a> {
    /// Equal values of these labels (`by`).
    By(&'a [&'a str]),
    /// Equal in all labels but these and the metric name (`without`).
    Without(&'a [&'a str]),
}

/// Groups in the order in which their first series comes.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    /// For each series the index of its group.
    pub of_series: Vec<u32>,
    /// For each group its labels.
    pub labels: Vec<Labels>,
}

/// Groups label sets by value.
pub fn group_by_labels(sets: impl Iterator<Item = Labels>, grouping: &Grouping<'_>) -> Groups {
    let hasher = FixedState::default();
    let hash = |labels: &Labels| hasher.hash_one(labels.as_bytes());
    let mut groups = Groups::default();
    let mut index: HashTable<u32> = HashTable::new();
    for set in sets {
        let key = match grouping {
            Grouping::By(names) => set.keep(names),
            Grouping::Without(names) => {
                let mut dropped = names.to_vec();
                dropped.push(prom_model::METRIC_NAME);
                set.without(&dropped)
            }
        };
        let next = groups.labels.len() as u32;
        let entry = index.entry(
            hash(&key),
            |&group| groups.labels[group as usize] == key,
            |&group| hash(&groups.labels[group as usize]),
        );
        let group = *entry.or_insert(next).get();
        if group == next {
            groups.labels.push(key);
        }
        groups.of_series.push(group);
    }
    groups
}
