//! The registry: names, helps and kinds of all metrics, and gathering.

use std::{
    any::Any,
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, Metric, MetricFamily,
    MetricKind, MetricValue, MetricVec, Summary, SummaryVec,
    vector::{self, Instrument},
};

/// Adds families that exist only while gathering, such as values read from `/proc`.
pub type Collector = Arc<dyn Fn(&mut Vec<MetricFamily>) + Send + Sync>;

/// All metrics of the process. Clones share it.
#[derive(Clone, Default)]
pub struct Registry {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    families: BTreeMap<String, Registered>,
    collectors: Vec<Collector>,
}

/// One family: what it says of itself, and where its values come from.
#[derive(Clone)]
struct Registered {
    help: String,
    kind: MetricKind,
    source: Source,
}

#[derive(Clone)]
enum Source {
    /// A `MetricVec` of some instrument; a single metric is one without label names.
    Vector {
        any: Arc<dyn Any + Send + Sync>,
        collect: Arc<dyn Fn(&mut MetricFamily) + Send + Sync>,
    },
    Callback(Arc<dyn Fn() -> f64 + Send + Sync>),
}

impl Registry {
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.counter_vec(name, help, &[]).with(&[])
    }

    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.gauge_vec(name, help, &[]).with(&[])
    }

    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        self.histogram_vec(name, help, buckets, &[]).with(&[])
    }

    pub fn summary(&self, name: &str, help: &str, quantiles: &[f64]) -> Summary {
        self.summary_vec(name, help, quantiles, &[]).with(&[])
    }

    pub fn counter_vec(&self, name: &str, help: &str, label_names: &[&str]) -> CounterVec {
        self.vector(name, help, label_names, Counter::default)
    }

    pub fn gauge_vec(&self, name: &str, help: &str, label_names: &[&str]) -> GaugeVec {
        self.vector(name, help, label_names, Gauge::default)
    }

    pub fn histogram_vec(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
        label_names: &[&str],
    ) -> HistogramVec {
        let buckets: Arc<[f64]> = buckets.into();
        self.vector(name, help, label_names, move || Histogram::new(&buckets))
    }

    pub fn summary_vec(
        &self,
        name: &str,
        help: &str,
        quantiles: &[f64],
        label_names: &[&str],
    ) -> SummaryVec {
        let quantiles: Arc<[f64]> = quantiles.into();
        self.vector(name, help, label_names, move || Summary::new(&quantiles))
    }

    /// A counter whose value is asked for while gathering. A later callback of this name replaces the earlier one.
    pub fn counter_fn(
        &self,
        name: &str,
        help: &str,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.callback(name, help, MetricKind::Counter, Arc::new(read));
    }

    /// A gauge whose value is asked for while gathering. A later callback of this name replaces the earlier one.
    pub fn gauge_fn(&self, name: &str, help: &str, read: impl Fn() -> f64 + Send + Sync + 'static) {
        self.callback(name, help, MetricKind::Gauge, Arc::new(read));
    }

    /// Families made anew at each gathering. Metrics of a name that exists already join it.
    pub fn collect_fn(&self, collect: impl Fn(&mut Vec<MetricFamily>) + Send + Sync + 'static) {
        self.shared().collectors.push(Arc::new(collect));
    }

    /// A copy of everything, sorted (I3). Families without metrics are left out.
    pub fn gather(&self) -> Vec<MetricFamily> {
        // Callbacks run without the lock: they may register, and they may be slow.
        let (registered, collectors) = {
            let shared = self.shared();
            (shared.families.clone(), shared.collectors.clone())
        };
        let mut families: Vec<MetricFamily> = Vec::with_capacity(registered.len());
        for (name, one) in registered {
            let mut family =
                MetricFamily { name, help: one.help, kind: one.kind, metrics: Vec::new() };
            match one.source {
                Source::Vector { collect, .. } => collect(&mut family),
                Source::Callback(read) => {
                    let value = MetricValue::Number(read());
                    family.metrics.push(Metric { labels: Vec::new(), value });
                }
            }
            families.push(family);
        }
        collectors.iter().for_each(|collect| collect(&mut families));
        merge(families)
    }

    fn vector<T: Instrument>(
        &self,
        name: &str,
        help: &str,
        label_names: &[&str],
        new_child: impl Fn() -> T + Send + Sync + 'static,
    ) -> MetricVec<T> {
        let mut shared = self.shared();
        let vacant = match shared.families.entry(name.to_owned()) {
            Entry::Vacant(vacant) => vacant,
            Entry::Occupied(occupied) => {
                // I1: the same question gets the same answer, another one is a mistake of ours.
                let known = match &occupied.get().source {
                    Source::Vector { any, .. } => any.downcast_ref::<MetricVec<T>>(),
                    Source::Callback(_) => None,
                };
                let same = known.filter(|known| known.label_names() == label_names);
                let clone = same.cloned();
                drop(shared);
                return clone.unwrap_or_else(|| panic!("metric {name} has another kind or labels"));
            }
        };
        let vector = MetricVec::new(label_names, new_child);
        let (any, collected) = (Arc::new(vector.clone()), vector.clone());
        let collect =
            Arc::new(move |family: &mut MetricFamily| vector::collect(&collected, family));
        vacant.insert(Registered {
            help: help.to_owned(),
            kind: T::KIND,
            source: Source::Vector { any, collect },
        });
        vector
    }

    fn callback(
        &self,
        name: &str,
        help: &str,
        kind: MetricKind,
        read: Arc<dyn Fn() -> f64 + Send + Sync>,
    ) {
        let new = Registered { help: help.to_owned(), kind, source: Source::Callback(read) };
        let mut shared = self.shared();
        let known = shared.families.get(name);
        let fits =
            known.is_none_or(|old| matches!(old.source, Source::Callback(_)) && old.kind == kind);
        if fits {
            shared.families.insert(name.to_owned(), new);
        }
        drop(shared);
        assert!(fits, "metric {name} has another kind");
    }

    /// Maps are whole even if a panic passed by.
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("families", &self.shared().families.len()).finish()
    }
}

/// Sorts families, joins those of one name, sorts their metrics by label values (I3).
fn merge(mut families: Vec<MetricFamily>) -> Vec<MetricFamily> {
    families.retain(|family| !family.metrics.is_empty());
    families.sort_by(|a, b| a.name.cmp(&b.name));
    families.dedup_by(|later, kept| {
        let same = later.name == kept.name;
        if same {
            kept.metrics.append(&mut later.metrics);
        }
        same
    });
    for family in &mut families {
        family.metrics.sort_by(|a, b| label_values(a).cmp(label_values(b)));
    }
    families
}

fn label_values(metric: &Metric) -> impl Iterator<Item = &str> {
    metric.labels.iter().map(|(_, value)| value.as_str())
}
