//! The program from outside: what it prints where, and its exit code. Expectations are those of promtool
//! 3.5 for the same files.
// All of it is tests; clippy sees that only of the functions that are marked.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "it/create.rs"]
mod create;
#[path = "it/dumps.rs"]
mod dumps;
#[path = "it/tsdb.rs"]
mod tsdb;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use tempfile::TempDir;

struct Files {
    directory: TempDir,
}

impl Files {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn add(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Runs promtool in the directory.
    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_promtool"))
            .args(args)
            .current_dir(self.directory.path())
            .output()
            .unwrap()
    }

    fn check(&self, args: &[&str], code: i32, stdout: &str, stderr: &str) {
        let output = self.run(args);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert_eq!(text(output.stdout), stdout, "{args:?}");
        assert_eq!(text(output.stderr), stderr, "{args:?}");
    }
}

#[test]
fn good_and_bad_files_are_told_apart() {
    let files = Files::new();
    files.add("good.yml", "scrape_configs: [{job_name: a}]\n");
    files.add("bad.yml", "global:\n  scrape_intervall: 5s\n");
    files.check(
        &["check", "config", "good.yml"],
        0,
        "Checking good.yml\n SUCCESS: good.yml is valid prometheus config file syntax\n\n",
        "",
    );
    files.check(
        &["check", "config", "bad.yml", "good.yml"],
        1,
        "Checking bad.yml\n\nChecking good.yml\n SUCCESS: good.yml is valid prometheus config file syntax\n\n",
        "  FAILED: parsing YAML file bad.yml: yaml: unmarshal errors:\n  \
         line 2: field scrape_intervall not found in type config.plain\n\
         bad.yml:2:3: global.scrape_intervall: field scrape_intervall not found in type config.plain (did you mean scrape_interval?)\n  \
         2 |   scrape_intervall: 5s\n    \
         |   ^\n",
    );
}

#[test]
fn named_files_must_be_there_unless_only_syntax_is_checked() {
    let files = Files::new();
    files.add(
        "a.yml",
        "scrape_configs: [{job_name: a, authorization: {credentials_file: token}}]\n",
    );
    let success = "Checking a.yml\n SUCCESS: a.yml is valid prometheus config file syntax\n\n";
    files.check(
        &["check", "config", "a.yml"],
        1,
        "Checking a.yml\n\n",
        "  FAILED: error checking authorization credentials or bearer token file \"token\": stat token: no such file or directory\n",
    );
    files.check(&["check", "config", "--syntax-only", "a.yml"], 0, success, "");
    files.add("token", "x");
    files.check(&["check", "config", "a.yml"], 0, success, "");
}

#[test]
fn lints_decide_the_exit_code_only_when_fatal() {
    let files = Files::new();
    files.add("a.yml", "scrape_configs: [{job_name: a, scrape_interval: 10m}]\n");
    let success = "Checking a.yml\n SUCCESS: a.yml is valid prometheus config file syntax\n\n";
    let lint = "  FAILED: too long scrape interval found, data point will be marked as stale - job: a, interval: 10m\n";
    let check = |args: &[&str], code, stderr| {
        let args: Vec<_> = ["check", "config"].iter().chain(args).copied().collect();
        files.check(&args, code, success, stderr);
    };
    check(&["a.yml"], 0, "");
    check(&["--lint=all", "a.yml"], 0, lint);
    check(&["--lint=all", "--lint-fatal", "a.yml"], 3, lint);
    check(
        &["--lint=too-long-scrape-interval", "--query.lookback-delta=20m", "--lint-fatal", "a.yml"],
        0,
        "",
    );
    check(&["--lint=none,all", "--lint-fatal", "a.yml"], 0, "");
    files.check(
        &["check", "config", "--lint=foo", "a.yml"],
        0,
        &format!("WARNING: unknown lint option: \"foo\"\n{success}"),
        "",
    );
}

#[test]
fn rules_are_checked_with_their_expressions() {
    let files = Files::new();
    files.add(
        "good.yml",
        "groups: [{name: g, rules: [{record: a, expr: sum(b)}, {alert: A, expr: b > 1}]}]\n",
    );
    files.add("bad.yml", "groups:\n- name: g\n  rules:\n  - record: a\n    expr: sum(b\n");
    files.add(
        "twice.yml",
        "groups: [{name: g, rules: [{record: a, expr: b}, {record: a, expr: c}]}]\n",
    );
    files.check(
        &["check", "rules", "good.yml"],
        0,
        "Checking good.yml\n  SUCCESS: 2 rules found\n\n",
        "",
    );
    files.check(
        &["check", "rules", "bad.yml"],
        1,
        "Checking bad.yml\n",
        "  FAILED:\nbad.yml: 5:11: group \"g\", rule 1, \"a\": could not parse expression: 1:6: parse error: unclosed left parenthesis\n",
    );
    let lint = "  FAILED:\nlint error 1 duplicate rule(s) found.\nMetric: a\nLabel(s):\nMight cause inconsistency while recording expressions\n";
    files.check(&["check", "rules", "twice.yml"], 0, "Checking twice.yml\n\n", lint);
    files.check(
        &["check", "rules", "--lint-fatal", "twice.yml"],
        3,
        "Checking twice.yml\n\n",
        lint,
    );
    files.add("p.yml", "rule_files: [good.yml, b*.yml]\n");
    files.check(
        &["check", "config", "p.yml"],
        1,
        "Checking p.yml\n  SUCCESS: 2 rule files found\n SUCCESS: p.yml is valid prometheus config file syntax\n\nChecking good.yml\n  SUCCESS: 2 rules found\n\nChecking bad.yml\n",
        "  FAILED:\nbad.yml: 5:11: group \"g\", rule 1, \"a\": could not parse expression: 1:6: parse error: unclosed left parenthesis\n",
    );
    files.add("p.yml", "rule_files: [none.yml]\n");
    files.check(
        &["check", "config", "p.yml"],
        1,
        "Checking p.yml\n\n",
        "  FAILED: \"none.yml\" does not point to an existing file\n",
    );
}

#[test]
fn web_configs_are_checked() {
    let files = Files::new();
    files.add("good.yml", "http_server_config: {http2: false}\n");
    files.add("bad.yml", "tls_server_config: {cert_file: x}\n");
    files.add("gone.yml", "tls_server_config: {cert_file: x, key_file: y}\n");
    files.check(&["check", "web-config", "good.yml"], 0, "", "good.yml SUCCESS\n");
    files.check(
        &["check", "web-config", "bad.yml", "gone.yml"],
        1,
        "",
        "bad.yml FAILED: missing one of key or key_file\n\
         bad.yml:1:20: tls_server_config: missing one of key or key_file\n\
         gone.yml FAILED: failed to read cert_file (x): open x: no such file or directory\n",
    );
}

#[test]
fn targets_of_a_job_are_shown_before_and_after_relabelling() {
    let files = Files::new();
    files.add("t.json", "[{\"targets\": [\"b:1\"], \"labels\": {\"x\": \"y\"}}]");
    files.add(
        "p.yml",
        "scrape_configs:\n- job_name: a\n  file_sd_configs: [{files: [t.json]}]\n  static_configs: [{targets: ['a:1', 'a:1']}]\n  relabel_configs: [{regex: __meta_filepath, action: labeldrop}]\n- {job_name: k}\n",
    );
    let output = files.run(&["check", "service-discovery", "p.yml", "a"]);
    assert_eq!(output.status.code(), Some(0));
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown.as_array().unwrap().len(), 2);
    assert_eq!(shown[0]["discoveredLabels"]["__meta_filepath"], "t.json");
    assert_eq!(shown[0]["labels"], serde_json::json!({"instance": "b:1", "job": "a", "x": "y"}));
    assert_eq!(shown[1]["labels"], serde_json::json!({"instance": "a:1", "job": "a"}));
    files.check(
        &["check", "service-discovery", "p.yml", "x"],
        1,
        "",
        "Job x not found. Select one of:\n\ta\n\tk\n",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_knows_targets_is_asked() {
    let service = prom_testkit::FakeTarget::start().await;
    let json = |body: &str| prom_testkit::Answer::body("application/json", &[], body.as_bytes());
    service.answer("/sd", json(r#"[{"targets": ["c:1"]}]"#));
    service.answer("/v1/services", json(r#"[{"Services": [{"ServiceName": "web"}]}]"#));
    service
        .answer("/v1/service/web", json(r#"[{"Address": "n", "Port": 1, "ServiceName": "web"}]"#));
    service.answer("/v1/catalog/services", json(r#"{"db": []}"#));
    let instance =
        r#"[{"Node": {"Address": "d"}, "Service": {"Port": 2, "Tags": ["x"]}, "Checks": []}]"#;
    service.answer("/v1/health/service/db", json(instance));
    service.answer("/hang", prom_testkit::Answer::BytesThenHang(Vec::new()));
    let (address, url) = (service.address(), service.url(""));
    let files = Files::new();
    files.add(
        "p.yml",
        &format!(
            "scrape_configs:\n- job_name: a\n  http_sd_configs: [{{url: '{url}/sd'}}]\n  nomad_sd_configs: [{{server: '{url}'}}]\n  \
             consul_sd_configs: [{{server: '{address}', datacenter: dc}}]\n  static_configs: [{{targets: ['a:1']}}]\n\
             - {{job_name: b, http_sd_configs: [{{url: '{url}/nowhere'}}]}}\n- {{job_name: c, http_sd_configs: [{{url: '{url}/hang'}}]}}\n"
        ),
    );
    let output = files.run(&["check", "service-discovery", "p.yml", "a"]);
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let labels =
        |target: &serde_json::Value| target["labels"]["instance"].as_str().unwrap().to_owned();
    let instances: Vec<_> = shown.as_array().unwrap().iter().map(labels).collect();
    assert_eq!(instances, ["d:2", "c:1", "n:1", "a:1"]);
    assert_eq!(shown[0]["discoveredLabels"]["__meta_consul_tags"], ",x,");
    assert_eq!(shown[2]["discoveredLabels"]["__meta_nomad_service"], "web");
    files.check(
        &["check", "service-discovery", "p.yml", "b"],
        0,
        "[]\n",
        "Unable to refresh target groups: http: server returned HTTP status 404 Not Found\n",
    );
    files.check(
        &["check", "service-discovery", "--timeout=50ms", "p.yml", "c"],
        0,
        "[]\n",
        "Unable to refresh target groups: http: context deadline exceeded\n",
    );
}

#[test]
fn a_kubeconfig_that_cannot_be_read_holds_nobody_up() {
    let files = Files::new();
    // Nobody ever writes into the pipe: opening it would wait for ever.
    let pipe = files.directory.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    files.add(
        "p.yml",
        "scrape_configs:\n- {job_name: a, kubernetes_sd_configs: [{role: pod, kubeconfig_file: pipe}]}\n",
    );
    files.check(
        &["check", "service-discovery", "--timeout=50ms", "p.yml", "a"],
        0,
        "[]\n",
        "Unable to refresh target groups: kubernetes: context deadline exceeded\n",
    );
}

#[test]
fn the_effect_of_a_change_is_told() {
    let files = Files::new();
    files.add("old.yml", "scrape_configs:\n- {job_name: a, static_configs: [{targets: ['x:1', 'x:2']}]}\n- {job_name: b, basic_auth: {password: one}}\n");
    files.add("new.yml", "scrape_configs:\n- {job_name: a, static_configs: [{targets: ['x:1', 'x:3']}]}\n- {job_name: b, basic_auth: {password: two}}\n");
    let output = files.run(&["config", "diff", "old.yml", "new.yml"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.starts_with("scrape jobs: 1 changed; targets: 1 added, 1 removed\n  ~ scrape jobs: a\n  + targets: a/x:3\n  - targets: a/x:2\n"), "{text}");
    assert!(text.contains("\n-    - x:2\n+    - x:3\n"), "{text}");
    files.check(
        &["config", "diff", "old.yml", "old.yml"],
        0,
        "nothing but layout, comments or secrets\n",
        "",
    );
    files.check(
        &["config", "diff", "old.yml"],
        1,
        "",
        "promtool: error: two files are compared, or --server and one, try --help\n",
    );
}

#[test]
fn servers_are_asked_how_they_are() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("--url=http://{}/", listener.local_addr().unwrap());
    let answers = ["200 OK", "503 Service Unavailable"];
    let server = std::thread::spawn(move || {
        answers.map(|status| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = [0; 1024];
            let size = std::io::Read::read(&mut stream, &mut head).unwrap();
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 3\r\n\r\nyes");
            std::io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&head[..size]).lines().next().unwrap().to_owned()
        })
    });
    let files = Files::new();
    files.check(&["check", "healthy", &url], 0, "", "  SUCCESS:  yes\n");
    let base = url.trim_start_matches("--url=");
    files.check(
        &["check", "ready", &url],
        1,
        "",
        &format!("check failed: URL={base}, status=503\n"),
    );
    assert_eq!(server.join().unwrap(), ["GET /-/healthy HTTP/1.1", "GET /-/ready HTTP/1.1"]);
}

/// Both programs say the same of the original's own files, to the first line of a refusal.
#[test]
fn verdicts_are_those_of_the_original() {
    let (Some(original), Some(data)) =
        (prom_testkit::peer("promtool"), prom_testkit::conformance("promtool"))
    else {
        return;
    };
    let mut commands = Vec::new();
    for entry in fs::read_dir(&data).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let commands_of: &[&[&str]] = match name.as_str() {
            name if name.starts_with("prometheus-config") || name.contains("config_with") => &[
                &["config", "--lint=all"],
                &["config", "--syntax-only"],
                &["config", "--lint=all", "--lint-fatal"],
            ],
            name if name.starts_with("authorization") => &[&["config"]],
            name if name.starts_with("prometheus-rules")
                || name.starts_with("bad-") && name.ends_with(".yml") =>
            {
                &[&["rules"], &["rules", "--lint=all", "--lint-fatal"]]
            }
            _ => continue,
        };
        commands.extend(commands_of.iter().map(|args| (args.to_vec(), name.clone())));
    }
    assert!(commands.len() > 20, "{commands:?}");
    for (args, name) in commands {
        let run = |program: &std::path::Path| {
            let output = Command::new(program)
                .arg("check")
                .args(&args)
                .arg(&name)
                .current_dir(&data)
                .output()
                .unwrap();
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            (output.status.code(), text(output.stdout), text(output.stderr))
        };
        let ours = run(std::path::Path::new(env!("CARGO_BIN_EXE_promtool")));
        let theirs = run(&original);
        assert_eq!((ours.0, &ours.1), (theirs.0, &theirs.1), "{args:?} {name}");
        // Our further lines follow the original's. It reads rule files twice, and may tell the same twice.
        let is_told_once = ours.2.starts_with(theirs.2.trim_end());
        let is_told_twice = name == "bad-sd-file-format.yml" && theirs.2.starts_with(&ours.2);
        assert!(is_told_once || is_told_twice, "{args:?} {name}\n{}\n{}", ours.2, theirs.2);
    }
}

/// Every good file of the original passes, every bad one does not.
#[test]
fn files_of_the_original_get_their_verdicts() {
    let (Some(config), Some(examples)) =
        (prom_testkit::conformance("config"), prom_testkit::conformance("config_examples"))
    else {
        return;
    };
    let of_folder = |folder: &std::path::Path, is_taken: &dyn Fn(&str) -> bool| {
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut paths: Vec<_> =
            paths.filter(|path| is_taken(path.file_name().unwrap().to_str().unwrap())).collect();
        paths.sort();
        paths
    };
    let run = |flags: &[&str], files: &[std::path::PathBuf]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_promtool"));
        command.args(["check", "config"]).args(flags).args(files).current_dir(&config);
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code(), text)
    };
    let mut good = of_folder(&config, &|name| name.ends_with(".good.yml"));
    good.extend(of_folder(&examples, &|name| {
        name.starts_with("prometheus") && name.ends_with(".yml") && !name.contains("agent")
    }));
    const SYNTAX: &str = "--syntax-only";
    let (status, text) = run(&[SYNTAX], &good);
    assert_eq!(status, Some(0), "{text}");
    assert_eq!(text.matches("SUCCESS: ").count(), good.len(), "{text}");
    assert!(good.len() > 60, "{good:?}");
    let of_agents = of_folder(&examples, &|name| name.contains("agent"));
    let (status, text) = run(&[SYNTAX, "--agent"], &of_agents);
    assert_eq!(status, Some(0), "{text}");
    let bad = of_folder(&config, &|name| name.ends_with(".bad.yml"));
    assert!(bad.len() > 100, "{bad:?}");
    // What is wrong with included files is only seen by a look at them.
    let (in_others, in_itself): (Vec<_>, Vec<_>) =
        bad.into_iter().partition(|path| path.to_string_lossy().contains("scrape_config_files_"));
    for (flags, files) in [(&[SYNTAX][..], in_itself), (&[], in_others)] {
        let (status, text) = run(flags, &files);
        assert_eq!(status, Some(1), "{text}");
        assert_eq!(text.matches("FAILED: ").count(), files.len(), "{text}");
    }
}

#[test]
fn wrong_command_lines_end_with_one() {
    let files = Files::new();
    let check = |args: &[&str], reason: &str| {
        files.check(args, 1, "", &format!("promtool: error: {reason}, try --help\n"));
    };
    check(&["bogus"], "expected command but got \"bogus\"");
    check(&["--bogus"], "unknown long flag '--bogus'");
    check(&["check"], "must select a subcommand of 'check'");
    check(&["check", "config", "none.yml"], "path 'none.yml' does not exist");
    assert_eq!(files.run(&[]).status.code(), Some(0));
    let version = files.run(&["--version"]);
    assert!(version.stdout.starts_with(b"promtool, version "));
}

#[test]
fn a_reader_that_goes_away_is_no_crash() {
    let files = Files::new();
    files.add("a.yml", "");
    let program = env!("CARGO_BIN_EXE_promtool");
    let script = format!("'{program}' check config a.yml | true; exit ${{PIPESTATUS[0]}}");
    let mut bash = Command::new("bash");
    let status = bash.args(["-c", &script]).current_dir(files.directory.path()).status().unwrap();
    assert_eq!(status.code(), Some(0));
}
