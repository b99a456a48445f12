//! Metrics of out-of-order samples, named as Prometheus's.

use prom_storage::{Rejected, Rejection};
use prom_telemetry::{Counter, Histogram, Registry};

/// Seconds by which samples are late.
const DELTA_BUCKETS: [f64; 7] = [600.0, 1_800.0, 3_600.0, 7_200.0, 10_800.0, 21_600.0, 43_200.0];

/// Instruments that the head moves.
#[derive(Clone, Debug)]
pub(in crate::head) struct OooMetrics {
    pub(in crate::head) floats_appended: Counter,
    pub(in crate::head) histograms_appended: Counter,
    too_old_floats: Counter,
    too_old_histograms: Counter,
    delta: Histogram,
}

impl OooMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let of_types = |name: &str, help: &str| {
            let counters = registry.counter_vec(name, help, &["type"]);
            (counters.with(&["float"]), counters.with(&["histogram"]))
        };
        let (floats_appended, histograms_appended) = of_types(
            "prometheus_tsdb_head_out_of_order_samples_appended_total",
            "Total number of appended out of order samples.",
        );
        let (too_old_floats, too_old_histograms) = of_types(
            "prometheus_tsdb_too_old_samples_total",
            "Total number of out of order samples ingestion failed attempts with out of support enabled, but sample outside of time window.",
        );
        let delta = registry.histogram(
            "prometheus_tsdb_sample_ooo_delta",
            "Delta in seconds by which a sample is considered out of order (reported regardless of OOO time window and whether sample is accepted or not).",
            &DELTA_BUCKETS,
        );
        Self { floats_appended, histograms_appended, too_old_floats, too_old_histograms, delta }
    }

    /// Takes note of a sample that is so much older than the newest one of all.
    pub(in crate::head) fn observe_delta(&self, delta_ms: i64) {
        if delta_ms > 0 {
            self.delta.observe(delta_ms as f64 / 1000.0);
        }
    }

    pub(in crate::head) fn count_rejections(&self, rejected: &[Rejected], is_float: bool) {
        let too_old = if is_float { &self.too_old_floats } else { &self.too_old_histograms };
        let count = rejected.iter().filter(|one| one.reason == Rejection::TooOld).count();
        too_old.inc_by(count as u64);
    }
}
