//! SIGKILL in the middle of ingestion: every sample that was committed is there afterwards.

use std::{
    fs,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::harness::{Server, ServerBuilder, Target, eventually};

/// How often the server is killed.
const KILL_COUNT: usize = 5;

fn config(address: &str) -> String {
    format!(
        "global: {{scrape_interval: 50ms, scrape_timeout: 50ms}}\n\
         scrape_configs: [{{job_name: a, static_configs: [{{targets: [\"{address}\"]}}]}}]\n"
    )
}

/// The counter's values in storage, in time order.
fn stored(server: &Server) -> Vec<u64> {
    let result = server.query("scrapes[1h]");
    let Some(series) = result.first() else { return Vec::new() };
    let values = series["values"].as_array().unwrap().iter();
    values.map(|pair| pair[1].as_str().unwrap().parse().unwrap()).collect()
}

#[test]
fn slow_no_committed_sample_is_lost_by_sigkill() {
    let served = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&served);
    let target = Target::serving(move |_| {
        let index = count.fetch_add(1, Ordering::SeqCst);
        let filler: String = (0..200).map(|i| format!("m{{i=\"{i}\"}} {index}\n")).collect();
        format!("{filler}scrapes {index}\n")
    });
    let mut server = ServerBuilder::new(&config(target.address())).start();
    let mut seen = Vec::new();
    for round in 0..KILL_COUNT {
        let goal = (round as u64 + 1) * 10;
        eventually("enough scrapes", || (served.load(Ordering::SeqCst) >= goal).then_some(()));
        // what a query has shown was committed
        seen.extend(stored(&server));
        seen.sort_unstable();
        seen.dedup();
        server.kill();
        server.restart();
        let now = stored(&server);
        let lost: Vec<_> = seen.iter().filter(|value| !now.contains(value)).collect();
        assert!(lost.is_empty(), "round {round}: lost {lost:?}");
        // whole scrapes only: the other series of a committed scrape came with it
        let all = server.value("count(count_over_time(m[1h]))");
        assert_eq!(all, Some(200.0));
    }
    assert_eq!(server.state(), "Ready");
}

#[test]
fn a_torn_last_record_costs_that_record_only() {
    let target = Target::serving(|index| format!("scrapes {index}\n"));
    let mut server = ServerBuilder::new(&config(target.address())).start();
    eventually("some scrapes", || (stored(&server).len() > 5).then_some(()));
    server.kill();
    let wal = server.data_path().join("wal");
    let mut segments: Vec<_> =
        fs::read_dir(&wal).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    let last = segments.iter().rfind(|path| fs::metadata(path).unwrap().len() > 0).unwrap();
    let whole = fs::read(last).unwrap();
    // without its last bytes, then with garbage in their place
    for damage in 0..2 {
        let mut bytes = whole[..whole.len() - 3].to_vec();
        if damage == 1 {
            bytes.extend([0xff; 3]);
        }
        fs::File::create(last).unwrap().write_all(&bytes).unwrap();
        server.restart();
        assert!(stored(&server).len() > 4);
        assert_eq!(server.state(), "Ready");
        server.kill();
    }
}
