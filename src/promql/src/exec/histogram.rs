//! Quantiles and fractions of classic histograms, whose buckets are series told apart by `le`.
//! Compat: Prometheus `promql/quantile.go`.

mod buckets;

use prom_model::{LabelsBuilder, format_float_g, parse_float};

use self::buckets::{Bent, Bucket, bucket_fraction, bucket_quantile};
use super::{
    Bound, Ctx, Operator, Rows, Scratch,
    drain::for_each_row,
    ledger::AccountId,
    row::Row,
    series::{LabelNumbers, SeriesSet, without_metadata},
};
use crate::{
    QueryError,
    annotation::{Annotation, Monotonicity},
    plan::Grid,
    syntax::Span,
};

/// The label that holds a bucket's upper bound.
const BUCKET_LABEL: &str = "le";

/// What is asked of each histogram.
pub(super) enum Question {
    /// Quantiles; each gives series of its own.
    Quantiles(Vec<(Row, Span)>),
    Fraction {
        lower: Row,
        upper: Row,
    },
    /// Answered by native histograms only.
    Nothing,
}

/// A function over the buckets of an operand.
pub(super) struct Histogram {
    operand: Bound,
    span: Span,
    question: Question,
    families: Families,
    account: AccountId,
}

/// Buckets by the histogram they belong to.
#[derive(Default)]
struct Families {
    /// For each histogram the operand's series and their upper bounds, lowest first.
    members: Vec<Vec<(f64, u32)>>,
    /// Series whose bound cannot be read, and their names and bounds.
    malformed: Vec<(u32, String, String)>,
    /// Names to tell in remarks, where names are still there.
    names: Vec<String>,
}

struct HistogramRows {
    operand: Box<dyn Rows>,
    grid: Grid,
    span: Span,
    question: Question,
    families: Families,
    account: AccountId,
}

impl Histogram {
    /// Finds the histograms among the series of `operand`.
    pub(super) fn bind(
        ctx: &Ctx<'_>,
        operand: Bound,
        span: Span,
        question: Question,
        label: Option<&str>,
        account: AccountId,
    ) -> Bound {
        let is_delayed = ctx.settings.is_name_removal_delayed;
        let mut families = Families::default();
        let mut numbers = LabelNumbers::default();
        let buckets = if matches!(question, Question::Nothing) { 0 } else { operand.series.len() };
        for index in 0..buckets {
            let labels = operand.series.labels(index);
            let bound_text = labels.get(BUCKET_LABEL).unwrap_or_default();
            let Some(bound) = parse_float(bound_text) else {
                let name = if is_delayed { labels.metric_name() } else { "" };
                families.malformed.push((index as u32, name.to_owned(), bound_text.to_owned()));
                continue;
            };
            let number = numbers.number(&labels.without(&[BUCKET_LABEL])) as usize;
            if number == families.members.len() {
                families.members.push(Vec::new());
                let name = if is_delayed { labels.metric_name() } else { "" };
                families.names.push(name.to_owned());
            }
            families.members[number].push((bound, index as u32));
        }
        for members in &mut families.members {
            members.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        let mut labels = Vec::new();
        for quantile in question.label_values() {
            for set in &numbers.labels {
                let set = if is_delayed { set.clone() } else { without_metadata(set) };
                labels.push(match (label, &quantile) {
                    (Some(name), Some(value)) => {
                        let mut builder = LabelsBuilder::from_labels(&set);
                        builder.set(name, value);
                        builder.build()
                    }
                    _ => set,
                });
            }
        }
        let drops = vec![is_delayed; labels.len()];
        let series = SeriesSet::made(labels).with_drops(drops);
        let grid = operand.grid;
        let operator = Box::new(Self { operand, span, question, families, account });
        Bound { series, grid, account, operator }
    }
}

impl Question {
    /// One entry for each series of a histogram: the text of its quantile.
    fn label_values(&self) -> Vec<Option<String>> {
        match self {
            Self::Quantiles(list) => {
                list.iter().map(|(row, _)| row.get(0).map(format_open_metrics)).collect()
            }
            Self::Fraction { .. } => vec![None],
            Self::Nothing => Vec::new(),
        }
    }
}

/// A float with a point or an exponent, as OpenMetrics wants it.
fn format_open_metrics(value: f64) -> String {
    let text = format_float_g(value);
    if value.is_finite() && !text.contains(['.', 'e']) { text + ".0" } else { text }
}

impl Operator for Histogram {
    fn open(self: Box<Self>, ctx: &Ctx<'_>) -> Result<Box<dyn Rows>, QueryError> {
        let grid = self.operand.grid;
        let operand = self.operand.open(ctx)?;
        if let Question::Quantiles(list) = &self.question {
            for (row, span) in list {
                row.for_each(|_, quantile| {
                    if !(0.0..=1.0).contains(&quantile) {
                        ctx.annotate(Annotation::invalid_quantile(quantile, *span));
                    }
                });
            }
        }
        let mut rows = operand.rows;
        if let Question::Quantiles(list) = &self.question
            && list.len() > 1
        {
            // Each bucket is read once for each quantile.
            rows = Box::new(super::drain::store(ctx, &*rows, operand.series.len(), grid.count)?);
        }
        if matches!(self.question, Question::Nothing) {
            for_each_row(ctx, &*rows, operand.series.len(), grid.count, |_, _| Ok(()))?;
        }
        let mut scratch = Scratch::new(ctx);
        let mut row = Row::default();
        for (index, name, bound) in &self.families.malformed {
            rows.read(*index as usize, &mut row, &mut scratch)?;
            if row.present().any() {
                ctx.annotate(Annotation::bad_bucket_label(name, bound, self.span));
            }
        }
        scratch.flush()?;
        Ok(Box::new(HistogramRows {
            operand: rows,
            grid,
            span: self.span,
            question: self.question,
            families: self.families,
            account: self.account,
        }))
    }
}

impl Rows for HistogramRows {
    fn read(
        &self,
        index: usize,
        row: &mut Row,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), QueryError> {
        row.reset(self.grid.count);
        let family_count = self.families.members.len();
        let (nth, family) = (index / family_count, index % family_count);
        let members = &self.families.members[family];
        let mut counts: Vec<Row> = Vec::with_capacity(members.len());
        for (_, member) in members {
            let mut count = scratch.take_row();
            self.operand.read(*member as usize, &mut count, scratch)?;
            counts.push(count);
        }
        let mut buckets = Vec::with_capacity(members.len());
        let mut bent = None;
        for step in 0..self.grid.count {
            buckets.clear();
            for ((upper_bound, _), counts) in members.iter().zip(&counts) {
                if let Some(count) = counts.get(step) {
                    buckets.push(Bucket { upper_bound: *upper_bound, count });
                }
            }
            if !buckets.is_empty() {
                row.set(step, self.answer(nth, step, &mut buckets, &mut bent));
            }
        }
        counts.into_iter().for_each(|count| scratch.put_row(count));
        if let Some(bent) = bent {
            let name = &self.families.names[family];
            scratch.ctx.annotate(Annotation::forced_monotonicity(name, bent, self.span));
        }
        scratch.tally(self.account).points += row.present().ones() as u64;
        scratch.tick(self.grid.count * members.len())
    }
}

impl HistogramRows {
    fn answer(
        &self,
        nth: usize,
        step: usize,
        buckets: &mut Vec<Bucket>,
        bent: &mut Option<Monotonicity>,
    ) -> f64 {
        match &self.question {
            Question::Nothing => f64::NAN,
            Question::Fraction { lower, upper } => {
                bucket_fraction(lower.values()[step], upper.values()[step], buckets)
            }
            Question::Quantiles(quantiles) => {
                let (quantile, found) = bucket_quantile(quantiles[nth].0.values()[step], buckets);
                if let Some(found) = found {
                    note_bent(bent, &found, self.grid.time_ms(step));
                }
                quantile
            }
        }
    }
}

fn note_bent(bent: &mut Option<Monotonicity>, found: &Bent, time_ms: i64) {
    let here = Monotonicity {
        min_ms: time_ms,
        max_ms: time_ms,
        min_bucket: found.min_bucket,
        max_bucket: found.max_bucket,
        max_diff: found.max_diff,
        count: 1,
    };
    match bent {
        Some(known) => known.merge(&here),
        None => *bent = Some(here),
    }
}
