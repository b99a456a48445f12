//! Series that have ended leave memory early once a reload asks for it, and are shown as before.

use std::{fmt::Write as _, time::Duration};

use crate::harness::{Server, ServerBuilder, Target, eventually, eventually_within};

const ENDED_COUNT: usize = 200;
/// The database looks after its series once a minute.
const PATIENCE: Duration = Duration::from_secs(150);

fn config(jobs: &[(&str, &Target)], storage: &str) -> String {
    let mut text = "global: {scrape_interval: 100ms, scrape_timeout: 100ms}\n".to_owned();
    text += storage;
    text += "scrape_configs:\n";
    for (name, target) in jobs {
        let address = target.address();
        let job = format!("{{job_name: {name}, static_configs: [{{targets: [\"{address}\"]}}]}}");
        writeln!(text, "  - {job}").unwrap();
    }
    text
}

fn metric(server: &Server, name: &str) -> f64 {
    let text = server.get("/metrics").body;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap().parse().unwrap()
}

fn ended_count(server: &Server) -> Option<f64> {
    server.value("count(max_over_time(ends[5m]))")
}

#[test]
fn slow_series_that_have_ended_leave_the_head_after_a_reload() {
    let ends = Target::serving(|_| {
        (0..ENDED_COUNT).map(|number| format!("ends{{number=\"{number}\"}} {number}\n")).collect()
    });
    let stays = Target::serving(|index| format!("stays {index}\n"));
    let both = [("ends", &ends), ("stays", &stays)];
    let mut server = ServerBuilder::new(&config(&both, "")).start();
    eventually("samples of both", || ended_count(&server).and(server.value("stays")));
    let before = metric(&server, "prometheus_tsdb_head_series");
    assert!(before > ENDED_COUNT as f64);
    let storage = "storage: {tsdb: {stale_series_compaction_threshold: 0.5}}\n";
    server.write_config(&config(&both[1..], storage));
    server.signal("HUP");
    eventually_within(PATIENCE, "the series are out of the head", || {
        let count = metric(&server, "prometheus_tsdb_head_series");
        (count <= before - ENDED_COUNT as f64).then_some(())
    });
    assert_eq!(metric(&server, "prometheus_tsdb_stale_series_compactions_triggered_total"), 1.0);
    assert_eq!(metric(&server, "prometheus_tsdb_stale_series_compactions_failed_total"), 0.0);
    assert_eq!(ended_count(&server), Some(ENDED_COUNT as f64));
    let stays_until = server.value("stays").unwrap();
    server.kill();
    server.restart();
    assert_eq!(ended_count(&server), Some(ENDED_COUNT as f64));
    assert_eq!(server.value("count(ends)"), None);
    eventually("scrapes go on", || server.value("stays").filter(|value| *value > stays_until));
    assert!(server.stop().success());
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
