//! Integers of the histogram chunks: a run of ones tells how many bits follow, small numbers take few.
//! Format: docs/format/histogram.md. Compat: Prometheus `tsdb/chunkenc/varbit.go`.

use super::{
    xor::BitWriter,
    xor_reader::{BitReader, ChunkError, PEEK_BITS},
};

/// Payload bits by the number of ones in front.
const WIDTHS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];
/// Ones of the longest prefix, which no zero ends.
const ONES_MAX: usize = WIDTHS.len() - 1;

/// Writes a signed number; ranges are asymmetric as in the XOR chunk.
#[inline]
pub(super) fn put_varbit_int(bits: &mut BitWriter<impl FnMut(u32)>, value: i64) {
    let fits = |width: &u32| {
        let half = 1_i64 << (width - 1);
        (1 - half..=half).contains(&value)
    };
    match value {
        0 => bits.put(0, 1),
        _ => {
            put(bits, value as u64, 1 + WIDTHS[1..ONES_MAX].iter().take_while(|w| !fits(w)).count())
        }
    }
}

/// Writes a number without sign.
#[inline]
pub(super) fn put_varbit_uint(bits: &mut BitWriter<impl FnMut(u32)>, value: u64) {
    match value {
        0 => bits.put(0, 1),
        _ => {
            let is_too_wide = |width: &&u32| value >> **width != 0;
            put(bits, value, 1 + WIDTHS[1..ONES_MAX].iter().take_while(is_too_wide).count());
        }
    }
}

#[inline]
fn put(bits: &mut BitWriter<impl FnMut(u32)>, value: u64, ones: usize) {
    let width = WIDTHS[ones];
    if ones == ONES_MAX {
        bits.put(0xff, 8);
        bits.put_long(value, 64);
        return;
    }
    let prefix = (1_u64 << (ones + 1)) - 2;
    let payload = value & ((1 << width) - 1);
    bits.put_long(prefix << width | payload, ones as u32 + 1 + width);
}

impl BitReader<'_> {
    /// A number that [`put_varbit_int`] wrote.
    #[inline]
    pub(super) fn varbit_int(&mut self) -> Result<i64, ChunkError> {
        let (payload, width) = self.varbit()?;
        if width == 0 || width == 64 {
            return Ok(payload as i64);
        }
        let half = 1 << (width - 1);
        Ok(if payload > half { payload as i64 - (1 << width) } else { payload as i64 })
    }

    /// A number that [`put_varbit_uint`] wrote.
    #[inline]
    pub(super) fn varbit_uint(&mut self) -> Result<u64, ChunkError> {
        Ok(self.varbit()?.0)
    }

    /// Payload and its width.
    #[inline]
    fn varbit(&mut self) -> Result<(u64, u32), ChunkError> {
        let bits = self.peek();
        let ones = bits.leading_ones().min(ONES_MAX as u32);
        if ones == 0 {
            self.skip(1)?;
            return Ok((0, 0));
        }
        let width = WIDTHS[ones as usize];
        let prefix = (ones + 1).min(ONES_MAX as u32);
        if prefix + width <= PEEK_BITS {
            self.skip((prefix + width) as usize)?;
            return Ok((bits << prefix >> (64 - width), width));
        }
        self.skip(prefix as usize)?;
        Ok((self.take(width)?, width))
    }
}
