//! Who built this program: fixed at compile time, the revision from the environment of the build.

use prom_telemetry::{MetricFamily, MetricKind, Registry};
use prom_web::BuildInfo;

/// The version of Prometheus whose surface this is, with our own behind it as build metadata: clients
/// decide by the former what they may ask.
const VERSION: &str = concat!("3.14.0+rs.", env!("CARGO_PKG_VERSION"));

/// What `--version`, `/api/v1/status/buildinfo` and `prometheus_build_info` tell.
pub(crate) fn build_info() -> BuildInfo {
    BuildInfo {
        version: VERSION.to_owned(),
        revision: option_env!("PROMETHEUS_REVISION").unwrap_or("unknown").to_owned(),
        branch: option_env!("PROMETHEUS_BRANCH").unwrap_or("unknown").to_owned(),
        build_user: option_env!("PROMETHEUS_BUILD_USER").unwrap_or("unknown").to_owned(),
        build_date: option_env!("PROMETHEUS_BUILD_DATE").unwrap_or("unknown").to_owned(),
        go_version: concat!("rust", env!("CARGO_PKG_RUST_VERSION")).to_owned(),
    }
}

/// The text of `--version`. Compat: prometheus/common `version.Print`.
pub(crate) fn version_text() -> String {
    let build = build_info();
    format!(
        "prometheus, version {} (branch: {}, revision: {})\n  build user:       {}\n  \
         build date:       {}\n  go version:       {}\n  platform:         {}/{}\n",
        build.version,
        build.branch,
        build.revision,
        build.build_user,
        build.build_date,
        build.go_version,
        std::env::consts::OS,
        go_arch(),
    )
}

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

/// Go's name of the processor's architecture.
fn go_arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
