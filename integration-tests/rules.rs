//! Rule files in a server that evaluates none: loaded, checked, watched, shown, and refused by default.

use std::{fs, process::Command};

use serde_json::Value;

use crate::harness::{Server, ServerBuilder, eventually};

const CONFIG: &str = "rule_files: ['rules/*.yml']\n";

fn group(name: &str, expression: &str) -> String {
    format!("groups:\n- name: {name}\n  rules:\n  - record: a:b\n    expr: {expression}\n")
}

/// The lifecycle's view.
fn view(server: &Server) -> Value {
    server.get("/api/v1/status/lifecycle").json()["data"].clone()
}

/// Waits for the outcome of a reload that says this.
#[track_caller]
fn wait_for_outcome(server: &Server, expected: &str) -> String {
    eventually(expected, || {
        let outcome = view(server)["reload"]["outcome"].as_str().unwrap().to_owned();
        // Another one that changed nothing may have followed it.
        let log = server.log();
        let logged = log.lines().rev().filter_map(|line| line.split_once("reason=\""));
        let logged = logged.map(|(_, told)| told.trim_end_matches('"').replace("\\\"", "\""));
        std::iter::once(outcome).chain(logged).find(|told| told.contains(expected))
    })
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("rules")).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join("rules").join(name), text).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.0.path().join("rules").join(name)).unwrap();
    }

    fn builder(&self) -> ServerBuilder {
        let pattern = self.0.path().join("rules/*.yml");
        ServerBuilder::new(&format!("rule_files: ['{}']\n", pattern.display()))
    }

    fn server(&self) -> Server {
        self.builder().arg("--rules.evaluation=off").start()
    }
}

#[test]
fn rules_are_refused_unless_it_is_said_that_none_is_evaluated() {
    let folder = Folder::new();
    folder.write("a.yml", &group("g", "sum(x)"));
    let config = folder.0.path().join("prometheus.yml");
    fs::write(&config, CONFIG).unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_prometheus"))
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.0.path().join("data").display()))
        .arg("--web.listen-address=127.0.0.1:0")
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(78));
    let log = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(log.contains("evaluating rules is not supported by this build yet"), "{log}");
    assert!(log.contains("--rules.evaluation=off loads, checks and watches"), "{log}");

    // The same for a reload; what runs stays.
    folder.remove("a.yml");
    let server = folder.builder().start();
    folder.write("a.yml", &group("g", "sum(x)"));
    wait_for_outcome(&server, "evaluating rules is not supported");
    assert_eq!(server.state(), "Ready");
    assert!(server.get("/config").body.contains("--rules.evaluation=off"));
    folder.remove("a.yml");
    wait_for_outcome(&server, "unchanged");
}

#[test]
fn rules_that_are_not_evaluated_are_told_everywhere() {
    let folder = Folder::new();
    folder.write("a.yml", &group("g", "sum(x)"));
    let server = folder.server();
    let said = "1 rules loaded, none evaluated";
    let status = view(&server)["status"].as_str().unwrap().to_owned();
    assert!(status.contains(said), "{status}");
    server.wait_for_log("1 rules are loaded and none is evaluated");
    let page = server.get("/status").body;
    assert!(page.contains("1 loaded, none evaluated (--rules.evaluation=off)"), "{page}");
    let flags = server.get("/api/v1/status/flags").json();
    assert_eq!(flags["data"]["rules.evaluation"], "off");
}

#[test]
fn files_of_rules_are_watched_and_what_they_change_is_told() {
    let folder = Folder::new();
    let server = folder.server();
    folder.write("a.yml", &group("g", "sum(x)"));
    let told = wait_for_outcome(&server, "rules: 1 added");
    assert!(told.contains("rule groups: 1 added") && told.contains("included files: 1 added"));
    folder.write("b.yml", &group("h", "sum(y)"));
    wait_for_outcome(&server, "generation 3: ");
    folder.write("a.yml", &group("g", "sum(z)"));
    let told = wait_for_outcome(&server, "rules: 1 changed");
    assert!(told.starts_with("generation 4: rule groups: 1 changed"), "{told}");
    let listed = server.get("/api/v1/status/config/generations").json()["data"].clone();
    let changes = listed["generations"][0]["changes"].as_array().unwrap();
    let rules = changes.iter().find(|change| change["subject"] == "rules").unwrap();
    let name = rules["changed"]["names"][0].as_str().unwrap();
    assert!(name.starts_with("a:b in g in /") && name.ends_with("/rules/a.yml"), "{name}");
    assert_eq!(rules["unchanged"], 1);
    let files = listed["generations"][0]["files"].as_array().unwrap();
    assert_eq!(files.len(), 3, "{files:?}");
    folder.remove("b.yml");
    wait_for_outcome(&server, "rules: 1 removed");

    // All texts of a generation come back, those of rule files, too; the files stay as they are.
    let answer = server.post("/api/v1/config/rollback", "generation=3");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.contains("rules: 1 added, 1 changed"), "{}", answer.body);
    let status = view(&server)["status"].as_str().unwrap().to_owned();
    assert!(status.contains("2 rules loaded"), "{status}");
    assert!(!folder.0.path().join("rules/b.yml").exists());
    // And go into the files where that is asked for.
    let answer = server.post("/api/v1/config/rollback", "generation=4&write=1");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let text = fs::read_to_string(folder.0.path().join("rules/b.yml")).unwrap();
    assert_eq!(text, group("h", "sum(y)"));
}

#[test]
fn mistakes_in_rules_are_told_with_file_group_rule_and_position() {
    let folder = Folder::new();
    folder.write("good.yml", &group("g", "sum(x)"));
    let server = folder.server();
    folder.write("bad.yml", &group("h", "sum(x) by"));
    let told = wait_for_outcome(&server, "bad.yml");
    assert!(
        told.contains("bad.yml line 5: group \"h\", rule 1, \"a:b\": could not parse"),
        "{told}"
    );
    assert!(told.contains("1:10: parse error: unexpected end of input"), "{told}");
    assert!(told.contains("bad.yml:5:11: groups[0].rules[0].expr: "), "{told}");
    let status = view(&server)["status"].as_str().unwrap().to_owned();
    assert!(status.contains("bad.yml line 5") && status.contains("1 rules loaded"), "{status}");
    let metrics = server.get("/metrics").body;
    assert!(metrics.contains("\nprometheus_config_last_reload_successful 0\n"));
    folder.write("bad.yml", &group("h", "sum(x) by (y)"));
    wait_for_outcome(&server, "rules: 1 added");
}

/// A rule file comes and goes while reloads are asked for: each ends with all of one moment, none with a
/// fault, and the last with what the disk holds.
#[test]
fn a_rule_file_that_comes_and_goes_leaves_what_the_disk_holds() {
    let folder = Folder::new();
    folder.write("steady.yml", &group("s", "sum(x)"));
    let server = folder.server();
    for round in 0..60 {
        folder.write("fleeting.yml", &group("f", &format!("sum(x{round})")));
        server.signal("HUP");
        if round % 3 == 0 {
            let answer = server.post("/-/reload", "");
            assert!(
                answer.status == 200 || answer.body.contains("fleeting.yml"),
                "{}",
                answer.body
            );
        }
        folder.remove("fleeting.yml");
    }
    eventually("the fleeting rules are gone for good", || {
        let yaml = view(&server);
        (yaml["status"].as_str().unwrap().contains("1 rules loaded")).then_some(())
    });
    // A reload that was on its way then may have read a file that is gone: the first one puts that right.
    for _ in 0..2 {
        assert_eq!(server.post("/-/reload", "").status, 200);
    }
    let view = view(&server);
    assert_eq!(
        (&view["current"], &view["reload"]["outcome"]),
        (&"Ready".into(), &"unchanged".into())
    );
}
