//! The two kinds of histograms as one: what the codec needs to know of integer and of float counts.

use std::sync::Arc;

use prom_model::{CounterResetHint, FloatHistogram, Histogram, HistogramValue, Span};

use super::{
    super::Encoding,
    field::{Count, Field, Real, Whole},
    layout::Layout,
};

/// A kind of counts.
pub(crate) trait Kind: std::fmt::Debug {
    const ENCODING: Encoding;
    type Count: Field<Value = Self::CountValue>;
    type CountValue: Copy + Default + PartialOrd + std::fmt::Debug;
    type Bucket: Field<Value = Self::BucketValue>;
    type BucketValue: Copy + Default + PartialEq + std::fmt::Debug;
    /// The count in a bucket, by which buckets are compared.
    type Absolute: Copy + Default + PartialOrd;
    type Histogram;

    fn view(histogram: &Self::Histogram) -> View<'_, Self>;

    fn build(layout: &Layout, sample: Sample<Self>) -> HistogramValue;

    /// The count of a bucket behind one with `before`.
    fn add(before: Self::Absolute, bucket: Self::BucketValue) -> Self::Absolute;

    /// The counts in buckets.
    fn absolute(buckets: &[Self::BucketValue]) -> Vec<Self::Absolute>;

    /// [`Self::absolute`] undone.
    fn relative(counts: &[Self::Absolute]) -> Vec<Self::BucketValue>;
}

/// Integer counts; buckets are told as differences.
#[derive(Debug)]
pub(crate) struct Integers;

/// Float counts.
#[derive(Debug)]
pub(crate) struct Floats;

/// A histogram's fields, borrowed.
#[derive(Debug)]
pub(crate) struct View<'a, K: Kind + ?Sized> {
    pub(super) hint: CounterResetHint,
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) count: K::CountValue,
    pub(super) zero_count: K::CountValue,
    pub(super) sum: f64,
    pub(super) positive_spans: &'a Arc<[Span]>,
    pub(super) negative_spans: &'a Arc<[Span]>,
    pub(super) positive_buckets: &'a [K::BucketValue],
    pub(super) negative_buckets: &'a [K::BucketValue],
    pub(super) custom_values: &'a Arc<[f64]>,
}

/// What a sample has besides the layout.
#[derive(Debug)]
pub(crate) struct Sample<K: Kind + ?Sized> {
    pub(super) hint: CounterResetHint,
    pub(super) count: K::CountValue,
    pub(super) zero_count: K::CountValue,
    pub(super) sum: f64,
    pub(super) positive_buckets: Vec<K::BucketValue>,
    pub(super) negative_buckets: Vec<K::BucketValue>,
}

impl Kind for Integers {
    const ENCODING: Encoding = Encoding::Histogram;
    type Count = Count;
    type CountValue = u64;
    type Bucket = Whole;
    type BucketValue = i64;
    type Absolute = i64;
    type Histogram = Histogram;

    fn view(histogram: &Histogram) -> View<'_, Self> {
        View {
            hint: histogram.counter_reset_hint,
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            count: histogram.count,
            zero_count: histogram.zero_count,
            sum: histogram.sum,
            positive_spans: &histogram.positive_spans,
            negative_spans: &histogram.negative_spans,
            positive_buckets: &histogram.positive_buckets,
            negative_buckets: &histogram.negative_buckets,
            custom_values: &histogram.custom_values,
        }
    }

    fn build(layout: &Layout, sample: Sample<Self>) -> HistogramValue {
        HistogramValue::Integer(Arc::new(Histogram {
            counter_reset_hint: sample.hint,
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            zero_count: sample.zero_count,
            count: sample.count,
            sum: sample.sum,
            positive_spans: Arc::clone(&layout.positive_spans),
            negative_spans: Arc::clone(&layout.negative_spans),
            positive_buckets: sample.positive_buckets,
            negative_buckets: sample.negative_buckets,
            custom_values: Arc::clone(&layout.custom_values),
        }))
    }

    fn add(before: i64, bucket: i64) -> i64 {
        before.wrapping_add(bucket)
    }

    fn absolute(buckets: &[i64]) -> Vec<i64> {
        let add = |count: &mut i64, delta: &i64| {
            *count = count.wrapping_add(*delta);
            Some(*count)
        };
        buckets.iter().scan(0, add).collect()
    }

    fn relative(counts: &[i64]) -> Vec<i64> {
        let mut before = 0_i64;
        counts
            .iter()
            .map(|count| count.wrapping_sub(std::mem::replace(&mut before, *count)))
            .collect()
    }
}

impl Kind for Floats {
    const ENCODING: Encoding = Encoding::FloatHistogram;
    type Count = Real;
    type CountValue = f64;
    type Bucket = Real;
    type BucketValue = f64;
    type Absolute = f64;
    type Histogram = FloatHistogram;

    fn view(histogram: &FloatHistogram) -> View<'_, Self> {
        View {
            hint: histogram.counter_reset_hint,
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            count: histogram.count,
            zero_count: histogram.zero_count,
            sum: histogram.sum,
            positive_spans: &histogram.positive_spans,
            negative_spans: &histogram.negative_spans,
            positive_buckets: &histogram.positive_buckets,
            negative_buckets: &histogram.negative_buckets,
            custom_values: &histogram.custom_values,
        }
    }

    fn build(layout: &Layout, sample: Sample<Self>) -> HistogramValue {
        HistogramValue::Float(Arc::new(FloatHistogram {
            counter_reset_hint: sample.hint,
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            zero_count: sample.zero_count,
            count: sample.count,
            sum: sample.sum,
            positive_spans: Arc::clone(&layout.positive_spans),
            negative_spans: Arc::clone(&layout.negative_spans),
            positive_buckets: sample.positive_buckets,
            negative_buckets: sample.negative_buckets,
            custom_values: Arc::clone(&layout.custom_values),
        }))
    }

    fn add(_before: f64, bucket: f64) -> f64 {
        bucket
    }

    fn absolute(buckets: &[f64]) -> Vec<f64> {
        buckets.to_vec()
    }

    fn relative(counts: &[f64]) -> Vec<f64> {
        counts.to_vec()
    }
}
