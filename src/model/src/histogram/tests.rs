//! What histograms do as a whole.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;

use super::{
    side::{indices, indices_down},
    *,
};

#[test]
fn differences_become_counts() {
    let histogram = Histogram {
        schema: 1,
        count: 9,
        zero_count: 2,
        sum: 18.4,
        positive_spans: [Span { offset: -2, length: 2 }, Span { offset: 1, length: 1 }].into(),
        positive_buckets: vec![1, 2, -3],
        negative_spans: [Span { offset: 0, length: 1 }].into(),
        negative_buckets: vec![3],
        ..Histogram::default()
    };
    let float = histogram.to_float();
    assert_eq!(float.positive_buckets, [1.0, 3.0, 0.0]);
    assert_eq!(float.negative_buckets, [3.0]);
    assert_eq!((float.count, float.zero_count, float.sum), (9.0, 2.0, 18.4));
    assert!(Arc::ptr_eq(&float.positive_spans, &histogram.positive_spans));
    let value = HistogramValue::Integer(Arc::new(histogram));
    assert_eq!(*value.to_float(), float);
}

#[test]
fn staleness_is_told_by_the_sum() {
    assert!(Histogram::stale().is_stale() && FloatHistogram::stale().is_stale());
    assert!(HistogramValue::Integer(Arc::new(Histogram::stale())).to_float().is_stale());
    assert!(!Histogram { sum: f64::NAN, ..Histogram::default() }.is_stale());
}

fn spans(list: &[(i32, u32)]) -> Arc<[Span]> {
    list.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect()
}

/// An exponential histogram with positive buckets.
fn positive(schema: i32, layout: &[(i32, u32)], counts: &[f64]) -> FloatHistogram {
    FloatHistogram {
        schema,
        count: counts.iter().sum(),
        positive_spans: spans(layout),
        positive_buckets: counts.to_vec(),
        ..FloatHistogram::default()
    }
}

fn custom(bounds: &[f64], layout: &[(i32, u32)], counts: &[f64]) -> FloatHistogram {
    let schema = CUSTOM_BUCKETS_SCHEMA;
    FloatHistogram { custom_values: bounds.into(), ..positive(schema, layout, counts) }
}

#[test]
fn layouts_have_indices_both_ways() {
    let check = |layout: &[(i32, u32)], expected: &[i64]| {
        let layout = spans(layout);
        assert_eq!(indices(&layout).collect::<Vec<_>>(), expected);
        let down: Vec<i64> = indices_down(&layout).collect();
        assert_eq!(down, expected.iter().rev().copied().collect::<Vec<_>>());
    };
    check(&[], &[]);
    check(&[(-2, 2), (1, 1)], &[-2, -1, 1]);
    check(&[(3, 0), (2, 2), (0, 1)], &[5, 6, 7]);
}

#[test]
fn sums_of_different_layouts_have_all_buckets() {
    let check = |own: FloatHistogram, other: &FloatHistogram, layout, counts: &[f64]| {
        let mut sum = own.clone();
        let combined = sum.add(other).expect("one kind of schema");
        assert_eq!((&*sum.positive_spans, &sum.positive_buckets[..]), (&*spans(layout), counts));
        let mut kahan = HistogramSum::new(own);
        assert_eq!(kahan.add(other), Ok(combined));
        assert!(kahan.total().is_same_data(&sum));
        combined
    };
    let own = positive(0, &[(-2, 2), (1, 2)], &[1.0, 2.0, 3.0, 4.0]);
    check(own.clone(), &own, &[(-2, 2), (1, 2)], &[2.0, 4.0, 6.0, 8.0]);
    let other = positive(0, &[(0, 1), (4, 1)], &[10.0, 20.0]);
    check(own.clone(), &other, &[(-2, 5), (2, 1)], &[1.0, 2.0, 10.0, 3.0, 4.0, 20.0]);
    // The coarser schema wins: buckets 1 and 2 of schema 1 are bucket 1 of schema 0.
    let finer = positive(1, &[(1, 2)], &[1.0, 2.0]);
    check(own.clone(), &finer, &[(-2, 2), (1, 2)], &[1.0, 2.0, 6.0, 4.0]);
    check(finer, &own, &[(-2, 2), (1, 2)], &[1.0, 2.0, 6.0, 4.0]);
    let three = custom(&[1.0, 2.0, 3.0], &[(0, 4)], &[1.0, 2.0, 3.0, 4.0]);
    let two = custom(&[1.0, 3.0], &[(0, 3)], &[10.0, 20.0, 30.0]);
    let combined = check(three.clone(), &two, &[(0, 3)], &[11.0, 25.0, 34.0]);
    assert!(combined.has_reconciled_bounds);
    assert_eq!(own.clone().add(&three), Err(IncompatibleSchemas));
}

#[test]
fn a_wider_zero_bucket_takes_in_what_it_reaches() {
    let mut own = FloatHistogram {
        zero_threshold: 0.5,
        zero_count: 1.0,
        ..positive(0, &[(0, 3)], &[2.0, 3.0, 4.0])
    };
    let other = FloatHistogram { zero_threshold: 1.5, zero_count: 7.0, ..positive(0, &[], &[]) };
    own.add(&other).expect("one kind of schema");
    // The threshold lies within the populated bucket from 1 to 2, which is taken in whole.
    assert_eq!((own.zero_threshold, own.zero_count), (2.0, 13.0));
    assert_eq!((&*own.positive_spans, &own.positive_buckets[..]), (&*spans(&[(2, 1)]), &[4.0][..]));
}

#[test]
fn resets_are_found() {
    let check = |now: &FloatHistogram, before: &FloatHistogram, expected| {
        assert_eq!(now.is_reset_since(before), expected, "{now} after {before}");
    };
    let before = positive(1, &[(1, 2)], &[1.0, 2.0]);
    check(&before, &before, false);
    check(&positive(1, &[(1, 3)], &[1.0, 2.0, 9.0]), &before, false);
    check(&positive(1, &[(2, 2)], &[2.0, 9.0]), &before, true);
    check(&positive(1, &[(1, 2)], &[0.0, 9.0]), &before, true);
    check(&positive(2, &[(1, 2)], &[9.0, 9.0]), &before, true);
    check(&positive(0, &[(1, 1)], &[3.0]), &before, false);
    check(&positive(0, &[(2, 1)], &[3.0]), &before, true);
    check(&custom(&[1.0], &[(0, 2)], &[9.0, 9.0]), &before, true);
    let hinted = |counter_reset_hint| FloatHistogram { counter_reset_hint, ..before.clone() };
    check(&hinted(CounterResetHint::CounterReset), &before, true);
    check(&hinted(CounterResetHint::NotCounterReset), &positive(1, &[(1, 1)], &[9.0]), false);
    let bounds = custom(&[1.0, 2.0], &[(0, 3)], &[1.0, 2.0, 3.0]);
    check(&custom(&[1.0, 3.0], &[(0, 3)], &[1.0, 2.0, 3.0]), &bounds, false);
    check(&custom(&[2.0, 3.0], &[(0, 3)], &[2.0, 4.0, 3.0]), &bounds, true);
}

#[test]
fn texts_are_those_of_the_reference() {
    let histogram = FloatHistogram {
        counter_reset_hint: CounterResetHint::Gauge,
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 5.5,
        count: 3493.3,
        sum: 2349209.324,
        positive_spans: spans(&[(-2, 1), (2, 3)]),
        positive_buckets: vec![1.0, 3.3, 4.2, 0.1],
        negative_spans: spans(&[(3, 2)]),
        negative_buckets: vec![3.1, 0.0],
        ..FloatHistogram::default()
    };
    assert_eq!(
        histogram.to_string(),
        "{count:3493.3, sum:2.349209324e+06, [-2.82842712474619,-2):3.1, [-0.001,0.001]:5.5, (0.35355339059327373,0.5]:1, (1,1.414213562373095]:3.3, (1.414213562373095,2]:4.2, (2,2.82842712474619]:0.1}"
    );
    assert_eq!(
        histogram.to_test_text(),
        "{{schema:1 count:3493.3 sum:2.349209324e+06 z_bucket:5.5 z_bucket_w:0.001 counter_reset_hint:gauge offset:-2 buckets:[1 0 0 3.3 4.2 0.1] n_offset:3 n_buckets:[3.1]}}"
    );
    assert_eq!(
        custom(&[1.0, 2.5], &[(0, 1), (1, 1)], &[1.0, 2.0]).to_string(),
        "{count:3, sum:0, [-Inf,1]:1, (2.5,+Inf]:2}"
    );
}

#[test]
fn unsound_histograms_are_told() {
    let check = |histogram: FloatHistogram, expected: &str| {
        let found = histogram.check().map_err(|err| err.to_string());
        assert_eq!(found, Err(expected.to_owned()));
    };
    check(
        positive(0, &[(0, 2)], &[1.0]),
        "positive side: spans need 2 buckets, have 1 buckets: histogram spans specify different number of buckets than provided",
    );
    check(
        positive(0, &[(0, 1), (-1, 1)], &[1.0, 1.0]),
        "positive side: span number 2 with offset -1: histogram has a span whose offset is negative",
    );
    check(
        positive(0, &[(0, 1)], &[-1.0]),
        "observation count is  -1: histogram's observation count is negative",
    );
    check(
        custom(&[2.0, 1.0], &[(0, 1)], &[1.0]),
        "custom buckets: previous bound is 2.000000 and current is 1.000000: histogram custom bounds must be in strictly increasing order",
    );
    check(
        positive(9, &[], &[]),
        "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom buckets, got schema 9",
    );
    let integer = Histogram { count: 4, ..Histogram::default() };
    assert_eq!(
        integer.check().map_err(|err| err.to_string()),
        Err("0 observations found in buckets, but the Count field is 4: histogram's observation count should equal the number of observations found in the buckets (in absence of NaN)".to_owned())
    );
    assert_eq!(positive(8, &[(-7, 2), (3, 1)], &[1.0, 0.0, 2.0]).check(), Ok(()));
}

fn any_layout() -> impl Strategy<Value = FloatHistogram> {
    let buckets = prop::collection::btree_map(-40_i64..40, 0_u32..9, 0..12);
    (buckets, -2_i32..5).prop_map(|(buckets, schema)| {
        let mut histogram = FloatHistogram { schema, ..FloatHistogram::default() };
        let mut layout: Vec<Span> = Vec::new();
        let mut end = 0;
        for (index, count) in buckets {
            match layout.last_mut() {
                Some(span) if end == index => span.length += 1,
                _ => layout.push(Span { offset: (index - end) as i32, length: 1 }),
            }
            end = index + 1;
            histogram.positive_buckets.push(f64::from(count));
        }
        histogram.positive_spans = layout.into();
        histogram.count = histogram.positive_buckets.iter().fold(0.0, |sum, count| sum + count);
        histogram
    })
}

/// Counts by upper bound.
fn by_bound(histogram: &FloatHistogram) -> BTreeMap<u64, f64> {
    let filled = histogram.positive_iter().filter(|bucket| bucket.count != 0.0);
    filled.map(|bucket| (bucket.upper.to_bits(), bucket.count)).collect()
}

proptest! {
    #[test]
    fn sums_and_differences_agree_with_a_map(a in any_layout(), b in any_layout()) {
        let schema = a.schema.min(b.schema);
        let (mut coarse_a, mut coarse_b) = (a.clone(), b.clone());
        coarse_a.reduce_to(schema);
        coarse_b.reduce_to(schema);
        let total = coarse_a.positive_buckets.iter().fold(0.0, |sum, count| sum + count);
        prop_assert_eq!(total, a.count);
        let mut expected = by_bound(&coarse_a);
        for (bound, count) in by_bound(&coarse_b) {
            *expected.entry(bound).or_default() += count;
        }
        let mut sum = a.clone();
        sum.add(&b).expect("one kind of schema");
        prop_assert_eq!(by_bound(&sum), expected);
        let mut kahan = HistogramSum::new(a.clone());
        kahan.add(&b).expect("one kind of schema");
        let kahan = kahan.total();
        prop_assert!(kahan.is_same_data(&sum));
        prop_assert!(!sum.is_reset_since(&a) || b.schema > a.schema);
        sum.sub(&b).expect("one kind of schema");
        sum.compact();
        coarse_a.compact();
        prop_assert!(sum.is_same_data(&coarse_a));
        prop_assert_eq!(sum.check(), Ok(()));
    }

    #[test]
    fn what_is_trimmed_apart_adds_up(a in any_layout(), value in 0.001_f64..1000.0) {
        let (mut below, mut above) = (a.clone(), a.clone());
        below.trim(value, TrimPart::Below);
        above.trim(value, TrimPart::Above);
        prop_assert!((below.count + above.count - a.count).abs() < 1e-9 * (1.0 + a.count));
        let is_above = |bucket: HistogramBucket| bucket.count == 0.0 || bucket.upper > value;
        prop_assert!(above.positive_iter().all(is_above));
        let is_below = |bucket: HistogramBucket| bucket.count == 0.0 || bucket.lower < value;
        prop_assert!(below.positive_iter().all(is_below));
    }
}
