//! Metrics of the head, named as Prometheus's. Those of parts that do not exist yet are registered by the
//! parts when they come.

use std::sync::{Arc, atomic::Ordering};

use prom_storage::{Rejected, Rejection};
use prom_telemetry::{Counter, Gauge, Registry, Summary};

use crate::lock::read;

use super::Head;

/// Name and help of those that tell floats from histograms.
const APPENDED: (&str, &str) =
    ("prometheus_tsdb_head_samples_appended_total", "Total number of appended samples.");
const OUT_OF_ORDER: (&str, &str) = (
    "prometheus_tsdb_out_of_order_samples_total",
    "Total number of out of order samples ingestion failed attempts due to out of order being disabled.",
);

/// Instruments that the head moves.
#[derive(Clone, Debug)]
pub(super) struct HeadMetrics {
    pub(super) active_appenders: Gauge,
    pub(super) appenders_created: Counter,
    pub(super) series_created: Counter,
    pub(super) truncations: Counter,
    pub(super) truncations_failed: Counter,
    pub(super) series_removed: Counter,
    pub(super) chunks_removed: Counter,
    pub(super) series_not_found: Counter,
    pub(super) chunks_created: Counter,
    pub(super) samples_appended: Counter,
    pub(super) out_of_order_samples: Counter,
    pub(super) histograms_appended: Counter,
    pub(super) out_of_order_histograms: Counter,
    out_of_bound_samples: Counter,
    pub(super) gc_duration: Summary,
}

impl HeadMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let head = |suffix: &str, help: &str| {
            registry.counter(&format!("prometheus_tsdb_head_{suffix}"), help)
        };
        let of_type = |kind: &str, name: &str, help: &str| {
            registry.counter_vec(name, help, &["type"]).with(&[kind])
        };
        let floats = |name: &str, help: &str| of_type("float", name, help);
        let histograms = |name: &str, help: &str| of_type("histogram", name, help);
        Self {
            active_appenders: registry.gauge(
                "prometheus_tsdb_head_active_appenders",
                "Number of currently active appender transactions",
            ),
            appenders_created: head(
                "appenders_created_total",
                "Total number of appender transactions created.",
            ),
            series_created: head(
                "series_created_total",
                "Total number of series created in the head",
            ),
            truncations: head("truncations_total", "Total number of head truncations attempted."),
            truncations_failed: head(
                "truncations_failed_total",
                "Total number of head truncations that failed.",
            ),
            series_removed: head(
                "series_removed_total",
                "Total number of series removed in the head",
            ),
            chunks_removed: head(
                "chunks_removed_total",
                "Total number of chunks removed in the head",
            ),
            series_not_found: head(
                "series_not_found_total",
                "Total number of requests for series that were not found.",
            ),
            chunks_created: head(
                "chunks_created_total",
                "Total number of chunks created in the head",
            ),
            samples_appended: floats(APPENDED.0, APPENDED.1),
            out_of_order_samples: floats(OUT_OF_ORDER.0, OUT_OF_ORDER.1),
            histograms_appended: histograms(APPENDED.0, APPENDED.1),
            out_of_order_histograms: histograms(OUT_OF_ORDER.0, OUT_OF_ORDER.1),
            out_of_bound_samples: floats(
                "prometheus_tsdb_out_of_bound_samples_total",
                "Total number of out of bound samples ingestion failed attempts with out of order support disabled.",
            ),
            gc_duration: registry.summary(
                "prometheus_tsdb_head_gc_duration_seconds",
                "Runtime of garbage collection in the head block.",
                &[],
            ),
        }
    }

    /// Counts refused histograms.
    pub(super) fn count_histogram_rejections(&self, rejected: &[Rejected]) {
        for one in rejected {
            match one.reason {
                Rejection::OutOfOrder => self.out_of_order_histograms.inc(),
                Rejection::UnknownSeries => self.series_not_found.inc(),
                _ => {}
            }
        }
    }

    pub(super) fn count_rejections(&self, rejected: &[Rejected]) {
        for one in rejected {
            match one.reason {
                Rejection::OutOfOrder => self.out_of_order_samples.inc(),
                Rejection::OutOfBounds => self.out_of_bound_samples.inc(),
                Rejection::UnknownSeries => self.series_not_found.inc(),
                _ => {}
            }
        }
    }
}

impl Head {
    /// Series that end with a histogram, and the buckets of these histograms.
    pub(super) fn histogram_counts(&self) -> (usize, usize) {
        let of_groups = self.groups.iter().map(|group| read(&group.data).histograms.counts());
        of_groups.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1))
    }
}

/// Registers what is read off the head when somebody asks; a head that is gone reads as zero.
pub(super) fn register_views(registry: &Registry, head: &Arc<Head>) {
    let view = |name: &str, help: &str, read: fn(&Head) -> f64| {
        let head = Arc::downgrade(head);
        let read = move || head.upgrade().map_or(0.0, |head| read(&head));
        registry.gauge_fn(&format!("prometheus_tsdb_{name}"), help, read);
    };
    view("head_series", "Total number of series in the head block.", |head| {
        head.index().count() as f64
    });
    view("head_stale_series", "Total number of stale series in the head block.", |head| {
        head.stale_count.load(Ordering::Relaxed) as f64
    });
    view(
        "head_native_histogram_series",
        "Number of series whose most recent in-order sample is a native histogram.",
        |head| head.histogram_counts().0 as f64,
    );
    view(
        "head_native_histogram_buckets",
        "Number of positive and negative bucket entries in the most recent in-order native histogram sample of each series, including entries carried by staleness markers.",
        |head| head.histogram_counts().1 as f64,
    );
    view("head_chunks", "Total number of chunks in the head block.", |head| {
        head.chunks_count() as f64
    });
    view(
        "head_max_time",
        "Maximum timestamp of the head block. The unit is decided by the library consumer.",
        |head| head.time_bounds().1 as f64,
    );
    view(
        "head_min_time",
        "Minimum time bound of the head block. The unit is decided by the library consumer.",
        |head| head.time_bounds().0 as f64,
    );
    view("head_max_time_seconds", "Maximum timestamp of the head block.", |head| {
        (head.time_bounds().1 / 1000) as f64
    });
    view("head_min_time_seconds", "Minimum time bound of the head block.", |head| {
        (head.time_bounds().0 / 1000) as f64
    });
    view(
        "isolation_low_watermark",
        "The lowest TSDB append ID that is still referenced.",
        |head| head.readers.watermarks().0 as f64,
    );
    view(
        "isolation_high_watermark",
        "The highest TSDB append ID that has been given out.",
        |head| head.readers.watermarks().1 as f64,
    );
}
