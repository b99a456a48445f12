//! The Debian package in a throwaway machine: in, running, out, gone.

use std::{fs, path::PathBuf};

use crate::{harness::repository, systemd::facts};

#[test]
fn slow_the_package_installs_starts_and_leaves_cleanly() {
    let Some(package) = package() else {
        let text = "skipped: no package in target/debian (cargo deb --package prom-server)";
        assert!(std::env::var_os("PROMETHEUS_TESTS_REQUIRE_ALL").is_none(), "{text}");
        eprintln!("{text}");
        return;
    };
    let Some(facts) = facts("package.sh", &[&package]) else { return };
    for name in ["install", "ready", "scrapes itself", "remove", "purge"] {
        facts.check(name, "0");
    }
    facts.check("active", "active");
    facts.check("enabled", "enabled");
    facts.check("user", "prometheus");
    facts.check("version", "promtool");
    facts.check("removed.active", "inactive");
    facts.check("removed.data", "/var/lib/prometheus/metrics2");
    facts.check("purged.left", "0");
}

/// The newest package that `cargo deb` has made.
fn package() -> Option<PathBuf> {
    let entries = fs::read_dir(repository().join("target/debian")).ok()?;
    let packages = entries.filter_map(Result::ok).map(|entry| entry.path());
    packages
        .filter(|path| path.extension().is_some_and(|ext| ext == "deb"))
        .max_by_key(|path| fs::metadata(path).and_then(|meta| meta.modified()).ok())
}
