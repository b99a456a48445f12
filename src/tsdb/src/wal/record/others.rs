//! Records of what is no sample: exemplars, metadata, deletions, and the markers that tell which
//! out-of-order samples stand in chunk files. Compat: Prometheus `tsdb/record/record.go`, 3.14.

use std::sync::Arc;

use prom_model::{Labels, Metadata, MetricType};

use super::{
    super::codec::{Cursor, DecodeError, push_text, push_uvarint, push_varint},
    decode_any_labels, push_labels, text,
};

pub(super) const TOMBSTONES: u8 = 3;
pub(super) const EXEMPLARS: u8 = 4;
pub(super) const MMAP_MARKERS: u8 = 5;
pub(super) const METADATA: u8 = 6;

/// Metric types by their number on the log.
const METRIC_TYPES: [MetricType; 8] = [
    MetricType::Unknown,
    MetricType::Counter,
    MetricType::Gauge,
    MetricType::Histogram,
    MetricType::GaugeHistogram,
    MetricType::Summary,
    MetricType::Info,
    MetricType::StateSet,
];
const UNIT: &str = "UNIT";
const HELP: &str = "HELP";

/// An exemplar under its series' ref.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RefExemplar {
    pub(crate) series_ref: u64,
    pub(crate) t: i64,
    pub(crate) v: f64,
    pub(crate) labels: Labels,
}

/// What is said of a series' metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefMetadata {
    pub(crate) series_ref: u64,
    pub(crate) metadata: Arc<Metadata>,
}

/// Deleted times of a series, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefTombstone {
    pub(crate) series_ref: u64,
    pub(crate) min_t: i64,
    pub(crate) max_t: i64,
}

/// The out-of-order samples of a series up to here stand in this chunk of the head's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefMarker {
    pub(crate) series_ref: u64,
    /// File number in the high half, offset in the low one.
    pub(crate) chunk_ref: u64,
}

impl RefTombstone {
    /// Whether it says that the series has left the head.
    pub(crate) fn is_of_all_times(&self) -> bool {
        (self.min_t, self.max_t) == (i64::MIN, i64::MAX)
    }
}

pub(crate) fn encode_exemplars(out: &mut Vec<u8>, exemplars: &[RefExemplar]) {
    out.push(EXEMPLARS);
    let Some(first) = exemplars.first() else { return };
    out.extend_from_slice(&first.series_ref.to_be_bytes());
    out.extend_from_slice(&first.t.to_be_bytes());
    for one in exemplars {
        push_varint(out, one.series_ref.wrapping_sub(first.series_ref) as i64);
        push_varint(out, one.t.wrapping_sub(first.t));
        out.extend_from_slice(&one.v.to_bits().to_be_bytes());
        push_labels(out, &one.labels);
    }
}

pub(super) fn decode_exemplars(mut cursor: Cursor<'_>) -> Result<Vec<RefExemplar>, DecodeError> {
    let mut exemplars = Vec::new();
    if cursor.is_empty() {
        return Ok(exemplars);
    }
    let (first_ref, first_t) = (cursor.u64()?, cursor.u64()? as i64);
    while !cursor.is_empty() {
        exemplars.push(RefExemplar {
            series_ref: first_ref.wrapping_add(cursor.varint()? as u64),
            t: first_t.wrapping_add(cursor.varint()?),
            v: f64::from_bits(cursor.u64()?),
            labels: decode_any_labels(&mut cursor)?,
        });
    }
    Ok(exemplars)
}

pub(crate) fn encode_metadata(out: &mut Vec<u8>, metadata: &[RefMetadata]) {
    out.push(METADATA);
    for RefMetadata { series_ref, metadata } in metadata {
        push_uvarint(out, *series_ref);
        let number = METRIC_TYPES.iter().position(|kind| *kind == metadata.metric_type);
        out.push(number.unwrap_or(0) as u8);
        push_uvarint(out, 2);
        for (name, value) in [(UNIT, &metadata.unit), (HELP, &metadata.help)] {
            push_text(out, name);
            push_text(out, value);
        }
    }
}

pub(super) fn decode_metadata(mut cursor: Cursor<'_>) -> Result<Vec<RefMetadata>, DecodeError> {
    let mut all = Vec::new();
    while !cursor.is_empty() {
        let series_ref = cursor.uvarint()?;
        let metric_type = METRIC_TYPES.get(usize::from(cursor.byte()?)).copied();
        let metric_type = metric_type.unwrap_or_default();
        let mut metadata = Metadata { metric_type, ..Metadata::default() };
        // Fields of other names come from newer writers.
        for _ in 0..cursor.uvarint()? {
            let (name, value) = (cursor.bytes()?, text(cursor.bytes()?)?);
            match name {
                b"UNIT" => value.clone_into(&mut metadata.unit),
                b"HELP" => value.clone_into(&mut metadata.help),
                _ => {}
            }
        }
        all.push(RefMetadata { series_ref, metadata: Arc::new(metadata) });
    }
    Ok(all)
}

pub(crate) fn encode_tombstones(out: &mut Vec<u8>, tombstones: &[RefTombstone]) {
    out.push(TOMBSTONES);
    for one in tombstones {
        out.extend_from_slice(&one.series_ref.to_be_bytes());
        push_varint(out, one.min_t);
        push_varint(out, one.max_t);
    }
}

pub(super) fn decode_tombstones(mut cursor: Cursor<'_>) -> Result<Vec<RefTombstone>, DecodeError> {
    let mut tombstones = Vec::new();
    while !cursor.is_empty() {
        tombstones.push(RefTombstone {
            series_ref: cursor.u64()?,
            min_t: cursor.varint()?,
            max_t: cursor.varint()?,
        });
    }
    Ok(tombstones)
}

pub(crate) fn encode_markers(out: &mut Vec<u8>, markers: &[RefMarker]) {
    out.push(MMAP_MARKERS);
    for one in markers {
        out.extend_from_slice(&one.series_ref.to_be_bytes());
        out.extend_from_slice(&one.chunk_ref.to_be_bytes());
    }
}

pub(super) fn decode_markers(mut cursor: Cursor<'_>) -> Result<Vec<RefMarker>, DecodeError> {
    let mut markers = Vec::new();
    while !cursor.is_empty() {
        markers.push(RefMarker { series_ref: cursor.u64()?, chunk_ref: cursor.u64()? });
    }
    Ok(markers)
}
