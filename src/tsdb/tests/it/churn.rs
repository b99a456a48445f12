//! Short-lived series, one generation after the other: what has gone takes nothing.
//! `CHURN_SERIES` says how many in all; ten million take a few minutes.

use std::{env, fs};

use prom_model::Labels;
use prom_storage::{Appendable, FloatSample};
use prom_telemetry::clock;
use prom_tsdb::{Db, Options};

const SERIES_COUNT_DEFAULT: usize = 20_000;
const GENERATIONS_COUNT: usize = 40;
/// Time from one generation to the next, and samples that a series lives for.
const GENERATION_MS: i64 = 30 * 60_000;
const SAMPLES_COUNT: i64 = 4;
/// Generations that the head holds: one and a half chunk ranges, and what is begun.
const GENERATIONS_HELD_MAX: u64 = 8;
/// From so many series on, memory is looked at: it is noise before.
const SERIES_COUNT_FOR_MEMORY: usize = 1_000_000;

fn add_generation(db: &Db, generation: usize, series_count: usize, begin_ms: i64) {
    let labels = |number: usize| {
        let pod = format!("pod-{generation}-{number:07}");
        let name = format!("metric_{}_total", number % 50);
        Labels::from_pairs([("__name__", &*name), ("job", "churn"), ("pod", &*pod)])
    };
    for begin in (0..series_count).step_by(5_000) {
        let end = (begin + 5_000).min(series_count);
        for step in 0..SAMPLES_COUNT {
            let mut appender = db.appender();
            let mut samples = Vec::with_capacity(end - begin);
            for number in begin..end {
                samples.push(FloatSample {
                    series: appender.series(&labels(number)).unwrap(),
                    timestamp_ms: begin_ms + step * 15_000,
                    value: (number as i64 * step) as f64,
                });
            }
            let mut rejected = Vec::new();
            appender.append(&samples, &mut rejected);
            appender.commit().unwrap();
            assert_eq!(rejected, []);
        }
    }
}

fn anonymous_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn series_that_went_take_nothing() {
    let count = env::var("CHURN_SERIES").ok().and_then(|count| count.parse().ok());
    let count: usize = count.unwrap_or(SERIES_COUNT_DEFAULT);
    let per_generation = count / GENERATIONS_COUNT;
    let dir = tempfile::tempdir().unwrap();
    let db = super::open(dir.path(), Options::default());
    let now_ms = clock::now_ms() - GENERATION_MS * GENERATIONS_COUNT as i64;
    let mut early_kib = 0;
    for generation in 0..GENERATIONS_COUNT {
        let begin_ms = now_ms + generation as i64 * GENERATION_MS;
        add_generation(&db, generation, per_generation, begin_ms);
        db.do_upkeep().unwrap();
        let held_max = GENERATIONS_HELD_MAX * per_generation as u64;
        let stats = db.head_stats();
        assert!(stats.series_count <= held_max, "{generation}: {stats:?}");
        assert!(stats.chunks_count <= held_max, "{generation}: {stats:?}");
        // A value of its own for each series, and few others.
        assert!(stats.label_pairs_count <= held_max + 51, "{generation}: {stats:?}");
        if generation == GENERATIONS_COUNT / 4 {
            early_kib = anonymous_kib();
        }
    }
    let late_kib = anonymous_kib();
    println!("{count} series: {early_kib} KiB after a quarter, {late_kib} KiB at the end");
    if count >= SERIES_COUNT_FOR_MEMORY {
        assert!(late_kib <= early_kib * 3 / 2, "{early_kib} KiB, then {late_kib} KiB");
    }
    db.close().unwrap();
}
