//! Memory of the head for each series, and time of a replay: 100 000 series, 100 samples in each open
//! chunk. Prints figures; it is no criterion benchmark, because memory has one value.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod workload;

use std::{env, fs, ops::ControlFlow, path::Path, process::Command, time::Duration};

use prom_model::Labels;
use prom_storage::{Appendable, FloatSample, SeriesHandle, SeriesRef};
use prom_telemetry::{Registry, clock};
use prom_tsdb::{Db, Options};

use workload::{Noise, SCRAPE_INTERVAL_MS, TARGET_SERIES_COUNT, labels, step};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const TARGETS: usize = 20;
const SERIES_COUNT: usize = TARGETS * TARGET_SERIES_COUNT;
const SAMPLES: usize = 100;

/// Start of a chunk range, so that all samples are in one open chunk.
const FIRST_MS: i64 = 236_112 * 7_200_000;

const SIDECAR: &str = "head_state";

/// The directory to replay, for the second process.
const REPLAY_VARIABLE: &str = "FOOTPRINT_REPLAY";

fn main() {
    if let Some(dir) = env::var_os(REPLAY_VARIABLE) {
        return replay(Path::new(&dir));
    }
    let dir = tempfile::tempdir().expect("a place for files");
    let nobody = SeriesHandle { series_ref: SeriesRef(0), slot: 0 };
    let empty = FloatSample { series: nobody, timestamp_ms: FIRST_MS, value: 0.5 };
    // What the caller keeps does not count.
    let mut targets = vec![vec![empty; TARGET_SERIES_COUNT]; TARGETS];
    let before = anonymous_size_bytes();
    let db = open(dir.path());
    fill(&db, &mut targets);
    report("appended", before);
    db.close().expect("room on the disk");
    drop(db);
    // Fresh processes, whose memory has no past: with the sidecar, then with the log.
    let this = env::current_exe().expect("we are running");
    for what in ["sidecar", "log"] {
        if what == "log" {
            fs::remove_file(dir.path().join(SIDECAR)).expect("it was written");
        }
        println!("by the {what}:");
        let status = Command::new(&this).env(REPLAY_VARIABLE, dir.path()).status();
        assert!(status.expect("it can be started again").success());
    }
}

fn replay(dir: &Path) {
    let before = anonymous_size_bytes();
    let (begin, cpu) = (clock::monotonic(), clock::process_cpu_time());
    let db = open(dir);
    let (wall, cpu) = (begin.elapsed(), clock::process_cpu_time() - cpu);
    let per_sample = |time: Duration| time.as_nanos() as f64 / (SERIES_COUNT * SAMPLES) as f64;
    println!(
        "replay: {:.2} s, {:.1} ns a sample wall, {:.1} ns CPU",
        wall.as_secs_f64(),
        per_sample(wall),
        per_sample(cpu)
    );
    report("replayed", before);
    drop(db);
}

fn open(dir: &Path) -> std::sync::Arc<Db> {
    let progress = |_| ControlFlow::Continue(());
    Db::open(dir, Options::default(), &Registry::default(), &progress).expect("a good directory")
}

fn fill(db: &Db, targets: &mut [Vec<FloatSample>]) {
    let mut noise = Noise(3);
    let mut cpu = Duration::ZERO;
    for (target, samples) in targets.iter_mut().enumerate() {
        let sets: Vec<Labels> = (0..TARGET_SERIES_COUNT).map(|n| labels(target, n)).collect();
        let begin = clock::process_cpu_time();
        let mut appender = db.appender();
        for (sample, set) in samples.iter_mut().zip(&sets) {
            sample.series = appender.series(set).expect("good labels");
        }
        appender.commit().expect("room on the disk");
        cpu += clock::process_cpu_time() - begin;
    }
    println!("new series: {:.2} us CPU each", cpu.as_micros() as f64 / SERIES_COUNT as f64);
    report("registered", 0);
    cpu = Duration::ZERO;
    for _ in 0..SAMPLES {
        for samples in targets.iter_mut() {
            for (series, sample) in samples.iter_mut().enumerate() {
                sample.timestamp_ms += SCRAPE_INTERVAL_MS;
                sample.value = step(series, sample.value, &mut noise);
            }
            let begin = clock::process_cpu_time();
            let mut appender = db.appender();
            let mut rejected = Vec::new();
            appender.append(samples, &mut rejected);
            appender.commit().expect("room on the disk");
            assert!(rejected.is_empty());
            cpu += clock::process_cpu_time() - begin;
        }
    }
    let count = (SERIES_COUNT * SAMPLES) as f64;
    println!("append: {:.1} ns CPU a sample", cpu.as_nanos() as f64 / count);
}

fn report(what: &str, before: u64) {
    let size = anonymous_size_bytes().saturating_sub(before);
    println!("{what}: {:.0} bytes RssAnon a series", size as f64 / SERIES_COUNT as f64);
}

fn anonymous_size_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
