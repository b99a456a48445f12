//! The metrics of a discovery, under Prometheus's names.

use prom_telemetry::{Counter, Gauge, GaugeVec, Registry, Summary, clock};

/// Compat: Prometheus `discovery/metrics.go`.
#[derive(Debug)]
pub(crate) struct Metrics {
    name: &'static str,
    pub(crate) failed_configs: Gauge,
    pub(crate) received_updates: Counter,
    pub(crate) delayed_updates: Counter,
    pub(crate) sent_updates: Counter,
    pub(crate) files: FileMetrics,
    discovered_targets: GaugeVec,
    last_update: GaugeVec,
}

/// Of `file_sd_configs`. Compat: Prometheus `discovery/file/metrics.go`.
#[derive(Clone, Debug)]
pub(crate) struct FileMetrics {
    pub(crate) read_errors: Counter,
    pub(crate) scan_duration: Summary,
    pub(crate) mtime: GaugeVec,
}

impl Metrics {
    /// `name` is that of the consumer: `scrape` or `notify`.
    pub(crate) fn new(name: &'static str, registry: &Registry) -> Self {
        let counter = |metric, help| registry.counter_vec(metric, help, &["name"]).with(&[name]);
        Self {
            name,
            failed_configs: registry
                .gauge_vec(
                    "prometheus_sd_failed_configs",
                    "Current number of service discovery configurations that failed to load.",
                    &["name"],
                )
                .with(&[name]),
            received_updates: counter(
                "prometheus_sd_received_updates_total",
                "Total number of update events received from the SD providers.",
            ),
            delayed_updates: counter(
                "prometheus_sd_updates_delayed_total",
                "Total number of update events that couldn't be sent immediately.",
            ),
            sent_updates: counter(
                "prometheus_sd_updates_total",
                "Total number of update events sent to the SD consumers.",
            ),
            files: FileMetrics::new(registry),
            discovered_targets: registry.gauge_vec(
                "prometheus_sd_discovered_targets",
                "Current number of discovered targets.",
                &["name", "config"],
            ),
            last_update: registry.gauge_vec(
                "prometheus_sd_last_update_timestamp_seconds",
                "Timestamp of the last update sent to the SD consumers.",
                &["name", "config"],
            ),
        }
    }

    pub(crate) fn set_discovered(&self, set: &str, target_count: usize) {
        self.discovered_targets.with(&[self.name, set]).set(target_count as f64);
        let now_seconds = clock::now_since_epoch().as_secs_f64();
        self.last_update.with(&[self.name, set]).set(now_seconds);
    }

    pub(crate) fn forget(&self, set: &str) {
        self.discovered_targets.remove(&[self.name, set]);
        self.last_update.remove(&[self.name, set]);
    }
}

impl FileMetrics {
    fn new(registry: &Registry) -> Self {
        // Counts what the original's watcher cannot do. Ours polls where it cannot watch.
        registry.counter(
            "prometheus_sd_file_watcher_errors_total",
            "The number of File-SD errors caused by filesystem watch failures.",
        );
        Self {
            read_errors: registry.counter(
                "prometheus_sd_file_read_errors_total",
                "The number of File-SD read errors.",
            ),
            scan_duration: registry.summary(
                "prometheus_sd_file_scan_duration_seconds",
                "The duration of the File-SD scan in seconds.",
                &[0.5, 0.9, 0.99],
            ),
            mtime: registry.gauge_vec(
                "prometheus_sd_file_mtime_seconds",
                "Timestamp (mtime) of files read by FileSD. Timestamp is set at read time.",
                &["filename"],
            ),
        }
    }
}
