//! Sums and means of the histograms of a group, and what is told of histograms that an aggregation does
//! not know.
//! Compat: Prometheus `promql/engine.go`, `aggregation`.

use std::sync::Arc;

use crate::{
    QueryError,
    annotation::{Annotation, HistogramWork},
    exec::{
        Ctx,
        memory::Held,
        native::HistogramFold,
        row::{Bitmap, Row},
    },
    syntax::{AggregateOp, Span},
};

/// Where remarks of an aggregation go.
pub(super) struct Remarks<'a> {
    pub(super) ctx: &'a Ctx<'a>,
    pub(super) op: AggregateOp,
    pub(super) span: Span,
}

/// Folds of one group by step.
pub(super) struct HistogramStates<F> {
    steps: Vec<Step<F>>,
}

struct Step<F> {
    /// None where a float was first: there will be no result.
    fold: Option<F>,
    has_histogram: bool,
    /// Exponential and custom buckets have met. Nothing counts from there on.
    is_refused: bool,
}

impl Remarks<'_> {
    /// Tells that the histograms of a row are left out.
    pub(super) fn ignored(&self, row: &Row) {
        if row.has_histograms() {
            let name = self.op.to_string();
            self.ctx.annotate(Annotation::histogram_ignored(&name, self.span));
        }
    }
}

impl<F: HistogramFold> HistogramStates<F> {
    pub(super) fn new(count: usize) -> Self {
        let step = || Step { fold: None, has_histogram: false, is_refused: false };
        Self { steps: std::iter::repeat_with(step).take(count).collect() }
    }

    /// Adds the histograms of a row; `floats` are the steps at which the group has had a float.
    pub(super) fn add(
        &mut self,
        row: &Row,
        floats: &Bitmap,
        remarks: &Remarks<'_>,
        held: &mut Held,
        name: impl FnOnce() -> String,
    ) -> Result<(), QueryError> {
        let (mut bytes, mut has_refused) = (0, false);
        row.for_each_histogram(|step, histogram| {
            let state = &mut self.steps[step];
            if state.is_refused {
                return;
            }
            let is_first = !state.has_histogram && !floats.has(step);
            state.has_histogram = true;
            if is_first {
                state.fold = Some(F::first(histogram));
                // The sum and what rounding took from it.
                bytes += 2 * histogram.size_bytes();
            } else if let Some(fold) = &mut state.fold {
                state.is_refused = fold.next(histogram).is_err();
                has_refused |= state.is_refused;
            }
        });
        held.grow(bytes as u64)?;
        if has_refused {
            remarks.ctx.annotate(Annotation::mixed_schemas(&name(), remarks.span));
        }
        Ok(())
    }

    /// Takes the floats away that come behind a refusal.
    pub(super) fn spare_refused(&self, floats: &mut Row) {
        if self.steps.iter().any(|step| step.is_refused) {
            floats.retain(|step, _| !self.steps[step].is_refused);
        }
    }

    /// Writes the results beside those of the floats.
    pub(super) fn finish(self, row: &mut Row, remarks: &Remarks<'_>) {
        let Remarks { ctx, span, .. } = *remarks;
        for (step, state) in self.steps.into_iter().enumerate() {
            let Some(notes) = state.fold.as_ref().map(HistogramFold::notes) else {
                if state.has_histogram {
                    row.present_mut().unset(step);
                    ctx.annotate(Annotation::mixed_group(span));
                }
                continue;
            };
            if notes.has_reconciled_bounds {
                ctx.annotate(Annotation::reconciled_bounds(HistogramWork::Aggregation, span));
            }
            if row.get(step).is_some() {
                row.present_mut().unset(step);
                ctx.annotate(Annotation::mixed_group(span));
                continue;
            }
            let Some(fold) = state.fold.filter(|_| !state.is_refused) else { continue };
            if notes.has_reset_collision() {
                ctx.annotate(Annotation::reset_collision(HistogramWork::Aggregation, span));
            }
            let mut result = fold.finish();
            result.compact();
            row.set_histogram(step, Arc::new(result));
        }
    }
}
