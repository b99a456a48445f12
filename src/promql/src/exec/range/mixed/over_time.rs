//! Sums and means of histograms, changes and resets among samples of both kinds.

use std::sync::Arc;

use super::{Histograms, Mixed, Output, Sample, Window};
use crate::{
    annotation::{Annotation, HistogramWork},
    exec::native::HistogramFold,
    plan::RangeFunction,
    syntax::RangeExtension,
};

impl Mixed<'_> {
    pub(super) fn fold<F: HistogramFold>(
        &self,
        histograms: Histograms<'_>,
        remarks: &mut Vec<Annotation>,
    ) -> Option<Output> {
        let span = self.rows.first_arg_span;
        let mut list = histograms.iter();
        let mut fold = F::first(list.next()?);
        for histogram in list {
            if fold.next(histogram).is_err() {
                remarks.push(Annotation::mixed_schemas(self.name, span));
                return None;
            }
        }
        let notes = fold.notes();
        if notes.has_reset_collision() {
            remarks.push(Annotation::reset_collision(HistogramWork::Aggregation, span));
        }
        if notes.has_reconciled_bounds {
            remarks.push(Annotation::reconciled_bounds(HistogramWork::Aggregation, span));
        }
        Some(Output::Histogram(Arc::new(fold.finish())))
    }

    /// Resets, or changes, from sample to sample; one of another kind is both.
    pub(super) fn count_turns(&self, window: &Window<'_>) -> Option<f64> {
        let counts_resets = self.rows.function == RangeFunction::Resets;
        let mut skipped = 0;
        if self.rows.extension == Some(RangeExtension::Anchored) {
            let mut samples = window.samples();
            let before = samples
                .by_ref()
                .take_while(|(started, _)| started.timestamp_ms <= window.start_ms)
                .count();
            // The sample that ended the counting is the first inside.
            if window.samples().count() <= before {
                return None;
            }
            skipped = before.saturating_sub(1);
        }
        let mut samples = window.samples().skip(skipped);
        let (mut before_start, mut before) = samples.next()?;
        let mut turns = 0_u32;
        for (started, sample) in samples {
            let is_turn = match (before, sample) {
                (Sample::Float(before), Sample::Float(now)) if counts_resets => {
                    now < before || started.is_reset_since(before_start)
                }
                (Sample::Float(before), Sample::Float(now)) => {
                    now != before && !(now.is_nan() && before.is_nan())
                }
                (Sample::Histogram(before), Sample::Histogram(now)) if counts_resets => {
                    started.is_reset_since(before_start) || now.is_reset_since(before)
                }
                (Sample::Histogram(before), Sample::Histogram(now)) => !now.is_same_data(before),
                _ => true,
            };
            turns += u32::from(is_turn);
            (before_start, before) = (started, sample);
        }
        Some(f64::from(turns))
    }
}
