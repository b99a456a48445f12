//! Sample codecs: what a chunk's bytes mean, and where one chunk ends and the next begins.
//! Pure functions over bytes; where chunks are kept is not known here.

mod cut;
mod dense;
mod floats;
mod histogram;
mod start_time;
mod starts;
mod steady;
mod varbit;
mod xor;
mod xor2;
mod xor_reader;

#[cfg(test)]
mod tests;

use prom_storage::{Columns, TimeRange};

pub(crate) use self::{
    cut::{
        ChunkState, HistogramChunkState, is_new_chunk_due, is_new_histogram_chunk_due, range_end_ms,
    },
    dense::{encode_densest, encode_floats},
    histogram::{OpenHistograms, Written, buckets_count, encode_histograms, has_known_schema},
    start_time::Extent,
    starts::with_starts,
    steady::{Form, Steady, first_sample_bits},
    xor::{CHUNK_HEADER_SIZE_BYTES, XorState, chunk_size_bytes},
    xor_reader::{ChunkError, for_each_sample},
    xor2::encode_xor2,
};

use self::{
    floats::read_floats,
    histogram::{Floats, Integers, for_each_histogram},
};

/// How the samples of a chunk are written: the byte that precedes its data in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Encoding {
    Xor = 1,
    Histogram = 2,
    FloatHistogram = 3,
    Xor2 = 4,
    HistogramWithStart = 5,
    FloatHistogramWithStart = 6,
}

impl Encoding {
    /// The encoding of a byte in a file.
    pub(crate) fn of_byte(byte: u8) -> Result<Self, ChunkError> {
        Ok(match byte {
            1 => Self::Xor,
            2 => Self::Histogram,
            3 => Self::FloatHistogram,
            4 => Self::Xor2,
            5 => Self::HistogramWithStart,
            6 => Self::FloatHistogramWithStart,
            _ => return Err(ChunkError::UnknownEncoding(byte)),
        })
    }

    /// Whether it is one of the encodings of histograms with starts.
    pub(crate) fn has_start(self) -> bool {
        matches!(self, Self::HistogramWithStart | Self::FloatHistogramWithStart)
    }

    /// Whether its chunks have places for starts.
    pub(crate) fn holds_starts(self) -> bool {
        self == Self::Xor2 || self.has_start()
    }

    /// Whether its samples are histograms.
    pub(crate) fn is_histogram(self) -> bool {
        !matches!(self, Self::Xor | Self::Xor2)
    }

    /// How many samples there are, by the first two bytes of a chunk.
    pub(crate) fn count_of_header(self, header: u16) -> u16 {
        match self {
            Self::HistogramWithStart | Self::FloatHistogramWithStart => {
                header & histogram::COUNT_MASK_WITH_START
            }
            _ => header,
        }
    }

    pub(crate) fn is_float(self) -> bool {
        matches!(self, Self::Xor | Self::Xor2)
    }
}

/// How many samples a chunk of any encoding says it has.
pub(crate) fn samples_count(encoding: Encoding, chunk: &[u8]) -> Result<u16, ChunkError> {
    let count = chunk.first_chunk().copied().map(u16::from_be_bytes);
    let count = count.ok_or(ChunkError::Truncated)?;
    Ok(encoding.count_of_header(count))
}

/// Appends those of the first `count_max` samples that are within `range`, from a chunk of any encoding, with
/// their starts if it has any.
pub(crate) fn read_chunk(
    encoding: Encoding,
    chunk: &[u8],
    count_max: usize,
    range: TimeRange,
    out: &mut Columns,
) -> Result<(), ChunkError> {
    let (from, to) = (range.mint_ms, range.maxt_ms);
    let has_start = encoding.has_start();
    match encoding {
        Encoding::Xor | Encoding::Xor2 => read_floats(encoding, chunk, count_max, range, out),
        Encoding::Histogram | Encoding::HistogramWithStart => {
            for_each_histogram::<Integers>(chunk, has_start, count_max, from..=to, |t, h, start| {
                out.push_histogram_with_start(t, h, start);
            })
        }
        Encoding::FloatHistogram | Encoding::FloatHistogramWithStart => {
            for_each_histogram::<Floats>(chunk, has_start, count_max, from..=to, |t, h, start| {
                out.push_histogram_with_start(t, h, start);
            })
        }
    }?;
    out.align_starts();
    Ok(())
}
