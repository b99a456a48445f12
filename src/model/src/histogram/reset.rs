//! Whether a counter began anew between two histograms.
//! Compat: Prometheus `model/histogram/float_histogram.go`, `DetectReset`.

use super::{
    CounterResetHint, FloatHistogram, bounds, custom,
    side::{Term, terms},
};

impl FloatHistogram {
    /// Whether this histogram does not continue `before`: any count is smaller, a populated bucket is
    /// gone, or the buckets are finer. A hint that says so decides at once.
    pub fn is_reset_since(&self, before: &Self) -> bool {
        match self.counter_reset_hint {
            CounterResetHint::CounterReset => return true,
            CounterResetHint::NotCounterReset => return false,
            // A gauge that is treated as a counter gets the counter's answer.
            CounterResetHint::Unknown | CounterResetHint::Gauge => {}
        }
        if self.count < before.count {
            return true;
        }
        if self.has_custom_buckets() {
            if !before.has_custom_buckets() {
                return true;
            }
            if *self.custom_values != *before.custom_values {
                return custom::has_fallen(self, before);
            }
        }
        if self.schema > before.schema || self.zero_threshold < before.zero_threshold {
            return true;
        }
        if before.has_custom_buckets() != self.has_custom_buckets() {
            return true;
        }
        let widened = before.widened(self.zero_threshold, None);
        if widened.threshold != self.zero_threshold || self.zero_count < widened.count.sum {
            return true;
        }
        [true, false].into_iter().any(|is_positive| {
            let now = self.terms_at(is_positive, self.schema, self.zero_threshold);
            let before = before.terms_at(is_positive, self.schema, self.zero_threshold);
            has_fallen(now, before)
        })
    }

    /// Buckets of `schema` that end above `threshold`.
    fn terms_at(
        &self,
        is_positive: bool,
        schema: i32,
        threshold: f64,
    ) -> impl Iterator<Item = Term> + '_ {
        let own_schema = self.schema;
        let (spans, counts) = self.raw_side(is_positive);
        let mut terms = terms(spans, counts, &[])
            .map(move |term| Term {
                index: bounds::coarser_index(term.index, own_schema, schema),
                ..term
            })
            .peekable();
        let merged = std::iter::from_fn(move || {
            let mut term = terms.next()?;
            while let Some(next) = terms.next_if(|next| next.index == term.index) {
                term.count += next.count;
            }
            Some(term)
        });
        let is_custom = self.has_custom_buckets();
        merged.skip_while(move |term| {
            !is_custom && threshold != 0.0 && bounds::exponential(term.index, schema) <= threshold
        })
    }
}

/// Whether a bucket of `before` has less in `now`, or is populated and missing there.
fn has_fallen(now: impl Iterator<Item = Term>, mut before: impl Iterator<Item = Term>) -> bool {
    let mut now = now.peekable();
    before.any(|before| {
        while now.next_if(|term| term.index < before.index).is_some() {}
        match now.peek() {
            Some(term) if term.index == before.index => term.count < before.count,
            _ => before.count != 0.0,
        }
    })
}
