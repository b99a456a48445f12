//! What benchmarks measure below the public door. No other room may use it.

mod blocks;

use prom_model::HistogramValue;
use prom_storage::{Columns, StorageError, TimeRange};

use crate::{
    WalCompression,
    chunk::{
        Encoding, Extent, XorState, encode_histograms, encode_xor2, for_each_sample, read_chunk,
    },
    wal::{
        Compressor, Decoded, EncodedRecord, RefSample, StartId, decode_record, encode_samples,
        frame_record,
    },
};

pub use self::blocks::{SampledSeries, chunk_sizes, intersect, merge, open_index, write_series};

/// An XOR chunk of the samples, at most 65 535.
pub fn encode_chunk(samples: &[(i64, f64)], chunk: &mut Vec<u8>) {
    chunk.clear();
    chunk.extend_from_slice(&(samples.len() as u16).to_be_bytes());
    let mut state = XorState::new();
    let mut last = (0, 0);
    for (index, (t, v)) in samples.iter().enumerate() {
        let sample = (*t, v.to_bits());
        let sink = |word: u32| chunk.extend_from_slice(&word.to_be_bytes());
        match index {
            0 => state.write_first(sample.0, sample.1, sink),
            _ => state.write_next(index as u16, last, sample, sink),
        }
        last = sample;
    }
    let (size, tail) = state.tail_bytes();
    chunk.extend_from_slice(&tail[..size]);
}

/// The samples of an XOR chunk.
///
/// # Errors
/// The bytes are no chunk.
pub fn decode_chunk(chunk: &[u8], out: &mut Columns) -> Result<(), StorageError> {
    for_each_sample(chunk, usize::MAX, |t, v| {
        out.push(t, f64::from_bits(v));
        true
    })
    .map_err(|err| StorageError::InvalidSeries(err.to_string()))
}

/// Encodes commits as the log does.
#[derive(Debug, Default)]
pub struct LogEncoder {
    compressor: Compressor,
    record: Vec<u8>,
    frames: Vec<u8>,
}

impl LogEncoder {
    /// The framed record of samples given as ref, time and value.
    pub fn encode(&mut self, samples: &[(u64, i64, f64)], compression: WalCompression) -> &[u8] {
        let samples: Vec<RefSample> = samples
            .iter()
            .map(|(series_ref, t, v)| RefSample {
                series_ref: *series_ref,
                slot: 0,
                start: StartId::NONE,
                t: *t,
                v: v.to_bits(),
            })
            .collect();
        self.record.clear();
        encode_samples(&mut self.record, &samples);
        let (compression, _) = self.compressor.compress(compression, &mut self.record);
        self.frames.clear();
        let record = EncodedRecord { compression, payload: &self.record };
        frame_record(&mut self.frames, record);
        &self.frames
    }

    /// Stored bytes of the record that was encoded last, and how they are stored.
    pub fn stored(&self) -> &[u8] {
        &self.record
    }
}

/// Decodes a stored record; gives the number of its samples.
///
/// # Errors
/// The bytes are no record.
pub fn decode_log_record(
    stored: &[u8],
    compression: WalCompression,
    buffer: &mut Vec<u8>,
) -> Result<usize, StorageError> {
    let record = EncodedRecord { compression, payload: stored };
    let decoded = decode_record(record, buffer, Vec::new);
    match decoded.map_err(StorageError::InvalidSeries)? {
        Decoded::Samples(batch) => Ok(batch.samples.len()),
        Decoded::Series(series) => Ok(series.len()),
        Decoded::Histograms(histograms) => Ok(histograms.len()),
        _ => Ok(0),
    }
}

/// Histogram chunks of at most `count_max` samples each, as encoding byte and data.
pub fn encode_histogram_chunks(
    samples: &[(i64, HistogramValue)],
    count_max: u16,
) -> Vec<(u8, Vec<u8>)> {
    let samples = samples.iter().map(|(t, histogram)| (*t, histogram));
    let chunks = encode_histograms(samples, &[], count_max);
    chunks.into_iter().map(|chunk| (chunk.encoding as u8, chunk.data)).collect()
}

/// An XOR2 chunk of the samples, at most 65 535.
pub fn encode_xor2_chunk(samples: &[(i64, u64)], chunk: &mut Vec<u8>) {
    chunk.clear();
    encode_xor2(samples, (&[], Extent::Whole), chunk);
}

/// The samples of a chunk of any encoding.
///
/// # Errors
/// The bytes are no chunk.
pub fn decode_any_chunk(encoding: u8, chunk: &[u8], out: &mut Columns) -> Result<(), StorageError> {
    let all = TimeRange { mint_ms: i64::MIN, maxt_ms: i64::MAX };
    let read = Encoding::of_byte(encoding)
        .and_then(|encoding| read_chunk(encoding, chunk, usize::MAX, all, out));
    read.map_err(|err| StorageError::InvalidSeries(err.to_string()))
}
