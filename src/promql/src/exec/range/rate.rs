//! `rate`, `increase`, `delta`, and their instant kin.
//! Compat: Prometheus `promql/functions.go`, `extrapolatedRate` and `instantValue`; every operation
//! happens in the order of the reference.

use super::{Row, Windows};
use crate::numeric::go_seconds;

/// Change over each window, extrapolated to its ends.
///
/// A window without a reset costs the same whatever its length. With resets the values before them are
/// added one by one, as the reference does.
pub(super) fn extrapolated(windows: Windows<'_>, row: &mut Row, is_counter: bool, is_rate: bool) {
    let Windows { spec, values, positions, .. } = windows;
    positions.place_extrapolations(spec);
    positions.resets.clear();
    if is_counter {
        let falls = values.windows(2).enumerate().filter(|(_, pair)| pair[1] < pair[0]);
        positions.resets.extend(falls.map(|(index, _)| index as u32 + 1));
    }
    let range_seconds = if is_rate { Some(go_seconds(spec.range_ms)) } else { None };
    let mut first_reset = 0;
    let resets = &positions.resets;
    row.present_mut().clone_from(&positions.pairs);
    let (out, present) = row.parts_mut();
    present.for_each(|step| {
        let (lo, hi) = (positions.lo[step], positions.hi[step]);
        let first = values[lo as usize];
        let mut change = values[hi as usize - 1] - first;
        while first_reset < resets.len() && resets[first_reset] <= lo {
            first_reset += 1;
        }
        for reset in resets[first_reset..].iter().take_while(|reset| **reset < hi) {
            change += values[*reset as usize - 1];
        }
        let window = positions.extrapolations[step];
        let mut to_start = window.to_start;
        if is_counter && change > 0.0 && first >= 0.0 {
            // A counter was not below zero before the window.
            let to_zero = window.sampled * (first / change);
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
        let mut factor = 1.0;
        if window.sampled != 0.0 {
            factor = (window.sampled + to_start + window.to_end) / window.sampled;
        }
        if let Some(range_seconds) = range_seconds {
            factor /= range_seconds;
        }
        out[step] = change * factor;
    });
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
