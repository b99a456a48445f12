//! Trends: least squares and double exponential smoothing.
//! Compat: Prometheus `promql/functions.go`, `linearRegression`, `funcDoubleExponentialSmoothing`.

use super::{Row, Windows};
use crate::{QueryError, numeric::KahanSum};

/// A straight line through samples.
struct Line {
    slope: f64,
    /// Its value at the time it was asked for.
    intercept: f64,
}

/// Slope of each window with two samples or more.
pub(super) fn deriv(windows: Windows<'_>, row: &mut Row) {
    each_pair(windows, row, |_, times_ms, values| Line::fit(times_ms, values, times_ms[0]).slope);
}

/// Value of each window's line, `durations` seconds after the step.
pub(super) fn predict(windows: Windows<'_>, row: &mut Row, durations: &[f64]) {
    let grid = windows.spec.grid;
    each_pair(windows, row, |step, times_ms, values| {
        let line = Line::fit(times_ms, values, grid.time_ms(step));
        line.slope * durations[step] + line.intercept
    });
}

/// Smoothed last value of each window with two samples or more.
pub(super) fn smooth(
    windows: Windows<'_>,
    row: &mut Row,
    smoothing: &[f64],
    trend: &[f64],
) -> Result<(), QueryError> {
    for (step, (lo, hi)) in windows.positions.lo.iter().zip(&windows.positions.hi).enumerate() {
        if lo == hi {
            continue;
        }
        let (smoothing, trend) = (smoothing[step], trend[step]);
        check_factor("smoothing factor", "sf", smoothing)?;
        check_factor("trend factor", "tf", trend)?;
        if hi - lo >= 2 {
            let values = &windows.values[*lo as usize..*hi as usize];
            row.set(step, smoothed(values, smoothing, trend));
        }
    }
    Ok(())
}

fn each_pair(windows: Windows<'_>, row: &mut Row, f: impl Fn(usize, &[i64], &[f64]) -> f64) {
    let Windows { timestamps_ms, values, positions, .. } = windows;
    positions.pairs.for_each(|step| {
        let window = positions.lo[step] as usize..positions.hi[step] as usize;
        row.set(step, f(step, &timestamps_ms[window.clone()], &values[window]));
    });
}

fn check_factor(name: &str, short: &str, factor: f64) -> Result<(), QueryError> {
    // NaN passes, as it does in the reference.
    if factor <= 0.0 || factor >= 1.0 {
        return Err(QueryError::Evaluation(format!(
            "invalid {name}. Expected: 0 < {short} < 1, got: {factor:.6}"
        )));
    }
    Ok(())
}

fn smoothed(values: &[f64], smoothing: f64, trend: f64) -> f64 {
    let (mut before, mut level) = (0.0, values[0]);
    let mut slope = values[1] - values[0];
    for (index, value) in values.iter().enumerate().skip(1) {
        let scaled = smoothing * value;
        if index > 1 {
            let change = trend * (level - before);
            let rest = (1.0 - trend) * slope;
            slope = change + rest;
        }
        let kept = (1.0 - smoothing) * (level + slope);
        (before, level) = (level, scaled + kept);
    }
    level
}

impl Line {
    fn fit(timestamps_ms: &[i64], values: &[f64], intercept_ms: i64) -> Self {
        let first = values[0];
        if values.iter().all(|value| *value == first) {
            let slope_and_value =
                if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
            return Self { slope: slope_and_value.0, intercept: slope_and_value.1 };
        }
        let mut sums = [KahanSum::default(); 4];
        for (time_ms, y) in timestamps_ms.iter().zip(values) {
            let x = (time_ms - intercept_ms) as f64 / 1e3;
            sums[0].add(x);
            sums[1].add(*y);
            sums[2].add(x * y);
            sums[3].add(x * x);
        }
        let count = values.len() as f64;
        let [sum_x, sum_y, sum_xy, sum_xx] = sums.map(KahanSum::total);
        let covariance = sum_xy - sum_x * sum_y / count;
        let variance = sum_xx - sum_x * sum_x / count;
        let slope = covariance / variance;
        Self { slope, intercept: sum_y / count - slope * sum_x / count }
    }
}
