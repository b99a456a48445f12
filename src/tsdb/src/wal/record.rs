//! What records say: series and samples here, the other types beside. Records with start times are read and
//! never written. Compat: Prometheus `tsdb/record/record.go`, 3.14.

mod chunk_snapshot;
mod histograms;
mod keep;
mod others;

#[cfg(test)]
mod tests;

use prom_model::Labels;

use super::codec::{Cursor, DecodeError, push_text, push_uvarint, push_varint};

pub(crate) use self::{
    chunk_snapshot::{
        SnapshotChunk, SnapshotRecord, SnapshotSeries, SnapshotValue, decode_snapshot,
        encode_snapshot_exemplars, encode_snapshot_tombstones,
    },
    histograms::{RefHistogram, encode_histograms},
    keep::{Keep, Kept},
    others::{
        RefExemplar, RefMarker, RefMetadata, RefTombstone, encode_exemplars, encode_markers,
        encode_metadata, encode_tombstones,
    },
};
use self::{
    histograms::{
        CUSTOM_FLOAT_HISTOGRAMS, CUSTOM_HISTOGRAMS, FLOAT_HISTOGRAMS, FLOAT_HISTOGRAMS_WITH_START,
        HISTOGRAMS, HISTOGRAMS_WITH_START, decode_histograms, decode_histograms_with_start,
    },
    others::{
        EXEMPLARS, METADATA, MMAP_MARKERS, TOMBSTONES, decode_exemplars, decode_markers,
        decode_metadata, decode_tombstones,
    },
};

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
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Decoded {
    Series(Vec<RefSeries>),
    Samples(SampleBatch),
    Histograms(Vec<RefHistogram>),
    Exemplars(Vec<RefExemplar>),
    Metadata(Vec<RefMetadata>),
    Tombstones(Vec<RefTombstone>),
    Markers(Vec<RefMarker>),
    /// Left where it is; the name is the type's, for the counter.
    Skipped(&'static str),
}

/// What of the log is looked for where the samples stand elsewhere: series, their metadata, and which of them
/// left the head.
pub(crate) fn decode_of_series(record: &[u8]) -> Result<Option<Decoded>, DecodeError> {
    match record.first() {
        Some(&(SERIES | METADATA)) => decode(record, Vec::new).map(Some),
        Some(&TOMBSTONES) => decode(record, Vec::new).map(|decoded| match decoded {
            Decoded::Tombstones(mut tombstones) => {
                tombstones.retain(RefTombstone::is_of_all_times);
                (!tombstones.is_empty()).then_some(Decoded::Tombstones(tombstones))
            }
            other => Some(other),
        }),
        _ => Ok(None),
    }
}

impl Decoded {
    /// The type's name, for counters.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::Series(_) => "series",
            Self::Samples(_) => "samples",
            Self::Histograms(_) => "histogram_samples",
            Self::Exemplars(_) => "exemplars",
            Self::Metadata(_) => "metadata",
            Self::Tombstones(_) => "tombstones",
            Self::Markers(_) => "mmapmarkers",
            Self::Skipped(name) => name,
        }
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
        push_labels(out, labels);
    }
}

/// Adds a series to a series record that has been begun.
pub(crate) fn push_series<'a>(
    out: &mut Vec<u8>,
    series_ref: u64,
    labels: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
) {
    out.extend_from_slice(&series_ref.to_be_bytes());
    push_pairs(out, labels.len(), labels);
}

fn push_labels(out: &mut Vec<u8>, labels: &Labels) {
    push_pairs(out, labels.count(), labels.iter());
}

fn push_pairs<'a>(
    out: &mut Vec<u8>,
    count: usize,
    labels: impl Iterator<Item = (&'a str, &'a str)>,
) {
    push_uvarint(out, count as u64);
    for (name, value) in labels {
        push_text(out, name);
        push_text(out, value);
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
        TOMBSTONES => Decoded::Tombstones(decode_tombstones(cursor)?),
        EXEMPLARS => Decoded::Exemplars(decode_exemplars(cursor)?),
        MMAP_MARKERS => Decoded::Markers(decode_markers(cursor)?),
        METADATA => Decoded::Metadata(decode_metadata(cursor)?),
        kind @ (HISTOGRAMS | FLOAT_HISTOGRAMS | CUSTOM_HISTOGRAMS | CUSTOM_FLOAT_HISTOGRAMS) => {
            Decoded::Histograms(decode_histograms(kind, cursor)?)
        }
        kind @ (HISTOGRAMS_WITH_START | FLOAT_HISTOGRAMS_WITH_START) => {
            Decoded::Histograms(decode_histograms_with_start(kind, cursor)?)
        }
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
    let labels = decode_any_labels(cursor)?;
    if labels.is_empty() { Err(DecodeError::NoLabels) } else { Ok(labels) }
}

fn decode_any_labels(cursor: &mut Cursor<'_>) -> Result<Labels, DecodeError> {
    let count = cursor.uvarint()?;
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for _ in 0..count {
        let (name, value) = (text(cursor.bytes()?)?, text(cursor.bytes()?)?);
        if !value.is_empty() {
            pairs.push((name, value));
        }
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
                start_time_skip(&mut cursor)?;
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

/// Reads over the start time of an entry that is not the first.
fn start_time_skip(cursor: &mut Cursor<'_>) -> Result<(), DecodeError> {
    if !matches!(cursor.byte()?, START_NONE | START_SAME) {
        cursor.varint()?;
    }
    Ok(())
}
