//! The histogram codecs against themselves, against chunks that Prometheus wrote, and against damage.

use std::{fs, sync::Arc};

use prom_model::{
    CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Histogram, HistogramValue, Span,
    format_float_g,
};
use prom_storage::{Columns, TimeRange};
use prom_testkit::conformance;
use proptest::prelude::*;

use super::{
    super::{ChunkError, Encoding, read_chunk, samples_count},
    FLAGS_OFFSET,
    open::{EncodedHistograms, OpenHistograms, encode_histograms},
    spans::bucket_indexes,
    writer::{Reset, Written},
};

const ALL: TimeRange = TimeRange { mint_ms: i64::MIN, maxt_ms: i64::MAX };

fn decode(encoding: Encoding, chunk: &[u8]) -> Result<Vec<(i64, HistogramValue)>, ChunkError> {
    let mut columns = Columns::default();
    read_chunk(encoding, chunk, usize::MAX, ALL, &mut columns)?;
    Ok(columns.histograms.into_iter().map(|point| (point.timestamp_ms, point.histogram)).collect())
}

fn spans(pairs: &[(i32, u32)]) -> Arc<[Span]> {
    pairs.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect()
}

/// An integer histogram with these counts in its positive buckets.
fn counter(pairs: &[(i32, u32)], counts: &[i64]) -> Histogram {
    let mut before = 0;
    Histogram {
        zero_threshold: 0.001,
        zero_count: 2,
        count: 2 + counts.iter().sum::<i64>() as u64,
        sum: counts.len() as f64 * 1.5,
        positive_spans: spans(pairs),
        positive_buckets: counts.iter().map(|c| c - std::mem::replace(&mut before, *c)).collect(),
        ..Histogram::default()
    }
}

fn integer(histogram: Histogram) -> HistogramValue {
    HistogramValue::Integer(Arc::new(histogram))
}

/// A histogram without its layout: sum bits, counts, and buckets that are not empty by side and index.
fn content(value: &HistogramValue) -> (u64, u64, u64, Vec<(bool, i64, u64)>) {
    let float = value.to_float();
    let side = |is_positive: bool, spans: &[Span], buckets: &[f64]| -> Vec<(bool, i64, u64)> {
        assert_eq!(bucket_indexes(spans).count(), buckets.len());
        let all = bucket_indexes(spans).zip(buckets).map(|(i, c)| (is_positive, i, c.to_bits()));
        all.filter(|(.., bits)| *bits != 0).collect()
    };
    let mut buckets = side(false, &float.negative_spans, &float.negative_buckets);
    buckets.extend(side(true, &float.positive_spans, &float.positive_buckets));
    (float.sum.to_bits(), float.count.to_bits(), float.zero_count.to_bits(), buckets)
}

#[test]
fn bytes_are_those_of_the_format_page() {
    let chunks = encode_histograms(
        [(0, &integer(counter(&[(0, 2)], &[1, 1]))), (1000, &integer(counter(&[(0, 2)], &[1, 2])))],
        &[],
        120,
    );
    let hex: String = chunks[0].data.iter().map(|byte| format!("{byte:02x}")).collect();
    // Header 0002 00; threshold ff and 8 bytes; schema 0: 0; one span: 10 001, 10 010, 0; no negative: 0;
    // time 0: 0; count 10 100, zero count 10 010, sum 3.0, buckets 10 001 and 0;
    // time 1000: 11110 and 12 bits, count 10 001, zero count 0, sum 0, buckets 0 and 10 001.
    assert_eq!(hex, "000200ff3f50624dd2f1a9fc46429240080000000000008bc7d11110");
    assert_eq!(chunks[0].samples_count, 2);
}

/// A chunk as the reference writes it: the bits of each sample, then those of its start.
#[test]
fn bytes_with_starts_are_those_of_the_format_page() {
    /// Bits of the layout and the first sample, and of the second one; see above.
    const FIRST: usize = 72 + 1 + 11 + 1 + 1 + 5 + 5 + 64 + 5 + 1;
    const SECOND: usize = 17 + 5 + 1 + 1 + 1 + 5;
    let first = Histogram {
        counter_reset_hint: CounterResetHint::CounterReset,
        ..counter(&[(0, 2)], &[1, 1])
    };
    let samples = [(0, &integer(first)), (1000, &integer(counter(&[(0, 2)], &[1, 2])))];
    let plain = encode_histograms(samples, &[], 120).remove(0).data;
    let bits: String = plain[3..].iter().map(|byte| format!("{byte:08b}")).collect();
    // 500 before the first sample; 600 before it, too, is the start of the second one.
    let expected = [
        "10000000_00000010_10000001".replace('_', "").as_str(),
        &bits[..FIRST],
        "1110100000000111",
        &bits[FIRST..FIRST + SECOND],
        "11110001001011000",
    ]
    .concat();
    let chunk = encode_histograms(samples, &[-500, -600], 120).remove(0);
    assert_eq!(chunk.encoding, Encoding::HistogramWithStart);
    let found: String = chunk.data.iter().map(|byte| format!("{byte:08b}")).collect();
    assert_eq!(found[..expected.len()], expected);
    assert_eq!((found.len() - expected.len(), found[expected.len()..].contains('1')), (3, false));
}

#[test]
fn what_a_chunk_takes_and_what_begins_a_new_one() {
    let base = || counter(&[(0, 2), (1, 2)], &[1, 2, 3, 0]);
    let check = |next: Histogram, expected: Written| {
        let mut open = OpenHistograms::begin(0, &integer(base()), None);
        assert_eq!(open.append(10, &integer(next.clone())), expected, "{next:?}");
        if !matches!(expected, Written::Refused(_)) {
            let mut chunk = Vec::new();
            open.put(&mut chunk);
            let samples = decode(Encoding::Histogram, &chunk).unwrap();
            assert_eq!(content(&samples[0].1), content(&integer(base())));
            assert_eq!(content(&samples[1].1), content(&integer(next)));
        }
    };
    check(base(), Written::Added);
    check(counter(&[(0, 2), (1, 2)], &[1, 5, 3, 1]), Written::Added);
    // A bucket more, a used bucket less, an unused bucket less, both at once.
    check(counter(&[(0, 5)], &[1, 2, 1, 3, 0]), Written::Recoded);
    check(counter(&[(-1, 3), (1, 2)], &[4, 1, 2, 3, 0]), Written::Recoded);
    check(counter(&[(1, 1), (1, 2)], &[9, 9, 9]), Written::Refused(Reset::Yes));
    check(counter(&[(0, 2), (1, 1)], &[1, 2, 3]), Written::Added);
    check(counter(&[(0, 4)], &[1, 2, 7, 3]), Written::Recoded);
    // Counts that fall.
    check(counter(&[(0, 2), (1, 2)], &[0, 2, 3, 0]), Written::Refused(Reset::Yes));
    check(counter(&[(0, 2), (1, 2)], &[0, 9, 9, 0]), Written::Refused(Reset::Yes));
    check(Histogram { zero_count: 1, count: 99, ..base() }, Written::Refused(Reset::Yes));
    check(Histogram { schema: 1, ..base() }, Written::Refused(Reset::Unknown));
    check(Histogram { zero_threshold: 0.5, ..base() }, Written::Refused(Reset::Unknown));
    check(Histogram::stale(), Written::Added);
    let hint = |counter_reset_hint| Histogram { counter_reset_hint, ..base() };
    check(hint(CounterResetHint::CounterReset), Written::Refused(Reset::Yes));
    check(hint(CounterResetHint::NotCounterReset), Written::Added);
    check(hint(CounterResetHint::Gauge), Written::Refused(Reset::Gauge));
}

#[test]
fn custom_bounds_must_be_the_same() {
    let custom = |bounds: &[f64], count: i64| {
        let bounds = bounds.into();
        let base = counter(&[(0, 2)], &[count, count]);
        integer(Histogram {
            schema: CUSTOM_BUCKETS_SCHEMA,
            custom_values: bounds,
            zero_count: 0,
            zero_threshold: 0.0,
            ..base
        })
    };
    let mut open = OpenHistograms::begin(0, &custom(&[0.1, 2.5], 1), None);
    assert_eq!(open.append(1, &custom(&[0.1, 2.5], 2)), Written::Added);
    assert_eq!(open.append(2, &custom(&[0.1, 2.0], 3)), Written::Refused(Reset::Yes));
    let mut chunk = Vec::new();
    open.put(&mut chunk);
    let samples = decode(Encoding::Histogram, &chunk).unwrap();
    assert_eq!(samples[0].1, custom(&[0.1, 2.5], 1));
    assert_eq!(content(&samples[1].1), content(&custom(&[0.1, 2.5], 2)));
}

#[test]
fn gauges_may_fall_and_change_their_buckets() {
    let gauge = |pairs: &[(i32, u32)], counts: &[i64]| {
        let base = counter(pairs, counts);
        integer(Histogram { counter_reset_hint: CounterResetHint::Gauge, ..base })
    };
    let samples = [
        gauge(&[(0, 2)], &[5, 5]),
        gauge(&[(0, 2)], &[1, 9]),
        gauge(&[(1, 2)], &[3, 3]),
        gauge(&[(-3, 1)], &[1]),
        gauge(&[], &[]),
    ];
    let mut open = OpenHistograms::begin(0, &samples[0], None);
    let written: Vec<_> = (1..5).map(|index| open.append(index as i64, &samples[index])).collect();
    use Written::{Added, Recoded};
    assert_eq!(written, [Added, Recoded, Recoded, Added]);
    let mut chunk = Vec::new();
    open.put(&mut chunk);
    assert_eq!(Reset::of_flags(chunk[FLAGS_OFFSET]), Reset::Gauge);
    for ((_, read), sample) in decode(Encoding::Histogram, &chunk).unwrap().iter().zip(&samples) {
        assert_eq!(content(read), content(sample));
        assert!(
            matches!(read, HistogramValue::Integer(h) if h.counter_reset_hint == CounterResetHint::Gauge)
        );
    }
}

#[test]
fn a_full_chunk_tells_the_next_one_of_resets() {
    let check = |next: Histogram, expected: Reset| {
        let previous = OpenHistograms::begin(0, &integer(counter(&[(0, 2)], &[5, 5])), None);
        let mut chunk = Vec::new();
        OpenHistograms::begin(1, &integer(next), Some(&previous)).put(&mut chunk);
        assert_eq!(Reset::of_flags(chunk[FLAGS_OFFSET]), expected);
    };
    check(counter(&[(0, 2)], &[5, 6]), Reset::No);
    check(counter(&[(0, 3)], &[5, 6, 1]), Reset::No);
    check(counter(&[(0, 2)], &[5, 4]), Reset::Yes);
    check(Histogram { schema: 3, ..counter(&[(0, 2)], &[5, 6]) }, Reset::Unknown);
    let gauge = CounterResetHint::Gauge;
    check(Histogram { counter_reset_hint: gauge, ..counter(&[], &[]) }, Reset::Gauge);
}

#[test]
fn behind_a_marker_only_markers_come() {
    let live = integer(counter(&[(0, 2)], &[5, 5]));
    let stale = integer(Histogram::stale());
    let chunks = encode_histograms(
        [(0, &live), (1, &stale), (2, &stale), (3, &live), (4, &stale)],
        &[],
        120,
    );
    let counts: Vec<_> = chunks.iter().map(|chunk| chunk.samples_count).collect();
    assert_eq!(counts, [3, 2]);
    for chunk in &chunks {
        for (index, (_, sample)) in
            decode(chunk.encoding, &chunk.data).unwrap().into_iter().enumerate()
        {
            assert_eq!(sample.is_stale(), index > 0);
            assert!(!sample.is_stale() || content(&sample) == content(&stale));
        }
    }
    // A series may begin with one.
    let chunks = encode_histograms([(7, &stale), (8, &stale)], &[], 120);
    assert_eq!(decode(Encoding::Histogram, &chunks[0].data).unwrap().len(), 2);
}

#[test]
fn lies_about_sizes_take_no_memory() {
    // Two samples, threshold 0, schema 0, then a span count of 2^56 - 1.
    let mut chunk = vec![0, 2, 0, 0, 0b0111_1111, 0b0111_1111];
    chunk.extend_from_slice(&[0xff; 8]);
    for encoding in [Encoding::Histogram, Encoding::FloatHistogram] {
        assert!(decode(encoding, &chunk).is_err());
    }
}

/// Chunks of a block's file: encoding and data, in the order of the series.
fn golden_chunks(block: &std::path::Path) -> Vec<(Encoding, Vec<u8>)> {
    let file = fs::read(block.join("chunks/000001")).unwrap();
    let (mut at, mut chunks) = (8, Vec::new());
    while at < file.len() {
        let (mut size, mut shift) = (0, 0);
        while {
            size |= usize::from(file[at] & 0x7f) << shift;
            shift += 7;
            at += 1;
            file[at - 1] & 0x80 != 0
        } {}
        chunks.push((Encoding::of_byte(file[at]).unwrap(), file[at + 1..=at + size].to_vec()));
        at += size + 5;
    }
    chunks
}

/// The numbers of a dump's histogram: count, sum, and the buckets that are not empty in order.
fn dumped(text: &str) -> (String, String, Vec<String>) {
    let text = text.trim_start_matches('{').trim_end_matches('}');
    let field = |name: &str| {
        let rest = text.split_once(name).unwrap().1;
        rest.split(',').next().unwrap().to_owned()
    };
    let buckets = text.split(", ").skip(2).map(|b| b.rsplit_once(':').unwrap().1.to_owned());
    (field("count:"), field("sum:"), buckets.collect())
}

fn numbers(value: &HistogramValue) -> (String, String, Vec<String>) {
    let float = value.to_float();
    let zero = [float.zero_count];
    let all = float.negative_buckets.iter().rev().chain(&zero).chain(&float.positive_buckets);
    let buckets = all.filter(|count| **count != 0.0).map(|count| format_float_g(*count));
    (format_float_g(float.count), format_float_g(float.sum), buckets.collect())
}

#[test]
fn histograms_of_a_real_prometheus_are_read_as_it_dumps_them() {
    let Some(golden) = conformance("golden_block") else { return };
    let dump = fs::read_to_string(golden.join("dump.txt")).unwrap();
    let block = fs::read_dir(golden.join("block")).unwrap().next().unwrap().unwrap().path();
    let lines = dump.lines().filter_map(|line| {
        let (line, t) = line.rsplit_once(' ').unwrap();
        line.ends_with('}').then(|| (t.parse::<i64>().unwrap(), line.rsplit_once("} ").unwrap().1))
    });
    let mut lines = lines.peekable();
    let (mut kinds, mut left_out_count) = ([0; 7], 0);
    for (encoding, chunk) in golden_chunks(&block).iter().filter(|(e, _)| !e.is_float()) {
        kinds[*encoding as usize] += 1;
        let samples = decode(*encoding, chunk).unwrap();
        assert_eq!(usize::from(samples_count(*encoding, chunk).unwrap()), samples.len());
        for (t, sample) in &samples {
            match lines.next_if(|line| line.0 == *t) {
                Some((_, text)) => assert_eq!(numbers(sample), dumped(text), "{sample:?}"),
                None => left_out_count += 1,
            }
        }
        // Written again they are the same bytes.
        let (t, first) = &samples[0];
        let mut open =
            OpenHistograms::begin_refused(*t, first, Reset::of_flags(chunk[FLAGS_OFFSET]));
        for (t, sample) in &samples[1..] {
            assert_eq!(open.append(*t, sample), Written::Added);
        }
        let mut again = Vec::new();
        open.put(&mut again);
        assert_eq!(open.size_bytes(), again.len());
        assert_eq!(&again, chunk);
    }
    assert_eq!(lines.next(), None);
    // promtool 3.5 asks for floats first, then for float histograms, and loses what it asked in vain: two
    // samples of each of 15 series, one of the series of float histograms.
    assert_eq!(left_out_count, 31);
    assert!(kinds[2] > 0 && kinds[3] > 0, "both kinds are there: {kinds:?}");
}

/// What one sample of a random series does.
#[derive(Clone, Debug)]
struct Step {
    spans: Vec<(i32, u32)>,
    growth: Vec<u32>,
    has_reset: bool,
    is_stale: bool,
    is_gauge: bool,
    schema: i32,
    t_delta: i64,
}

fn any_step() -> impl Strategy<Value = Step> {
    let span = (0..4_i32, 0..4_u32);
    (
        prop::collection::vec(span, 0..4),
        prop::collection::vec(0..1000_u32, 12),
        prop::bool::weighted(0.05),
        prop::bool::weighted(0.05),
        prop::bool::weighted(0.05),
        prop_oneof![20 => Just(3), 1 => -4..=8_i32, 1 => Just(CUSTOM_BUCKETS_SCHEMA)],
        prop_oneof![10 => Just(15_000_i64), 1 => 1..1_000_000_i64],
    )
        .prop_map(|(spans, growth, has_reset, is_stale, is_gauge, schema, t_delta)| Step {
            spans,
            growth,
            has_reset,
            is_stale,
            is_gauge,
            schema,
            t_delta,
        })
}

/// A series whose buckets mostly grow, under layouts that come and go.
fn series(steps: &[Step], is_float: bool) -> Vec<(i64, HistogramValue)> {
    let mut totals = [0_i64; 40];
    let mut t = -50_000;
    let mut samples = Vec::new();
    for step in steps {
        t += step.t_delta;
        if step.has_reset {
            totals = [0; 40];
        }
        let spans = spans(&step.spans);
        let indexes: Vec<i64> = bucket_indexes(&spans).collect();
        for (index, growth) in indexes.iter().zip(&step.growth) {
            totals[*index as usize] += i64::from(*growth);
        }
        let counts: Vec<i64> = indexes.iter().map(|index| totals[*index as usize]).collect();
        let base = counter(&step.spans, &counts);
        let is_custom = step.schema == CUSTOM_BUCKETS_SCHEMA;
        let histogram = Histogram {
            schema: step.schema,
            counter_reset_hint: match step.is_gauge {
                true => CounterResetHint::Gauge,
                false => CounterResetHint::Unknown,
            },
            custom_values: if is_custom { [0.5, 1.0 / 3.0, 7.0].into() } else { Arc::default() },
            ..base
        };
        let histogram = if step.is_stale { Histogram::stale() } else { histogram };
        samples.push((
            t,
            match is_float {
                true => HistogramValue::Float(Arc::new(FloatHistogram {
                    sum: histogram.sum,
                    ..histogram.to_float()
                })),
                false => integer(histogram),
            },
        ));
    }
    samples
}

fn check_round_trip(samples: &[(i64, HistogramValue)], chunks: &[EncodedHistograms]) {
    let mut expected = samples.iter();
    for chunk in chunks {
        let read = decode(chunk.encoding, &chunk.data).unwrap();
        assert_eq!(read.len(), usize::from(chunk.samples_count));
        assert_eq!((read[0].0, read[read.len() - 1].0), (chunk.min_t, chunk.max_t));
        for (t, value) in &read {
            let (expected_t, expected) = expected.next().unwrap();
            assert_eq!(t, expected_t);
            assert_eq!(content(value), content(expected));
        }
    }
    assert!(expected.next().is_none());
}

proptest! {
    #[test]
    fn what_is_written_is_read(steps in prop::collection::vec(any_step(), 1..60), is_float in any::<bool>()) {
        let samples = series(&steps, is_float);
        let chunks = encode_histograms(samples.iter().map(|(t, value)| (*t, value)), &[], 20);
        check_round_trip(&samples, &chunks);
    }

    /// The starts come back, and the samples are as without them.
    #[test]
    fn starts_are_read_as_written(
        steps in prop::collection::vec((any_step(), prop_oneof![6 => Just(7), 1 => 0i64..9, 1 => any::<i64>()]), 1..60),
        is_float in any::<bool>(),
        count_max in prop_oneof![Just(20_u16), Just(u16::MAX)],
    ) {
        let (steps, starts_ms): (Vec<_>, Vec<i64>) = steps.into_iter().unzip();
        let samples = series(&steps, is_float);
        let told = || samples.iter().map(|(t, value)| (*t, value));
        let plain = encode_histograms(told(), &[], count_max);
        let mut rest = starts_ms.as_slice();
        for (chunk, plain) in encode_histograms(told(), &starts_ms, count_max).iter().zip(&plain) {
            let (of_chunk, after) = rest.split_at(usize::from(chunk.samples_count));
            rest = after;
            let is_any = of_chunk.iter().any(|start_ms| *start_ms != 0);
            prop_assert_eq!(chunk.encoding.has_start(), is_any);
            let mut found = Columns::default();
            read_chunk(chunk.encoding, &chunk.data, usize::MAX, ALL, &mut found).unwrap();
            if is_any {
                prop_assert_eq!(&found.histogram_start_timestamps_ms[..], of_chunk);
            }
            prop_assert_eq!(samples_count(chunk.encoding, &chunk.data), Ok(chunk.samples_count));
            let mut expected = Columns::default();
            read_chunk(plain.encoding, &plain.data, usize::MAX, ALL, &mut expected).unwrap();
            let contents = |columns: &Columns| -> Vec<_> {
                columns.histograms.iter().map(|p| (p.timestamp_ms, content(&p.histogram))).collect()
            };
            prop_assert_eq!(contents(&found), contents(&expected));
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn foreign_bytes_never_panic(chunk in prop::collection::vec(any::<u8>(), 0..200), encoding in 2..=6_u8) {
        let encoding = Encoding::of_byte(encoding).unwrap();
        let mut columns = Columns::default();
        if read_chunk(encoding, &chunk, usize::MAX, ALL, &mut columns).is_err() {
            prop_assert!(columns.histograms.len() <= usize::from(u16::MAX));
        }
    }

    #[test]
    fn flipped_bits_never_panic(
        steps in prop::collection::vec(any_step(), 1..10),
        at in any::<prop::sample::Index>(),
        is_float in any::<bool>(),
    ) {
        let samples = series(&steps, is_float);
        for mut chunk in encode_histograms(samples.iter().map(|(t, value)| (*t, value)), &[], 20) {
            let bit = at.index(chunk.data.len() * 8);
            chunk.data[bit / 8] ^= 1 << (bit % 8);
            drop(decode(chunk.encoding, &chunk.data));
        }
    }
}
