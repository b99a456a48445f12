//! Exemplars of the head: the newest ones of all series, a fixed number of them, each in the list of its
//! series. What comes after the last place takes the place of the oldest. The log is not known here.
//! Compat: Prometheus `tsdb/exemplar.go`, 3.14.

use std::sync::RwLock;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use prom_model::{EXEMPLAR_LABELS_CHAR_COUNT_MAX, Exemplar, Labels, Matcher};
use prom_storage::{ExemplarSeries, Rejection, TimeRange};
use prom_telemetry::{Counter, Gauge, Registry};

use crate::lock::{read, write};

/// The end of a list.
const NONE: u32 = u32::MAX;
/// Exemplars that can be kept at most, whatever is asked for.
const COUNT_MAX: usize = 1 << 24;

/// The exemplars of the head.
#[derive(Debug)]
pub(super) struct Exemplars {
    ring: RwLock<Ring>,
    metrics: ExemplarMetrics,
}

/// Instruments, named as Prometheus's.
#[derive(Debug)]
struct ExemplarMetrics {
    appended: Counter,
    out_of_order: Counter,
    stored: Gauge,
    series: Gauge,
    oldest_seconds: Gauge,
    capacity: Gauge,
}

/// Exemplars in the order in which they came.
#[derive(Debug, Default)]
struct Ring {
    capacity: usize,
    places: Vec<Place>,
    /// The place of the next exemplar, once all places are taken.
    next: usize,
    series: HashMap<u64, SeriesList, RandomState>,
}

#[derive(Debug)]
struct Place {
    series_ref: u64,
    /// The place of the series' next newer one.
    newer: u32,
    exemplar: Exemplar,
}

#[derive(Debug)]
struct SeriesList {
    labels: Labels,
    oldest: u32,
    newest: u32,
}

impl Exemplars {
    pub(super) fn new(count_max: usize, registry: &Registry) -> Self {
        let exemplars =
            Self { ring: RwLock::default(), metrics: ExemplarMetrics::register(registry) };
        exemplars.resize(count_max);
        exemplars
    }

    /// Keeps at most so many from now on; the newest ones stay.
    pub(super) fn resize(&self, count_max: usize) {
        let mut ring = write(&self.ring);
        ring.resize(count_max.min(COUNT_MAX));
        self.metrics.capacity.set(ring.capacity as f64);
        self.metrics.show(&ring);
    }

    pub(super) fn is_enabled(&self) -> bool {
        read(&self.ring).capacity > 0
    }

    /// Whether an exemplar may come behind those of its series.
    pub(super) fn check(&self, series_ref: u64, exemplar: &Exemplar) -> Result<(), Rejection> {
        let checked = read(&self.ring).check(series_ref, exemplar);
        if checked == Err(Rejection::OutOfOrderExemplar) {
            self.metrics.out_of_order.inc();
        }
        checked
    }

    /// Adds an exemplar that is on the log; one that others have overtaken is dropped. `labels` tells those
    /// of a series that has no exemplar yet.
    pub(super) fn add(
        &self,
        series_ref: u64,
        exemplar: Exemplar,
        labels: impl FnOnce() -> Option<Labels>,
    ) {
        let mut ring = write(&self.ring);
        if ring.check(series_ref, &exemplar).is_err() {
            return;
        }
        if !ring.series.contains_key(&series_ref) {
            let Some(labels) = labels() else { return };
            let list = SeriesList { labels, oldest: NONE, newest: NONE };
            ring.series.insert(series_ref, list);
        }
        ring.push(series_ref, exemplar);
        self.metrics.appended.inc();
        self.metrics.show(&ring);
    }

    /// Shows all with the refs of their series, in the order in which they came.
    pub(super) fn for_each(&self, mut each: impl FnMut(u64, &Exemplar)) {
        let ring = read(&self.ring);
        let begin = if ring.places.len() < ring.capacity { 0 } else { ring.next };
        let (newer, older) = ring.places.split_at(begin.min(ring.places.len()));
        older.iter().chain(newer).for_each(|place| each(place.series_ref, &place.exemplar));
    }

    /// The exemplars within the range of the series that match one of the sets; series by their labels.
    pub(super) fn select(&self, range: TimeRange, sets: &[Vec<Matcher>]) -> Vec<ExemplarSeries> {
        let ring = read(&self.ring);
        let matches = |labels: &Labels, set: &[Matcher]| {
            set.iter().all(|matcher| matcher.matches(labels.get(matcher.name()).unwrap_or("")))
        };
        let wanted =
            ring.series.values().filter(|list| sets.iter().any(|set| matches(&list.labels, set)));
        let mut found: Vec<ExemplarSeries> = Vec::new();
        for list in wanted {
            let all = ring.list(list).map(|place| &place.exemplar);
            let within =
                all.filter(|one| (range.mint_ms..=range.maxt_ms).contains(&one.timestamp_ms));
            let exemplars: Vec<Exemplar> = within.cloned().collect();
            if !exemplars.is_empty() {
                found.push(ExemplarSeries { labels: list.labels.clone(), exemplars });
            }
        }
        found.sort_by(|a, b| a.labels.cmp(&b.labels));
        // A label set that went and came back has two refs.
        found.dedup_by(|later, first| {
            let is_same = later.labels == first.labels;
            if is_same {
                first.exemplars.append(&mut later.exemplars);
                first.exemplars.sort_by_key(|one| one.timestamp_ms);
            }
            is_same
        });
        found
    }
}

impl Ring {
    fn check(&self, series_ref: u64, exemplar: &Exemplar) -> Result<(), Rejection> {
        if self.capacity == 0 {
            return Err(Rejection::ExemplarsDisabled);
        }
        let chars = |text: &str| text.chars().count();
        let size: usize =
            exemplar.labels.iter().map(|(name, value)| chars(name) + chars(value)).sum();
        if size > EXEMPLAR_LABELS_CHAR_COUNT_MAX {
            return Err(Rejection::ExemplarLabelLength);
        }
        let Some(list) = self.series.get(&series_ref) else { return Ok(()) };
        let newest = &self.places[list.newest as usize].exemplar;
        if newest == exemplar {
            return Err(Rejection::DuplicateExemplar);
        }
        // Those of one time come by value, then by the hash of their labels, so that several buckets of a
        // histogram have their own and a repeated one is told.
        let is_before = exemplar.timestamp_ms < newest.timestamp_ms
            || exemplar.timestamp_ms == newest.timestamp_ms
                && (exemplar.value < newest.value
                    || exemplar.value == newest.value
                        && exemplar.labels.hash64() < newest.labels.hash64());
        if is_before { Err(Rejection::OutOfOrderExemplar) } else { Ok(()) }
    }

    /// Puts an exemplar at the end of its series, which has a list.
    fn push(&mut self, series_ref: u64, exemplar: Exemplar) {
        let place = Place { series_ref, newer: NONE, exemplar };
        let at = if self.places.len() < self.capacity {
            self.places.push(place);
            self.places.len() - 1
        } else {
            let at = self.next;
            self.forget(at, series_ref);
            self.places[at] = place;
            self.next = (at + 1) % self.capacity;
            at
        };
        let Some(list) = self.series.get_mut(&series_ref) else { return };
        match list.newest {
            NONE => list.oldest = at as u32,
            newest => self.places[newest as usize].newer = at as u32,
        }
        list.newest = at as u32;
    }

    /// Takes the oldest exemplar of a series out of its list; a list that is empty goes, unless it is that
    /// of `kept`.
    fn forget(&mut self, at: usize, kept: u64) {
        let Place { series_ref, newer, .. } = self.places[at];
        let Some(list) = self.series.get_mut(&series_ref) else { return };
        list.oldest = newer;
        if newer == NONE {
            list.newest = NONE;
            if series_ref != kept {
                self.series.remove(&series_ref);
            }
        }
    }

    fn list(&self, list: &SeriesList) -> impl Iterator<Item = &Place> {
        let place = |at: u32| self.places.get(at as usize);
        std::iter::successors(place(list.oldest), move |one| place(one.newer))
    }

    fn resize(&mut self, capacity: usize) {
        if capacity == self.capacity {
            return;
        }
        let mut old = std::mem::take(self);
        self.capacity = capacity;
        let begin = if old.places.len() < old.capacity { 0 } else { old.next };
        old.places.rotate_left(begin);
        let skipped = old.places.len().saturating_sub(capacity);
        for Place { series_ref, exemplar, .. } in old.places.into_iter().skip(skipped) {
            if !self.series.contains_key(&series_ref)
                && let Some(list) = old.series.remove(&series_ref)
            {
                let list = SeriesList { labels: list.labels, oldest: NONE, newest: NONE };
                self.series.insert(series_ref, list);
            }
            self.push(series_ref, exemplar);
        }
    }

    fn oldest(&self) -> Option<&Exemplar> {
        let at = if self.places.len() < self.capacity { 0 } else { self.next };
        self.places.get(at).map(|place| &place.exemplar)
    }
}

impl ExemplarMetrics {
    fn register(registry: &Registry) -> Self {
        let name = |suffix: &str| format!("prometheus_tsdb_exemplar_{suffix}");
        Self {
            appended: registry
                .counter(&name("exemplars_appended_total"), "Total number of appended exemplars."),
            out_of_order: registry.counter(
                &name("out_of_order_exemplars_total"),
                "Total number of out of order exemplar ingestion failed attempts.",
            ),
            stored: registry.gauge(
                &name("exemplars_in_storage"),
                "Number of exemplars currently in circular storage.",
            ),
            series: registry.gauge(
                &name("series_with_exemplars_in_storage"),
                "Number of series with exemplars currently in circular storage.",
            ),
            oldest_seconds: registry.gauge(
                &name("last_exemplars_timestamp_seconds"),
                "The timestamp of the oldest exemplar stored in circular storage. Useful to check for what timerange the current exemplar buffer limit allows. This usually means the last timestampfor all exemplars for a typical setup. This is not true though if one of the series timestamp is in future compared to rest series.",
            ),
            capacity: registry.gauge(
                &name("max_exemplars"),
                "Total number of exemplars the exemplar storage can store, resizeable.",
            ),
        }
    }

    fn show(&self, ring: &Ring) {
        self.stored.set(ring.places.len() as f64);
        self.series.set(ring.series.len() as f64);
        if let Some(oldest) = ring.oldest() {
            self.oldest_seconds.set(oldest.timestamp_ms as f64 / 1000.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use prom_model::MatchOp;

    use super::*;

    const ALL: TimeRange = TimeRange { mint_ms: i64::MIN, maxt_ms: i64::MAX };

    fn exemplar(t: i64, value: f64, trace: &str) -> Exemplar {
        Exemplar { labels: Labels::from_pairs([("trace", trace)]), value, timestamp_ms: t }
    }

    fn labels(series_ref: u64) -> Labels {
        Labels::from_pairs([("n", series_ref.to_string().as_str())])
    }

    fn add(exemplars: &Exemplars, series_ref: u64, t: i64) {
        exemplars.add(series_ref, exemplar(t, 1.0, "x"), || Some(labels(series_ref)));
    }

    /// Times by series.
    fn times(exemplars: &Exemplars, range: TimeRange) -> Vec<(String, Vec<i64>)> {
        let all = [Matcher::new("n", MatchOp::NotEqual, "none").unwrap()];
        let found = exemplars.select(range, &[all.into()]);
        let times = |one: &ExemplarSeries| one.exemplars.iter().map(|e| e.timestamp_ms).collect();
        found.iter().map(|one| (one.labels.get("n").unwrap().to_owned(), times(one))).collect()
    }

    #[test]
    fn exemplars_are_refused_for_the_reasons_of_prometheus() {
        use Rejection::{
            DuplicateExemplar, ExemplarLabelLength, ExemplarsDisabled, OutOfOrderExemplar,
        };
        let exemplars = Exemplars::new(10, &Registry::default());
        let check = |one: Exemplar, expected| assert_eq!(exemplars.check(1, &one), expected);
        check(exemplar(5, 1.0, &"x".repeat(123)), Ok(()));
        check(exemplar(5, 1.0, &"x".repeat(124)), Err(ExemplarLabelLength));
        // Characters count, not bytes.
        check(exemplar(5, 1.0, &"\u{fc}".repeat(123)), Ok(()));
        exemplars.add(1, exemplar(5, 2.0, "b"), || Some(labels(1)));
        check(exemplar(5, 2.0, "b"), Err(DuplicateExemplar));
        check(exemplar(4, 2.0, "b"), Err(OutOfOrderExemplar));
        check(exemplar(5, 1.0, "b"), Err(OutOfOrderExemplar));
        check(exemplar(5, 3.0, "b"), Ok(()));
        check(exemplar(6, 0.0, "b"), Ok(()));
        let other = exemplar(5, 2.0, "a");
        let is_before = other.labels.hash64() < exemplar(5, 2.0, "b").labels.hash64();
        check(other, if is_before { Err(OutOfOrderExemplar) } else { Ok(()) });
        let disabled = Exemplars::new(0, &Registry::default());
        assert_eq!(disabled.check(1, &exemplar(1, 1.0, "a")), Err(ExemplarsDisabled));
        assert!(!disabled.is_enabled() && exemplars.is_enabled());
    }

    #[test]
    fn the_newest_are_kept() {
        let exemplars = Exemplars::new(4, &Registry::default());
        let check = |expected: &[(&str, &[i64])]| {
            let found = times(&exemplars, ALL);
            let found: Vec<_> = found.iter().map(|(n, t)| (n.as_str(), t.as_slice())).collect();
            assert_eq!(found, expected);
        };
        for (series_ref, t) in [(1, 10), (2, 11), (1, 12), (3, 13)] {
            add(&exemplars, series_ref, t);
        }
        check(&[("1", &[10, 12]), ("2", &[11]), ("3", &[13])]);
        add(&exemplars, 2, 14);
        check(&[("1", &[12]), ("2", &[11, 14]), ("3", &[13])]);
        add(&exemplars, 2, 15);
        add(&exemplars, 2, 16);
        check(&[("2", &[14, 15, 16]), ("3", &[13])]);
        // A series that gives its only place to itself.
        add(&exemplars, 3, 17);
        check(&[("2", &[14, 15, 16]), ("3", &[17])]);
        // Overtaken ones are dropped; ranges count.
        add(&exemplars, 3, 1);
        assert_eq!(
            times(&exemplars, TimeRange { mint_ms: 15, maxt_ms: 16 }),
            [("2".to_owned(), vec![15, 16])]
        );
        exemplars.resize(2);
        check(&[("2", &[16]), ("3", &[17])]);
        exemplars.resize(5);
        add(&exemplars, 1, 18);
        check(&[("1", &[18]), ("2", &[16]), ("3", &[17])]);
        exemplars.resize(0);
        check(&[]);
    }

    #[test]
    fn only_series_that_match_are_shown() {
        let exemplars = Exemplars::new(4, &Registry::default());
        (1..=3).for_each(|n| add(&exemplars, n, n as i64));
        let set = |value: &str| vec![Matcher::equal("n", value)];
        let found = exemplars.select(ALL, &[set("3"), set("1"), set("9")]);
        assert_eq!(
            found.iter().map(|one| one.labels.clone()).collect::<Vec<_>>(),
            [labels(1), labels(3)]
        );
        assert_eq!(exemplars.select(ALL, &[]), []);
    }
}
