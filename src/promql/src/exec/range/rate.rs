//! `rate`, `increase`, `delta`, and their instant kin.
//! Compat: Prometheus `promql/functions.go`, `extrapolatedRate` and `instantValue`; every operation
//! happens in the order of the reference.

use super::{Row, Windows};
use crate::{
    exec::window::{Extrapolation, Scale},
    numeric::go_seconds,
};

/// Change over each window, extrapolated to its ends.
///
/// A window without a reset costs the same whatever its length. With resets the values before them are
/// added one by one, as the reference does. Steps without a value are computed with, which costs less than
/// to ask for each.
pub(super) fn extrapolated(windows: Windows<'_>, row: &mut Row, is_counter: bool, is_rate: bool) {
    let Windows { spec, values, positions, .. } = windows;
    let range_seconds = is_rate.then(|| go_seconds(spec.range_ms));
    positions.place_extrapolations(spec, range_seconds);
    place_resets(values, is_counter, &mut positions.resets);
    row.present_mut().clone_from(&positions.pairs);
    let (out, _) = row.parts_mut();
    let value_at = |index: u32| values.get(index as usize).copied().unwrap_or_default();
    let scaled = |step: usize, scale: Scale, first: f64, change: f64| {
        if is_counter && first >= 0.0 && change + scale.slack > first {
            return from_zero(positions.extrapolations[step], first, change, range_seconds);
        }
        change * scale.factor
    };
    let places = positions.lo.iter().zip(&positions.hi).zip(&positions.scales);
    let steps = places.zip(out).enumerate();
    let resets = positions.resets.as_slice();
    if resets.is_empty() {
        for (step, (((lo, hi), scale), out)) in steps {
            let first = value_at(*lo);
            *out = scaled(step, *scale, first, value_at(hi.wrapping_sub(1)) - first);
        }
        return;
    }
    let mut first_reset = 0;
    for (step, (((lo, hi), scale), out)) in steps {
        let first = value_at(*lo);
        let mut change = value_at(hi.wrapping_sub(1)) - first;
        while first_reset < resets.len() && resets[first_reset] <= *lo {
            first_reset += 1;
        }
        for reset in resets[first_reset..].iter().take_while(|reset| **reset < *hi) {
            change += values[*reset as usize - 1];
        }
        *out = scaled(step, *scale, first, change);
    }
}

/// Finds the values of a counter that are below the one before.
fn place_resets(values: &[f64], is_counter: bool, resets: &mut Vec<u32>) {
    resets.clear();
    let is_fall = |pair: &[f64]| pair[1] < pair[0];
    if !is_counter || values.windows(2).filter(|pair| is_fall(pair)).count() == 0 {
        return;
    }
    let falls = values.windows(2).enumerate().filter(|(_, pair)| is_fall(pair));
    resets.extend(falls.map(|(index, _)| index as u32 + 1));
}

/// The change of a counter that could have begun within the window, extrapolated no further than to
/// where it was zero.
#[inline(never)]
fn from_zero(window: Extrapolation, first: f64, change: f64, range_seconds: Option<f64>) -> f64 {
    let mut to_start = window.to_start;
    if change > 0.0 && first >= 0.0 {
        let to_zero = window.sampled * (first / change);
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    change * window.factor(to_start, range_seconds)
}

/// Change between the last two samples of each window.
pub(super) fn instant(windows: Windows<'_>, row: &mut Row, is_rate: bool) {
    let Windows { timestamps_ms, values, positions, .. } = windows;
    row.present_mut().clone_from(&positions.pairs);
    let (out, present) = row.parts_mut();
    present.for_each(|step| {
        let newest = positions.hi[step] as usize - 1;
        let (older, newer) = (values[newest - 1], values[newest]);
        // After a reset a counter has grown by what it shows.
        let change = if is_rate && newer < older { newer } else { newer - older };
        let interval_ms = timestamps_ms[newest] - timestamps_ms[newest - 1];
        out[step] = if is_rate { change / (interval_ms as f64 / 1000.0) } else { change };
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        exec::window::{Positions, WindowSpec},
        plan::{Grid, Shift},
    };

    /// One window as the reference computes it, operation by operation.
    fn in_window(
        (start_ms, end_ms): (i64, i64),
        samples: &[(i64, f64)],
        is_counter: bool,
        is_rate: bool,
    ) -> Option<f64> {
        let inside = samples.iter().filter(|(t, _)| *t > start_ms && *t <= end_ms);
        let inside: Vec<(i64, f64)> = inside.copied().collect();
        let ([(first_ms, first), ..], [.., (last_ms, last)]) = (&*inside, &*inside) else {
            return None;
        };
        if inside.len() < 2 {
            return None;
        }
        let mut change = last - first;
        for pair in inside.windows(2).filter(|pair| is_counter && pair[1].1 < pair[0].1) {
            change += pair[0].1;
        }
        let mut to_start = (first_ms - start_ms) as f64 / 1000.0;
        let mut to_end = (end_ms - last_ms) as f64 / 1000.0;
        let sampled = (last_ms - first_ms) as f64 / 1000.0;
        let average = sampled / (inside.len() - 1) as f64;
        if to_start >= average * 1.1 {
            to_start = average / 2.0;
        }
        if is_counter && change > 0.0 && *first >= 0.0 {
            let to_zero = sampled * (first / change);
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
        if to_end >= average * 1.1 {
            to_end = average / 2.0;
        }
        let mut factor = (sampled + to_start + to_end) / sampled;
        if is_rate {
            factor /= go_seconds(end_ms - start_ms);
        }
        Some(change * factor)
    }

    fn any_samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
        let value = prop_oneof![
            6 => (0u32..400).prop_map(f64::from),
            2 => -5.0..5.0_f64,
            1 => prop::sample::select(vec![
                0.0, -0.0, 1e-300, 1e300, f64::MAX, f64::NAN, f64::INFINITY, f64::NEG_INFINITY,
            ]),
        ];
        let step = prop_oneof![4 => Just(1_000_i64), 2 => 1_i64..3_000, 1 => 1_i64..40_000];
        let samples = prop::collection::vec((step, value), 0..60);
        (samples, any::<bool>()).prop_map(|(steps, grows)| {
            let (mut t, mut total) = (0, 0.0);
            let sample = |(step, value): (i64, f64)| {
                t += step;
                total = if grows { total + value } else { value };
                (t, total)
            };
            steps.into_iter().map(sample).collect()
        })
    }

    proptest! {
        #[test]
        fn changes_are_those_of_the_reference_bit_by_bit(
            samples in any_samples(),
            range_ms in 1_i64..20_000,
            step_ms in 1_i64..9_000,
            is_counter in any::<bool>(),
            is_rate in any::<bool>(),
        ) {
            let grid = Grid { start_ms: 500, step_ms, count: 70, is_instant: false };
            let shift = Shift { at_ms: None, offset_ms: 0 };
            let spec = WindowSpec { grid, shift, range_ms, extension_ms: (0, 0) };
            let timestamps_ms: Vec<i64> = samples.iter().map(|(t, _)| *t).collect();
            let values: Vec<f64> = samples.iter().map(|(_, v)| *v).collect();
            let mut positions = Positions::default();
            positions.place(&spec, &timestamps_ms, false);
            let mut row = Row::absent(grid.count);
            let (timestamps_ms, values) = (&*timestamps_ms, &*values);
            let windows = Windows { spec: &spec, timestamps_ms, values, positions: &mut positions };
            extrapolated(windows, &mut row, is_counter, is_rate);
            for step in 0..grid.count {
                let end_ms = grid.time_ms(step);
                let window = (end_ms - range_ms, end_ms);
                let expected = in_window(window, &samples, is_counter, is_rate);
                let bits = |value: Option<f64>| value.map(|v| if v.is_nan() { 0 } else { v.to_bits() });
                prop_assert_eq!(bits(row.get(step)), bits(expected), "step {}", step);
            }
        }
    }
}
