//! Times since when series count, made up where no target tells them: the first sample of a series is the
//! point of reference and is left out, and later ones count from there.
//! Which series count, and what becomes of their samples, is the matter of `pass::counting`.
//!
//! Compat: Prometheus `scrape/st_synthesis.go`. There, a sample that is too late is refused by the store.

use std::sync::Arc;

use hashbrown::{HashMap, hash_map::Entry};
use prom_model::{FloatHistogram, Histogram, HistogramValue};

/// What is known of the counting series of one target, each by the hash of its line or of its part of a family.
#[derive(Debug, Default)]
pub(crate) struct Synthesis {
    floats: HashMap<u64, FloatRun>,
    histograms: HashMap<u64, HistogramRun>,
}

/// What a body makes of it. What the last one left is not touched: the body may yet be refused.
#[derive(Debug)]
pub(crate) struct Synthesizer<'a> {
    known: Option<&'a Synthesis>,
    /// Of the series that this body has had.
    next: Synthesis,
}

/// What a sample of a series that counts comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is the point of reference, and is not stored.
    Reference,
    /// It is older than the sample before it, and is not stored; the next one is the point of reference.
    Late,
    /// Its value counts since then; `is_new` if no sample before it did.
    Counts { start_ms: i64, is_new: bool },
}

/// Times of a series that counts.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    /// Since when; 0 as long as it has no point of reference.
    start_ms: i64,
    last_ms: i64,
}

#[derive(Clone, Copy, Debug, Default)]
struct FloatRun {
    times: Times,
    /// As the target told it.
    last: f64,
    /// What its values are reduced by.
    reference: f64,
}

#[derive(Clone, Debug, Default)]
struct HistogramRun {
    times: Times,
    /// As the target told it.
    last: Option<Arc<FloatHistogram>>,
    /// What it is reduced by; nothing once it has begun anew.
    reference: Option<Arc<FloatHistogram>>,
}

impl Synthesis {
    /// The series needs a new point of reference.
    pub(crate) fn restart(&mut self, line: u64) {
        if let Some(run) = self.floats.get_mut(&line) {
            *run = FloatRun::default();
        }
        if let Some(run) = self.histograms.get_mut(&line) {
            *run = HistogramRun::default();
        }
    }

    fn has(&self, line: u64) -> bool {
        self.floats.contains_key(&line) || self.histograms.contains_key(&line)
    }
}

impl<'a> Synthesizer<'a> {
    pub(crate) fn new(known: Option<&'a Synthesis>) -> Self {
        Self { known, next: Synthesis::default() }
    }

    /// Whether the series counts, as far as this body and the last one tell.
    pub(crate) fn has(&self, line: u64) -> bool {
        self.is_met(line) || self.known.is_some_and(|known| known.has(line))
    }

    /// Whether this body has had a sample of the series.
    pub(crate) fn is_met(&self, line: u64) -> bool {
        self.next.has(line)
    }

    /// How many series this body has had.
    pub(crate) fn met_count(&self) -> usize {
        self.next.floats.len() + self.next.histograms.len()
    }

    /// A series of floats counts from now on.
    pub(crate) fn begin_float(&mut self, line: u64) {
        self.next.floats.insert(line, FloatRun::default());
    }

    /// A series of histograms counts from now on.
    pub(crate) fn begin_histogram(&mut self, line: u64) {
        self.next.histograms.insert(line, HistogramRun::default());
    }

    /// Reduces the value of a sample; `None` if its series does not count.
    pub(crate) fn take_float(&mut self, line: u64, value: &mut f64, time_ms: i64) -> Option<Step> {
        let known = self.known.map(|known| &known.floats);
        let run = run_of(known, &mut self.next.floats, line)?;
        Some(run.take(value, time_ms))
    }

    /// Reduces a histogram that is sound; `None` if its series does not count.
    pub(crate) fn take_histogram(
        &mut self,
        line: u64,
        value: &mut HistogramValue,
        time_ms: i64,
    ) -> Option<Step> {
        let known = self.known.map(|known| &known.histograms);
        let run = run_of(known, &mut self.next.histograms, line)?;
        Some(run.take(value, time_ms))
    }

    /// The series needs a new point of reference, should its target tell no more since when it counts.
    pub(crate) fn restart(&mut self, line: u64) {
        let known = self.known;
        if let Some(run) = run_of(known.map(|it| &it.floats), &mut self.next.floats, line) {
            *run = FloatRun::default();
        }
        if let Some(run) = run_of(known.map(|it| &it.histograms), &mut self.next.histograms, line) {
            *run = HistogramRun::default();
        }
    }

    /// What is known from now on. Series that this body has not had are forgotten.
    pub(crate) fn into_next(self) -> Synthesis {
        self.next
    }
}

/// The run of a series, as this body has left it so far.
fn run_of<'n, R: Clone>(
    known: Option<&HashMap<u64, R>>,
    next: &'n mut HashMap<u64, R>,
    line: u64,
) -> Option<&'n mut R> {
    match next.entry(line) {
        Entry::Occupied(entry) => Some(entry.into_mut()),
        Entry::Vacant(entry) => Some(entry.insert(known?.get(&line)?.clone())),
    }
}

impl Times {
    fn at(time_ms: i64) -> Self {
        Self { start_ms: time_ms, last_ms: time_ms }
    }

    fn step(self, is_reset: bool) -> Step {
        let is_new = is_reset || self.last_ms == self.start_ms;
        Step::Counts { start_ms: self.start_ms, is_new }
    }

    /// It has begun anew between the last sample and the one at `time_ms`: most likely right before that.
    fn begin_anew(&mut self, time_ms: i64) {
        self.start_ms = time_ms.saturating_sub(1);
    }
}

impl FloatRun {
    fn take(&mut self, value: &mut f64, time_ms: i64) -> Step {
        let told = *value;
        if self.times.start_ms == 0 {
            *self = Self { times: Times::at(time_ms), last: told, reference: told };
            return Step::Reference;
        }
        if time_ms < self.times.last_ms {
            *self = Self::default();
            return Step::Late;
        }
        let is_reset = told < self.last;
        if is_reset {
            self.reference = 0.0;
            self.times.begin_anew(time_ms);
        }
        *value = told - self.reference;
        let step = self.times.step(is_reset);
        self.last = told;
        self.times.last_ms = time_ms;
        step
    }
}

impl HistogramRun {
    fn take(&mut self, value: &mut HistogramValue, time_ms: i64) -> Step {
        let told = value.to_float();
        if self.times.start_ms == 0 {
            let reference = Some(Arc::clone(&told));
            *self = Self { times: Times::at(time_ms), last: Some(told), reference };
            return Step::Reference;
        }
        if time_ms < self.times.last_ms {
            *self = Self::default();
            return Step::Late;
        }
        let mut is_reset = self.last.as_ref().is_some_and(|last| told.is_reset_since(last));
        if !is_reset && let Some(reference) = &self.reference {
            match reduced(value, &told, reference) {
                Some(reduced) => *value = reduced,
                None => is_reset = true,
            }
        }
        if is_reset {
            self.reference = None;
            self.times.begin_anew(time_ms);
        }
        let step = self.times.step(is_reset);
        self.last = Some(told);
        self.times.last_ms = time_ms;
        step
    }
}

/// A histogram without what `reference` had counted; `told` is the same as floats. `None` where that makes no sound
/// one, as when counts are beyond what floats tell apart.
fn reduced(
    value: &HistogramValue,
    told: &FloatHistogram,
    reference: &FloatHistogram,
) -> Option<HistogramValue> {
    let mut difference = told.clone();
    difference.sub(reference).ok()?;
    difference.compact();
    match value {
        HistogramValue::Float(_) => {
            difference.check().ok()?;
            Some(HistogramValue::Float(Arc::new(difference)))
        }
        HistogramValue::Integer(integer) => {
            let counter_reset_hint = integer.counter_reset_hint;
            let difference = Histogram { counter_reset_hint, ..integers(difference) };
            difference.check().ok()?;
            Some(HistogramValue::Integer(Arc::new(difference)))
        }
    }
}

/// The same histogram, whose counts are whole numbers.
fn integers(histogram: FloatHistogram) -> Histogram {
    let deltas = |counts: &[f64]| {
        let mut before = 0_i64;
        let delta = |count: &f64| {
            let count = *count as i64;
            count.wrapping_sub(std::mem::replace(&mut before, count))
        };
        counts.iter().map(delta).collect()
    };
    Histogram {
        counter_reset_hint: histogram.counter_reset_hint,
        schema: histogram.schema,
        zero_threshold: histogram.zero_threshold,
        zero_count: histogram.zero_count as u64,
        count: histogram.count as u64,
        sum: histogram.sum,
        positive_buckets: deltas(&histogram.positive_buckets),
        negative_buckets: deltas(&histogram.negative_buckets),
        positive_spans: histogram.positive_spans,
        negative_spans: histogram.negative_spans,
        custom_values: histogram.custom_values,
    }
}

#[cfg(test)]
mod tests;
