//! Starts that end at once: the exit status and the text tell what is wrong; nothing is half done.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
};

use crate::harness::{Need, Server, ServerBuilder, need};

const GOOD: &str =
    "scrape_configs:\n- job_name: self\n  static_configs:\n  - targets: [\"localhost:1\"]\n";

/// Runs the binary to its end.
fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_prometheus"))
        .args(args)
        .env_remove("NOTIFY_SOCKET")
        .output()
        .unwrap()
}

#[track_caller]
fn check(args: &[&str], status: i32, expected: &str) {
    let out = run(args);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(status), "{args:?}: {text}");
    assert!(text.contains(expected), "{args:?}: {text:?} has no {expected:?}");
    assert!(!text.contains("panicked"), "{text}");
}

/// Writes `config`, starts on it and expects the end `status` with `expected` in the log.
#[track_caller]
fn check_config(config: &[u8], status: i32, expected: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prometheus.yml");
    fs::write(&path, config).unwrap();
    check_paths(&path, &folder.path().join("data"), status, expected);
    assert!(!folder.path().join("data").exists(), "a refused configuration leaves no data folder");
}

#[track_caller]
fn check_paths(config: &Path, data: &Path, status: i32, expected: &str) {
    let config = format!("--config.file={}", config.display());
    let data = format!("--storage.tsdb.path={}", data.display());
    check(&[&config, &data, "--web.listen-address=127.0.0.1:0"], status, expected);
}

#[test]
fn the_command_line_is_explained() {
    check(&["--foo"], 2, "unknown long flag '--foo'");
    check(&["extra"], 2, "unexpected extra");
    check(&["--log.level=loud"], 2, "loud");
    let out = run(&["--version"]);
    assert!(out.status.success());
    assert!(String::from_utf8_lossy(&out.stdout).starts_with("prometheus, version "));
    let out = run(&["--help"]);
    assert!(out.status.success());
    assert!(String::from_utf8_lossy(&out.stdout).contains("--config.file"));
}

#[test]
fn wrong_configurations_are_refused_with_their_place() {
    check_config(b"nonsense", 78, "line 1");
    check_config(b"global:\n  scrape_interval: x\n", 78, "line 2");
    check_config(b"globals: {}\n", 78, "globals");
    check_config(b"\x00\x01\x02\xff\xfe binary", 78, "prometheus.yml");
    check_config(b"a: &a [1]\nb: [*a, *a\n", 78, "line");
    let billion_laughs = (0..30).fold("a0: &a0 [x]\n".to_owned(), |text, i| {
        let next = i + 1;
        format!("{text}a{next}: &a{next} [*a{i}, *a{i}, *a{i}, *a{i}]\n")
    });
    check_config(billion_laughs.as_bytes(), 78, "prometheus.yml");
    let deep = "[".repeat(100_000);
    check_config(deep.as_bytes(), 78, "prometheus.yml");
}

#[test]
fn missing_unreadable_and_odd_files_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    check_paths(&folder.path().join("none.yml"), &data, 78, "no such file or directory");
    check_paths(folder.path(), &data, 78, "is a directory");
    let huge = folder.path().join("huge.yml");
    let line = "# 64 bytes of comment, over and over, until there are too many\n\n";
    fs::write(&huge, line.repeat(100 * 1024 * 1024 / line.len())).unwrap();
    check_paths(&huge, &data, 78, "huge.yml");
}

#[test]
fn an_empty_configuration_is_a_server_without_jobs() {
    let server = ServerBuilder::new("").start();
    assert_eq!(server.state(), "Ready");
    assert_eq!(
        server.get("/api/v1/targets").json()["data"]["activeTargets"],
        serde_json::json!([])
    );
}

#[test]
fn a_taken_port_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut server =
        ServerBuilder::new(GOOD).arg(&format!("--web.listen-address={address}")).spawn();
    assert_eq!(server.wait().code(), Some(69));
    assert!(server.log().contains(&address), "{}", server.log());
    assert!(server.log().contains("address already in use"), "{}", server.log());
}

#[test]
fn a_folder_of_another_server_is_left_alone() {
    let first = ServerBuilder::new(GOOD).start();
    let mut second = ServerBuilder::new(GOOD).data(first.data_path()).spawn();
    let status = second.wait();
    assert!(!status.success());
    assert!(second.log().contains("lock"), "{}", second.log());
    assert_eq!(first.get("/-/ready").status, 200);
}

#[test]
fn a_folder_that_is_a_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::write(&data, "in the way").unwrap();
    let mut server = ServerBuilder::new(GOOD).data(&data).spawn();
    assert!(!server.wait().success());
    assert!(server.log().contains("data"), "{}", server.log());
    assert_eq!(fs::read_to_string(&data).unwrap(), "in the way");
}

#[test]
fn start_timestamps_need_an_encoding_that_holds_them() {
    let mut server = ServerBuilder::new(GOOD).arg("--enable-feature=st-storage").spawn();
    assert!(!server.wait().success());
    let reason = "is incompatible with start-timestamp storage";
    assert!(server.log().contains(reason), "{}", server.log());
}

#[test]
fn permissions_are_told_apart_from_faults() {
    if need(Need::Root).is_none() || need(Need::Program("setpriv")).is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let config = folder.path().join("prometheus.yml");
    fs::write(&config, GOOD).unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    let run_as_nobody = |config: &Path| {
        // the build folder may be closed to others: the binary is copied to where nobody may read it
        let binary = folder.path().join("prometheus");
        fs::copy(env!("CARGO_BIN_EXE_prometheus"), &binary).unwrap();
        Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&binary)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .output()
            .unwrap()
    };
    let out = run_as_nobody(&config);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(77), "{text}");
    assert!(text.contains("data") && text.to_lowercase().contains("permission denied"), "{text}");
    fs::set_permissions(&config, fs::Permissions::from_mode(0o000)).unwrap();
    let out = run_as_nobody(&config);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(78), "{text}");
    assert!(text.to_lowercase().contains("permission denied"), "{text}");
}

#[test]
fn ready_healthy_and_stop_are_as_prometheus_says() {
    let mut server: Server = ServerBuilder::new(GOOD).start();
    let answer = server.get("/-/healthy");
    assert_eq!((answer.status, answer.body.as_str()), (200, "Prometheus Server is Healthy.\n"));
    let answer = server.get("/-/ready");
    assert_eq!((answer.status, answer.body.as_str()), (200, "Prometheus Server is Ready.\n"));
    assert_eq!(server.get("/-/quit").status, 405);
    let answer = server.post("/-/quit", "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(server.wait().success());
    assert!(!server.data_path().join("lock").exists() || server.log().contains("Stopped"));
}
