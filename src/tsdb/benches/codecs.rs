//! The pure parts: XOR chunks, log records.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[allow(dead_code, reason = "labels are for the benchmarks of the head")]
mod workload;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use prom_storage::Columns;
use prom_tsdb::{
    WalCompression,
    internals::{LogEncoder, decode_chunk, decode_log_record, encode_chunk},
};

use workload::{Noise, SCRAPE_INTERVAL_MS, TARGET_SERIES_COUNT, step};

const CHUNK_SAMPLES: usize = 120;

/// Chunks' worth of samples, of all kinds.
fn chunks() -> Vec<Vec<(i64, f64)>> {
    let mut noise = Noise(1);
    (0..500)
        .map(|series| {
            let mut value = (series * 10) as f64;
            let sample = |n: usize| {
                value = step(series, value, &mut noise);
                (n as i64 * SCRAPE_INTERVAL_MS, value)
            };
            (0..CHUNK_SAMPLES).map(sample).collect()
        })
        .collect()
}

fn xor(criterion: &mut Criterion) {
    let chunks = chunks();
    let count = (chunks.len() * CHUNK_SAMPLES) as u64;
    let mut group = criterion.benchmark_group("xor");
    group.throughput(Throughput::Elements(count));
    group.bench_function("encode", |bencher| {
        let mut bytes = Vec::new();
        bencher.iter(|| {
            for chunk in &chunks {
                encode_chunk(chunk, &mut bytes);
                black_box(&bytes);
            }
        });
    });
    let encoded: Vec<Vec<u8>> = chunks
        .iter()
        .map(|chunk| {
            let mut bytes = Vec::new();
            encode_chunk(chunk, &mut bytes);
            bytes
        })
        .collect();
    let size: usize = encoded.iter().map(Vec::len).sum();
    println!("xor: {:.3} bytes a sample", size as f64 / count as f64);
    group.bench_function("decode", |bencher| {
        let mut columns = Columns::default();
        bencher.iter(|| {
            for chunk in &encoded {
                columns.clear();
                decode_chunk(chunk, &mut columns).expect("it was encoded above");
                black_box(&columns);
            }
        });
    });
    group.finish();
}

fn wal(criterion: &mut Criterion) {
    let mut noise = Noise(2);
    let samples: Vec<(u64, i64, f64)> = (0..TARGET_SERIES_COUNT)
        .map(|series| {
            let value = step(series, (series * 1000) as f64, &mut noise);
            (100_000 + series as u64, 1_700_000_000_000, value)
        })
        .collect();
    let mut group = criterion.benchmark_group("wal");
    group.throughput(Throughput::Elements(samples.len() as u64));
    for (name, compression) in [
        ("none", WalCompression::None),
        ("snappy", WalCompression::Snappy),
        ("zstd", WalCompression::Zstd),
    ] {
        let mut encoder = LogEncoder::default();
        let framed = encoder.encode(&samples, compression).len();
        println!("wal/{name}: {:.2} bytes a sample", framed as f64 / samples.len() as f64);
        group.bench_function(format!("encode_{name}"), |bencher| {
            bencher.iter(|| black_box(encoder.encode(&samples, compression)).len());
        });
        let stored = encoder.stored().to_vec();
        group.bench_function(format!("decode_{name}"), |bencher| {
            bencher.iter_batched_ref(
                Vec::new,
                |buffer| decode_log_record(&stored, compression, buffer).expect("just encoded"),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, xor, wal);
criterion_main!(benches);
