//! Targets that come and go without a reload, found by the real server.

use std::fs;

use crate::harness::{Server, ServerBuilder, Target, eventually};

const CONFIG: &str = "global: {scrape_interval: 200ms, scrape_timeout: 200ms}
scrape_configs:
- {job_name: files, file_sd_configs: [{files: ['targets/*.json', 'targets/*.yml']}]}
";

fn write(server: &Server, name: &str, text: &str) {
    let folder = server.config_path().with_file_name("targets");
    fs::create_dir_all(&folder).unwrap();
    let (temporary, path) = (folder.join(".new"), folder.join(name));
    fs::write(&temporary, text).unwrap();
    let renamed = std::process::Command::new("mv").arg(temporary).arg(path).status();
    assert!(renamed.unwrap().success());
}

fn instances(server: &Server) -> Vec<String> {
    let answer = server.get("/api/v1/targets?state=active").json();
    let targets = answer["data"]["activeTargets"].as_array().unwrap().iter();
    let instance = |it: &serde_json::Value| it["labels"]["instance"].as_str().unwrap().to_owned();
    let mut instances: Vec<String> = targets.map(instance).collect();
    instances.sort();
    instances
}

#[test]
fn files_of_targets_need_no_reload_and_touch_no_other_target() {
    let steady = Target::serving(|index| format!("scrapes {index}\n"));
    let other = Target::serving(|_| "a 1\n".to_owned());
    let server = ServerBuilder::new(CONFIG).start();
    write(&server, "a.json", &format!(r#"[{{"targets": ["{}"]}}]"#, steady.address()));
    eventually("the first file", || (instances(&server) == [steady.address()]).then_some(()));
    eventually("the first scrapes", || (steady.request_count() > 3).then_some(()));
    let both = {
        let mut both = [steady.address().to_owned(), other.address().to_owned()];
        both.sort();
        both
    };
    for _ in 0..2 {
        write(&server, "b.yml", &format!("- targets: ['{}']\n", other.address()));
        eventually("both files", || (instances(&server) == both).then_some(()));
        fs::remove_file(server.config_path().with_file_name("targets").join("b.yml")).unwrap();
        eventually("one file", || (instances(&server) == [steady.address()]).then_some(()));
    }
    write(&server, "a.json", "[{");
    let metric = "prometheus_sd_file_read_errors_total 1";
    eventually("an error", || {
        server.get("/metrics").body.lines().any(|line| line == metric).then_some(())
    });
    assert_eq!(instances(&server), [steady.address()]);
    let missing = server.value("max_over_time(scrapes[1m]) + 1 - count_over_time(scrapes[1m])");
    assert_eq!(missing, Some(0.0));
    let reloads = server.get("/api/v1/status/lifecycle").json();
    assert_eq!(reloads["data"]["reload"]["attempts_count"], 0, "{reloads}");
}
