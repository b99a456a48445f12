//! What records say. Series and samples are read and written; the others are told by their type and
//! counted. Compat: Prometheus `tsdb/record/record.go`, 3.14.

use std::borrow::Cow;

use prom_model::Labels;

use super::codec::{Cursor, DecodeError, push_text, push_uvarint, push_varint};

const SERIES: u8 = 1;
const SAMPLES: u8 = 2;
const SAMPLES_WITH_START: u8 = 11;

/// Longest name or value that `Labels` hold.
const TEXT_SIZE_BYTES_MAX: usize = 0x00ff_ffff;
/// Samples with start time: how the start is told.
const START_NONE: u8 = 0;
const START_SAME: u8 = 1;

/// One float under its series' ref.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefSample {
    pub(crate) series_ref: u64,
    /// Where the head keeps the series; not on the log, 0 until the head fills it in.
    pub(crate) slot: u32,
    pub(crate) t: i64,
    pub(crate) v: u64,
}

/// A series and its ref.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefSeries {
    pub(crate) series_ref: u64,
    pub(crate) labels: Labels,
}

pub(crate) type SampleBatch = Vec<RefSample>;

/// A record that has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    Series(Vec<RefSeries>),
    Samples(SampleBatch),
    /// Left where it is; the name is the type's, for the counter.
    Skipped(&'static str),
}

/// What of old records is still needed.
#[derive(Clone, Copy)]
pub(crate) struct Keep<'a> {
    /// Whether the series is in the head, or mentioned by segments that stay (trap 5).
    pub(crate) is_series_needed: &'a dyn Fn(u64) -> bool,
    /// Samples before are in blocks.
    pub(crate) min_t: i64,
}

impl std::fmt::Debug for Keep<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keep").field("min_t", &self.min_t).finish_non_exhaustive()
    }
}

impl Keep<'_> {
    /// What is needed of a record, as a record; `None` if nothing is. Records that are not read yet are
    /// needed as they are.
    pub(crate) fn needed<'r>(
        &self,
        record: &'r [u8],
    ) -> Result<Option<Cow<'r, [u8]>>, DecodeError> {
        let mut out = Vec::new();
        match decode(record, Vec::new)? {
            Decoded::Series(mut series) => {
                series.retain(|one| (self.is_series_needed)(one.series_ref));
                if !series.is_empty() {
                    let entries = series.iter().map(|one| (one.series_ref, &one.labels));
                    encode_series(&mut out, entries);
                }
            }
            Decoded::Samples(mut samples) if record.first() == Some(&SAMPLES) => {
                samples.retain(|sample| sample.t >= self.min_t);
                if !samples.is_empty() {
                    encode_samples(&mut out, &samples);
                }
            }
            // Rewriting these would lose what is not read of them.
            Decoded::Samples(samples) => {
                let is_needed = samples.iter().any(|sample| sample.t >= self.min_t);
                return Ok(is_needed.then_some(Cow::Borrowed(record)));
            }
            Decoded::Skipped(_) => return Ok(Some(Cow::Borrowed(record))),
        }
        Ok((!out.is_empty()).then_some(Cow::Owned(out)))
    }
}

/// Writes a series record.
pub(crate) fn encode_series<'a>(
    out: &mut Vec<u8>,
    series: impl IntoIterator<Item = (u64, &'a Labels)>,
) {
    out.push(SERIES);
    for (series_ref, labels) in series {
        out.extend_from_slice(&series_ref.to_be_bytes());
        push_uvarint(out, labels.count() as u64);
        for (name, value) in labels {
            push_text(out, name);
            push_text(out, value);
        }
    }
}

/// Writes a samples record. Differences are to the first sample, so low refs first keep them short.
pub(crate) fn encode_samples(out: &mut Vec<u8>, samples: &[RefSample]) {
    out.push(SAMPLES);
    let Some(first) = samples.first() else { return };
    out.extend_from_slice(&first.series_ref.to_be_bytes());
    out.extend_from_slice(&first.t.to_be_bytes());
    for sample in samples {
        push_varint(out, sample.series_ref.wrapping_sub(first.series_ref) as i64);
        push_varint(out, sample.t.wrapping_sub(first.t));
        out.extend_from_slice(&sample.v.to_be_bytes());
    }
}

/// Reads a record. Samples go into the batch that `empty_batch` gives.
pub(crate) fn decode(
    record: &[u8],
    empty_batch: impl FnOnce() -> SampleBatch,
) -> Result<Decoded, DecodeError> {
    let mut cursor = Cursor(record);
    Ok(match cursor.byte()? {
        SERIES => Decoded::Series(decode_series(cursor)?),
        SAMPLES => Decoded::Samples(decode_samples(cursor, empty_batch())?),
        SAMPLES_WITH_START => Decoded::Samples(decode_samples_with_start(cursor, empty_batch())?),
        3 => Decoded::Skipped("tombstones"),
        4 => Decoded::Skipped("exemplars"),
        5 => Decoded::Skipped("mmapmarkers"),
        6 => Decoded::Skipped("metadata"),
        7 => Decoded::Skipped("histogram_samples"),
        8 => Decoded::Skipped("float_histogram_samples"),
        9 => Decoded::Skipped("custom_buckets_histogram_samples"),
        10 => Decoded::Skipped("custom_buckets_float_histogram_samples"),
        12 => Decoded::Skipped("histogram_samples_v2"),
        13 => Decoded::Skipped("float_histogram_samples_v2"),
        _ => Decoded::Skipped("unknown"),
    })
}

fn decode_series(mut cursor: Cursor<'_>) -> Result<Vec<RefSeries>, DecodeError> {
    let mut series = Vec::new();
    while !cursor.is_empty() {
        let series_ref = cursor.u64()?;
        series.push(RefSeries { series_ref, labels: decode_labels(&mut cursor)? });
    }
    Ok(series)
}

fn decode_labels(cursor: &mut Cursor<'_>) -> Result<Labels, DecodeError> {
    let count = cursor.uvarint()?;
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for _ in 0..count {
        let (name, value) = (text(cursor.bytes()?)?, text(cursor.bytes()?)?);
        if !value.is_empty() {
            pairs.push((name, value));
        }
    }
    if pairs.is_empty() {
        return Err(DecodeError::NoLabels);
    }
    let is_sorted = pairs.windows(2).all(|pair| pair[0].0 < pair[1].0);
    Ok(if is_sorted { Labels::from_sorted(pairs) } else { Labels::from_pairs(pairs) })
}

fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    if bytes.len() > TEXT_SIZE_BYTES_MAX {
        return Err(DecodeError::TextTooLong);
    }
    str::from_utf8(bytes).map_err(|_| DecodeError::InvalidText)
}

fn decode_samples(
    mut cursor: Cursor<'_>,
    mut samples: SampleBatch,
) -> Result<SampleBatch, DecodeError> {
    if cursor.is_empty() {
        return Ok(samples);
    }
    let first_ref = cursor.u64()?;
    let first_t = cursor.u64()? as i64;
    samples.reserve(cursor.0.len() / (1 + 1 + 8));
    while !cursor.is_empty() {
        let series_ref = first_ref.wrapping_add(cursor.varint()? as u64);
        let t = first_t.wrapping_add(cursor.varint()?);
        samples.push(RefSample { series_ref, slot: 0, t, v: cursor.u64()? });
    }
    Ok(samples)
}

fn decode_samples_with_start(
    mut cursor: Cursor<'_>,
    mut samples: SampleBatch,
) -> Result<SampleBatch, DecodeError> {
    samples.reserve(cursor.0.len() / (1 + 1 + 1 + 8));
    while !cursor.is_empty() {
        let (series_ref, t) = match (samples.first(), samples.last()) {
            (Some(first), Some(previous)) => {
                let series_ref = previous.series_ref.wrapping_add(cursor.varint()? as u64);
                let t = first.t.wrapping_add(cursor.varint()?);
                if !matches!(cursor.byte()?, START_NONE | START_SAME) {
                    cursor.varint()?;
                }
                (series_ref, t)
            }
            _ => {
                let (series_ref, t) = (cursor.varint()? as u64, cursor.varint()?);
                cursor.varint()?;
                (series_ref, t)
            }
        };
        samples.push(RefSample { series_ref, slot: 0, t, v: cursor.u64()? });
    }
    Ok(samples)
}
