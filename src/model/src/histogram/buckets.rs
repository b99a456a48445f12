//! Buckets with their bounds, in order.
//! Compat: Prometheus `model/histogram/float_histogram.go`, the bucket iterators.

use std::fmt;

use super::{
    FloatHistogram, Span, bounds,
    side::{indices, indices_down},
};
use crate::format_float_g;

/// A bucket and what is known of its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HistogramBucket {
    pub lower: f64,
    pub upper: f64,
    pub is_lower_inclusive: bool,
    pub is_upper_inclusive: bool,
    pub count: f64,
}

/// Makes buckets of indices.
#[derive(Clone, Copy)]
struct Maker<'a> {
    schema: i32,
    custom_values: &'a [f64],
    is_positive: bool,
}

impl HistogramBucket {
    /// The share of the bucket's width that is at or below `value`, which lies within its finite bounds.
    /// Observations lie evenly, or evenly on a logarithmic scale.
    pub fn fraction_below(&self, value: f64, is_linear: bool) -> f64 {
        if is_linear {
            return (value - self.lower) / (self.upper - self.lower);
        }
        let lower = self.lower.abs().log2();
        let upper = self.upper.abs().log2();
        let value_log = value.abs().log2();
        if value > 0.0 {
            return (value_log - lower) / (upper - lower);
        }
        1.0 - (value_log - upper) / (lower - upper)
    }
}

/// `(lower,upper]:count`, brackets telling which bound belongs to it.
impl fmt::Display for HistogramBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = if self.is_lower_inclusive { '[' } else { '(' };
        let close = if self.is_upper_inclusive { ']' } else { ')' };
        let [lower, upper, count] = [self.lower, self.upper, self.count].map(format_float_g);
        write!(f, "{open}{lower},{upper}{close}:{count}")
    }
}

impl Maker<'_> {
    fn bucket(self, index: i64, count: f64) -> HistogramBucket {
        let far = bounds::upper_bound(index, self.schema, self.custom_values);
        let near = bounds::upper_bound(index - 1, self.schema, self.custom_values);
        let (lower, upper) = if self.is_positive { (near, far) } else { (-far, -near) };
        let (is_lower_inclusive, is_upper_inclusive) =
            if self.schema == super::CUSTOM_BUCKETS_SCHEMA {
                (index == 0, true)
            } else {
                (lower < 0.0, upper > 0.0)
            };
        HistogramBucket { lower, upper, is_lower_inclusive, is_upper_inclusive, count }
    }
}

impl FloatHistogram {
    /// Buckets above the zero bucket, lowest first.
    pub fn positive_iter(&self) -> impl Iterator<Item = HistogramBucket> + '_ {
        up(self.maker(true), &self.positive_spans, &self.positive_buckets)
    }

    /// Buckets below the zero bucket, highest first.
    pub fn negative_iter(&self) -> impl Iterator<Item = HistogramBucket> + '_ {
        up(self.maker(false), &self.negative_spans, &self.negative_buckets)
    }

    /// All buckets, lowest first. Those that the zero bucket overlaps end at its threshold.
    pub fn all_iter(&self) -> impl Iterator<Item = HistogramBucket> + '_ {
        let below = down(self.maker(false), &self.negative_spans, &self.negative_buckets);
        let above = self.positive_iter().map(|bucket| self.cut_at_zero(bucket));
        below.map(|bucket| self.cut_at_zero(bucket)).chain(self.zero_iter()).chain(above)
    }

    /// All buckets, highest first.
    pub fn all_iter_down(&self) -> impl Iterator<Item = HistogramBucket> + '_ {
        let above = down(self.maker(true), &self.positive_spans, &self.positive_buckets);
        let below = self.negative_iter().map(|bucket| self.cut_at_zero(bucket));
        above.map(|bucket| self.cut_at_zero(bucket)).chain(self.zero_iter()).chain(below)
    }

    /// The bucket around zero, whatever its count.
    pub(super) fn zero_bucket(&self) -> HistogramBucket {
        HistogramBucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            is_lower_inclusive: true,
            is_upper_inclusive: true,
            count: self.zero_count,
        }
    }

    fn zero_iter(&self) -> impl Iterator<Item = HistogramBucket> {
        (self.zero_count > 0.0).then(|| self.zero_bucket()).into_iter()
    }

    fn maker(&self, is_positive: bool) -> Maker<'_> {
        Maker { schema: self.schema, custom_values: &self.custom_values, is_positive }
    }

    fn cut_at_zero(&self, mut bucket: HistogramBucket) -> HistogramBucket {
        if bucket.upper < 0.0 && bucket.upper > -self.zero_threshold {
            bucket.upper = -self.zero_threshold;
        } else if bucket.lower > 0.0 && bucket.lower < self.zero_threshold {
            bucket.lower = self.zero_threshold;
        }
        bucket
    }
}

fn up<'a>(
    maker: Maker<'a>,
    spans: &'a [Span],
    counts: &'a [f64],
) -> impl Iterator<Item = HistogramBucket> + 'a {
    indices(spans).zip(counts).map(move |(index, count)| maker.bucket(index, *count))
}

fn down<'a>(
    maker: Maker<'a>,
    spans: &'a [Span],
    counts: &'a [f64],
) -> impl Iterator<Item = HistogramBucket> + 'a {
    indices_down(spans)
        .zip(counts.iter().rev())
        .map(move |(index, count)| maker.bucket(index, *count))
}
