//! Reloads by request, signal and edit: all of the new configuration or all of the old.

use crate::harness::{Server, ServerBuilder, Target, eventually};

fn config(job: &str, address: &str) -> String {
    format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
         scrape_configs:\n- job_name: {job}\n  static_configs:\n  - targets: [\"{address}\"]\n"
    )
}

fn jobs(server: &Server) -> Vec<String> {
    let answer = server.get("/api/v1/scrape_pools").json();
    let pools = answer["data"]["scrapePools"].as_array().unwrap().iter();
    pools.map(|pool| pool.as_str().unwrap().to_owned()).collect()
}

fn last_reload_successful(server: &Server) -> bool {
    let metrics = server.get("/metrics").body;
    let line =
        metrics.lines().find(|line| line.starts_with("prometheus_config_last_reload_successful "));
    line.unwrap().ends_with(" 1")
}

#[test]
fn a_request_reloads_or_tells_why_not() {
    let target = Target::serving(|_| "a 1\n".to_owned());
    let server = ServerBuilder::new(&config("one", target.address())).start();
    server.write_config(&config("two", target.address()));
    let answer = server.post("/-/reload", "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(jobs(&server), ["two"]);
    assert!(last_reload_successful(&server));

    server.write_config("scrape_configs:\n- job_name: three\n  nonsense: 1\n");
    let answer = server.post("/-/reload", "");
    assert_eq!(answer.status, 500);
    assert!(answer.body.contains("nonsense"), "{}", answer.body);
    assert_eq!(jobs(&server), ["two"]);
    assert!(!last_reload_successful(&server));
    assert_eq!(server.get("/-/ready").status, 200);
    let page = server.get("/config").body;
    assert!(page.contains("nonsense") && page.contains("two"), "{page}");
}

#[test]
fn an_edit_is_enough() {
    let target = Target::serving(|_| "a 1\n".to_owned());
    let server = ServerBuilder::new(&config("one", target.address())).start();
    server.write_config(&config("two", target.address()));
    eventually("the edited file runs", || (jobs(&server) == ["two"]).then_some(()));

    // an editor that writes a new file and renames it over the old one
    let temporary = server.config_path().with_extension("tmp");
    std::fs::write(&temporary, config("three", target.address())).unwrap();
    std::process::Command::new("mv").arg(&temporary).arg(server.config_path()).status().unwrap();
    eventually("the renamed file runs", || (jobs(&server) == ["three"]).then_some(()));

    server.write_config("broken: [");
    eventually("the broken file is refused", || (!last_reload_successful(&server)).then_some(()));
    assert_eq!(jobs(&server), ["three"]);

    server.write_config(&config("four", target.address()));
    eventually("the mended file runs", || (jobs(&server) == ["four"]).then_some(()));
    assert!(last_reload_successful(&server));
}

#[test]
fn sighup_reloads() {
    let target = Target::serving(|_| "a 1\n".to_owned());
    let server = ServerBuilder::new(&config("one", target.address())).start();
    server.write_config(&config("two", target.address()));
    server.signal("HUP");
    eventually("the file runs", || (jobs(&server) == ["two"]).then_some(()));
}

#[test]
fn an_unchanged_target_misses_no_scrape() {
    let target = Target::serving(|index| format!("scrapes {index}\n"));
    let both = |extra: &str| format!("{}{extra}", config("steady", target.address()));
    let server = ServerBuilder::new(&both("")).start();
    eventually("the first scrapes", || (target.request_count() > 3).then_some(()));
    for index in 0..10 {
        server.write_config(&both(&format!("- job_name: extra{index}\n")));
        assert_eq!(server.post("/-/reload", "").status, 200);
    }
    let before = target.request_count();
    eventually("more scrapes", || (target.request_count() > before + 3).then_some(()));
    // no staleness marker and no gap: one value for each request, in a row
    let missing = server.value("max_over_time(scrapes[1m]) + 1 - count_over_time(scrapes[1m])");
    assert_eq!(missing, Some(0.0));
}

#[test]
fn reloads_asked_at_once_all_get_an_answer() {
    let target = Target::serving(|_| "a 1\n".to_owned());
    let server = ServerBuilder::new(&config("one", target.address())).start();
    let address = server.address();
    server.write_config(&config("last", target.address()));
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| crate::harness::post(&address, "/-/reload", "").unwrap().status)
            })
            .collect();
        for answer in asked {
            assert_eq!(answer.join().unwrap(), 200);
        }
    });
    assert_eq!(jobs(&server), ["last"]);
}
