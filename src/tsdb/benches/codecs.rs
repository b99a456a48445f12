//! The pure parts: chunks of floats and of histograms, log records.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[allow(dead_code, reason = "labels are for the benchmarks of the head")]
mod workload;

use std::{hint::black_box, sync::Arc};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use prom_model::{Histogram, HistogramValue, Span};
use prom_storage::Columns;
use prom_tsdb::{
    WalCompression,
    internals::{
        LogEncoder, decode_any_chunk, decode_chunk, decode_log_record, encode_chunk,
        encode_histogram_chunks, encode_xor2_chunk,
    },
};

use workload::{Noise, SCRAPE_INTERVAL_MS, TARGET_SERIES_COUNT, step};

const CHUNK_SAMPLES: usize = 120;
const HISTOGRAM_BUCKETS: usize = 40;
/// The byte that tells of the encoding.
const XOR2: u8 = 4;

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

fn xor2(criterion: &mut Criterion) {
    let bits = |(t, v): &(i64, f64)| (*t, v.to_bits());
    let chunks: Vec<Vec<(i64, u64)>> =
        chunks().iter().map(|chunk| chunk.iter().map(bits).collect()).collect();
    let count = (chunks.len() * CHUNK_SAMPLES) as u64;
    let mut group = criterion.benchmark_group("xor2");
    group.throughput(Throughput::Elements(count));
    group.bench_function("encode", |bencher| {
        let mut bytes = Vec::new();
        bencher.iter(|| {
            for chunk in &chunks {
                encode_xor2_chunk(chunk, &mut bytes);
                black_box(&bytes);
            }
        });
    });
    let encode = |chunk: &Vec<(i64, u64)>| {
        let mut bytes = Vec::new();
        encode_xor2_chunk(chunk, &mut bytes);
        (XOR2, bytes)
    };
    let encoded: Vec<(u8, Vec<u8>)> = chunks.iter().map(encode).collect();
    print_size("xor2", &encoded, count);
    group.bench_function("decode", |bencher| bencher.iter(|| decode_all(&encoded)));
    group.finish();
}

/// A latency histogram whose buckets grow at different paces; now and then one more is used.
fn histograms() -> Vec<(i64, HistogramValue)> {
    let mut noise = Noise(3);
    let mut counts = [0_i64; HISTOGRAM_BUCKETS];
    let sample = |n: usize| {
        let used = HISTOGRAM_BUCKETS - 4 + n / 30;
        for (bucket, count) in counts.iter_mut().enumerate().take(used) {
            let pace = (HISTOGRAM_BUCKETS - bucket) as u64;
            *count += (noise.next() % pace) as i64;
        }
        let used = &counts[..used.min(HISTOGRAM_BUCKETS)];
        let mut before = 0;
        let buckets = used.iter().map(|c| c - std::mem::replace(&mut before, *c)).collect();
        let histogram = Histogram {
            schema: 3,
            count: used.iter().sum::<i64>() as u64,
            sum: used.iter().sum::<i64>() as f64 / 7.0,
            positive_spans: [Span { offset: -8, length: used.len() as u32 }].into(),
            positive_buckets: buckets,
            ..Histogram::default()
        };
        (n as i64 * SCRAPE_INTERVAL_MS, HistogramValue::Integer(Arc::new(histogram)))
    };
    (0..CHUNK_SAMPLES).map(sample).collect()
}

fn histogram(criterion: &mut Criterion) {
    let integers = histograms();
    let float = |(t, value): &(i64, HistogramValue)| (*t, HistogramValue::Float(value.to_float()));
    let floats: Vec<_> = integers.iter().map(float).collect();
    for (name, samples) in [("histogram", integers), ("float_histogram", floats)] {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(samples.len() as u64));
        let encode = || encode_histogram_chunks(&samples, CHUNK_SAMPLES as u16);
        let encoded = encode();
        print_size(name, &encoded, samples.len() as u64);
        group.bench_function("encode", |bencher| bencher.iter(|| black_box(encode()).len()));
        group.bench_function("decode", |bencher| bencher.iter(|| decode_all(&encoded)));
        group.finish();
    }
}

fn decode_all(chunks: &[(u8, Vec<u8>)]) {
    let mut columns = Columns::default();
    for (encoding, chunk) in chunks {
        columns.clear();
        decode_any_chunk(*encoding, chunk, &mut columns).expect("it was encoded above");
        black_box(&columns);
    }
}

fn print_size(name: &str, chunks: &[(u8, Vec<u8>)], count: u64) {
    let size: usize = chunks.iter().map(|(_, chunk)| chunk.len()).sum();
    println!("{name}: {:.3} bytes a sample", size as f64 / count as f64);
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

criterion_group!(benches, xor, xor2, histogram, wal);
criterion_main!(benches);
