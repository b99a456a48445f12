//! Whether a histogram is sound: spans and buckets agree, counts are counts, bounds are bounds.
//! Compat: Prometheus `model/histogram/generic.go` and `Validate` of both kinds: texts are compared.

use super::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, Span, resolution::SCHEMA_KEPT_MAX};
use crate::format_float_g;

/// The coarsest and the finest resolution.
const SCHEMAS: std::ops::RangeInclusive<i32> = -4..=SCHEMA_KEPT_MAX;

/// What is wrong with a histogram.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HistogramError(String);

/// What every kind has; counts are absolute.
struct Parts<'a> {
    schema: i32,
    has_zero_threshold: bool,
    has_zero_count: bool,
    custom_values: &'a [f64],
    positive: (&'a [Span], usize),
    negative: (&'a [Span], usize),
}

impl FloatHistogram {
    /// # Errors
    /// The histogram is not sound. That the counts add up is not asked: floats are rounded.
    pub fn check(&self) -> Result<(), HistogramError> {
        let parts = Parts {
            schema: self.schema,
            has_zero_threshold: self.zero_threshold != 0.0,
            has_zero_count: self.zero_count != 0.0,
            custom_values: &self.custom_values,
            positive: (&self.positive_spans, self.positive_buckets.len()),
            negative: (&self.negative_spans, self.negative_buckets.len()),
        };
        parts.check()?;
        if !self.has_custom_buckets() {
            check_counts("negative", self.negative_buckets.iter().map(|count| float(*count)))?;
            if self.zero_count < 0.0 {
                let count = format_float_g(self.zero_count);
                return fail(format!(
                    "zero bucket has observation count of {count}: {NEGATIVE_BUCKET}"
                ));
            }
        }
        if self.count < 0.0 {
            let count = format_float_g(self.count);
            return fail(format!(
                "observation count is  {count}: histogram's observation count is negative"
            ));
        }
        check_counts("positive", self.positive_buckets.iter().map(|count| float(*count)))
    }
}

impl Histogram {
    /// # Errors
    /// The histogram is not sound.
    pub fn check(&self) -> Result<(), HistogramError> {
        let parts = Parts {
            schema: self.schema,
            has_zero_threshold: self.zero_threshold != 0.0,
            has_zero_count: self.zero_count != 0,
            custom_values: &self.custom_values,
            positive: (&self.positive_spans, self.positive_buckets.len()),
            negative: (&self.negative_spans, self.negative_buckets.len()),
        };
        parts.check()?;
        check_counts("negative", absolute(&self.negative_buckets))?;
        check_counts("positive", absolute(&self.positive_buckets))?;
        let sum = |deltas: &[i64]| -> u128 { absolute(deltas).map(|(_, count)| count).sum() };
        let buckets =
            sum(&self.negative_buckets) + sum(&self.positive_buckets) + u128::from(self.zero_count);
        let count = u128::from(self.count);
        // Observations that are no numbers are in no bucket.
        if self.sum.is_nan() && buckets > count {
            return fail(format!(
                "{buckets} observations found in buckets, but the Count field is {count}: histogram's observation count should be at least the number of observations found in the buckets"
            ));
        }
        if !self.sum.is_nan() && buckets != count {
            return fail(format!(
                "{buckets} observations found in buckets, but the Count field is {count}: histogram's observation count should equal the number of observations found in the buckets (in absence of NaN)"
            ));
        }
        Ok(())
    }
}

const NEGATIVE_BUCKET: &str = "histogram has a bucket whose observation count is negative";

impl Parts<'_> {
    fn check(&self) -> Result<(), HistogramError> {
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            return self.check_custom();
        }
        if !SCHEMAS.contains(&self.schema) {
            return fail(format!(
                "histogram has an invalid schema, which must be between {} and {} for exponential buckets, or {CUSTOM_BUCKETS_SCHEMA} for custom buckets, got schema {}",
                SCHEMAS.start(),
                SCHEMAS.end(),
                self.schema
            ));
        }
        check_spans(self.positive.0, self.positive.1, 1).map_err(|err| err.of("positive side"))?;
        check_spans(self.negative.0, self.negative.1, 1).map_err(|err| err.of("negative side"))?;
        if self.custom_values.is_empty() {
            return Ok(());
        }
        fail("histogram with exponential schema must not have custom bounds".to_owned())
    }

    fn check_custom(&self) -> Result<(), HistogramError> {
        check_bounds(self.custom_values).map_err(|err| err.of("custom buckets"))?;
        check_spans(self.positive.0, self.positive.1, 0).map_err(|err| err.of("custom buckets"))?;
        let covered: i64 = self
            .positive
            .0
            .iter()
            .map(|span| i64::from(span.length) + i64::from(span.offset))
            .sum();
        let bounds = self.custom_values.len();
        if (bounds as i64) + 1 < covered {
            return fail(format!(
                "custom buckets: only {bounds} custom bounds defined which is insufficient to cover total span length of {covered}: histogram custom bounds are too few"
            ));
        }
        let wrong = if self.has_zero_count {
            "must have zero count of 0"
        } else if self.has_zero_threshold {
            "must have zero threshold of 0"
        } else if !self.negative.0.is_empty() {
            "must not have negative spans"
        } else if self.negative.1 > 0 {
            "must not have negative buckets"
        } else {
            return Ok(());
        };
        fail(format!("custom buckets: {wrong}"))
    }
}

impl HistogramError {
    fn of(self, part: &str) -> Self {
        Self(format!("{part}: {}", self.0))
    }
}

fn fail(text: String) -> Result<(), HistogramError> {
    Err(HistogramError(text))
}

/// Offsets from the span numbered `first_checked` on are not negative, and the lengths add up.
fn check_spans(spans: &[Span], count: usize, first_checked: usize) -> Result<(), HistogramError> {
    for (index, span) in spans.iter().enumerate().skip(first_checked) {
        if span.offset < 0 {
            return fail(format!(
                "span number {} with offset {}: histogram has a span whose offset is negative",
                index + 1,
                span.offset
            ));
        }
    }
    let needed: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
    if needed != count as u64 {
        return fail(format!(
            "spans need {needed} buckets, have {count} buckets: histogram spans specify different number of buckets than provided"
        ));
    }
    Ok(())
}

fn check_bounds(bounds: &[f64]) -> Result<(), HistogramError> {
    if bounds.iter().any(|bound| bound.is_nan()) {
        return fail("histogram custom bounds must not be NaN".to_owned());
    }
    for pair in bounds.windows(2) {
        if pair[1] <= pair[0] {
            return fail(format!(
                "previous bound is {:.6} and current is {:.6}: histogram custom bounds must be in strictly increasing order",
                pair[0], pair[1]
            ));
        }
    }
    if bounds.last() == Some(&f64::INFINITY) {
        return fail(
            "last +Inf bound must not be explicitly defined: histogram custom bounds must be finite"
                .to_owned(),
        );
    }
    Ok(())
}

/// Counts with their text where they are negative.
fn check_counts(
    side: &str,
    counts: impl Iterator<Item = (Option<String>, u128)>,
) -> Result<(), HistogramError> {
    for (index, (negative, _)) in counts.enumerate() {
        if let Some(count) = negative {
            return fail(format!(
                "{side} side: bucket number {} has observation count of {count}: {NEGATIVE_BUCKET}",
                index + 1
            ));
        }
    }
    Ok(())
}

fn float(count: f64) -> (Option<String>, u128) {
    ((count < 0.0).then(|| format_float_g(count)), 0)
}

fn absolute(deltas: &[i64]) -> impl Iterator<Item = (Option<String>, u128)> + '_ {
    let counts = deltas.iter().scan(0_i64, |count, delta| {
        *count = count.wrapping_add(*delta);
        Some(*count)
    });
    counts.map(|count| ((count < 0).then(|| count.to_string()), count.max(0) as u128))
}
