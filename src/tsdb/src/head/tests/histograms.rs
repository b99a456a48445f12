//! Histograms in the head: beside floats, marked stale, refused, seen as of a commit.

use std::sync::Arc;

use prom_model::{
    CounterResetHint, FloatHistogram, Histogram, HistogramValue, Span, is_stale, stale_nan,
};
use prom_storage::{HistogramPoint, HistogramSample};
use proptest::prelude::*;

use super::*;

/// A histogram with one bucket.
fn integer(count: u64) -> HistogramValue {
    HistogramValue::Integer(Arc::new(Histogram {
        count,
        sum: count as f64,
        positive_spans: [Span { offset: 0, length: 1 }].into(),
        positive_buckets: vec![count as i64],
        ..Histogram::default()
    }))
}

fn float(count: f64) -> HistogramValue {
    HistogramValue::Float(Arc::new(FloatHistogram {
        count,
        sum: count,
        positive_spans: [Span { offset: 0, length: 1 }].into(),
        positive_buckets: vec![count],
        ..FloatHistogram::default()
    }))
}

fn histogram(series: SeriesHandle, t: i64, histogram: HistogramValue) -> HistogramSample {
    HistogramSample { series, timestamp_ms: t, start_ms: 0, histogram }
}

fn commit_histograms(head: &Arc<Head>, samples: &[HistogramSample]) -> Vec<(usize, Rejection)> {
    let mut appender = Box::new(head.appender());
    let mut rejected = Vec::new();
    appender.append_histograms(samples, &mut rejected);
    appender.commit().unwrap();
    rejected.into_iter().map(|Rejected { index, reason }| (index, reason)).collect()
}

fn read_all(head: &Arc<Head>, series: SeriesHandle) -> Columns {
    let mut columns = Columns::default();
    head.read(&head.enter(), series, ALL, &mut columns).unwrap();
    columns
}

/// What a sample says, without what it says of resets.
fn told(value: &HistogramValue) -> (bool, u64, u64) {
    let is_float = matches!(value, HistogramValue::Float(_));
    let value = value.to_float();
    (is_float, value.count.to_bits(), value.sum.to_bits())
}

fn points(columns: &Columns) -> Vec<(i64, (bool, u64, u64))> {
    columns.histograms.iter().map(|point| (point.timestamp_ms, told(&point.histogram))).collect()
}

#[test]
fn floats_and_histograms_stand_in_one_series() {
    let head = open_head();
    let a = series(&head, 0);
    assert_eq!(commit(&head, &[sample(a, 1, 1.0), sample(a, 2, 2.0)]), []);
    assert_eq!(
        commit_histograms(&head, &[histogram(a, 3, integer(1)), histogram(a, 4, integer(2))]),
        []
    );
    assert_eq!(commit_histograms(&head, &[histogram(a, 5, float(0.5))]), []);
    assert_eq!(commit(&head, &[sample(a, 6, 3.0)]), []);
    let columns = read_all(&head, a);
    assert_eq!(columns.timestamps_ms, [1, 2, 6]);
    let expected = [(3, integer(1)), (4, integer(2)), (5, float(0.5))];
    assert_eq!(points(&columns), expected.map(|(t, value)| (t, told(&value))));
    assert_eq!(head.chunks_count(), 4);
    // Within a chunk no reset has been; before it, who knows.
    let hint = |point: &HistogramPoint| match &point.histogram {
        HistogramValue::Integer(histogram) => histogram.counter_reset_hint,
        HistogramValue::Float(histogram) => histogram.counter_reset_hint,
    };
    let hints: Vec<_> = columns.histograms.iter().map(hint).collect();
    use CounterResetHint::{NotCounterReset, Unknown};
    assert_eq!(hints, [Unknown, NotCounterReset, Unknown]);
}

#[test]
fn histograms_are_refused_for_the_reasons_of_floats() {
    use Rejection::{DuplicateTimestamp, OutOfBounds, OutOfOrder, UnknownSeries};
    const HOUR: i64 = 3_600_000;
    let head = open_head();
    let [a, b] = [0, 1].map(|number| series(&head, number));
    let check = |samples: &[(SeriesHandle, i64, HistogramValue)], expected: &[_]| {
        let samples: Vec<_> =
            samples.iter().map(|(s, t, v)| histogram(*s, *t, v.clone())).collect();
        assert_eq!(commit_histograms(&head, &samples), expected, "{samples:?}");
    };
    check(&[(a, 10 * HOUR, integer(1))], &[]);
    check(&[(a, 10 * HOUR, integer(1))], &[]);
    check(&[(a, 10 * HOUR, integer(2))], &[(0, DuplicateTimestamp)]);
    check(&[(a, 10 * HOUR, float(1.0))], &[(0, DuplicateTimestamp)]);
    check(&[(a, 10 * HOUR - 1, integer(1))], &[(0, OutOfOrder)]);
    check(&[(b, 9 * HOUR - 1, integer(1))], &[(0, OutOfBounds)]);
    check(
        &[(SeriesHandle { series_ref: SeriesRef(99), slot: a.slot }, 10 * HOUR, integer(1))],
        &[(0, UnknownSeries)],
    );
    // A float at the same time is another sample, whatever its bits.
    assert_eq!(commit(&head, &[sample(a, 10 * HOUR, 0.0)]), [(0, DuplicateTimestamp)]);
    assert_eq!(commit(&head, &[sample(b, 10 * HOUR, 0.0)]), []);
    check(&[(b, 10 * HOUR, integer(0))], &[(0, DuplicateTimestamp)]);
    // Within a batch, in a row and among floats.
    let t = 11 * HOUR;
    check(
        &[(a, t, integer(1)), (a, t, integer(1)), (a, t, integer(2)), (a, t - 1, integer(2))],
        &[(2, DuplicateTimestamp), (3, OutOfOrder)],
    );
    let mut appender = Box::new(head.appender());
    let mut rejected = Vec::new();
    appender.append(&[sample(b, t, 1.0)], &mut rejected);
    appender.append_histograms(&[histogram(b, t, integer(1))], &mut rejected);
    appender.append_histograms(&[histogram(b, t + 1, integer(1))], &mut rejected);
    appender.append(&[sample(b, t + 1, 1.0), sample(b, t + 2, 2.0)], &mut rejected);
    appender.append_histograms(&[histogram(b, t + 3, integer(3))], &mut rejected);
    appender.commit().unwrap();
    let reasons: Vec<_> = rejected.iter().map(|one| one.reason).collect();
    assert_eq!(reasons, [DuplicateTimestamp, DuplicateTimestamp]);
    let columns = read_all(&head, b);
    assert_eq!(columns.timestamps_ms, [10 * HOUR, t, t + 2]);
    assert_eq!(points(&columns).iter().map(|one| one.0).collect::<Vec<_>>(), [t + 1, t + 3]);
}

#[test]
fn a_marker_of_a_histogram_series_is_a_histogram() {
    let head = open_head();
    for (number, live) in [integer(5), float(5.0)].into_iter().enumerate() {
        let a = series(&head, number);
        let is_float = number == 1;
        commit_histograms(&head, &[histogram(a, 1, live.clone())]);
        assert_eq!(commit(&head, &[sample(a, 2, stale_nan())]), []);
        // In one batch with the histogram, too.
        let mut appender = Box::new(head.appender());
        let mut rejected = Vec::new();
        appender.append_histograms(&[histogram(a, 3, live)], &mut rejected);
        appender.append(&[sample(a, 4, stale_nan())], &mut rejected);
        appender.commit().unwrap();
        assert_eq!(rejected, []);
        let columns = read_all(&head, a);
        assert_eq!(columns.len(), 0);
        let is_marker: Vec<_> = columns.histograms.iter().map(|p| p.histogram.is_stale()).collect();
        assert_eq!(is_marker, [false, true, false, true]);
        assert!(points(&columns).iter().all(|(_, told)| told.0 == is_float));
    }
    // A float series stays one.
    let b = series(&head, 9);
    commit(&head, &[sample(b, 1, 1.0), sample(b, 2, stale_nan())]);
    assert!(is_stale(read_all(&head, b).values[1]));
}

#[test]
fn readers_see_histograms_as_of_their_commit() {
    let head = open_head();
    let a = series(&head, 0);
    commit_histograms(&head, &[histogram(a, 1, integer(1)), histogram(a, 2, integer(2))]);
    let before = head.enter();
    commit_histograms(&head, &[histogram(a, 3, integer(3))]);
    commit(&head, &[sample(a, 4, 4.0)]);
    commit_histograms(&head, &[histogram(a, 5, integer(1))]);
    let mut columns = Columns::default();
    head.read(&before, a, ALL, &mut columns).unwrap();
    assert_eq!(points(&columns).iter().map(|one| one.0).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(columns.len(), 0);
    let columns = read_all(&head, a);
    assert_eq!((columns.len(), columns.histograms.len()), (1, 4));
}

#[test]
fn chunks_of_histograms_end_where_prometheus_ends_them() {
    // 200 buckets that all move: about 256 bytes a sample, so ten of them make a chunk.
    let large = |n: i64| {
        let bucket = |index: i64| (n * (index + 7) * 1_000_003) % 60_000;
        let mut before = 0;
        let buckets: Vec<i64> = (0..200)
            .map(|i| n * 60_000 + bucket(i))
            .map(|c| c - std::mem::replace(&mut before, c))
            .collect();
        HistogramValue::Integer(Arc::new(Histogram {
            count: n as u64 * 200 * 60_000 * 2,
            positive_spans: [Span { offset: 0, length: 200 }].into(),
            positive_buckets: buckets,
            ..Histogram::default()
        }))
    };
    let check = |value: &dyn Fn(i64) -> HistogramValue, count: i64, expected_chunks: u64| {
        let head = open_head();
        let a = series(&head, 0);
        let samples: Vec<_> = (0..count).map(|n| histogram(a, n * 15_000, value(n))).collect();
        assert_eq!(commit_histograms(&head, &samples), []);
        assert_eq!(head.chunks_count(), expected_chunks);
        assert_eq!(read_all(&head, a).histograms.len(), count as usize);
    };
    check(&large, 100, 10);
    // Nothing moves: only the range ends them.
    check(&|_| integer(1), 960, 2);
    // Each is a reset.
    check(&|n| integer(1000 - n as u64), 50, 50);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_appended_is_read(steps in prop::collection::vec((0..6_u8, 1..100_000_i64, 0..50_u64), 1..300)) {
        let head = open_head();
        let a = series(&head, 0);
        let (mut t, mut total) = (0, 0);
        let (mut floats, mut histograms) = (Vec::new(), Vec::new());
        for part in steps.chunks(7) {
            let mut appender = Box::new(head.appender());
            let mut rejected = Vec::new();
            for (kind, step, growth) in part {
                t += step;
                total = if *growth == 0 { 0 } else { total + growth };
                let value = match kind {
                    0 => {
                        floats.push((t, total as f64));
                        appender.append(&[sample(a, t, total as f64)], &mut rejected);
                        continue;
                    }
                    1 => float(total as f64),
                    _ => integer(total),
                };
                histograms.push((t, told(&value)));
                appender.append_histograms(&[histogram(a, t, value)], &mut rejected);
            }
            prop_assert_eq!(&rejected, &[]);
            appender.commit().unwrap();
        }
        let columns = read_all(&head, a);
        let found: Vec<_> = columns.timestamps_ms.iter().copied().zip(columns.values.iter().copied()).collect();
        prop_assert_eq!(found, floats);
        prop_assert_eq!(points(&columns), histograms);
    }
}

#[test]
fn series_that_end_with_a_histogram_are_counted_and_so_are_their_buckets() {
    let head = open_head();
    let [a, b] = [0, 1].map(|number| series(&head, number));
    let two = HistogramValue::Integer(Arc::new(Histogram {
        count: 3,
        positive_spans: [Span { offset: 0, length: 2 }].into(),
        positive_buckets: vec![1, 0],
        negative_spans: [Span { offset: 1, length: 1 }].into(),
        negative_buckets: vec![1],
        ..Histogram::default()
    }));
    assert_eq!(head.histogram_counts(), (0, 0));
    commit_histograms(&head, &[histogram(a, 1, integer(1)), histogram(b, 1, two)]);
    assert_eq!(head.histogram_counts(), (2, 4));
    commit_histograms(&head, &[histogram(b, 2, float(0.5))]);
    assert_eq!(head.histogram_counts(), (2, 2));
    commit(&head, &[sample(a, 2, 1.0)]);
    assert_eq!(head.histogram_counts(), (1, 1));
}
