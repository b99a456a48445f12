//! `anchored` and `smoothed` ranges of histograms.
//! Compat: Prometheus `promql/functions.go`, `extendedHistogramRate` and `interpolateHistograms`.

use std::sync::Arc;

use prom_model::{CounterResetHint, FloatHistogram};

use super::{Histograms, Mixed, Output, Window};
use crate::{
    annotation::{Annotation, HistogramWork},
    exec::row::SharedHistogram,
    numeric::go_seconds,
    plan::RangeFunction,
    syntax::{RangeExtension, Span},
};

/// A histogram and its time.
type Point<'a> = (i64, &'a FloatHistogram);

/// The histogram between two others; nothing where they do not go together.
fn between(
    before: Point<'_>,
    after: Point<'_>,
    time_ms: i64,
    is_counter: bool,
    span: Span,
    remarks: &mut Vec<Annotation>,
) -> Option<FloatHistogram> {
    if time_ms == before.0 {
        return Some(before.1.clone());
    }
    let mut result = after.1.clone();
    if time_ms == after.0 {
        return Some(result);
    }
    let fraction = (time_ms - before.0) as f64 / (after.0 - before.0) as f64;
    if is_counter && after.1.is_reset_since(before.1) {
        result.mul(fraction);
        return Some(result);
    }
    if result.sub(before.1).ok()?.has_reconciled_bounds {
        remarks.push(Annotation::reconciled_bounds(HistogramWork::Subtraction, span));
    }
    result.mul(fraction);
    if result.add(before.1).ok()?.has_reconciled_bounds {
        remarks.push(Annotation::reconciled_bounds(HistogramWork::Addition, span));
    }
    Some(result)
}

impl Mixed<'_> {
    /// Growth over a range with samples beside it.
    pub(super) fn extended_rate(
        &self,
        window: &Window<'_>,
        remarks: &mut Vec<Annotation>,
    ) -> Option<Output> {
        let is_counter = self.rows.function != RangeFunction::Delta;
        let is_smoothed = self.rows.extension == Some(RangeExtension::Smoothed);
        let histograms = window.histograms;
        let times_ms = histograms.timestamps_ms();
        let newest = times_ms.len().checked_sub(1)?;
        let older = &times_ms[..newest];
        let first = older.partition_point(|time_ms| *time_ms <= window.start_ms).saturating_sub(1);
        let mut last = newest;
        if is_smoothed {
            last = older.partition_point(|time_ms| *time_ms < window.end_ms);
        }
        if times_ms[last] <= window.start_ms || is_smoothed && times_ms[first] > window.end_ms {
            return None;
        }
        if !self.is_sound_range(histograms, first..last + 1, is_counter, remarks) {
            return None;
        }
        let begins_between = is_smoothed && times_ms[first] < window.start_ms;
        let left_pair = if begins_between { (first, first + 1) } else { (first, first) };
        let left = self.edge(histograms, left_pair, window.start_ms, remarks)?;
        let ends_between = is_smoothed && last > 0 && times_ms[last] > window.end_ms;
        let right_pair = if ends_between { (last - 1, last) } else { (last, last) };
        let right = self.edge(histograms, right_pair, window.end_ms, remarks)?;
        let is_gauge = |one: &FloatHistogram| one.counter_reset_hint == CounterResetHint::Gauge;
        if !(is_counter || is_gauge(&left) && is_gauge(&right)) {
            remarks.push(Annotation::native_not_gauge(self.name, self.rows.first_arg_span));
        }
        let mut growth = right.clone();
        if !self.sub(&mut growth, &left, remarks) {
            return None;
        }
        if is_counter {
            let next = first + 1;
            let skips = begins_between && histograms.is_reset(next);
            let ends = Ends { left: &left, right: &right, skips_first: skips };
            let lost = self.lost(histograms, next..last, &ends, remarks)?;
            if let Some(lost) = lost
                && !self.add(&mut growth, &lost, remarks)
            {
                return None;
            }
        }
        if self.rows.function == RangeFunction::Rate {
            growth.div(go_seconds(self.rows.spec.range_ms));
        }
        growth.counter_reset_hint = CounterResetHint::Gauge;
        growth.compact();
        Some(Output::Histogram(Arc::new(growth)))
    }

    /// The histogram at an end of the range: one that is stored, or one between two.
    fn edge(
        &self,
        histograms: Histograms<'_>,
        (before, after): (usize, usize),
        time_ms: i64,
        remarks: &mut Vec<Annotation>,
    ) -> Option<FloatHistogram> {
        if before == after {
            return Some(FloatHistogram::clone(histograms.get(before)));
        }
        let is_counter = self.rows.function != RangeFunction::Delta;
        let span = self.rows.first_arg_span;
        let point = |at: usize| -> Point<'_> { (histograms.time_ms(at), histograms.get(at)) };
        let found = between(point(before), point(after), time_ms, is_counter, span, remarks);
        if found.is_none() {
            remarks.push(Annotation::mixed_schemas(self.name, span));
        }
        found
    }

    /// Whether the histograms are of one kind; tells of gauges among counters.
    fn is_sound_range(
        &self,
        histograms: Histograms<'_>,
        range: std::ops::Range<usize>,
        is_counter: bool,
        remarks: &mut Vec<Annotation>,
    ) -> bool {
        let has_custom_buckets = histograms.get(range.start).has_custom_buckets();
        for at in range {
            let histogram = histograms.get(at);
            if histogram.has_custom_buckets() != has_custom_buckets {
                remarks.push(Annotation::mixed_schemas(self.name, self.rows.first_arg_span));
                return false;
            }
            if is_counter && histogram.counter_reset_hint == CounterResetHint::Gauge {
                remarks.push(Annotation::native_not_counter(self.name, self.rows.first_arg_span));
            }
        }
        true
    }

    /// What was counted before the resets within the range: nothing at all where histograms do not go
    /// together, no histogram where there was no reset.
    fn lost(
        &self,
        histograms: Histograms<'_>,
        mut inside: std::ops::Range<usize>,
        ends: &Ends<'_>,
        remarks: &mut Vec<Annotation>,
    ) -> Option<Option<FloatHistogram>> {
        let mut before = ends.left;
        if ends.skips_first {
            // The left end lies on the way up to the next histogram already.
            before = histograms.get(inside.start);
            inside.start += 1;
        }
        if inside.start > inside.end {
            return Some(None);
        }
        let inside = inside.map(|at| -> &FloatHistogram { histograms.get(at) });
        let mut lost: Option<FloatHistogram> = None;
        for now in inside.chain([ends.right]) {
            if now.is_reset_since(before) {
                let goes_together = match &mut lost {
                    Some(lost) => self.add(lost, before, remarks),
                    none => {
                        *none = Some(before.clone());
                        true
                    }
                };
                if !goes_together {
                    return None;
                }
            }
            before = now;
        }
        Some(lost)
    }
}

/// The histograms at the ends of a range.
struct Ends<'a> {
    left: &'a FloatHistogram,
    right: &'a FloatHistogram,
    /// Whether the left end lies behind a reset to the first histogram inside.
    skips_first: bool,
}

/// The histogram of an instant between stored ones: as stored, on the way to the next, or the last.
pub(in crate::exec) fn smoothed_at(
    points: &[(i64, SharedHistogram)],
    time_ms: i64,
    name: &str,
    span: Span,
    remarks: &mut Vec<Annotation>,
) -> Option<SharedHistogram> {
    let next = points.partition_point(|(known_ms, _)| *known_ms < time_ms);
    if let Some((_, exact)) = points.get(next).filter(|(known_ms, _)| *known_ms == time_ms) {
        return Some(Arc::clone(exact));
    }
    let (before_ms, before) = &points[next.checked_sub(1)?];
    let Some((after_ms, after)) = points.get(next) else {
        // A hint is about two samples, and there is no second one.
        let mut last = Arc::clone(before);
        if last.counter_reset_hint != CounterResetHint::Unknown {
            Arc::make_mut(&mut last).counter_reset_hint = CounterResetHint::Unknown;
        }
        return Some(last);
    };
    let gauges = [before, after].map(|one| one.counter_reset_hint == CounterResetHint::Gauge);
    let is_counter = gauges != [true, true];
    let (before, after): (Point<'_>, Point<'_>) = ((*before_ms, before), (*after_ms, after));
    let mut found = None;
    if before.1.has_custom_buckets() == after.1.has_custom_buckets() {
        found = between(before, after, time_ms, is_counter, span, remarks);
    }
    if found.is_none() {
        remarks.push(Annotation::mixed_schemas(name, span));
    }
    found.map(Arc::new)
}
