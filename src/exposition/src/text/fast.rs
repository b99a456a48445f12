//! The plain form of a sample line, read without tokens: `name{labels} value [timestamp]`.
//! It knows no errors: whatever is not plain is `None`, and the grammar decides (I2).

use memchr::{memchr2, memchr3};

use super::{SERIES_SIZE_BYTES_MAX, number};

/// What stands behind a series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suffix {
    pub(super) value: f64,
    pub(super) timestamp_ms: Option<i64>,
    /// Behind the line feed.
    pub(super) end: usize,
}

/// A sample line at `at`: where its series ends, and what follows.
#[inline]
pub(super) fn sample(input: &[u8], at: usize) -> Option<(usize, Suffix)> {
    let rest = input.get(at..)?;
    if !rest.first().is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b':')) {
        return None;
    }
    let name_size = rest.iter().position(|b| !NAME_BYTES[usize::from(*b)])?;
    let series_size = match rest[name_size] {
        b'{' => name_size + 1 + braces_size(&rest[name_size + 1..])?,
        _ => name_size,
    };
    if series_size > SERIES_SIZE_BYTES_MAX {
        return None;
    }
    let series_end = at + series_size;
    Some((series_end, suffix(input, series_end)?))
}

/// Value and timestamp behind a series that ends at `at`.
#[inline]
pub(super) fn suffix(input: &[u8], at: usize) -> Option<Suffix> {
    let value_start = after_blanks(input, at);
    if value_start == at {
        return None;
    }
    let (value, at) = number::value(input, value_start)?;
    match input.get(at) {
        Some(b'\n') => return Some(Suffix { value, timestamp_ms: None, end: at + 1 }),
        None => return Some(Suffix { value, timestamp_ms: None, end: at }),
        Some(_) => {}
    }
    let timestamp_start = after_blanks(input, at);
    let (timestamp_ms, at) = match input.get(timestamp_start) {
        Some(b'0'..=b'9') => {
            let (timestamp_ms, at) = number::timestamp(input, timestamp_start)?;
            (Some(timestamp_ms), after_blanks(input, at))
        }
        _ => (None, timestamp_start),
    };
    match input.get(at) {
        Some(b'\n') => Some(Suffix { value, timestamp_ms, end: at + 1 }),
        None => Some(Suffix { value, timestamp_ms, end: at }),
        Some(_) => None,
    }
}

/// Up to and with the closing brace, which no string holds.
fn braces_size(rest: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr3(b'"', b'}', b'\n', &rest[at..])?;
        match rest[at] {
            b'}' => return Some(at + 1),
            b'"' => at += 1,
            _ => return None,
        }
        loop {
            at += memchr2(b'"', b'\\', &rest[at..])?;
            if rest[at] == b'"' {
                at += 1;
                break;
            }
            // What may stand behind a backslash is for the grammar to judge, if it is unusual.
            if !matches!(rest.get(at + 1), Some(b'"' | b'\\' | b'n')) {
                return None;
            }
            at += 2;
        }
    }
}

#[inline]
fn after_blanks(input: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t') = input.get(at) {
        at += 1;
    }
    at
}

/// Bytes of a metric's name.
static NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric() || b == b'_' || b == b':';
        byte += 1;
    }
    table
};
