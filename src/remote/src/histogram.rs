//! Native histograms on the wire: the message of remote write 1.0, whose fields version 2.0 kept.
//! Whether spans, buckets and counts agree is checked by whoever takes the histogram.

use std::sync::Arc;

use prom_model::{CounterResetHint, FloatHistogram, Histogram, HistogramValue, Span};

use crate::wire::{Fields, Value, WireError};

/// Reads a `Histogram`: its time and what it holds.
/// A float count makes it a float histogram, as in the reference; fields of the other kind are dropped.
pub(crate) fn read_histogram(message: &[u8]) -> Result<(i64, HistogramValue), WireError> {
    let mut parts = Parts::default();
    for field in Fields::new(message) {
        let (number, value) = field?;
        parts.read(number, value)?;
    }
    Ok((parts.timestamp_ms, parts.into_histogram()))
}

/// The fields as they come.
#[derive(Debug, Default)]
struct Parts {
    count: u64,
    float_count: Option<f64>,
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    zero_count: u64,
    float_zero_count: f64,
    negative_spans: Vec<Span>,
    negative_deltas: Vec<i64>,
    negative_counts: Vec<f64>,
    positive_spans: Vec<Span>,
    positive_deltas: Vec<i64>,
    positive_counts: Vec<f64>,
    hint: CounterResetHint,
    timestamp_ms: i64,
    custom_values: Vec<f64>,
}

impl Parts {
    fn read(&mut self, number: u32, value: Value<'_>) -> Result<(), WireError> {
        match number {
            1 => {
                self.count = value.integer("CountInt")?.cast_unsigned();
                self.float_count = None;
            }
            2 => self.float_count = Some(value.double("CountFloat")?),
            3 => self.sum = value.double("Sum")?,
            4 => self.schema = value.signed("Schema")? as i32,
            5 => self.zero_threshold = value.double("ZeroThreshold")?,
            6 => self.zero_count = value.integer("ZeroCountInt")?.cast_unsigned(),
            7 => self.float_zero_count = value.double("ZeroCountFloat")?,
            8 => self.negative_spans.push(read_span(value.bytes("NegativeSpans")?)?),
            9 => value.push_signed("NegativeDeltas", &mut self.negative_deltas)?,
            10 => value.push_doubles("NegativeCounts", &mut self.negative_counts)?,
            11 => self.positive_spans.push(read_span(value.bytes("PositiveSpans")?)?),
            12 => value.push_signed("PositiveDeltas", &mut self.positive_deltas)?,
            13 => value.push_doubles("PositiveCounts", &mut self.positive_counts)?,
            14 => self.hint = hint(value.integer("ResetHint")?),
            15 => self.timestamp_ms = value.integer("Timestamp")?,
            16 => value.push_doubles("CustomValues", &mut self.custom_values)?,
            _ => {}
        }
        Ok(())
    }

    fn into_histogram(self) -> HistogramValue {
        let Some(count) = self.float_count else {
            return HistogramValue::Integer(Arc::new(Histogram {
                counter_reset_hint: self.hint,
                schema: self.schema,
                zero_threshold: self.zero_threshold,
                zero_count: self.zero_count,
                count: self.count,
                sum: self.sum,
                positive_spans: self.positive_spans.into(),
                negative_spans: self.negative_spans.into(),
                positive_buckets: self.positive_deltas,
                negative_buckets: self.negative_deltas,
                custom_values: self.custom_values.into(),
            }));
        };
        HistogramValue::Float(Arc::new(FloatHistogram {
            counter_reset_hint: self.hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.float_zero_count,
            count,
            sum: self.sum,
            positive_spans: self.positive_spans.into(),
            negative_spans: self.negative_spans.into(),
            positive_buckets: self.positive_counts,
            negative_buckets: self.negative_counts,
            custom_values: self.custom_values.into(),
        }))
    }
}

fn read_span(message: &[u8]) -> Result<Span, WireError> {
    let mut span = Span::default();
    for field in Fields::new(message) {
        match field? {
            (1, value) => span.offset = value.signed("Offset")? as i32,
            (2, value) => span.length = value.integer("Length")? as u32,
            _ => {}
        }
    }
    Ok(span)
}

fn hint(number: i64) -> CounterResetHint {
    match number {
        1 => CounterResetHint::CounterReset,
        2 => CounterResetHint::NotCounterReset,
        3 => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integer_histograms_are_read() {
        let mut message = vec![0x08, 9, 0x19];
        message.extend_from_slice(&18.4_f64.to_le_bytes());
        message.extend_from_slice(&[0x20, 2, 0x30, 2]);
        message.extend_from_slice(&[0x5a, 4, 0x08, 3, 0x10, 2, 0x5a, 4, 0x08, 2, 0x10, 1]);
        message.extend_from_slice(&[0x62, 3, 2, 4, 5, 0x42, 2, 0x10, 1, 0x48, 6]);
        message.extend_from_slice(&[0x70, 3, 0x78, 0xe8, 7]);
        let expected = Histogram {
            counter_reset_hint: CounterResetHint::Gauge,
            schema: 1,
            zero_threshold: 0.0,
            zero_count: 2,
            count: 9,
            sum: 18.4,
            positive_spans: [Span { offset: -2, length: 2 }, Span { offset: 1, length: 1 }].into(),
            negative_spans: [Span { offset: 0, length: 1 }].into(),
            positive_buckets: vec![1, 2, -3],
            negative_buckets: vec![3],
            custom_values: [].into(),
        };
        let (timestamp_ms, value) = read_histogram(&message).unwrap();
        assert_eq!(timestamp_ms, 1000);
        assert_eq!(value, HistogramValue::Integer(Arc::new(expected)));
    }

    #[test]
    fn float_histograms_are_read() {
        let mut message = vec![0x11];
        message.extend_from_slice(&1.5_f64.to_le_bytes());
        message.extend_from_slice(&[0x20, 0x69, 0x5a, 2, 0x10, 1, 0x6a, 8]);
        message.extend_from_slice(&1.5_f64.to_le_bytes());
        message.extend_from_slice(&[0x82, 0x01, 8]);
        message.extend_from_slice(&7.0_f64.to_le_bytes());
        let (_, value) = read_histogram(&message).unwrap();
        let HistogramValue::Float(histogram) = value else { panic!("{value:?}") };
        assert_eq!((histogram.schema, histogram.count), (-53, 1.5));
        assert_eq!(histogram.positive_buckets, [1.5]);
        assert_eq!(histogram.custom_values[..], [7.0]);
    }

    #[test]
    fn damaged_histograms_are_errors() {
        for message in [&[0x08][..], &[0x5a, 3, 0x08, 3], &[0x62, 1, 0xff], &[0x09, 1]] {
            assert!(read_histogram(message).is_err(), "{message:?}");
        }
    }
}
