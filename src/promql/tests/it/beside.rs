//! Rules beside everything else, over a database: while clients ask for more than there is of memory and of
//! time, samples are taken, rules see them, and all queries together stay within their budget.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use prom_model::Labels;
use prom_promql::{
    Engine, EngineOptions, InstantParams, QueryClass, QueryParams, RangeParams, Value,
};
use prom_storage::{Appendable, FloatSample, SeriesHandle};
use prom_telemetry::{Registry, clock};
use prom_tsdb::{Db, Options};
use tempfile::TempDir;

const SERIES_COUNT: usize = 3_000;
const CLIENTS_COUNT: usize = 8;
const SECONDS_MS: i64 = 1_000;
/// Samples of each series before the clients come, and while they are there.
const ROUNDS_BEFORE: i64 = 600;
const ROUNDS_BESIDE: i64 = 20;
const BYTES_MAX: u64 = 32 << 20;
const TOTAL_BYTES_MAX: u64 = 64 << 20;
/// What samples and a rule may take together: they are due once a second, but a test machine may be busy.
const LATENESS_MAX: Duration = Duration::from_secs(10);

struct Fixture {
    db: Arc<Db>,
    handles: Vec<SeriesHandle>,
    _folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let goes_on = |_| ControlFlow::Continue(());
        let db =
            Db::open(folder.path(), Options::default(), &Registry::default(), &goes_on).unwrap();
        let mut appender = db.appender();
        let handle = |number: usize| {
            let (number, group) = (number.to_string(), (number % 50).to_string());
            let pairs = [("__name__", "x"), ("group", group.as_str()), ("series", number.as_str())];
            appender.series(&Labels::from_pairs(pairs)).unwrap()
        };
        let handles = (0..SERIES_COUNT).map(handle).collect();
        appender.commit().unwrap();
        let fixture = Self { db, handles, _folder: folder };
        (0..ROUNDS_BEFORE).for_each(|round| fixture.take_samples(round));
        fixture
    }

    /// As a scrape does.
    fn take_samples(&self, round: i64) {
        let mut appender = self.db.appender();
        let sample = |series: &SeriesHandle| FloatSample {
            series: *series,
            timestamp_ms: round * SECONDS_MS,
            value: round as f64,
        };
        let samples: Vec<_> = self.handles.iter().map(sample).collect();
        let mut rejected = Vec::new();
        appender.append(&samples, &mut rejected);
        assert!(rejected.is_empty());
        appender.commit().unwrap();
    }
}

/// Asks for too much until told to stop; how it ends is another test's matter.
fn be_a_nuisance(
    engine: &Engine,
    db: &Db,
    first: usize,
    is_over: &AtomicBool,
    ended: &AtomicUsize,
) {
    let queries = [
        "sum by (group) (rate(x[5m]))",
        "x",
        "quantile(0.9, x)",
        "count_values(\"v\", x * time())",
        "x * on () group_left x",
        "max_over_time(rate(x[30s])[5m:1s])",
        "label_join(x, \"y\", \"-\", \"series\", \"group\", \"series\")",
    ];
    for query in queries.iter().cycle().skip(first) {
        if is_over.load(Relaxed) {
            return;
        }
        let params = RangeParams {
            start_ms: 0,
            end_ms: ROUNDS_BEFORE * SECONDS_MS,
            step_ms: 100,
            query: QueryParams { timeout: Some(Duration::from_secs(5)), ..Default::default() },
        };
        drop(engine.range(db, query, params));
        ended.fetch_add(1, Relaxed);
    }
}

#[test]
fn slow_rules_and_samples_are_on_time_beside_heavy_queries() {
    let fixture = Fixture::new();
    let mut options = EngineOptions::default();
    (options.bytes_max, options.total_bytes_max) = (BYTES_MAX, TOTAL_BYTES_MAX);
    let engine = Engine::new(options, &Registry::default());
    let (is_over, ended) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut slowest = Duration::ZERO;
    thread::scope(|scope| {
        for client in 0..CLIENTS_COUNT {
            let (engine, db, is_over, ended) = (&engine, &*fixture.db, &is_over, &ended);
            scope.spawn(move || be_a_nuisance(engine, db, client, is_over, ended));
        }
        while ended.load(Relaxed) < CLIENTS_COUNT {
            thread::sleep(Duration::from_millis(5));
        }
        for round in ROUNDS_BEFORE..ROUNDS_BEFORE + ROUNDS_BESIDE {
            let due = clock::monotonic();
            fixture.take_samples(round);
            let query = QueryParams { class: QueryClass::Rules, ..Default::default() };
            let params = InstantParams { time_ms: round * SECONDS_MS, query };
            let answer = engine.instant(&*fixture.db, "sum by (group) (x)", params).unwrap();
            slowest = slowest.max(clock::monotonic() - due);
            let Value::Vector(samples) = &answer.value else { panic!("{answer:?}") };
            let expected = (round as usize * SERIES_COUNT / 50) as f64;
            assert_eq!(samples.len(), 50);
            assert!(samples.iter().all(|sample| sample.value == expected), "{samples:?}");
            let used_bytes = engine.used_bytes();
            assert!(used_bytes <= TOTAL_BYTES_MAX, "{used_bytes}");
        }
        is_over.store(true, Relaxed);
    });
    println!("samples and rules took {slowest:?} at most, beside {} queries", ended.into_inner());
    assert!(slowest < LATENESS_MAX, "{slowest:?}");
    assert_eq!((engine.used_bytes(), engine.active().len()), (0, 0));
}
