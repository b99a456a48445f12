//! Start times put behind the samples of a histogram chunk, whose own bits stay as they are.

use super::{
    super::{
        start_time::{Extent, StartWriter},
        xor::BitWriter,
        xor_reader::{BitReader, ChunkError},
    },
    COUNT_MASK_WITH_START, FLAGS_OFFSET, HISTOGRAM_HEADER_SIZE_BYTES, RESET_MASK,
    kind::Kind,
    reader::HistogramReader,
};

/// Bits that are copied at a time.
const COPIED_BITS_MAX: usize = 64;

/// Writes the samples of a chunk without start times, and their starts.
///
/// # Errors
/// The bytes are no such chunk, or there are more samples than one with start times can have.
pub(crate) fn add_starts<K: Kind>(
    chunk: &[u8],
    (starts_ms, extent): (&[i64], Extent),
    out: &mut Vec<u8>,
) -> Result<(), ChunkError> {
    let (header, source) =
        chunk.split_first_chunk::<HISTOGRAM_HEADER_SIZE_BYTES>().ok_or(ChunkError::Truncated)?;
    let count = u16::from_be_bytes([header[0], header[1]]);
    if count > COUNT_MASK_WITH_START {
        return Err(ChunkError::TooManySamples);
    }
    let mut starts = StartWriter::new(starts_ms, extent);
    let reset = u16::from(header[FLAGS_OFFSET] & RESET_MASK) << 8;
    out.extend_from_slice(&(reset | count).to_be_bytes());
    out.push(starts.header());
    let mut reader = HistogramReader::<K>::new(chunk, false)?;
    let mut source = BitReader::new(source);
    let mut bits = BitWriter::new((0, 0), |word: u32| out.extend_from_slice(&word.to_be_bytes()));
    let (mut index, mut previous_t) = (0, 0);
    while let Some(t) = reader.advance()? {
        while source.read_bits() < reader.read_bits() {
            let count = (reader.read_bits() - source.read_bits()).min(COPIED_BITS_MAX) as u32;
            bits.put_long(source.take(count)?, count);
        }
        starts.put(&mut bits, index, t, previous_t);
        (index, previous_t) = (index + 1, t);
    }
    let (tail, tail_bits) = bits.finish();
    let aligned = if tail_bits == 0 { 0 } else { tail << (32 - u32::from(tail_bits)) };
    out.extend_from_slice(&aligned.to_be_bytes()[..usize::from(tail_bits).div_ceil(8)]);
    Ok(())
}
