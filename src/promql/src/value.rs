//! What a query answers with. How it is written to a client belongs to `web`.

use prom_model::{Labels, Sample};

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
    pub value: f64,
}

/// One series of a matrix: points in time order, at least one.
/// A second lane for histograms stands beside the points once a store has them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Series {
    pub labels: Labels,
    pub points: Vec<Sample>,
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
    pub fn new(labels: Labels, timestamp_ms: i64, value: f64) -> Self {
        Self { labels, timestamp_ms, value }
    }
}

impl Series {
    pub fn new(labels: Labels, points: Vec<Sample>) -> Self {
        Self { labels, points }
    }
}
