//! The numbers of one histogram sample, each told by the way it moves: integers as the difference of
//! differences, floats as the XOR with the number before.

use super::super::{
    varbit::{put_varbit_int, put_varbit_uint},
    xor::{BitWriter, NO_WINDOW, put_value},
    xor_reader::{BitReader, ChunkError, Window},
};

/// A number that moves from sample to sample.
pub(crate) trait Field: Copy + std::fmt::Debug {
    type Value: Copy + Default + PartialEq + std::fmt::Debug;

    /// Fewest bits that the first number takes.
    const FIRST_BITS_MIN: usize;

    fn write_first(bits: &mut BitWriter<impl FnMut(u32)>, value: Self::Value) -> Self;

    fn write_next(&mut self, bits: &mut BitWriter<impl FnMut(u32)>, value: Self::Value);

    /// Writes what stands in the place of the number in a staleness marker.
    fn write_stale(&mut self, bits: &mut BitWriter<impl FnMut(u32)>);

    fn read_first(bits: &mut BitReader<'_>) -> Result<Self, ChunkError>;

    fn read_next(&mut self, bits: &mut BitReader<'_>) -> Result<(), ChunkError>;

    fn value(&self) -> Self::Value;
}

/// A count, or the difference of a bucket to the bucket before it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Whole {
    value: i64,
    delta: i64,
}

/// A count that is never negative: its first number is written without sign.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count(Whole);

/// A float.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Real {
    value: u64,
    window: (u8, u8),
}

impl Field for Whole {
    type Value = i64;
    const FIRST_BITS_MIN: usize = 1;

    fn write_first(bits: &mut BitWriter<impl FnMut(u32)>, value: i64) -> Self {
        put_varbit_int(bits, value);
        Self { value, delta: 0 }
    }

    #[inline]
    fn write_next(&mut self, bits: &mut BitWriter<impl FnMut(u32)>, value: i64) {
        let delta = value.wrapping_sub(self.value);
        put_varbit_int(bits, delta.wrapping_sub(self.delta));
        *self = Self { value, delta };
    }

    fn write_stale(&mut self, bits: &mut BitWriter<impl FnMut(u32)>) {
        put_varbit_int(bits, 0);
    }

    fn read_first(bits: &mut BitReader<'_>) -> Result<Self, ChunkError> {
        Ok(Self { value: bits.varbit_int()?, delta: 0 })
    }

    #[inline]
    fn read_next(&mut self, bits: &mut BitReader<'_>) -> Result<(), ChunkError> {
        self.delta = self.delta.wrapping_add(bits.varbit_int()?);
        self.value = self.value.wrapping_add(self.delta);
        Ok(())
    }

    fn value(&self) -> i64 {
        self.value
    }
}

impl Field for Count {
    type Value = u64;
    const FIRST_BITS_MIN: usize = 1;

    fn write_first(bits: &mut BitWriter<impl FnMut(u32)>, value: u64) -> Self {
        put_varbit_uint(bits, value);
        Self(Whole { value: value as i64, delta: 0 })
    }

    fn write_next(&mut self, bits: &mut BitWriter<impl FnMut(u32)>, value: u64) {
        self.0.write_next(bits, value as i64);
    }

    fn write_stale(&mut self, bits: &mut BitWriter<impl FnMut(u32)>) {
        self.0.write_stale(bits);
    }

    fn read_first(bits: &mut BitReader<'_>) -> Result<Self, ChunkError> {
        Ok(Self(Whole { value: bits.varbit_uint()? as i64, delta: 0 }))
    }

    fn read_next(&mut self, bits: &mut BitReader<'_>) -> Result<(), ChunkError> {
        self.0.read_next(bits)
    }

    fn value(&self) -> u64 {
        self.0.value as u64
    }
}

impl Field for Real {
    type Value = f64;
    const FIRST_BITS_MIN: usize = 64;

    fn write_first(bits: &mut BitWriter<impl FnMut(u32)>, value: f64) -> Self {
        bits.put_long(value.to_bits(), 64);
        Self { value: value.to_bits(), window: (NO_WINDOW, 0) }
    }

    #[inline]
    fn write_next(&mut self, bits: &mut BitWriter<impl FnMut(u32)>, value: f64) {
        put_value(bits, value.to_bits() ^ self.value, &mut self.window);
        self.value = value.to_bits();
    }

    fn write_stale(&mut self, bits: &mut BitWriter<impl FnMut(u32)>) {
        self.write_next(bits, 0.0);
    }

    fn read_first(bits: &mut BitReader<'_>) -> Result<Self, ChunkError> {
        Ok(Self { value: bits.take(64)?, window: (NO_WINDOW, 0) })
    }

    #[inline]
    fn read_next(&mut self, bits: &mut BitReader<'_>) -> Result<(), ChunkError> {
        let mut window = match self.window {
            // Without a window of its own the writer means all bits.
            (NO_WINDOW, _) => Window::default(),
            (leading, trailing) => {
                Window { leading: u32::from(leading), trailing: u32::from(trailing) }
            }
        };
        let delta = bits.value_delta(bits.peek(), 0, &mut window)?;
        self.value ^= delta;
        let read = (window.leading as u8, window.trailing as u8);
        // No difference needs no window: the writer has none yet.
        if self.window.0 != NO_WINDOW || delta != 0 || read != (0, 0) {
            self.window = read;
        }
        Ok(())
    }

    fn value(&self) -> f64 {
        f64::from_bits(self.value)
    }
}
