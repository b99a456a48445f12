//! How a plan is computed: series by series, each over all steps at once.
//!
//! Binding resolves selectors to series and gives every operator its output labels, its groups and its
//! matches; opening runs what has to be complete before the first row; reading computes one row.
//! Row loops work on columns and bitmaps alone: no label is touched there.
//!
//! Rows are computed in fixed partitions on several threads and combined in the order of the series,
//! so that every float operation happens in the order of the reference, whatever the machine.

mod absent;
mod aggregate;
mod binary;
mod bind;
mod drain;
mod estimate;
mod histogram;
mod info;
mod ledger;
mod map;
mod memory;
mod merge;
mod native;
mod profile;
mod range;
mod relabel;
mod result;
mod row;
mod scalar;
mod scratch;
mod select;
mod series;
mod sort;
mod stored;
mod window;

pub use estimate::QueryEstimate;
pub(crate) use ledger::Totals;
pub(crate) use memory::{Budget, Held, Memory};
pub use profile::OperatorProfile;
pub(crate) use result::{Report, Run, Selected, run, select};

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use prom_storage::{LabelHints, Querier, Selection};

use self::{
    ledger::{AccountId, Ledger},
    profile::Profiler,
    row::Row,
    scratch::Scratch,
    series::{METADATA_LABELS, SeriesSet},
};
use crate::{
    QueryError,
    annotation::{Annotation, Annotations},
    plan::Grid,
    watch::{IN_EVALUATION, Watch},
};

/// What holds for one query.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) lookback_delta_ms: i64,
    pub(crate) samples_count_max: u64,
    pub(crate) is_name_removal_delayed: bool,
    pub(crate) has_type_and_unit_labels: bool,
    pub(crate) wants_per_step_stats: bool,
    pub(crate) wants_profile: bool,
    pub(crate) uses_start_timestamps: bool,
}

/// Everything the operators of one query share.
pub(crate) struct Ctx<'q> {
    pub(crate) settings: &'q Settings,
    pub(crate) watch: &'q Watch,
    /// Threads for large operators; none while others need them more.
    pub(crate) threads: Option<&'q rayon::ThreadPool>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) ledger: Ledger,
    /// There for a query that is to be explained.
    profiler: Option<Profiler>,
    /// Bytes of what lives as long as the evaluation: labels and scalars.
    kept: Mutex<Held>,
    /// Bytes of the value, which lives longer.
    value_held: Mutex<Held>,
    /// Bytes of the largest row of any operator.
    row_bytes: AtomicU64,
    querier: Option<Arc<dyn Querier>>,
    /// Series of each selector of the plan.
    selections: Vec<Arc<dyn Selection>>,
    /// The one metric name of each selector of the plan, where there is one.
    metric_names: Vec<Option<Arc<str>>>,
    store_has_metadata_labels: OnceLock<bool>,
    annotations: Mutex<Annotations>,
}

/// An operator whose series are known and that has not run yet.
trait Operator: Send {
    /// Runs what has to be complete before the first row.
    fn open(self: Box<Self>, ctx: &Ctx<'_>) -> Result<Box<dyn Rows>, QueryError>;
}

/// Rows of an operator, each computed when it is asked for.
trait Rows: Send + Sync {
    /// Computes the row of the series at `index`.
    fn read(
        &self,
        index: usize,
        row: &mut Row,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), QueryError>;

    /// The order in which series are shown, where it is not that of their indices.
    fn order(&self) -> Option<&[u32]> {
        None
    }
}

/// A bound operator.
struct Bound {
    series: SeriesSet,
    grid: Grid,
    account: AccountId,
    operator: Box<dyn Operator>,
}

/// An operator that can be read.
struct Opened {
    series: SeriesSet,
    grid: Grid,
    rows: Box<dyn Rows>,
}

/// An operator that needs no opening.
struct Ready<R>(R);

impl<R: Rows + 'static> Operator for Ready<R> {
    fn open(self: Box<Self>, _ctx: &Ctx<'_>) -> Result<Box<dyn Rows>, QueryError> {
        Ok(Box::new(self.0))
    }
}

impl Bound {
    fn open(self, ctx: &Ctx<'_>) -> Result<Opened, QueryError> {
        let rows = self.operator.open(ctx)?;
        Ok(Opened { series: self.series, grid: self.grid, rows })
    }
}

impl Ctx<'_> {
    fn annotate(&self, annotation: Annotation) {
        self.lock_annotations().add(annotation);
    }

    /// As [`Self::annotate`], for one step of an operation that is heard once a step.
    fn annotate_step(&self, account: AccountId, step: usize, series: u32, annotation: Annotation) {
        self.lock_annotations().add_at_step(account, step, series, annotation);
    }

    fn lock_value_held(&self) -> MutexGuard<'_, Held> {
        self.value_held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_annotations(&self) -> MutexGuard<'_, Annotations> {
        self.annotations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether any stored series has a type or a unit among its labels.
    fn store_has_metadata_labels(&self) -> bool {
        *self.store_has_metadata_labels.get_or_init(|| {
            let Some(querier) = &self.querier else { return false };
            let hints = LabelHints { count_max: 1 };
            // What cannot be read is taken to be there: series are compared one by one then.
            METADATA_LABELS[1..].iter().any(|name| {
                !matches!(querier.label_values(name, &[], &hints), Ok(values) if values.is_empty())
            })
        })
    }

    /// Whether there is time, and room for one row of `grid`; refused before it is allocated.
    fn check_grid(&self, grid: &Grid) -> Result<(), QueryError> {
        self.watch.check(IN_EVALUATION)?;
        let row_bytes = grid.count as u64 * 8 + grid.count as u64 / 8;
        self.row_bytes.fetch_max(row_bytes, Relaxed);
        self.memory.hold(row_bytes).map(drop)
    }

    /// What one row takes, whatever operator it is of.
    fn row_bytes(&self) -> u64 {
        self.row_bytes.load(Relaxed)
    }

    /// Keeps bytes that were counted before.
    fn keep_held(&self, held: Held) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).absorb(held);
    }

    /// Counts bytes of something that lives as long as the evaluation.
    fn keep(&self, bytes: u64) -> Result<(), QueryError> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).grow(bytes)
    }
}
