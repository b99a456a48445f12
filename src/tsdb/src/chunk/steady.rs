//! Samples of an open chunk that come at one pace, with values that stay as they are or are whole numbers: only
//! the differences of values are kept, and nothing at all of a value that stays. It is no format of files:
//! when the chunk is closed, or anything else comes, the samples are written as XOR. What an XOR chunk of
//! them would take is counted all along, because that decides where chunks end.
//!
//! The bits of whole numbers are one difference after the other, zigzag: `0` for none; `10` and as many bits as
//! the form says; `11`, six bits with a larger number of bits, and that many. The last value is known, so the
//! first one follows from it.

use super::xor::{BitWriter, XorState};
use super::xor_reader::{BitReader, PEEK_BITS};

/// Whole numbers beyond are not exact.
const WHOLE_MAX: u64 = 1 << 53;
/// Bits of a difference of two such numbers, zigzag.
const WIDTH_MAX: u8 = 56;
const WIDTH_BITS: u32 = 6;

/// How the samples of an open chunk are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form(u8);

impl Form {
    pub(crate) const XOR: Self = Self(0);
    pub(crate) const CONSTANT: Self = Self(1);
    /// Whole numbers, of which no difference was kept yet; each one higher is a bit more for them.
    const WHOLE: Self = Self(2);

    /// A form that was kept elsewhere.
    pub(crate) fn of_byte(byte: u8) -> Option<Self> {
        (byte <= Self::WHOLE.0 + WIDTH_MAX).then_some(Self(byte))
    }

    pub(crate) fn byte(self) -> u8 {
        self.0
    }

    /// Bits of a difference; nothing unless numbers are whole.
    fn width(self) -> Option<u8> {
        self.0.checked_sub(Self::WHOLE.0)
    }
}

/// The samples of an open chunk that is not XOR.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steady {
    pub(crate) form: Form,
    pub(crate) count: u16,
    pub(crate) min_t: i64,
    pub(crate) t_delta: u32,
    pub(crate) last_v: u64,
}

/// Bits that the first sample of an XOR chunk takes.
pub(crate) fn first_sample_bits(t: i64) -> u16 {
    super::xor::first_sample_bits(t)
}

impl XorState {
    /// Keeps a value that comes behind `count` others, the last of them `last`. Says `false`, and has done
    /// nothing, if this form cannot hold it.
    #[inline]
    pub(crate) fn keep_value(
        &mut self,
        form: &mut Form,
        count: u16,
        (last, value): (u64, u64),
        sink: impl FnMut(u32),
    ) -> bool {
        if *form == Form::CONSTANT && value == last {
            return true;
        }
        let (Some(last), Some(value)) = (whole(last), whole(value)) else { return false };
        let mut bits = BitWriter::new((self.tail, self.tail_bits), sink);
        if *form == Form::CONSTANT {
            *form = Form::WHOLE;
            let mut same_count = u32::from(count) - 1;
            while same_count > 0 {
                let part = same_count.min(32);
                bits.put(0, part);
                same_count -= part;
            }
        }
        put_difference(&mut bits, form, value - last);
        (self.tail, self.tail_bits) = bits.finish();
        true
    }
}

#[inline]
fn put_difference(bits: &mut BitWriter<impl FnMut(u32)>, form: &mut Form, difference: i64) {
    let zigzag = ((difference << 1) ^ (difference >> 63)) as u64;
    let (width, needed) = (u32::from(form.width().unwrap_or(0)), 64 - zigzag.leading_zeros());
    if needed == 0 {
        bits.put(0, 1);
    } else if needed <= width {
        bits.put(0b10, 2);
        bits.put_long(zigzag, width);
    } else {
        *form = Form(Form::WHOLE.0 + needed as u8);
        bits.put(0b11 << WIDTH_BITS | u64::from(needed), 2 + WIDTH_BITS);
        bits.put_long(zigzag, needed);
    }
}

impl Steady {
    /// Calls `each` with the samples, until it says no. Bits that are not those of so many samples give some
    /// samples.
    #[inline]
    pub(crate) fn for_each_sample(self, bits: &[u8], mut each: impl FnMut(i64, u64) -> bool) {
        let mut t = self.min_t;
        let mut next_t = || {
            let this = t;
            t = t.wrapping_add(i64::from(self.t_delta));
            this
        };
        if self.form == Form::CONSTANT {
            for _ in 0..self.count {
                if !each(next_t(), self.last_v) {
                    return;
                }
            }
            return;
        }
        let differences = || Differences::new(bits, self.count.saturating_sub(1));
        let last = f64::from_bits(self.last_v) as i64;
        let mut value = differences().fold(last, i64::wrapping_sub);
        if self.count > 0 && !each(next_t(), (value as f64).to_bits()) {
            return;
        }
        for difference in differences() {
            value = value.wrapping_add(difference);
            if !each(next_t(), (value as f64).to_bits()) {
                return;
            }
        }
    }
}

/// Differences as they were kept; zeros behind the end.
struct Differences<'a> {
    reader: BitReader<'a>,
    width: u32,
    left: u16,
}

impl<'a> Differences<'a> {
    fn new(bits: &'a [u8], count: u16) -> Self {
        Self { reader: BitReader::new(bits), width: 0, left: count }
    }

    #[inline]
    fn take(&mut self, count: u32) -> u64 {
        match count {
            0 => 0,
            count => self.reader.take(count).unwrap_or(0),
        }
    }
}

impl Iterator for Differences<'_> {
    type Item = i64;

    #[inline]
    fn next(&mut self) -> Option<i64> {
        self.left = self.left.checked_sub(1)?;
        let bits = self.reader.peek();
        if bits >> 63 == 0 {
            self.take(1);
            return Some(0);
        }
        let zigzag = if bits >> 62 == 0b10 && (1..PEEK_BITS - 1).contains(&self.width) {
            // The usual difference, in one look.
            let zigzag = bits << 2 >> (64 - self.width);
            // A step over the end shows zeros from then on.
            let _end = self.reader.skip(2 + self.width as usize);
            zigzag
        } else {
            self.take(1);
            if self.take(1) == 1 {
                self.width = self.take(WIDTH_BITS) as u32;
            }
            self.take(self.width)
        };
        Some((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }
}

/// The whole number with exactly these bits.
#[inline]
fn whole(bits: u64) -> Option<i64> {
    let whole = f64::from_bits(bits) as i64;
    (whole.unsigned_abs() <= WHOLE_MAX && (whole as f64).to_bits() == bits).then_some(whole)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Keeps as many of the values as one form can hold.
    fn keep(values: &[u64]) -> (Steady, Vec<u8>) {
        let (mut state, mut form, mut words) = (XorState::new(), Form::CONSTANT, Vec::new());
        let mut count = 1;
        for pair in values.windows(2) {
            let sink = |word: u32| words.extend_from_slice(&word.to_be_bytes());
            if !state.keep_value(&mut form, count, (pair[0], pair[1]), sink) {
                break;
            }
            count += 1;
        }
        let (size, tail) = state.tail_bytes();
        words.extend_from_slice(&tail[..size]);
        let last_v = values[usize::from(count) - 1];
        (Steady { form, count, min_t: 1000, t_delta: 15, last_v }, words)
    }

    fn check(values: &[f64], kept_count: usize, size_bytes: usize) {
        let values: Vec<u64> = values.iter().map(|value| value.to_bits()).collect();
        let (steady, bits) = keep(&values);
        assert_eq!((usize::from(steady.count), bits.len()), (kept_count, size_bytes), "{values:?}");
        let mut found = Vec::new();
        steady.for_each_sample(&bits, |t, v| {
            found.push((t, v));
            true
        });
        let expected = (0..).map(|n: i64| 1000 + 15 * n).zip(values.iter().copied());
        assert_eq!(found, expected.take(kept_count).collect::<Vec<_>>());
    }

    #[test]
    fn what_stays_takes_nothing_and_whole_numbers_little() {
        check(&[1.5], 1, 0);
        check(&[1.5; 240], 240, 0);
        check(&[f64::NAN; 3], 3, 0);
        check(&[-0.0, -0.0, 0.0], 2, 0);
        check(&[0.0, 0.5], 1, 0);
        check(&[3.0, f64::NAN], 1, 0);
        // One bit for each that stays, eight and five for the first difference, seven for the next ones.
        check(&[7.0, 7.0, 7.0, 15.0], 4, 2);
        check(&[7.0, 7.0, 7.0, 15.0, 0.0, 4.0], 6, 4);
        let far = (1u64 << 53) as f64;
        check(&[far, -far, far, far], 4, 16);
        check(&[far, far * 2.0], 1, 0);
        check(&[0.0, f64::INFINITY], 1, 0);
    }

    fn any_values() -> impl Strategy<Value = Vec<u64>> {
        let far = 1i64 << 53;
        let whole = prop_oneof![4 => -100i64..100, 2 => Just(5i64), 1 => -far..=far];
        let value = prop_oneof![
            30 => whole.prop_map(|value| (value as f64).to_bits()),
            1 => any::<u64>(),
        ];
        prop::collection::vec(value, 1..240)
    }

    proptest! {
        #[test]
        fn samples_come_back(values in any_values()) {
            let (steady, bits) = keep(&values);
            let mut found = Vec::new();
            steady.for_each_sample(&bits, |_, v| {
                found.push(v);
                true
            });
            prop_assert_eq!(&found, &values[..usize::from(steady.count)]);
        }

        #[test]
        fn any_bits_give_some_samples(
            bits in prop::collection::vec(any::<u8>(), 0..100),
            (form, count, last_v) in (0u8..=255, 0u16..300, any::<u64>()),
        ) {
            let Some(form) = Form::of_byte(form).filter(|form| *form != Form::XOR) else {
                return Ok(());
            };
            let mut found = 0;
            let steady = Steady { form, count, min_t: i64::MAX, t_delta: u32::MAX, last_v };
            steady.for_each_sample(&bits, |_, _| {
                found += 1;
                true
            });
            prop_assert_eq!(found, count);
        }
    }
}
