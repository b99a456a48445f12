//! XOR2 chunks: floats with times and values told together, staleness markers in a few bits. Read always,
//! since a newer Prometheus may have written them; written only where the operator asks for it or a sample has a
//! start, since an older one cannot read them. Format: docs/format/xor2.md.
//! Compat: Prometheus `tsdb/chunkenc/xor2.go`, 3.14.

use prom_model::STALE_NAN_BITS;

use super::{
    start_time::{Extent, StartReader, StartWriter},
    xor::{BitWriter, NO_WINDOW},
    xor_reader::{BitReader, ChunkError, Window},
};

/// Sample count, and which samples have start times.
const HEADER_SIZE_BYTES: usize = 3;
const LEADING_MAX: u32 = 31;

/// Whether any sample of the chunk has a start time.
pub(super) fn has_starts(chunk: &[u8]) -> bool {
    chunk.get(HEADER_SIZE_BYTES - 1).is_some_and(|header| *header != 0)
}

/// Calls `each` with time, value bits and start of the first `count_max` samples at most, until it says no.
#[inline]
pub(crate) fn for_each_xor2_sample(
    chunk: &[u8],
    count_max: usize,
    mut each: impl FnMut(i64, u64, i64) -> bool,
) -> Result<(), ChunkError> {
    let (header, bits) =
        chunk.split_first_chunk::<HEADER_SIZE_BYTES>().ok_or(ChunkError::Truncated)?;
    let count = usize::from(u16::from_be_bytes([header[0], header[1]])).min(count_max);
    let mut starts = StartReader::new(header[2]);
    let mut reader = Reader { bits: BitReader::new(bits), baseline: 0, window: Window::default() };
    let (mut t, mut t_delta) = (0_i64, 0_i64);
    for index in 0..count {
        let previous_t = t;
        let v = match index {
            0 => {
                t = reader.bits.zigzag()?;
                let v = reader.bits.take(64)?;
                reader.keep(v)
            }
            1 => {
                t_delta = reader.bits.varint()? as i64;
                t = t.wrapping_add(t_delta);
                reader.value()?
            }
            _ => {
                let (dod, v) = reader.sample()?;
                t_delta = t_delta.wrapping_add(dod);
                t = t.wrapping_add(t_delta);
                v
            }
        };
        let start_ms = starts.read(&mut reader.bits, index as u16, t, previous_t)?;
        if !each(t, v, start_ms) {
            break;
        }
    }
    Ok(())
}

/// An XOR2 chunk of the samples, at most 65 535, and their starts; no starts stand for as many zeros.
pub(crate) fn encode_xor2(
    samples: &[(i64, u64)],
    (starts_ms, extent): (&[i64], Extent),
    chunk: &mut Vec<u8>,
) {
    let mut starts = StartWriter::new(starts_ms, extent);
    chunk.extend_from_slice(&(samples.len() as u16).to_be_bytes());
    chunk.push(starts.header());
    let mut bits = BitWriter::new((0, 0), |word: u32| chunk.extend_from_slice(&word.to_be_bytes()));
    let mut state = Writer { baseline: 0, window: (NO_WINDOW, 0) };
    let (mut last_t, mut t_delta) = (0_i64, 0_i64);
    for (index, (t, v)) in samples.iter().copied().enumerate() {
        let delta = t.wrapping_sub(last_t);
        match index {
            0 => {
                bits.put_varint(((t << 1) ^ (t >> 63)) as u64);
                bits.put_long(v, 64);
                state.keep(v);
            }
            1 => {
                bits.put_varint(delta as u64);
                state.put_value(&mut bits, v);
                t_delta = delta;
            }
            _ => {
                state.put_sample(&mut bits, delta.wrapping_sub(t_delta), v);
                t_delta = delta;
            }
        }
        starts.put(&mut bits, index, t, last_t);
        last_t = t;
    }
    let (tail, tail_bits) = bits.finish();
    let aligned = if tail_bits == 0 { 0 } else { tail << (32 - u32::from(tail_bits)) };
    chunk.extend_from_slice(&aligned.to_be_bytes()[..usize::from(tail_bits).div_ceil(8)]);
}

struct Reader<'a> {
    bits: BitReader<'a>,
    /// The last value that is no staleness marker: later ones are told against it.
    baseline: u64,
    window: Window,
}

impl Reader<'_> {
    fn keep(&mut self, v: u64) -> u64 {
        if v != STALE_NAN_BITS {
            self.baseline = v;
        }
        v
    }

    /// Change of pace, and value.
    fn sample(&mut self) -> Result<(i64, u64), ChunkError> {
        let ones = self.bits.peek().leading_ones();
        let dod = match ones {
            0 => {
                self.bits.skip(1)?;
                return Ok((0, self.baseline));
            }
            1 => {
                self.bits.skip(2)?;
                return Ok((0, self.changed_value()?));
            }
            2 => self.signed(3, 13)?,
            3 => self.signed(4, 20)?,
            4 => self.signed(5, 64)?,
            _ => {
                self.bits.skip(5)?;
                return Ok((0, STALE_NAN_BITS));
            }
        };
        Ok((dod, self.value()?))
    }

    /// A number in two's complement, behind `prefix` bits.
    fn signed(&mut self, prefix: usize, width: u32) -> Result<i64, ChunkError> {
        self.bits.skip(prefix)?;
        let raw = self.bits.take(width)?;
        Ok((raw << (64 - width)) as i64 >> (64 - width))
    }

    fn value(&mut self) -> Result<u64, ChunkError> {
        let ones = self.bits.peek().leading_ones();
        match ones {
            0 => {
                self.bits.skip(1)?;
                Ok(self.baseline)
            }
            1 => {
                self.bits.skip(2)?;
                self.in_window()
            }
            2 => {
                self.bits.skip(3)?;
                self.in_new_window()
            }
            _ => {
                self.bits.skip(3)?;
                Ok(STALE_NAN_BITS)
            }
        }
    }

    fn changed_value(&mut self) -> Result<u64, ChunkError> {
        match self.bits.take(1)? {
            0 => self.in_window(),
            _ => self.in_new_window(),
        }
    }

    fn in_new_window(&mut self) -> Result<u64, ChunkError> {
        let leading = self.bits.take(5)? as u32;
        let size = match self.bits.take(6)? as u32 {
            0 => 64,
            size => size,
        };
        let trailing = (64 - leading).checked_sub(size).ok_or(ChunkError::InvalidWindow)?;
        self.window = Window { leading, trailing };
        self.in_window()
    }

    fn in_window(&mut self) -> Result<u64, ChunkError> {
        let size = 64 - self.window.leading - self.window.trailing;
        self.baseline ^= self.bits.take(size)? << self.window.trailing;
        Ok(self.baseline)
    }
}

struct Writer {
    baseline: u64,
    window: (u8, u8),
}

impl Writer {
    fn keep(&mut self, v: u64) {
        if v != STALE_NAN_BITS {
            self.baseline = v;
        }
    }

    fn put_sample(&mut self, bits: &mut BitWriter<impl FnMut(u32)>, dod: i64, v: u64) {
        let payload = |width: u32| dod as u64 & ((1 << width) - 1);
        match dod {
            0 if v == STALE_NAN_BITS => return bits.put(0b1_1111, 5),
            0 if v == self.baseline => return bits.put(0, 1),
            0 => {
                bits.put(0b10, 2);
                return self.put_changed(bits, v, (0, 1), (1, 1));
            }
            -4_096..=4_095 => bits.put(0b110 << 13 | payload(13), 16),
            -524_288..=524_287 => bits.put(0b1110 << 20 | payload(20), 24),
            _ => {
                bits.put(0b1_1110, 5);
                bits.put_long(dod as u64, 64);
            }
        }
        self.put_value(bits, v);
    }

    fn put_value(&mut self, bits: &mut BitWriter<impl FnMut(u32)>, v: u64) {
        if v == STALE_NAN_BITS {
            bits.put(0b111, 3);
        } else if v == self.baseline {
            bits.put(0, 1);
        } else {
            self.put_changed(bits, v, (0b10, 2), (0b110, 3));
        }
    }

    /// Writes a value in the window there is, or in one of its own; each has a prefix.
    fn put_changed(
        &mut self,
        bits: &mut BitWriter<impl FnMut(u32)>,
        v: u64,
        same_window: (u64, u32),
        new_window: (u64, u32),
    ) {
        let delta = v ^ self.baseline;
        self.baseline = v;
        let leading = delta.leading_zeros().min(LEADING_MAX);
        let trailing = delta.trailing_zeros();
        let (old_leading, old_trailing) = (u32::from(self.window.0), u32::from(self.window.1));
        if self.window.0 != NO_WINDOW && leading >= old_leading && trailing >= old_trailing {
            bits.put(same_window.0, same_window.1);
            bits.put_long(delta >> old_trailing, 64 - old_leading - old_trailing);
            return;
        }
        self.window = (leading as u8, trailing as u8);
        let size = 64 - leading - trailing;
        bits.put(new_window.0, new_window.1);
        bits.put(u64::from(leading << 6 | (size & 63)), 11);
        bits.put_long(delta >> trailing, size);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(chunk: &[u8]) -> Result<Vec<(i64, u64)>, ChunkError> {
        let mut samples = Vec::new();
        for_each_xor2_sample(chunk, usize::MAX, |t, v, _| {
            samples.push((t, v));
            true
        })?;
        Ok(samples)
    }

    fn encode(samples: &[(i64, u64)]) -> Vec<u8> {
        let mut chunk = Vec::new();
        encode_xor2(samples, (&[], Extent::Whole), &mut chunk);
        chunk
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn bytes_are_those_of_the_format_page() {
        let check = |samples: &[(i64, u64)], expected: &str| {
            let chunk = encode(samples);
            assert_eq!(hex(&chunk), expected);
            assert_eq!(decode(&chunk).unwrap(), samples);
        };
        let one = 1_f64.to_bits();
        check(&[], "000000");
        check(&[(0, one)], "000100003ff0000000000000");
        // Delta 1000 as a varint, one bit for the value.
        check(&[(0, one), (1000, one)], "000200003ff0000000000000e80700");
        // The third sample is one bit more; a marker at the same pace takes five.
        check(&[(0, one), (1000, one), (2000, one)], "000300003ff0000000000000e80700");
        check(&[(0, one), (1000, one), (2000, STALE_NAN_BITS)], "000300003ff0000000000000e8077c");
        // A step of 1: 110 and 13 bits, then the value's bit.
        check(
            &[(0, one), (1000, one), (2001, one)],
            "000300003ff0000000000000e807600080"[..34].to_owned().as_str(),
        );
    }

    #[test]
    fn markers_do_not_change_the_baseline() {
        let (one, two) = (1_f64.to_bits(), 2_f64.to_bits());
        let samples = [
            (0, STALE_NAN_BITS),
            (10, one),
            (20, STALE_NAN_BITS),
            (30, one),
            (41, STALE_NAN_BITS),
            (52, two),
        ];
        assert_eq!(decode(&encode(&samples)).unwrap(), samples);
    }

    /// Start times as the reference writes them: behind the first sample a varint of the distance, behind later
    /// ones varbits, against the sample before.
    #[test]
    fn start_times_are_those_of_the_format_page() {
        let one = 1_f64.to_bits();
        let mut expected = vec![0, 3, 0x80 | 1];
        let mut bits =
            BitWriter::new((0, 0), |word: u32| expected.extend_from_slice(&word.to_be_bytes()));
        bits.put_varint(2000);
        bits.put_long(one, 64);
        bits.put_varint(500 << 1);
        bits.put_varint(1000);
        bits.put(0, 1);
        super::super::varbit::put_varbit_int(&mut bits, 700);
        bits.put(0, 1);
        super::super::varbit::put_varbit_int(&mut bits, -3);
        let (tail, tail_bits) = bits.finish();
        let aligned = (tail << (32 - u32::from(tail_bits))).to_be_bytes();
        expected.extend_from_slice(&aligned[..usize::from(tail_bits).div_ceil(8)]);
        let samples = [(1000, one), (2000, one), (3000, one)];
        let starts_ms = [500, 300, 2000 - 697];
        let mut chunk = Vec::new();
        encode_xor2(&samples, (&starts_ms, Extent::Whole), &mut chunk);
        assert_eq!(hex(&chunk), hex(&expected));
        assert_eq!(decode_starts(&chunk), starts_ms);
    }

    #[test]
    fn a_start_that_stays_is_told_once() {
        let check = |starts_ms: &[i64], extent: Extent, header: u8, more_bytes: usize| {
            let samples: Vec<_> = (0..starts_ms.len() as i64).map(|at| (at * 15_000, 0)).collect();
            let (mut chunk, plain) = (Vec::new(), encode(&samples));
            encode_xor2(&samples, (starts_ms, extent), &mut chunk);
            assert_eq!((chunk[2], chunk.len() - plain.len()), (header, more_bytes));
            assert_eq!(decode_starts(&chunk), starts_ms);
        };
        check(&[0; 200], Extent::Whole, 0, 0);
        check(&[-7; 127], Extent::Open, 0x80, 1);
        check(&[-7; 200], Extent::Whole, 0x80, 1);
        // Who goes on with it can name no later sample, so from this one on each tells its own.
        check(&[-7; 200], Extent::Open, 0x80 | 127, 221);
        let late: Vec<i64> = [[-7; 150], [0; 150]].concat();
        check(&late, Extent::Whole, 0x80 | 127, 521);
        check(&[0, 0, 5, 5], Extent::Whole, 2, 6);
    }

    fn decode_starts(chunk: &[u8]) -> Vec<i64> {
        let mut starts_ms = Vec::new();
        for_each_xor2_sample(chunk, usize::MAX, |_, _, start_ms| {
            starts_ms.push(start_ms);
            true
        })
        .unwrap();
        starts_ms
    }

    fn any_samples() -> impl Strategy<Value = Vec<(i64, u64)>> {
        let step = prop_oneof![
            5 => Just(15_000_i64),
            3 => 10_000_i64..20_000,
            1 => 1_i64..2_000_000,
            1 => 1_i64..=1 << 40,
        ];
        let value = prop_oneof![
            3 => (0u32..1000).prop_map(|v| f64::from(v).to_bits()),
            2 => any::<f64>().prop_map(f64::to_bits),
            1 => any::<u64>(),
            1 => Just(STALE_NAN_BITS),
        ];
        (any::<i32>(), prop::collection::vec((step, value), 0..250)).prop_map(|(start, steps)| {
            let mut t = i64::from(start);
            let next = |(step, value)| {
                t += step;
                (t, value)
            };
            steps.into_iter().map(next).collect()
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(samples in any_samples()) {
            prop_assert_eq!(decode(&encode(&samples)).unwrap(), samples);
        }

        #[test]
        fn starts_are_read_as_written(
            samples in any_samples(),
            changes in prop::collection::vec((1_usize..200, prop_oneof![Just(0), any::<i32>().prop_map(i64::from), any::<i64>()]), 0..6),
            is_open in any::<bool>(),
        ) {
            let runs = changes.iter().flat_map(|(count, start_ms)| vec![*start_ms; *count]);
            let mut starts_ms: Vec<i64> = runs.take(samples.len()).collect();
            starts_ms.resize(samples.len(), 0);
            let extent = if is_open { Extent::Open } else { Extent::Whole };
            let mut chunk = Vec::new();
            encode_xor2(&samples, (&starts_ms, extent), &mut chunk);
            prop_assert_eq!(decode(&chunk).unwrap(), samples);
            prop_assert_eq!(decode_starts(&chunk), starts_ms);
        }

        #[test]
        fn foreign_bytes_never_panic(chunk in prop::collection::vec(any::<u8>(), 0..200)) {
            let count = chunk.first_chunk().map_or(0, |count| usize::from(u16::from_be_bytes(*count)));
            if let Ok(samples) = decode(&chunk) {
                prop_assert_eq!(samples.len(), count);
            }
        }
    }
}
