//! Metrics of the database as a whole. Compaction and checkpoints do not exist yet: what
//! Prometheus's dashboards and alerts read of them is there, and says zero.

use prom_telemetry::Registry;

use crate::Options;

const COUNTERS: [(&str, &str); 5] = [
    ("compactions_total", "Total number of compactions that were executed for the partition."),
    ("compactions_triggered_total", "Total number of triggered compactions for the partition."),
    ("compactions_failed_total", "Total number of compactions that failed for the partition."),
    (
        "time_retentions_total",
        "The number of times that blocks were deleted because the maximum time limit was exceeded.",
    ),
    (
        "size_retentions_total",
        "The number of times that blocks were deleted because the maximum number of bytes was exceeded.",
    ),
];

pub(super) fn register(options: &Options, registry: &Registry) {
    let name = |suffix: &str| format!("prometheus_tsdb_{suffix}");
    for (suffix, help) in COUNTERS {
        registry.counter(&name(suffix), help);
    }
    let gauge = |suffix, help, value| registry.gauge(&name(suffix), help).set(value);
    gauge(
        "retention_limit_seconds",
        "How long to retain samples in storage.",
        (options.retention.duration_ms / 1000) as f64,
    );
    gauge(
        "retention_limit_bytes",
        "Max number of bytes to be retained in the tsdb blocks, configured 0 means disabled",
        options.retention.size_bytes as f64,
    );
    gauge(
        "retention_limit_percentage",
        "Max percentage of total storage space to be retained in the tsdb blocks, configured 0 means disabled",
        options.retention.percentage,
    );
}
