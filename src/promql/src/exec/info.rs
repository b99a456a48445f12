//! `info()`: series get the labels of the info series that have the same `instance` and `job`.
//! Which labels those are may change from step to step, so all is computed before the series are known.
//! Compat: Prometheus `promql/info.go`.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use prom_model::{Labels, LabelsBuilder, METRIC_NAME};

use super::{
    Bound, Ctx, Opened, Ready, Rows, Scratch,
    aggregate::count_points,
    bind::{bind, selected},
    drain::store,
    ledger::Shape,
    row::{Bitmap, Row},
    select::SelectRows,
    series::{LabelNumbers, SeriesSet},
    stored::{Arena, Stored},
};
use crate::{
    QueryError,
    plan::{Grid, Info, SampleField},
    syntax::Span,
};

/// Labels by which series and info series find each other.
const IDENTIFYING_LABELS: [&str; 2] = ["instance", "job"];

/// Who an info series speaks of, and its own name.
type Signature = (String, [String; 2]);

/// Info series that may be joined.
#[derive(Default)]
struct InfoSeries {
    labels: Vec<Labels>,
    /// The time of the sample in milliseconds at each step.
    times_ms: Vec<Row>,
    /// Metric names, each once.
    names: Vec<String>,
    by_signature: HashMap<Signature, Vec<u32>, FixedState>,
}

/// Results in the making.
struct Output {
    numbers: LabelNumbers,
    drops: Vec<bool>,
    rows: Vec<Row>,
}

pub(super) fn bind_info(
    ctx: &Ctx<'_>,
    info: &Info,
    span: Span,
    grid: &Grid,
) -> Result<Bound, QueryError> {
    let operand = bind(ctx, &info.operand, grid)?;
    let account = ctx.ledger.open(Shape::Combine(vec![operand.account]), *grid);
    let operand = operand.open(ctx)?;
    let rows = store(ctx, &*operand.rows, operand.series.len(), grid.count)?;
    let base = Base::new(&operand, &rows, info, grid);
    let found = read_info(ctx, info, &base, span, grid)?;
    found.check_duplicates(&base.steps)?;
    let mut output =
        Output { numbers: LabelNumbers::default(), drops: Vec::new(), rows: Vec::new() };
    let mut row = Row::default();
    for index in 0..operand.series.len() {
        rows.load(index, &mut row);
        if row.any() {
            let drops = operand.series.drops_name(index);
            output.add(&row, &base.labels[index], base.is_info[index], drops, &found, info)?;
        }
    }
    let mut arena = Arena::new(&ctx.memory)?;
    output.rows.iter().try_for_each(|row| arena.push(row))?;
    let points: u64 = output.rows.iter().map(Row::counted_samples).sum();
    count_points(ctx, account, points as usize)?;
    let series = SeriesSet::made_unique(output.numbers.labels).with_drops(output.drops);
    let rows = Stored::from_arenas(vec![arena], grid.count);
    Ok(Bound { series, grid: *grid, account, operator: Box::new(Ready(rows)) })
}

/// The series to enrich.
struct Base {
    labels: Vec<Labels>,
    /// Those that are info series themselves stay as they are.
    is_info: Vec<bool>,
    /// Values of the identifying labels among those that have samples and are no info series.
    values: [Vec<String>; 2],
    /// Steps at which there is any series.
    steps: Bitmap,
}

impl Base {
    fn new(operand: &Opened, rows: &Stored, info: &Info, grid: &Grid) -> Self {
        let labels: Vec<Labels> =
            (0..operand.series.len()).map(|index| operand.series.labels(index)).collect();
        let matches = |labels: &Labels| {
            info.names.iter().all(|matcher| matcher.matches(labels.metric_name()))
        };
        let is_info: Vec<bool> = labels.iter().map(matches).collect();
        let mut values = [Vec::new(), Vec::new()];
        let mut steps = Bitmap::empty(grid.count);
        for (index, labels) in labels.iter().enumerate() {
            let mut own = Bitmap::empty(grid.count);
            rows.mark(index, &mut own);
            steps.unite(&own);
            if is_info[index] || !own.any() {
                continue;
            }
            for (name, values) in IDENTIFYING_LABELS.iter().zip(&mut values) {
                let value = labels.get(name).unwrap_or_default();
                if !value.is_empty() {
                    values.push(value.to_owned());
                }
            }
        }
        for values in &mut values {
            values.sort_unstable();
            values.dedup();
        }
        Self { labels, is_info, values, steps }
    }

    /// Whether an info series has one of the values of each label that the series have at all.
    fn is_wanted(&self, labels: &Labels) -> bool {
        let mut values = IDENTIFYING_LABELS.iter().zip(&self.values);
        self.values.iter().any(|values| !values.is_empty())
            && values.all(|(name, values)| {
                let value = labels.get(name).unwrap_or_default();
                values.is_empty()
                    || values.binary_search_by(|known| known.as_str().cmp(value)).is_ok()
            })
    }
}

/// Reads the info series that speak of any of the series.
fn read_info(
    ctx: &Ctx<'_>,
    info: &Info,
    base: &Base,
    span: Span,
    grid: &Grid,
) -> Result<InfoSeries, QueryError> {
    let series = selected(ctx, info.selector);
    let account = ctx.ledger.open(Shape::Select, *grid);
    let rows = |what| SelectRows {
        selector: info.selector,
        selection: Arc::clone(&ctx.selections[info.selector]),
        grid: *grid,
        shift: info.shift,
        lookback_delta_ms: ctx.settings.lookback_delta_ms,
        what,
        skips_buckets: false,
        knows_starts: false,
        span,
        names: series.clone(),
        account,
    };
    let (values, times) = (rows(SampleField::Value), rows(SampleField::Timestamp));
    let mut scratch = Scratch::new(ctx);
    let (mut found, mut value) = (InfoSeries::default(), Row::default());
    for index in 0..series.len() {
        let labels = series.labels(index);
        if !base.is_wanted(&labels) {
            continue;
        }
        values.read(index, &mut value, &mut scratch)?;
        if value.has_histograms() {
            return Err(QueryError::Evaluation(format!(
                "this should be an info metric, with float samples: {labels}"
            )));
        }
        if value.any() {
            let mut time = Row::default();
            times.read(index, &mut time, &mut scratch)?;
            ctx.keep((grid.count * 8) as u64)?;
            found.add(labels, time);
        }
    }
    scratch.flush()?;
    Ok(found)
}

impl InfoSeries {
    fn add(&mut self, labels: Labels, mut time: Row) {
        time.map(|seconds| (seconds * 1000.0).round());
        let signature = signature(labels.metric_name(), &labels);
        if !self.names.contains(&signature.0) {
            self.names.push(signature.0.clone());
        }
        self.by_signature.entry(signature).or_default().push(self.labels.len() as u32);
        self.labels.push(labels);
        self.times_ms.push(time);
    }

    /// The newest of `members` at a step.
    fn newest(&self, members: &[u32], step: usize) -> Option<u32> {
        let time_ms = |member: &u32| self.times_ms[*member as usize].get(step);
        let mut newest: Option<(u32, f64)> = None;
        for member in members {
            if let Some(own_ms) = time_ms(member)
                && newest.is_none_or(|(_, newest_ms)| newest_ms < own_ms)
            {
                newest = Some((*member, own_ms));
            }
        }
        newest.map(|(member, _)| member)
    }

    /// Two info series that say something of the same at the same time are an error.
    fn check_duplicates(&self, steps: &Bitmap) -> Result<(), QueryError> {
        for members in self.by_signature.values().filter(|members| members.len() > 1) {
            let mut duplicate = None;
            steps.for_each(|step| {
                let mut newest: Option<(u32, f64)> = None;
                for member in members {
                    let Some(own_ms) = self.times_ms[*member as usize].get(step) else { continue };
                    match newest {
                        Some((known, newest_ms)) if newest_ms == own_ms => {
                            duplicate.get_or_insert((known, *member, own_ms));
                        }
                        Some((_, newest_ms)) if newest_ms > own_ms => {}
                        _ => newest = Some((*member, own_ms)),
                    }
                }
            });
            if let Some((known, member, time_ms)) = duplicate {
                let [known, member] = [known, member].map(|at| &self.labels[at as usize]);
                let time_ms = time_ms as i64;
                return Err(QueryError::Evaluation(format!(
                    "found duplicate series for info metric: existing {known} @ {time_ms}, new {member} @ {time_ms}"
                )));
            }
        }
        Ok(())
    }
}

impl Output {
    /// Adds a row; its labels depend on the info series of each step.
    fn add(
        &mut self,
        row: &Row,
        labels: &Labels,
        is_info: bool,
        drops: bool,
        found: &InfoSeries,
        info: &Info,
    ) -> Result<(), QueryError> {
        let groups: Vec<&[u32]> = if is_info {
            Vec::new()
        } else {
            let members = |name: &String| found.by_signature.get(&signature(name, labels));
            found.names.iter().filter_map(members).map(Vec::as_slice).collect()
        };
        let needs_info = !is_info && info.data.iter().any(|matcher| !matcher.matches(""));
        let mut known: HashMap<Vec<u32>, usize, FixedState> = HashMap::default();
        let mut steps = Bitmap::empty(row.count());
        row.mark(&mut steps);
        let mut result = Ok(());
        steps.for_each(|step| {
            if result.is_err() {
                return;
            }
            let joined: Vec<u32> =
                groups.iter().filter_map(|members| found.newest(members, step)).collect();
            if joined.is_empty() && needs_info {
                return;
            }
            let target = match known.get(&joined) {
                Some(target) => Ok(*target),
                None => enriched(labels, &joined, found, info).map(|labels| {
                    let target = self.series(&labels, drops, row.count());
                    known.insert(joined, target);
                    target
                }),
            };
            result = target.and_then(|target| self.set(target, row, step));
        });
        result
    }

    /// The number of a result.
    fn series(&mut self, labels: &Labels, drops: bool, count: usize) -> usize {
        let number = self.numbers.number(labels) as usize;
        if number == self.rows.len() {
            self.rows.push(Row::absent(count));
            self.drops.push(drops);
        }
        number
    }

    fn set(&mut self, target: usize, row: &Row, step: usize) -> Result<(), QueryError> {
        let out = &mut self.rows[target];
        if out.get(step).is_some() || out.histogram(step).is_some() {
            return Err(QueryError::same_labelset());
        }
        match row.histogram(step) {
            Some(histogram) => out.set_histogram(step, Arc::clone(histogram)),
            None => row.get(step).into_iter().for_each(|value| out.set(step, value)),
        }
        Ok(())
    }
}

fn signature(name: &str, labels: &Labels) -> Signature {
    let value = |label| labels.get(label).unwrap_or_default().to_owned();
    (name.to_owned(), IDENTIFYING_LABELS.map(value))
}

/// `base` with the labels of info series that it does not have itself.
fn enriched(
    base: &Labels,
    joined: &[u32],
    found: &InfoSeries,
    info: &Info,
) -> Result<Labels, QueryError> {
    let mut added: Vec<(&str, &str)> = Vec::new();
    for series in joined {
        for (name, value) in found.labels[*series as usize].iter() {
            let is_asked = info.data.is_empty() || info.data.iter().any(|one| one.name() == name);
            if name == METRIC_NAME || !is_asked {
                continue;
            }
            match added.iter().find(|(known, _)| *known == name) {
                Some((_, known)) if *known != value => {
                    return Err(QueryError::Evaluation(format!("conflicting label: {name}")));
                }
                None if base.get(name).is_none() => added.push((name, value)),
                _ => {}
            }
        }
    }
    let mut builder = LabelsBuilder::from_labels(base);
    for (name, value) in added {
        builder.set(name, value);
    }
    Ok(builder.build())
}
