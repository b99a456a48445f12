//! What records say: series and samples here, the other types beside. Compat: Prometheus
//! `tsdb/record/record.go`, 3.14.

mod chunk_snapshot;
mod histograms;
mod keep;
mod others;
mod starts;

#[cfg(test)]
mod tests;

use prom_model::Labels;

use super::codec::{Cursor, DecodeError, push_text, push_uvarint, push_varint};

pub(crate) use self::{
    chunk_snapshot::{
        SnapshotChunk, SnapshotRecord, SnapshotSeries, SnapshotValue, decode_snapshot,
        encode_snapshot_exemplars, encode_snapshot_tombstones,
    },
    histograms::{RefHistogram, encode_histograms, encode_histograms_with_start},
    keep::{Keep, Kept},
    others::{
        RefExemplar, RefMarker, RefMetadata, RefTombstone, encode_exemplars, encode_markers,
        encode_metadata, encode_tombstones,
    },
    starts::{SampleBatch, StartId, Starts, encode_samples_with_start},
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
    starts::decode_samples_with_start,
};

const SERIES: u8 = 1;
const SAMPLES: u8 = 2;
const SAMPLES_WITH_START: u8 = 11;

/// Longest name or value that `Labels` hold.
const TEXT_SIZE_BYTES_MAX: usize = 0x00ff_ffff;

/// One float under its series' ref.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefSample {
    pub(crate) series_ref: u64,
    /// Where the head keeps the series; not on the log, 0 until the head fills it in.
    pub(crate) slot: u32,
    /// Among the starts of its batch.
    pub(crate) start: StartId,
    pub(crate) t: i64,
    pub(crate) v: u64,
}

const _: () = assert!(size_of::<RefSample>() == 32);

/// A series and its ref.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefSeries {
    pub(crate) series_ref: u64,
    pub(crate) labels: Labels,
}

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

/// Reads a record. Samples go into the buffer that `empty_buffer` gives.
pub(crate) fn decode(
    record: &[u8],
    empty_buffer: impl FnOnce() -> Vec<RefSample>,
) -> Result<Decoded, DecodeError> {
    let mut cursor = Cursor(record);
    Ok(match cursor.byte()? {
        SERIES => Decoded::Series(decode_series(cursor)?),
        SAMPLES => Decoded::Samples(decode_samples(cursor, empty_buffer())?.into()),
        SAMPLES_WITH_START => Decoded::Samples(decode_samples_with_start(cursor, empty_buffer())?),
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
    mut samples: Vec<RefSample>,
) -> Result<Vec<RefSample>, DecodeError> {
    if cursor.is_empty() {
        return Ok(samples);
    }
    let first_ref = cursor.u64()?;
    let first_t = cursor.u64()? as i64;
    samples.reserve(cursor.0.len() / (1 + 1 + 8));
    while !cursor.is_empty() {
        let series_ref = first_ref.wrapping_add(cursor.varint()? as u64);
        let t = first_t.wrapping_add(cursor.varint()?);
        let (slot, start) = (0, StartId::NONE);
        samples.push(RefSample { series_ref, slot, start, t, v: cursor.u64()? });
    }
    Ok(samples)
}
