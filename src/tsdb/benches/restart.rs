//! From a directory to a head that answers: by the sidecar, and by the whole log with and without head chunks.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod workload;

use std::{fs, ops::ControlFlow, path::Path, sync::Arc};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use prom_storage::{Appendable, FloatSample};
use prom_telemetry::Registry;
use prom_tsdb::{Db, Options};
use tempfile::TempDir;

use workload::{Noise, SCRAPE_INTERVAL_MS, TARGET_SERIES_COUNT, labels, step};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const TARGETS_COUNT: usize = 4;
const SERIES_COUNT: usize = TARGETS_COUNT * TARGET_SERIES_COUNT;
/// An hour: two closed chunks and one that is open.
const STEPS_COUNT: usize = 240;
const FIRST_MS: i64 = 236_112 * 7_200_000;
const SIDECAR: &str = "head_state";
const HEAD_CHUNKS: &str = "chunks_head";

fn open(dir: &Path) -> Arc<Db> {
    let progress = |_| ControlFlow::Continue(());
    Db::open(dir, Options::default(), &Registry::default(), &progress).expect("a good directory")
}

fn fill(db: &Db) {
    let mut noise = Noise(5);
    for target in 0..TARGETS_COUNT {
        let mut values = vec![0.0; TARGET_SERIES_COUNT];
        for number in 0..STEPS_COUNT {
            let timestamp_ms = FIRST_MS + number as i64 * SCRAPE_INTERVAL_MS;
            let mut appender = db.appender();
            let mut samples = Vec::with_capacity(values.len());
            for (series, value) in values.iter_mut().enumerate() {
                *value = step(series, *value, &mut noise);
                let handle = appender.series(&labels(target, series)).expect("good labels");
                samples.push(FloatSample { series: handle, timestamp_ms, value: *value });
            }
            appender.append(&samples, &mut Vec::new());
            appender.commit().expect("room on the disk");
        }
    }
}

/// A copy without what `is_left_out`.
fn copy(from: &Path, is_left_out: &dyn Fn(&str) -> bool) -> TempDir {
    let to = tempfile::tempdir().expect("a place for files");
    copy_dir(from, to.path(), is_left_out);
    to
}

fn copy_dir(from: &Path, to: &Path, is_left_out: &dyn Fn(&str) -> bool) {
    fs::create_dir_all(to).expect("a place for files");
    for entry in fs::read_dir(from).expect("a directory").flatten() {
        let name = entry.file_name();
        if is_left_out(&name.to_string_lossy()) {
            continue;
        }
        match entry.path().is_dir() {
            true => copy_dir(&entry.path(), &to.join(name), is_left_out),
            false => fs::copy(entry.path(), to.join(name)).map(|_| ()).expect("room on the disk"),
        }
    }
}

fn restart(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a place for files");
    let db = open(dir.path());
    fill(&db);
    db.close().expect("room on the disk");
    drop(db);
    let samples_count = (SERIES_COUNT * STEPS_COUNT) as u64;
    let size = fs::metadata(dir.path().join(SIDECAR)).expect("it was written").len();
    println!("sidecar: {:.0} bytes a series", size as f64 / SERIES_COUNT as f64);
    let mut group = criterion.benchmark_group("replay");
    group.sample_size(10);
    let cases: [(&str, u64, &[&str]); 3] = [
        ("sidecar", SERIES_COUNT as u64, &[]),
        ("wal_beside_head_chunks", samples_count, &[SIDECAR]),
        ("wal", samples_count, &[SIDECAR, HEAD_CHUNKS]),
    ];
    for (name, count, left_out) in cases {
        group.throughput(Throughput::Elements(count));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || copy(dir.path(), &|name| left_out.contains(&name)),
                |copy| (open(copy.path()), copy),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, restart);
criterion_main!(benches);
