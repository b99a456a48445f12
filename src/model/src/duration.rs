//! Prometheus durations (`1h30m`) and Go durations (`1h30m0s`): text to numbers and back.
//! Duration expressions (`2m + 30s`) belong to PromQL.

mod go;

pub use go::{GoDurationError, format_go_duration, parse_go_duration};

use crate::quote_go;

/// Largest duration, in milliseconds: what fits Go's nanoseconds in 63 bits.
const DURATION_MS_MAX: i64 = i64::MAX / 1_000_000;

/// Units in the order in which they must be written. The flag: printed only when nothing is left over.
const UNITS: [(&str, i64, bool); 7] = [
    ("y", 31_536_000_000, true),
    ("w", 604_800_000, true),
    ("d", 86_400_000, false),
    ("h", 3_600_000, false),
    ("m", 60_000, false),
    ("s", 1_000, false),
    ("ms", 1, false),
];

/// A duration that is malformed, out of order or too long.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("empty duration string")]
    Empty,
    #[error("not a valid duration string: {}", quote_go(.0))]
    Invalid(String),
    #[error("unknown unit {} in duration {}", quote_go(.unit), quote_go(.text))]
    UnknownUnit { unit: String, text: String },
    #[error("duration out of range")]
    OutOfRange,
}

/// Parses `[y][w][d][h][m][s][ms]` in this order, or `0`, into milliseconds.
/// Compat: `model.ParseDuration` of prometheus/common.
///
/// # Errors
/// See [`DurationError`].
pub fn parse_duration(text: &str) -> Result<i64, DurationError> {
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    if text == "0" {
        return Ok(0);
    }
    let invalid = || DurationError::Invalid(text.to_owned());
    let (mut rest, mut units, mut total_ms) = (text, &UNITS[..], 0i64);
    while !rest.is_empty() {
        let (digits, after) = split_where(rest, |b| !b.is_ascii_digit());
        // No digits, or more of them than fit, are one error in the reference too.
        let number: u64 = digits.parse().map_err(|_| invalid())?;
        let (unit, after) = split_where(after, |b| b.is_ascii_digit());
        if unit.is_empty() {
            return Err(invalid());
        }
        if !UNITS.iter().any(|(name, ..)| *name == unit) {
            let (unit, text) = (unit.to_owned(), text.to_owned());
            return Err(DurationError::UnknownUnit { unit, text });
        }
        let at = units.iter().position(|(name, ..)| *name == unit).ok_or_else(invalid)?;
        let number = i64::try_from(number).map_err(|_| DurationError::OutOfRange)?;
        let part_ms = number.checked_mul(units[at].1).ok_or(DurationError::OutOfRange)?;
        total_ms = total_ms.checked_add(part_ms).ok_or(DurationError::OutOfRange)?;
        if total_ms > DURATION_MS_MAX {
            return Err(DurationError::OutOfRange);
        }
        (rest, units) = (after, &units[at + 1..]);
    }
    Ok(total_ms)
}

/// [`parse_duration`] with an optional minus sign.
///
/// # Errors
/// See [`DurationError`].
pub fn parse_duration_allow_negative(text: &str) -> Result<i64, DurationError> {
    match text.strip_prefix('-') {
        Some(positive) => Ok(-parse_duration(positive)?),
        None => parse_duration(text),
    }
}

/// Prints milliseconds as Prometheus does: `90000` is `1m30s`, ten days are `10d` but two weeks `2w`.
pub fn format_duration(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut text = if ms < 0 { String::from("-") } else { String::new() };
    let mut rest = ms.unsigned_abs();
    for (name, size_ms, only_exact) in UNITS {
        let size_ms = size_ms.unsigned_abs();
        if only_exact && !rest.is_multiple_of(size_ms) {
            continue;
        }
        if rest >= size_ms {
            text.push_str(&(rest / size_ms).to_string());
            text.push_str(name);
            rest %= size_ms;
        }
    }
    text
}

/// Before and from the first byte that satisfies `is_end`.
fn split_where(text: &str, is_end: impl Fn(u8) -> bool) -> (&str, &str) {
    // Only ASCII digits begin or end a piece, so no character is cut.
    text.split_at(text.bytes().position(is_end).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests;
