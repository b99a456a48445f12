//! `promtool config diff --server`: what a file would change about a server that runs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::harness::{Need, Peer, ServerBuilder, Target, eventually, get, need};

/// Status, standard output and standard error.
fn diff(server: &str, file: &Path) -> (i32, String, String) {
    let promtool = PathBuf::from(env!("CARGO_BIN_EXE_prometheus")).with_file_name("promtool");
    let mut command = Command::new(promtool);
    let out = command.args(["config", "diff", "--server", server]).arg(file).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code().unwrap(), text(&out.stdout), text(&out.stderr))
}

const RULES: &str = "groups:
- name: g
  labels: {team: a}
  rules:
  - {record: a:b, expr: 'sum   by(x) (rate(y[5m]))'}
  - {alert: Down, expr: up == 0, for: 5m, annotations: {summary: '{{ $value }}'}}
";

/// A folder with a configuration and rules, as they stand beside the server and as they are checked out
/// elsewhere.
fn write(folder: &Path, jobs: &str, rules: &str) -> PathBuf {
    let path = folder.join("prometheus.yml");
    fs::create_dir_all(folder.join("rules")).unwrap();
    fs::write(&path, format!("rule_files: ['rules/*.yml']\nscrape_configs:\n{jobs}")).unwrap();
    fs::write(folder.join("rules/a.yml"), rules).unwrap();
    path
}

fn jobs(address: &str) -> String {
    format!(
        "- {{job_name: a, static_configs: [{{targets: ['{address}']}}]}}\n\
         - {{job_name: b, basic_auth: {{password: hunter2}}, static_configs: [{{targets: ['127.0.0.1:1']}}]}}\n"
    )
}

#[track_caller]
fn check_effect(server: &str, target: &Target) {
    let folder = tempfile::tempdir().unwrap();
    let same = write(folder.path(), &jobs(target.address()), RULES);
    let (status, out, err) = diff(server, &same);
    assert_eq!((status, &*out), (0, "nothing but layout, comments or secrets\n"), "{err}");

    let changed = jobs(target.address())
        .replace("job_name: a", "job_name: a, metrics_path: /other")
        .replace("hunter2", "hunter3")
        .replace("'127.0.0.1:1'", "'127.0.0.1:1', '127.0.0.1:2'");
    let rules = RULES.replace("up == 0", "up < 1").replace("a:b", "a:c");
    let (status, out, err) = diff(server, &write(folder.path(), &changed, &rules));
    assert_eq!(status, 0, "{err}");
    let address = target.address();
    for expected in [
        "scrape jobs: 2 changed; targets: 2 added, 1 removed; rules: 1 added, 1 removed, 1 changed\n"
            .to_owned(),
        format!("  + targets: a/http://{address}/other\n"),
        format!("  - targets: a/http://{address}/metrics\n"),
        "  + targets: b/http://127.0.0.1:2/metrics\n".to_owned(),
        "  + rules: a:c in g in rules/a.yml\n".to_owned(),
        "  - rules: a:b in g in rules/a.yml\n".to_owned(),
        "  ~ rules: Down in g in rules/a.yml\n".to_owned(),
        "\n+  metrics_path: /other\n".to_owned(),
    ] {
        assert!(out.contains(&expected), "no {expected:?} in {out}");
    }
    assert!(!out.contains("hunter"), "{out}");
}

#[test]
fn the_effect_on_a_running_server_is_told() {
    let target = Target::serving(|_| "a 1\n".to_owned());
    let server = ServerBuilder::new("").arg("--rules.evaluation=off").start();
    write(server.config_path().parent().unwrap(), &jobs(target.address()), RULES);
    eventually("the targets are there", || {
        assert_eq!(server.post("/-/reload", "").status, 200);
        server.get("/api/v1/targets").body.contains(target.address()).then_some(())
    });
    check_effect(&server.address(), &target);
    check_effect(&format!("http://{}/", server.address()), &target);
    // Asking changes nothing.
    let listed = server.get("/api/v1/status/config/generations").json();
    assert_eq!(listed["data"]["current"], 2);
}

#[test]
fn the_effect_on_the_original_is_told() {
    let Some(binary) = need(Need::Peer("prometheus")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let target = Target::serving(|_| "a 1\n".to_owned());
    let config = write(folder.path(), &jobs(target.address()), RULES);
    let peer = Peer::start(&binary, |address| {
        vec![
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", folder.path().join("data").display()),
            format!("--web.listen-address={address}"),
        ]
    });
    eventually("the targets are there", || {
        let answer = get(&peer.address, "/api/v1/targets").ok()?;
        answer.body.contains(target.address()).then_some(())
    });
    check_effect(&peer.address, &target);
}

#[test]
fn nobody_there_wrong_answers_and_wrong_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let good = write(folder.path(), "", "groups: []\n");
    let check = |server: &str, file: &Path, expected: &str| {
        let (status, out, err) = diff(server, file);
        assert_eq!((status, &*out), (1, ""), "{err}");
        assert!(err.contains(expected), "{err:?} has no {expected:?}");
    };
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap().to_string();
    drop(closed);
    check(&address, &good, "refused");
    check("http://", &good, "invalid format");
    check("ftp://127.0.0.1", &good, "ftp");
    let other = Target::serving(|_| "no JSON".to_owned());
    check(other.address(), &good, "the server's answer is no JSON");
    let other = Target::serving(|_| "{\"data\": {}}".to_owned());
    check(other.address(), &good, "the server's answer holds no configuration");

    let server = ServerBuilder::new("").start();
    let bad = folder.path().join("bad.yml");
    fs::write(&bad, "scrape_configs:\n- job_name: a\n  oops: 1\n").unwrap();
    check(&server.address(), &bad, "bad.yml:3:3: scrape_configs[0].oops: field oops not found");
    check(&server.address(), &folder.path().join("absent.yml"), "absent.yml");
    fs::write(folder.path().join("rules/a.yml"), "groups: [{name: ''}]").unwrap();
    check(&server.address(), &good, "Groupname must not be empty");
}
