//! What a test needs besides this repository, and how it says that it is missing.

use std::{
    env,
    path::{Path, PathBuf},
};

/// A program of the original project.
#[track_caller]
pub(crate) fn peer(name: &str) -> Option<PathBuf> {
    let home = env::var_os("HOME").unwrap_or_default();
    let default = Path::new(&home).join(".cache/prometheus-peers/root/usr/bin");
    let folder = env::var_os("PROMETHEUS_PEERS").map_or(default, PathBuf::from);
    existing(name, folder.join(name))
}

/// A folder of the original project's test data.
#[track_caller]
pub(crate) fn conformance(folder: &str) -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    let base = env::var_os("PROMETHEUS_CONFORMANCE").map_or(default, PathBuf::from);
    existing(folder, base.join(folder))
}

/// With `PROMETHEUS_TESTS_REQUIRE_ALL` set nothing may be missing.
#[track_caller]
fn existing(name: &str, path: PathBuf) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    let text = format!("skipped: {name} is not on this machine ({})", path.display());
    assert!(env::var_os("PROMETHEUS_TESTS_REQUIRE_ALL").is_none(), "{text}");
    eprintln!("{text}");
    None
}
