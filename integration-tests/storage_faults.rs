//! A disk that fills up and is freed again: no sample is claimed that is not stored, and the server goes on.

use std::fs;

use crate::harness::{Need, ServerBuilder, SmallDisk, Target, eventually, need};

#[test]
fn a_full_disk_stops_ingestion_by_name_and_heals() {
    if need(Need::Root).is_none() {
        return;
    }
    let disk = SmallDisk::new("32m");
    let target = Target::serving(|index| {
        let series = (0..500).map(|i| format!("m{{i=\"{i}\"}} {}\n", index * 31 + i));
        series.collect::<String>() + &format!("scrapes {index}\n")
    });
    let config = format!(
        "global: {{scrape_interval: 100ms, scrape_timeout: 100ms}}\n\
         scrape_configs: [{{job_name: a, static_configs: [{{targets: [\"{}\"]}}]}}]\n",
        target.address()
    );
    let mut server = ServerBuilder::new(&config).data(&disk.path().join("data")).start();
    eventually("samples", || server.value("scrapes").filter(|n| *n > 5.0));

    let ballast = disk.fill();
    let error = eventually("the full disk shows at the target", || {
        let targets = server.get("/api/v1/targets").json();
        let error = targets["data"]["activeTargets"][0]["lastError"].as_str()?.to_owned();
        error.contains("No space left").then_some(error)
    });
    assert!(error.contains("data"), "{error}");
    let stored = server.value("max_over_time(scrapes[1h])").unwrap();
    assert_eq!(server.get("/-/healthy").status, 200);

    fs::remove_file(ballast).unwrap();
    eventually("ingestion resumes by itself", || {
        server.value("max_over_time(scrapes[1h])").filter(|n| *n > stored + 3.0)
    });
    // what queries showed is what a crash leaves
    let shown = server.value("count_over_time(scrapes[1h])").unwrap();
    server.kill();
    server.restart();
    assert!(server.value("count_over_time(scrapes[1h])").unwrap() >= shown);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[test]
fn a_disk_that_is_full_at_the_start_holds_ingestion_back_only() {
    if need(Need::Root).is_none() {
        return;
    }
    let disk = SmallDisk::new("1m");
    let ballast = disk.fill();
    let target = Target::serving(|index| format!("scrapes {index}\n"));
    let config = format!(
        "global: {{scrape_interval: 100ms, scrape_timeout: 100ms}}\n\
         scrape_configs: [{{job_name: a, static_configs: [{{targets: [\"{}\"]}}]}}]\n",
        target.address()
    );
    let server = ServerBuilder::new(&config).data(&disk.path().join("data")).start();
    eventually("the state says so", || (server.state() == "Degraded").then_some(()));
    let view = server.get("/api/v1/status/lifecycle").body;
    assert!(view.contains("No space left"), "{view}");
    assert_eq!(server.get("/-/ready").status, 200);
    assert_eq!(server.value("count(scrapes)"), None);
    fs::remove_file(ballast).unwrap();
    eventually("samples", || server.value("scrapes"));
    eventually("the state is lifted", || (server.state() == "Ready").then_some(()));
}
