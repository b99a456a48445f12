//! Numbers of sample lines: eight digits at a time, exact, and `None` for what only the grammar can judge.

use std::str;

use prom_model::{normal_nan, parse_float, parse_go_float};

use super::grammar::quote;

/// Digits that surely fit 64 bits.
const DIGITS_COUNT_MAX: usize = 19;
/// Whole numbers up to here are floats without loss.
const EXACT_MAX: u64 = 1 << 53;
/// Powers of ten that are floats without loss.
static POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// The value at `at`, and where it ends: at a blank, a line feed or the end of the input.
#[inline]
pub(super) fn value(input: &[u8], at: usize) -> Option<(f64, usize)> {
    match plain(input, at) {
        Some(found) => Some(found),
        None => general(input, at),
    }
}

/// A timestamp in milliseconds, and where it ends.
#[inline]
pub(super) fn timestamp(input: &[u8], at: usize) -> Option<(i64, usize)> {
    let run = digits(input, at, 0);
    // One digit less than what could overflow.
    (1..DIGITS_COUNT_MAX).contains(&run.count).then_some((run.number as i64, run.end))
}

/// Decimal digits, perhaps with a point and a small exponent, whose value is one exact operation away.
#[inline]
fn plain(input: &[u8], start: usize) -> Option<(f64, usize)> {
    let negative = input.get(start) == Some(&b'-');
    let whole = digits(input, start + usize::from(negative), 0);
    let (mut number, mut count, mut end, mut exponent) = (whole.number, whole.count, whole.end, 0);
    if input.get(end) == Some(&b'.') {
        let fraction = digits(input, end + 1, number);
        (number, end) = (fraction.number, fraction.end);
        count += fraction.count;
        exponent = -i32::try_from(fraction.count).ok()?;
    }
    if count == 0 || count > DIGITS_COUNT_MAX || number > EXACT_MAX {
        return None;
    }
    if let Some(b'e' | b'E') = input.get(end) {
        let (written, after) = small_exponent(input, end + 1)?;
        exponent += written;
        end = after;
    }
    if !matches!(input.get(end), Some(b'\n' | b' ' | b'\t') | None) {
        return None;
    }
    let power = *POWERS_OF_TEN.get(exponent.unsigned_abs() as usize)?;
    let number = number as f64;
    // Both operands are exact, so the one rounding is the right one.
    let magnitude = if exponent < 0 { number / power } else { number * power };
    Some((if negative { -magnitude } else { magnitude }, end))
}

/// A sign and one to three digits.
fn small_exponent(input: &[u8], at: usize) -> Option<(i32, usize)> {
    let (negative, at) = match input.get(at)? {
        b'-' => (true, at + 1),
        b'+' => (false, at + 1),
        _ => (false, at),
    };
    let run = digits(input, at, 0);
    if !(1..=3).contains(&run.count) {
        return None;
    }
    let exponent = i32::try_from(run.number).ok()?;
    Some((if negative { -exponent } else { exponent }, run.end))
}

/// Any number as the grammars take it.
///
/// # Errors
/// The reference's words for what is wrong.
pub(super) fn by_grammar(text: &[u8]) -> Result<f64, String> {
    // Compat: `parseFloat` keeps to the formats of old.
    if text.iter().any(|b| matches!(b, b'p' | b'P' | b'_')) {
        return Err("unsupported character in float".to_owned());
    }
    match str::from_utf8(text) {
        Ok(text) => parse_go_float(text).map_err(|err| err.to_string()),
        Err(_) => Err(format!("strconv.ParseFloat: parsing {}: invalid syntax", quote(text))),
    }
}

/// All other floats, by the exact parser.
#[cold]
fn general(input: &[u8], start: usize) -> Option<(f64, usize)> {
    let rest = input.get(start..)?;
    let is_end = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'{' | 0);
    let size = rest.iter().position(is_end).unwrap_or(rest.len());
    let end = start + size;
    if matches!(input.get(end), Some(b'{' | 0)) {
        return None;
    }
    let text = str::from_utf8(&rest[..size]).ok()?;
    if text.contains(['p', 'P', '_']) {
        return None;
    }
    let value = parse_float(text)?;
    Some((if value.is_nan() { normal_nan() } else { value }, end))
}

/// A run of digits behind `number`, which it continues. The number is meaningless, but no more than that, if the
/// digits are too many.
struct Run {
    number: u64,
    count: usize,
    end: usize,
}

#[inline]
fn digits(input: &[u8], start: usize, mut number: u64) -> Run {
    const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
    const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);
    /// Lifts everything above 9 to the high bit.
    const ABOVE_NINE: u64 = u64::from_ne_bytes([0x76; 8]);
    let mut end = start;
    while let Some(eight) = input.get(end..).and_then(|rest| rest.first_chunk::<8>()) {
        let values = u64::from_le_bytes(*eight) ^ ZEROS;
        // Bytes behind the first that is no digit may be flagged wrongly; only the first one counts.
        let flags = (values.wrapping_add(ABOVE_NINE) | values) & HIGH_BITS;
        let count = (flags.trailing_zeros() / 8) as usize;
        if count > 0 {
            // Missing digits become zeros in front.
            let aligned = values << (64 - 8 * count as u32);
            number = number.wrapping_mul(POWERS[count]).wrapping_add(eight_digits(aligned));
            end += count;
        }
        if count < 8 {
            return Run { number, count: end - start, end };
        }
    }
    while let Some(digit @ b'0'..=b'9') = input.get(end) {
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        end += 1;
    }
    Run { number, count: end - start, end }
}

static POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// Eight digits, one a byte, the first in the lowest: pairs, then fours, then eight.
#[inline]
fn eight_digits(values: u64) -> u64 {
    const PAIRS: u64 = 0x00ff_00ff_00ff_00ff;
    const FOURS: u64 = 0x0000_ffff_0000_ffff;
    let pairs = (values.wrapping_mul(10).wrapping_add(values >> 8)) & PAIRS;
    let fours = (pairs.wrapping_mul(100).wrapping_add(pairs >> 16)) & FOURS;
    (fours.wrapping_mul(10_000).wrapping_add(fours >> 32)) & 0xffff_ffff
}
