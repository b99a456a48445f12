//! Records of a chunk snapshot: series with their open chunks, deletions, exemplars. They are framed and
//! compressed as those of the log, and have numbers of their own. Format: docs/format/chunk_snapshot.md.
//! Compat: Prometheus `tsdb/head_wal.go`, 3.5 and 3.14.

use prom_model::{HistogramValue, Labels};

use super::{
    super::codec::{Cursor, DecodeError, push_uvarint, push_varint},
    RefExemplar, RefTombstone, decode_labels, encode_exemplars,
    histograms::{decode_float, decode_integer, encode_float, encode_integer},
    others::decode_exemplars,
    push_labels,
};
use crate::chunk::Encoding;

const SERIES: u8 = 1;
const TOMBSTONES: u8 = 2;
const EXEMPLARS: u8 = 3;
/// The only version of the tombstones that are within a record.
const TOMBSTONES_VERSION: u8 = 1;
/// Samples that once stood before the last one; they are written as zeros.
const OLD_SAMPLES_COUNT: usize = 3;

/// A series and its open chunk.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SnapshotSeries<'a> {
    pub(crate) series_ref: u64,
    pub(crate) labels: Labels,
    pub(crate) open: Option<SnapshotChunk<'a>>,
}

/// An open chunk as files hold it, and its last value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SnapshotChunk<'a> {
    pub(crate) min_t: i64,
    pub(crate) max_t: i64,
    pub(crate) encoding: Encoding,
    pub(crate) data: &'a [u8],
    pub(crate) last: SnapshotValue,
}

/// A value as it stands beside its chunk.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SnapshotValue {
    /// Bits of a float.
    Float(u64),
    Histogram(HistogramValue),
}

/// A record that has been read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SnapshotRecord<'a> {
    Series(SnapshotSeries<'a>),
    /// There is one in each snapshot, behind all series.
    Tombstones(Vec<RefTombstone>),
    Exemplars(Vec<RefExemplar>),
}

impl SnapshotSeries<'_> {
    /// Writes the record of a series.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(SERIES);
        out.extend_from_slice(&self.series_ref.to_be_bytes());
        push_labels(out, &self.labels);
        // Once the range of chunks; nobody reads it.
        out.extend_from_slice(&0u64.to_be_bytes());
        push_uvarint(out, u64::from(self.open.is_some()));
        let Some(open) = &self.open else { return };
        out.extend_from_slice(&open.min_t.to_be_bytes());
        out.extend_from_slice(&open.max_t.to_be_bytes());
        out.push(open.encoding as u8);
        push_uvarint(out, open.data.len() as u64);
        out.extend_from_slice(open.data);
        match &open.last {
            SnapshotValue::Float(bits) => {
                // The time of the last sample is not told either.
                out.extend_from_slice(&[0; OLD_SAMPLES_COUNT * 16 + 8]);
                out.extend_from_slice(&bits.to_be_bytes());
            }
            SnapshotValue::Histogram(HistogramValue::Integer(one)) => encode_integer(out, one),
            SnapshotValue::Histogram(HistogramValue::Float(one)) => encode_float(out, one),
        }
    }
}

/// Writes the record of all deletions.
pub(crate) fn encode_snapshot_tombstones(out: &mut Vec<u8>, tombstones: &[RefTombstone]) {
    let mut entries = vec![TOMBSTONES_VERSION];
    for one in tombstones {
        push_uvarint(&mut entries, one.series_ref);
        push_varint(&mut entries, one.min_t);
        push_varint(&mut entries, one.max_t);
    }
    out.push(TOMBSTONES);
    push_uvarint(out, entries.len() as u64);
    out.extend_from_slice(&entries);
}

/// Writes a record of exemplars.
pub(crate) fn encode_snapshot_exemplars(out: &mut Vec<u8>, exemplars: &[RefExemplar]) {
    let begin = out.len();
    encode_exemplars(out, exemplars);
    out[begin] = EXEMPLARS;
}

/// Reads a record.
pub(crate) fn decode_snapshot(record: &[u8]) -> Result<SnapshotRecord<'_>, DecodeError> {
    let mut cursor = Cursor(record);
    match cursor.byte()? {
        SERIES => decode_series(cursor).map(SnapshotRecord::Series),
        TOMBSTONES => decode_tombstones(cursor).map(SnapshotRecord::Tombstones),
        EXEMPLARS => decode_exemplars(cursor).map(SnapshotRecord::Exemplars),
        _ => Err(DecodeError::UnknownType),
    }
}

fn decode_series(mut cursor: Cursor<'_>) -> Result<SnapshotSeries<'_>, DecodeError> {
    let series_ref = cursor.u64()?;
    let labels = decode_labels(&mut cursor)?;
    cursor.u64()?;
    let open = match cursor.uvarint()? {
        0 => None,
        _ => Some(decode_chunk(&mut cursor)?),
    };
    match cursor.is_empty() {
        true => Ok(SnapshotSeries { series_ref, labels, open }),
        false => Err(DecodeError::TooLong),
    }
}

fn decode_chunk<'a>(cursor: &mut Cursor<'a>) -> Result<SnapshotChunk<'a>, DecodeError> {
    let (min_t, max_t) = (cursor.u64()? as i64, cursor.u64()? as i64);
    let encoding = Encoding::of_byte(cursor.byte()?).map_err(|_| DecodeError::UnknownType)?;
    let data = cursor.bytes()?;
    let last = match encoding {
        Encoding::Xor | Encoding::Xor2 => {
            for _ in 0..OLD_SAMPLES_COUNT {
                cursor.u64()?;
                cursor.u64()?;
            }
            cursor.u64()?;
            SnapshotValue::Float(cursor.u64()?)
        }
        Encoding::Histogram | Encoding::HistogramWithStart => decode_integer(cursor)?
            .map(SnapshotValue::Histogram)
            .ok_or(DecodeError::InvalidHistogram)?,
        Encoding::FloatHistogram | Encoding::FloatHistogramWithStart => decode_float(cursor)?
            .map(SnapshotValue::Histogram)
            .ok_or(DecodeError::InvalidHistogram)?,
    };
    Ok(SnapshotChunk { min_t, max_t, encoding, data, last })
}

fn decode_tombstones(mut cursor: Cursor<'_>) -> Result<Vec<RefTombstone>, DecodeError> {
    let mut entries = Cursor(cursor.bytes()?);
    if entries.byte()? != TOMBSTONES_VERSION {
        return Err(DecodeError::UnknownType);
    }
    let mut tombstones = Vec::new();
    while !entries.is_empty() {
        let (series_ref, min_t, max_t) = (entries.uvarint()?, entries.varint()?, entries.varint()?);
        tombstones.push(RefTombstone { series_ref, min_t, max_t });
    }
    Ok(tombstones)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prom_model::{FloatHistogram, Histogram};

    use super::*;

    fn series(open: Option<SnapshotChunk<'_>>) -> SnapshotSeries<'_> {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "node")]);
        SnapshotSeries { series_ref: 7 << 40, labels, open }
    }

    fn chunk(encoding: Encoding, last: SnapshotValue) -> SnapshotChunk<'static> {
        SnapshotChunk { min_t: -5, max_t: 1 << 40, encoding, data: b"\0\x02chunk", last }
    }

    #[test]
    fn records_come_back_and_no_cut_one_does() {
        let check = |record: &[u8], expected: &SnapshotRecord<'_>| {
            assert_eq!(decode_snapshot(record).as_ref(), Ok(expected));
            for end in 0..record.len() {
                let found = decode_snapshot(&record[..end]);
                assert!(found.is_err() || found.as_ref() != Ok(expected), "cut at {end}");
            }
        };
        let histogram = Histogram { count: 3, sum: 1.5, ..Histogram::default() };
        let float = FloatHistogram { count: 0.5, ..FloatHistogram::default() };
        let histogram = HistogramValue::Integer(Arc::new(histogram));
        let float = HistogramValue::Float(Arc::new(float));
        for open in [
            None,
            Some(chunk(Encoding::Xor, SnapshotValue::Float(prom_model::STALE_NAN_BITS))),
            Some(chunk(Encoding::Histogram, SnapshotValue::Histogram(histogram))),
            Some(chunk(Encoding::FloatHistogram, SnapshotValue::Histogram(float))),
        ] {
            let mut record = Vec::new();
            series(open.clone()).encode(&mut record);
            check(&record, &SnapshotRecord::Series(series(open)));
            record.push(0);
            assert_eq!(decode_snapshot(&record), Err(DecodeError::TooLong));
        }
        let tombstones = vec![RefTombstone { series_ref: 9, min_t: -1, max_t: 70_000 }];
        let mut record = Vec::new();
        encode_snapshot_tombstones(&mut record, &tombstones);
        check(&record, &SnapshotRecord::Tombstones(tombstones));
        let labels = Labels::from_pairs([("trace_id", "x")]);
        let exemplars = vec![RefExemplar { series_ref: 9, t: 1_000, v: 0.25, labels }];
        record.clear();
        encode_snapshot_exemplars(&mut record, &exemplars);
        check(&record, &SnapshotRecord::Exemplars(exemplars));
    }

    #[test]
    fn other_records_are_refused() {
        for record in [&b""[..], b"\0", b"\x04", b"\xff", b"\x02\x01\x02"] {
            assert!(decode_snapshot(record).is_err(), "{record:?}");
        }
    }
}
