//! Sums, differences and multiples of histograms.
//! Compat: Prometheus `model/histogram/float_histogram.go`, `Add`, `KahanAdd`, `Sub`, `Mul` and `Div`:
//! every operation on a float happens in its order.

use std::sync::Arc;

use super::{
    CounterResetHint, FloatHistogram, Span, bounds, custom,
    side::{Side, Term, terms},
};
use crate::KahanSum;

/// Exponential buckets do not go together with custom ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot apply this operation on histograms with a mix of exponential and custom bucket schemas"
)]
pub struct IncompatibleSchemas;

/// What is worth telling of two histograms that were combined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Combined {
    /// One began anew and the other is known not to have.
    pub has_reset_collision: bool,
    /// Custom bounds differed, and only those that both had were kept.
    pub has_reconciled_bounds: bool,
}

/// A running sum of histograms and what rounding has taken from each of its numbers.
#[derive(Clone, Debug)]
pub struct HistogramSum {
    pub(super) sum: FloatHistogram,
    /// Of the same layout; none as long as there is but one summand.
    pub(super) compensation: Option<FloatHistogram>,
}

impl FloatHistogram {
    /// Adds `other`.
    ///
    /// # Errors
    /// One has custom buckets, the other has not; nothing was changed.
    pub fn add(&mut self, other: &Self) -> Result<Combined, IncompatibleSchemas> {
        self.combine(other, 1.0)
    }

    /// Subtracts `other`. The hint is set as for a sum.
    ///
    /// # Errors
    /// As for [`Self::add`].
    pub fn sub(&mut self, other: &Self) -> Result<Combined, IncompatibleSchemas> {
        self.combine(other, -1.0)
    }

    /// Multiplies every number but the bounds. What is below zero is no counter.
    pub fn mul(&mut self, factor: f64) {
        self.each_number(|number| *number *= factor);
        if factor < 0.0 {
            self.counter_reset_hint = CounterResetHint::Gauge;
        }
    }

    /// Divides every number but the bounds; buckets that would not be finite go.
    pub fn div(&mut self, divisor: f64) {
        self.each_number(|number| *number /= divisor);
        if divisor == 0.0 {
            self.positive_spans = Arc::default();
            self.negative_spans = Arc::default();
            self.positive_buckets.clear();
            self.negative_buckets.clear();
        } else if divisor < 0.0 {
            self.counter_reset_hint = CounterResetHint::Gauge;
        }
    }

    /// Leaves out empty buckets.
    pub fn compact(&mut self) {
        self.compact_to_gaps(0);
    }

    /// Leaves out empty buckets, except for gaps of up to `gap_max` buckets between others.
    pub fn compact_to_gaps(&mut self, gap_max: u32) {
        for is_positive in [true, false] {
            let mut side = self.take_side(is_positive, None);
            side.compact(gap_max);
            self.put_side(is_positive, side, None);
        }
    }

    /// The same observations with fewer, wider buckets; unchanged where `schema` is not coarser.
    pub fn reduce_to(&mut self, schema: i32) {
        if self.has_custom_buckets() || schema >= self.schema {
            return;
        }
        for is_positive in [true, false] {
            let side = self.take_side(is_positive, None).reduced(self.schema, schema);
            self.put_side(is_positive, side, None);
        }
        self.schema = schema;
    }

    /// Whether any number but the bounds is infinite.
    pub fn has_overflow(&self) -> bool {
        let totals = [self.zero_count, self.count, self.sum];
        let counts = self.positive_buckets.iter().chain(&self.negative_buckets);
        totals.iter().chain(counts).chain(&*self.custom_values).any(|number| number.is_infinite())
    }

    fn each_number(&mut self, f: impl Fn(&mut f64)) {
        [&mut self.zero_count, &mut self.count, &mut self.sum].into_iter().for_each(&f);
        self.positive_buckets.iter_mut().chain(&mut self.negative_buckets).for_each(&f);
    }

    fn combine(&mut self, other: &Self, sign: f64) -> Result<Combined, IncompatibleSchemas> {
        let mut combined = self.begin(other)?;
        if !self.has_custom_buckets() {
            let (zero_count, _) = self.reconcile_zero_buckets(other, None);
            self.zero_count += zero_count * sign;
        }
        self.count += other.count * sign;
        self.sum += other.sum * sign;
        combined.has_reconciled_bounds = self.combine_buckets(other, sign, None);
        Ok(combined)
    }

    fn begin(&mut self, other: &Self) -> Result<Combined, IncompatibleSchemas> {
        if self.has_custom_buckets() != other.has_custom_buckets() {
            return Err(IncompatibleSchemas);
        }
        let has_reset_collision = self.join_hint(other.counter_reset_hint);
        Ok(Combined { has_reset_collision, has_reconciled_bounds: false })
    }

    /// The hint of two histograms together; tells whether they contradict each other.
    fn join_hint(&mut self, other: CounterResetHint) -> bool {
        use CounterResetHint as Hint;
        match (self.counter_reset_hint, other) {
            (own, other) if own == other => false,
            (Hint::Gauge, _) | (Hint::Unknown, Hint::CounterReset | Hint::NotCounterReset) => false,
            (_, Hint::Gauge | Hint::Unknown) => {
                self.counter_reset_hint = other;
                false
            }
            _ => {
                self.counter_reset_hint = Hint::Unknown;
                true
            }
        }
    }

    /// Adds the buckets; tells whether custom bounds had to be reconciled.
    fn combine_buckets(
        &mut self,
        other: &Self,
        sign: f64,
        mut compensation: Option<&mut Self>,
    ) -> bool {
        if self.has_custom_buckets() && *self.custom_values != *other.custom_values {
            custom::combine_mismatched(self, other, sign, compensation);
            return true;
        }
        let has_compensation = compensation.is_some();
        if other.schema < self.schema {
            for is_positive in [true, false] {
                let side = self.take_side(is_positive, compensation.as_deref_mut());
                let side = side.reduced(self.schema, other.schema);
                self.put_side(is_positive, side, compensation.as_deref_mut());
            }
            self.schema = other.schema;
        }
        for is_positive in [true, false] {
            let (spans, counts) = other.raw_side(is_positive);
            if counts.is_empty() {
                continue;
            }
            let mut side = self.take_side(is_positive, compensation.as_deref_mut());
            if other.schema > self.schema {
                let zeros = if has_compensation { vec![0.0; counts.len()] } else { Vec::new() };
                let reduced =
                    Side::new(spans, counts.to_vec(), zeros).reduced(other.schema, self.schema);
                side.merge(self.outside_zero(reduced.terms(), sign), has_compensation);
            } else if side.spans == *spans
                && side.counts.len() == counts.len()
                && !self.covers(spans)
            {
                side.add_same(counts, sign, has_compensation);
            } else {
                let terms = terms(spans, counts, &[]);
                side.merge(self.outside_zero(terms, sign), has_compensation);
            }
            self.put_side(is_positive, side, compensation.as_deref_mut());
        }
        false
    }

    /// Buckets times `sign`, those left out that end within the zero bucket.
    fn outside_zero(
        &self,
        terms: impl Iterator<Item = Term>,
        sign: f64,
    ) -> impl Iterator<Item = Term> {
        let (schema, threshold) = (self.schema, self.zero_threshold);
        let is_custom = self.has_custom_buckets();
        terms
            .skip_while(move |term| {
                !is_custom && bounds::exponential(term.index, schema) <= threshold
            })
            .map(move |term| Term {
                count: term.count * sign,
                compensation: term.compensation * sign,
                ..term
            })
    }

    /// Whether the zero bucket holds the first of these buckets.
    fn covers(&self, spans: &[Span]) -> bool {
        let first = spans.first().map_or(0, |span| i64::from(span.offset));
        !self.has_custom_buckets() && bounds::exponential(first, self.schema) <= self.zero_threshold
    }

    pub(super) fn raw_side(&self, is_positive: bool) -> (&Arc<[Span]>, &[f64]) {
        if is_positive {
            (&self.positive_spans, &self.positive_buckets)
        } else {
            (&self.negative_spans, &self.negative_buckets)
        }
    }

    fn side_mut(&mut self, is_positive: bool) -> (&mut Arc<[Span]>, &mut Vec<f64>) {
        if is_positive {
            (&mut self.positive_spans, &mut self.positive_buckets)
        } else {
            (&mut self.negative_spans, &mut self.negative_buckets)
        }
    }

    /// Takes the buckets of one sign out; give them back with [`Self::put_side`].
    pub(super) fn take_side(&mut self, is_positive: bool, compensation: Option<&mut Self>) -> Side {
        let (spans, counts) = self.side_mut(is_positive);
        let compensations =
            compensation.map(|histogram| std::mem::take(histogram.side_mut(is_positive).1));
        Side::new(spans, std::mem::take(counts), compensations.unwrap_or_default())
    }

    pub(super) fn put_side(
        &mut self,
        is_positive: bool,
        side: Side,
        compensation: Option<&mut Self>,
    ) {
        if let Some(histogram) = compensation {
            let (spans, counts) = histogram.side_mut(is_positive);
            (*spans, *counts) = (Arc::clone(&side.spans), side.compensations);
        }
        let (spans, counts) = self.side_mut(is_positive);
        (*spans, *counts) = (side.spans, side.counts);
    }
}

impl HistogramSum {
    pub fn new(first: FloatHistogram) -> Self {
        Self { sum: first, compensation: None }
    }

    /// Adds `other`.
    ///
    /// # Errors
    /// As for [`FloatHistogram::add`].
    pub fn add(&mut self, other: &FloatHistogram) -> Result<Combined, IncompatibleSchemas> {
        let sum = &mut self.sum;
        let mut combined = sum.begin(other)?;
        let compensation = self.compensation.get_or_insert_with(|| sum.zeroed());
        if !sum.has_custom_buckets() {
            let (count, lost) = sum.reconcile_zero_buckets(other, Some(compensation));
            add_to(&mut sum.zero_count, &mut compensation.zero_count, count);
            add_to(&mut sum.zero_count, &mut compensation.zero_count, lost);
        }
        add_to(&mut sum.count, &mut compensation.count, other.count);
        add_to(&mut sum.sum, &mut compensation.sum, other.sum);
        combined.has_reconciled_bounds = sum.combine_buckets(other, 1.0, Some(compensation));
        compensation.schema = sum.schema;
        compensation.zero_threshold = sum.zero_threshold;
        compensation.custom_values = Arc::clone(&sum.custom_values);
        Ok(combined)
    }

    pub fn mul(&mut self, factor: f64) {
        self.sum.mul(factor);
        self.compensation.iter_mut().for_each(|compensation| compensation.mul(factor));
    }

    pub fn div(&mut self, divisor: f64) {
        self.sum.div(divisor);
        self.compensation.iter_mut().for_each(|compensation| compensation.div(divisor));
    }

    /// Whether any number is infinite.
    pub fn has_overflow(&self) -> bool {
        self.sum.has_overflow()
    }

    /// The sum with its compensation.
    pub fn total(mut self) -> FloatHistogram {
        if let Some(compensation) = self.compensation {
            // Both are of one schema, so they go together.
            let _combined = self.sum.add(&compensation);
        }
        self.sum
    }
}

impl FloatHistogram {
    /// The same layout without an observation.
    fn zeroed(&self) -> Self {
        let mut zeroed = self.clone();
        zeroed.each_number(|number| *number = 0.0);
        zeroed
    }
}

fn add_to(sum: &mut f64, compensation: &mut f64, value: f64) {
    let mut both = KahanSum { sum: *sum, compensation: *compensation };
    both.add(value);
    (*sum, *compensation) = (both.sum, both.compensation);
}
