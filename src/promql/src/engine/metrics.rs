//! `prometheus_engine_*`: names, helps, quantiles and buckets as in the reference.

use prom_telemetry::{Counter, Gauge, Histogram, Registry, Summary};

use crate::stats::{QuerySamples, QueryTimings};

const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];
const BUCKETS: [f64; 4] = [0.01, 0.1, 1.0, 10.0];

/// What the engine tells about all its queries.
#[derive(Debug)]
pub(super) struct EngineMetrics {
    pub(super) queries: Gauge,
    pub(super) log_enabled: Gauge,
    pub(super) log_failures: Counter,
    samples: Counter,
    samples_read: Counter,
    queue_time: Slice,
    prepare_time: Slice,
    inner_eval: Slice,
    result_sort: Slice,
}

/// One part of a query's time, as a summary and as a histogram.
#[derive(Debug)]
struct Slice {
    summary: Summary,
    histogram: Histogram,
}

impl EngineMetrics {
    pub(super) fn new(registry: &Registry, concurrency_max: usize) -> Self {
        let concurrent_max = registry.gauge(
            "prometheus_engine_queries_concurrent_max",
            "The max number of concurrent queries.",
        );
        concurrent_max.set(if concurrency_max == 0 { -1.0 } else { concurrency_max as f64 });
        let summaries = registry.summary_vec(
            "prometheus_engine_query_duration_seconds",
            "Query timings",
            &QUANTILES,
            &["slice"],
        );
        let histograms = registry.histogram_vec(
            "prometheus_engine_query_duration_histogram_seconds",
            "The duration of various parts of PromQL query execution.",
            &BUCKETS,
            &["slice"],
        );
        let slice = |name: &str| Slice {
            summary: summaries.with(&[name]),
            histogram: histograms.with(&[name]),
        };
        Self {
            queries: registry.gauge(
                "prometheus_engine_queries",
                "The current number of queries being executed or waiting.",
            ),
            log_enabled: registry
                .gauge("prometheus_engine_query_log_enabled", "State of the query log."),
            log_failures: registry.counter(
                "prometheus_engine_query_log_failures_total",
                "The number of query log failures.",
            ),
            samples: registry.counter(
                "prometheus_engine_query_samples_total",
                "The total number of samples loaded by all queries (full window per step for range-vector).",
            ),
            samples_read: registry.counter(
                "prometheus_engine_query_samples_read_total",
                "The total number of samples read by all queries (only new points per step for range-vector).",
            ),
            queue_time: slice("queue_time"),
            prepare_time: slice("prepare_time"),
            inner_eval: slice("inner_eval"),
            result_sort: slice("result_sort"),
        }
    }

    /// Adds one finished query.
    pub(super) fn observe(&self, timings: &QueryTimings, samples: &QuerySamples) {
        self.queue_time.observe(timings.exec_queue.as_secs_f64());
        self.prepare_time.observe(timings.query_preparation.as_secs_f64());
        self.inner_eval.observe(timings.inner_eval.as_secs_f64());
        self.result_sort.observe(timings.result_sort.as_secs_f64());
        self.samples.add(samples.total_queryable as f64);
        self.samples_read.add(samples.read as f64);
    }
}

impl Slice {
    fn observe(&self, seconds: f64) {
        self.summary.observe(seconds);
        self.histogram.observe(seconds);
    }
}
