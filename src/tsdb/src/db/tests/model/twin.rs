//! The map beside the database: what is there, what may be there, what a sample will be told.

use std::collections::{BTreeMap, BTreeSet};

use prom_storage::Rejection;

/// What a sample says: a float's bits or a histogram's count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value {
    Float(u64),
    Histogram(u64),
}

/// Samples by series number and time.
pub(super) type Content = BTreeMap<usize, BTreeMap<i64, Value>>;

/// One sample.
pub(super) type Sample = (usize, i64, Value);

#[derive(Clone, Debug, Default)]
pub(super) struct Twin {
    pub(super) content: Content,
    /// All that was ever offered: after a power failure, nothing else may be there.
    ever: BTreeMap<(usize, i64), BTreeSet<Value>>,
    /// What may be there, and what may be gone, once the database is opened again.
    maybe_added: BTreeMap<(usize, i64), BTreeSet<Value>>,
    maybe_removed: BTreeSet<(usize, i64)>,
    /// The newest sample of each series, deleted or not; absent for those that nobody can tell of.
    last: BTreeMap<usize, (i64, Value)>,
    /// Series without an entry there have no sample.
    is_last_known: bool,
}

impl Twin {
    pub(super) fn new() -> Self {
        Self { is_last_known: true, ..Self::default() }
    }

    pub(super) fn max_time(&self) -> Option<i64> {
        let lasts = self.content.values().filter_map(|samples| samples.last_key_value());
        let known = self.last.values().map(|(t, _)| *t);
        lasts.map(|(t, _)| *t).chain(known).max()
    }

    /// What the database must say to each sample, `None` where nobody can tell; `min_t` is its bound.
    pub(super) fn expect(
        &self,
        samples: &[Sample],
        min_t: i64,
    ) -> Vec<Option<Result<(), Rejection>>> {
        let mut last = self.last.clone();
        let expect = |(number, t, v): &Sample| {
            if *t < min_t {
                return Some(Err(Rejection::OutOfBounds));
            }
            match last.get(number) {
                None if !self.is_last_known => None,
                Some((last_t, _)) if t < last_t => Some(Err(Rejection::OutOfOrder)),
                Some((last_t, last_v)) if t == last_t => Some(match v == last_v {
                    true => Ok(()),
                    false => Err(Rejection::DuplicateTimestamp),
                }),
                _ => {
                    last.insert(*number, (*t, *v));
                    Some(Ok(()))
                }
            }
        };
        samples.iter().map(expect).collect()
    }

    pub(super) fn offer(&mut self, samples: &[Sample]) {
        for (number, t, v) in samples {
            self.ever.entry((*number, *t)).or_default().insert(*v);
        }
    }

    /// Those of the samples that were offered at some time.
    pub(super) fn offered_before(&self, samples: &[Sample]) -> BTreeSet<Sample> {
        let is_known = |(number, t, v): &&Sample| {
            self.ever.get(&(*number, *t)).is_some_and(|values| values.contains(v))
        };
        samples.iter().filter(is_known).copied().collect()
    }

    /// These were acknowledged. `is_stored` is asked about samples of series whose last sample nobody knows: one
    /// that is equal to it, and deleted, changes nothing.
    pub(super) fn store(&mut self, samples: &[Sample], is_stored: impl Fn(&Sample) -> bool) {
        for sample @ (number, t, v) in samples {
            // What was there first stays.
            let is_new = match self.last.get(number) {
                Some((last_t, _)) => last_t < t,
                None => self.is_last_known || is_stored(sample),
            };
            if !is_new {
                self.last.entry(*number).or_insert((*t, *v));
            }
            let is_there = self.content.get(number).is_some_and(|there| there.contains_key(t));
            if is_new && !is_there {
                self.content.entry(*number).or_default().insert(*t, *v);
                self.last.insert(*number, (*t, *v));
            }
        }
    }

    /// These failed: they are not there now, and may be there after the next start.
    pub(super) fn doubt(&mut self, samples: &[Sample]) {
        for (number, t, v) in samples {
            self.maybe_added.entry((*number, *t)).or_default().insert(*v);
        }
    }

    pub(super) fn remove(&mut self, is_removed: impl Fn(usize, i64) -> bool) {
        for (number, samples) in &mut self.content {
            samples.retain(|t, _| !is_removed(*number, *t));
        }
        self.content.retain(|_, samples| !samples.is_empty());
    }

    /// Some of these may be gone now.
    pub(super) fn doubt_removed(&mut self, is_removed: impl Fn(usize, i64) -> bool) {
        for (number, samples) in &self.content {
            let times = samples.keys().filter(|t| is_removed(*number, **t));
            self.maybe_removed.extend(times.map(|t| (*number, *t)));
        }
    }

    /// The content without those samples that a failed deletion may have taken and that `found` has not.
    pub(super) fn content_as_far_as_sure(&self, found: &Content) -> Content {
        let mut content = self.content.clone();
        for (number, samples) in &mut content {
            let is_there = |t: &i64| found.get(number).is_some_and(|there| there.contains_key(t));
            samples.retain(|t, _| is_there(t) || !self.maybe_removed.contains(&(*number, *t)));
        }
        content.retain(|_, samples| !samples.is_empty());
        content
    }

    /// Compares with what the database has after something failed or a start, and takes that over.
    pub(super) fn settle(&mut self, found: Content, is_power_lost: bool, is_start: bool) {
        for (number, samples) in &found {
            for (t, v) in samples {
                let place = (*number, *t);
                let is_known = self.content.get(number).and_then(|there| there.get(t)) == Some(v);
                let in_set = |set: &BTreeMap<_, BTreeSet<Value>>| {
                    set.get(&place).is_some_and(|values| values.contains(v))
                };
                let is_allowed = is_known
                    || is_start && in_set(&self.maybe_added)
                    || is_power_lost && in_set(&self.ever);
                assert!(is_allowed, "{place:?} {v:?} is wrong");
            }
        }
        for (number, samples) in self.content.iter().filter(|_| !is_power_lost) {
            for (t, v) in samples {
                let is_there = found.get(number).is_some_and(|there| there.get(t) == Some(v));
                let is_allowed = is_there || self.maybe_removed.contains(&(*number, *t));
                assert!(is_allowed, "series {number} at {t}: {v:?} is lost");
            }
        }
        if is_start {
            if is_power_lost || found != self.content || !self.maybe_added.is_empty() {
                (self.last, self.is_last_known) = (BTreeMap::new(), false);
            }
            self.maybe_added.clear();
            self.maybe_removed.clear();
        }
        self.content = found;
    }
}
