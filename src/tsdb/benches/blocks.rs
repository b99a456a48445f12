//! Blocks: writing and opening an index, finding series, merging, dense chunks.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod workload;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use prom_tsdb::internals::{
    SampledSeries, chunk_sizes, intersect, merge, open_index, write_series,
};

use workload::{Noise, SCRAPE_INTERVAL_MS, TARGET_SERIES_COUNT, labels, step};

const TARGETS_COUNT: usize = 2;
/// Two hours of a series.
const SAMPLES_COUNT: i64 = 480;

/// Series of one block, sorted by labels; `hours` tells which two of them.
fn series(block: i64) -> Vec<SampledSeries> {
    let mut noise = Noise(1 + block as u64);
    let mut all: Vec<SampledSeries> = (0..TARGETS_COUNT * TARGET_SERIES_COUNT)
        .map(|number| {
            let (target, series) = (number / TARGET_SERIES_COUNT, number % TARGET_SERIES_COUNT);
            let mut value = (series * 10) as f64;
            let sample = |n: i64| {
                value = step(series, value, &mut noise);
                ((block * SAMPLES_COUNT + n) * SCRAPE_INTERVAL_MS, value)
            };
            (labels(target, series), (0..SAMPLES_COUNT).map(sample).collect())
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.dedup_by(|a, b| a.0 == b.0);
    all
}

fn blocks(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let contents: Vec<_> = (0..3).map(series).collect();
    let paths: Vec<_> = contents
        .iter()
        .zip(1..)
        .map(|(series, made_ms)| write_series(dir.path(), series, made_ms).expect("a block"))
        .collect();
    let count = contents[0].len() as u64;
    let mut group = criterion.benchmark_group("index");
    group.sample_size(10).throughput(Throughput::Elements(count));
    group.bench_function("write", |bencher| {
        bencher.iter(|| {
            let dir = tempfile::tempdir().expect("a temporary directory");
            write_series(dir.path(), &contents[0], 1).expect("a block")
        });
    });
    println!("index/open: {} bytes of memory", open_index(&paths[0]).expect("an index"));
    group.bench_function("open", |bencher| {
        bencher.iter(|| black_box(open_index(&paths[0])).expect("an index"));
    });
    group.finish();
    let mut group = criterion.benchmark_group("postings");
    let pairs = [("job", "api"), ("le", "0.64"), ("method", "GET")];
    group.bench_function("intersect_with_open", |bencher| {
        bencher.iter(|| black_box(intersect(&paths[0], &pairs)).expect("an index"));
    });
    group.finish();
    let mut group = criterion.benchmark_group("compact");
    group.sample_size(10).throughput(Throughput::Elements(count * 3 * SAMPLES_COUNT as u64));
    let merged = || {
        let dir = tempfile::tempdir().expect("a temporary directory");
        merge(dir.path(), &paths, 9).expect("a block")
    };
    let (before, after) = merged();
    println!("compact: {before} bytes become {after}, {:.3}", after as f64 / before as f64);
    group.bench_function("merge_3_blocks", |bencher| bencher.iter(merged));
    group.finish();
}

fn dense(criterion: &mut Criterion) {
    let contents = series(0);
    let sample: Vec<_> = contents.iter().step_by(20).map(|(_, samples)| samples).collect();
    let sizes = || {
        let sizes = sample.iter().map(|samples| chunk_sizes(samples));
        sizes.fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    };
    let (plain, dense) = sizes();
    let ratio = dense as f64 / plain as f64;
    println!("xor/encode_opt: {plain} bytes greedy, {dense} dense, {ratio:.3}");
    let mut group = criterion.benchmark_group("xor");
    let count = sample.iter().map(|samples| samples.len() as u64).sum();
    group.sample_size(10).throughput(Throughput::Elements(count));
    group.bench_function("encode_opt", |bencher| bencher.iter(|| black_box(sizes())));
    group.finish();
}

criterion_group!(benches, blocks, dense);
criterion_main!(benches);
