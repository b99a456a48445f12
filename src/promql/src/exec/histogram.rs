//! Quantiles and fractions of histograms: classic ones, whose buckets are series told apart by `le`, and
//! native ones. A series may be a bucket at one step and a native histogram at another.
//! Compat: Prometheus `promql/quantile.go`, and `promql/engine.go`, `resetHistograms`.

mod buckets;
mod families;
mod native;

use prom_model::{LabelsBuilder, format_float_g};

use self::{
    buckets::{Bent, Bucket, bucket_fraction, bucket_quantile},
    families::Families,
    native::{native_fraction, native_quantile},
};
use super::{
    Bound, Ctx, Operator, Rows, Scratch,
    ledger::AccountId,
    row::{Bitmap, Row},
    series::{SeriesSet, without_metadata},
};
use crate::{
    QueryError,
    annotation::{Annotation, Monotonicity},
    plan::Grid,
    syntax::Span,
};

/// What is asked of each histogram.
pub(super) enum Question {
    /// Quantiles; each gives series of its own.
    Quantiles(Vec<(Row, Span)>),
    Fraction {
        lower: Row,
        upper: Row,
    },
}

/// A function over the histograms of an operand.
pub(super) struct Histogram {
    operand: Bound,
    span: Span,
    question: Question,
    families: Families,
    account: AccountId,
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
        let (families, sets) = Families::of(&operand.series, is_delayed);
        let mut labels = Vec::new();
        for quantile in question.label_values() {
            for set in &sets {
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
        let mut rows = operand.rows;
        // A bucket is read for each quantile, and where it may be native or has a native twin.
        let mut reads_again = self.families.has_native_buckets;
        if let Question::Quantiles(list) = &self.question {
            for (row, span) in list {
                row.for_each(|_, quantile| {
                    if !(0.0..=1.0).contains(&quantile) {
                        ctx.annotate(Annotation::invalid_quantile(quantile, *span));
                    }
                });
            }
            reads_again |= list.len() > 1;
        }
        if reads_again {
            let series_count = operand.series.len();
            rows = Box::new(super::drain::store(ctx, &*rows, series_count, grid.count)?);
        }
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
        let per_question = self.families.output_count();
        let (nth, output) = (index / per_question, index % per_question);
        match self.families.native_of(output) {
            Some(series) => self.read_native(nth, series, row, scratch)?,
            None => self.read_classic(nth, output, row, scratch)?,
        }
        scratch.tally(self.account).points += row.present().ones() as u64;
        Ok(())
    }
}

impl HistogramRows {
    fn read_classic(
        &self,
        nth: usize,
        family: usize,
        row: &mut Row,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), QueryError> {
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
        if let Some(twin) = self.families.twins.get(&family) {
            // At a step with a native histogram of the same name there is no answer at all.
            let mut native = scratch.take_row();
            self.operand.read(*twin as usize, &mut native, scratch)?;
            native.present_mut().reset(self.grid.count);
            let mut steps = Bitmap::empty(self.grid.count);
            native.mark(&mut steps);
            row.remove_steps(&steps);
            scratch.put_row(native);
        }
        if let Some(bent) = bent {
            let name = &self.families.names[family];
            scratch.ctx.annotate(Annotation::forced_monotonicity(name, bent, self.span));
        }
        scratch.tick(self.grid.count * members.len())
    }

    fn read_native(
        &self,
        nth: usize,
        native: &families::Native,
        row: &mut Row,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), QueryError> {
        let mut operand = scratch.take_row();
        self.operand.read(native.series as usize, &mut operand, scratch)?;
        if let Some(bound) = &native.malformed_bound
            && operand.present().any()
        {
            scratch.ctx.annotate(Annotation::bad_bucket_label(&native.name, bound, self.span));
        }
        if operand.has_histograms() {
            let mut classic = Bitmap::empty(self.grid.count);
            if let Some(family) = native.twin {
                self.mark_classic(family, &mut classic, scratch)?;
            }
            let mut remarks = Vec::new();
            let mut work = 0;
            operand.for_each_histogram(|step, histogram| {
                work += histogram.size_bytes() / 8;
                if classic.has(step) {
                    remarks.push(Annotation::mixed_classic_and_native(&native.name, self.span));
                    return;
                }
                let (answer, remark) = match &self.question {
                    Question::Fraction { lower, upper } => {
                        let range = (lower.values()[step], upper.values()[step]);
                        native_fraction(range, histogram, &native.name, self.span)
                    }
                    Question::Quantiles(quantiles) => {
                        let quantile = quantiles[nth].0.values()[step];
                        native_quantile(quantile, histogram, &native.name, self.span)
                    }
                };
                row.set(step, answer);
                remarks.extend(remark);
            });
            remarks.into_iter().for_each(|remark| scratch.ctx.annotate(remark));
            scratch.tick(work)?;
        }
        scratch.put_row(operand);
        scratch.tick(self.grid.count / 8)
    }

    /// Steps at which a family has a bucket.
    fn mark_classic(
        &self,
        family: usize,
        steps: &mut Bitmap,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), QueryError> {
        let mut count = scratch.take_row();
        for (_, member) in &self.families.members[family] {
            self.operand.read(*member as usize, &mut count, scratch)?;
            steps.unite(count.present());
        }
        scratch.put_row(count);
        Ok(())
    }

    fn answer(
        &self,
        nth: usize,
        step: usize,
        buckets: &mut Vec<Bucket>,
        bent: &mut Option<Monotonicity>,
    ) -> f64 {
        match &self.question {
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
