//! Windows that hold histograms, alone or among floats, and floats that tell when they began.
//! The row of the floats is computed before, as if there was nothing else; here its steps are corrected.

mod counter;
mod extended;
mod growth;
mod over_time;
mod points;

pub(in crate::exec) use extended::smoothed_at;
pub(super) use points::Points;

use std::sync::Arc;

use prom_storage::Columns;

use super::{RangeRows, start_time::Started};
use crate::{
    annotation::Annotation,
    exec::{
        native::{Mean, Sum},
        row::{Row, SharedHistogram},
        window::Positions,
    },
    plan::RangeFunction,
};

/// A row to correct, and what it is made of.
pub(super) struct Mixed<'a> {
    pub(super) rows: &'a RangeRows,
    /// Name of the metric.
    pub(super) name: &'a str,
    pub(super) floats: &'a Columns,
    pub(super) points: &'a Points,
}

/// One window.
#[derive(Clone, Copy)]
struct Window<'a> {
    /// Ends of the range itself, which an extension lies beyond.
    start_ms: i64,
    end_ms: i64,
    floats: Floats<'a>,
    histograms: Histograms<'a>,
}

#[derive(Clone, Copy)]
struct Floats<'a> {
    timestamps_ms: &'a [i64],
    values: &'a [f64],
    /// As many as there are, or none.
    starts_ms: &'a [i64],
}

/// Histograms of a window, and all of the series.
#[derive(Clone, Copy)]
struct Histograms<'a> {
    all: &'a Points,
    first: usize,
    end: usize,
}

/// What a step gets.
enum Output {
    Float(f64),
    Histogram(SharedHistogram),
}

/// A sample of either kind.
#[derive(Clone, Copy)]
enum Sample<'a> {
    Float(f64),
    Histogram(&'a SharedHistogram),
}

impl Mixed<'_> {
    /// Corrects the steps whose window holds more than plain floats.
    pub(super) fn correct(
        &self,
        positions: &Positions,
        row: &mut Row,
        remarks: &mut Vec<Annotation>,
    ) {
        let spec = &self.rows.spec;
        let has_starts = !self.floats.start_timestamps_ms.is_empty() && self.reads_starts();
        for step in 0..spec.grid.count {
            let histograms = self.points.within(spec, step);
            let floats = self.floats_within(positions, step, has_starts);
            if histograms.is_empty() && (floats.values.is_empty() || !has_starts) {
                continue;
            }
            let (start_ms, end_ms) = (spec.start_ms(step), spec.end_ms(step));
            let window = Window { start_ms, end_ms, floats, histograms };
            match self.value(&window, row.get(step), remarks) {
                Some(Output::Float(value)) => row.set(step, value),
                Some(Output::Histogram(histogram)) => {
                    row.present_mut().unset(step);
                    row.set_histogram(step, histogram);
                }
                None => row.present_mut().unset(step),
            }
        }
    }

    /// Whether the function asks when samples began.
    fn reads_starts(&self) -> bool {
        points::reads_starts(self.rows.function) && self.points.uses_starts
    }

    fn floats_within(&self, positions: &Positions, step: usize, has_starts: bool) -> Floats<'_> {
        let window = positions.lo[step] as usize..positions.hi[step] as usize;
        let starts_ms = if has_starts {
            self.floats.start_timestamps_ms.get(window.clone()).unwrap_or_default()
        } else {
            &[]
        };
        Floats {
            timestamps_ms: &self.floats.timestamps_ms[window.clone()],
            values: &self.floats.values[window],
            starts_ms,
        }
    }

    /// What a window gives; `float` is what its floats alone give.
    fn value(
        &self,
        window: &Window<'_>,
        float: Option<f64>,
        remarks: &mut Vec<Annotation>,
    ) -> Option<Output> {
        use RangeFunction as F;
        let function = self.rows.function;
        let float_count = window.floats.values.len();
        match function {
            F::Rate | F::Increase | F::Delta | F::Sum | F::Avg
                if float_count > 0 && !window.histograms.is_empty() =>
            {
                remarks.push(Annotation::mixed_samples(self.name, self.rows.first_arg_span));
                None
            }
            F::Rate | F::Increase | F::Delta if self.rows.extension.is_some() => {
                if window.histograms.is_empty() {
                    return float.map(Output::Float);
                }
                self.extended_rate(window, remarks)
            }
            F::Rate | F::Increase | F::Delta => self.rate(window, remarks),
            F::Irate | F::Idelta => self.instant_change(window, remarks),
            F::Sum => self.fold::<Sum>(window.histograms, remarks),
            F::Avg => self.fold::<Mean>(window.histograms, remarks),
            F::Resets | F::Changes => self.count_turns(window).map(Output::Float),
            F::Count => Some(Output::Float((float_count + window.histograms.len()) as f64)),
            F::Present => Some(Output::Float(1.0)),
            F::First => window.first(),
            F::Last => window.last(),
            F::TimeOfFirst => {
                let float_ms = window.floats.timestamps_ms.first();
                let first_ms =
                    float_ms.into_iter().chain(window.histograms.timestamps_ms().first()).min();
                first_ms.map(|time_ms| Output::Float(*time_ms as f64 / 1000.0))
            }
            F::TimeOfLast => {
                let float_ms = window.floats.timestamps_ms.last();
                let last_ms =
                    float_ms.into_iter().chain(window.histograms.timestamps_ms().last()).max();
                last_ms.map(|time_ms| Output::Float(*time_ms as f64 / 1000.0))
            }
            _ => {
                if float_count > 0 {
                    let span = self.rows.first_arg_span;
                    remarks.push(Annotation::histogram_ignored_in_range(self.name, span));
                }
                float.map(Output::Float)
            }
        }
    }
}

impl<'a> Window<'a> {
    fn first(&self) -> Option<Output> {
        let float = self.floats.timestamps_ms.first();
        match (float, self.histograms.timestamps_ms().first()) {
            (Some(float_ms), Some(first_ms)) if float_ms < first_ms => {
                Some(Output::Float(self.floats.values[0]))
            }
            (_, Some(_)) => Some(Output::Histogram(Arc::clone(self.histograms.get(0)))),
            _ => self.floats.values.first().map(|value| Output::Float(*value)),
        }
    }

    fn last(&self) -> Option<Output> {
        let float = self.floats.timestamps_ms.last();
        match (float, self.histograms.timestamps_ms().last()) {
            (Some(float_ms), Some(last_ms)) if last_ms < float_ms => {
                self.floats.values.last().map(|value| Output::Float(*value))
            }
            (_, Some(_)) => {
                let newest = self.histograms.len() - 1;
                Some(Output::Histogram(Arc::clone(self.histograms.get(newest))))
            }
            _ => self.floats.values.last().map(|value| Output::Float(*value)),
        }
    }

    /// Samples of both kinds in time order, each with its start.
    fn samples(&self) -> impl Iterator<Item = (Started, Sample<'a>)> {
        let (floats, histograms) = (self.floats, self.histograms);
        let (mut float, mut histogram) = (0, 0);
        std::iter::from_fn(move || {
            let float_ms = floats.timestamps_ms.get(float);
            let histogram_ms =
                (histogram < histograms.len()).then(|| histograms.time_ms(histogram));
            match (float_ms, histogram_ms) {
                (Some(float_ms), other) if other.is_none_or(|other| *float_ms < other) => {
                    float += 1;
                    Some((floats.started(float - 1), Sample::Float(floats.values[float - 1])))
                }
                (_, Some(_)) => {
                    histogram += 1;
                    let at = histogram - 1;
                    Some((histograms.started(at), Sample::Histogram(histograms.get(at))))
                }
                _ => None,
            }
        })
    }
}

impl Floats<'_> {
    fn started(&self, index: usize) -> Started {
        let start_ms = self.starts_ms.get(index).copied().unwrap_or_default();
        Started { start_ms, timestamp_ms: self.timestamps_ms[index] }
    }
}
