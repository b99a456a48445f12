//! The open histogram chunk of one series, of either kind, and series written as chunks.

use prom_model::HistogramValue;

use super::{
    super::{Encoding, start_time::Extent, starts::with_starts, xor_reader::ChunkError},
    COUNT_MASK_WITH_START,
    kind::{Floats, Integers, Kind},
    writer::{HistogramWriter, Reset, Written},
};

/// An open chunk.
#[derive(Debug)]
pub(crate) enum OpenHistograms {
    Integer(HistogramWriter<Integers>),
    Float(HistogramWriter<Floats>),
}

/// A chunk that takes no more samples.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EncodedHistograms {
    pub(crate) encoding: Encoding,
    pub(crate) min_t: i64,
    pub(crate) max_t: i64,
    pub(crate) samples_count: u16,
    pub(crate) data: Vec<u8>,
}

impl OpenHistograms {
    /// Begins a chunk because the one before it is full; the header tells whether there was a reset
    /// between them.
    pub(crate) fn begin(t: i64, histogram: &HistogramValue, previous: Option<&Self>) -> Self {
        match histogram {
            HistogramValue::Integer(histogram) => {
                let previous = match previous {
                    Some(Self::Integer(previous)) => Some(previous),
                    _ => None,
                };
                Self::Integer(HistogramWriter::begin_after(t, &**histogram, previous))
            }
            HistogramValue::Float(histogram) => {
                let previous = match previous {
                    Some(Self::Float(previous)) => Some(previous),
                    _ => None,
                };
                Self::Float(HistogramWriter::begin_after(t, &**histogram, previous))
            }
        }
    }

    /// Begins a chunk because the one before it refused the histogram.
    pub(crate) fn begin_refused(t: i64, histogram: &HistogramValue, reset: Reset) -> Self {
        match histogram {
            HistogramValue::Integer(histogram) => {
                Self::Integer(HistogramWriter::begin(t, &**histogram, reset))
            }
            HistogramValue::Float(histogram) => {
                Self::Float(HistogramWriter::begin(t, &**histogram, reset))
            }
        }
    }

    /// Goes on with a chunk of the kind of `last`, its last sample, that was put together before.
    ///
    /// # Errors
    /// The bytes are no such chunk.
    pub(crate) fn reopen(last: &HistogramValue, chunk: &[u8]) -> Result<Self, ChunkError> {
        Ok(match last {
            HistogramValue::Integer(_) => Self::Integer(HistogramWriter::reopen(chunk)?),
            HistogramValue::Float(_) => Self::Float(HistogramWriter::reopen(chunk)?),
        })
    }

    /// Adds a histogram; one of the other kind is refused.
    pub(crate) fn append(&mut self, t: i64, histogram: &HistogramValue) -> Written {
        match (self, histogram) {
            (Self::Integer(chunk), HistogramValue::Integer(histogram)) => {
                chunk.append(t, histogram)
            }
            (Self::Float(chunk), HistogramValue::Float(histogram)) => chunk.append(t, histogram),
            _ => Written::Refused(Reset::Unknown),
        }
    }

    /// Whether the chunk is of the histogram's kind.
    pub(crate) fn is_kind_of(&self, histogram: &HistogramValue) -> bool {
        matches!(
            (self, histogram),
            (Self::Integer(_), HistogramValue::Integer(_))
                | (Self::Float(_), HistogramValue::Float(_))
        )
    }

    pub(crate) fn encoding(&self) -> Encoding {
        match self {
            Self::Integer(_) => Integers::ENCODING,
            Self::Float(_) => Floats::ENCODING,
        }
    }

    pub(crate) fn samples_count(&self) -> u16 {
        match self {
            Self::Integer(chunk) => chunk.samples_count(),
            Self::Float(chunk) => chunk.samples_count(),
        }
    }

    pub(crate) fn size_bytes(&self) -> usize {
        match self {
            Self::Integer(chunk) => chunk.size_bytes(),
            Self::Float(chunk) => chunk.size_bytes(),
        }
    }

    /// Puts the chunk together as files hold it.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Integer(chunk) => chunk.put(out),
            Self::Float(chunk) => chunk.put(out),
        }
    }
}

/// Writes the histograms of a series, in time order, as chunks of at most `count_max` samples. If any of a chunk
/// has a start (0 is none; no starts stand for as many zeros), it tells them.
pub(crate) fn encode_histograms<'a>(
    samples: impl IntoIterator<Item = (i64, &'a HistogramValue)>,
    starts_ms: &[i64],
    count_max: u16,
) -> Vec<EncodedHistograms> {
    let count_max =
        if starts_ms.is_empty() { count_max } else { count_max.min(COUNT_MASK_WITH_START) };
    let mut chunks = encode_plain(samples, count_max);
    let mut rest = starts_ms;
    for chunk in &mut chunks {
        let (of_chunk, after) = rest.split_at(rest.len().min(usize::from(chunk.samples_count)));
        rest = after;
        if of_chunk.iter().any(|start_ms| *start_ms != 0) {
            let (encoding, data) =
                with_starts(chunk.encoding, &chunk.data, (of_chunk, Extent::Whole))
                    .expect("it was encoded just now, of no more samples than that");
            (chunk.encoding, chunk.data) = (encoding, data);
        }
    }
    chunks
}

fn encode_plain<'a>(
    samples: impl IntoIterator<Item = (i64, &'a HistogramValue)>,
    count_max: u16,
) -> Vec<EncodedHistograms> {
    let mut chunks = Vec::new();
    let mut open: Option<(OpenHistograms, i64, i64)> = None;
    let close = |(chunk, min_t, max_t): (OpenHistograms, i64, i64)| {
        let mut data = Vec::with_capacity(chunk.size_bytes());
        chunk.put(&mut data);
        let (encoding, samples_count) = (chunk.encoding(), chunk.samples_count());
        EncodedHistograms { encoding, min_t, max_t, samples_count, data }
    };
    for (t, histogram) in samples {
        let next = match &mut open {
            None => OpenHistograms::begin(t, histogram, None),
            Some((chunk, ..)) if chunk.samples_count() >= count_max => {
                OpenHistograms::begin(t, histogram, Some(chunk))
            }
            Some((chunk, _, max_t)) => match chunk.append(t, histogram) {
                Written::Added | Written::Recoded => {
                    *max_t = t;
                    continue;
                }
                Written::Refused(reset) => OpenHistograms::begin_refused(t, histogram, reset),
            },
        };
        chunks.extend(open.replace((next, t, t)).map(close));
    }
    chunks.extend(open.map(close));
    chunks
}
