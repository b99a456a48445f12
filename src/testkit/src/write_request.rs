//! Remote write requests of version 1.0, as a sender makes them. It sends nothing.

use prom_model::{Exemplar, HistogramValue, Span};

/// A `prometheus.WriteRequest` that grows series by series.
#[derive(Clone, Debug, Default)]
pub struct WriteRequest {
    message: Vec<u8>,
}

/// One series of a request; labels are sent in this order.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteSeries<'a> {
    pub labels: &'a [(&'a str, &'a str)],
    pub floats: &'a [(i64, f64)],
    pub histograms: &'a [(i64, HistogramValue)],
    pub exemplars: &'a [Exemplar],
}

impl WriteRequest {
    /// Adds a series.
    pub fn push(&mut self, series: WriteSeries<'_>) {
        let mut message = Vec::new();
        for (name, value) in series.labels {
            push_label(&mut message, name, value);
        }
        for (timestamp_ms, value) in series.floats {
            push_message(&mut message, 2, |out| {
                push_double(out, 1, *value);
                push_integer(out, 2, timestamp_ms.cast_unsigned());
            });
        }
        for exemplar in series.exemplars {
            push_message(&mut message, 3, |out| {
                exemplar.labels.iter().for_each(|(name, value)| push_label(out, name, value));
                push_double(out, 2, exemplar.value);
                push_integer(out, 3, exemplar.timestamp_ms.cast_unsigned());
            });
        }
        for (timestamp_ms, histogram) in series.histograms {
            push_message(&mut message, 4, |out| push_histogram(out, *timestamp_ms, histogram));
        }
        push_bytes(&mut self.message, 1, &message);
    }

    /// The message.
    pub fn as_bytes(&self) -> &[u8] {
        &self.message
    }

    /// The message as one snappy block: the body of the request.
    pub fn body(&self) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(&self.message).expect("a test's message is small")
    }
}

fn push_label(out: &mut Vec<u8>, name: &str, value: &str) {
    push_message(out, 1, |out| {
        push_bytes(out, 1, name.as_bytes());
        push_bytes(out, 2, value.as_bytes());
    });
}

fn push_histogram(out: &mut Vec<u8>, timestamp_ms: i64, value: &HistogramValue) {
    let spans = |out: &mut Vec<u8>, field, spans: &[Span]| {
        for span in spans {
            push_message(out, field, |out| {
                push_integer(out, 1, zigzag(i64::from(span.offset)));
                push_integer(out, 2, u64::from(span.length));
            });
        }
    };
    let (hint, custom_values) = match value {
        HistogramValue::Integer(histogram) => {
            push_integer(out, 1, histogram.count);
            push_double(out, 3, histogram.sum);
            push_integer(out, 4, zigzag(i64::from(histogram.schema)));
            push_double(out, 5, histogram.zero_threshold);
            push_integer(out, 6, histogram.zero_count);
            spans(out, 8, &histogram.negative_spans);
            push_packed(out, 9, &histogram.negative_buckets, |out, n| push_varint(out, zigzag(*n)));
            spans(out, 11, &histogram.positive_spans);
            push_packed(out, 12, &histogram.positive_buckets, |out, n| {
                push_varint(out, zigzag(*n));
            });
            (histogram.counter_reset_hint, &histogram.custom_values)
        }
        HistogramValue::Float(histogram) => {
            push_double(out, 2, histogram.count);
            push_double(out, 3, histogram.sum);
            push_integer(out, 4, zigzag(i64::from(histogram.schema)));
            push_double(out, 5, histogram.zero_threshold);
            push_double(out, 7, histogram.zero_count);
            spans(out, 8, &histogram.negative_spans);
            push_packed(out, 10, &histogram.negative_buckets, push_float);
            spans(out, 11, &histogram.positive_spans);
            push_packed(out, 13, &histogram.positive_buckets, push_float);
            (histogram.counter_reset_hint, &histogram.custom_values)
        }
    };
    push_integer(out, 14, hint as u64);
    push_integer(out, 15, timestamp_ms.cast_unsigned());
    push_packed(out, 16, custom_values, push_float);
}

fn push_message(out: &mut Vec<u8>, field: u64, write: impl FnOnce(&mut Vec<u8>)) {
    let mut message = Vec::new();
    write(&mut message);
    push_bytes(out, field, &message);
}

fn push_packed<T>(out: &mut Vec<u8>, field: u64, items: &[T], push: impl Fn(&mut Vec<u8>, &T)) {
    if !items.is_empty() {
        push_message(out, field, |out| items.iter().for_each(|item| push(out, item)));
    }
}

fn push_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    push_varint(out, field << 3 | 2);
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn push_integer(out: &mut Vec<u8>, field: u64, number: u64) {
    push_varint(out, field << 3);
    push_varint(out, number);
}

fn push_double(out: &mut Vec<u8>, field: u64, number: f64) {
    push_varint(out, field << 3 | 1);
    push_float(out, &number);
}

fn push_float(out: &mut Vec<u8>, number: &f64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}
