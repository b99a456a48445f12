//! What the server and `promtool` say of the same files.

use std::{fs, path::PathBuf, process::Command};

fn promtool() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_prometheus")).with_file_name("promtool")
}

#[track_caller]
fn check(config: &str, status: i32, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prometheus.yml");
    fs::write(&path, config).unwrap();
    let out = Command::new(promtool()).args(["check", "config"]).arg(&path).output().unwrap();
    let text = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    assert_eq!(out.status.code(), Some(status), "{text}");
    assert!(text.contains(expected), "{text:?} has no {expected:?}");
}

#[test]
fn check_config_gives_verdict_place_and_hint() {
    check("", 0, "SUCCESS");
    check(include_str!("../packaging/prometheus.yml"), 0, "SUCCESS");
    check("scrape_configs:\n- job_name: a\n  scrape_intervall: 1s\n", 1, "scrape_intervall");
    check("scrape_configs:\n- job_name: a\n  scrape_intervall: 1s\n", 1, "line 3");
    check("scrape_configs:\n- job_name: a\n- job_name: a\n", 1, "multiple scrape configs");
}

#[test]
fn promtool_tells_its_version_and_its_mistakes() {
    let out = Command::new(promtool()).arg("--version").output().unwrap();
    assert!(String::from_utf8_lossy(&out.stdout).starts_with("promtool, version "));
    let out = Command::new(promtool()).args(["check", "nonsense"]).output().unwrap();
    assert!(!out.status.success());
}
