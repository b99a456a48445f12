//! From a plan to the answer: select, bind, open, read, order.

use std::{
    sync::{Arc, Mutex, OnceLock, atomic::AtomicU64},
    time::Duration,
};

use prom_model::{Labels, Sample};
use prom_storage::{
    Columns, HistogramPoint, Querier, Queryable, SelectHints, Selection, StorageError, TimeRange,
};
use prom_telemetry::clock;

use super::{
    Bound, Ctx, Memory, Opened, Settings, Totals,
    bind::{bind, metric_name, selected},
    drain::map_partitions,
    ledger::{AccountId, Ledger, Shape},
    memory::Held,
    merge::{Collision, merged},
    profile::{OperatorProfile, Profiler},
    range::with_edges,
    row::Row,
    scalar::scalar,
    scratch::Wanted,
    window::{WindowSpec, copy_without_stale},
};
use crate::{
    HistogramSample, QueryError, Series, StringSample, Value, VectorSample,
    plan::{Grid, Node, Plan, RangeSource, Vector, extension_ms},
    syntax::RangeExtension,
    watch::{IN_EVALUATION, Watch},
};

/// A query to run.
pub(crate) struct Run<'q> {
    pub(crate) plan: &'q Plan,
    pub(crate) grid: Grid,
    /// Whether the answer is a matrix whatever the expression is.
    pub(crate) is_range: bool,
    pub(crate) query: &'q str,
    pub(crate) settings: &'q Settings,
    pub(crate) watch: &'q Watch,
    pub(crate) threads: Option<&'q rayon::ThreadPool>,
    pub(crate) memory: Arc<Memory>,
}

/// What a run tells besides its value; complete as far as the run came.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) preparation: Duration,
    pub(crate) inner_eval: Duration,
    pub(crate) result_sort: Duration,
    pub(crate) totals: Totals,
    pub(crate) peak_samples: u64,
    pub(crate) warnings: Vec<String>,
    pub(crate) infos: Vec<String>,
    pub(crate) profile: Option<Vec<OperatorProfile>>,
    /// Bytes of the value.
    pub(crate) value_held: Option<Held>,
}

/// Runs a query over a store.
pub(crate) fn run(
    run: &Run<'_>,
    selected: Selected,
    report: &mut Report,
) -> Result<Value, QueryError> {
    let Selected { querier, selections } = selected;
    let metric_names = run.plan.selectors.iter().map(|s| metric_name(&s.matchers)).collect();
    let ctx = Ctx {
        settings: run.settings,
        watch: run.watch,
        threads: run.threads,
        memory: Arc::clone(&run.memory),
        ledger: Ledger::default(),
        profiler: run.settings.wants_profile.then(Profiler::default),
        kept: Mutex::new(run.memory.hold(0)?),
        row_bytes: AtomicU64::new(0),
        value_held: Mutex::new(run.memory.hold(0)?),
        querier,
        selections,
        metric_names,
        store_has_metadata_labels: OnceLock::new(),
        annotations: Mutex::default(),
    };
    let started = clock::monotonic();
    let evaluated = evaluate(&ctx, run);
    report.inner_eval = clock::monotonic() - started;
    report.profile = ctx.profiler.as_ref().map(|profiler| profiler.finish(run.query));
    let (mut value, root) = evaluated?;
    report.value_held = Some(std::mem::replace(&mut *ctx.lock_value_held(), run.memory.hold(0)?));
    if let Some(root) = root {
        report.totals = ctx.ledger.totals(root);
        report.peak_samples = ctx.ledger.peak(root);
        if report.peak_samples > run.settings.samples_count_max {
            return Err(QueryError::too_many_samples());
        }
    }
    run.watch.check(IN_EVALUATION)?;
    let started = clock::monotonic();
    if let Value::Matrix(series) = &mut value {
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
    }
    report.result_sort = clock::monotonic() - started;
    let annotations = std::mem::take(&mut *ctx.lock_annotations());
    (report.warnings, report.infos) = annotations.print(run.query);
    Ok(value)
}

/// A snapshot of the store, and the series of each selector of a plan in it.
pub(crate) struct Selected {
    pub(crate) querier: Option<Arc<dyn Querier>>,
    pub(crate) selections: Vec<Arc<dyn Selection>>,
}

/// Resolves selectors over one snapshot of the store.
pub(crate) fn select(
    plan: &Plan,
    store: &dyn Queryable,
    watch: &Watch,
) -> Result<Selected, QueryError> {
    let selectors = &plan.selectors;
    let ranges = selectors.iter().filter_map(|selector| selector.range);
    let whole = ranges.reduce(|a, b| TimeRange {
        mint_ms: a.mint_ms.min(b.mint_ms),
        maxt_ms: a.maxt_ms.max(b.maxt_ms),
    });
    let empty = || -> Arc<dyn Selection> { Arc::new(Nothing) };
    let Some(whole) = whole else {
        let selections = selectors.iter().map(|_| empty()).collect();
        return Ok(Selected { querier: None, selections });
    };
    let querier = store.querier(whole)?;
    let mut selections = Vec::with_capacity(selectors.len());
    for selector in selectors {
        watch.check(IN_EVALUATION)?;
        let selection = match selector.range {
            Some(range) => {
                let hints = SelectHints { range, is_sorted: false, series_count_max: 0 };
                let goes_on = || watch.check(IN_EVALUATION).is_ok();
                let found = querier.select_while(&selector.matchers, &hints, &goes_on);
                Arc::from(found.map_err(|err| match err {
                    StorageError::Canceled => watch.stopped(IN_EVALUATION),
                    err => err.into(),
                })?)
            }
            None => empty(),
        };
        selections.push(selection);
    }
    Ok(Selected { querier: Some(querier), selections })
}

/// Computes the value; it is sorted later.
fn evaluate(ctx: &Ctx<'_>, run: &Run<'_>) -> Result<(Value, Option<AccountId>), QueryError> {
    let grid = &run.grid;
    match &run.plan.root {
        Node::Text(text) => {
            let value = StringSample { timestamp_ms: grid.start_ms, value: text.text.clone() };
            Ok((Value::String(value), None))
        }
        Node::Scalar(root) => {
            let found = scalar(ctx, root, grid)?;
            let value = if run.is_range {
                hold_points(ctx, found.row.count())?;
                let points = points_of(&found.row, grid);
                let series = (!points.is_empty()).then(|| Series::new(Labels::empty(), points));
                Value::Matrix(series.into_iter().collect())
            } else {
                let value = found.row.get(0).unwrap_or(f64::NAN);
                Value::Scalar(Sample { timestamp_ms: grid.start_ms, value })
            };
            Ok((value, Some(found.account)))
        }
        Node::Vector(root) => {
            let bound = bind_root(ctx, root, grid)?;
            let account = bound.account;
            let opened = bound.open(ctx)?;
            let value = if run.is_range {
                Value::Matrix(read_matrix(ctx, &opened)?)
            } else {
                Value::Vector(read_vector(ctx, &opened)?)
            };
            Ok((value, Some(account)))
        }
        Node::Range(RangeSource::Subquery(subquery)) => {
            let bound = bind_root(ctx, &subquery.operand, &subquery.grid(grid)?)?;
            let account = bound.account;
            let opened = bound.open(ctx)?;
            Ok((Value::Matrix(read_matrix(ctx, &opened)?), Some(account)))
        }
        Node::Range(RangeSource::Select { selector, shift, range_ms, extension, .. }) => {
            let extension_ms = extension_ms(*extension, ctx.settings.lookback_delta_ms);
            let spec = WindowSpec { grid: *grid, shift: *shift, range_ms: *range_ms, extension_ms };
            let account = ctx.ledger.open(Shape::Select, *grid);
            let series = read_samples(ctx, *selector, &spec, *extension, account)?;
            Ok((Value::Matrix(series), Some(account)))
        }
    }
}

/// Binds the whole expression; names that were kept until the end go here.
fn bind_root(ctx: &Ctx<'_>, root: &Vector, grid: &Grid) -> Result<Bound, QueryError> {
    let bound = bind(ctx, root, grid)?;
    if !bound.series.drops_any() {
        return Ok(bound);
    }
    let series = bound.series.cleaned();
    Ok(merged(Bound { series, ..bound }, Collision::SameStep))
}

/// Points of every series that has any.
fn read_matrix(ctx: &Ctx<'_>, opened: &Opened) -> Result<Vec<Series>, QueryError> {
    let grid = &opened.grid;
    let indices: Vec<u32> = (0..opened.series.len() as u32).collect();
    let parts = map_partitions(ctx, &indices, grid.count, |part, row, scratch| {
        let mut held = ctx.memory.hold(0)?;
        let mut series = Vec::new();
        for index in part {
            opened.rows.read(*index as usize, row, scratch)?;
            if row.any() {
                let points = points_of(row, grid);
                let labels = opened.series.labels(*index as usize);
                let points_bytes = points.len() * size_of::<Sample>() + row.histograms_size_bytes();
                held.grow((size_of::<Series>() + labels.as_bytes().len() + points_bytes) as u64)?;
                let histograms = histograms_of(row, grid);
                series.push(Series::new(labels, points).with_histograms(histograms));
            }
        }
        Ok((series, held))
    })?;
    Ok(kept_parts(ctx, parts))
}

/// Joins the parts of a value and what they take.
fn kept_parts<T>(ctx: &Ctx<'_>, parts: Vec<(Vec<T>, Held)>) -> Vec<T> {
    let mut all = Vec::with_capacity(parts.iter().map(|(part, _)| part.len()).sum());
    for (part, held) in parts {
        all.extend(part);
        ctx.lock_value_held().absorb(held);
    }
    all
}

/// The value of every series that has one, in the order of the operator.
fn read_vector(ctx: &Ctx<'_>, opened: &Opened) -> Result<Vec<VectorSample>, QueryError> {
    let timestamp_ms = opened.grid.start_ms;
    let indices: Vec<u32> = match opened.rows.order() {
        Some(order) => order.to_vec(),
        None => (0..opened.series.len() as u32).collect(),
    };
    let parts = map_partitions(ctx, &indices, opened.grid.count, |part, row, scratch| {
        let mut held = ctx.memory.hold(0)?;
        let mut samples = Vec::new();
        for index in part {
            opened.rows.read(*index as usize, row, scratch)?;
            if let Some(value) = (row.count() > 0).then(|| row.get(0)).flatten() {
                let labels = opened.series.labels(*index as usize);
                held.grow((size_of::<VectorSample>() + labels.as_bytes().len()) as u64)?;
                samples.push(VectorSample::new(labels, timestamp_ms, value));
            } else if row.has_histograms()
                && let Some(histogram) = row.histogram(0)
            {
                let labels = opened.series.labels(*index as usize);
                let histogram = Arc::clone(histogram);
                samples.push(VectorSample::of_histogram(labels, timestamp_ms, histogram));
            }
        }
        Ok((samples, held))
    })?;
    Ok(kept_parts(ctx, parts))
}

/// Samples of a range selector as they are stored, staleness markers left out.
fn read_samples(
    ctx: &Ctx<'_>,
    selector: usize,
    spec: &WindowSpec,
    extension: Option<RangeExtension>,
    account: AccountId,
) -> Result<Vec<Series>, QueryError> {
    let range = spec.range();
    let series = selected(ctx, selector);
    let selection = &ctx.selections[selector];
    let indices: Vec<u32> = (0..series.len() as u32).collect();
    let parts = map_partitions(ctx, &indices, 1, |part, _, scratch| {
        let mut held = ctx.memory.hold(0)?;
        let mut found = Vec::new();
        let mut fresh = Columns::default();
        for index in part {
            let stored =
                scratch.columns(selector, selection, *index as usize, range, Wanted::All)?;
            let columns = if copy_without_stale(stored, &mut fresh) { &fresh } else { stored };
            let samples = columns.timestamps_ms.iter().zip(&columns.values);
            let mut points: Vec<Sample> = samples
                .map(|(timestamp_ms, value)| Sample { timestamp_ms: *timestamp_ms, value: *value })
                .collect();
            if let Some(extension) = extension {
                points = with_edges(&points, spec.start_ms(0), spec.end_ms(0), extension);
            }
            let stored =
                scratch.columns(selector, selection, *index as usize, range, Wanted::All)?;
            let histograms = stored_histograms(&stored.histograms);
            if let (Some(extension), false) = (extension, histograms.is_empty()) {
                let extension = match extension {
                    RangeExtension::Anchored => "anchored",
                    RangeExtension::Smoothed => "smoothed",
                };
                return Err(QueryError::Evaluation(format!(
                    "{extension} modifier is not supported with histograms"
                )));
            }
            let bytes: usize = histograms.iter().map(|one| one.histogram.size_bytes()).sum();
            held.grow((points.len() * size_of::<Sample>() + bytes) as u64)?;
            let counted = histograms.iter().map(|one| one.histogram.counted_samples());
            let count = points.len() as u64 + counted.sum::<u64>();
            let tally = scratch.tally(account);
            tally.points += count;
            tally.queryable += count;
            tally.read += count;
            scratch.tick(points.len() + bytes / 8)?;
            if count > 0 {
                let labels = series.labels(*index as usize);
                found.push(Series::new(labels, points).with_histograms(histograms));
            }
        }
        Ok((found, held))
    })?;
    Ok(kept_parts(ctx, parts))
}

/// Histograms without staleness markers.
fn stored_histograms(points: &[HistogramPoint]) -> Vec<HistogramSample> {
    let points = points.iter().filter(|point| !point.histogram.is_stale());
    let sample = |point: &HistogramPoint| HistogramSample {
        timestamp_ms: point.timestamp_ms,
        histogram: point.histogram.to_float(),
    };
    points.map(sample).collect()
}

fn points_of(row: &Row, grid: &Grid) -> Vec<Sample> {
    let mut points = Vec::with_capacity(row.present().ones());
    row.for_each(|step, value| points.push(Sample { timestamp_ms: grid.time_ms(step), value }));
    points
}

fn histograms_of(row: &Row, grid: &Grid) -> Vec<HistogramSample> {
    let mut histograms = Vec::new();
    row.for_each_histogram(|step, histogram| {
        let histogram = Arc::clone(histogram);
        histograms.push(HistogramSample { timestamp_ms: grid.time_ms(step), histogram });
    });
    histograms
}

fn hold_points(ctx: &Ctx<'_>, count: usize) -> Result<(), QueryError> {
    ctx.lock_value_held().grow((count * size_of::<Sample>()) as u64)
}

/// No series at all: of selectors that no step needs.
struct Nothing;

impl Selection for Nothing {
    fn len(&self) -> usize {
        0
    }

    fn labels(&self, _index: usize) -> Labels {
        Labels::empty()
    }

    fn read(
        &self,
        _index: usize,
        _range: TimeRange,
        _out: &mut Columns,
    ) -> Result<(), StorageError> {
        Ok(())
    }
}
