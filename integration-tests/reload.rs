//! Reloads by request, signal and edit: all of the new configuration or all of the old.

use crate::harness::{Need, Server, ServerBuilder, SmallDisk, Target, eventually, need};

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

/// Start timestamps have no place in XOR chunks.
#[test]
fn an_encoding_that_cannot_hold_start_timestamps_is_refused() {
    let target = Target::serving(|_| "a 1\n".to_owned());
    let encoded = |job: &str, encoding: &str| {
        let storage = format!("storage: {{tsdb: {{chunk_encoding: {{floats: {encoding}}}}}}}\n");
        storage + &config(job, target.address())
    };
    let server =
        ServerBuilder::new(&encoded("one", "xor2")).arg("--enable-feature=st-storage").start();
    server.write_config(&encoded("two", "xor"));
    let answer = server.post("/-/reload", "");
    assert_eq!(answer.status, 500);
    let reason = "float chunk encoding \"xor\" is incompatible with start-timestamp storage; \
                  XOR chunks do not store start timestamps, use \"xor2\"";
    assert!(answer.body.contains(reason), "{}", answer.body);
    assert_eq!(jobs(&server), ["one"]);
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

/// `data` of the list of generations.
fn generations(server: &Server) -> serde_json::Value {
    server.get("/api/v1/status/config/generations").json()["data"].clone()
}

#[test]
fn there_is_a_way_back_and_it_is_shown() {
    let target = Target::serving(|_| "a 1\n".to_owned());
    let mut server = ServerBuilder::new(&config("one", target.address())).start();
    server.write_config(&config("two", target.address()));
    assert_eq!(server.post("/-/reload", "").status, 200);
    let two = std::fs::read_to_string(server.config_path()).unwrap();

    let diff = server.get("/api/v1/status/config/diff?from=1&to=2").json()["data"].clone();
    let text = diff["diff"].as_str().unwrap();
    assert!(text.contains("-- job_name: one\n") && text.contains("+- job_name: two\n"), "{text}");

    // what runs goes back, the file stays
    let answer = server.post("/api/v1/config/rollback", "generation=1");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(
        answer.body.contains("generation 3: scrape jobs: 1 added, 1 removed"),
        "{}",
        answer.body
    );
    assert_eq!(jobs(&server), ["one"]);
    assert_eq!(std::fs::read_to_string(server.config_path()).unwrap(), two);
    let listed = generations(&server);
    assert_eq!((&listed["current"], &listed["isFileOther"]), (&3.into(), &true.into()));
    assert_eq!(listed["generations"][0]["restores"], 1);
    assert!(server.get("/config").body.contains("holds something else than what runs"));
    let answer = server.post("/api/v1/config/rollback", "generation=9");
    assert!(answer.body.contains("there is no generation 9, only 1 to 3"), "{}", answer.body);
    assert_eq!(jobs(&server), ["one"]);

    // the next edit counts
    server.write_config(&config("three", target.address()));
    eventually("the edit is taken over", || (jobs(&server) == ["three"]).then_some(()));
    assert_eq!(generations(&server)["isFileOther"], false);

    // what is asked to be written is written, and is no edit
    let answer = server.post("/config/rollback", "generation=2&write=1");
    assert_eq!(answer.status, 303, "{}", answer.body);
    assert_eq!(std::fs::read_to_string(server.config_path()).unwrap(), two);
    let listed = generations(&server);
    assert_eq!((&listed["current"], &listed["isFileOther"]), (&5.into(), &false.into()));

    // a start with the same file goes on with the generation
    server.stop();
    server.restart();
    let listed = generations(&server);
    assert_eq!((&listed["current"], &listed["fault"]), (&5.into(), &serde_json::Value::Null));
    assert_eq!(listed["generations"].as_array().unwrap().len(), 5);
    assert_eq!(server.post("/api/v1/config/rollback", "generation=4").status, 200);
    assert_eq!(jobs(&server), ["three"]);
}

#[test]
fn a_refused_file_is_shown_without_its_secrets() {
    let target = Target::serving(|_| "a 1\n".to_owned());
    let server = ServerBuilder::new(&config("good", target.address())).start();
    let bad = config("bad", target.address()) + "  basic_auth:\n    password: hunter2\n  oops: 1\n";
    server.write_config(&bad);
    assert_eq!(server.post("/-/reload", "").status, 500);
    let page = server.get("/config").body;
    assert!(page.contains("The latest reload was rejected"), "{page}");
    assert!(page.contains("oops: 1") && page.contains("job_name: good"), "{page}");
    let listed = generations(&server);
    assert_eq!(listed["isFileOther"], true);
    assert!(listed["rejections"][0]["errors"].as_str().unwrap().contains("oops"));
    for text in [page, listed.to_string(), server.log()] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_reload_succeeds_where_generations_cannot_be_kept() {
    let target = Target::serving(|_| "a 1\n".to_owned());
    let builder = ServerBuilder::new(&config("one", target.address()));
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("generations"), "not a folder").unwrap();
    let server = builder.data(data.path()).start();
    server.write_config(&config("two", target.address()));
    assert_eq!(server.post("/-/reload", "").status, 200);
    assert_eq!(jobs(&server), ["two"]);
    let said = "generation 2 of the configuration is not on disk";
    server.wait_for_log(said);
    let view = server.get("/api/v1/status/lifecycle").json()["data"].clone();
    assert!(view["status"].as_str().unwrap().contains(said), "{view}");
    assert!(view["reload"]["outcome"].as_str().unwrap().contains(said), "{view}");
    assert!(server.get("/config").body.contains(said));
}

#[test]
fn on_a_full_disk_a_reload_succeeds_and_its_generation_is_kept_later() {
    if need(Need::Root).is_none() {
        return;
    }
    let disk = SmallDisk::new("8m");
    let jobs_of = |name: &str| format!("scrape_configs: [{{job_name: {name}}}]\n");
    let server = ServerBuilder::new(&jobs_of("one")).data(&disk.path().join("data")).start();
    let ballast = disk.fill();
    server.write_config(&jobs_of("two"));
    assert_eq!(server.post("/-/reload", "").status, 200);
    assert_eq!(jobs(&server), ["two"]);
    let fault = generations(&server)["fault"].as_str().unwrap().to_owned();
    assert!(fault.contains("No space left on device"), "{fault}");
    std::fs::remove_file(ballast).unwrap();
    server.write_config(&jobs_of("three"));
    assert_eq!(server.post("/-/reload", "").status, 200);
    assert_eq!(generations(&server)["fault"], serde_json::Value::Null);
    assert_eq!(server.post("/api/v1/config/rollback", "generation=2").status, 200);
    assert_eq!(jobs(&server), ["two"]);
}

#[test]
fn two_hundred_edits_in_a_row_end_with_the_last() {
    let target = Target::serving(|_| "a 1\n".to_owned());
    let server = ServerBuilder::new(&config("one", target.address())).start();
    for index in 0..200 {
        server.write_config(&config(&format!("edit{index}"), target.address()));
        if index % 50 == 0 {
            server.signal("HUP");
        }
    }
    eventually("the last edit is taken over", || (jobs(&server) == ["edit199"]).then_some(()));
    let listed = generations(&server);
    // A signal may find a file that is half written; edits alone wait until nobody writes any more.
    let rejections = listed["rejections"].as_array().unwrap();
    assert!(rejections.iter().all(|rejection| rejection["cause"] == "SIGHUP"), "{listed}");
    assert_eq!(server.state(), "Ready");
}
