//! Times since when series count: told by targets or made up, stored, and known to queries.

use std::{io::Write as _, time::SystemTime};

use crate::harness::{Server, ServerBuilder, Target, eventually};

/// Seconds between the target's samples, which have times of their own.
const STEP: usize = 1;
/// Samples before the counter begins anew, and all of them; the last one is told again and again.
const COUNT_BEFORE: usize = 5;
const COUNT: usize = 11;
const STORED: &str =
    "--enable-feature=st-storage,use-start-timestamps,promql-experimental-functions,xor2-encoding";

#[test]
fn counters_count_from_their_first_sample_where_their_start_is_made_up() {
    let target = Target::serving(|index| {
        let value = 1_000 + index;
        format!("# TYPE x counter\nx {value}\n# TYPE g gauge\ng {value}\n")
    });
    let config = format!(
        "global: {{scrape_interval: 100ms, scrape_timeout: 100ms}}\n\
         scrape_configs: [{{job_name: a, static_configs: [{{targets: [\"{}\"]}}]}}]\n",
        target.address()
    );
    let mut server = ServerBuilder::new(&config).arg("--enable-feature=st-synthesis").start();
    for _ in 0..2 {
        let count = server.value("count_over_time(x[1h])").unwrap_or_default();
        eventually("more samples", || {
            server.value("count_over_time(x[1h])").filter(|now| *now >= count + 3.0)
        });
        let least = server.value("min_over_time(x[1h])").unwrap();
        let most = server.value("max_over_time(x[1h])").unwrap();
        assert!(least >= 1.0 && most < 1_000.0, "{least} {most}");
        assert!(server.value("min_over_time(g[1h])").unwrap() >= 1_000.0);
        // The point of reference is of this run, and so is the next.
        server.kill();
        server.restart();
    }
}

/// One body of the target: its counter goes from 10 to 14, and from 25 on after a start that only `_created` tells.
fn body(index: usize, began: usize) -> String {
    let index = index.min(COUNT - 1);
    let (value, start) = match index < COUNT_BEFORE {
        true => (10 + index, format!("{}.125", began - 7_200)),
        false => (20 + index, format!("{}.5", began + COUNT_BEFORE - 1)),
    };
    let time = began + index * STEP;
    format!("# TYPE x counter\nx_total {value} {time}\nx_created {start}\n# EOF\n")
}

/// Compares what queries know of the starts at the end of all samples.
#[track_caller]
fn check_starts(server: &Server, began: usize) {
    let (last_before, last) = (began + COUNT_BEFORE - 1, began + COUNT - 1);
    let start_before = server.value(&format!("start_timestamp(x_total @ {last_before})"));
    assert_eq!(start_before, Some((began - 7_200) as f64 + 0.125));
    let start = server.value(&format!("start_timestamp(x_total @ {last})"));
    assert_eq!(start, Some(last_before as f64 + 0.5));
    assert_eq!(server.value("count({__name__=~\"x_created\"})"), None);
    // Counted are 4, then 30 since the second start; without it they would be 20. A bit is added for both ends.
    let increase = server.value(&format!("increase(x_total[1h] @ {last})")).unwrap();
    assert!((34.0..40.0).contains(&increase), "{increase}");
}

#[test]
fn starts_are_stored_and_known_to_queries_also_after_a_kill() {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() as usize;
    let began = now - 60;
    let target = Target::scripted(move |index, stream| {
        let body = body(index, began);
        let size = body.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0\r\n\
             Content-Length: {size}\r\n\r\n{body}"
        )
    });
    let config = format!(
        "global: {{scrape_interval: 100ms, scrape_timeout: 100ms}}\n\
         scrape_configs: [{{job_name: a, static_configs: [{{targets: [\"{}\"]}}]}}]\n",
        target.address()
    );
    let mut server = ServerBuilder::new(&config).arg(STORED).start();
    let protocols = server.get("/api/v1/status/config").json()["data"]["yaml"].to_string();
    assert!(protocols.contains("scrape_protocols:\\n  - PrometheusProto\\n"), "{protocols}");
    let last = format!("x_total @ {}", began + COUNT - 1);
    eventually("the last sample", || server.value(&last).filter(|value| *value == 30.0));
    check_starts(&server, began);
    server.kill();
    server.restart();
    check_starts(&server, began);
    assert!(server.stop().success());
    server.restart();
    check_starts(&server, began);
}
