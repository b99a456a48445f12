//! Records that are neither series nor samples, against their bytes, themselves and damage.

use std::sync::Arc;

use prom_model::{
    CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Histogram, HistogramValue, Labels,
    Metadata, MetricType, Span,
};

use super::{
    Decoded, Keep, Kept, RefExemplar, RefHistogram, RefMarker, RefMetadata, RefSample,
    RefTombstone, SampleBatch, StartId, decode, encode_exemplars, encode_histograms,
    encode_histograms_with_start, encode_metadata, encode_samples_with_start, encode_tombstones,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn histogram() -> Histogram {
    Histogram {
        counter_reset_hint: CounterResetHint::NotCounterReset,
        schema: 1,
        zero_threshold: 0.5,
        zero_count: 2,
        count: 9,
        sum: 18.5,
        positive_spans: [Span { offset: -2, length: 2 }, Span { offset: 1, length: 1 }].into(),
        positive_buckets: vec![1, 2, -3],
        negative_spans: [Span { offset: 0, length: 1 }].into(),
        negative_buckets: vec![3],
        ..Histogram::default()
    }
}

fn custom() -> Histogram {
    Histogram {
        schema: CUSTOM_BUCKETS_SCHEMA,
        count: 3,
        sum: 1.0,
        positive_spans: [Span { offset: 0, length: 2 }].into(),
        positive_buckets: vec![1, 1],
        custom_values: [0.5, 2.0].into(),
        ..Histogram::default()
    }
}

fn of(series_ref: u64, t: i64, histogram: Histogram) -> RefHistogram {
    let value = HistogramValue::Integer(Arc::new(histogram));
    RefHistogram { series_ref, slot: 0, t, start_ms: 0, value }
}

fn float_of(series_ref: u64, t: i64, histogram: &Histogram) -> RefHistogram {
    let histogram: FloatHistogram = histogram.to_float();
    let value = HistogramValue::Float(Arc::new(histogram));
    RefHistogram { series_ref, slot: 0, t, start_ms: 0, value }
}

/// One record of each type that is written, and what it says.
fn all_records() -> Vec<(Vec<u8>, Decoded)> {
    let mut records = Vec::new();
    let labels = Labels::from_pairs([("trace_id", "x")]);
    let exemplars = vec![
        RefExemplar { series_ref: 5, t: 1000, v: 1.0, labels },
        RefExemplar { series_ref: 4, t: 1001, v: 2.0, labels: Labels::default() },
    ];
    let mut out = Vec::new();
    encode_exemplars(&mut out, &exemplars);
    records.push((std::mem::take(&mut out), Decoded::Exemplars(exemplars)));
    let metadata = Metadata {
        metric_type: MetricType::Counter,
        unit: "s".to_owned(),
        help: "what".to_owned(),
    };
    let metadata = vec![RefMetadata { series_ref: 300, metadata: metadata.into() }];
    encode_metadata(&mut out, &metadata);
    records.push((std::mem::take(&mut out), Decoded::Metadata(metadata)));
    let tombstones = vec![RefTombstone { series_ref: 7, min_t: -1, max_t: 1000 }];
    encode_tombstones(&mut out, &tombstones);
    records.push((std::mem::take(&mut out), Decoded::Tombstones(tombstones)));
    for one in [
        vec![of(5, 1000, histogram()), of(6, 999, histogram())],
        vec![of(5, 1000, custom())],
        vec![float_of(5, 1000, &histogram())],
        vec![float_of(5, 1000, &custom())],
    ] {
        encode_histograms(&one, &mut |record| {
            records.push((record.to_vec(), Decoded::Histograms(one.clone())));
        });
    }
    records
}

#[test]
fn records_are_those_of_the_format_page() {
    let records = all_records();
    let check = |index: usize, expected: &str| assert_eq!(hex(&records[index].0), expected);
    check(
        0,
        "04000000000000000500000000000003e800003ff0000000000000010874726163655f69640178\
        0102400000000000000000",
    );
    check(1, "06ac0201020455 4e495401730448454c500477686174".replace(' ', "").as_str());
    check(2, "03000000000000000701d00f");
    // Hint, schema, threshold; zero count, count, sum; spans as offset and length; buckets.
    check(
        3,
        "07000000000000000500000000000003e8\
        00000202 3fe0000000000000 0209 4032800000000000 02 0302 0201 01 0001 03 020405 01 06\
        02010202 3fe0000000000000 0209 4032800000000000 02 0302 0201 01 0001 03 020405 01 06"
            .replace(' ', "")
            .as_str(),
    );
    check(
        4,
        "09000000000000000500000000000003e8\
        00000069 0000000000000000 0003 3ff0000000000000 01 0002 00 02 0202 00\
        02 3fe0000000000000 4000000000000000"
            .replace(' ', "")
            .as_str(),
    );
    assert_eq!((records[5].0[0], records[6].0[0]), (8, 10));
    for (record, decoded) in &records {
        assert_eq!(decode(record, Vec::new).unwrap(), *decoded);
    }
    let markers = [&[5][..], &7_u64.to_be_bytes(), &(3_u64 << 32 | 8).to_be_bytes()].concat();
    let marker = RefMarker { series_ref: 7, chunk_ref: 3 << 32 | 8 };
    assert_eq!(decode(&markers, Vec::new).unwrap(), Decoded::Markers(vec![marker]));
    let unknown = decode(&[99, 1, 2, 3], Vec::new).unwrap();
    assert_eq!((unknown.type_name(), unknown), ("unknown", Decoded::Skipped("unknown")));
}

#[test]
fn records_with_start_times_are_read() {
    let one = all_records()[3].0.clone();
    // The histogram behind type, ref, time, and the two differences.
    let (from, size) = (1 + 8 + 8 + 2, (one.len() - 17) / 2 - 2);
    let body = &one[from..from + size];
    let record = [&[12, 10, 20, 6][..], body, &[2, 4, 2, 9], body, &[1, 6, 1], body].concat();
    let Decoded::Histograms(found) = decode(&record, Vec::new).unwrap() else { panic!() };
    let places: Vec<_> = found.iter().map(|one| (one.series_ref, one.t, one.start_ms)).collect();
    assert_eq!(places, [(5, 10, 3), (6, 12, -2), (5, 13, -2)]);
    assert!(found.iter().all(|one| one.value == of(0, 0, histogram()).value));
    let mut again = Vec::new();
    encode_histograms_with_start(&found, &mut |record| again.extend_from_slice(record));
    assert_eq!(hex(&again), hex(&record));
}

#[test]
fn histograms_with_start_times_come_back() {
    // Custom buckets are in the record of the others.
    let all = [
        RefHistogram { start_ms: -9, ..of(5, 1000, histogram()) },
        of(7, 1001, custom()),
        RefHistogram { start_ms: 900, ..float_of(4, 1000, &histogram()) },
        RefHistogram { start_ms: 900, ..float_of(6, 999, &custom()) },
        RefHistogram { start_ms: i64::MIN, ..of(u64::MAX, i64::MAX, custom()) },
    ];
    let mut records = Vec::new();
    encode_histograms_with_start(&all, &mut |record| records.push(record.to_vec()));
    assert_eq!(records.iter().map(|record| record[0]).collect::<Vec<_>>(), [12, 13]);
    let mut found = Vec::new();
    for record in &records {
        let Ok(Decoded::Histograms(some)) = decode(record, Vec::new) else { panic!() };
        found.extend(some);
        for size in 1..record.len() {
            if let Ok(Decoded::Histograms(some)) = decode(&record[..size], Vec::new) {
                assert!(some.len() < all.len() && some.iter().all(|one| all.contains(one)));
            }
        }
    }
    assert_eq!(found, [0, 1, 4, 2, 3].map(|at: usize| all[at].clone()));
}

#[test]
fn a_checkpoint_keeps_start_times() {
    let keep = Keep {
        is_series_needed: &|_| true,
        is_ref_current: &|_| true,
        min_t: 1000,
        filed_until: &|_| i64::MIN,
    };
    let kept = |record: &[u8]| {
        let mut kept = Vec::new();
        keep.needed(record, |one| {
            if let Kept::Record(record) = one {
                kept.push(record.to_vec());
            }
            if let Kept::Samples(batch) = one {
                let mut out = Vec::new();
                encode_samples_with_start(&mut out, &batch.samples, &batch.starts);
                kept.push(out);
            }
            Ok(())
        })
        .unwrap()
        .unwrap();
        kept.iter().map(|record| decode(record, Vec::new).unwrap()).collect::<Vec<_>>()
    };
    let started = |t: i64| RefHistogram { start_ms: t - 7, ..of(5, t, histogram()) };
    encode_histograms_with_start(&[started(1), started(1000), started(1001)], &mut |record| {
        assert_eq!(kept(record), [Decoded::Histograms(vec![started(1000), started(1001)])]);
    });
    let mut batch = SampleBatch::default();
    for t in [1, 1000, 1001] {
        let sample = RefSample { series_ref: 5, slot: 0, start: StartId::NONE, t, v: 1 };
        batch.push(sample, t - 7);
    }
    let mut record = Vec::new();
    encode_samples_with_start(&mut record, &batch.samples, &batch.starts);
    let [Decoded::Samples(found)] = &kept(&record)[..] else { panic!() };
    let of = |one: &RefSample| (one.t, found.starts.get(one.start));
    assert_eq!(found.samples.iter().map(of).collect::<Vec<_>>(), [(1000, 993), (1001, 994)]);
}

#[test]
fn records_that_are_cut_short_are_refused() {
    for (record, _) in all_records() {
        let ends = (1..record.len()).filter(|size| decode(&record[..*size], Vec::new).is_ok());
        // Behind the type, behind the first ref and time, and behind the first of two entries.
        assert!(ends.count() <= 3, "{}", hex(&record));
    }
}

#[test]
fn histograms_that_contradict_themselves_are_refused() {
    let check = |histogram: Histogram, is_fine: bool| {
        encode_histograms(&[of(1, 1, histogram)], &mut |record| {
            assert_eq!(decode(record, Vec::new).is_ok(), is_fine);
        });
    };
    check(histogram(), true);
    check(Histogram { positive_buckets: vec![1], ..histogram() }, false);
    check(Histogram { negative_spans: Arc::default(), ..histogram() }, false);
    let huge = [Span { offset: 0, length: u32::MAX }].into();
    check(Histogram { positive_spans: huge, ..histogram() }, false);
    // A schema of a newer writer is passed over.
    encode_histograms(&[of(1, 1, Histogram { schema: 99, ..histogram() })], &mut |record| {
        assert_eq!(decode(record, Vec::new).unwrap(), Decoded::Histograms(Vec::new()));
    });
}

#[test]
fn a_checkpoint_takes_what_is_needed() {
    let keep = Keep {
        is_series_needed: &|series_ref| series_ref == 5,
        is_ref_current: &|series_ref| series_ref == 5,
        min_t: 1000,
        filed_until: &|_| i64::MIN,
    };
    let kept = |record: &[u8]| {
        let mut kept = Vec::new();
        keep.needed(record, |one| {
            kept.push(match one {
                Kept::Record(record) => decode(record, Vec::new).unwrap(),
                Kept::Samples(samples) => Decoded::Samples(samples.clone()),
            });
            Ok(())
        })
        .unwrap()
        .unwrap();
        kept
    };
    let records = all_records();
    // Exemplars and histograms by time, metadata by series, deletions by their end.
    assert_eq!(kept(&records[0].0), [records[0].1.clone()]);
    assert_eq!(kept(&records[1].0), []);
    assert_eq!(kept(&records[2].0), [records[2].1.clone()]);
    assert_eq!(kept(&records[3].0), [Decoded::Histograms(vec![of(5, 1000, histogram())])]);
    assert_eq!(kept(&records[4].0), [records[4].1.clone()]);
    let late = Keep { min_t: 1001, ..keep };
    late.needed(&records[4].0, |_| panic!("nothing of it is needed")).unwrap().unwrap();
}
