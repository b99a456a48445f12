//! The XOR reader: chunk bytes to times and values. Bytes may be foreign: it never panics and reads
//! nothing outside. Format: docs/format/xor.md.

use super::CHUNK_HEADER_SIZE_BYTES;

/// Bits that one look shows, wherever in a byte it begins.
pub(super) const PEEK_BITS: u32 = 57;

/// What a sample takes that comes at the pace of the one before it, with its value.
const UNCHANGED_BITS: u32 = 2;

/// Why a chunk cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChunkError {
    #[error("chunk ends within a sample")]
    Truncated,
    #[error("value window wider than 64 bits")]
    InvalidWindow,
    #[error("varint longer than 64 bits")]
    InvalidVarint,
    #[error("bucket spans out of range")]
    InvalidSpans,
    #[error("unknown histogram schema {0}")]
    UnknownSchema(i64),
    #[error("more samples than a histogram chunk with start times can have")]
    TooManySamples,
    #[error("unknown chunk encoding {0}")]
    UnknownEncoding(u8),
    #[error("chunk is damaged in its file")]
    Filed,
}

/// Calls `each` with time and value bits of the first `count_max` samples at most, until it says no.
#[inline]
pub(crate) fn for_each_sample(
    chunk: &[u8],
    count_max: usize,
    mut each: impl FnMut(i64, u64) -> bool,
) -> Result<(), ChunkError> {
    let (count, bits) = chunk
        .split_first_chunk::<CHUNK_HEADER_SIZE_BYTES>()
        .map(|(count, bits)| (usize::from(u16::from_be_bytes(*count)), bits))
        .ok_or(ChunkError::Truncated)?;
    let count = count.min(count_max);
    if count == 0 {
        return Ok(());
    }
    let mut reader = BitReader::new(bits);
    let mut t = reader.zigzag()?;
    let mut v = reader.take(64)?;
    if !each(t, v) || count == 1 {
        return Ok(());
    }
    let mut t_delta = reader.varint()?;
    let mut window = Window { leading: 0, trailing: 0 };
    t = t.wrapping_add(t_delta as i64);
    v ^= reader.value_delta(reader.peek(), 0, &mut window)?;
    if !each(t, v) {
        return Ok(());
    }
    let mut left = count - 2;
    while left > 0 {
        let bits = reader.peek();
        let run = unchanged_count(bits).min(left);
        if run > 0 {
            left -= run;
            reader.skip(run * UNCHANGED_BITS as usize)?;
            for _ in 0..run {
                t = t.wrapping_add(t_delta as i64);
                if !each(t, v) {
                    return Ok(());
                }
            }
            continue;
        }
        left -= 1;
        if bits >> 61 == 0b010 {
            // The same pace, and a value in the window there is: the usual case costs less by itself.
            t = t.wrapping_add(t_delta as i64);
            v ^= reader.in_window(bits << 3, 3, &window)?;
            if !each(t, v) {
                return Ok(());
            }
            continue;
        }
        let (dod, delta) = reader.sample(bits, &mut window)?;
        t_delta = t_delta.wrapping_add(dod as u64);
        t = t.wrapping_add(t_delta as i64);
        v ^= delta;
        if !each(t, v) {
            return Ok(());
        }
    }
    Ok(())
}

/// How many samples begin with these bits that come at the pace of the one before, with its value: all
/// their bits are zero.
#[inline]
fn unchanged_count(bits: u64) -> usize {
    (bits.leading_zeros().min(PEEK_BITS) / UNCHANGED_BITS) as usize
}

/// Zero bits on both sides of what is written of a value delta.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Window {
    pub(super) leading: u32,
    pub(super) trailing: u32,
}

#[derive(Debug)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Position of the next bit, and of the end.
    bit: usize,
    end: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, bit: 0, end: bytes.len() * 8 }
    }

    /// How many bits have been read.
    pub(super) fn read_bits(&self) -> usize {
        self.bit
    }

    /// How many bits there still are.
    pub(super) fn rest_bits(&self) -> usize {
        self.end.saturating_sub(self.bit)
    }

    /// The next bits, left-aligned; at least [`PEEK_BITS`] of them, zeros behind the end.
    #[inline]
    pub(super) fn peek(&self) -> u64 {
        let at = self.bit >> 3;
        let word = match self.bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) => u64::from_be_bytes(bytes),
            None => self.peek_at_end(at),
        };
        word << (self.bit & 7)
    }

    #[cold]
    fn peek_at_end(&self, at: usize) -> u64 {
        let mut padded = [0; 8];
        for (to, from) in padded.iter_mut().zip(self.bytes.get(at..).unwrap_or_default()) {
            *to = *from;
        }
        u64::from_be_bytes(padded)
    }

    #[inline]
    pub(super) fn skip(&mut self, count: usize) -> Result<(), ChunkError> {
        self.bit += count;
        if self.bit > self.end { Err(ChunkError::Truncated) } else { Ok(()) }
    }

    /// Takes 1 to 64 bits.
    #[inline]
    pub(super) fn take(&mut self, count: u32) -> Result<u64, ChunkError> {
        let mut value = self.peek() >> (64 - count);
        let shift = self.bit as u32 & 7;
        if count + shift > 64 {
            // The window is a byte short: its low bits stand in the ninth byte.
            let missing = count + shift - 64;
            let ninth = self.bytes.get((self.bit >> 3) + 8).copied().unwrap_or(0);
            value |= u64::from(ninth >> (8 - missing));
        }
        self.skip(count as usize)?;
        Ok(value)
    }

    pub(super) fn varint(&mut self) -> Result<u64, ChunkError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(8)?;
            if shift == 63 && byte > 1 {
                return Err(ChunkError::InvalidVarint);
            }
            value |= (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ChunkError::InvalidVarint)
    }

    /// A signed varint.
    pub(super) fn zigzag(&mut self) -> Result<i64, ChunkError> {
        let zigzag = self.varint()?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    /// Reads delta of delta and value delta of one sample from the bits that come next, in one look where
    /// they allow.
    #[inline]
    fn sample(&mut self, bits: u64, window: &mut Window) -> Result<(i64, u64), ChunkError> {
        if bits >> 63 == 0 {
            return Ok((0, self.value_delta(bits << 1, 1, window)?));
        }
        let (prefix, width) = match bits.leading_ones() {
            1 => (2, 14),
            2 => (3, 17),
            3 => (4, 20),
            _ => {
                self.skip(4)?;
                let dod = self.take(64)? as i64;
                return Ok((dod, self.value_delta(self.peek(), 0, window)?));
            }
        };
        let payload = (bits << prefix >> (64 - width)) as i64;
        // Not two's complement: the middle value is positive.
        let dod = if payload > 1 << (width - 1) { payload - (1 << width) } else { payload };
        let used = prefix + width;
        Ok((dod, self.value_delta(bits << used, used, window)?))
    }

    /// Reads what the next value differs in. `bits` are those that follow, `used` of the bits that were
    /// looked at are before them: at most 24, so at least 33 are there.
    #[inline]
    pub(super) fn value_delta(
        &mut self,
        bits: u64,
        used: u32,
        window: &mut Window,
    ) -> Result<u64, ChunkError> {
        if bits >> 63 == 0 {
            self.skip(used as usize + 1)?;
            return Ok(0);
        }
        if bits >> 62 == 0b10 {
            return self.in_window(bits << 2, used + 2, window);
        }
        let leading = (bits << 2 >> 59) as u32;
        let size = match (bits << 7 >> 58) as u32 {
            0 => 64,
            size => size,
        };
        let trailing = (64 - leading).checked_sub(size).ok_or(ChunkError::InvalidWindow)?;
        *window = Window { leading, trailing };
        self.in_window(bits << 13, used + 13, window)
    }

    /// Reads what the next value differs in within the window; `bits` and `used` as above.
    #[inline]
    fn in_window(&mut self, bits: u64, used: u32, window: &Window) -> Result<u64, ChunkError> {
        let size = 64 - window.leading - window.trailing;
        if used + size <= PEEK_BITS {
            self.skip((used + size) as usize)?;
            return Ok((bits >> (64 - size)) << window.trailing);
        }
        self.skip(used as usize)?;
        Ok(self.take(size)? << window.trailing)
    }
}
