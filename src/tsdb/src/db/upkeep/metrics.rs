//! Metrics of the work on blocks, named as Prometheus's.

use prom_telemetry::{Counter, Gauge, Histogram, Registry, exponential_buckets};

use crate::{RetentionOptions, compact::ChunkMetrics};

const TIME_RETENTIONS_HELP: &str =
    "The number of times that blocks were deleted because the maximum time limit was exceeded.";
const SIZE_RETENTIONS_HELP: &str = "The number of times that blocks were deleted because the maximum number of bytes was exceeded.";
/// What does not happen here: compaction cannot be switched off, and nobody selects series for it.
const NEVER_COUNTED: [(&str, &str); 3] = [
    (
        "compactions_skipped_total",
        "Total number of skipped compactions due to disabled auto compaction.",
    ),
    (
        "selected_series_compactions_triggered_total",
        "Total number of compactions triggered for an explicit caller-provided list of series references.",
    ),
    (
        "selected_series_compactions_failed_total",
        "Total number of compactions triggered for an explicit caller-provided list of series references that failed.",
    ),
];
const NEVER_TAKEN: (&str, &str) = (
    "selected_series_compaction_duration_seconds",
    "Duration of compactions triggered for an explicit caller-provided list of series references.",
);

#[derive(Debug)]
pub(in crate::db) struct UpkeepMetrics {
    pub(super) compactions: Counter,
    pub(super) triggered: Counter,
    pub(super) failed: Counter,
    pub(super) vertical: Counter,
    pub(super) populating: Gauge,
    pub(super) duration: Histogram,
    pub(in crate::db) stale_triggered: Counter,
    pub(in crate::db) stale_failed: Counter,
    pub(in crate::db) stale_duration: Histogram,
    pub(super) chunks: ChunkMetrics,
    pub(in crate::db) tombstone_cleanup: Histogram,
    pub(in crate::db) time_retentions: Counter,
    pub(in crate::db) size_retentions: Counter,
    pub(in crate::db) limit_seconds: Gauge,
    pub(in crate::db) limit_bytes: Gauge,
    pub(in crate::db) limit_percentage: Gauge,
}

impl UpkeepMetrics {
    pub(super) fn register(registry: &Registry) -> Self {
        let name = |suffix: &str| format!("prometheus_tsdb_{suffix}");
        let counter = |suffix, help| registry.counter(&name(suffix), help);
        let gauge = |suffix, help| registry.gauge(&name(suffix), help);
        let duration = |suffix, help| {
            registry.histogram(&name(suffix), help, &exponential_buckets(1.0, 2.0, 14))
        };
        for (suffix, help) in NEVER_COUNTED {
            counter(suffix, help);
        }
        duration(NEVER_TAKEN.0, NEVER_TAKEN.1);
        Self {
            compactions: counter(
                "compactions_total",
                "Total number of compactions that were executed for the partition.",
            ),
            triggered: counter(
                "compactions_triggered_total",
                "Total number of triggered compactions for the partition.",
            ),
            failed: counter(
                "compactions_failed_total",
                "Total number of compactions that failed for the partition.",
            ),
            vertical: counter(
                "vertical_compactions_total",
                "Total number of compactions done on overlapping blocks.",
            ),
            populating: gauge(
                "compaction_populating_block",
                "Set to 1 when a block is currently being written to the disk.",
            ),
            duration: duration("compaction_duration_seconds", "Duration of compaction runs"),
            stale_triggered: counter(
                "stale_series_compactions_triggered_total",
                "Total number of triggered stale series compactions.",
            ),
            stale_failed: counter(
                "stale_series_compactions_failed_total",
                "Total number of stale series compactions that failed.",
            ),
            stale_duration: duration(
                "stale_series_compaction_duration_seconds",
                "Duration of stale series compaction runs.",
            ),
            chunks: ChunkMetrics::register(registry),
            // Compat: the original has no classic buckets here.
            tombstone_cleanup: registry.histogram(
                &name("tombstone_cleanup_seconds"),
                "The time taken to recompact blocks to remove tombstones.",
                &[],
            ),
            time_retentions: counter("time_retentions_total", TIME_RETENTIONS_HELP),
            size_retentions: counter("size_retentions_total", SIZE_RETENTIONS_HELP),
            limit_seconds: gauge(
                "retention_limit_seconds",
                "How long to retain samples in storage.",
            ),
            limit_bytes: gauge(
                "retention_limit_bytes",
                "Max number of bytes to be retained in the tsdb blocks, configured 0 means disabled",
            ),
            limit_percentage: gauge(
                "retention_limit_percentage",
                "Max percentage of total storage space to be retained in the tsdb blocks, configured 0 means disabled",
            ),
        }
    }

    pub(super) fn show_limits(&self, retention: RetentionOptions) {
        self.limit_seconds.set((retention.duration_ms / 1000) as f64);
        self.limit_bytes.set(retention.size_bytes as f64);
        self.limit_percentage.set(retention.percentage);
    }
}
