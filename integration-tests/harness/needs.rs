//! What a test needs from the machine, and how it says that it is missing.

use std::{env, path::PathBuf, process::Command};

use prom_testkit::{find_peer, needed, on_path};

/// Something outside this repository.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Need {
    /// A binary of the original project: `prometheus`, `promtool`, `prometheus-node-exporter`.
    Peer(&'static str),
    /// The command that boots a throwaway machine with systemd.
    Systemd,
    /// A program on the search path.
    Program(&'static str),
    /// What a package of the original project has put there.
    File(&'static str),
    /// Being root, to mount small file systems and switch users.
    Root,
}

/// Where it is; `None`, with a line on standard error, where the test must be skipped.
/// With `PROMETHEUS_TESTS_REQUIRE_ALL` set nothing may be missing.
#[track_caller]
pub(crate) fn need(need: Need) -> Option<PathBuf> {
    let found = match need {
        Need::Peer(name) => find_peer(name),
        Need::Systemd => {
            existing(from_env("PROMETHEUS_WITH_SYSTEMD", "../shared/tools/with-systemd"))
                .filter(|_| is_root())
        }
        Need::Program(name) => on_path(name),
        Need::File(path) => existing(PathBuf::from(path)),
        Need::Root => is_root().then(PathBuf::new),
    };
    needed(&format!("{need:?}"), found)
}

/// The top folder of this repository.
pub(crate) fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn from_env(variable: &str, default: &str) -> PathBuf {
    env::var_os(variable).map_or_else(|| repository().join(default), PathBuf::from)
}

fn existing(path: PathBuf) -> Option<PathBuf> {
    path.canonicalize().ok()
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout == b"0\n")
}
