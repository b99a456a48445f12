//! Who built this program: fixed at compile time, the revision from the environment of the build.

use std::env::consts;

/// The version of Prometheus whose surface this is, with our own behind it as build metadata: clients
/// decide by the former what they may ask.
const VERSION: &str = concat!("3.14.0+rs.", env!("CARGO_PKG_VERSION"));

/// Who built the program, as `/api/v1/status/buildinfo` and `prometheus_build_info` say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildInfo {
    pub version: String,
    pub revision: String,
    pub branch: String,
    pub build_user: String,
    pub build_date: String,
    /// What `goVersion` tells: clients show it, so it says what we were compiled with.
    pub go_version: String,
}

/// This build.
pub fn build_info() -> BuildInfo {
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
pub fn version_text(program: &str) -> String {
    let build = build_info();
    format!(
        "{program}, version {} (branch: {}, revision: {})\n  build user:       {}\n  \
         build date:       {}\n  go version:       {}\n  platform:         {}/{}\n",
        build.version,
        build.branch,
        build.revision,
        build.build_user,
        build.build_date,
        build.go_version,
        consts::OS,
        go_arch(),
    )
}

/// Go's name of the processor's architecture.
pub fn go_arch() -> &'static str {
    match consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
