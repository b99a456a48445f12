//! A query from the question to the answer: prepared at once, evaluated when its turn has come.
//! What a turn is stands in `admission`.

use std::{
    fmt,
    sync::{Arc, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use prom_storage::Queryable;
use prom_telemetry::{Gauge, clock};

use super::{
    AnswerMemory, Engine, QueryAnswer, QueryClass, QueryParams, QueryTimes, SHARE_PERCENT,
    active::Listed,
    admission::{Claim, Permit, Ticket, Weight},
    job::{Job, Prepared},
};
use crate::{
    QueryError, QueryStats,
    exec::{Memory, Report},
    stats::QueryTimings,
    watch::{IN_EXECUTION, IN_QUEUE},
};

/// Values that a small query reads or computes at most: some ten milliseconds.
const SMALL_WORK_MAX: u64 = 2_000_000;
/// Values that a light query reads or computes at most: part of a millisecond.
const LIGHT_WORK_MAX: u64 = 50_000;
/// How long a query may be prepared where it was asked: the series of light ones are found in far less.
const PREPARATION_TIME_MAX: Duration = Duration::from_millis(2);
/// Longer texts are heavy whatever they say.
const SMALL_TEXT_SIZE_BYTES_MAX: usize = 64 << 10;

/// What has become of a question.
#[derive(Debug)]
pub enum Begun {
    Done(Box<Result<QueryAnswer, QueryError>>),
    /// Others come first.
    Waiting(Box<WaitingQuery>),
}

/// A query whose cost is known and that has not asked for its turn. It holds the series that it selected.
pub struct PreparedQuery {
    question: Question,
    prepared: Prepared,
}

/// A query that waits for its turn. Dropping it gives the place in the queue up.
pub struct WaitingQuery {
    question: Question,
    ticket: Ticket,
    prepared: Prepared,
}

/// A query and its traces in the engine's lists.
struct Question {
    job: Job,
    listed: Listed,
    asked: Instant,
    _counted: Counted,
}

/// Counts a query as long as it is there.
struct Counted(Gauge);

/// A note in the journal, taken away when dropped.
struct Noted<'e>(&'e Engine, usize);

impl Engine {
    /// Parses, plans and estimates `query`, and evaluates it where nobody comes first.
    /// Blocks for as long as that takes, but never for others.
    pub fn begin(
        &self,
        store: &dyn Queryable,
        query: &str,
        times: QueryTimes,
        params: QueryParams,
    ) -> Begun {
        match self.prepare(store, query, times, params) {
            Ok(query) => self.begin_prepared(store, query),
            Err(error) => Begun::Done(Box::new(Err(error))),
        }
    }

    /// Parses, plans and estimates `query`. No sample is read.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub fn prepare(
        &self,
        store: &dyn Queryable,
        query: &str,
        times: QueryTimes,
        params: QueryParams,
    ) -> Result<PreparedQuery, QueryError> {
        let question = self.question(query, times, params);
        let prepared = question.job.prepare(self, store, &question.job.watch)?;
        Ok(PreparedQuery::new(question, prepared))
    }

    /// As [`Self::prepare`], if that takes no more than two milliseconds; nothing otherwise.
    pub fn prepare_at_once(
        &self,
        store: &dyn Queryable,
        query: &str,
        times: QueryTimes,
        params: QueryParams,
    ) -> Option<Result<PreparedQuery, QueryError>> {
        let question = self.question(query, times, params);
        let hasty = question.job.watch.shortened(PREPARATION_TIME_MAX);
        match question.job.prepare(self, store, &hasty) {
            Err(QueryError::TimedOut(phase)) if question.job.watch.check(phase).is_ok() => None,
            Err(error) => Some(Err(error)),
            Ok(prepared) => Some(Ok(PreparedQuery::new(question, prepared))),
        }
    }

    /// Evaluates a query that was prepared, where nobody comes first.
    pub fn begin_prepared(&self, store: &dyn Queryable, query: PreparedQuery) -> Begun {
        let PreparedQuery { question, mut prepared } = query;
        match self.admission.ask(question.claim(&prepared)) {
            Err(error) => Begun::Done(Box::new(Err(error))),
            Ok(mut ticket) => match ticket.take() {
                Some(permit) => {
                    Begun::Done(Box::new(self.execute(store, &question, prepared, &permit)))
                }
                None => {
                    prepared.selected = None;
                    Begun::Waiting(Box::new(WaitingQuery { question, ticket, prepared }))
                }
            },
        }
    }

    /// Evaluates a query that has waited; blocks until its turn has come.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub fn finish(
        &self,
        store: &dyn Queryable,
        waiting: WaitingQuery,
    ) -> Result<QueryAnswer, QueryError> {
        let WaitingQuery { question, ticket, prepared } = waiting;
        let permit = ticket.wait(&question.job.watch)?;
        self.execute(store, &question, prepared, &permit)
    }

    fn question(&self, query: &str, times: QueryTimes, params: QueryParams) -> Question {
        let query: Arc<str> = query.into();
        let share_percent = if params.class == QueryClass::Rules { 100 } else { SHARE_PERCENT };
        let memory = Memory::new(self.options.bytes_max, &self.budget, share_percent);
        let listed = Listed::new(&self.active, &query, times, &params, &memory);
        let watch = self.watch(&params);
        Question {
            job: Job { query, times, params, watch, memory },
            listed,
            asked: clock::monotonic(),
            _counted: Counted::new(&self.metrics.queries),
        }
    }

    /// Evaluates a query whose turn has come.
    fn execute(
        &self,
        store: &dyn Queryable,
        question: &Question,
        prepared: Prepared,
        _permit: &Permit,
    ) -> Result<QueryAnswer, QueryError> {
        let Question { job, listed, .. } = question;
        listed.set_running();
        let journal = self.options.journal.as_deref();
        let slot = journal.and_then(|journal| journal.began(&job.query));
        let _noted = slot.map(|slot| Noted(self, slot));
        let started = clock::monotonic();
        let exec_queue = started - question.asked;
        let estimate = prepared.estimate.clone();
        let mut report = Report::default();
        let value = job
            .watch
            .check(IN_EXECUTION)
            .and_then(|()| job.execute(self, store, prepared, &mut report));
        let eval_total = clock::monotonic() - started;
        let timings = QueryTimings {
            eval_total,
            result_sort: report.result_sort,
            query_preparation: report.preparation,
            inner_eval: report.inner_eval,
            exec_queue: exec_queue.saturating_sub(report.preparation),
            exec_total: eval_total + report.preparation,
        };
        let samples = job.samples_of(&report);
        self.metrics.observe(&timings, &samples);
        let stats = QueryStats { timings, samples, peak_bytes: job.memory.peak_bytes() };
        self.log(question, &stats, value.as_ref().err());
        Ok(QueryAnswer {
            value: value?,
            warnings: report.warnings,
            infos: report.infos,
            stats,
            estimate,
            profile: report.profile,
            held: AnswerMemory(report.value_held),
        })
    }

    fn log(&self, question: &Question, stats: &QueryStats, error: Option<&QueryError>) {
        let finished = question.listed.finished(stats, error);
        let log = self.log.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(log) = log
            && let Err(err) = log(&finished)
        {
            self.metrics.log_failures.inc();
            tracing::error!(err = %err, "can't log query");
        }
    }
}

impl Question {
    fn claim(&self, prepared: &Prepared) -> Claim {
        let is_small = prepared.estimate.work <= SMALL_WORK_MAX
            && self.job.query.len() <= SMALL_TEXT_SIZE_BYTES_MAX;
        Claim {
            class: self.job.params.class,
            client: self.job.params.origin.client().into(),
            weight: if is_small { Weight::Small } else { Weight::Heavy },
        }
    }
}

impl PreparedQuery {
    fn new(question: Question, prepared: Prepared) -> Self {
        question.listed.set_estimate(prepared.estimate.clone());
        Self { question, prepared }
    }

    /// Whether it takes no longer than handing it to another thread and back.
    pub fn is_light(&self) -> bool {
        self.prepared.estimate.work <= LIGHT_WORK_MAX
    }
}

impl WaitingQuery {
    /// Ready when the turn has come: [`Engine::finish`] does not block for others then.
    pub fn poll_turn(&mut self, ctx: &Context<'_>) -> Poll<()> {
        self.ticket.poll_turn(ctx)
    }

    /// Fails once the query was canceled or its time is over.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub fn check(&self) -> Result<(), QueryError> {
        self.question.job.watch.check(IN_QUEUE)
    }

    /// Time that is left.
    pub fn remaining(&self) -> Duration {
        self.question.job.watch.remaining()
    }
}

impl fmt::Debug for PreparedQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedQuery").field("job", &self.question.job).finish_non_exhaustive()
    }
}

impl fmt::Debug for WaitingQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitingQuery").field("job", &self.question.job).finish_non_exhaustive()
    }
}

impl Counted {
    fn new(queries: &Gauge) -> Self {
        queries.inc();
        Self(queries.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        if let Some(journal) = &self.0.options.journal {
            journal.ended(self.1);
        }
    }
}
