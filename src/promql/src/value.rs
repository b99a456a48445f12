//! What a query answers with. How it is written to a client belongs to `web`.

use std::sync::Arc;

use prom_model::{FloatHistogram, Labels, Sample};

use crate::syntax::ValueType;

/// The value of a query.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    Scalar(Sample),
    String(StringSample),
    /// In the order in which the engine found them; `sort` and `topk` order them.
    Vector(Vec<VectorSample>),
    /// Sorted by labels.
    Matrix(Vec<Series>),
}

/// A string and the time it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StringSample {
    pub timestamp_ms: i64,
    pub value: String,
}

/// One element of an instant vector.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct VectorSample {
    pub labels: Labels,
    pub timestamp_ms: i64,
    /// Says nothing where there is a histogram.
    pub value: f64,
    pub histogram: Option<Arc<FloatHistogram>>,
}

/// One series of a matrix: floats and histograms, each in time order, at least one of all.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Series {
    pub labels: Labels,
    pub points: Vec<Sample>,
    pub histograms: Vec<HistogramSample>,
}

/// A histogram and its time.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramSample {
    pub timestamp_ms: i64,
    pub histogram: Arc<FloatHistogram>,
}

impl Value {
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Scalar(_) => ValueType::Scalar,
            Self::String(_) => ValueType::String,
            Self::Vector(_) => ValueType::Vector,
            Self::Matrix(_) => ValueType::Matrix,
        }
    }
}

impl VectorSample {
    pub fn of_histogram(labels: Labels, timestamp_ms: i64, histogram: Arc<FloatHistogram>) -> Self {
        Self { labels, timestamp_ms, value: 0.0, histogram: Some(histogram) }
    }

    pub fn new(labels: Labels, timestamp_ms: i64, value: f64) -> Self {
        Self { labels, timestamp_ms, value, histogram: None }
    }
}

impl Series {
    pub fn new(labels: Labels, points: Vec<Sample>) -> Self {
        Self { labels, points, histograms: Vec::new() }
    }

    pub fn with_histograms(self, histograms: Vec<HistogramSample>) -> Self {
        Self { histograms, ..self }
    }
}
