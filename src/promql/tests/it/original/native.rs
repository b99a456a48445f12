//! Native histograms and floats for both sides, written to each as samples come: integer and float counts,
//! custom buckets, gauges, resets, changes of the layout, series that change between floats and histograms.

use std::{ops::ControlFlow, sync::Arc};

use prom_model::{
    CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Histogram, HistogramValue, Labels,
    Span, stale_nan,
};
use prom_storage::{Appendable, FloatSample, HistogramSample};
use prom_telemetry::Registry;
use prom_testkit::{WriteRequest, WriteSeries};
use prom_tsdb::{Db, Options, RetentionOptions};
use tempfile::TempDir;

use super::data::{END_MS, START_MS};

const INTERVAL_MS: i64 = 30_000;
/// Samples of a series in one request or batch.
const BATCH_COUNT: usize = 60;
/// Both sides keep all in the head.
pub(super) const BLOCK_RANGE_MS: i64 = 24 * 3_600_000;

#[derive(Clone, Debug)]
enum Value {
    Float(f64),
    Histogram(HistogramValue),
}

type Series = (Labels, Vec<(i64, Value)>);

/// A database with the series; the folder must outlive it.
pub(super) fn database() -> (Arc<Db>, TempDir) {
    let folder = TempDir::new().unwrap();
    let options = Options {
        min_block_duration_ms: BLOCK_RANGE_MS,
        max_block_duration_ms: BLOCK_RANGE_MS,
        retention: RetentionOptions::default(),
        ..Options::default()
    };
    let progress = |_| ControlFlow::Continue(());
    let db = Db::open(folder.path(), options, &Registry::default(), &progress).unwrap();
    for batch in batches() {
        let mut appender = db.appender();
        let mut rejected = Vec::new();
        for (labels, samples) in &batch {
            let series = appender.series(labels).unwrap();
            for (timestamp_ms, value) in samples.iter().cloned() {
                match value {
                    Value::Float(value) => {
                        let sample = FloatSample { series, timestamp_ms, value };
                        appender.append(&[sample], &mut rejected);
                    }
                    Value::Histogram(histogram) => {
                        let sample =
                            HistogramSample { series, timestamp_ms, start_ms: 0, histogram };
                        appender.append_histograms(&[sample], &mut rejected);
                    }
                }
            }
        }
        assert!(rejected.is_empty(), "{rejected:?}");
        appender.commit().unwrap();
    }
    (db, folder)
}

/// The series as bodies of remote write requests.
pub(super) fn write_requests() -> Vec<Vec<u8>> {
    let request = |batch: Vec<Series>| {
        let mut request = WriteRequest::default();
        for (labels, samples) in batch {
            let labels: Vec<_> = labels.iter().collect();
            let (mut floats, mut histograms) = (Vec::new(), Vec::new());
            for (time_ms, value) in samples {
                match value {
                    Value::Float(value) => floats.push((time_ms, value)),
                    Value::Histogram(histogram) => histograms.push((time_ms, histogram)),
                }
            }
            let series = WriteSeries { labels: &labels, ..WriteSeries::default() };
            request.push(WriteSeries { floats: &floats, histograms: &histograms, ..series });
        }
        request.body()
    };
    batches().into_iter().map(request).collect()
}

/// All series, some time of them after the other. A batch has samples of one kind of each series:
/// a request tells nothing of the order of floats among histograms.
fn batches() -> Vec<Vec<Series>> {
    let all = series();
    let begins = (START_MS..END_MS).step_by(BATCH_COUNT * INTERVAL_MS as usize);
    begins
        .map(|begin_ms| {
            let end_ms = begin_ms + BATCH_COUNT as i64 * INTERVAL_MS;
            let within = |(labels, samples): &Series| {
                let samples = samples.iter().filter(|(t, _)| (begin_ms..end_ms).contains(t));
                (labels.clone(), samples.cloned().collect())
            };
            all.iter().map(within).collect()
        })
        .collect()
}

/// In an order that is not that of the labels.
fn series() -> Vec<Series> {
    let mut all = Vec::new();
    let mut random = Random(77);
    for (job, instances) in [("b", 2), ("a", 3), ("c", 1)] {
        for instance in (0..instances).rev() {
            let host = format!("host{instance}:9100");
            let mut add = |name: &str, samples: Vec<(i64, Value)>| {
                let labels = [("__name__", name), ("job", job), ("instance", &host)];
                all.push((Labels::from_pairs(labels), samples));
            };
            let layout = Layout::exponential(instance);
            add("latency", counter(&mut random, layout, false));
            add("latency_float", counter(&mut random, layout, true));
            add("custom", counter(&mut random, Layout::custom(instance), instance == 1));
            add("queue", queue(&mut random, layout));
            add("gauge", floats(&mut random, false));
            add("requests_total", floats(&mut random, true));
            add("mixed", mixed(&mut random, instance));
            add("changing", changing(&mut random, instance));
        }
    }
    add_classic(&mut all, &mut random);
    all
}

fn add_classic(all: &mut Vec<Series>, random: &mut Random) {
    let bounds = ["+Inf", "1", "0.25", "0.1"];
    let mut samples = vec![Vec::new(); bounds.len()];
    let mut counts = [0u64; 4];
    for time_ms in times() {
        let at = random.below(4) as usize;
        counts[..=at].iter_mut().for_each(|count| *count += 2);
        for (samples, count) in samples.iter_mut().zip(counts) {
            samples.push((time_ms, Value::Float(count as f64)));
        }
    }
    for (bound, samples) in bounds.into_iter().zip(samples) {
        let labels = [("__name__", "classic_bucket"), ("job", "a"), ("le", bound)];
        all.push((Labels::from_pairs(labels), samples));
    }
}

fn times() -> impl Iterator<Item = i64> {
    (START_MS..END_MS).step_by(INTERVAL_MS as usize)
}

/// Floats with few digits: a counter with resets, or a gauge.
fn floats(random: &mut Random, is_counter: bool) -> Vec<(i64, Value)> {
    let mut value = 10.0;
    let mut samples = Vec::new();
    for time_ms in times() {
        let step = random.below(9) as f64 * 0.25;
        value += if is_counter { step } else { step - 1.0 };
        if is_counter && random.below(90) == 0 {
            value = 0.0;
        }
        if random.below(30) > 0 {
            samples.push((time_ms, Value::Float(value)));
        }
    }
    samples
}

/// Buckets that a series has.
#[derive(Clone, Copy, Debug)]
struct Layout {
    schema: i32,
    /// Index of the first bucket.
    first: i32,
    count: usize,
    has_negative: bool,
    bounds: &'static [f64],
}

impl Layout {
    fn exponential(instance: usize) -> Self {
        let schema = [0, 2, 0][instance % 3];
        Self { schema, first: -3, count: 9, has_negative: instance == 1, bounds: &[] }
    }

    fn custom(instance: usize) -> Self {
        let bounds: &[f64] = match instance {
            2 => &[0.5, 1.0, 4.0],
            _ => &[0.25, 0.5, 1.0, 2.0, 4.0],
        };
        let count = bounds.len() + 1;
        Self { schema: CUSTOM_BUCKETS_SCHEMA, first: 0, count, has_negative: false, bounds }
    }
}

/// Counts of one histogram, which grow.
#[derive(Clone, Debug, Default)]
struct Counts {
    positive: Vec<i64>,
    negative: Vec<i64>,
    zero: u64,
    sum: f64,
}

/// Counters, and gauges that are taken for some, begin with so many in their first bucket. Later releases limit a rate by the time at which the
/// counter must have been zero; with such counts that is long ago.
/// 3.6.0: Fix extrapolation for native counter histograms (#16828).
const FIRST_COUNT: i64 = 40_000;

impl Counts {
    fn counter(layout: &Layout) -> Self {
        let mut positive = vec![0; layout.count];
        positive[0] = FIRST_COUNT;
        Self { positive, ..Self::default() }
    }

    fn observe(&mut self, random: &mut Random, layout: &Layout) {
        self.positive.resize(layout.count, 0);
        for _ in 0..random.below(6) {
            let at = random.below(layout.count as u64) as usize;
            // Some buckets stay empty for long.
            if at != 4 || random.below(20) == 0 {
                self.positive[at] += 1 + random.below(3) as i64;
                self.sum += at as f64 * 0.5;
            }
        }
        if layout.has_negative && random.below(3) == 0 {
            self.negative.resize(2, 0);
            self.negative[random.below(2) as usize] += 1;
            self.sum -= 0.75;
        }
        if layout.schema != CUSTOM_BUCKETS_SCHEMA {
            self.zero += random.below(2);
        }
    }

    fn histogram(&self, layout: &Layout, counter_reset_hint: CounterResetHint) -> Histogram {
        let (positive_spans, positive_buckets) = sparse(layout.first, &self.positive);
        let (negative_spans, negative_buckets) = sparse(layout.first, &self.negative);
        let counts: i64 = self.positive.iter().chain(&self.negative).sum();
        let is_custom = layout.schema == CUSTOM_BUCKETS_SCHEMA;
        Histogram {
            counter_reset_hint,
            schema: layout.schema,
            zero_threshold: if is_custom { 0.0 } else { 0.001 },
            zero_count: self.zero,
            count: counts as u64 + self.zero,
            sum: self.sum,
            positive_spans,
            negative_spans,
            positive_buckets,
            negative_buckets,
            custom_values: layout.bounds.into(),
        }
    }
}

/// Spans of the buckets that are not empty, and their counts as differences.
fn sparse(first: i32, counts: &[i64]) -> (Arc<[Span]>, Vec<i64>) {
    let (mut spans, mut deltas): (Vec<Span>, Vec<i64>) = (Vec::new(), Vec::new());
    let (mut next, mut before) = (0, 0);
    for (index, count) in (first..).zip(counts).filter(|(_, count)| **count != 0) {
        match spans.last_mut() {
            Some(span) if index == next => span.length += 1,
            _ => spans.push(Span { offset: index - next, length: 1 }),
        }
        next = index + 1;
        deltas.push(count - before);
        before = *count;
    }
    (spans.into(), deltas)
}

/// With half of each count, as floats.
fn halves(histogram: &Histogram) -> HistogramValue {
    let mut float =
        FloatHistogram::clone(&HistogramValue::Integer(Arc::new(histogram.clone())).to_float());
    float.mul(0.5);
    float.counter_reset_hint = histogram.counter_reset_hint;
    HistogramValue::Float(Arc::new(float))
}

fn value(histogram: Histogram, is_float: bool) -> Value {
    Value::Histogram(match is_float {
        true => halves(&histogram),
        false => HistogramValue::Integer(Arc::new(histogram)),
    })
}

/// A counter that restarts, is away for some time, and ends now and then.
fn counter(random: &mut Random, layout: Layout, is_float: bool) -> Vec<(i64, Value)> {
    let mut counts = Counts::counter(&layout);
    let mut samples = Vec::new();
    for time_ms in times() {
        if random.below(80) == 0 {
            counts = Counts::counter(&layout);
        }
        counts.observe(random, &layout);
        match random.below(60) {
            0 => samples.push((time_ms, stale(is_float))),
            1 | 2 => {}
            _ => {
                let histogram = counts.histogram(&layout, CounterResetHint::Unknown);
                samples.push((time_ms, value(histogram, is_float)));
            }
        }
    }
    samples
}

fn stale(is_float: bool) -> Value {
    Value::Histogram(match is_float {
        true => HistogramValue::Float(Arc::new(FloatHistogram {
            sum: stale_nan(),
            ..FloatHistogram::default()
        })),
        false => HistogramValue::Integer(Arc::new(Histogram::stale())),
    })
}

/// A gauge: each histogram stands for itself.
fn queue(random: &mut Random, layout: Layout) -> Vec<(i64, Value)> {
    let one = |time_ms| {
        let mut counts = Counts::counter(&layout);
        counts.observe(random, &layout);
        (time_ms, value(counts.histogram(&layout, CounterResetHint::Gauge), false))
    };
    times().map(one).collect()
}

/// Floats for a while, then histograms, and back.
fn mixed(random: &mut Random, instance: usize) -> Vec<(i64, Value)> {
    let layout = Layout::exponential(0);
    let mut counts = Counts::counter(&layout);
    let batch_ms = BATCH_COUNT as i64 * INTERVAL_MS;
    let sample = |time_ms| {
        counts.observe(random, &layout);
        let is_float = ((time_ms - START_MS) / batch_ms + instance as i64) % 2 == 0;
        let sample = match is_float {
            true => Value::Float(counts.sum),
            false => value(counts.histogram(&layout, CounterResetHint::Unknown), false),
        };
        (time_ms, sample)
    };
    times().map(sample).collect()
}

/// A counter whose layout changes: another resolution, then custom buckets, then others.
fn changing(random: &mut Random, instance: usize) -> Vec<(i64, Value)> {
    let layouts =
        [Layout::exponential(0), Layout::exponential(1), Layout::custom(0), Layout::custom(2)];
    let mut counts = Counts::default();
    let mut last = usize::MAX;
    let sample = |time_ms| {
        let at = ((time_ms - START_MS) / 2_400_000) as usize + instance;
        let layout = &layouts[at % layouts.len()];
        if at != last {
            (counts, last) = (Counts::counter(layout), at);
        }
        counts.observe(random, layout);
        (time_ms, value(counts.histogram(layout, CounterResetHint::Unknown), false))
    };
    times().map(sample).collect()
}

/// A small generator with a fixed seed, so that a failure repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}
