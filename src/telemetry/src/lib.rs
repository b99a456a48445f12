//! What the server tells about itself: metrics, log lines, and the one clock everybody asks.
//! It knows no room, prints no exposition format (that is `exposition`) and serves nothing.
//!
//! Neighbours: every room registers its metrics here and logs through `tracing`; `exposition` prints
//! what [`Registry::gather`] returns; the binaries call [`log::init`] once.
//!
//! Invariants:
//! I1. A family's name, kind and label names never change once registered; asking again with the same
//!     ones returns the same instrument, asking with others is our own mistake and panics.
//! I2. No caller of a metric or of a log macro ever waits for I/O. Log lines that do not fit the queue
//!     are dropped and counted, never waited for.
//! I3. Families are gathered in order of their names, metrics in order of their label values.
//!
//! Concurrency: all types are `Send + Sync` and cheap to clone. Counters, gauges and histograms are plain
//! atomics; summaries take a short lock. Callbacks run on the thread that gathers.
//!
//! Limits: see `CHILDREN_COUNT_MAX` (metrics in one vector), `CELLS_COUNT_MAX` (cells in one slice of a summary),
//! `log::QUEUE_LINES_MAX` and `log::LINE_SIZE_BYTES_MAX`.

pub mod clock;
pub mod log;

mod metrics;

pub use metrics::{
    Collector, Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramValue, HistogramVec,
    Metric, MetricFamily, MetricKind, MetricValue, MetricVec, Registry, Summary, SummaryValue,
    SummaryVec, exponential_buckets, linear_buckets, register_process_metrics,
};
