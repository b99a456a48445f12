//! The deadline and the byte budget hold in every phase: parse, print, plan, execute.
//! Each query here asks for seconds or gigabytes, and gets neither.

use std::time::Duration;

use prom_model::Labels;
use prom_promql::{
    Engine, EngineOptions, InstantParams, QueryAnswer, QueryError, QueryErrorKind, QueryParams,
    RangeParams,
};
use prom_telemetry::{Registry, clock};
use prom_testkit::MemoryStore;

const MINUTE_MS: i64 = 60_000;
/// What every query here may take.
const TIMEOUT: Duration = Duration::from_millis(300);
/// For queries that must come to another end than this, however busy the machine is.
const TIMEOUT_PATIENT: Duration = Duration::from_secs(60);
/// How late a query may notice; a busy machine stretches it.
const LATENESS_MAX: Duration = Duration::from_secs(5);
const BYTES_MAX: u64 = 64 << 20;

fn engine() -> Engine {
    engine_with(TIMEOUT)
}

fn engine_with(timeout: Duration) -> Engine {
    let mut options = EngineOptions::default();
    (options.bytes_max, options.timeout) = (BYTES_MAX, timeout);
    Engine::new(options, &Registry::default())
}

/// `count` series, each with a value of its own.
fn store(count: usize) -> MemoryStore {
    let store = MemoryStore::default();
    for series in 0..count {
        let text = series.to_string();
        let labels = Labels::from_pairs([("__name__", "x"), ("series", &text)]);
        store.push_series(labels, (0..3).map(|minute| (minute * MINUTE_MS, series as f64)));
    }
    store
}

/// Whether a query that asks for too much ends in time, with one of `kinds`, and holds nothing behind.
fn check(
    name: &str,
    engine: &Engine,
    kinds: &[QueryErrorKind],
    ask: impl FnOnce() -> Result<QueryAnswer, QueryError>,
) {
    let started = clock::monotonic();
    let result = ask();
    let elapsed = clock::monotonic() - started;
    let err = result.err().unwrap_or_else(|| panic!("{name} is answered"));
    assert!(kinds.contains(&err.kind()), "{name}: {err}");
    assert!(elapsed < TIMEOUT + LATENESS_MAX, "{name} took {elapsed:?}");
    assert_eq!(engine.used_bytes(), 0, "{name}");
}

fn instant(engine: &Engine, store: &MemoryStore, query: &str) -> Result<QueryAnswer, QueryError> {
    engine.instant(store, query, InstantParams { time_ms: 2 * MINUTE_MS, ..Default::default() })
}

#[test]
fn texts_of_megabytes_end_in_time() {
    use QueryErrorKind::{BadData, Execution, Timeout};
    let (engine, store) = (engine(), store(3));
    let megabyte = "a".repeat(1 << 20);
    let regexes: String = (0..40_000).map(|n| format!("a=~\"(x|y){n}.*(z+)\",")).collect();
    let cases = [
        ("operator chain", format!("1{}", " + 1".repeat(300_000)), vec![BadData]),
        ("power chain", format!("1{}", "^1".repeat(500_000)), vec![BadData]),
        ("nested calls", "abs(".repeat(300_000), vec![BadData]),
        ("nested parentheses", "(".repeat(10_000) + "x" + &")".repeat(10_000), vec![BadData]),
        ("regular expressions", format!("x{{{regexes}}}"), vec![Timeout]),
        (
            "a regular expression that grows",
            "x{a=~\"((a{1000}){1000}){1000}\"}".to_owned(),
            vec![BadData],
        ),
        ("steps of a hundred years", "sum_over_time(x[100y:1ms])".to_owned(), vec![Execution]),
        ("a billion steps", "count_over_time(vector(1)[1000000s:1ms])".to_owned(), vec![Execution]),
        (
            "labels that double",
            "label_replace(".repeat(60)
                + &format!("label_join(x, \"y\", \"{megabyte}\", \"series\", \"series\")")
                + &", \"y\", \"$1$1\", \"y\", \"(.*)\")".repeat(60),
            vec![Execution, Timeout],
        ),
        (
            "a label of gigabytes",
            format!("label_join(x, \"y\", \"{megabyte}\"{})", ", \"series\"".repeat(2000)),
            vec![Execution],
        ),
    ];
    for (name, query, kinds) in cases {
        check(name, &engine, &kinds, || instant(&engine, &store, &query));
    }
}

#[test]
fn printing_ends_in_time() {
    let engine = engine();
    let long = format!("x{{a=\"{}\"}}", "b\u{e9}".repeat(1 << 20));
    let chain = long + &" + 1".repeat(990);
    let started = clock::monotonic();
    let formatted = engine.format(&chain, &QueryParams::default());
    let elapsed = clock::monotonic() - started;
    assert!(elapsed < TIMEOUT + LATENESS_MAX);
    if let Err(err) = formatted {
        assert_eq!(err.to_string(), "query timed out in query preparation");
    }
    let none = QueryParams { timeout: Some(Duration::ZERO), ..QueryParams::default() };
    let query = "x + 1".to_owned() + &" + 1".repeat(200);
    for result in [engine.format(&query, &none).map(drop), engine.parse(&query, &none).map(drop)] {
        assert_eq!(result.unwrap_err().kind(), QueryErrorKind::Timeout);
    }
    assert_eq!(engine.format("x+1", &QueryParams::default()).unwrap(), "x + 1");
}

#[test]
fn many_series_end_in_time_and_room() {
    use QueryErrorKind::{Execution, Timeout};
    let (engine, store) = (engine(), store(20_000));
    let megabyte = "a".repeat(1 << 20);
    let both = [Execution, Timeout];
    for (name, query) in [
        (
            "join of a megabyte",
            format!("label_join(x, \"y\", \"{megabyte}\", \"series\", \"series\")"),
        ),
        (
            "replacement of a megabyte",
            format!("label_replace(x, \"y\", \"{megabyte}\", \"\", \"\")"),
        ),
        ("cross join", "x * on () group_left x".to_owned()),
        ("cross join by a label", "x + on (job) group_right (series) x".to_owned()),
        (
            "deep labels",
            "label_join(".repeat(900) + "x" + &", \"y\", \"-\", \"y\", \"series\")".repeat(900),
        ),
        ("chain of unions", format!("x{}", " or x".repeat(900))),
    ] {
        check(name, &engine, &both, || instant(&engine, &store, &query));
    }
    let patient = engine_with(TIMEOUT_PATIENT);
    let err = instant(
        &patient,
        &store,
        &format!("label_join(x, \"y\", \"{megabyte}\", \"series\", \"series\")"),
    );
    assert_eq!(
        err.unwrap_err().to_string(),
        "query processing would need more than 67108864 bytes of memory in query execution, most of it for {__name__=\"x\"} (1:12) with 20000 series and about 400000 samples"
    );
    let range = |query: &str| {
        let (start_ms, end_ms) = (0, 2 * MINUTE_MS);
        engine.range(
            &store,
            query,
            RangeParams { start_ms, end_ms, step_ms: 12, ..Default::default() },
        )
    };
    check("values as labels", &engine, &both, || range("count_values(\"v\", x)"));
    check("different values", &engine, &both, || {
        range("count_values(\"v\", x * time() * 1.000001)")
    });
    check("quantiles", &engine, &both, || range("quantile(0.5, x)"));
    assert!(instant(&patient, &store, "sum(x)").is_ok());
    assert_eq!((engine.used_bytes(), patient.used_bytes()), (0, 0));
}

#[test]
fn rows_of_nested_operators_are_counted() {
    use QueryErrorKind::{Execution, Timeout};
    let (engine, store) = (engine(), store(2));
    // Each level holds a row of a million steps while the next one is read.
    let nested = "x + (".repeat(200) + "x" + &")".repeat(200);
    let query = format!("max_over_time(({nested})[1000s:1ms])");
    check("nested rows", &engine, &[Execution, Timeout], || instant(&engine, &store, &query));
}

#[test]
fn an_answer_counts_until_it_is_dropped() {
    let (engine, store) = (engine(), store(100));
    let answer = instant(&engine, &store, "x").unwrap();
    assert!(engine.used_bytes() > 100 * 16, "{}", engine.used_bytes());
    drop(answer);
    assert_eq!(engine.used_bytes(), 0);
}
