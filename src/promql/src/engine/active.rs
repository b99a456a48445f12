//! Queries that run or wait, and those that took long: for whoever operates the server.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use prom_telemetry::clock;

use super::{QueryClass, QueryOrigin, QueryTimes};
use crate::{
    CancelToken, QueryError, QueryStats,
    exec::{Memory, QueryEstimate},
};

/// Queries that took at least so long are remembered.
const SLOW_TIME_MIN: Duration = Duration::from_secs(1);
/// How many of them, the newest.
const SLOW_COUNT_MAX: usize = 100;
/// Text of a query that is remembered.
const TEXT_SIZE_BYTES_MAX: usize = 10_000;

/// Names a query for as long as the engine lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub u64);

/// A query that runs or waits.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ActiveQuery {
    pub id: QueryId,
    /// Cut where it is very long.
    pub query: Arc<str>,
    pub times: QueryTimes,
    pub class: QueryClass,
    pub origin: QueryOrigin,
    /// When it was asked, and how long ago that is.
    pub asked_ms: i64,
    pub elapsed: Duration,
    /// Whether it waits for its turn.
    pub is_waiting: bool,
    /// Nothing before its series were selected.
    pub estimate: Option<QueryEstimate>,
    pub used_bytes: u64,
}

/// A query that ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FinishedQuery {
    pub id: QueryId,
    pub query: Arc<str>,
    pub times: QueryTimes,
    pub class: QueryClass,
    pub origin: QueryOrigin,
    pub asked_ms: i64,
    /// From question to answer, waiting included.
    pub elapsed: Duration,
    pub stats: QueryStats,
    pub error: Option<QueryError>,
}

/// All queries of an engine.
#[derive(Debug, Default)]
pub(super) struct ActiveQueries {
    next_id: AtomicU64,
    running: Mutex<BTreeMap<QueryId, Arc<Entry>>>,
    slow: Mutex<VecDeque<FinishedQuery>>,
}

/// One query while it is there.
#[derive(Debug)]
pub(super) struct Entry {
    id: QueryId,
    query: Arc<str>,
    times: QueryTimes,
    class: QueryClass,
    origin: QueryOrigin,
    asked_ms: i64,
    asked: Instant,
    cancel: CancelToken,
    memory: Arc<Memory>,
    state: Mutex<EntryState>,
}

#[derive(Debug, Default)]
struct EntryState {
    is_running: bool,
    estimate: Option<QueryEstimate>,
}

/// Removes its query from the list when dropped.
#[derive(Debug)]
pub(super) struct Listed {
    queries: Arc<ActiveQueries>,
    entry: Arc<Entry>,
}

impl ActiveQueries {
    pub(super) fn list(&self) -> Vec<ActiveQuery> {
        let entries: Vec<Arc<Entry>> = lock(&self.running).values().map(Arc::clone).collect();
        entries.iter().map(|entry| entry.view()).collect()
    }

    /// Whether there was such a query.
    pub(super) fn cancel(&self, id: QueryId) -> bool {
        let entry = lock(&self.running).get(&id).map(Arc::clone);
        entry.inspect(|entry| entry.cancel.cancel()).is_some()
    }

    /// The newest first.
    pub(super) fn slow(&self) -> Vec<FinishedQuery> {
        lock(&self.slow).iter().rev().cloned().collect()
    }

    fn remember(&self, finished: &FinishedQuery) {
        if finished.elapsed < SLOW_TIME_MIN {
            return;
        }
        let finished = FinishedQuery { query: shortened(&finished.query), ..finished.clone() };
        let mut slow = lock(&self.slow);
        if slow.len() == SLOW_COUNT_MAX {
            slow.pop_front();
        }
        slow.push_back(finished);
    }
}

impl Listed {
    pub(super) fn new(
        queries: &Arc<ActiveQueries>,
        query: &Arc<str>,
        times: QueryTimes,
        params: &super::QueryParams,
        memory: &Arc<Memory>,
    ) -> Self {
        let entry = Arc::new(Entry {
            id: QueryId(queries.next_id.fetch_add(1, Relaxed) + 1),
            query: Arc::clone(query),
            times,
            class: params.class,
            origin: params.origin.clone(),
            asked_ms: clock::now_ms(),
            asked: clock::monotonic(),
            cancel: params.cancel.clone(),
            memory: Arc::clone(memory),
            state: Mutex::default(),
        });
        lock(&queries.running).insert(entry.id, Arc::clone(&entry));
        Self { queries: Arc::clone(queries), entry }
    }

    pub(super) fn set_estimate(&self, estimate: QueryEstimate) {
        lock(&self.entry.state).estimate = Some(estimate);
    }

    pub(super) fn set_running(&self) {
        lock(&self.entry.state).is_running = true;
    }

    /// What is to be told of the query now that it has ended.
    pub(super) fn finished(&self, stats: &QueryStats, error: Option<&QueryError>) -> FinishedQuery {
        let entry = &self.entry;
        let finished = FinishedQuery {
            id: entry.id,
            query: Arc::clone(&entry.query),
            times: entry.times,
            class: entry.class,
            origin: entry.origin.clone(),
            asked_ms: entry.asked_ms,
            elapsed: entry.elapsed(),
            stats: stats.clone(),
            error: error.cloned(),
        };
        self.queries.remember(&finished);
        finished
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        lock(&self.queries.running).remove(&self.entry.id);
    }
}

impl Entry {
    fn elapsed(&self) -> Duration {
        clock::monotonic().saturating_duration_since(self.asked)
    }

    fn view(&self) -> ActiveQuery {
        let state = lock(&self.state);
        ActiveQuery {
            id: self.id,
            query: shortened(&self.query),
            times: self.times,
            class: self.class,
            origin: self.origin.clone(),
            asked_ms: self.asked_ms,
            elapsed: self.elapsed(),
            is_waiting: !state.is_running,
            estimate: state.estimate.clone(),
            used_bytes: self.memory.used_bytes(),
        }
    }
}

fn shortened(query: &Arc<str>) -> Arc<str> {
    if query.len() <= TEXT_SIZE_BYTES_MAX {
        return Arc::clone(query);
    }
    format!("{}...", &query[..query.floor_char_boundary(TEXT_SIZE_BYTES_MAX)]).into()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::Budget;

    #[test]
    fn what_took_long_is_remembered_and_cut() {
        let queries = Arc::new(ActiveQueries::default());
        let memory = Memory::new(100, &Budget::new(100), 100);
        let (times, params) =
            (QueryTimes::Instant { time_ms: 7 }, crate::engine::QueryParams::default());
        let text: Arc<str> = "x".repeat(TEXT_SIZE_BYTES_MAX + 1).into();
        let listed = Listed::new(&queries, &text, times, &params, &memory);
        assert_eq!(queries.list()[0].query.len(), TEXT_SIZE_BYTES_MAX + 3);
        let fast = listed.finished(&QueryStats::default(), None);
        assert_eq!((fast.query.len(), queries.slow().len()), (text.len(), 0));
        for second in 1..=SLOW_COUNT_MAX as u64 + 1 {
            let elapsed = Duration::from_secs(second);
            queries.remember(&FinishedQuery { elapsed, ..fast.clone() });
        }
        let slow = queries.slow();
        assert_eq!(slow.len(), SLOW_COUNT_MAX);
        assert_eq!(slow[0].elapsed, Duration::from_secs(SLOW_COUNT_MAX as u64 + 1));
        assert_eq!(slow[0].query.len(), TEXT_SIZE_BYTES_MAX + 3);
        drop(listed);
        assert!(queries.list().is_empty());
    }
}
