//! The metrics of scraping, under Prometheus's names and helps.
//! Compat: Prometheus `scrape/metrics.go`.

use std::time::Duration;

use prom_model::format_go_duration;
use prom_telemetry::{
    Counter, CounterVec, GaugeVec, Histogram, HistogramVec, Registry, Summary, SummaryVec,
};

use crate::{batch::Tally, digest::Digested, pass::BodyRefused};

const QUANTILES: [f64; 5] = [0.01, 0.05, 0.5, 0.9, 0.99];
const LENGTH_BUCKETS_SECONDS: [f64; 4] = [0.01, 0.1, 1.0, 10.0];
/// Prometheus has only native buckets here; these are what a text format can show.
const DURATION_BUCKETS_SECONDS: [f64; 11] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What pools and loops count.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) pools: PoolMetrics,
    pub(crate) loops: LoopMetrics,
}

/// About jobs and their targets.
#[derive(Debug)]
pub(crate) struct PoolMetrics {
    pub(crate) created: Counter,
    reload_length: SummaryVec,
    pub(crate) reloads: Counter,
    pub(crate) exceeded_target_limit: Counter,
    pub(crate) target_limit: GaugeVec,
    targets: GaugeVec,
    syncs: CounterVec,
    sync_length: SummaryVec,
    sync_length_histogram: HistogramVec,
    pub(crate) sync_failed: CounterVec,
}

/// About scrapes.
#[derive(Debug)]
pub(crate) struct LoopMetrics {
    exceeded_body_size_limit: Counter,
    interval_length: SummaryVec,
    interval_length_histogram: HistogramVec,
    exceeded_sample_limit: Counter,
    exceeded_bucket_limit: Counter,
    exceeded_label_limits: Counter,
    pub(crate) scrape_duration: Histogram,
    duplicate: Counter,
    out_of_order: Counter,
    exemplar_out_of_order: Counter,
    out_of_bounds: Counter,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Self {
        register_unused(registry);
        Self { pools: PoolMetrics::new(registry), loops: LoopMetrics::new(registry) }
    }
}

impl PoolMetrics {
    fn new(registry: &Registry) -> Self {
        let counter = |name, help| registry.counter(name, help);
        Self {
            created: counter(
                "prometheus_target_scrape_pools_total",
                "Total number of scrape pool creation attempts.",
            ),
            reload_length: registry.summary_vec(
                "prometheus_target_reload_length_seconds",
                "Actual interval to reload the scrape pool with a given configuration.",
                &QUANTILES,
                &["interval"],
            ),
            reloads: counter(
                "prometheus_target_scrape_pool_reloads_total",
                "Total number of scrape pool reloads.",
            ),
            exceeded_target_limit: counter(
                "prometheus_target_scrape_pool_exceeded_target_limit_total",
                "Total number of times scrape pools hit the target limit, during sync or config reload.",
            ),
            target_limit: registry.gauge_vec(
                "prometheus_target_scrape_pool_target_limit",
                "Maximum number of targets allowed in this scrape pool.",
                &["scrape_job"],
            ),
            targets: registry.gauge_vec(
                "prometheus_target_scrape_pool_targets",
                "Current number of targets in this scrape pool.",
                &["scrape_job"],
            ),
            syncs: registry.counter_vec(
                "prometheus_target_scrape_pool_sync_total",
                "Total number of syncs that were executed on a scrape pool.",
                &["scrape_job"],
            ),
            sync_length: registry.summary_vec(
                "prometheus_target_sync_length_seconds",
                "Actual interval to sync the scrape pool.",
                &QUANTILES,
                &["scrape_job"],
            ),
            sync_length_histogram: registry.histogram_vec(
                "prometheus_target_sync_length_histogram_seconds",
                "Actual interval to sync the scrape pool.",
                &LENGTH_BUCKETS_SECONDS,
                &["scrape_job"],
            ),
            sync_failed: registry.counter_vec(
                "prometheus_target_sync_failed_total",
                "Total number of target sync failures.",
                &["scrape_job"],
            ),
        }
    }

    /// Notes how long it took until a changed job was in force.
    pub(crate) fn observe_reload(&self, interval: Duration, length: Duration) {
        self.reload_length.with(&[&go_text(interval)]).observe(length.as_secs_f64());
    }

    /// Notes that a pool was brought in line with its targets.
    pub(crate) fn observe_sync(&self, pool: &str, target_count: usize, length: Duration) {
        self.targets.with(&[pool]).set(target_count as f64);
        self.sync_length.with(&[pool]).observe(length.as_secs_f64());
        self.sync_length_histogram.with(&[pool]).observe(length.as_secs_f64());
        self.syncs.with(&[pool]).inc();
    }

    /// A pool is gone, and its metrics with it.
    pub(crate) fn forget(&self, pool: &str) {
        self.target_limit.remove(&[pool]);
        self.targets.remove(&[pool]);
        self.syncs.remove(&[pool]);
        self.sync_length.remove(&[pool]);
        self.sync_length_histogram.remove(&[pool]);
        self.sync_failed.remove(&[pool]);
    }
}

impl LoopMetrics {
    fn new(registry: &Registry) -> Self {
        let counter = |name, help| registry.counter(name, help);
        Self {
            exceeded_body_size_limit: counter(
                "prometheus_target_scrapes_exceeded_body_size_limit_total",
                "Total number of scrapes that hit the body size limit",
            ),
            interval_length: registry.summary_vec(
                "prometheus_target_interval_length_seconds",
                "Actual intervals between scrapes.",
                &QUANTILES,
                &["interval"],
            ),
            interval_length_histogram: registry.histogram_vec(
                "prometheus_target_interval_length_histogram_seconds",
                "Actual intervals between scrapes.",
                &LENGTH_BUCKETS_SECONDS,
                &["interval"],
            ),
            exceeded_sample_limit: counter(
                "prometheus_target_scrapes_exceeded_sample_limit_total",
                "Total number of scrapes that hit the sample limit and were rejected.",
            ),
            exceeded_bucket_limit: counter(
                "prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total",
                "Total number of scrapes that hit the native histogram bucket limit and were rejected.",
            ),
            exceeded_label_limits: counter(
                "prometheus_target_scrape_pool_exceeded_label_limits_total",
                "Total number of times scrape pools hit the label limits, during sync or config reload.",
            ),
            scrape_duration: registry.histogram(
                "prometheus_target_scrape_duration_seconds",
                "Total duration of the scrape from start to commit completion in seconds.",
                &DURATION_BUCKETS_SECONDS,
            ),
            duplicate: counter(
                "prometheus_target_scrapes_sample_duplicate_timestamp_total",
                "Total number of samples rejected due to duplicate timestamps but different values.",
            ),
            out_of_order: counter(
                "prometheus_target_scrapes_sample_out_of_order_total",
                "Total number of samples rejected due to not being out of the expected order.",
            ),
            exemplar_out_of_order: counter(
                "prometheus_target_scrapes_exemplar_out_of_order_total",
                "Total number of exemplar rejected due to not being out of the expected order.",
            ),
            out_of_bounds: counter(
                "prometheus_target_scrapes_sample_out_of_bounds_total",
                "Total number of samples rejected due to timestamp falling outside of the time bounds.",
            ),
        }
    }

    /// Counts what came of a scrape.
    pub(crate) fn count(&self, digested: &Digested) {
        let Tally { duplicate, out_of_order, out_of_bounds, out_of_order_exemplars } =
            digested.stored.tally;
        self.exemplar_out_of_order.inc_by(out_of_order_exemplars);
        self.duplicate.inc_by(duplicate);
        self.out_of_order.inc_by(out_of_order);
        self.out_of_bounds.inc_by(out_of_bounds);
        match &digested.stored.refused {
            Some(BodyRefused::SampleLimit) => self.exceeded_sample_limit.inc(),
            Some(BodyRefused::BucketLimit) => self.exceeded_bucket_limit.inc(),
            Some(BodyRefused::Labels(refused)) if refused.is_limit() => {
                self.exceeded_label_limits.inc();
            }
            _ => {}
        }
        if digested.stored.report.body_size_bytes < 0 {
            self.exceeded_body_size_limit.inc();
        }
    }

    /// Where the loops of targets with this interval tell how long theirs were.
    pub(crate) fn interval_length(&self, interval: Duration) -> IntervalLength {
        let interval = go_text(interval);
        IntervalLength {
            summary: self.interval_length.with(&[&interval]),
            histogram: self.interval_length_histogram.with(&[&interval]),
        }
    }
}

/// How long it is from one scrape of a target to the next.
#[derive(Clone, Debug)]
pub(crate) struct IntervalLength {
    summary: Summary,
    histogram: Histogram,
}

impl IntervalLength {
    pub(crate) fn observe(&self, length: Duration) {
        self.summary.observe(length.as_secs_f64());
        self.histogram.observe(length.as_secs_f64());
    }
}

fn go_text(duration: Duration) -> String {
    format_go_duration(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

/// What alerts and dashboards ask for, but cannot happen here: a pool that was prepared does not fail, and
/// no cache has to be flushed by force.
fn register_unused(registry: &Registry) {
    for (name, help) in [
        (
            "prometheus_target_scrape_pools_failed_total",
            "Total number of scrape pool creations that failed.",
        ),
        (
            "prometheus_target_scrape_pool_reloads_failed_total",
            "Total number of failed scrape pool reloads.",
        ),
        (
            "prometheus_target_scrapes_cache_flush_forced_total",
            "How many times a scrape cache was flushed due to getting big while scrapes are failing.",
        ),
    ] {
        registry.counter(name, help);
    }
}
