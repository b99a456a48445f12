//! How fast bodies are read. Text 0.0.4: series that were predicted, series that are known but out of place, and series
//! never seen; the bytes are the reference's own example body where it is at hand, otherwise made up. Protobuf: families
//! as a scrape loop walks through those that it knows, and with all labels taken apart.

use std::{fs, hint::black_box, ops::Range, time::Duration};

use criterion::{
    Criterion, Throughput, criterion_group, criterion_main,
    measurement::{Measurement, ValueFormatter, WallTime},
};
use prom_exposition::{
    protobuf,
    text::{Dialect, Entry, Parser},
};
use prom_model::{Labels, LabelsBuilder, MetricType};
use prom_telemetry::clock::process_cpu_time;
use prom_testkit::Message;

/// What a scrape cache remembers of one body.
struct Known {
    /// Metadata and comments between samples, then the series.
    before: Range<usize>,
    series: Range<usize>,
}

fn body() -> Vec<u8> {
    let Some(folder) = prom_testkit::conformance("textparse") else { return made_up() };
    fs::read(folder.join("alltypes.237mfs.prom.txt")).expect("the folder has this body")
}

/// Like node_exporter's: counters with a few labels, integers and fractions.
fn made_up() -> Vec<u8> {
    let mut text = String::new();
    for family in 0..40 {
        text.push_str(&format!("# HELP node_family_{family}_total Things of a kind.\n"));
        text.push_str(&format!("# TYPE node_family_{family}_total counter\n"));
        for i in 0..50 {
            let value = f64::from(i * 7919 + family) / f64::from(i % 3 * 50 + 1);
            text.push_str(&format!(
                "node_family_{family}_total{{cpu=\"{i}\",device=\"eth{}\",mode=\"idle\"}} {value}\n",
                i % 4
            ));
        }
    }
    text.into_bytes()
}

fn known(body: &[u8]) -> Vec<Known> {
    let mut parser = Parser::new(body, Dialect::Prometheus);
    let (mut known, mut before) = (Vec::new(), 0);
    let offset = |parser: &Parser<'_>| body.len() - parser.rest().len();
    loop {
        let start = offset(&parser);
        match parser.next_entry().expect("the body is well-formed") {
            None => return known,
            Some(Entry::Sample(sample)) => {
                let series = start..start + sample.series.len();
                known.push(Known { before: before..start, series });
                before = offset(&parser);
            }
            Some(_) => {}
        }
    }
}

fn predicted(body: &[u8], known: &[Known]) -> f64 {
    let mut parser = Parser::new(body, Dialect::Prometheus);
    let mut sum = 0.0;
    for one in known {
        let before = &body[one.before.clone()];
        assert!(before.is_empty() || parser.skip_known(before));
        assert!(parser.rest().starts_with(&body[one.series.clone()]));
        sum += parser.take_predicted(one.series.len()).expect("the body has not changed").value;
    }
    sum
}

fn entries(body: &[u8]) -> usize {
    let mut parser = Parser::new(body, Dialect::Prometheus);
    let mut size = 0;
    while let Some(entry) = parser.next_entry().expect("the body is well-formed") {
        if let Entry::Sample(sample) = entry {
            size += sample.series.len();
        }
    }
    size
}

fn unknown(body: &[u8], labels: &mut LabelsBuilder) -> Vec<Labels> {
    let mut parser = Parser::new(body, Dialect::Prometheus);
    let (mut declared, mut sets) = (MetricType::Unknown, Vec::new());
    while let Some(entry) = parser.next_entry().expect("the body is well-formed") {
        match entry {
            Entry::Type { metric_type, .. } => declared = metric_type,
            Entry::Sample(sample) => {
                labels.clear();
                parser.labels(&sample, declared, labels).expect("the labels are well-formed");
                sets.push(labels.labels());
            }
            Entry::Help { .. } | Entry::Comment(_) | Entry::Unit { .. } => {}
        }
    }
    sets
}

/// Counters and classic histograms, fifty metrics a family.
fn families() -> Vec<u8> {
    let metric = |family: usize, index: usize| {
        let value = (index * 7_919 + family) as f64;
        let metric = Message::new()
            .label(1, "cpu", &index.to_string())
            .label(1, "device", &format!("eth{}", index % 4))
            .label(1, "mode", "idle");
        if !family.is_multiple_of(4) {
            return metric.message(3, &Message::new().double(1, value));
        }
        let histogram = (0..12_u64)
            .fold(Message::new().integer(1, 24).double(2, value), |it, at| {
                it.message(3, &Message::new().integer(1, 2 * at).double(2, at as f64))
            });
        metric.message(7, &histogram)
    };
    let family = |family: usize| {
        let kind = if family.is_multiple_of(4) { 4 } else { 0 };
        let head = Message::new()
            .text(1, &format!("node_family_{family}_total"))
            .text(2, "Things of a kind.")
            .integer(3, kind);
        (0..50).fold(head, |it, index| it.message(4, &metric(family, index))).delimited()
    };
    (0..40).flat_map(family).collect()
}

/// How many samples, and something of each metric, so that nothing is left out.
fn walk(body: &[u8], mut each: impl FnMut(&protobuf::Family<'_>, &protobuf::Metric<'_>)) -> usize {
    let (mut parser, mut count) = (protobuf::Parser::new(body), 0);
    while let Some(family) = parser.next_family().expect("the body is well-formed") {
        while let Some(metric) = parser.next_metric().expect("the body is well-formed") {
            count += match metric.histogram.buckets.len() {
                0 => 1,
                buckets => buckets + 3,
            };
            each(&family, metric);
        }
    }
    count
}

fn known_families(body: &[u8]) -> (usize, usize) {
    let mut size = 0;
    let count = walk(body, |_, metric| size += metric.label_runs().map(<[u8]>::len).sum::<usize>());
    (count, size)
}

fn unknown_families(body: &[u8], labels: &mut LabelsBuilder) -> Vec<Labels> {
    let mut sets = Vec::new();
    walk(body, |family, metric| {
        labels.clear();
        metric.labels(family.name, None, labels).expect("the labels are well-formed");
        sets.push(labels.labels());
    });
    sets
}

fn protobuf(c: &mut Criterion<CpuTime>) {
    let (body, mut labels) = (families(), LabelsBuilder::default());
    let (samples_count, _) = known_families(&body);
    for (unit, throughput) in [
        ("bytes", Throughput::Bytes(body.len() as u64)),
        ("samples", Throughput::Elements(samples_count as u64)),
    ] {
        let mut group = c.benchmark_group(format!("protobuf/{unit}"));
        group.throughput(throughput);
        group.bench_function("known", |b| b.iter(|| known_families(black_box(&body))));
        group.bench_function("unknown", |b| {
            b.iter(|| unknown_families(black_box(&body), &mut labels));
        });
        group.finish();
    }
}

fn textparse(c: &mut Criterion<CpuTime>) {
    let body = body();
    let known = known(&body);
    let mut labels = LabelsBuilder::default();
    for (unit, throughput) in [
        ("bytes", Throughput::Bytes(body.len() as u64)),
        ("samples", Throughput::Elements(known.len() as u64)),
    ] {
        let mut group = c.benchmark_group(format!("textparse/{unit}"));
        group.throughput(throughput);
        group.bench_function("predicted", |b| b.iter(|| predicted(black_box(&body), &known)));
        group.bench_function("entries", |b| b.iter(|| entries(black_box(&body))));
        group.bench_function("unknown", |b| b.iter(|| unknown(black_box(&body), &mut labels)));
        group.finish();
    }
}

/// Measures CPU time, so that neighbours on the machine disturb less.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        process_cpu_time()
    }

    fn end(&self, start: Duration) -> Duration {
        process_cpu_time() - start
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = textparse, protobuf
}
criterion_main!(benches);
