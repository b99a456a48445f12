//! How many series there may be: in all, of one job, of one metric. Series that exist go on; new ones beyond
//! a limit are refused and counted by name. What a replay brings was taken once and is never refused.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use prom_model::{Labels, METRIC_NAME};
use prom_storage::StorageError;
use prom_telemetry::{CounterVec, Registry};

use crate::{SeriesLimits, StatEntry, lock::lock};

use super::SeriesIndex;

/// Names that are counted each for itself; those that come later share one entry.
const NAMES_COUNT_MAX: usize = 100;
/// Stands for names beyond [`NAMES_COUNT_MAX`].
const OTHERS: &str = "(others)";
const JOB: &str = "job";

/// A limit, and what it is a limit of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Total,
    Job,
    Metric,
}

impl Scope {
    fn name(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Job => JOB,
            Self::Metric => "metric",
        }
    }
}

/// The limits, and what they have refused so far.
#[derive(Debug)]
pub(super) struct Budgets {
    limits: SeriesLimits,
    refused: Mutex<BTreeMap<(Scope, String), u64>>,
    refused_count: AtomicU64,
    metric: CounterVec,
}

impl Budgets {
    pub(super) fn new(limits: SeriesLimits, registry: &Registry) -> Self {
        let metric = registry.counter_vec(
            "prometheus_tsdb_head_series_refused_total",
            "Attempts to create series that were refused because a limit of series was reached.",
            &["limit", "name"],
        );
        Self { limits, refused: Mutex::default(), refused_count: AtomicU64::new(0), metric }
    }

    /// Whether there is any limit at all.
    pub(super) fn are_set(&self) -> bool {
        self.limits != SeriesLimits::default()
    }

    /// Whether one more series with these labels may come into being.
    ///
    /// # Errors
    /// A limit is reached; the text says which.
    pub(super) fn admit(&self, index: &SeriesIndex, labels: &Labels) -> Result<(), StorageError> {
        let SeriesLimits { total, per_job, per_metric } = self.limits;
        if total > 0 && index.count() >= total {
            let reason = format!("series limit reached: there are {total} series");
            return Err(self.refuse(Scope::Total, "", reason));
        }
        for (scope, label, limit) in
            [(Scope::Job, JOB, per_job), (Scope::Metric, METRIC_NAME, per_metric)]
        {
            let Some(value) = labels.get(label).filter(|_| limit > 0) else { continue };
            let pair = index.dictionary().read().find_pair(label, value);
            if pair.is_some_and(|pair| index.postings(pair).len() >= limit) {
                let kind = scope.name();
                let reason = format!("series limit reached: {kind} {value:?} has {limit} series");
                return Err(self.refuse(scope, value, reason));
            }
        }
        Ok(())
    }

    /// Attempts that were refused, by limit and name, the most frequent first.
    pub(super) fn refused(&self) -> Vec<StatEntry> {
        if self.refused_count.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let entry = |((scope, name), count): (&(Scope, String), &u64)| {
            let separator = if name.is_empty() { "" } else { "=" };
            StatEntry { name: format!("{}{separator}{name}", scope.name()), value: *count }
        };
        let mut entries: Vec<StatEntry> = lock(&self.refused).iter().map(entry).collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.value));
        entries
    }

    #[cold]
    fn refuse(&self, scope: Scope, name: &str, reason: String) -> StorageError {
        self.refused_count.fetch_add(1, Ordering::Relaxed);
        let mut refused = lock(&self.refused);
        let mut key = (scope, name.to_owned());
        if !refused.contains_key(&key) {
            if refused.len() >= NAMES_COUNT_MAX {
                key.1 = OTHERS.to_owned();
            }
            tracing::warn!(limit = scope.name(), name, reason, "Refusing new series");
        }
        self.metric.with(&[scope.name(), &key.1]).inc();
        *refused.entry(key).or_default() += 1;
        StorageError::SeriesLimit(reason)
    }
}
