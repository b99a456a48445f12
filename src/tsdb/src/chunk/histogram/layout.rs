//! What all samples of a histogram chunk have in common, and how the chunk tells it.

use std::sync::Arc;

use prom_model::{CUSTOM_BUCKETS_SCHEMA, Span};

use super::{
    super::{
        varbit::{put_varbit_int, put_varbit_uint},
        xor::BitWriter,
        xor_reader::{BitReader, ChunkError},
    },
    spans::buckets_count,
};

/// Exponential schemas that have been given a meaning. Compat: Prometheus `model/histogram/generic.go`.
const EXPONENTIAL_SCHEMAS: std::ops::RangeInclusive<i32> = -9..=52;
/// Bounds from 0 to this many thousandths are told as their thousandths.
const SHORT_BOUND_MAX: f64 = 33_554_430.0;
const THOUSAND: f64 = 1000.0;
/// The exponent of a threshold that is told in one byte, and what is added to it there.
const ONE_BYTE_EXPONENTS: std::ops::RangeInclusive<i32> = -243..=10;
const EXPONENT_OFFSET: i32 = 244;
const NO_THRESHOLD: u64 = 0;
const LONG_THRESHOLD: u64 = 255;

/// Whether the schema has a meaning to us.
pub(crate) fn has_known_schema(schema: i32) -> bool {
    schema == CUSTOM_BUCKETS_SCHEMA || EXPONENTIAL_SCHEMAS.contains(&schema)
}

/// Resolution and buckets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Layout {
    pub(crate) schema: i32,
    pub(crate) zero_threshold: f64,
    pub(crate) positive_spans: Arc<[Span]>,
    pub(crate) negative_spans: Arc<[Span]>,
    pub(crate) custom_values: Arc<[f64]>,
}

impl Layout {
    pub(super) fn write(&self, bits: &mut BitWriter<impl FnMut(u32)>) {
        write_zero_threshold(bits, self.zero_threshold);
        put_varbit_int(bits, i64::from(self.schema));
        write_spans(bits, &self.positive_spans);
        write_spans(bits, &self.negative_spans);
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            put_varbit_uint(bits, self.custom_values.len() as u64);
            for bound in self.custom_values.iter() {
                write_bound(bits, *bound);
            }
        }
    }

    pub(super) fn read(bits: &mut BitReader<'_>) -> Result<Self, ChunkError> {
        let zero_threshold = read_zero_threshold(bits)?;
        let schema = bits.varbit_int()?;
        let known = i32::try_from(schema).ok().filter(|schema| has_known_schema(*schema));
        let schema = known.ok_or(ChunkError::UnknownSchema(schema))?;
        let positive_spans = read_spans(bits)?;
        let negative_spans = read_spans(bits)?;
        let mut custom_values = Vec::new();
        if schema == CUSTOM_BUCKETS_SCHEMA {
            for _ in 0..read_count(bits)? {
                custom_values.push(read_bound(bits)?);
            }
        }
        Ok(Self {
            schema,
            zero_threshold,
            positive_spans,
            negative_spans,
            custom_values: custom_values.into(),
        })
    }
}

fn write_zero_threshold(bits: &mut BitWriter<impl FnMut(u32)>, threshold: f64) {
    let raw = threshold.to_bits();
    let exponent = (raw >> 52) as i32 - 1023;
    let is_power_of_two = raw << 12 == 0;
    if threshold == 0.0 {
        bits.put(NO_THRESHOLD, 8);
    } else if is_power_of_two && ONE_BYTE_EXPONENTS.contains(&exponent) {
        bits.put((exponent + EXPONENT_OFFSET) as u64, 8);
    } else {
        bits.put(LONG_THRESHOLD, 8);
        bits.put_long(raw, 64);
    }
}

fn read_zero_threshold(bits: &mut BitReader<'_>) -> Result<f64, ChunkError> {
    Ok(match bits.take(8)? {
        NO_THRESHOLD => 0.0,
        LONG_THRESHOLD => f64::from_bits(bits.take(64)?),
        // Exponents from -243 on are those of normal numbers.
        byte => f64::from_bits((byte + 1023 - EXPONENT_OFFSET as u64) << 52),
    })
}

fn write_spans(bits: &mut BitWriter<impl FnMut(u32)>, spans: &[Span]) {
    put_varbit_uint(bits, spans.len() as u64);
    for span in spans {
        put_varbit_uint(bits, u64::from(span.length));
        put_varbit_int(bits, i64::from(span.offset));
    }
}

fn read_spans(bits: &mut BitReader<'_>) -> Result<Arc<[Span]>, ChunkError> {
    let count = read_count(bits)?;
    let mut spans = Vec::with_capacity(count);
    for _ in 0..count {
        let length = u32::try_from(bits.varbit_uint()?).map_err(|_| ChunkError::InvalidSpans)?;
        let offset = i32::try_from(bits.varbit_int()?).map_err(|_| ChunkError::InvalidSpans)?;
        spans.push(Span { offset, length });
    }
    match buckets_count(&spans) {
        Some(_) => Ok(spans.into()),
        None => Err(ChunkError::InvalidSpans),
    }
}

/// Reads how many items follow. Each takes a bit at least, so a lie is found before memory is taken.
fn read_count(bits: &mut BitReader<'_>) -> Result<usize, ChunkError> {
    let count = usize::try_from(bits.varbit_uint()?).map_err(|_| ChunkError::Truncated)?;
    if count > bits.rest_bits() { Err(ChunkError::Truncated) } else { Ok(count) }
}

fn write_bound(bits: &mut BitWriter<impl FnMut(u32)>, bound: f64) {
    let thousandths = bound * THOUSAND;
    let rounded = thousandths.round();
    // Out of this range also is what is not a number.
    if (0.0..=SHORT_BOUND_MAX).contains(&thousandths) && rounded / THOUSAND == bound {
        put_varbit_uint(bits, rounded as u64 + 1);
    } else {
        bits.put(0, 1);
        bits.put_long(bound.to_bits(), 64);
    }
}

fn read_bound(bits: &mut BitReader<'_>) -> Result<f64, ChunkError> {
    Ok(match bits.varbit_uint()? {
        0 => f64::from_bits(bits.take(64)?),
        thousandths => (thousandths - 1) as f64 / THOUSAND,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(write: impl FnOnce(&mut BitWriter<&mut dyn FnMut(u32)>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (tail, tail_bits) = {
            let mut sink = |word: u32| bytes.extend_from_slice(&word.to_be_bytes());
            let mut bits = BitWriter::new((0, 0), &mut sink as &mut dyn FnMut(u32));
            write(&mut bits);
            bits.finish()
        };
        let aligned = if tail_bits == 0 { 0 } else { tail << (32 - u32::from(tail_bits)) };
        bytes.extend_from_slice(&aligned.to_be_bytes()[..usize::from(tail_bits).div_ceil(8)]);
        bytes
    }

    #[test]
    fn thresholds_take_a_byte_if_they_can() {
        let check = |threshold: f64, first: u8, size: usize| {
            let bytes = bytes_of(|bits| write_zero_threshold(bits, threshold));
            assert_eq!((bytes[0], bytes.len()), (first, size), "{threshold:e}");
            let read = read_zero_threshold(&mut BitReader::new(&bytes)).unwrap();
            assert_eq!(read.to_bits(), threshold.to_bits());
        };
        check(0.0, 0, 1);
        check(2_f64.powi(-128), 116, 1);
        check(2_f64.powi(-243), 1, 1);
        check(2_f64.powi(10), 254, 1);
        check(2_f64.powi(-244), 255, 9);
        check(2_f64.powi(11), 255, 9);
        check(0.001, 255, 9);
        check(-0.5, 255, 9);
        check(f64::MIN_POSITIVE / 2.0, 255, 9);
        check(f64::INFINITY, 255, 9);
        check(f64::NAN, 255, 9);
    }

    #[test]
    fn bounds_with_few_decimals_are_short() {
        let check = |bound: f64, size: usize| {
            let bytes = bytes_of(|bits| write_bound(bits, bound));
            assert_eq!(bytes.len(), size, "{bound}");
            let read = read_bound(&mut BitReader::new(&bytes)).unwrap();
            assert_eq!(read.to_bits(), bound.to_bits());
        };
        check(0.0, 1);
        check(0.005, 1);
        check(0.25, 2);
        check(10.0, 3);
        check(33_554.43, 4);
        check(33_554.431, 9);
        check(0.0005, 9);
        check(-1.0, 9);
        check(f64::INFINITY, 9);
        check(f64::NAN, 9);
        check(1.0 / 3.0, 9);
    }
}
