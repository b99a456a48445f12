//! Our own metrics: instruments, the registry that names them, and what gathering returns.
//! Printing them is the business of `exposition`.

mod family;
mod histogram;
mod process;
mod registry;
mod scalar;
mod summary;
mod vector;

pub use family::{HistogramValue, Metric, MetricFamily, MetricKind, MetricValue, SummaryValue};
pub use histogram::{Histogram, exponential_buckets, linear_buckets};
pub use process::register_process_metrics;
pub use registry::{Collector, Registry};
pub use scalar::{Counter, Gauge};
pub use summary::Summary;
pub use vector::{CounterVec, GaugeVec, HistogramVec, MetricVec, SummaryVec};

#[cfg(test)]
mod tests;
