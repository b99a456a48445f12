//! A histogram on the wire: classic buckets, native ones, or both.

use std::sync::Arc;

use prom_model::{CounterResetHint, FloatHistogram, Histogram, HistogramValue, Span};

use super::metric::{Exemplar, time_ms};
use crate::wire::{Fields, WireError};

/// The histogram of a metric. Counts as floats stand for those as integers where they are above zero.
#[derive(Debug, Default)]
pub struct HistogramPart<'a> {
    /// Most metrics have none, and cost nothing to clear.
    is_filled: bool,
    count: u64,
    float_count: f64,
    pub sum: f64,
    schema: i32,
    zero_threshold: f64,
    zero_count: u64,
    float_zero_count: f64,
    positive: NativeSide,
    negative: NativeSide,
    /// Classic buckets, cumulative, as they stand there.
    pub buckets: Vec<Bucket<'a>>,
    exemplars: Vec<Exemplar<'a>>,
}

/// One classic bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bucket<'a> {
    pub upper_bound: f64,
    count: u64,
    float_count: f64,
    pub exemplar: Option<Exemplar<'a>>,
}

/// Native buckets of one sign.
#[derive(Debug, Default)]
struct NativeSide {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

/// Layouts of buckets, shared among histograms that come one after the other: those of one family mostly have the same.
#[derive(Debug, Default)]
pub struct SpanPool {
    last: [Arc<[Span]>; 2],
}

impl<'a> HistogramPart<'a> {
    pub(super) fn clear(&mut self) {
        if !self.is_filled {
            return;
        }
        let Self { buckets, exemplars, positive, negative, .. } = self;
        buckets.clear();
        exemplars.clear();
        let (buckets, exemplars) = (std::mem::take(buckets), std::mem::take(exemplars));
        let mut sides = (std::mem::take(positive), std::mem::take(negative));
        for side in [&mut sides.0, &mut sides.1] {
            side.spans.clear();
            side.deltas.clear();
            side.counts.clear();
        }
        *self =
            Self { buckets, exemplars, positive: sides.0, negative: sides.1, ..Self::default() };
    }

    /// Reads a message; returns since when it has been counting.
    pub(super) fn read(&mut self, message: &'a [u8]) -> Result<Option<i64>, WireError> {
        let mut created_ms = None;
        self.is_filled = true;
        for field in Fields::new(message) {
            let (number, value) = field?;
            match number {
                1 => self.count = value.integer("SampleCount")?.cast_unsigned(),
                2 => self.sum = value.double("SampleSum")?,
                3 => self.buckets.push(Bucket::read(value.bytes("Bucket")?)?),
                4 => self.float_count = value.double("SampleCountFloat")?,
                5 => self.schema = value.signed("Schema")? as i32,
                6 => self.zero_threshold = value.double("ZeroThreshold")?,
                7 => self.zero_count = value.integer("ZeroCount")?.cast_unsigned(),
                8 => self.float_zero_count = value.double("ZeroCountFloat")?,
                9 => self.negative.spans.push(span(value.bytes("NegativeSpan")?)?),
                10 => value.push_signed("NegativeDelta", &mut self.negative.deltas)?,
                11 => value.push_doubles("NegativeCount", &mut self.negative.counts)?,
                12 => self.positive.spans.push(span(value.bytes("PositiveSpan")?)?),
                13 => value.push_signed("PositiveDelta", &mut self.positive.deltas)?,
                14 => value.push_doubles("PositiveCount", &mut self.positive.counts)?,
                15 => created_ms = Some(time_ms(value, "StartTimestamp")?),
                16 => self.exemplars.push(Exemplar::read(value.bytes("Exemplars")?)?),
                _ => {}
            }
        }
        Ok(created_ms)
    }

    /// All observations.
    pub fn count(&self) -> f64 {
        either(self.float_count, self.count)
    }

    /// Whether it is meant as a native one: a program without observations says so by a span without a bucket.
    pub fn is_native(&self) -> bool {
        let has_spans = !self.positive.spans.is_empty() || !self.negative.spans.is_empty();
        has_spans || self.zero_threshold > 0.0 || self.zero_count > 0
    }

    /// The native histogram, as it stands there: whether it is sound has not been asked.
    pub fn native(&self, is_gauge: bool, pool: &mut SpanPool) -> HistogramValue {
        let counter_reset_hint =
            if is_gauge { CounterResetHint::Gauge } else { CounterResetHint::Unknown };
        let positive_spans = pool.share(0, &self.positive.spans);
        let negative_spans = pool.share(1, &self.negative.spans);
        let (schema, zero_threshold, sum) = (self.schema, self.zero_threshold, self.sum);
        if self.float_count > 0.0 || self.float_zero_count > 0.0 {
            return HistogramValue::Float(Arc::new(FloatHistogram {
                counter_reset_hint,
                schema,
                zero_threshold,
                zero_count: self.float_zero_count,
                count: self.float_count,
                sum,
                positive_spans,
                negative_spans,
                positive_buckets: self.positive.counts.clone(),
                negative_buckets: self.negative.counts.clone(),
                custom_values: Arc::default(),
            }));
        }
        HistogramValue::Integer(Arc::new(Histogram {
            counter_reset_hint,
            schema,
            zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum,
            positive_spans,
            negative_spans,
            positive_buckets: self.positive.deltas.clone(),
            negative_buckets: self.negative.deltas.clone(),
            custom_values: Arc::default(),
        }))
    }

    /// The exemplars of the histogram as a whole. Those without a time of their own do not count.
    pub fn exemplars(&self) -> impl Iterator<Item = &Exemplar<'a>> {
        let of_buckets = if self.exemplars.is_empty() { &*self.buckets } else { &[] };
        let of_buckets = of_buckets.iter().filter_map(|bucket| bucket.exemplar.as_ref());
        let all = self.exemplars.iter().chain(of_buckets);
        all.filter(|exemplar| exemplar.timestamp_ms.is_some())
    }
}

impl<'a> Bucket<'a> {
    fn read(message: &'a [u8]) -> Result<Self, WireError> {
        let mut bucket = Self::default();
        for field in Fields::new(message) {
            match field? {
                (1, count) => bucket.count = count.integer("CumulativeCount")?.cast_unsigned(),
                (2, bound) => bucket.upper_bound = bound.double("UpperBound")?,
                (3, exemplar) => {
                    bucket.exemplar = Some(Exemplar::read(exemplar.bytes("Exemplar")?)?);
                }
                (4, count) => bucket.float_count = count.double("CumulativeCountFloat")?,
                _ => {}
            }
        }
        Ok(bucket)
    }

    /// Observations in it and all below it.
    pub fn count(&self) -> f64 {
        either(self.float_count, self.count)
    }
}

impl SpanPool {
    fn share(&mut self, side: usize, spans: &[Span]) -> Arc<[Span]> {
        let last = &mut self.last[side];
        if **last != *spans {
            *last = spans.into();
        }
        Arc::clone(last)
    }
}

fn either(float: f64, integer: u64) -> f64 {
    if float == 0.0 { integer as f64 } else { float }
}

fn span(message: &[u8]) -> Result<Span, WireError> {
    let mut span = Span::default();
    for field in Fields::new(message) {
        match field? {
            (1, offset) => span.offset = offset.signed("Offset")? as i32,
            (2, length) => span.length = length.integer("Length")? as u32,
            _ => {}
        }
    }
    Ok(span)
}
