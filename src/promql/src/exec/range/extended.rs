//! `anchored` and `smoothed` ranges: samples beside the range tell where its ends are.
//! Compat: Prometheus `promql/functions.go`, `extendedRate` and `pickFirstSampleIndices`.

use prom_model::Sample;

use super::{
    Row, Windows,
    over_time::{changes, resets},
};
use crate::{numeric::go_seconds, plan::RangeFunction, syntax::RangeExtension};

/// A sample: time in milliseconds, value.
type Point = (i64, f64);

/// The samples of one window and its own ends, which some of them lie beyond.
struct Extended<'a> {
    timestamps_ms: &'a [i64],
    values: &'a [f64],
    start_ms: i64,
    end_ms: i64,
    is_smoothed: bool,
}

/// What the range itself holds: values at its ends and the samples between.
struct Inner {
    left: f64,
    right: f64,
    /// Indices of the samples strictly inside.
    first: usize,
    end: usize,
}

/// Computes one of the functions that know extended ranges.
pub(super) fn compute(
    function: RangeFunction,
    extension: RangeExtension,
    windows: Windows<'_>,
    row: &mut Row,
) {
    let Windows { spec, timestamps_ms, values, positions } = windows;
    for (step, (lo, hi)) in positions.lo.iter().zip(&positions.hi).enumerate() {
        let window = *lo as usize..*hi as usize;
        if window.is_empty() {
            continue;
        }
        let extended = Extended {
            timestamps_ms: &timestamps_ms[window.clone()],
            values: &values[window],
            start_ms: spec.start_ms(step),
            end_ms: spec.end_ms(step),
            is_smoothed: extension == RangeExtension::Smoothed,
        };
        let value = match function {
            RangeFunction::Resets => extended.anchored().map(resets),
            RangeFunction::Changes => extended.anchored().map(changes),
            RangeFunction::Delta => extended.change(false),
            RangeFunction::Rate => {
                extended.change(true).map(|change| change / go_seconds(spec.range_ms))
            }
            _ => extended.change(true),
        };
        if let Some(value) = value {
            row.set(step, value);
        }
    }
}

/// The value at `time_ms` on the line through two samples. A counter that fell was zero before.
pub(in crate::exec) fn interpolated(
    before: Point,
    after: Point,
    time_ms: i64,
    is_counter: bool,
) -> f64 {
    let start = if is_counter && after.1 < before.1 { 0.0 } else { before.1 };
    start + (after.1 - start) * (time_ms - before.0) as f64 / (after.0 - before.0) as f64
}

/// The samples of a range with one at each of its ends.
pub(in crate::exec) fn with_edges(
    points: &[Sample],
    start_ms: i64,
    end_ms: i64,
    extension: RangeExtension,
) -> Vec<Sample> {
    let timestamps_ms: Vec<i64> = points.iter().map(|point| point.timestamp_ms).collect();
    let values: Vec<f64> = points.iter().map(|point| point.value).collect();
    let extended = Extended {
        timestamps_ms: &timestamps_ms,
        values: &values,
        start_ms,
        end_ms,
        is_smoothed: extension == RangeExtension::Smoothed,
    };
    let Some(inner) = extended.inner(false, false) else { return Vec::new() };
    let edge = |timestamp_ms, value| std::iter::once(Sample { timestamp_ms, value });
    let between = points.get(inner.first..inner.end).unwrap_or_default();
    edge(start_ms, inner.left)
        .chain(between.iter().copied())
        .chain(edge(end_ms, inner.right))
        .collect()
}

impl Extended<'_> {
    fn point(&self, index: usize) -> Point {
        (self.timestamps_ms[index], self.values[index])
    }

    /// Values from the last sample before the range on; nothing where no sample is inside.
    fn anchored(&self) -> Option<&[f64]> {
        let first = self.timestamps_ms.partition_point(|time_ms| *time_ms <= self.start_ms);
        (first < self.values.len()).then(|| &self.values[first.saturating_sub(1)..])
    }

    /// Growth over the range.
    fn change(&self, is_counter: bool) -> Option<f64> {
        let inner = self.inner(is_counter, true)?;
        let mut change = inner.right - inner.left;
        if is_counter {
            let mut lost = 0.0;
            let mut previous = inner.left;
            let between = self.values.get(inner.first..inner.end).unwrap_or_default();
            for value in between.iter().chain([&inner.right]) {
                if *value < previous {
                    lost += previous;
                }
                previous = *value;
            }
            change += lost;
        }
        Some(change)
    }

    /// Finds the ends. `must_begin` refuses a range that ends before the first sample.
    fn inner(&self, is_counter: bool, must_begin: bool) -> Option<Inner> {
        let newest = self.timestamps_ms.len().checked_sub(1)?;
        let older = &self.timestamps_ms[..newest];
        let first = older.partition_point(|time_ms| *time_ms <= self.start_ms).saturating_sub(1);
        let last = if self.is_smoothed {
            older.partition_point(|time_ms| *time_ms < self.end_ms)
        } else {
            newest
        };
        let (first_ms, last_ms) = (self.timestamps_ms[first], self.timestamps_ms[last]);
        if last_ms <= self.start_ms || must_begin && self.is_smoothed && first_ms > self.end_ms {
            return None;
        }
        let left = if self.is_smoothed && first_ms < self.start_ms {
            let after = self.point(first + 1);
            interpolated(self.point(first), after, self.start_ms, is_counter)
        } else {
            self.values[first]
        };
        let right = if self.is_smoothed && last > 0 && last_ms > self.end_ms {
            interpolated(self.point(last - 1), self.point(last), self.end_ms, is_counter)
        } else {
            self.values[last]
        };
        let first = if first_ms <= self.start_ms { first + 1 } else { first };
        let end = if last_ms >= self.end_ms { last } else { last + 1 };
        Some(Inner { left, right, first, end })
    }
}
