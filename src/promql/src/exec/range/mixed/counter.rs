//! Rates of histograms, and of floats that tell when they began.
//! Compat: Prometheus `promql/functions.go`, `extrapolatedRate`: every operation happens in its order.

use std::sync::Arc;

use prom_model::{Combined, FloatHistogram, IncompatibleSchemas};

use super::{Floats, Mixed, Output, Started, Window};
use crate::{
    annotation::{Annotation, HistogramWork},
    numeric::go_seconds,
    plan::RangeFunction,
};

/// Growth over a window, of either kind.
enum Growth {
    Float(f64),
    Histogram(FloatHistogram),
}

impl Mixed<'_> {
    /// Change over a window of one kind, extrapolated to its ends.
    pub(super) fn rate(
        &self,
        window: &Window<'_>,
        remarks: &mut Vec<Annotation>,
    ) -> Option<Output> {
        let is_counter = self.rows.function != RangeFunction::Delta;
        let histograms = window.histograms;
        if histograms.is_empty() {
            let floats = window.floats;
            let growth = self.float_growth(floats, is_counter, remarks);
            let (first, times_ms) = (floats.started(0), floats.timestamps_ms);
            return self.extrapolated(window, times_ms, first, Some(growth), remarks);
        }
        let mut growth = None;
        if histograms.len() > 1 {
            let found = self.histogram_growth(histograms, is_counter, remarks)?;
            growth = Some(Growth::Histogram(found));
        }
        let (first, times_ms) = (histograms.started(0), histograms.timestamps_ms());
        self.extrapolated(window, times_ms, first, growth, remarks)
    }

    fn extrapolated(
        &self,
        window: &Window<'_>,
        timestamps_ms: &[i64],
        first: Started,
        mut growth: Option<Growth>,
        remarks: &mut Vec<Annotation>,
    ) -> Option<Output> {
        let is_counter = self.rows.function != RangeFunction::Delta;
        let (first_ms, last_ms) = (first.timestamp_ms, *timestamps_ms.last()?);
        let mut to_start = (first_ms - window.start_ms) as f64 / 1000.0;
        let mut to_end = (window.end_ms - last_ms) as f64 / 1000.0;
        let mut sampled = (last_ms - first_ms) as f64 / 1000.0;
        let intervals = timestamps_ms.len() - 1;
        let average = if intervals > 0 { sampled / intervals as f64 } else { 0.0 };
        let threshold = average * 1.1;
        let begins_inside = first.start_ms > window.start_ms && first.start_ms < first_ms;
        if is_counter && first.start_ms != 0 && begins_inside {
            // The counter was zero at a time that is known.
            to_start = 0.0;
            sampled = (last_ms - first.start_ms) as f64 / 1000.0;
            growth = Some(self.with_first(window, growth, remarks)?);
        } else if intervals == 0 {
            return None;
        } else {
            if to_start >= threshold {
                to_start = average / 2.0;
            }
            let (level, total) = match &growth {
                Some(Growth::Float(change)) => (window.floats.values[0], *change),
                Some(Growth::Histogram(change)) => (window.histograms.get(0).count, change.count),
                None => (0.0, 0.0),
            };
            if is_counter && total > 0.0 && level >= 0.0 {
                let to_zero = sampled * (level / total);
                if to_zero < to_start {
                    to_start = to_zero;
                }
            }
        }
        if to_end >= threshold {
            to_end = average / 2.0;
        }
        let mut factor = 1.0;
        if sampled != 0.0 {
            factor = (sampled + to_start + to_end) / sampled;
        }
        if self.rows.function == RangeFunction::Rate {
            factor /= go_seconds(self.rows.spec.range_ms);
        }
        Some(match growth? {
            Growth::Float(change) => Output::Float(change * factor),
            Growth::Histogram(mut change) => {
                change.mul(factor);
                Output::Histogram(Arc::new(change))
            }
        })
    }

    /// Adds what the first sample itself counted.
    fn with_first(
        &self,
        window: &Window<'_>,
        growth: Option<Growth>,
        remarks: &mut Vec<Annotation>,
    ) -> Option<Growth> {
        match growth {
            Some(Growth::Float(change)) => Some(Growth::Float(change + window.floats.values[0])),
            Some(Growth::Histogram(mut change)) => {
                let goes_together = self.add(&mut change, window.histograms.get(0), remarks);
                goes_together.then_some(Growth::Histogram(change))
            }
            None => Some(Growth::Histogram(FloatHistogram::clone(window.histograms.get(0)))),
        }
    }

    fn float_growth(
        &self,
        floats: Floats<'_>,
        is_counter: bool,
        remarks: &mut Vec<Annotation>,
    ) -> Growth {
        let values = floats.values;
        let mut change = values[values.len() - 1] - values[0];
        if !is_counter {
            return Growth::Float(change);
        }
        let mut overlaps = false;
        for now in 1..values.len() {
            let (before, after) = (floats.started(now - 1), floats.started(now));
            overlaps |= after.overlaps(before);
            if values[now] < values[now - 1] || after.is_reset_since(before) {
                change += values[now - 1];
            }
        }
        if overlaps {
            remarks.push(Annotation::start_overlap(self.name, self.rows.first_arg_span));
        }
        Growth::Float(change)
    }

    /// Adds `other`; tells whether they go together.
    pub(super) fn add(
        &self,
        sum: &mut FloatHistogram,
        other: &FloatHistogram,
        remarks: &mut Vec<Annotation>,
    ) -> bool {
        self.note(sum.add(other), HistogramWork::Addition, remarks)
    }

    /// Subtracts `other`; tells whether they go together.
    pub(super) fn sub(
        &self,
        difference: &mut FloatHistogram,
        other: &FloatHistogram,
        remarks: &mut Vec<Annotation>,
    ) -> bool {
        self.note(difference.sub(other), HistogramWork::Subtraction, remarks)
    }

    fn note(
        &self,
        combined: Result<Combined, IncompatibleSchemas>,
        work: HistogramWork,
        remarks: &mut Vec<Annotation>,
    ) -> bool {
        let span = self.rows.first_arg_span;
        match combined {
            Ok(combined) if combined.has_reconciled_bounds => {
                remarks.push(Annotation::reconciled_bounds(work, span));
            }
            Ok(_) => {}
            Err(_) => remarks.push(Annotation::mixed_schemas(self.name, span)),
        }
        combined.is_ok()
    }
}
