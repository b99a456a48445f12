//! What tests need besides this repository: where it is, and how they say that it is missing.
//! What is done with it is for the rooms' tests.

use std::{
    env,
    path::{Path, PathBuf},
};

/// With it set, nothing may be missing: a test that would be skipped fails.
const REQUIRE_ALL: &str = "PROMETHEUS_TESTS_REQUIRE_ALL";

/// A folder of the original project's test data. `PROMETHEUS_CONFORMANCE` names the folder above it.
#[track_caller]
pub fn conformance(folder: &str) -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    let root = env::var_os("PROMETHEUS_CONFORMANCE").map_or_else(default, PathBuf::from);
    needed(&format!("conformance data {folder:?}"), existing(root.join(folder)))
}

/// A program of the original project or of another peer. `PROMETHEUS_PEERS` names its folder; without it
/// the programs are looked for where `peers.sh` unpacks them, then on the search path.
#[track_caller]
pub fn peer(name: &str) -> Option<PathBuf> {
    needed(&format!("program {name:?}"), find_peer(name))
}

/// As [`peer`], for those who say themselves that it is missing.
pub fn find_peer(name: &str) -> Option<PathBuf> {
    if let Some(folder) = env::var_os("PROMETHEUS_PEERS") {
        return existing(PathBuf::from(folder).join(name));
    }
    unpacked(name).or_else(|| on_path(name))
}

/// A program on the search path.
pub fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).find_map(|folder| existing(folder.join(name)))
}

/// Passes on what was found; says what was not.
///
/// # Panics
/// It was not found, and nothing may be missing.
#[track_caller]
#[expect(clippy::print_stdout, reason = "a test that is skipped says why")]
pub fn needed(what: &str, found: Option<PathBuf>) -> Option<PathBuf> {
    if found.is_none() {
        let text = format!("skipped: {what} is not on this machine");
        assert!(env::var_os(REQUIRE_ALL).is_none(), "{text}");
        println!("{text}");
    }
    found
}

/// Among the packages that lie unpacked in the cache of the user.
fn unpacked(name: &str) -> Option<PathBuf> {
    let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".cache"));
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home)?;
    let trees = cache.join("prometheus-peers").read_dir().ok()?;
    trees.flatten().find_map(|tree| existing(tree.path().join("usr/bin").join(name)))
}

fn existing(path: PathBuf) -> Option<PathBuf> {
    path.canonicalize().ok()
}
