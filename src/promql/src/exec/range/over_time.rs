//! Aggregations over the samples of a window.
//! Compat: Prometheus `promql/functions.go`: sums are computed anew for each window, in order.

use super::{Row, Windows};
use crate::numeric::KahanSum;

/// From this many samples a window on average, extremes are kept from window to window.
const LONG_WINDOW_SAMPLES: usize = 16;

pub(super) fn sum(values: &[f64]) -> f64 {
    let mut sum = KahanSum::default();
    values.iter().for_each(|value| sum.add(*value));
    if sum.sum.is_infinite() { sum.sum } else { sum.total() }
}

/// The mean; of the sum while that does not overflow, incremental from then on.
pub(super) fn avg(values: &[f64]) -> f64 {
    let mut sum = KahanSum { sum: values[0], compensation: 0.0 };
    let mut is_incremental = false;
    let mut count = 1.0;
    for (index, value) in values.iter().enumerate().skip(1) {
        count = (index + 1) as f64;
        if !is_incremental {
            let mut next = sum;
            next.add(*value);
            if !next.sum.is_infinite() {
                sum = next;
                continue;
            }
            is_incremental = true;
            sum.sum /= count - 1.0;
            sum.compensation /= count - 1.0;
        }
        let weight = (count - 1.0) / count;
        sum = KahanSum { sum: weight * sum.sum, compensation: weight * sum.compensation };
        sum.add(*value / count);
    }
    if is_incremental { sum.total() } else { sum.sum / count + sum.compensation / count }
}

pub(super) fn variance(values: &[f64]) -> f64 {
    let mut count = 0.0;
    let (mut mean, mut squares) = (KahanSum::default(), KahanSum::default());
    for value in values {
        count += 1.0;
        let delta = value - mean.total();
        mean.add(delta / count);
        squares.add(delta * (value - mean.total()));
    }
    squares.total() / count
}

pub(super) fn resets(values: &[f64]) -> f64 {
    values.windows(2).filter(|pair| pair[1] < pair[0]).count() as f64
}

pub(super) fn changes(values: &[f64]) -> f64 {
    let differ = |pair: &&[f64]| pair[1] != pair[0] && !(pair[0].is_nan() && pair[1].is_nan());
    values.windows(2).filter(differ).count() as f64
}

/// The best value of each window; NaN only where there is nothing else.
pub(super) fn extreme(windows: Windows<'_>, row: &mut Row, is_better: impl Fn(f64, f64) -> bool) {
    let Windows { values, positions, .. } = windows;
    let steps = positions.lo.len().max(1);
    let in_windows = positions.tally.queryable as usize;
    if in_windows / steps < LONG_WINDOW_SAMPLES {
        for (step, (lo, hi)) in positions.lo.iter().zip(&positions.hi).enumerate() {
            let window = &values[*lo as usize..*hi as usize];
            let Some((first, rest)) = window.split_first() else { continue };
            let best = rest.iter().fold(*first, |best, value| {
                if is_better(*value, best) || best.is_nan() { *value } else { best }
            });
            row.set(step, best);
        }
        return;
    }
    // Candidates in order: each is better than all that come after it.
    let mut candidates = std::collections::VecDeque::new();
    let mut seen = 0;
    for (step, (lo, hi)) in positions.lo.iter().zip(&positions.hi).enumerate() {
        let (lo, hi) = (*lo as usize, *hi as usize);
        for (index, value) in values.iter().enumerate().take(hi).skip(seen.max(lo)) {
            if value.is_nan() {
                continue;
            }
            while candidates.back().is_some_and(|last: &usize| is_better(*value, values[*last])) {
                candidates.pop_back();
            }
            candidates.push_back(index);
        }
        seen = seen.max(hi);
        while candidates.front().is_some_and(|first| *first < lo) {
            candidates.pop_front();
        }
        if lo < hi {
            row.set(step, candidates.front().map_or(values[lo], |first| values[*first]));
        }
    }
}

/// Time in seconds of the last value that is as good as any.
pub(super) fn time_of(
    timestamps_ms: &[i64],
    values: &[f64],
    is_as_good: impl Fn(f64, f64) -> bool,
) -> f64 {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if is_as_good(*value, values[best]) || values[best].is_nan() {
            best = index;
        }
    }
    timestamps_ms[best] as f64 / 1000.0
}

/// Quantiles of each window; `tell` hears of those that are none.
pub(super) fn quantiles(
    windows: Windows<'_>,
    row: &mut Row,
    quantiles: &[f64],
    mut tell: impl FnMut(f64),
) {
    let Windows { values, positions, .. } = windows;
    for (step, (lo, hi)) in positions.lo.iter().zip(&positions.hi).enumerate() {
        if lo == hi {
            continue;
        }
        let wanted = quantiles[step];
        if !(0.0..=1.0).contains(&wanted) {
            tell(wanted);
        }
        positions.buffer.clear();
        positions.buffer.extend_from_slice(&values[*lo as usize..*hi as usize]);
        row.set(step, quantile(wanted, &mut positions.buffer));
    }
}

/// Median of the distances from the median.
pub(super) fn median_deviation(windows: Windows<'_>, row: &mut Row) {
    let Windows { values, positions, .. } = windows;
    for (step, (lo, hi)) in positions.lo.iter().zip(&positions.hi).enumerate() {
        if lo == hi {
            continue;
        }
        let buffer = &mut positions.buffer;
        buffer.clear();
        buffer.extend_from_slice(&values[*lo as usize..*hi as usize]);
        if buffer.iter().any(|value| value.is_nan()) {
            row.set(step, f64::NAN);
            continue;
        }
        let median = quantile(0.5, buffer);
        buffer.iter_mut().for_each(|value| *value = (*value - median).abs());
        row.set(step, quantile(0.5, buffer));
    }
}

/// Reorders `values`; NaN counts as smallest. Between two values their weighted mean is taken.
/// Compat: Prometheus `promql/quantile.go`, `quantile`.
pub(in crate::exec) fn quantile(quantile: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || quantile.is_nan() {
        return f64::NAN;
    }
    if quantile < 0.0 {
        return f64::NEG_INFINITY;
    }
    if quantile > 1.0 {
        return f64::INFINITY;
    }
    let last = (values.len() - 1) as f64;
    let rank = quantile * last;
    let lower = rank.floor().max(0.0);
    let weight = rank - rank.floor();
    let order = |a: &f64, b: &f64| {
        b.is_nan()
            .cmp(&a.is_nan())
            .then_with(|| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal))
    };
    let (_, below, above) = values.select_nth_unstable_by(lower as usize, order);
    let below = *below;
    // At the upper end both neighbours are the last value.
    let above = above.iter().copied().min_by(order).unwrap_or(below);
    below * (1.0 - weight) + above * weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_interpolate() {
        let check = |wanted: f64, values: &[f64], expected: f64| {
            let found = quantile(wanted, &mut values.to_vec());
            assert!(
                found == expected || found.is_nan() && expected.is_nan(),
                "{wanted} {values:?}"
            );
        };
        check(0.5, &[3.0, 1.0, 2.0], 2.0);
        check(0.5, &[4.0, 1.0, 2.0, 3.0], 2.5);
        check(1.0, &[1.0, 2.0], 2.0);
        check(0.0, &[2.0, 1.0], 1.0);
        check(0.0, &[2.0, f64::NAN], f64::NAN);
        check(1.0, &[f64::NAN, 7.0], 7.0);
        check(-0.1, &[1.0], f64::NEG_INFINITY);
        check(1.1, &[1.0], f64::INFINITY);
        check(f64::NAN, &[1.0], f64::NAN);
        check(0.5, &[], f64::NAN);
    }

    #[test]
    fn means_survive_overflow() {
        assert_eq!(avg(&[f64::MAX, f64::MAX]), f64::MAX);
        assert_eq!(avg(&[1.0, 2.0, 6.0]), 3.0);
        assert_eq!(avg(&[f64::INFINITY, 1.0]), f64::INFINITY);
        assert!(avg(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert_eq!(sum(&[1.0, 1e100, 1.0, -1e100]), 2.0);
        assert_eq!(variance(&[1.0, 3.0]), 1.0);
    }

    #[test]
    fn changes_ignore_equal_nans() {
        assert_eq!(changes(&[1.0, f64::NAN, f64::NAN, 2.0, 2.0]), 2.0);
        assert_eq!(resets(&[1.0, 0.5, f64::NAN, 0.1, 0.0]), 2.0);
    }
}
