//! A classic histogram, gathered bucket by bucket, as one histogram with custom buckets.
//! Compat: Prometheus `util/convertnhcb/convertnhcb.go`: rules and texts.

use std::sync::Arc;

use prom_model::{
    CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, HistogramValue, Span, format_float_g,
};

/// Most buckets of one classic histogram.
const BUCKETS_COUNT_MAX: usize = 10_000;
/// Empty buckets between others that are kept among integers, as the reference does.
const GAP_MAX: u32 = 2;
/// Counts from here on do not fit 64 bits with a sign.
const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;

/// Why it is no histogram.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClassicError {
    #[error("bucket boundary must not be NaN")]
    NoBound,
    #[error("bucket count must be non-negative: le={bound}, count={count}")]
    NegativeBucket { bound: String, count: String },
    #[error("count must be non-negative: count={0}")]
    NegativeCount(String),
    #[error("count is not cumulative: {0}")]
    NotCumulative(String),
    #[error("count mismatch: count={count} != le={bound} count={last}")]
    Mismatch { count: String, bound: String, last: String },
    #[error("more than {BUCKETS_COUNT_MAX} buckets")]
    TooManyBuckets,
}

/// What is known of a classic histogram so far.
#[derive(Debug, Default)]
pub struct ClassicHistogram {
    /// Bound and cumulative count, by bound.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
    error: Option<ClassicError>,
}

impl ClassicHistogram {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.buckets.clear();
        (self.count, self.sum, self.error) = (None, 0.0, None);
    }

    /// Adds a bucket; of two with one bound the first counts. What is wrong is told in the end.
    pub fn add_bucket(&mut self, bound: f64, count: f64) {
        if self.error.is_none() {
            self.error = self.try_add_bucket(bound, count).err();
        }
    }

    pub fn set_count(&mut self, count: f64) {
        if self.error.is_some() {
            return;
        }
        if count < 0.0 {
            self.error = Some(ClassicError::NegativeCount(format_float_g(count)));
            return;
        }
        self.count = Some(count);
    }

    pub fn set_sum(&mut self, sum: f64) {
        if self.error.is_none() {
            self.sum = sum;
        }
    }

    /// The same as one value: of integers if all counts are whole.
    ///
    /// # Errors
    /// The parts contradict each other.
    pub fn convert(&mut self) -> Result<HistogramValue, ClassicError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let count = self.count.or(self.buckets.last().map(|(_, count)| *count)).unwrap_or(0.0);
        if self.buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let last = self.buckets.last().map_or(0.0, |(_, count)| *count);
        if count != last {
            return Err(ClassicError::Mismatch {
                count: format_float_g(count),
                bound: format_float_g(f64::INFINITY),
                last: format_float_g(last),
            });
        }
        let is_whole = |count: f64| count == count.round() && count.abs() < TWO_TO_63;
        let mut counts = self.buckets.iter().map(|(_, count)| *count);
        if counts.all(is_whole) { Ok(self.integers(count)) } else { Ok(self.floats(count)) }
    }

    fn try_add_bucket(&mut self, bound: f64, count: f64) -> Result<(), ClassicError> {
        if bound.is_nan() {
            return Err(ClassicError::NoBound);
        }
        if count < 0.0 {
            let (bound, count) = (format_float_g(bound), format_float_g(count));
            return Err(ClassicError::NegativeBucket { bound, count });
        }
        if self.buckets.len() >= BUCKETS_COUNT_MAX {
            return Err(ClassicError::TooManyBuckets);
        }
        let at = self.buckets.partition_point(|(known, _)| *known < bound);
        if self.buckets.get(at).is_some_and(|(known, _)| *known == bound) {
            return Ok(());
        }
        let not_cumulative = |sign: char, other: f64| {
            let (count, other) = (format_float_g(count), format_float_g(other));
            Err(ClassicError::NotCumulative(format!("{count} {sign} {other}")))
        };
        match at.checked_sub(1).and_then(|before| self.buckets.get(before)) {
            Some((_, before)) if count < *before => return not_cumulative('<', *before),
            _ => {}
        }
        match self.buckets.get(at) {
            Some((_, after)) if count > *after => return not_cumulative('>', *after),
            _ => {}
        }
        self.buckets.insert(at, (bound, count));
        Ok(())
    }

    fn integers(&self, count: f64) -> HistogramValue {
        let (mut before, mut own_before) = (0_i64, 0_i64);
        let delta = |(_, cumulative): &(f64, f64)| {
            let own = *cumulative as i64 - before;
            let delta = own - own_before;
            (before, own_before) = (*cumulative as i64, own);
            delta
        };
        let mut histogram = Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count: count as u64,
            sum: self.sum,
            positive_spans: self.spans(),
            positive_buckets: self.buckets.iter().map(delta).collect(),
            custom_values: self.bounds(),
            ..Histogram::default()
        };
        histogram.compact_to_gaps(GAP_MAX);
        HistogramValue::Integer(Arc::new(histogram))
    }

    fn floats(&self, count: f64) -> HistogramValue {
        let mut before = 0.0;
        let own =
            |(_, cumulative): &(f64, f64)| cumulative - std::mem::replace(&mut before, *cumulative);
        let mut histogram = FloatHistogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            count,
            sum: self.sum,
            positive_spans: self.spans(),
            positive_buckets: self.buckets.iter().map(own).collect(),
            custom_values: self.bounds(),
            ..FloatHistogram::default()
        };
        histogram.compact();
        HistogramValue::Float(Arc::new(histogram))
    }

    fn spans(&self) -> Arc<[Span]> {
        Arc::new([Span { offset: 0, length: self.buckets.len() as u32 }])
    }

    /// All but the last, which is `+Inf`.
    fn bounds(&self) -> Arc<[f64]> {
        let finite = self.buckets.split_last().map_or(&[][..], |(_, others)| others);
        finite.iter().map(|(bound, _)| *bound).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Buckets as bound and count, then the count; the text form of promql tests, or the error.
    fn check(buckets: &[(f64, f64)], count: Option<f64>, expected: Result<&str, &str>) {
        let mut classic = ClassicHistogram::default();
        buckets.iter().for_each(|(bound, count)| classic.add_bucket(*bound, *count));
        classic.set_sum(7.0);
        count.iter().for_each(|count| classic.set_count(*count));
        let converted = classic.convert().map(|value| match value {
            HistogramValue::Integer(histogram) => {
                histogram.check().unwrap();
                format!("i {}", histogram.to_float().to_test_text())
            }
            HistogramValue::Float(histogram) => format!("f {}", histogram.to_test_text()),
        });
        assert_eq!(
            converted.map_err(|error| error.to_string()),
            expected.map(str::to_owned).map_err(str::to_owned),
            "{buckets:?}"
        );
    }

    #[test]
    fn buckets_become_one_histogram() {
        const INF: f64 = f64::INFINITY;
        check(
            &[(0.5, 1.0), (1.0, 3.0), (INF, 4.0)],
            Some(4.0),
            Ok("i {{schema:-53 count:4 sum:7 custom_values:[0.5 1] buckets:[1 2 1]}}"),
        );
        // Out of order, without the last one, twice the same, and without a count.
        check(
            &[(1.0, 3.0), (0.5, 1.0), (1.0, 9.0)],
            Some(4.0),
            Ok("i {{schema:-53 count:4 sum:7 custom_values:[0.5 1] buckets:[1 2 1]}}"),
        );
        check(
            &[(0.5, 1.5), (1.0, 3.0)],
            None,
            Ok("f {{schema:-53 count:3 sum:7 custom_values:[0.5 1] buckets:[1.5 1.5]}}"),
        );
        check(&[], Some(4.0), Ok("i {{schema:-53 count:4 sum:7 custom_values:[] buckets:[4]}}"));
        check(&[(1.0, 3.0), (2.0, 2.0)], None, Err("count is not cumulative: 2 < 3"));
        check(&[(2.0, 2.0), (1.0, 3.0)], None, Err("count is not cumulative: 3 > 2"));
        check(&[(f64::NAN, 1.0)], None, Err("bucket boundary must not be NaN"));
        check(&[(1.0, -1.0)], None, Err("bucket count must be non-negative: le=1, count=-1"));
        check(&[(1.0, 1.0)], Some(-1.0), Err("count must be non-negative: count=-1"));
        check(
            &[(1.0, 1.0), (INF, 2.0)],
            Some(3.0),
            Err("count mismatch: count=3 != le=+Inf count=2"),
        );
    }
}
