//! Samples of one series from several places, put into one order. Where they come from is not known here.

use std::sync::Arc;

use prom_model::{CounterResetHint, HistogramValue};
use prom_storage::{Columns, HistogramPoint, TimeRange};

/// Merges two runs of samples, each in order. Of two samples at one time that of `first` stays.
pub(crate) fn merge(first: &Columns, second: &Columns) -> Columns {
    let mut out = Columns::default();
    match first.start_timestamps_ms.is_empty() && second.start_timestamps_ms.is_empty() {
        true => merge_floats::<false>(first, second, &mut out),
        false => merge_floats::<true>(first, second, &mut out),
    }
    let (of_first, of_second) =
        (&first.histogram_start_timestamps_ms, &second.histogram_start_timestamps_ms);
    match of_first.is_empty() && of_second.is_empty() {
        true => merge_histograms::<false>(first, second, &mut out),
        false => merge_histograms::<true>(first, second, &mut out),
    }
    out
}

fn start_of(starts_ms: &[i64], at: usize) -> i64 {
    starts_ms.get(at).copied().unwrap_or(0)
}

fn merge_floats<const HAS_STARTS: bool>(first: &Columns, second: &Columns, out: &mut Columns) {
    let (mut a, mut b) = (0, 0);
    loop {
        let at = |columns: &Columns, place: usize| columns.timestamps_ms.get(place).copied();
        let (from, place) = match (at(first, a), at(second, b)) {
            (None, None) => return,
            (Some(t), other) if other.is_none_or(|other| t <= other) => {
                b += usize::from(other == Some(t));
                a += 1;
                (first, a - 1)
            }
            (_, Some(t)) => {
                b += 1;
                if has_histogram(first, t) {
                    continue;
                }
                (second, b - 1)
            }
            (Some(_), None) => unreachable!("the first arm takes it"),
        };
        out.push(from.timestamps_ms[place], from.values[place]);
        if HAS_STARTS {
            out.start_timestamps_ms.push(start_of(&from.start_timestamps_ms, place));
        }
    }
}

fn merge_histograms<const HAS_STARTS: bool>(first: &Columns, second: &Columns, out: &mut Columns) {
    let mut a = first.histograms.iter().enumerate().peekable();
    let mut b = second.histograms.iter().enumerate().peekable();
    let mut was_first = None;
    loop {
        let (t_a, t_b) =
            (a.peek().map(|(_, p)| p.timestamp_ms), b.peek().map(|(_, p)| p.timestamp_ms));
        let is_first = match (t_a, t_b) {
            (None, None) => return,
            (Some(t_a), Some(t_b)) => {
                if t_a == t_b {
                    b.next();
                }
                t_a <= t_b
            }
            (Some(_), None) => true,
            (None, Some(_)) => false,
        };
        let Some((at, point)) = (if is_first { a.next() } else { b.next() }) else { return };
        if !is_first && first.timestamps_ms.binary_search(&point.timestamp_ms).is_ok() {
            continue;
        }
        // Where neighbors come from two places, nobody compared them.
        let is_compared = was_first.is_none_or(|was_first| was_first == is_first);
        was_first = Some(is_first);
        out.histograms.push(if is_compared { point.clone() } else { with_unknown_reset(point) });
        if HAS_STARTS {
            let from = if is_first { first } else { second };
            let start_ms = start_of(&from.histogram_start_timestamps_ms, at);
            out.histogram_start_timestamps_ms.push(start_ms);
        }
    }
}

fn has_histogram(columns: &Columns, t: i64) -> bool {
    columns.histograms.binary_search_by_key(&t, |point| point.timestamp_ms).is_ok()
}

fn with_unknown_reset(point: &HistogramPoint) -> HistogramPoint {
    let forget = |hint: &mut CounterResetHint| {
        if *hint != CounterResetHint::Gauge {
            *hint = CounterResetHint::Unknown;
        }
    };
    let mut point = point.clone();
    match &mut point.histogram {
        HistogramValue::Integer(histogram) => {
            forget(&mut Arc::make_mut(histogram).counter_reset_hint);
        }
        HistogramValue::Float(histogram) => {
            forget(&mut Arc::make_mut(histogram).counter_reset_hint);
        }
    }
    point
}

/// Drops samples within the ranges, which ascend.
pub(crate) fn delete(columns: &mut Columns, deleted: &[TimeRange]) {
    let is_deleted = |t: i64| {
        let at = deleted.partition_point(|range| range.maxt_ms < t);
        deleted.get(at).is_some_and(|range| range.mint_ms <= t)
    };
    if !columns.start_timestamps_ms.is_empty() {
        let mut times = columns.timestamps_ms.iter();
        columns.start_timestamps_ms.retain(|_| times.next().is_none_or(|t| !is_deleted(*t)));
    }
    if !columns.histogram_start_timestamps_ms.is_empty() {
        let mut points = columns.histograms.iter();
        let is_kept = |point: &HistogramPoint| !is_deleted(point.timestamp_ms);
        columns.histogram_start_timestamps_ms.retain(|_| points.next().is_none_or(is_kept));
    }
    let mut kept = 0;
    for at in 0..columns.len() {
        if !is_deleted(columns.timestamps_ms[at]) {
            columns.timestamps_ms[kept] = columns.timestamps_ms[at];
            columns.values[kept] = columns.values[at];
            kept += 1;
        }
    }
    columns.timestamps_ms.truncate(kept);
    columns.values.truncate(kept);
    columns.histograms.retain(|point| !is_deleted(point.timestamp_ms));
}

/// First and last time, if there is any sample.
pub(crate) fn bounds(columns: &Columns) -> Option<(i64, i64)> {
    let floats = columns.timestamps_ms.first().zip(columns.timestamps_ms.last());
    let histograms = columns.histograms.first().zip(columns.histograms.last());
    let histograms = histograms.map(|(a, b)| (a.timestamp_ms, b.timestamp_ms));
    match (floats.map(|(a, b)| (*a, *b)), histograms) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (a, b) => a.or(b),
    }
}

/// Appends what comes later.
pub(crate) fn append(out: &mut Columns, later: &Columns) {
    append_starts(&mut out.start_timestamps_ms, out.values.len(), &later.start_timestamps_ms);
    append_starts(
        &mut out.histogram_start_timestamps_ms,
        out.histograms.len(),
        &later.histogram_start_timestamps_ms,
    );
    out.timestamps_ms.extend_from_slice(&later.timestamps_ms);
    out.values.extend_from_slice(&later.values);
    out.histograms.extend_from_slice(&later.histograms);
    out.align_starts();
}

/// Appends starts to those of `count` samples.
fn append_starts(starts_ms: &mut Vec<i64>, count: usize, later_ms: &[i64]) {
    if !later_ms.is_empty() {
        starts_ms.resize(count, 0);
        starts_ms.extend_from_slice(later_ms);
    }
}

/// Leaves so many floats and histograms.
pub(crate) fn truncate(columns: &mut Columns, (floats_count, histograms_count): (usize, usize)) {
    columns.timestamps_ms.truncate(floats_count);
    columns.values.truncate(floats_count);
    columns.start_timestamps_ms.truncate(floats_count);
    columns.histograms.truncate(histograms_count);
    columns.histogram_start_timestamps_ms.truncate(histograms_count);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prom_model::Histogram;
    use proptest::prelude::*;

    use super::*;

    /// Floats and histograms; the value tells where it comes from, and so does the start, where there is one.
    fn columns(times: &[i64], value: f64, has_starts: bool) -> Columns {
        let mut columns = Columns::default();
        for t in times {
            let start_ms = if has_starts && t % 4 != 0 { t * 10 + value as i64 } else { 0 };
            if t % 3 == 0 {
                let histogram = Histogram { sum: value, ..Histogram::default() };
                let histogram = HistogramValue::Integer(Arc::new(histogram));
                columns.push_histogram_with_start(*t, histogram, start_ms);
            } else {
                columns.push_with_start(*t, value, start_ms);
            }
        }
        columns
    }

    /// Values and starts.
    fn by_time(columns: &Columns) -> BTreeMap<i64, (f64, i64)> {
        let (of_floats, of_histograms) =
            (&columns.start_timestamps_ms, &columns.histogram_start_timestamps_ms);
        assert!(of_floats.is_empty() || of_floats.len() == columns.len());
        assert!(of_histograms.is_empty() || of_histograms.len() == columns.histograms.len());
        let floats = columns.timestamps_ms.iter().copied().zip(columns.values.iter().copied());
        let histograms = columns.histograms.iter();
        let histograms = histograms.map(|p| (p.timestamp_ms, p.histogram.to_float().sum));
        let with_start = |starts_ms: &Vec<i64>, (at, (t, v)): (usize, (i64, f64))| {
            (t, (v, start_of(starts_ms, at)))
        };
        let floats = floats.enumerate().map(|one| with_start(of_floats, one));
        floats.chain(histograms.enumerate().map(|one| with_start(of_histograms, one))).collect()
    }

    fn is_sorted(columns: &Columns) -> bool {
        let histograms: Vec<i64> = columns.histograms.iter().map(|p| p.timestamp_ms).collect();
        columns.timestamps_ms.is_sorted_by(|a, b| a < b) && histograms.is_sorted_by(|a, b| a < b)
    }

    proptest! {
        #[test]
        fn merged_samples_are_those_of_maps(
            a in prop::collection::btree_set(0i64..60, 0..40),
            b in prop::collection::btree_set(0i64..60, 0..40),
            deleted in prop::collection::btree_set(0i64..60, 0..3),
            have_starts in any::<(bool, bool)>(),
        ) {
            let times = |set: &std::collections::BTreeSet<i64>| set.iter().copied().collect::<Vec<_>>();
            let a = columns(&times(&a), 1.0, have_starts.0);
            let b = columns(&times(&b), 2.0, have_starts.1);
            let mut merged = merge(&a, &b);
            let mut expected = by_time(&b);
            expected.extend(by_time(&a));
            prop_assert!(is_sorted(&merged));
            prop_assert_eq!(merged.len() + merged.histograms.len(), expected.len());
            prop_assert_eq!(by_time(&merged), expected.clone());
            let ranges: Vec<TimeRange> =
                deleted.iter().map(|t| TimeRange { mint_ms: *t, maxt_ms: *t }).collect();
            delete(&mut merged, &ranges);
            expected.retain(|t, _| !deleted.contains(t));
            prop_assert_eq!(by_time(&merged), expected.clone());
            let later = columns(&[100, 101, 102], 3.0, have_starts.0);
            append(&mut merged, &later);
            expected.extend(by_time(&later));
            prop_assert_eq!(by_time(&merged), expected);
        }
    }

    #[test]
    fn what_nobody_compared_is_not_known_to_be_no_reset() {
        let point = |t, hint| HistogramPoint {
            timestamp_ms: t,
            histogram: HistogramValue::Integer(Arc::new(Histogram {
                counter_reset_hint: hint,
                ..Histogram::default()
            })),
        };
        use CounterResetHint::{Gauge, NotCounterReset, Unknown};
        let mut a = Columns::default();
        a.histograms =
            vec![point(1, Unknown), point(2, NotCounterReset), point(4, NotCounterReset)];
        let mut b = Columns::default();
        b.histograms = vec![point(3, NotCounterReset), point(5, Gauge)];
        let merged = merge(&a, &b);
        let hints: Vec<_> = merged
            .histograms
            .iter()
            .map(|point| point.histogram.to_float().counter_reset_hint)
            .collect();
        assert_eq!(hints, [Unknown, NotCounterReset, Unknown, Unknown, Gauge]);
    }
}
