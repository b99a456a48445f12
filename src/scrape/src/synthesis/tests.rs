//! What samples of one series come to, one after the other.

use proptest::prelude::*;

use prom_model::{CUSTOM_BUCKETS_SCHEMA, Span};

use super::*;

const LINE: u64 = 7;

fn counts(start_ms: i64, is_new: bool) -> Step {
    Step::Counts { start_ms, is_new }
}

/// Takes each sample with a body of its own: time, value, what comes of it, and the value that is stored.
#[track_caller]
fn check_floats(samples: &[(i64, f64, Step, f64)]) {
    let mut known = Synthesis::default();
    for (index, (time_ms, value, step, stored)) in samples.iter().enumerate() {
        let mut body = Synthesizer::new(Some(&known));
        if index == 0 {
            body.begin_float(LINE);
        }
        let mut value = *value;
        assert_eq!(body.take_float(LINE, &mut value, *time_ms), Some(*step), "{index}");
        if matches!(step, Step::Counts { .. }) {
            assert_eq!(value.to_bits(), stored.to_bits(), "{index}: {value}");
        }
        known = body.into_next();
    }
}

#[test]
fn floats_count_from_their_first_sample() {
    check_floats(&[
        (1_000, 10.0, Step::Reference, 0.0),
        (2_000, 15.0, counts(1_000, true), 5.0),
        (3_000, 20.0, counts(1_000, false), 10.0),
        (4_000, 20.0, counts(1_000, false), 10.0),
        // It falls, so it has begun anew right before, and from nothing.
        (5_000, 4.0, counts(4_999, true), 4.0),
        (6_000, 9.0, counts(4_999, false), 9.0),
        (7_000, 0.0, counts(6_999, true), 0.0),
        (7_000, 0.0, counts(6_999, false), 0.0),
        (8_000, f64::INFINITY, counts(6_999, false), f64::INFINITY),
        (7_999, 1.0, Step::Late, 0.0),
        (7_500, 2.0, Step::Reference, 0.0),
        (7_600, 4.0, counts(7_500, true), 2.0),
    ]);
    check_floats(&[
        (0, 1.0, Step::Reference, 0.0),
        // Time zero is no start.
        (1_000, 2.0, Step::Reference, 0.0),
        (1_000, 2.0, counts(1_000, true), 0.0),
        (2_000, 3.0, counts(1_000, true), 1.0),
    ]);
    check_floats(&[
        (i64::MIN, 1.0, Step::Reference, 0.0),
        (i64::MIN, 0.0, counts(i64::MIN, true), 0.0),
    ]);
}

#[test]
fn series_are_known_as_long_as_each_body_has_them() {
    let known = Synthesis::default();
    let mut body = Synthesizer::new(Some(&known));
    assert_eq!(body.take_float(LINE, &mut 1.0, 1_000), None);
    assert!(!body.has(LINE));
    body.begin_float(LINE);
    assert_eq!(body.take_float(LINE, &mut 1.0, 1_000), Some(Step::Reference));
    assert!(body.is_met(LINE));
    let mut known = body.into_next();

    let mut body = Synthesizer::new(Some(&known));
    assert!(body.has(LINE) && !body.is_met(LINE));
    assert_eq!(body.take_float(LINE, &mut 2.0, 2_000), Some(counts(1_000, true)));
    assert_eq!(body.met_count(), 1);
    // A body that is refused leaves no trace.
    drop(body);
    let mut body = Synthesizer::new(Some(&known));
    assert_eq!(body.take_float(LINE, &mut 1.0, 3_000), Some(counts(1_000, true)));
    body.restart(LINE);
    assert_eq!(body.take_float(LINE, &mut 1.0, 3_000), Some(Step::Reference));

    known.restart(LINE);
    let mut body = Synthesizer::new(Some(&known));
    assert_eq!(body.take_float(LINE, &mut 5.0, 4_000), Some(Step::Reference));
    drop(body);
    let known = Synthesizer::new(Some(&known)).into_next();
    assert!(!Synthesizer::new(Some(&known)).has(LINE));
}

/// A histogram of one sign whose buckets begin at 0; the sum is its count.
fn histogram(schema: i32, buckets: &[i64]) -> Histogram {
    let mut before = 0;
    let deltas = buckets.iter().map(|count| count - std::mem::replace(&mut before, *count));
    let count: i64 = buckets.iter().sum();
    let custom_values = match schema {
        CUSTOM_BUCKETS_SCHEMA => (1..buckets.len()).map(|bound| bound as f64).collect(),
        _ => Arc::default(),
    };
    Histogram {
        schema,
        count: count as u64,
        sum: count as f64,
        positive_spans: [Span { offset: 0, length: buckets.len() as u32 }].into(),
        positive_buckets: deltas.collect(),
        custom_values,
        ..Histogram::default()
    }
}

/// Takes each histogram as integers and as floats: what it is, what comes of it, and which buckets are stored.
#[track_caller]
fn check_histograms(samples: &[(Histogram, Step, &str)]) {
    for is_float in [false, true] {
        let mut body = Synthesizer::new(None);
        body.begin_histogram(LINE);
        for (time_ms, (histogram, step, stored)) in (1..).zip(samples) {
            let mut value = match is_float {
                true => HistogramValue::Float(Arc::new(histogram.to_float())),
                false => HistogramValue::Integer(Arc::new(histogram.clone())),
            };
            let taken = body.take_histogram(LINE, &mut value, time_ms * 1_000);
            assert_eq!(taken, Some(*step), "{time_ms}");
            assert_eq!(matches!(value, HistogramValue::Float(_)), is_float);
            if matches!(step, Step::Counts { .. }) {
                assert_eq!(value.to_float().to_test_text(), *stored, "{time_ms}");
            }
        }
    }
}

#[test]
fn histograms_count_from_their_first_sample() {
    check_histograms(&[
        (histogram(3, &[3, 5]), Step::Reference, ""),
        // A bucket that was empty, and one that has not changed.
        (
            histogram(3, &[4, 5, 6]),
            counts(1_000, true),
            "{{schema:3 count:7 sum:7 buckets:[1 0 6]}}",
        ),
        (
            histogram(3, &[5, 7, 6]),
            counts(1_000, false),
            "{{schema:3 count:10 sum:10 buckets:[2 2 6]}}",
        ),
        // Coarser, and it goes on.
        (
            histogram(2, &[5, 13]),
            counts(1_000, false),
            "{{schema:2 count:10 sum:10 buckets:[2 8]}}",
        ),
        // One bucket has fallen.
        (
            histogram(2, &[4, 20]),
            counts(4_999, true),
            "{{schema:2 count:24 sum:24 buckets:[4 20]}}",
        ),
        (
            histogram(2, &[4, 21]),
            counts(4_999, false),
            "{{schema:2 count:25 sum:25 buckets:[4 21]}}",
        ),
        // Other buckets altogether.
        (
            histogram(CUSTOM_BUCKETS_SCHEMA, &[9, 20]),
            counts(6_999, true),
            "{{schema:-53 count:29 sum:29 custom_values:[1] buckets:[9 20]}}",
        ),
    ]);
    check_histograms(&[
        (histogram(CUSTOM_BUCKETS_SCHEMA, &[1, 0, 2]), Step::Reference, ""),
        (
            histogram(CUSTOM_BUCKETS_SCHEMA, &[2, 0, 4]),
            counts(1_000, true),
            "{{schema:-53 count:3 sum:3 custom_values:[1 2] buckets:[1 0 2]}}",
        ),
    ]);
}

#[test]
fn histograms_that_cannot_be_reduced_begin_anew() {
    // Two counts that are one as floats.
    let (few, many) = (1_i64 << 60, (1_i64 << 60) + 3);
    let mut body = Synthesizer::new(None);
    body.begin_histogram(LINE);
    let mut first = HistogramValue::Integer(Arc::new(histogram(0, &[few, 1])));
    assert_eq!(body.take_histogram(LINE, &mut first, 1_000), Some(Step::Reference));
    let mut next = HistogramValue::Integer(Arc::new(histogram(0, &[many, 200])));
    let told = next.clone();
    assert_eq!(body.take_histogram(LINE, &mut next, 2_000), Some(counts(1_999, true)));
    assert_eq!(next, told);
}

proptest! {
    /// Whatever comes, what is stored is sound, and counts as much as was told since the start.
    #[test]
    fn reduced_histograms_are_sound(
        samples in prop::collection::vec((-1..3_i32, prop::collection::vec(0..4_i64, 1..6)), 1..8),
        grows in any::<bool>(),
    ) {
        let mut body = Synthesizer::new(None);
        body.begin_histogram(LINE);
        let mut sums = Vec::new();
        let mut starts = vec![];
        for (time_ms, (schema, buckets)) in (1..).zip(&samples) {
            sums.resize(buckets.len().max(sums.len()), 0);
            sums.iter_mut().zip(buckets).for_each(|(sum, count)| *sum = count + if grows { *sum } else { 0 });
            let told = histogram(if grows { 0 } else { *schema }, &sums);
            let mut value = HistogramValue::Integer(Arc::new(told.clone()));
            match body.take_histogram(LINE, &mut value, time_ms) {
                Some(Step::Counts { .. }) => {
                    let HistogramValue::Integer(stored) = &value else { panic!("kept its kind") };
                    prop_assert!(stored.check().is_ok());
                    if grows {
                        prop_assert_eq!(stored.count, told.count - starts[0]);
                    }
                }
                _ => starts.push(told.count),
            }
        }
        prop_assert_eq!(starts.len(), 1);
    }
}
