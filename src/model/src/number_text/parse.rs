//! Text to float by the grammar of Go's `strconv.ParseFloat`.

use crate::quote_go;

/// A text that is no float, or one too large for 64 bits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("strconv.ParseFloat: parsing {}: {reason}", quote_go(text))]
pub struct ParseFloatError {
    pub text: String,
    pub reason: ParseFloatReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseFloatReason {
    #[error("invalid syntax")]
    Syntax,
    #[error("value out of range")]
    Range,
}

/// [`parse_go_float`] for callers that have a text of their own for failures.
pub fn parse_float(text: &str) -> Option<f64> {
    parse(text).ok()
}

/// Parses as Go's `strconv.ParseFloat`: decimal and hexadecimal floats, `_` between digits, and in any case
/// `inf` and `infinity` with or without sign and `nan` without one.
///
/// # Errors
/// The text has another form, or its value rounds to infinity.
pub fn parse_go_float(text: &str) -> Result<f64, ParseFloatError> {
    parse(text).map_err(|reason| ParseFloatError { text: text.to_owned(), reason })
}

fn parse(text: &str) -> Result<f64, ParseFloatReason> {
    let bytes = text.as_bytes();
    let (negative, unsigned) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, bytes),
    };
    match unsigned {
        [b'i' | b'I', ..] => return infinity(unsigned, negative),
        // Only an unsigned NaN is one.
        [b'n' | b'N', ..] if bytes.eq_ignore_ascii_case(b"nan") => return Ok(f64::NAN),
        _ => {}
    }
    let has_underscores = unsigned.contains(&b'_');
    if has_underscores && !underscores_part_digits(unsigned) {
        return Err(ParseFloatReason::Syntax);
    }
    let magnitude = match unsigned {
        // Go looks for digits behind the prefix only if there is anything.
        [b'0', b'x' | b'X', rest @ ..] if !rest.is_empty() => hexadecimal(rest)?,
        _ => decimal(unsigned, has_underscores)?,
    };
    if magnitude.is_infinite() {
        return Err(ParseFloatReason::Range);
    }
    Ok(if negative { -magnitude } else { magnitude })
}

fn infinity(unsigned: &[u8], negative: bool) -> Result<f64, ParseFloatReason> {
    if !unsigned.eq_ignore_ascii_case(b"inf") && !unsigned.eq_ignore_ascii_case(b"infinity") {
        return Err(ParseFloatReason::Syntax);
    }
    Ok(if negative { f64::NEG_INFINITY } else { f64::INFINITY })
}

/// Underscores stand between digits, or between the base prefix and a digit.
fn underscores_part_digits(unsigned: &[u8]) -> bool {
    let (digits, hex, prefixed) = match unsigned {
        [b'0', b'x' | b'X', rest @ ..] => (rest, true, true),
        _ => (unsigned, false, false),
    };
    let is_digit = |b: u8| b.is_ascii_digit() || (hex && b.is_ascii_hexdigit());
    let before = |at: usize| if at == 0 { prefixed } else { is_digit(digits[at - 1]) };
    let after = |at: usize| digits.get(at + 1).is_some_and(|b| is_digit(*b));
    (0..digits.len()).all(|at| digits[at] != b'_' || (before(at) && after(at)))
}

/// The standard library rounds as Go does; its grammar is wider only by `inf` and `nan`, which are gone here.
fn decimal(unsigned: &[u8], has_underscores: bool) -> Result<f64, ParseFloatReason> {
    let fits = |b: &u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-' | b'_');
    if !unsigned.iter().all(fits) || unsigned.first().is_some_and(|b| matches!(b, b'+' | b'-')) {
        return Err(ParseFloatReason::Syntax);
    }
    let text = std::str::from_utf8(unsigned).map_err(|_| ParseFloatReason::Syntax)?;
    let parsed = if has_underscores { text.replace('_', "").parse() } else { text.parse() };
    parsed.map_err(|_| ParseFloatReason::Syntax)
}

/// Digits, perhaps with a point, and an exponent of two, which must be there.
fn hexadecimal(text: &[u8]) -> Result<f64, ParseFloatReason> {
    /// Past this exponent, in either direction, nothing changes any more.
    const EXPONENT_MAX: i64 = 1 << 40;
    let at = text.iter().position(|b| matches!(b, b'p' | b'P')).ok_or(ParseFloatReason::Syntax)?;
    let (digits, exponent) = (&text[..at], &text[at + 1..]);
    let (mut mantissa, mut exponent_two, mut sticky) = (0u64, 0i64, false);
    let (mut has_digits, mut has_point) = (false, false);
    for byte in digits {
        let digit = match byte {
            b'_' => continue,
            b'.' if !has_point => {
                has_point = true;
                continue;
            }
            _ => char::from(*byte).to_digit(16).ok_or(ParseFloatReason::Syntax)?,
        };
        has_digits = true;
        // Digits that do not fit any more matter only as "not exactly half".
        let fits = mantissa >> 60 == 0;
        if fits {
            mantissa = mantissa << 4 | u64::from(digit);
        } else {
            sticky |= digit != 0;
        }
        exponent_two += 4 * (i64::from(!fits) - i64::from(has_point));
    }
    let (sign, exponent) = match exponent {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        _ => (1, exponent),
    };
    if !has_digits || !exponent.first().is_some_and(u8::is_ascii_digit) {
        return Err(ParseFloatReason::Syntax);
    }
    let mut written = 0i64;
    for byte in exponent.iter().filter(|b| **b != b'_') {
        let digit = char::from(*byte).to_digit(10).ok_or(ParseFloatReason::Syntax)?;
        written = (written * 10 + i64::from(digit)).min(EXPONENT_MAX);
    }
    Ok(scale(mantissa, exponent_two.saturating_add(sign * written), sticky))
}

/// `mantissa * 2^exponent`, rounded to nearest, ties to even; `sticky`: a little more than the mantissa says.
fn scale(mantissa: u64, exponent: i64, sticky: bool) -> f64 {
    const MANTISSA_BITS: i64 = 52;
    const EXPONENT_MIN: i64 = -1074;
    if mantissa == 0 {
        return 0.0;
    }
    let bit_count = 64 - i64::from(mantissa.leading_zeros());
    // Where the last kept bit lies: 53 bits, fewer for what is too small to be normal.
    let unit = (exponent + bit_count - 1 - MANTISSA_BITS).max(EXPONENT_MIN);
    let dropped = unit - exponent;
    if unit > 1023 - MANTISSA_BITS {
        return f64::INFINITY;
    }
    let rounded = if dropped <= 0 {
        // At most 53 bits in all, so nothing is lost on the left.
        mantissa << -dropped
    } else if dropped > 64 {
        0
    } else {
        let wide = u128::from(mantissa);
        let (kept, rest) = (wide >> dropped, wide & ((1 << dropped) - 1));
        let half = 1u128 << (dropped - 1);
        let up = rest > half || (rest == half && (sticky || kept & 1 == 1));
        (kept + u128::from(up)) as u64
    };
    // At most 53 bits (54 when rounding carried into a power of two): exact, and so is the power of two.
    rounded as f64 * power_of_two(unit)
}

/// Exact for `-1074..=971`.
fn power_of_two(exponent: i64) -> f64 {
    let bits =
        if exponent >= -1022 { ((exponent + 1023) as u64) << 52 } else { 1 << (exponent + 1074) };
    f64::from_bits(bits)
}
