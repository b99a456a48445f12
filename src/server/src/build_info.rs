//! `prometheus_build_info`, by which dashboards and alerts tell what runs.

use prom_cli::{build_info, go_arch};
use prom_telemetry::{MetricFamily, MetricKind, Registry};

/// Registers `prometheus_build_info`.
pub(crate) fn register(registry: &Registry) {
    registry.collect_fn(|families| {
        let build = build_info();
        let mut family = MetricFamily::new(
            "prometheus_build_info",
            "A metric with a constant '1' value labeled by version, revision, branch, goversion from which prometheus was built, and the goos and goarch for the build.",
            MetricKind::Gauge,
        );
        let labels = [
            ("branch", build.branch.as_str()),
            ("goarch", go_arch()),
            ("goos", std::env::consts::OS),
            ("goversion", build.go_version.as_str()),
            ("revision", build.revision.as_str()),
            ("tags", "unknown"),
            ("version", build.version.as_str()),
        ];
        family.push(&labels, 1.0);
        families.push(family);
    });
}
