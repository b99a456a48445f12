//! What each operator of a query did: its series and points, its time, its memory. Measured only for a
//! query that is to be explained, by an operator around each operator.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use prom_telemetry::clock;

use super::{Bound, Ctx, Operator, Rows, Scratch, row::Row};
use crate::{
    QueryError,
    plan::{Vector, VectorKind},
    syntax::Span,
};

/// Characters of an operator's text that are shown.
const SHOWN_CHARS_MAX: usize = 200;

/// What one operator did, with the operators it reads from.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct OperatorProfile {
    /// What kind of operator.
    pub operator: &'static str,
    /// Its part of the query, cut where it is long.
    pub text: String,
    pub series: u64,
    pub steps: u64,
    /// Rows that were read; more than the series where they were read twice.
    pub rows: u64,
    pub points: u64,
    /// Processor time on all threads, operands included.
    pub time: Duration,
    /// The same without the operands.
    pub own_time: Duration,
    /// Memory that was taken before the first row could be read.
    pub bytes: u64,
    pub operands: Vec<OperatorProfile>,
}

/// The operators of one query while it runs.
#[derive(Debug, Default)]
pub(crate) struct Profiler {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    nodes: Vec<Arc<Node>>,
    /// Operators that are being bound, outermost first.
    open: Vec<usize>,
}

#[derive(Debug)]
struct Node {
    parent: Option<usize>,
    operator: &'static str,
    span: Span,
    series: AtomicU64,
    steps: u64,
    rows: AtomicU64,
    points: AtomicU64,
    nanos: AtomicU64,
    bytes: AtomicU64,
}

struct Measured {
    operator: Box<dyn Operator>,
    node: Arc<Node>,
}

struct MeasuredRows {
    rows: Box<dyn Rows>,
    node: Arc<Node>,
}

impl Profiler {
    /// Binds an operator by `bind` and measures it from then on.
    pub(super) fn around(
        &self,
        vector: &Vector,
        steps: usize,
        bind: impl FnOnce() -> Result<Bound, QueryError>,
    ) -> Result<Bound, QueryError> {
        let node = self.begin(operator_name(&vector.kind), vector.span, steps);
        let started = clock::monotonic();
        let bound = bind();
        node.add_time(started);
        self.lock().open.pop();
        let bound = bound?;
        node.series.store(bound.series.len() as u64, Relaxed);
        let operator = Box::new(Measured { operator: bound.operator, node });
        Ok(Bound { operator, ..bound })
    }

    fn begin(&self, operator: &'static str, span: Span, steps: usize) -> Arc<Node> {
        let mut state = self.lock();
        let node = Arc::new(Node {
            parent: state.open.last().copied(),
            operator,
            span,
            series: AtomicU64::new(0),
            steps: steps as u64,
            rows: AtomicU64::new(0),
            points: AtomicU64::new(0),
            nanos: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        let index = state.nodes.len();
        state.nodes.push(Arc::clone(&node));
        state.open.push(index);
        node
    }

    /// What was measured, the outermost operators first.
    pub(crate) fn finish(&self, query: &str) -> Vec<OperatorProfile> {
        let state = self.lock();
        let mut profiles: Vec<OperatorProfile> =
            state.nodes.iter().map(|node| node.profile(query)).collect();
        let mut roots = Vec::new();
        // Operands come behind those that read them.
        for (index, node) in state.nodes.iter().enumerate().rev() {
            let Some(mut profile) = profiles.pop() else { break };
            debug_assert_eq!(profiles.len(), index, "one profile for each node");
            profile.operands.reverse();
            let of_operands: Duration = profile.operands.iter().map(|operand| operand.time).sum();
            profile.own_time = profile.time.saturating_sub(of_operands);
            match node.parent.and_then(|parent| profiles.get_mut(parent)) {
                Some(parent) => parent.operands.push(profile),
                None => roots.push(profile),
            }
        }
        roots.reverse();
        roots
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Node {
    fn add_time(&self, started: std::time::Instant) {
        let nanos = (clock::monotonic() - started).as_nanos() as u64;
        self.nanos.fetch_add(nanos, Relaxed);
    }

    fn profile(&self, query: &str) -> OperatorProfile {
        let text = query.get(self.span.start as usize..self.span.end as usize).unwrap_or_default();
        let shown = &text[..text.floor_char_boundary(SHOWN_CHARS_MAX)];
        let dots = if shown.len() < text.len() { "..." } else { "" };
        OperatorProfile {
            operator: self.operator,
            text: format!("{shown}{dots}"),
            series: self.series.load(Relaxed),
            steps: self.steps,
            rows: self.rows.load(Relaxed),
            points: self.points.load(Relaxed),
            time: Duration::from_nanos(self.nanos.load(Relaxed)),
            own_time: Duration::ZERO,
            bytes: self.bytes.load(Relaxed),
            operands: Vec::new(),
        }
    }
}

impl Operator for Measured {
    fn open(self: Box<Self>, ctx: &Ctx<'_>) -> Result<Box<dyn Rows>, QueryError> {
        let Self { operator, node } = *self;
        let (started, before) = (clock::monotonic(), ctx.memory.used_bytes());
        let rows = operator.open(ctx);
        node.add_time(started);
        node.bytes.store(ctx.memory.used_bytes().saturating_sub(before), Relaxed);
        Ok(Box::new(MeasuredRows { rows: rows?, node }))
    }
}

impl Rows for MeasuredRows {
    fn read(
        &self,
        index: usize,
        row: &mut Row,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), QueryError> {
        let started = clock::monotonic();
        let read = self.rows.read(index, row, scratch);
        self.node.add_time(started);
        self.node.rows.fetch_add(1, Relaxed);
        self.node.points.fetch_add(row.counted_samples(), Relaxed);
        read
    }

    fn order(&self) -> Option<&[u32]> {
        self.rows.order()
    }
}

fn operator_name(kind: &VectorKind) -> &'static str {
    match kind {
        VectorKind::Select { .. } => "select",
        VectorKind::Range(_) => "range function",
        VectorKind::AbsentOverTime { .. } | VectorKind::Absent { .. } => "absent",
        VectorKind::Map { .. } => "function",
        VectorKind::OfScalar { .. } => "scalar as vector",
        VectorKind::WithScalar(_) => "operation with scalar",
        VectorKind::Binary(_) => "operation of vectors",
        VectorKind::Aggregate(_) => "aggregation",
        VectorKind::Histogram(_) => "histogram function",
        VectorKind::Info(_) => "info",
        VectorKind::Relabel { .. } => "labels",
        VectorKind::Sort { .. } => "sort",
        VectorKind::Once(_) => "computed once",
    }
}
