//! Queries and data that nobody should have, over a database: an answer or a clear error, in time and within
//! the budget. Texts that are too long or too deep are the matter of `phases`.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use prom_model::{Labels, Matcher};
use prom_promql::{
    Engine, EngineOptions, InstantParams, QueryAnswer, QueryError, QueryErrorKind, RangeParams,
    Value,
};
use prom_storage::{
    Appendable, FloatSample, LabelHints, Querier, Queryable, SelectHints, Selection, StorageError,
    TimeRange,
};
use prom_telemetry::Registry;
use prom_tsdb::{Db, Options};
use tempfile::TempDir;

const MINUTE_MS: i64 = 60_000;
const MANY_SERIES: usize = 100_000;
const BYTES_MAX: u64 = 64 << 20;

fn engine(timeout: Duration) -> Engine {
    let mut options = EngineOptions::default();
    (options.bytes_max, options.timeout) = (BYTES_MAX, timeout);
    Engine::new(options, &Registry::default())
}

fn patient_engine() -> Engine {
    engine(Duration::from_secs(120))
}

/// A database with `count` series of three samples; `value` of the series' number and the minute.
fn database(count: usize, value: fn(usize, i64) -> f64) -> (Arc<Db>, TempDir) {
    let folder = TempDir::new().unwrap();
    let progress = |_| ControlFlow::Continue(());
    let db = Db::open(folder.path(), Options::default(), &Registry::default(), &progress).unwrap();
    let mut appender = db.appender();
    let labels_of = |number: usize| {
        let number = number.to_string();
        Labels::from_pairs([("__name__", "x"), ("job", "j"), ("series", number.as_str())])
    };
    let handles: Vec<_> =
        (0..count).map(|number| appender.series(&labels_of(number)).unwrap()).collect();
    let mut rejected = Vec::new();
    for minute in 0..3 {
        let sample = |(number, series): (usize, &_)| FloatSample {
            series: *series,
            timestamp_ms: minute * MINUTE_MS,
            value: value(number, minute),
        };
        let samples: Vec<_> = handles.iter().enumerate().map(sample).collect();
        appender.append(&samples, &mut rejected);
    }
    assert!(rejected.is_empty());
    appender.commit().unwrap();
    (db, folder)
}

fn instant(engine: &Engine, store: &dyn Queryable, query: &str) -> Result<QueryAnswer, QueryError> {
    engine.instant(store, query, InstantParams { time_ms: 2 * MINUTE_MS, ..Default::default() })
}

/// How many series or values an answer has.
fn count(answer: &QueryAnswer) -> usize {
    match &answer.value {
        Value::Vector(samples) => samples.len(),
        Value::Matrix(series) => series.len(),
        _ => 1,
    }
}

#[test]
fn slow_many_series_end_in_time_and_room() {
    use QueryErrorKind::{Execution, Timeout};
    let (db, _folder) = database(MANY_SERIES, |number, minute| number as f64 + minute as f64);
    // The search alone takes longer than this.
    let hasty = engine(Duration::from_millis(2));
    for query in [
        "x{series=~\"(.*1.*|.*2.*)+.*z\"}",
        "x{series!~\"(.*1.*|.*2.*)+.*z\"}",
        "{job=~\".+\",series=~\".*7(.*8)+\"}",
        "sum(x{series=~\"(.*1.*|.*2.*)+.*[0-9]\"})",
    ] {
        let err = instant(&hasty, &*db, query).expect_err(query);
        assert_eq!(err.kind(), Timeout, "{query}: {err}");
        assert_eq!(hasty.used_bytes(), 0, "{query}");
    }
    let engine = patient_engine();
    let range = |query: &str| {
        let (start_ms, end_ms, step_ms) = (0, 2 * MINUTE_MS, 10_000);
        let params = RangeParams { start_ms, end_ms, step_ms, ..Default::default() };
        engine.range(&*db, query, params)
    };
    // A million values of their own, and a pair for each two series.
    for query in [
        "count_values(\"v\", x * (1 + time()))",
        "count_values without () (\"v\", x * (1 + time()))",
        "x * on () group_left (job) x",
    ] {
        let err = range(query).expect_err(query);
        assert!([Execution, Timeout].contains(&err.kind()), "{query}: {err}");
        assert_eq!(engine.used_bytes(), 0, "{query}");
    }
    let err = instant(&engine, &*db, "label_replace(x, \"series\", \"one\", \"\", \"\")");
    let collision = "vector cannot contain metrics with the same labelset";
    assert_eq!(err.expect_err("they collide").to_string(), collision);
    let answer = instant(&engine, &*db, "sum(x{series=~\".*7\"})").unwrap();
    assert_eq!(count(&answer), 1);
}

#[test]
fn nothing_is_stored() {
    let (db, _folder) = database(0, |_, _| 0.0);
    let engine = patient_engine();
    let check = |query: &str, expected: usize| {
        let answer = instant(&engine, &*db, query).unwrap_or_else(|err| panic!("{query}: {err}"));
        assert_eq!(count(&answer), expected, "{query}");
        let params =
            RangeParams { start_ms: 0, end_ms: MINUTE_MS, step_ms: 1000, ..Default::default() };
        let answer =
            engine.range(&*db, query, params).unwrap_or_else(|err| panic!("{query}: {err}"));
        assert_eq!(count(&answer), expected, "{query}");
    };
    for query in [
        "x",
        "{job=~\".+\"}",
        "{job!~\"a.*\",x=~\".+\"}",
        "-x",
        "rate(x[5m])",
        "max_over_time(x[100y])",
        "max_over_time(rate(x[1m])[5m:10s])",
        "sum(x)",
        "quantile by (a) (0.5, x)",
        "topk(3, x)",
        "count_values(\"v\", x)",
        "histogram_quantile(0.5, x)",
        "label_replace(x, \"a\", \"$1\", \"b\", \"(.*)\")",
        "x + x",
        "x * on (a) group_left (b) x",
        "x or x",
        "sort_desc(x)",
        "x @ 7",
    ] {
        check(query, 0);
    }
    for query in
        ["absent(x)", "absent_over_time(x[5m])", "scalar(x)", "vector(1)", "x or vector(1)"]
    {
        check(query, 1);
    }
}

#[test]
fn nothing_is_a_number() {
    let (db, _folder) = database(20, |_, _| f64::NAN);
    let engine = patient_engine();
    let check = |query: &str, expected: usize| {
        let answer = instant(&engine, &*db, query).unwrap_or_else(|err| panic!("{query}: {err}"));
        assert_eq!(count(&answer), expected, "{query}");
    };
    for query in [
        "x",
        "-x",
        "rate(x[5m])",
        "changes(x[5m])",
        "deriv(x[5m])",
        "quantile_over_time(NaN, x[5m])",
        "predict_linear(x[5m], NaN)",
        "avg_over_time((x * NaN)[2m:1s])",
        "clamp(x, NaN, NaN)",
        "round(x, NaN)",
        "x + on (series) x",
        "sort(x)",
        "sort_desc(x)",
        "x != x",
        "bottomk(100, x)",
    ] {
        check(query, 20);
    }
    for query in [
        "sum(x)",
        "avg(x)",
        "min(x)",
        "max(x)",
        "stddev(x)",
        "stdvar(x)",
        "quantile(0.5, x)",
        "quantile(NaN, x)",
        "count_values(\"v\", x)",
        "topk(1, x)",
        "scalar(sum(x))",
    ] {
        check(query, 1);
    }
    check("x == x", 0);
    check("x < 1", 0);
    check("histogram_quantile(NaN, x)", 0);
    let err = instant(&engine, &*db, "topk(NaN, x)").expect_err("there is no such number");
    assert_eq!(err.kind(), QueryErrorKind::Execution);
}

/// A database whose series are deleted between their selection and the first look at a sample.
struct Deleting(Arc<Db>);

struct DeletingQuerier {
    db: Arc<Db>,
    inner: Arc<dyn Querier>,
}

impl Queryable for Deleting {
    fn querier(&self, range: TimeRange) -> Result<Arc<dyn Querier>, StorageError> {
        let db = Arc::clone(&self.0);
        let inner = db.querier(range)?;
        Ok(Arc::new(DeletingQuerier { db, inner }))
    }
}

impl Querier for DeletingQuerier {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn Selection>, StorageError> {
        let selection = self.inner.select(matchers, hints)?;
        self.db.delete(i64::MIN, i64::MAX, &[vec![Matcher::equal("__name__", "x")]])?;
        Ok(selection)
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        hints: &LabelHints,
    ) -> Result<Vec<String>, StorageError> {
        self.inner.label_names(matchers, hints)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        hints: &LabelHints,
    ) -> Result<Vec<String>, StorageError> {
        self.inner.label_values(name, matchers, hints)
    }
}

#[test]
fn series_are_deleted_during_the_query() {
    let engine = patient_engine();
    for query in ["x", "sum by (job) (x)", "rate(x[2m])", "x * on (series) x", "topk(3, x)"] {
        let (db, _folder) = database(100, |number, minute| number as f64 + minute as f64);
        let before = count(&instant(&engine, &*db, query).unwrap());
        assert!(before > 0, "{query}");
        // All of the series are seen, or none.
        let during = instant(&engine, &Deleting(Arc::clone(&db)), query);
        let during = count(&during.unwrap_or_else(|err| panic!("{query}: {err}")));
        assert!(during == before || during == 0, "{query}: {during} of {before}");
        assert_eq!(count(&instant(&engine, &*db, query).unwrap()), 0, "{query}");
    }
    assert_eq!(engine.used_bytes(), 0);
}
