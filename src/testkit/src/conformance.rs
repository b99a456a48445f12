//! Where the conformance data is. What it says is for the rooms to read.

use std::{env, path::PathBuf};

/// A folder of the conformance data; `None`, with a line that says so, where it is not there.
#[expect(clippy::print_stdout, reason = "a test that is skipped says why")]
pub fn conformance(folder: &str) -> Option<PathBuf> {
    let root = env::var_os("PROMETHEUS_CONFORMANCE").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"),
        PathBuf::from,
    );
    let path = root.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: no conformance data at {}", path.display());
    None
}
