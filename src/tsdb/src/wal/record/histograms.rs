//! Records of histograms. Custom buckets have record types of their own, because readers of their time did
//! not know them. Compat: Prometheus `tsdb/record/record.go`, 3.14.

use std::sync::Arc;

use prom_model::{
    CUSTOM_BUCKETS_SCHEMA, CounterResetHint, FloatHistogram, Histogram, HistogramValue, Span,
};

use crate::chunk::{buckets_count, has_known_schema};

use super::{
    super::codec::{Cursor, DecodeError, push_uvarint, push_varint},
    starts::Place,
};

pub(super) const HISTOGRAMS: u8 = 7;
pub(super) const FLOAT_HISTOGRAMS: u8 = 8;
pub(super) const CUSTOM_HISTOGRAMS: u8 = 9;
pub(super) const CUSTOM_FLOAT_HISTOGRAMS: u8 = 10;
pub(super) const HISTOGRAMS_WITH_START: u8 = 12;
pub(super) const FLOAT_HISTOGRAMS_WITH_START: u8 = 13;
/// The order in which a commit writes them; with start times, custom buckets are no types of their own.
const TYPES: [u8; 4] = [HISTOGRAMS, CUSTOM_HISTOGRAMS, FLOAT_HISTOGRAMS, CUSTOM_FLOAT_HISTOGRAMS];

/// One histogram under its series' ref.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RefHistogram {
    pub(crate) series_ref: u64,
    /// As in [`super::RefSample`].
    pub(crate) slot: u32,
    pub(crate) t: i64,
    /// Since when it counts; 0 if nobody knows.
    pub(crate) start_ms: i64,
    pub(crate) value: HistogramValue,
}

impl RefHistogram {
    /// Whether both go into one record.
    pub(crate) fn is_of_kind_of(&self, other: &Self) -> bool {
        type_of(&self.value) == type_of(&other.value)
    }

    pub(crate) fn has_start(&self) -> bool {
        self.start_ms != 0
    }
}

/// Writes histograms: a record for each kind there is, each handed to `each`.
pub(crate) fn encode_histograms(histograms: &[RefHistogram], each: &mut dyn FnMut(&[u8])) {
    let mut out = Vec::new();
    for kind in TYPES {
        let mut of_kind = histograms.iter().filter(|one| type_of(&one.value) == kind).peekable();
        let Some(first) = of_kind.peek().copied() else { continue };
        out.clear();
        out.push(kind);
        out.extend_from_slice(&first.series_ref.to_be_bytes());
        out.extend_from_slice(&first.t.to_be_bytes());
        for one in of_kind {
            push_varint(&mut out, one.series_ref.wrapping_sub(first.series_ref) as i64);
            push_varint(&mut out, one.t.wrapping_sub(first.t));
            encode_value(&mut out, &one.value);
        }
        each(&out);
    }
}

/// Writes histograms with their starts: integer counts, then float counts.
pub(crate) fn encode_histograms_with_start(
    histograms: &[RefHistogram],
    each: &mut dyn FnMut(&[u8]),
) {
    let mut out = Vec::new();
    for (kind, is_integer) in [(HISTOGRAMS_WITH_START, true), (FLOAT_HISTOGRAMS_WITH_START, false)]
    {
        let is_of_kind =
            |one: &&RefHistogram| matches!(one.value, HistogramValue::Integer(_)) == is_integer;
        let mut of_kind = histograms.iter().filter(is_of_kind).peekable();
        if of_kind.peek().is_none() {
            continue;
        }
        out.clear();
        out.push(kind);
        let mut place = Place::default();
        for one in of_kind {
            place.push(&mut out, (one.series_ref, one.t, one.start_ms));
            encode_value(&mut out, &one.value);
        }
        each(&out);
    }
}

fn encode_value(out: &mut Vec<u8>, value: &HistogramValue) {
    match value {
        HistogramValue::Integer(histogram) => encode_integer(out, histogram),
        HistogramValue::Float(histogram) => encode_float(out, histogram),
    }
}

pub(super) fn decode_histograms(
    kind: u8,
    mut cursor: Cursor<'_>,
) -> Result<Vec<RefHistogram>, DecodeError> {
    let mut histograms = Vec::new();
    if cursor.is_empty() {
        return Ok(histograms);
    }
    let (first_ref, first_t) = (cursor.u64()?, cursor.u64()? as i64);
    while !cursor.is_empty() {
        let series_ref = first_ref.wrapping_add(cursor.varint()? as u64);
        let t = first_t.wrapping_add(cursor.varint()?);
        let value = match kind {
            HISTOGRAMS | CUSTOM_HISTOGRAMS => decode_integer(&mut cursor)?,
            _ => decode_float(&mut cursor)?,
        };
        let of = |value| RefHistogram { series_ref, slot: 0, t, start_ms: 0, value };
        histograms.extend(value.map(of));
    }
    Ok(histograms)
}

pub(super) fn decode_histograms_with_start(
    kind: u8,
    mut cursor: Cursor<'_>,
) -> Result<Vec<RefHistogram>, DecodeError> {
    let mut histograms = Vec::new();
    let mut place = Place::default();
    while !cursor.is_empty() {
        let (series_ref, t, start_ms) = place.next(&mut cursor)?;
        let value = match kind {
            HISTOGRAMS_WITH_START => decode_integer(&mut cursor)?,
            _ => decode_float(&mut cursor)?,
        };
        histograms.extend(value.map(|value| RefHistogram {
            series_ref,
            slot: 0,
            t,
            start_ms,
            value,
        }));
    }
    Ok(histograms)
}

fn type_of(value: &HistogramValue) -> u8 {
    match value {
        HistogramValue::Integer(one) if one.has_custom_buckets() => CUSTOM_HISTOGRAMS,
        HistogramValue::Integer(_) => HISTOGRAMS,
        HistogramValue::Float(one) if one.has_custom_buckets() => CUSTOM_FLOAT_HISTOGRAMS,
        HistogramValue::Float(_) => FLOAT_HISTOGRAMS,
    }
}

pub(super) fn encode_integer(out: &mut Vec<u8>, histogram: &Histogram) {
    out.push(histogram.counter_reset_hint as u8);
    push_varint(out, i64::from(histogram.schema));
    push_float(out, histogram.zero_threshold);
    push_uvarint(out, histogram.zero_count);
    push_uvarint(out, histogram.count);
    push_float(out, histogram.sum);
    push_spans(out, &histogram.positive_spans);
    push_spans(out, &histogram.negative_spans);
    for buckets in [&histogram.positive_buckets, &histogram.negative_buckets] {
        push_uvarint(out, buckets.len() as u64);
        buckets.iter().for_each(|bucket| push_varint(out, *bucket));
    }
    if histogram.has_custom_buckets() {
        push_floats(out, &histogram.custom_values);
    }
}

pub(super) fn encode_float(out: &mut Vec<u8>, histogram: &FloatHistogram) {
    out.push(histogram.counter_reset_hint as u8);
    push_varint(out, i64::from(histogram.schema));
    push_float(out, histogram.zero_threshold);
    push_float(out, histogram.zero_count);
    push_float(out, histogram.count);
    push_float(out, histogram.sum);
    push_spans(out, &histogram.positive_spans);
    push_spans(out, &histogram.negative_spans);
    push_floats(out, &histogram.positive_buckets);
    push_floats(out, &histogram.negative_buckets);
    if histogram.has_custom_buckets() {
        push_floats(out, &histogram.custom_values);
    }
}

fn push_float(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_bits().to_be_bytes());
}

fn push_floats(out: &mut Vec<u8>, values: &[f64]) {
    push_uvarint(out, values.len() as u64);
    values.iter().for_each(|value| push_float(out, *value));
}

fn push_spans(out: &mut Vec<u8>, spans: &[Span]) {
    push_uvarint(out, spans.len() as u64);
    for span in spans {
        push_varint(out, i64::from(span.offset));
        push_uvarint(out, u64::from(span.length));
    }
}

/// `None` if the schema has no meaning to us: a newer Prometheus wrote it.
pub(super) fn decode_integer(
    cursor: &mut Cursor<'_>,
) -> Result<Option<HistogramValue>, DecodeError> {
    let mut histogram = Histogram {
        counter_reset_hint: hint(cursor.byte()?),
        schema: schema(cursor)?,
        zero_threshold: float(cursor)?,
        zero_count: cursor.uvarint()?,
        count: cursor.uvarint()?,
        sum: float(cursor)?,
        positive_spans: spans(cursor)?,
        negative_spans: spans(cursor)?,
        ..Histogram::default()
    };
    histogram.positive_buckets = items(cursor, Cursor::varint)?;
    histogram.negative_buckets = items(cursor, Cursor::varint)?;
    if histogram.has_custom_buckets() {
        histogram.custom_values = items(cursor, float)?.into();
    }
    check_side(&histogram.positive_spans, histogram.positive_buckets.len())?;
    check_side(&histogram.negative_spans, histogram.negative_buckets.len())?;
    let is_known = has_known_schema(histogram.schema);
    Ok(is_known.then(|| HistogramValue::Integer(Arc::new(histogram)).into_kept_resolution()))
}

pub(super) fn decode_float(cursor: &mut Cursor<'_>) -> Result<Option<HistogramValue>, DecodeError> {
    let mut histogram = FloatHistogram {
        counter_reset_hint: hint(cursor.byte()?),
        schema: schema(cursor)?,
        zero_threshold: float(cursor)?,
        zero_count: float(cursor)?,
        count: float(cursor)?,
        sum: float(cursor)?,
        positive_spans: spans(cursor)?,
        negative_spans: spans(cursor)?,
        ..FloatHistogram::default()
    };
    histogram.positive_buckets = items(cursor, float)?;
    histogram.negative_buckets = items(cursor, float)?;
    if histogram.schema == CUSTOM_BUCKETS_SCHEMA {
        histogram.custom_values = items(cursor, float)?.into();
    }
    check_side(&histogram.positive_spans, histogram.positive_buckets.len())?;
    check_side(&histogram.negative_spans, histogram.negative_buckets.len())?;
    let is_known = has_known_schema(histogram.schema);
    Ok(is_known.then(|| HistogramValue::Float(Arc::new(histogram)).into_kept_resolution()))
}

fn hint(byte: u8) -> CounterResetHint {
    match byte {
        1 => CounterResetHint::CounterReset,
        2 => CounterResetHint::NotCounterReset,
        3 => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    }
}

fn schema(cursor: &mut Cursor<'_>) -> Result<i32, DecodeError> {
    i32::try_from(cursor.varint()?).map_err(|_| DecodeError::InvalidHistogram)
}

fn float(cursor: &mut Cursor<'_>) -> Result<f64, DecodeError> {
    Ok(f64::from_bits(cursor.u64()?))
}

fn spans(cursor: &mut Cursor<'_>) -> Result<Arc<[Span]>, DecodeError> {
    let span = |cursor: &mut Cursor<'_>| {
        let (offset, length) = (cursor.varint()?, cursor.uvarint()?);
        let offset = i32::try_from(offset).map_err(|_| DecodeError::InvalidHistogram)?;
        let length = u32::try_from(length).map_err(|_| DecodeError::InvalidHistogram)?;
        Ok(Span { offset, length })
    };
    Ok(items(cursor, span)?.into())
}

/// Items behind their number. Each takes a byte at least, so a lie is found before memory is taken.
fn items<'a, T>(
    cursor: &mut Cursor<'a>,
    mut item: impl FnMut(&mut Cursor<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = usize::try_from(cursor.uvarint()?).map_err(|_| DecodeError::Short)?;
    if count > cursor.0.len() {
        return Err(DecodeError::Short);
    }
    (0..count).map(|_| item(cursor)).collect()
}

/// Spans must number the buckets that are there.
fn check_side(spans: &[Span], count: usize) -> Result<(), DecodeError> {
    match buckets_count(spans) {
        Some(buckets) if buckets == count => Ok(()),
        _ => Err(DecodeError::InvalidHistogram),
    }
}
