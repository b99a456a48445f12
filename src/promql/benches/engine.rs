//! Whole queries over columns in memory, by operator kind: CPU time, as the machine may be busy.
//! Throughput is series x steps a second.

use std::time::Duration;

use criterion::{
    Criterion, Throughput, criterion_group, criterion_main,
    measurement::{Measurement, ValueFormatter, WallTime},
};
use prom_model::Labels;
use prom_promql::{Engine, EngineOptions, InstantParams, RangeParams};
use prom_telemetry::{Registry, clock::process_cpu_time};
use prom_testkit::MemoryStore;

const SCRAPE_INTERVAL_MS: i64 = 15_000;
const STEPS: i64 = 241;
const END_MS: i64 = 7_200_000;

/// CPU time of this process.
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
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// Counters of `targets` x `per_target` series; each target is scraped at its own offset.
fn counters(store: &MemoryStore, name: &str, targets: usize, per_target: usize) {
    for target in 0..targets {
        let offset_ms = (target as i64 * 7919) % SCRAPE_INTERVAL_MS;
        for series in 0..per_target {
            let labels = Labels::from_pairs([
                ("__name__", name),
                ("instance", &format!("host-{target}:9100")),
                ("job", "node"),
                ("path", &format!("/api/v1/{series}")),
            ]);
            let samples = (0..END_MS / SCRAPE_INTERVAL_MS).map(|index| {
                let value = (index * (series as i64 + 1)) as f64;
                (index * SCRAPE_INTERVAL_MS + offset_ms, value)
            });
            store.push_series(labels, samples);
        }
    }
}

/// Classic histograms of twelve buckets.
fn histograms(store: &MemoryStore, count: usize) {
    const BOUNDS: [&str; 12] =
        ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];
    for histogram in 0..count {
        for (bucket, bound) in BOUNDS.iter().enumerate() {
            let labels = Labels::from_pairs([
                ("__name__", "latency_bucket"),
                ("handler", &format!("/{histogram}")),
                ("le", bound),
            ]);
            let samples = (0..END_MS / SCRAPE_INTERVAL_MS)
                .map(|index| (index * SCRAPE_INTERVAL_MS, (index * (bucket as i64 + 1)) as f64));
            store.push_series(labels, samples);
        }
    }
}

fn range_queries(criterion: &mut Criterion<CpuTime>) {
    let store = MemoryStore::default();
    counters(&store, "a_total", 10, 100);
    counters(&store, "b_total", 10, 100);
    histograms(&store, 84);
    let mut options = EngineOptions::default();
    options.threads_count_max = 1;
    let engine = Engine::new(options, &Registry::default());
    let mut group = criterion.benchmark_group("range");
    let queries = [
        ("rate_sum_by", "sum by (instance) (rate(a_total[5m]))", 1000),
        ("select_sum", "sum(a_total)", 1000),
        ("max_over_time", "max(max_over_time(a_total[5m]))", 1000),
        ("avg_over_time", "max(avg_over_time(a_total[5m]))", 1000),
        ("binop", "sum(rate(a_total[5m]) / rate(b_total[5m]))", 2000),
        ("topk", "topk(10, rate(a_total[5m]))", 1000),
        (
            "histogram_quantile",
            "histogram_quantile(0.99, sum by (handler, le) (rate(latency_bucket[5m])))",
            1008,
        ),
        ("subquery", "max(max_over_time(rate(a_total[1m])[5m:15s]))", 1000),
    ];
    for (name, query, series) in queries {
        group.throughput(Throughput::Elements(series * STEPS as u64));
        let params = RangeParams {
            start_ms: END_MS - (STEPS - 1) * 15_000,
            end_ms: END_MS,
            step_ms: 15_000,
            ..RangeParams::default()
        };
        group.bench_function(name, |bencher| {
            bencher.iter(|| engine.range(&store, query, params.clone()).expect("valid"));
        });
    }
    group.finish();
}

fn instant_queries(criterion: &mut Criterion<CpuTime>) {
    let store = MemoryStore::default();
    counters(&store, "a_total", 20, 500);
    let mut options = EngineOptions::default();
    options.threads_count_max = 1;
    let engine = Engine::new(options, &Registry::default());
    let mut group = criterion.benchmark_group("instant");
    group.throughput(Throughput::Elements(10_000));
    let queries = [
        ("rate_sum_by", "sum by (instance) (rate(a_total[5m]))"),
        ("select", "a_total"),
        ("topk", "topk(10, rate(a_total[5m]))"),
        ("one_series", "a_total{instance=\"host-3:9100\",path=\"/api/v1/7\"}"),
    ];
    for (name, query) in queries {
        let params = InstantParams { time_ms: END_MS, ..InstantParams::default() };
        group.bench_function(name, |bencher| {
            bencher.iter(|| engine.instant(&store, query, params.clone()).expect("valid"));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = range_queries, instant_queries
}
criterion_main!(benches);
