//! Native histograms as they are exposed, stored and computed with: plain data.
//! How they are laid out in chunks, on the log and on the wire is the matter of those who write them.

mod arithmetic;
mod bounds;
mod buckets;
mod check;
mod custom;
mod equality;
mod integer;
mod reset;
mod resolution;
mod side;
#[cfg(test)]
mod tests;
mod text;
mod trim;
mod zero;

pub use arithmetic::{Combined, HistogramSum, IncompatibleSchemas};
pub use buckets::HistogramBucket;
pub use check::HistogramError;
pub use trim::TrimPart;

use std::sync::Arc;

use crate::is_stale;

/// The schema whose buckets have the bounds of `custom_values`.
/// Compat: Prometheus `model/histogram/generic.go`, `CustomBucketsSchema`.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;

/// A run of consecutive buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Buckets between the end of the span before and this one; for the first span the index of its
    /// first bucket.
    pub offset: i32,
    /// How many buckets.
    pub length: u32,
}

/// What is known of a reset between a histogram and the one before it.
/// The numbers are those of the chunk header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CounterResetHint {
    #[default]
    Unknown = 0,
    CounterReset = 1,
    NotCounterReset = 2,
    /// Not a counter: resets have no meaning.
    Gauge = 3,
}

/// A histogram of integer counts, as exposed by instrumented programs.
///
/// Equality is of the fields as floats compare, so a stale histogram equals nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    pub counter_reset_hint: CounterResetHint,
    /// Resolution: bounds are powers of `2^(2^-schema)`; -4 to 8, or [`CUSTOM_BUCKETS_SCHEMA`].
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: u64,
    pub count: u64,
    /// The staleness marker where the histogram is one.
    pub sum: f64,
    pub positive_spans: Arc<[Span]>,
    pub negative_spans: Arc<[Span]>,
    /// Each bucket's count as the difference to the bucket before it.
    pub positive_buckets: Vec<i64>,
    pub negative_buckets: Vec<i64>,
    /// Upper bounds of custom buckets, the last `+Inf` left out.
    pub custom_values: Arc<[f64]>,
}

/// A histogram of float counts, as calculations give them.
///
/// Equality is of the fields as floats compare, so a stale histogram equals nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FloatHistogram {
    pub counter_reset_hint: CounterResetHint,
    /// As in [`Histogram`].
    pub schema: i32,
    pub zero_threshold: f64,
    pub zero_count: f64,
    pub count: f64,
    /// The staleness marker where the histogram is one.
    pub sum: f64,
    pub positive_spans: Arc<[Span]>,
    pub negative_spans: Arc<[Span]>,
    /// Each bucket's count.
    pub positive_buckets: Vec<f64>,
    pub negative_buckets: Vec<f64>,
    /// As in [`Histogram`].
    pub custom_values: Arc<[f64]>,
}

/// A stored histogram, in the form in which it came.
#[derive(Clone, Debug, PartialEq)]
pub enum HistogramValue {
    Integer(Arc<Histogram>),
    Float(Arc<FloatHistogram>),
}

impl Histogram {
    /// The histogram that marks the end of a series.
    pub fn stale() -> Self {
        Self { sum: crate::stale_nan(), ..Self::default() }
    }

    pub fn is_stale(&self) -> bool {
        is_stale(self.sum)
    }

    pub fn has_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// The same histogram with absolute float counts.
    pub fn to_float(&self) -> FloatHistogram {
        FloatHistogram {
            counter_reset_hint: self.counter_reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count as f64,
            count: self.count as f64,
            sum: self.sum,
            positive_spans: Arc::clone(&self.positive_spans),
            negative_spans: Arc::clone(&self.negative_spans),
            positive_buckets: absolute(&self.positive_buckets),
            negative_buckets: absolute(&self.negative_buckets),
            custom_values: Arc::clone(&self.custom_values),
        }
    }
}

impl FloatHistogram {
    /// The histogram that marks the end of a series.
    pub fn stale() -> Self {
        Self { sum: crate::stale_nan(), ..Self::default() }
    }

    pub fn is_stale(&self) -> bool {
        is_stale(self.sum)
    }

    pub fn has_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }
}

impl HistogramValue {
    pub fn is_stale(&self) -> bool {
        match self {
            Self::Integer(histogram) => histogram.is_stale(),
            Self::Float(histogram) => histogram.is_stale(),
        }
    }

    /// With float counts; shared where it has them already.
    pub fn to_float(&self) -> Arc<FloatHistogram> {
        match self {
            Self::Integer(histogram) => Arc::new(histogram.to_float()),
            Self::Float(histogram) => Arc::clone(histogram),
        }
    }
}

/// Counts from differences; sums that leave the range wrap, as in the reference.
fn absolute(deltas: &[i64]) -> Vec<f64> {
    let mut count = 0_i64;
    let add = |delta: &i64| {
        count = count.wrapping_add(*delta);
        count as f64
    };
    deltas.iter().map(add).collect()
}
