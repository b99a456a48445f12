//! Vectors: one instrument per combination of label values.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use super::{Counter, Gauge, Histogram, Metric, MetricFamily, MetricKind, MetricValue, Summary};

/// Most metrics of one vector. Further ones work but are not shown.
const CHILDREN_COUNT_MAX: usize = 100_000;

pub type CounterVec = MetricVec<Counter>;
pub type GaugeVec = MetricVec<Gauge>;
pub type HistogramVec = MetricVec<Histogram>;
pub type SummaryVec = MetricVec<Summary>;

/// Instruments of one name told apart by label values. Keep what [`MetricVec::with`] returns where it is hot.
#[derive(Clone)]
pub struct MetricVec<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    label_names: Box<[String]>,
    new_child: Box<dyn Fn() -> T + Send + Sync>,
    children: RwLock<HashMap<Vec<u8>, Child<T>>>,
}

struct Child<T> {
    label_values: Box<[String]>,
    instrument: T,
}

/// An instrument that can be read at any time.
pub(super) trait Instrument: Clone + Send + Sync + 'static {
    const KIND: MetricKind;
    fn read(&self) -> MetricValue;
}

impl<T: Clone> MetricVec<T> {
    pub(super) fn new(
        label_names: &[&str],
        new_child: impl Fn() -> T + Send + Sync + 'static,
    ) -> Self {
        let label_names = label_names.iter().map(|name| (*name).to_owned()).collect();
        let shared =
            Shared { label_names, new_child: Box::new(new_child), children: RwLock::default() };
        Self { shared: Arc::new(shared) }
    }

    /// The instrument of these label values, made when it is asked for first.
    pub fn with(&self, label_values: &[&str]) -> T {
        assert_eq!(label_values.len(), self.shared.label_names.len(), "one value a label name");
        let key = key_of(label_values);
        let children = self.shared.children.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(child) = children.get(&key) {
            return child.instrument.clone();
        }
        drop(children);
        let mut children = self.shared.children.write().unwrap_or_else(PoisonError::into_inner);
        if children.len() >= CHILDREN_COUNT_MAX && !children.contains_key(&key) {
            return (self.shared.new_child)();
        }
        let child = children.entry(key).or_insert_with(|| Child {
            label_values: label_values.iter().map(|value| (*value).to_owned()).collect(),
            instrument: (self.shared.new_child)(),
        });
        child.instrument.clone()
    }

    /// Forgets the metric of these label values; tells whether there was one.
    pub fn remove(&self, label_values: &[&str]) -> bool {
        let mut children = self.shared.children.write().unwrap_or_else(PoisonError::into_inner);
        children.remove(&key_of(label_values)).is_some()
    }

    /// Keeps the metrics whose label values satisfy `keep`: all of a dropped scrape pool go at once.
    pub fn retain(&self, mut keep: impl FnMut(&[String]) -> bool) {
        let mut children = self.shared.children.write().unwrap_or_else(PoisonError::into_inner);
        children.retain(|_, child| keep(&child.label_values));
    }

    pub(super) fn label_names(&self) -> &[String] {
        &self.shared.label_names
    }
}

impl<T> fmt::Debug for MetricVec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricVec")
            .field("label_names", &self.shared.label_names)
            .finish_non_exhaustive()
    }
}

impl Instrument for Counter {
    const KIND: MetricKind = MetricKind::Counter;

    fn read(&self) -> MetricValue {
        MetricValue::Number(self.get())
    }
}

impl Instrument for Gauge {
    const KIND: MetricKind = MetricKind::Gauge;

    fn read(&self) -> MetricValue {
        MetricValue::Number(self.get())
    }
}

impl Instrument for Histogram {
    const KIND: MetricKind = MetricKind::Histogram;

    fn read(&self) -> MetricValue {
        MetricValue::Histogram(self.value())
    }
}

impl Instrument for Summary {
    const KIND: MetricKind = MetricKind::Summary;

    fn read(&self) -> MetricValue {
        MetricValue::Summary(self.value())
    }
}

/// Adds what the vector's instruments hold now to its family.
pub(super) fn collect<T: Instrument>(vector: &MetricVec<T>, family: &mut MetricFamily) {
    let children = vector.shared.children.read().unwrap_or_else(PoisonError::into_inner);
    family.metrics.extend(children.values().map(|child| {
        let names = vector.shared.label_names.iter().cloned();
        let mut labels: Vec<_> = names.zip(child.label_values.iter().cloned()).collect();
        labels.sort_unstable();
        Metric { labels, value: child.instrument.read() }
    }));
}

/// `0xff` is in no UTF-8 text, so different values never make the same key.
fn key_of(label_values: &[&str]) -> Vec<u8> {
    let mut key = Vec::with_capacity(label_values.iter().map(|value| value.len() + 1).sum());
    for value in label_values {
        key.extend_from_slice(value.as_bytes());
        key.push(0xff);
    }
    key
}
