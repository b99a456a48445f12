//! Queries that ask for too much, too long or too deep, and queries beside each other.

use std::{thread, time::Duration};

use prom_model::Labels;
use prom_promql::{
    CancelToken, Engine, EngineOptions, InstantParams, QueryAnswer, QueryError, QueryErrorKind,
    QueryParams, RangeParams, Value,
};
use prom_storage::Queryable;
use prom_telemetry::Registry;
use prom_testkit::MemoryStore;

const MINUTE_MS: i64 = 60_000;

/// `count` counters over an hour, a sample a minute, each with gaps of its own.
fn store(count: usize) -> MemoryStore {
    let store = MemoryStore::default();
    for series in 0..count {
        let labels = Labels::from_pairs([
            ("__name__", "requests_total"),
            ("group", &(series % 7).to_string()),
            ("series", &series.to_string()),
        ]);
        let samples = (0..60)
            .filter(|minute| (minute * 31 + series) % 11 > 0)
            .map(|minute| (minute as i64 * MINUTE_MS, (minute * (series + 1)) as f64 * 0.1));
        store.push_series(labels, samples);
    }
    store
}

fn engine(change: impl FnOnce(&mut EngineOptions)) -> Engine {
    let mut options = EngineOptions::default();
    change(&mut options);
    Engine::new(options, &Registry::default())
}

fn instant(engine: &Engine, store: &dyn Queryable, query: &str) -> Result<QueryAnswer, QueryError> {
    engine.instant(store, query, InstantParams { time_ms: 30 * MINUTE_MS, ..Default::default() })
}

fn range(engine: &Engine, store: &dyn Queryable, query: &str) -> Result<QueryAnswer, QueryError> {
    let params =
        RangeParams { start_ms: 0, end_ms: 60 * MINUTE_MS, step_ms: 7_000, ..Default::default() };
    engine.range(store, query, params)
}

#[test]
fn too_much_is_refused_before_it_is_there() {
    let store = store(50);
    let check = |engine: &Engine, query: &str, expected: &str| {
        let err =
            range(engine, &store, query).err().unwrap_or_else(|| panic!("{query} is answered"));
        assert_eq!(err.to_string(), expected, "{query}");
        assert_eq!(err.kind(), QueryErrorKind::Execution);
    };
    let text = "query processing would load too many samples into memory in query execution";
    let blamed = |place: &str, samples: usize| {
        format!(
            "{text}, most of it for {{__name__=\"requests_total\"}} (1:{place}) with 50 series and about {samples} samples"
        )
    };
    let few = engine(|options| options.samples_count_max = 1000);
    check(&few, "requests_total", &blamed("1", 13_000));
    check(&few, "sum(requests_total)", &blamed("5", 13_000));
    check(&few, "max_over_time(requests_total[50m])", &blamed("15", 22_000));
    check(&few, "time() + 1", text);
    check(&few, "max_over_time(vector(1)[30d:1s])", text);
    let any = engine(|_| {});
    check(&any, "max_over_time(vector(1)[100y:1ms])", text);
    let small = engine(|options| options.bytes_max = 10_000);
    let text = |place: usize| {
        format!(
            "query processing would need more than 10000 bytes of memory in query execution, most of it for {{__name__=\"requests_total\"}} (1:{place}) with 50 series and about 13000 samples"
        )
    };
    check(&small, "requests_total", &text(1));
    check(&small, "topk(3, requests_total)", &text(9));
    check(&small, "count_values(\"v\", requests_total)", &text(19));
    assert!(instant(&small, &store, "sum(requests_total)").is_ok());
}

#[test]
fn time_and_cancel_end_a_query() {
    let (engine, store) = (engine(|_| {}), store(5));
    let ask = |query: QueryParams| {
        let params = InstantParams { time_ms: 30 * MINUTE_MS, query };
        engine.instant(&store, "sum(requests_total)", params).expect_err("it must stop")
    };
    let err = ask(QueryParams { timeout: Some(Duration::ZERO), ..Default::default() });
    assert_eq!(err.to_string(), "query timed out in query execution");
    assert_eq!(err.kind(), QueryErrorKind::Timeout);
    let cancel = CancelToken::default();
    cancel.cancel();
    let err = ask(QueryParams { cancel, ..Default::default() });
    assert_eq!(err.to_string(), "query was canceled in query execution");
    assert_eq!(err.kind(), QueryErrorKind::Canceled);
}

#[test]
fn deep_expressions_need_no_deep_thread() {
    let (engine, store) = (engine(|_| {}), store(3));
    let depth = 900;
    let nested = |open: &str, close: &str| {
        format!("{}requests_total{}", open.repeat(depth), close.repeat(depth))
    };
    let queries = [
        nested("(", ")"),
        nested("-", ""),
        nested("abs(", ")"),
        nested("sum(", ")"),
        format!("requests_total{}", " + 1".repeat(depth)),
        format!("requests_total{}", " + requests_total".repeat(depth)),
        format!("requests_total{}", " or requests_total".repeat(depth)),
        format!("1{}", " + 1".repeat(depth)),
    ];
    thread::scope(|scope| {
        let small = thread::Builder::new().stack_size(2 << 20);
        let asked = small.spawn_scoped(scope, || {
            for query in &queries {
                instant(&engine, &store, query)
                    .unwrap_or_else(|err| panic!("{err}: {}", &query[..60]));
            }
        });
        asked.unwrap().join().unwrap();
    });
}

#[test]
fn threads_change_no_bit() {
    let store = store(800);
    let one = engine(|options| options.threads_count_max = 1);
    let several = engine(|options| options.threads_count_max = 4);
    let queries = [
        "rate(requests_total[5m])",
        "sum by (group) (rate(requests_total[5m]))",
        "avg(requests_total)",
        "stddev by (group) (requests_total)",
        "topk by (group) (3, rate(requests_total[10m]))",
        "quantile(0.7, requests_total)",
        "requests_total / on (series) rate(requests_total[5m])",
        "sum(requests_total * on (group) group_left sum by (group) (requests_total))",
        "count_values(\"v\", requests_total)",
        "(requests_total > 100) or rate(requests_total[5m])",
        "max by (group) (max_over_time(rate(requests_total[3m])[10m:1m]))",
    ];
    for query in queries {
        let ask = |engine| {
            let mut answer = range(engine, &store, query).unwrap();
            answer.stats.timings = Default::default();
            answer.stats.peak_bytes = 0;
            answer
        };
        let (a, b) = (ask(&one), ask(&several));
        assert_eq!(bits(&a), bits(&b), "{query}");
        assert_eq!(a.stats, b.stats, "{query}");
    }
}

fn bits(answer: &QueryAnswer) -> Vec<(String, Vec<(i64, u64)>)> {
    let Value::Matrix(series) = &answer.value else { panic!("no matrix") };
    let points = |series: &prom_promql::Series| {
        series.points.iter().map(|point| (point.timestamp_ms, point.value.to_bits())).collect()
    };
    series.iter().map(|series| (series.labels.to_string(), points(series))).collect()
}

#[test]
fn samples_are_counted_by_step_where_that_is_wanted() {
    let store = store(1);
    let engine = engine(|options| options.has_per_step_stats = true);
    let ask = |query: &str, wants_per_step_stats| {
        let query_params = QueryParams { wants_per_step_stats, ..Default::default() };
        let params = RangeParams {
            start_ms: 10 * MINUTE_MS,
            end_ms: 12 * MINUTE_MS,
            step_ms: MINUTE_MS,
            query: query_params,
        };
        engine.range(&store, query, params).unwrap().stats.samples
    };
    assert_eq!(ask("requests_total", false).per_step, None);
    let check = |query: &str, queryable: &[u64], read: &[u64]| {
        let samples = ask(query, true);
        let per_step = samples.per_step.expect("it was asked for");
        assert_eq!((per_step.start_ms, per_step.step_ms), (10 * MINUTE_MS, MINUTE_MS));
        assert_eq!(per_step.total_queryable, queryable, "{query}");
        assert_eq!(per_step.read, read, "{query}");
        assert_eq!(samples.total_queryable, queryable.iter().sum::<u64>());
        assert_eq!(samples.read, read.iter().sum::<u64>());
    };
    // The sample of minute eleven is missing.
    check("requests_total", &[1, 1, 1], &[1, 1, 1]);
    check("rate(requests_total[3m])", &[3, 2, 2], &[3, 0, 1]);
    check("rate(requests_total[3m] @ 600)", &[3, 3, 3], &[3, 0, 0]);
}

#[test]
fn metrics_tell_of_queries() {
    let registry = Registry::default();
    let engine = Engine::new(EngineOptions::default(), &registry);
    instant(&engine, &store(2), "sum(requests_total)").unwrap();
    let families = registry.gather();
    let value = |name: &str| {
        let family =
            families.iter().find(|family| family.name == name).unwrap_or_else(|| panic!("{name}"));
        format!("{:?}", family.metrics[0].value)
    };
    assert!(value("prometheus_engine_queries").contains('0'));
    assert!(value("prometheus_engine_queries_concurrent_max").contains("20"));
    assert!(value("prometheus_engine_query_samples_total").contains('2'));
    let names: Vec<&str> = families.iter().map(|family| family.name.as_str()).collect();
    for name in ["prometheus_engine_query_duration_seconds", "prometheus_engine_query_log_enabled"]
    {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
}
