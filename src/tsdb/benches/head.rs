//! A database on a real disk: scrapes in, series in, columns out.

mod workload;

use std::{hint::black_box, ops::ControlFlow, sync::Arc};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use prom_model::{Labels, Matcher};
use prom_storage::{
    Appendable, Columns, FloatSample, Queryable, SelectHints, SeriesHandle, TimeRange,
};
use prom_telemetry::Registry;
use prom_tsdb::{Db, Options};
use tempfile::TempDir;

use workload::{Noise, SCRAPE_INTERVAL_MS, TARGET_SERIES_COUNT, labels, step};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ALL: TimeRange = TimeRange { mint_ms: i64::MIN, maxt_ms: i64::MAX };

fn open(dir: &TempDir) -> Arc<Db> {
    let progress = |_| ControlFlow::Continue(());
    Db::open(dir.path(), Options::default(), &Registry::default(), &progress)
        .expect("a fresh directory")
}

fn register(db: &Db, sets: &[Labels]) -> Vec<SeriesHandle> {
    let mut appender = db.appender();
    let handles = sets.iter().map(|set| appender.series(set).expect("good labels")).collect();
    appender.commit().expect("room on the disk");
    handles
}

/// Targets that are scraped in turn.
struct Targets {
    samples: Vec<Vec<FloatSample>>,
    noise: Noise,
    rejected: Vec<prom_storage::Rejected>,
}

impl Targets {
    fn new(db: &Db, count: usize) -> Self {
        let samples = (0..count)
            .map(|target| {
                let sets: Vec<Labels> =
                    (0..TARGET_SERIES_COUNT).map(|series| labels(target, series)).collect();
                let first = |series| FloatSample { series, timestamp_ms: 0, value: 1.0 };
                register(db, &sets).into_iter().map(first).collect()
            })
            .collect();
        Self { samples, noise: Noise(3), rejected: Vec::new() }
    }

    fn scrape(&mut self, db: &Db, target: usize) {
        let samples = &mut self.samples[target];
        for (series, sample) in samples.iter_mut().enumerate() {
            sample.timestamp_ms += SCRAPE_INTERVAL_MS;
            sample.value = step(series, sample.value, &mut self.noise);
        }
        let mut appender = db.appender();
        appender.append(samples, &mut self.rejected);
        appender.commit().expect("room on the disk");
        assert!(self.rejected.is_empty());
    }
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("head");
    group.sample_size(20);
    group.throughput(Throughput::Elements(TARGET_SERIES_COUNT as u64));
    for (name, count) in [("append_scrape_hot", 1), ("append_scrape_cold", 20)] {
        let dir = TempDir::new().expect("a place for files");
        let db = open(&dir);
        let mut targets = Targets::new(&db, count);
        let mut next = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                targets.scrape(&db, next % count);
                next += 1;
            });
        });
    }
    group.finish();
}

fn new_series(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("head");
    group.sample_size(10);
    let sets: Vec<Labels> = (0..4 * TARGET_SERIES_COUNT)
        .map(|n| labels(n / TARGET_SERIES_COUNT, n % TARGET_SERIES_COUNT))
        .collect();
    group.throughput(Throughput::Elements(sets.len() as u64));
    group.bench_function("new_series", |bencher| {
        let fresh = || {
            let dir = TempDir::new().expect("a place for files");
            (open(&dir), dir)
        };
        bencher.iter_batched_ref(fresh, |(db, _)| register(db, &sets), BatchSize::PerIteration);
    });
    let dir = TempDir::new().expect("a place for files");
    let db = open(&dir);
    register(&db, &sets);
    group.bench_function("known_series", |bencher| bencher.iter(|| register(&db, &sets)));
    group.finish();
}

fn query(criterion: &mut Criterion) {
    let dir = TempDir::new().expect("a place for files");
    let db = open(&dir);
    let mut targets = Targets::new(&db, 8);
    for _ in 0..240 {
        (0..8).for_each(|target| targets.scrape(&db, target));
    }
    let mut group = criterion.benchmark_group("select");
    group.sample_size(20);
    let hints = SelectHints { range: ALL, is_sorted: false, series_count_max: 0 };
    let sorted = SelectHints { is_sorted: true, ..hints.clone() };
    let buckets = [Matcher::equal("__name__", "http_request_duration_seconds_bucket")];
    let querier = db.querier(ALL).expect("open");
    let selection = querier.select(&buckets, &hints).expect("sound");
    let count = selection.len() as u64;
    group.throughput(Throughput::Elements(count));
    group.bench_function("equal", |bencher| {
        bencher.iter(|| querier.select(&buckets, &hints).expect("sound").len());
    });
    group.bench_function("equal_sorted", |bencher| {
        bencher.iter(|| querier.select(&buckets, &sorted).expect("sound").len());
    });
    group.bench_function("group_by", |bencher| {
        let grouping = prom_storage::Grouping::By(&["instance", "code"]);
        bencher.iter(|| black_box(selection.group(&grouping)).labels.len());
    });
    group.throughput(Throughput::Elements(count * 240));
    group.bench_function("read_samples", |bencher| {
        let mut columns = Columns::default();
        bencher.iter(|| {
            for index in 0..selection.len() {
                columns.clear();
                selection.read(index, ALL, &mut columns).expect("sound");
                black_box(&columns);
            }
        });
    });
    group.finish();
}

criterion_group!(benches, append, new_series, query);
criterion_main!(benches);
