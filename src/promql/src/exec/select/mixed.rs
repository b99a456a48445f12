//! Instant selectors over series that have histograms, alone or among floats.

use std::sync::Arc;

use prom_model::is_stale;
use prom_storage::Columns;

use super::SelectRows;
use crate::{
    annotation::Annotation,
    exec::{
        native::without_buckets,
        range::{interpolated, smoothed_at},
        row::{Row, SharedHistogram},
    },
    plan::SampleField,
};

impl SelectRows {
    /// At each step the newest sample of either kind.
    pub(super) fn fill_mixed(&self, columns: &Columns, row: &mut Row) {
        let (mut floats, mut histograms) = (0, 0);
        // One that stays the newest over several steps is converted once.
        let mut converted: Option<(usize, SharedHistogram)> = None;
        for step in 0..self.grid.count {
            let time_ms = self.shift.apply(self.grid.time_ms(step));
            while columns.timestamps_ms.get(floats).is_some_and(|known_ms| *known_ms <= time_ms) {
                floats += 1;
            }
            let is_passed = |at: usize| {
                columns.histograms.get(at).is_some_and(|point| point.timestamp_ms <= time_ms)
            };
            while is_passed(histograms) {
                histograms += 1;
            }
            let float = floats.checked_sub(1).map(|at| (columns.timestamps_ms[at], at));
            let histogram =
                histograms.checked_sub(1).map(|at| (columns.histograms[at].timestamp_ms, at));
            let is_near = |(known_ms, _): &(i64, usize)| {
                *known_ms > time_ms.saturating_sub(self.lookback_delta_ms)
            };
            match (float.filter(is_near), histogram.filter(is_near)) {
                (float, Some(newest)) if float.is_none_or(|float| float.0 < newest.0) => {
                    self.set_histogram(columns, newest, step, &mut converted, row);
                }
                (Some(newest), _) => self.set_float(columns, newest, step, row),
                _ => {}
            }
        }
    }

    fn set_float(
        &self,
        columns: &Columns,
        (time_ms, at): (i64, usize),
        step: usize,
        row: &mut Row,
    ) {
        let value = columns.values[at];
        if !is_stale(value) {
            let start_ms = columns.start_timestamps_ms.get(at);
            row.set(step, self.field(value, time_ms, start_ms));
        }
    }

    fn set_histogram(
        &self,
        columns: &Columns,
        (time_ms, at): (i64, usize),
        step: usize,
        converted: &mut Option<(usize, SharedHistogram)>,
        row: &mut Row,
    ) {
        let histogram = &columns.histograms[at].histogram;
        if histogram.is_stale() {
            return;
        }
        if matches!(self.what, SampleField::Timestamp | SampleField::StartTimestamp) {
            let start_ms = columns.histogram_start_timestamps_ms.get(at);
            row.set(step, self.field(0.0, time_ms, start_ms));
            return;
        }
        let shared = match converted {
            Some((known, shared)) if *known == at => Arc::clone(shared),
            _ if self.skips_buckets => {
                let before = self.read_before(columns, at, step);
                without_buckets(&histogram.to_float(), before.as_deref())
            }
            _ => histogram.to_float(),
        };
        *converted = Some((at, Arc::clone(&shared)));
        row.set_histogram(step, shared);
    }

    /// The histogram that the reference has read before the one at `at`: steps far apart are read anew.
    fn read_before(&self, columns: &Columns, at: usize, step: usize) -> Option<SharedHistogram> {
        let before = columns.histograms[..at].iter().rev().find(|one| !one.histogram.is_stale())?;
        let first_step = if self.grid.step_ms <= self.lookback_delta_ms { 0 } else { step };
        let time_ms = self.shift.apply(self.grid.time_ms(first_step));
        let is_read = before.timestamp_ms > time_ms.saturating_sub(self.lookback_delta_ms);
        is_read.then(|| before.histogram.to_float())
    }

    fn field(&self, value: f64, time_ms: i64, start_ms: Option<&i64>) -> f64 {
        match self.what {
            SampleField::Value | SampleField::Smoothed => value,
            SampleField::Timestamp => time_ms as f64 / 1000.0,
            SampleField::StartTimestamp => start_ms.copied().unwrap_or_default() as f64 / 1000.0,
        }
    }

    /// At each step what lies between the samples around it, which have to be of one kind.
    pub(super) fn fill_mixed_smoothed(
        &self,
        columns: &Columns,
        name: &str,
        row: &mut Row,
        remarks: &mut Vec<Annotation>,
    ) {
        let floats = columns.timestamps_ms.iter().zip(&columns.values);
        let floats: Vec<(i64, f64)> = floats
            .filter(|(_, value)| !is_stale(**value))
            .map(|(time_ms, value)| (*time_ms, *value))
            .collect();
        let histograms = columns.histograms.iter().filter(|point| !point.histogram.is_stale());
        let histograms: Vec<(i64, SharedHistogram)> =
            histograms.map(|point| (point.timestamp_ms, point.histogram.to_float())).collect();
        for step in 0..self.grid.count {
            let time_ms = self.shift.apply(self.grid.time_ms(step));
            let floats = self.around(&floats, time_ms);
            let histograms = self.around(&histograms, time_ms);
            if !floats.is_empty() && !histograms.is_empty() {
                remarks.push(Annotation::mixed_samples(name, self.span));
            } else if histograms.is_empty() {
                if let Some(value) = smoothed_float(floats, time_ms) {
                    row.set(step, value);
                }
            } else if let Some(histogram) =
                smoothed_at(histograms, time_ms, name, self.span, remarks)
            {
                row.set_histogram(step, histogram);
            }
        }
    }

    /// Samples within the lookback on either side.
    fn around<'a, T>(&self, samples: &'a [(i64, T)], time_ms: i64) -> &'a [(i64, T)] {
        let start_ms = time_ms.saturating_sub(self.lookback_delta_ms);
        let end_ms = time_ms.saturating_add(self.lookback_delta_ms);
        let first = samples.partition_point(|(known_ms, _)| *known_ms <= start_ms);
        let end = samples.partition_point(|(known_ms, _)| *known_ms <= end_ms);
        &samples[first..end.max(first)]
    }
}

fn smoothed_float(samples: &[(i64, f64)], time_ms: i64) -> Option<f64> {
    let next = samples.partition_point(|(known_ms, _)| *known_ms < time_ms);
    match samples.get(next) {
        Some((known_ms, value)) if *known_ms == time_ms => Some(*value),
        Some(after) => Some(interpolated(samples[next.checked_sub(1)?], *after, time_ms, false)),
        None => Some(samples[next.checked_sub(1)?].1),
    }
}
