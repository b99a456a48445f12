//! How histograms grow from sample to sample.
//! Compat: Prometheus `promql/functions.go`, `histogramRate` and `instantValue`.

use std::sync::Arc;

use prom_model::{CounterResetHint, FloatHistogram};

use super::{Histograms, Mixed, Output, Sample, Window};
use crate::{
    annotation::{Annotation, HistogramWork},
    plan::RangeFunction,
};

fn is_gauge(histogram: &FloatHistogram) -> bool {
    histogram.counter_reset_hint == CounterResetHint::Gauge
}

impl Mixed<'_> {
    /// Growth over at least two histograms; nothing where they do not go together.
    pub(super) fn histogram_growth(
        &self,
        histograms: Histograms<'_>,
        is_counter: bool,
        remarks: &mut Vec<Annotation>,
    ) -> Option<FloatHistogram> {
        let span = self.rows.first_arg_span;
        let (first, last) = (histograms.get(0), histograms.get(histograms.len() - 1));
        let mut own_remarks = Vec::new();
        if is_counter && (is_gauge(first) || is_gauge(last)) {
            own_remarks.push(Annotation::native_not_counter(self.name, span));
        }
        // Growth is counted from nothing where the second histogram begins anew.
        let nothing;
        let mut before: &FloatHistogram = first;
        if is_counter && is_reset(histograms, 1) {
            let second = histograms.get(1);
            nothing = FloatHistogram {
                schema: second.schema,
                custom_values: Arc::clone(&second.custom_values),
                ..FloatHistogram::default()
            };
            before = &nothing;
        }
        if last.has_custom_buckets() != before.has_custom_buckets() {
            own_remarks.push(Annotation::mixed_schemas(self.name, span));
            remarks.append(&mut own_remarks);
            return None;
        }
        let mut schema = last.schema.min(before.schema);
        let inner_count = if is_counter { histograms.len() - 2 } else { 0 };
        for histogram in histograms.iter().skip(1).take(inner_count) {
            if is_gauge(histogram) {
                own_remarks.push(Annotation::native_not_counter(self.name, span));
            }
            if histogram.has_custom_buckets() != last.has_custom_buckets() {
                // The reference forgets here what it has remarked before.
                remarks.push(Annotation::mixed_schemas(self.name, span));
                return None;
            }
            schema = schema.min(histogram.schema);
        }
        let mut growth = FloatHistogram::clone(last);
        growth.reduce_to(schema);
        if growth.sub(before).ok()?.has_reconciled_bounds {
            own_remarks.push(Annotation::reconciled_bounds(HistogramWork::Subtraction, span));
        }
        if is_counter {
            self.add_resets(&mut growth, histograms, before, &mut own_remarks)?;
        } else if !(is_gauge(first) && is_gauge(last)) {
            own_remarks.push(Annotation::native_not_gauge(self.name, span));
        }
        growth.counter_reset_hint = CounterResetHint::Gauge;
        growth.compact();
        remarks.append(&mut own_remarks);
        Some(growth)
    }

    /// Adds what was counted before each reset.
    fn add_resets(
        &self,
        growth: &mut FloatHistogram,
        histograms: Histograms<'_>,
        first: &FloatHistogram,
        remarks: &mut Vec<Annotation>,
    ) -> Option<()> {
        let mut before = first;
        let mut overlaps = false;
        for at in 1..histograms.len() {
            let now: &FloatHistogram = histograms.get(at);
            let is_first_stored = std::ptr::eq(before, Arc::as_ptr(histograms.get(at - 1)));
            let (started, started_before) = (histograms.started(at), histograms.started(at - 1));
            overlaps |= started.overlaps(started_before);
            let is_reset = if is_first_stored {
                is_reset(histograms, at)
            } else {
                started.is_reset_since(started_before) || now.is_reset_since(before)
            };
            if is_reset && !self.add(growth, before, remarks) {
                return None;
            }
            before = now;
        }
        if overlaps {
            remarks.push(Annotation::start_overlap(self.name, self.rows.first_arg_span));
        }
        Some(())
    }

    /// Change between the last two samples, of whatever kind.
    pub(super) fn instant_change(
        &self,
        window: &Window<'_>,
        remarks: &mut Vec<Annotation>,
    ) -> Option<Output> {
        let is_rate = self.rows.function == RangeFunction::Irate;
        let span = self.rows.first_arg_span;
        let skipped = (window.floats.values.len() + window.histograms.len()).checked_sub(2)?;
        let mut samples = window.samples().skip(skipped);
        let ((start_before, before), (started, now)) = (samples.next()?, samples.next()?);
        let seconds = (started.timestamp_ms - start_before.timestamp_ms) as f64 / 1000.0;
        let begins_anew = is_rate && started.is_reset_since(start_before);
        match (before, now) {
            (Sample::Float(before), Sample::Float(now)) => {
                let is_reset = is_rate && now < before || begins_anew;
                let change = if is_reset { now } else { now - before };
                Some(Output::Float(if is_rate { change / seconds } else { change }))
            }
            (Sample::Histogram(before), Sample::Histogram(now)) => {
                if is_rate && (is_gauge(before) || is_gauge(now)) {
                    remarks.push(Annotation::native_not_counter(self.name, span));
                }
                if !(is_rate || is_gauge(before) && is_gauge(now)) {
                    remarks.push(Annotation::native_not_gauge(self.name, span));
                }
                let mut change = FloatHistogram::clone(now);
                let is_reset = begins_anew || is_rate && now.is_reset_since(before);
                if !is_reset && !self.sub(&mut change, before, remarks) {
                    return None;
                }
                change.counter_reset_hint = CounterResetHint::Gauge;
                change.compact();
                if is_rate {
                    change.div(seconds);
                }
                Some(Output::Histogram(Arc::new(change)))
            }
            _ => {
                remarks.push(Annotation::mixed_samples(self.name, span));
                None
            }
        }
    }
}

fn is_reset(histograms: Histograms<'_>, at: usize) -> bool {
    histograms.started(at).is_reset_since(histograms.started(at - 1)) || histograms.is_reset(at)
}
