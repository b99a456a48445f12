//! A new configuration on trial: one that breaks targets is undone, any other stays.

use std::{fs, net::TcpListener};

use serde_json::Value;

use crate::harness::{Server, ServerBuilder, Target, eventually};

const TARGET_COUNT: usize = 4;
const HOUR: &str = "--config.auto-revert-window=1h";

fn config(interval: &str, label: &str, addresses: &[String]) -> String {
    let quoted: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
    format!(
        "global: {{scrape_interval: {interval}, scrape_timeout: 500ms}}\n\
         scrape_configs:\n- job_name: things\n  static_configs:\n  - targets: [{}]\n    \
         labels: {{edit: {label}}}\n",
        quoted.join(", ")
    )
}

/// Targets that answer, and addresses where nobody does.
struct Scene {
    _targets: Vec<Target>,
    good: Vec<String>,
    bad: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        let targets: Vec<Target> =
            (0..TARGET_COUNT).map(|_| Target::serving(|_| "a 1\n".to_owned())).collect();
        let good = targets.iter().map(|target| target.address().to_owned()).collect();
        let closed: Vec<TcpListener> =
            (0..TARGET_COUNT).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let bad = closed.iter().map(|it| it.local_addr().unwrap().to_string()).collect();
        Self { _targets: targets, good, bad }
    }

    /// A server with this bound whose targets are all up.
    fn server(&self, window: &str) -> Server {
        let server = ServerBuilder::new(&config("500ms", "first", &self.good))
            .arg("--config.auto-revert-below=0.5")
            .arg(window)
            .start();
        wait_for_targets(&server);
        server
    }
}

fn wait_for_targets(server: &Server) {
    eventually("all targets are up", || {
        let answer = server.get("/api/v1/targets?state=active").json();
        let targets = answer["data"]["activeTargets"].as_array().unwrap().clone();
        targets.iter().all(|target| target["health"] == "up").then_some(())
    });
}

fn edit(server: &Server, config: &str) {
    server.write_config(config);
    let answer = server.post("/-/reload", "");
    assert_eq!(answer.status, 200, "{}", answer.body);
}

fn view(server: &Server) -> Value {
    server.get("/api/v1/status/lifecycle").json()["data"].clone()
}

fn generations(server: &Server) -> Value {
    server.get("/api/v1/status/config/generations").json()["data"].clone()
}

fn metric(server: &Server, name: &str) -> String {
    let text = server.get("/metrics").body;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} in {text}")).to_owned()
}

#[track_caller]
fn wait_for_revert(server: &Server) -> Value {
    eventually("the edit is undone", || {
        let view = view(server);
        (view["reload"]["current"] == "Reverted" && view["current"] == "Ready").then_some(view)
    })
}

/// The label of the configuration in force.
fn label_in_force(server: &Server) -> String {
    let answer = server.get("/api/v1/status/config").json();
    let yaml = answer["data"]["yaml"].as_str().unwrap();
    yaml.split("edit: ").nth(1).unwrap().lines().next().unwrap().to_owned()
}

#[test]
fn an_edit_that_breaks_most_targets_is_undone_and_that_is_told_everywhere() {
    let scene = Scene::new();
    let server = scene.server(HOUR);
    let broken = config("500ms", "broken", &scene.bad);
    edit(&server, &broken);
    let view = wait_for_revert(&server);
    let reason = "at most 1 of 4 targets that were up still are, below the bound of 0.5";
    // All four may have failed before the first look.
    let is_told = |text: &str| {
        (0..2).any(|count| text.contains(&reason.replace("most 1", &format!("most {count}"))))
    };
    let outcome = view["reload"]["outcome"].as_str().unwrap();
    assert!(outcome.starts_with("generation 3: back to generation 1 by itself: "), "{outcome}");
    assert!(is_told(outcome) && outcome.contains("targets: 4 added, 4 removed"), "{outcome}");
    assert!(is_told(view["status"].as_str().unwrap()), "{view}");
    server.wait_for_log("The new configuration is undone");
    assert!(is_told(&server.log()) && is_told(&server.get("/config").body));
    assert!(server.get("/config").body.contains("undone by the server"));
    let listed = generations(&server);
    assert_eq!((&listed["current"], &listed["isFileOther"]), (&3.into(), &true.into()));
    assert_eq!(listed["generations"][0]["restores"], 1);
    assert!(is_told(listed["generations"][0]["cause"].as_str().unwrap()), "{listed}");
    assert_eq!(metric(&server, "prometheus_config_auto_reverts_total"), "1");
    assert_eq!(metric(&server, "prometheus_config_on_trial"), "0");
    assert_eq!(metric(&server, "prometheus_config_last_reload_successful"), "0");
    let info = server.get("/api/v1/status/runtimeinfo").json();
    assert_eq!(info["data"]["reloadConfigSuccess"], false);

    // What runs is the configuration from before, and the file is left alone.
    assert_eq!(label_in_force(&server), "first");
    wait_for_targets(&server);
    assert_eq!(fs::read_to_string(server.config_path()).unwrap(), broken);

    // The next edit counts, and is on trial again.
    edit(&server, &config("500ms", "mended", &scene.good));
    assert_eq!(label_in_force(&server), "mended");
    let status = self::view(&server)["status"].as_str().unwrap().to_owned();
    assert!(status.contains("; generation 4 on trial for 3") && !is_told(&status), "{status}");
    assert_eq!(metric(&server, "prometheus_config_last_reload_successful"), "1");
}

#[test]
fn an_edit_that_leaves_enough_targets_is_kept() {
    let scene = Scene::new();
    let server = scene.server("--config.auto-revert-window=2s");
    // One broken, and many that never were.
    let mut addresses = scene.good[1..].to_vec();
    addresses.extend_from_slice(&scene.bad);
    edit(&server, &config("500ms", "second", &addresses));
    assert_eq!(metric(&server, "prometheus_config_on_trial"), "1");
    eventually("the trial is over", || {
        (metric(&server, "prometheus_config_on_trial") == "0").then_some(())
    });
    server.wait_for_log("The new configuration is kept");
    assert_eq!(metric(&server, "prometheus_config_auto_reverts_total"), "0");
    assert_eq!(label_in_force(&server), "second");
    assert_eq!(generations(&server)["current"], 2);
}

#[test]
fn without_evidence_nothing_is_undone() {
    let scene = Scene::new();
    let server = scene.server("--config.auto-revert-window=1s");
    // Nobody will be asked before the trial is over.
    edit(&server, &config("1d", "silent", &scene.bad));
    server.wait_for_log("The new configuration is kept");
    assert_eq!(label_in_force(&server), "silent");
}

#[test]
fn each_edit_begins_a_trial_and_what_has_not_proven_itself_is_no_way_back() {
    let scene = Scene::new();
    let server = scene.server(HOUR);
    edit(&server, &config("500ms", "second", &scene.good));
    wait_for_targets(&server);
    edit(&server, &config("500ms", "third", &scene.good));
    let status = view(&server)["status"].as_str().unwrap().to_owned();
    assert!(status.contains("generation 3 on trial for"), "{status}");
    wait_for_targets(&server);
    // Two in a row, the first of which nobody has seen fail when the second comes.
    edit(&server, &config("1h", "fourth", &scene.bad));
    edit(&server, &config("500ms", "fifth", &scene.bad));
    let outcome = wait_for_revert(&server)["reload"]["outcome"].as_str().unwrap().to_owned();
    assert!(outcome.starts_with("generation 6: back to generation 3 by itself"), "{outcome}");
    assert_eq!(label_in_force(&server), "third");
}

#[test]
fn a_way_back_that_an_operator_asks_for_is_not_on_trial() {
    let scene = Scene::new();
    let server = scene.server(HOUR);
    edit(&server, &config("500ms", "second", &scene.good));
    assert_eq!(metric(&server, "prometheus_config_on_trial"), "1");
    assert_eq!(server.post("/api/v1/config/rollback", "generation=1").status, 200);
    assert_eq!(metric(&server, "prometheus_config_on_trial"), "0");
}
