//! Go's `time.Duration`: nanoseconds as text.

use std::fmt::Write;

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// A text that Go's `time.ParseDuration` refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GoDurationError {
    #[error("time: invalid duration {}", quote(.0))]
    Invalid(String),
    #[error("time: missing unit in duration {}", quote(.0))]
    MissingUnit(String),
    #[error("time: unknown unit {} in duration {}", quote(.unit), quote(.text))]
    UnknownUnit { unit: String, text: String },
}

/// Prints nanoseconds as Go's `time.Duration` does: `1h30m0s`, `1.5ms`, and micro with its sign.
pub fn format_go_duration(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let ns = ns.unsigned_abs();
    let mut text = String::from(sign);
    match ns {
        0 => text.push_str("0s"),
        1..MICROSECOND => push(&mut text, ns, 1, "ns"),
        MICROSECOND..MILLISECOND => push(&mut text, ns, MICROSECOND, "\u{b5}s"),
        MILLISECOND..SECOND => push(&mut text, ns, MILLISECOND, "ms"),
        _ => {
            if ns >= HOUR {
                push(&mut text, ns / HOUR, 1, "h");
            }
            if ns >= MINUTE {
                push(&mut text, ns % HOUR / MINUTE, 1, "m");
            }
            push(&mut text, ns % MINUTE, SECOND, "s");
        }
    }
    text
}

/// Parses as Go's `time.ParseDuration` into nanoseconds: signed, fractions, units from `ns` to `h` in any order.
///
/// # Errors
/// See [`GoDurationError`].
pub fn parse_go_duration(text: &str) -> Result<i64, GoDurationError> {
    let invalid = || GoDurationError::Invalid(text.to_owned());
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if unsigned == "0" {
        return Ok(0);
    }
    if unsigned.is_empty() {
        return Err(invalid());
    }
    let (mut rest, mut total) = (unsigned, 0u64);
    while !rest.is_empty() {
        let (whole, after) = split_digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => split_digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let at = after.bytes().position(|b| b == b'.' || b.is_ascii_digit());
        let (unit, after) = after.split_at(at.unwrap_or(after.len()));
        if unit.is_empty() {
            return Err(GoDurationError::MissingUnit(text.to_owned()));
        }
        let Some(size) = size_of(unit) else {
            let (unit, text) = (unit.to_owned(), text.to_owned());
            return Err(GoDurationError::UnknownUnit { unit, text });
        };
        let part = scale(whole, fraction, size).ok_or_else(invalid)?;
        total = total.checked_add(part).filter(|t| *t <= 1 << 63).ok_or_else(invalid)?;
        rest = after;
    }
    match i64::try_from(total) {
        Ok(total) => Ok(if negative { -total } else { total }),
        Err(_) if negative => Ok(i64::MIN),
        Err(_) => Err(invalid()),
    }
}

/// `value / size` with as many decimals as it needs, and the unit.
fn push(text: &mut String, value: u64, size: u64, unit: &str) {
    write!(text, "{}", value / size).expect("writing to a string cannot fail");
    if !value.is_multiple_of(size) {
        let width = size.ilog10() as usize;
        let decimals = format!("{:0width$}", value % size);
        text.push('.');
        text.push_str(decimals.trim_end_matches('0'));
    }
    text.push_str(unit);
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len()))
}

fn size_of(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        // The micro sign and the Greek letter mu.
        "us" | "\u{b5}s" | "\u{3bc}s" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    })
}

/// `whole.fraction * size`; digits of the fraction past what 63 bits hold do not count.
fn scale(whole: &str, fraction: &str, size: u64) -> Option<u64> {
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(size).filter(|total| *total <= 1 << 63)?;
    let (mut numerator, mut denominator) = (0u64, 1.0);
    for digit in fraction.bytes() {
        let Some(more) =
            numerator.checked_mul(10).and_then(|n| n.checked_add(u64::from(digit - b'0')))
        else {
            break;
        };
        if more > 1 << 63 {
            break;
        }
        numerator = more;
        denominator *= 10.0;
    }
    if numerator > 0 {
        total += (numerator as f64 * (size as f64 / denominator)) as u64;
    }
    (total <= 1 << 63).then_some(total)
}

/// The `time` package's own quoting: simpler than `strconv.Quote`.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' '..=b'~' | 0x7f => out.push(char::from(byte)),
            _ => write!(out, "\\x{byte:02x}").expect("writing to a string cannot fail"),
        }
    }
    out.push('"');
    out
}
