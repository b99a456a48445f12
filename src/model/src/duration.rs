//! Prometheus durations (`1h30m`) and Go durations (`1h30m0s`): text to milliseconds and back.

/// A duration that is malformed, out of order or too long.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("empty duration string")]
    Empty,
    #[error("not a valid duration string: {0:?}")]
    Invalid(String),
    #[error("duration out of range")]
    OutOfRange,
}

/// Parses `[y][w][d][h][m][s][ms]` in this order, or `0`, into milliseconds.
/// Compat: `model.ParseDuration` of prometheus/common.
///
/// # Errors
/// See [`DurationError`].
pub fn parse_duration(text: &str) -> Result<i64, DurationError> {
    const UNITS: [(&str, i64); 7] = [
        ("y", 31_536_000_000),
        ("w", 604_800_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    if text == "0" {
        return Ok(0);
    }
    let invalid = || DurationError::Invalid(text.to_owned());
    let (mut rest, mut units, mut total_ms) = (text, &UNITS[..], 0i64);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = match &rest[..digits] {
            "" => return Err(invalid()),
            number => number.parse().map_err(|_| DurationError::OutOfRange)?,
        };
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = rest.get(..letters).ok_or_else(invalid)?;
        let at = units.iter().position(|(name, _)| *name == unit).ok_or_else(invalid)?;
        let part = number.checked_mul(units[at].1).ok_or(DurationError::OutOfRange)?;
        total_ms = total_ms.checked_add(part).ok_or(DurationError::OutOfRange)?;
        (rest, units) = (&rest[letters..], &units[at + 1..]);
    }
    if total_ms > i64::MAX / 1_000_000 { Err(DurationError::OutOfRange) } else { Ok(total_ms) }
}

/// Prints milliseconds as Prometheus does: `90000` is `1m30s`.
pub fn format_duration(ms: i64) -> String {
    const UNITS: [(&str, u64, bool); 7] = [
        ("y", 31_536_000_000, true),
        ("w", 604_800_000, true),
        ("d", 86_400_000, false),
        ("h", 3_600_000, false),
        ("m", 60_000, false),
        ("s", 1_000, false),
        ("ms", 1, false),
    ];
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut text = if ms < 0 { String::from("-") } else { String::new() };
    let mut rest = ms.unsigned_abs();
    for (name, size, exact) in UNITS {
        if exact && rest % size != 0 {
            continue;
        }
        if rest / size > 0 {
            text.push_str(&format!("{}{name}", rest / size));
            rest %= size;
        }
    }
    text
}

/// Prints nanoseconds as Go's `time.Duration` does: `1h30m0s`, `1.5ms`, `2µs` with its micro sign.
pub fn format_go_duration(ns: i64) -> String {
    format!("{ns}ns")
}
