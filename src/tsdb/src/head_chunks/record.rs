//! One chunk as its file holds it, both ways. Pure; bytes may be foreign.

use crate::chunk::Encoding;

/// Ref, first and last time, encoding; then the size as a varint, the data, the checksum.
const SERIES_REF_OFFSET: usize = 0;
const MIN_T_OFFSET: usize = SERIES_REF_OFFSET + 8;
const MAX_T_OFFSET: usize = MIN_T_OFFSET + 8;
const ENCODING_OFFSET: usize = MAX_T_OFFSET + 8;
const SIZE_OFFSET: usize = ENCODING_OFFSET + 1;
const CHECKSUM_SIZE_BYTES: usize = 4;
/// A size that a chunk can have takes no more bytes than this.
const SIZE_SIZE_BYTES_MAX: usize = 5;
/// Set in the encoding of a chunk with out-of-order samples.
const OUT_OF_ORDER_BIT: u8 = 1 << 7;

/// A chunk in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadChunk<'a> {
    pub(crate) series_ref: u64,
    pub(crate) min_t: i64,
    pub(crate) max_t: i64,
    /// The byte that tells how the samples are written.
    pub(crate) encoding: u8,
    pub(crate) is_out_of_order: bool,
    pub(crate) data: &'a [u8],
}

/// Why there is no chunk at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadChunkError {
    #[error("chunk is cut short")]
    Short,
    #[error("size of the chunk is no varint")]
    InvalidSize,
    #[error("checksum mismatch")]
    Checksum,
    #[error("not the chunk that was written there")]
    OtherChunk,
}

/// Appends a chunk to `out`.
pub(crate) fn encode_head_chunk(out: &mut Vec<u8>, chunk: &HeadChunk<'_>) {
    let begin = out.len();
    out.extend_from_slice(&chunk.series_ref.to_be_bytes());
    out.extend_from_slice(&chunk.min_t.to_be_bytes());
    out.extend_from_slice(&chunk.max_t.to_be_bytes());
    out.push(chunk.encoding | if chunk.is_out_of_order { OUT_OF_ORDER_BIT } else { 0 });
    let mut size = chunk.data.len();
    while size >= 0x80 {
        out.push(size as u8 | 0x80);
        size >>= 7;
    }
    out.push(size as u8);
    out.extend_from_slice(chunk.data);
    let checksum = crc32c::crc32c(&out[begin..]);
    out.extend_from_slice(&checksum.to_be_bytes());
}

/// Longest time from the first to the last sample of a chunk that is looked for: 35 years.
const DURATION_MS_MAX: i64 = 1 << 40;

/// Whether there may be a chunk here: to be asked before a checksum is made at each byte of a file.
pub(super) fn is_plausible_head_chunk(bytes: &[u8]) -> bool {
    let time_at = |offset: usize| {
        let field = bytes.get(offset..offset + 8).and_then(|field| field.try_into().ok());
        field.map(i64::from_be_bytes)
    };
    let (Some(min_t), Some(max_t)) = (time_at(MIN_T_OFFSET), time_at(MAX_T_OFFSET)) else {
        return false;
    };
    let duration_ms = max_t.checked_sub(min_t);
    let encoding = bytes.get(ENCODING_OFFSET).map(|byte| byte & !OUT_OF_ORDER_BIT);
    duration_ms.is_some_and(|duration_ms| (0..=DURATION_MS_MAX).contains(&duration_ms))
        && encoding.is_some_and(|encoding| Encoding::of_byte(encoding).is_ok())
}

/// Reads the chunk at the beginning of `bytes`; gives its size, too.
pub(super) fn read_head_chunk(bytes: &[u8]) -> Result<(HeadChunk<'_>, usize), HeadChunkError> {
    let u64_at = |offset: usize| -> Result<u64, HeadChunkError> {
        let field = bytes.get(offset..offset + 8).and_then(|field| field.try_into().ok());
        field.map(u64::from_be_bytes).ok_or(HeadChunkError::Short)
    };
    let (series_ref, min_t, max_t) =
        (u64_at(SERIES_REF_OFFSET)?, u64_at(MIN_T_OFFSET)?, u64_at(MAX_T_OFFSET)?);
    let encoding = *bytes.get(ENCODING_OFFSET).ok_or(HeadChunkError::Short)?;
    let (mut size, mut size_size) = (0u64, 0);
    loop {
        if size_size == SIZE_SIZE_BYTES_MAX {
            return Err(HeadChunkError::InvalidSize);
        }
        let byte = *bytes.get(SIZE_OFFSET + size_size).ok_or(HeadChunkError::Short)?;
        size |= u64::from(byte & 0x7f) << (7 * size_size);
        size_size += 1;
        if byte < 0x80 {
            break;
        }
    }
    let data_begin = SIZE_OFFSET + size_size;
    let rest = bytes.get(data_begin..).ok_or(HeadChunkError::Short)?;
    let size = usize::try_from(size).map_err(|_| HeadChunkError::Short)?;
    let (data, rest) = rest.split_at_checked(size).ok_or(HeadChunkError::Short)?;
    let checksum = rest.first_chunk::<CHECKSUM_SIZE_BYTES>().ok_or(HeadChunkError::Short)?;
    let summed = bytes.get(..data_begin + size).ok_or(HeadChunkError::Short)?;
    if crc32c::crc32c(summed).to_be_bytes() != *checksum {
        return Err(HeadChunkError::Checksum);
    }
    let chunk = HeadChunk {
        series_ref,
        min_t: min_t as i64,
        max_t: max_t as i64,
        encoding: encoding & !OUT_OF_ORDER_BIT,
        is_out_of_order: encoding & OUT_OF_ORDER_BIT != 0,
        data,
    };
    Ok((chunk, data_begin + size + CHECKSUM_SIZE_BYTES))
}
