//! The XOR writer: one sample onto the end of a bit stream, in 32-bit words.
//! The words go wherever the caller keeps them; cutting chunks is `cut`'s matter. Format: docs/format/xor.md.

/// The sample count that precedes the bits.
pub(crate) const CHUNK_HEADER_SIZE_BYTES: usize = 2;
/// No window has been written yet.
pub(super) const NO_WINDOW: u8 = 0xff;
const LEADING_MAX: u32 = 31;

/// What the writer must remember between two samples, besides the last sample itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct XorState {
    /// Distance of the last two samples; a wider one starts a new chunk.
    pub(crate) t_delta: u32,
    /// Bits not yet written, right-aligned; `tail_bits` of them, always fewer than 32.
    pub(crate) tail: u32,
    pub(crate) tail_bits: u8,
    leading: u8,
    trailing: u8,
}

impl XorState {
    pub(crate) const fn new() -> Self {
        Self { t_delta: 0, tail: 0, tail_bits: 0, leading: NO_WINDOW, trailing: 0 }
    }

    /// Writes the first sample of a chunk.
    pub(crate) fn write_first(&mut self, t: i64, v: u64, sink: impl FnMut(u32)) {
        let mut bits = BitWriter::resume(self, sink);
        bits.put_varint(((t << 1) ^ (t >> 63)) as u64);
        bits.put_long(v, 64);
        (self.tail, self.tail_bits) = bits.finish();
    }

    /// Writes a later sample; `last` are time and value bits of the one before, `count` how many there are.
    /// `t` is after the last time, by at most `u32::MAX`.
    #[inline]
    pub(crate) fn write_next(
        &mut self,
        count: u16,
        last: (i64, u64),
        (t, v): (i64, u64),
        sink: impl FnMut(u32),
    ) {
        self.write_planned(count, last, (t, v), None, sink);
    }

    /// [`Self::write_next`] with a new window for the value, which must fit it and differ from the last one.
    #[inline]
    pub(super) fn write_planned(
        &mut self,
        count: u16,
        last: (i64, u64),
        (t, v): (i64, u64),
        planned: Option<(u8, u8)>,
        sink: impl FnMut(u32),
    ) {
        let t_delta = t.wrapping_sub(last.0) as u32;
        let mut bits = BitWriter::resume(self, sink);
        if count == 1 {
            bits.put_varint(u64::from(t_delta));
        } else {
            put_dod(&mut bits, i64::from(t_delta) - i64::from(self.t_delta));
        }
        let mut window = (self.leading, self.trailing);
        match planned {
            None => put_value(&mut bits, v ^ last.1, &mut window),
            Some(planned) => {
                window = planned;
                put_in_new_window(&mut bits, v ^ last.1, planned);
            }
        }
        let (tail, tail_bits) = bits.finish();
        *self = Self { t_delta, tail, tail_bits, leading: window.0, trailing: window.1 };
    }

    /// [`Self::write_next`] without writing: how many bits it would have taken.
    #[inline]
    pub(crate) fn measure_next(&mut self, count: u16, last: (i64, u64), (t, v): (i64, u64)) -> u32 {
        let t_delta = t.wrapping_sub(last.0) as u32;
        let time_bits = match count {
            1 => varint_bits(u64::from(t_delta)),
            _ => dod_bits(i64::from(t_delta) - i64::from(self.t_delta)),
        };
        self.t_delta = t_delta;
        let mut window = (self.leading, self.trailing);
        let value_bits = measure_value(v ^ last.1, &mut window);
        (self.leading, self.trailing) = window;
        time_bits + value_bits
    }

    /// A state that was kept elsewhere: its parts as they were. `None` if no state has such parts.
    pub(crate) fn restored(
        t_delta: u32,
        (tail, tail_bits): (u32, u8),
        (leading, trailing): (u8, u8),
    ) -> Option<Self> {
        let is_window = leading == NO_WINDOW
            || u32::from(leading) <= LEADING_MAX
                && leading + trailing.min(64) <= 64
                && trailing < 64;
        let is_tail = tail_bits < 32 && u64::from(tail) >> tail_bits == 0;
        (is_window && is_tail).then_some(Self { t_delta, tail, tail_bits, leading, trailing })
    }

    /// Zero bits before and behind what is written of a value.
    pub(crate) fn window(&self) -> (u8, u8) {
        (self.leading, self.trailing)
    }

    /// The unwritten bits as bytes, left-aligned, zero-padded: how many count, and they.
    pub(crate) fn tail_bytes(&self) -> (usize, [u8; 4]) {
        let size = usize::from(self.tail_bits).div_ceil(8);
        let aligned = match self.tail_bits {
            0 => 0,
            bits => self.tail << (32 - u32::from(bits)),
        };
        (size, aligned.to_be_bytes())
    }
}

/// Size of a chunk of which `flushed` bytes of bits have been written and `tail_bits` bits have not.
pub(crate) fn chunk_size_bytes(flushed_size_bytes: u16, tail_bits: u8) -> usize {
    CHUNK_HEADER_SIZE_BYTES + usize::from(flushed_size_bytes) + usize::from(tail_bits).div_ceil(8)
}

/// Bits that the first sample of a chunk takes.
pub(super) fn first_sample_bits(t: i64) -> u16 {
    (varint_bits(((t << 1) ^ (t >> 63)) as u64) + 64) as u16
}

fn varint_bits(value: u64) -> u32 {
    (64 - (value | 1).leading_zeros()).div_ceil(7) * 8
}

/// What [`put_dod`] takes.
pub(super) fn dod_bits(dod: i64) -> u32 {
    match dod {
        0 => 1,
        -8_191..=8_192 => 16,
        -65_535..=65_536 => 20,
        -524_287..=524_288 => 24,
        _ => 68,
    }
}

/// What [`put_value`] takes; moves the window as that does.
#[inline]
fn measure_value(delta: u64, window: &mut (u8, u8)) -> u32 {
    if delta == 0 {
        return 1;
    }
    let leading = delta.leading_zeros().min(LEADING_MAX);
    let trailing = delta.trailing_zeros();
    let (old_leading, old_trailing) = (u32::from(window.0), u32::from(window.1));
    if window.0 != NO_WINDOW && leading >= old_leading && trailing >= old_trailing {
        return 2 + 64 - old_leading - old_trailing;
    }
    *window = (leading as u8, trailing as u8);
    13 + 64 - leading - trailing
}

#[inline]
fn put_dod(bits: &mut BitWriter<impl FnMut(u32)>, dod: i64) {
    let payload = |width: u32| (dod as u64) & ((1 << width) - 1);
    match dod {
        0 => bits.put(0, 1),
        -8_191..=8_192 => bits.put(0b10 << 14 | payload(14), 16),
        -65_535..=65_536 => bits.put(0b110 << 17 | payload(17), 20),
        -524_287..=524_288 => bits.put(0b1110 << 20 | payload(20), 24),
        _ => {
            bits.put(0b1111, 4);
            bits.put_long(dod as u64, 64);
        }
    }
}

#[inline]
pub(super) fn put_value(bits: &mut BitWriter<impl FnMut(u32)>, delta: u64, window: &mut (u8, u8)) {
    if delta == 0 {
        bits.put(0, 1);
        return;
    }
    let leading = delta.leading_zeros().min(LEADING_MAX);
    let trailing = delta.trailing_zeros();
    let (old_leading, old_trailing) = (u32::from(window.0), u32::from(window.1));
    if window.0 != NO_WINDOW && leading >= old_leading && trailing >= old_trailing {
        let size = 64 - old_leading - old_trailing;
        bits.put(0b10, 2);
        bits.put_long(delta >> old_trailing, size);
        return;
    }
    *window = (leading as u8, trailing as u8);
    put_in_new_window(bits, delta, *window);
}

#[inline]
fn put_in_new_window(
    bits: &mut BitWriter<impl FnMut(u32)>,
    delta: u64,
    (leading, trailing): (u8, u8),
) {
    let (leading, trailing) = (u32::from(leading), u32::from(trailing));
    let size = 64 - leading - trailing;
    // A size of 64 does not fit six bits and is written as 0.
    bits.put(u64::from(0b11 << 11 | leading << 6 | (size & 63)), 13);
    bits.put_long(delta >> trailing, size);
}

/// Collects bits and hands them on 32 at a time.
pub(crate) struct BitWriter<F> {
    /// The low `len` bits are pending; `len` is below 32 between calls.
    pending: u64,
    len: u32,
    sink: F,
}

impl<F: FnMut(u32)> BitWriter<F> {
    #[inline]
    fn resume(state: &XorState, sink: F) -> Self {
        Self::new((state.tail, state.tail_bits), sink)
    }

    /// Goes on behind bits that were not handed on, as [`Self::finish`] gave them.
    #[inline]
    pub(super) fn new((tail, tail_bits): (u32, u8), sink: F) -> Self {
        Self { pending: u64::from(tail), len: u32::from(tail_bits), sink }
    }

    #[inline]
    pub(super) fn finish(self) -> (u32, u8) {
        (self.pending as u32, self.len as u8)
    }

    /// Appends the low `count` bits of `value`, at most 32; the bits above them are zero.
    #[inline]
    pub(super) fn put(&mut self, value: u64, count: u32) {
        debug_assert!(count <= 32 && value >> count == 0);
        self.pending = self.pending << count | value;
        self.len += count;
        if self.len >= 32 {
            self.len -= 32;
            (self.sink)((self.pending >> self.len) as u32);
            self.pending &= (1 << self.len) - 1;
        }
    }

    /// [`Self::put`] for up to 64 bits.
    #[inline]
    pub(super) fn put_long(&mut self, value: u64, count: u32) {
        if count > 32 {
            self.put(value >> 32, count - 32);
            self.put(value & 0xffff_ffff, 32);
        } else {
            self.put(value, count);
        }
    }

    pub(super) fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.put(value, 8);
    }
}
