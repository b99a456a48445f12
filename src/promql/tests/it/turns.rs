//! Queries beside each other: who waits for whom, who is seen, who can be stopped, what is written down.

use std::{
    sync::{Arc, Mutex, mpsc::sync_channel},
    task::{Context, Waker},
    thread,
    time::Duration,
};

use prom_model::{Labels, Matcher};
use prom_promql::{
    Begun, CancelToken, Engine, EngineOptions, InstantParams, QueryAnswer, QueryClass, QueryError,
    QueryId, QueryJournal, QueryOrigin, QueryParams, QueryTimes,
};
use prom_storage::{
    Columns, LabelHints, Querier, Queryable, SelectHints, Selection, StorageError, TimeRange,
};
use prom_telemetry::{Registry, clock};

/// A store of one selection that seems to be large and holds its readers up until the query is stopped.
/// It can say when it is read.
struct Endless {
    series_count: usize,
    cancel: CancelToken,
    is_read: Option<std::sync::mpsc::SyncSender<()>>,
}

struct EndlessSelection {
    series_count: usize,
    cancel: CancelToken,
    is_read: Option<std::sync::mpsc::SyncSender<()>>,
}

impl Queryable for Endless {
    fn querier(&self, _range: TimeRange) -> Result<Arc<dyn Querier>, StorageError> {
        let (series_count, cancel) = (self.series_count, self.cancel.clone());
        Ok(Arc::new(Self { series_count, cancel, is_read: self.is_read.clone() }))
    }
}

impl Querier for Endless {
    fn select(
        &self,
        _matchers: &[Matcher],
        _hints: &SelectHints,
    ) -> Result<Box<dyn Selection>, StorageError> {
        let (series_count, cancel) = (self.series_count, self.cancel.clone());
        Ok(Box::new(EndlessSelection { series_count, cancel, is_read: self.is_read.clone() }))
    }

    fn select_while(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Box<dyn Selection>, StorageError> {
        if self.series_count < NEVER_FOUND {
            return self.select(matchers, hints);
        }
        while goes_on() {
            thread::yield_now();
        }
        Err(StorageError::Canceled)
    }

    fn label_names(
        &self,
        _matchers: &[Matcher],
        _hints: &LabelHints,
    ) -> Result<Vec<String>, StorageError> {
        Ok(Vec::new())
    }

    fn label_values(
        &self,
        _name: &str,
        _matchers: &[Matcher],
        _hints: &LabelHints,
    ) -> Result<Vec<String>, StorageError> {
        Ok(Vec::new())
    }
}

impl Selection for EndlessSelection {
    fn len(&self) -> usize {
        self.series_count
    }

    fn labels(&self, index: usize) -> Labels {
        Labels::from_pairs([("series", index.to_string())])
    }

    fn read(&self, _: usize, _: TimeRange, out: &mut Columns) -> Result<(), StorageError> {
        if let Some(is_read) = &self.is_read {
            // Told once is enough.
            let _is_told = is_read.try_send(());
        }
        while !self.cancel.is_canceled() {
            thread::yield_now();
        }
        out.push(1000, 1.0);
        Ok(())
    }
}

/// So many series are searched for until nobody waits for them.
const NEVER_FOUND: usize = usize::MAX;
const HEAVY_SERIES: usize = 50_000;

fn engine(change: impl FnOnce(&mut EngineOptions)) -> Arc<Engine> {
    let mut options = EngineOptions::default();
    options.threads_count_max = 1;
    change(&mut options);
    Arc::new(Engine::new(options, &Registry::default()))
}

fn params(client: &str, cancel: &CancelToken) -> QueryParams {
    let origin = QueryOrigin::Http {
        client_ip: client.to_owned(),
        method: "GET".to_owned(),
        path: "/api/v1/query".to_owned(),
    };
    QueryParams { origin, cancel: cancel.clone(), ..QueryParams::default() }
}

fn ask(
    engine: &Engine,
    store: &dyn Queryable,
    query: &str,
    params: QueryParams,
) -> Result<QueryAnswer, QueryError> {
    engine.instant(store, query, InstantParams { time_ms: 1000, query: params })
}

/// Waits until `is_so`; fails after a minute.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let started = clock::monotonic();
    while !is_so() {
        assert!(clock::monotonic() - started < Duration::from_secs(60), "{what}");
        thread::yield_now();
    }
}

#[test]
fn small_queries_and_rules_do_not_wait_for_a_hundred_heavy_ones() {
    let engine = engine(|_| {});
    let stop = CancelToken::default();
    let heavy = Endless { series_count: HEAVY_SERIES, cancel: stop.clone(), is_read: None };
    let small = Endless { series_count: 3, cancel: CancelToken::default(), is_read: None };
    small.cancel.cancel();
    thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| ask(&engine, &heavy, "sum(x)", params("10.0.0.1", &stop)));
        }
        until("all hundred are there", || {
            let active = engine.active();
            active.len() == 100 && active.iter().filter(|query| !query.is_waiting).count() >= 2
        });
        let started = clock::monotonic();
        let none = CancelToken::default();
        assert!(ask(&engine, &small, "sum(x)", params("10.0.0.1", &none)).is_ok());
        let rule = QueryParams { class: QueryClass::Rules, ..QueryParams::default() };
        assert!(ask(&engine, &small, "sum(x)", rule).is_ok());
        assert!(clock::monotonic() - started < Duration::from_secs(1));
        let waiting = engine.active().iter().filter(|query| query.is_waiting).count();
        assert!(waiting >= 80, "{waiting}");
        stop.cancel();
    });
    assert!(engine.active().is_empty());
}

#[test]
fn queries_are_listed_and_can_be_stopped() {
    let engine = engine(|options| options.concurrency_max = 1);
    let (cancel, waiting_cancel) = (CancelToken::default(), CancelToken::default());
    let (is_read, reads) = sync_channel(1);
    let store =
        Endless { series_count: HEAVY_SERIES, cancel: cancel.clone(), is_read: Some(is_read) };
    thread::scope(|scope| {
        let first = scope.spawn(|| ask(&engine, &store, "sum(x)", params("10.0.0.1", &cancel)));
        reads.recv().unwrap();
        let second =
            scope.spawn(|| ask(&engine, &store, "avg(x)", params("10.0.0.2", &waiting_cancel)));
        until("both are there", || engine.active().len() == 2);
        let active = engine.active();
        assert_eq!((&*active[0].query, active[0].is_waiting), ("sum(x)", false));
        assert!(active[0].used_bytes > 0);
        assert_eq!((&*active[1].query, active[1].is_waiting), ("avg(x)", true));
        until("its cost is known", || engine.active()[1].estimate.is_some());
        let estimate = engine.active()[1].estimate.clone().unwrap();
        assert_eq!(estimate.series, HEAVY_SERIES as u64);
        assert!(
            estimate.heaviest.starts_with("{__name__=\"x\"} (1:5) with 50000 series and about")
        );
        let impatient = QueryParams {
            timeout: Some(Duration::from_millis(30)),
            ..params("c", &waiting_cancel)
        };
        let err = ask(&engine, &store, "max(x)", impatient).unwrap_err();
        assert_eq!(err.to_string(), "query timed out in query queue");
        assert!(engine.cancel(active[1].id));
        let err = second.join().unwrap().unwrap_err();
        assert_eq!(err.to_string(), "query was canceled in query queue");
        assert!(engine.cancel(active[0].id));
        let err = first.join().unwrap().unwrap_err();
        assert_eq!(err.to_string(), "query was canceled in expression evaluation");
        assert!(!engine.cancel(active[0].id) && !engine.cancel(QueryId(99)));
    });
}

#[test]
fn a_question_waits_without_a_thread() {
    let engine = engine(|options| options.concurrency_max = 1);
    let cancel = CancelToken::default();
    let (is_read, reads) = sync_channel(1);
    let store =
        Endless { series_count: HEAVY_SERIES, cancel: cancel.clone(), is_read: Some(is_read) };
    thread::scope(|scope| {
        let first = scope.spawn(|| ask(&engine, &store, "sum(x)", params("a", &cancel)));
        reads.recv().unwrap();
        let times = QueryTimes::Instant { time_ms: 1000 };
        let begin = || engine.begin(&store, "avg(x)", times, params("b", &CancelToken::default()));
        let Begun::Waiting(mut waiting) = begin() else { panic!("the slot is taken") };
        let ctx = Context::from_waker(Waker::noop());
        assert!(waiting.poll_turn(&ctx).is_pending() && waiting.check().is_ok());
        // Whoever leaves is gone at once.
        let Begun::Waiting(left) = begin() else { panic!("the slot is taken") };
        assert_eq!(engine.active().len(), 3);
        drop(left);
        assert_eq!(engine.active().len(), 2);
        cancel.cancel();
        assert!(first.join().unwrap().is_err());
        assert!(waiting.poll_turn(&ctx).is_ready());
        let answer = engine.finish(&store, *waiting).unwrap();
        assert!(answer.stats.timings.exec_queue > Duration::ZERO);
        let Begun::Done(failed) = engine.begin(&store, "x[", times, QueryParams::default()) else {
            panic!("a mistake is told at once")
        };
        assert!(matches!(*failed, Err(QueryError::Parse(_))));
    });
}

#[test]
fn a_light_query_is_prepared_at_once_and_others_are_not_held_up() {
    let engine = engine(|_| {});
    let none = CancelToken::default();
    let small = Endless { series_count: 3, cancel: CancelToken::default(), is_read: None };
    let slow = Endless { series_count: NEVER_FOUND, cancel: CancelToken::default(), is_read: None };
    let times = QueryTimes::Instant { time_ms: 1000 };
    let prepare = |store: &dyn Queryable, query: &str, params: QueryParams| {
        engine.prepare_at_once(store, query, times, params)
    };
    // A thread that is put aside for two milliseconds is too late: asked again it is not.
    let prepare_patiently = |query: &str| {
        let asked = std::iter::repeat_with(|| prepare(&small, query, params("a", &none)));
        asked.take(1000).flatten().next().unwrap()
    };
    assert!(prepare_patiently("sum(x)").unwrap().is_light());
    assert!(matches!(prepare_patiently("x["), Err(QueryError::Parse(_))));
    assert!(prepare(&slow, "sum(x)", params("a", &none)).is_none());
    // Its own time being over, it is told so.
    let over = QueryParams { timeout: Some(Duration::ZERO), ..params("a", &none) };
    assert!(matches!(prepare(&slow, "sum(x)", over), Some(Err(QueryError::TimedOut(_)))));
    assert!(engine.active().is_empty());
}

/// A journal that tells what was noted.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl QueryJournal for Notes {
    fn began(&self, query: &str) -> Option<usize> {
        self.0.lock().unwrap().push(format!("+{query}"));
        Some(7)
    }

    fn ended(&self, slot: usize) {
        self.0.lock().unwrap().push(format!("-{slot}"));
    }
}

#[test]
fn queries_are_noted_and_logged() {
    let (notes, lines) = (Arc::new(Notes::default()), Arc::new(Mutex::new(Vec::new())));
    let journal = Arc::clone(&notes);
    let engine = engine(|options| options.journal = Some(journal));
    let store = Endless { series_count: 1, cancel: CancelToken::default(), is_read: None };
    store.cancel.cancel();
    let log = Arc::clone(&lines);
    engine.set_query_log(Some(Arc::new(move |query| {
        let error = query.error.as_ref().map(ToString::to_string);
        log.lock().unwrap().push((query.query.to_string(), query.times, error));
        Ok(())
    })));
    ask(&engine, &store, "x", QueryParams::default()).unwrap();
    ask(&engine, &store, "topk(scalar(x / 0), x)", QueryParams::default()).unwrap_err();
    ask(&engine, &store, "x[", QueryParams::default()).unwrap_err();
    engine.set_query_log(None);
    ask(&engine, &store, "1", QueryParams::default()).unwrap();
    let times = QueryTimes::Instant { time_ms: 1000 };
    let expected = [
        ("x".to_owned(), times, None),
        (
            "topk(scalar(x / 0), x)".to_owned(),
            times,
            Some("Scalar value +Inf overflows int64".to_owned()),
        ),
    ];
    assert_eq!(*lines.lock().unwrap(), expected);
    assert_eq!(*notes.0.lock().unwrap(), ["+x", "-7", "+topk(scalar(x / 0), x)", "-7", "+1", "-7"]);
}

#[test]
fn a_query_explains_itself() {
    let engine = engine(|_| {});
    let store = Endless { series_count: 10, cancel: CancelToken::default(), is_read: None };
    store.cancel.cancel();
    let explain = |query: &str| {
        let params = QueryParams { wants_profile: true, ..QueryParams::default() };
        let answer = ask(&engine, &store, query, params).unwrap();
        (answer.profile.unwrap(), answer.estimate)
    };
    let (profile, estimate) = explain("sum(x) / count(abs(y))");
    assert_eq!(estimate.series, 20);
    let [root] = &profile[..] else { panic!("{profile:?}") };
    assert_eq!((root.operator, &*root.text), ("operation of vectors", "sum(x) / count(abs(y))"));
    assert_eq!((root.series, root.steps, root.rows, root.points), (1, 1, 1, 1));
    let [lhs, rhs] = &root.operands[..] else { panic!("{root:?}") };
    assert_eq!((lhs.operator, &*lhs.text, lhs.series), ("aggregation", "sum(x)", 1));
    assert_eq!((&*rhs.operands[0].text, rhs.operands[0].series), ("abs(y)", 10));
    let select = &rhs.operands[0].operands[0];
    assert_eq!((select.operator, select.rows, select.points), ("select", 10, 10));
    assert!(root.time >= lhs.time + rhs.time && select.own_time == select.time);
    let (profile, _) = explain("scalar(x) + 1");
    assert_eq!(&*profile[0].text, "x");
    let plain = ask(&engine, &store, "x", QueryParams::default()).unwrap();
    assert_eq!(plain.profile, None);
}
