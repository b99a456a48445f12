//! The plain form of a sample line, read without tokens: `name{labels} value [timestamp]`.
//! It knows no errors: whatever is not plain is `None`, and the grammar decides (I2).

use std::{ops::Range, str};

use prom_model::METRIC_NAME;

use super::{LABELS_COUNT_MAX, SERIES_SIZE_BYTES_MAX, Suffix, number, unescape_label};

/// A sample line at `at`: where its series ends, and what follows.
#[inline]
pub(super) fn sample(input: &[u8], at: usize) -> Option<(usize, Suffix<'_>)> {
    let rest = input.get(at..)?;
    if !rest.first().is_some_and(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b':')) {
        return None;
    }
    let name_size = run(rest, 0, METRIC_BYTE);
    let series_size = match rest.get(name_size)? {
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
pub(super) fn suffix(input: &[u8], at: usize) -> Option<Suffix<'_>> {
    let value_start = after_blanks(input, at);
    if value_start == at {
        return None;
    }
    let (value, at) = number::value(input, value_start)?;
    match input.get(at) {
        Some(b'\n') => return Some(Suffix::plain(value, None, at + 1)),
        None => return Some(Suffix::plain(value, None, at)),
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
        Some(b'\n') => Some(Suffix::plain(value, timestamp_ms, at + 1)),
        None => Some(Suffix::plain(value, timestamp_ms, at)),
        Some(_) => None,
    }
}

/// Hands over name and labels of a plain series in their order; says `false`, and hands over nothing, if it is not plain.
/// `scratch` is where it finds them on the way.
pub(super) fn labels(
    series: &[u8],
    scratch: &mut Vec<(Range<usize>, Range<usize>)>,
    each: &mut impl FnMut(&str, &str),
) -> bool {
    scratch.clear();
    let Ok(text) = str::from_utf8(series) else { return false };
    let Some(name) = pairs(series, scratch) else { return false };
    each(METRIC_NAME, &text[name]);
    for (name, value) in scratch {
        each(&text[name.clone()], &unescape_label(&text[value.clone()]));
    }
    true
}

/// Where name and labels stand in a plain series, as offsets into it: `name{label="value",label="value"}`.
pub(super) fn pairs(
    series: &[u8],
    pairs: &mut Vec<(Range<usize>, Range<usize>)>,
) -> Option<Range<usize>> {
    let name_size = run(series, 0, METRIC_BYTE);
    if name_size == series.len() {
        return Some(0..name_size);
    }
    let mut at = name_size;
    loop {
        // At the opening brace or at a comma.
        let start = at + 1;
        at = run(series, start, LABEL_BYTE);
        if series.get(at) == Some(&b'}') && at == start {
            return Some(0..name_size);
        }
        let name = start..at;
        let is_name = series.get(start).is_some_and(|b| !b.is_ascii_digit()) && !name.is_empty();
        if !is_name || !series[at..].starts_with(b"=\"") {
            return None;
        }
        let value_end = string_end(series, at + 2)?;
        if pairs.len() >= LABELS_COUNT_MAX {
            return None;
        }
        pairs.push((name, at + 2..value_end));
        at = value_end + 1;
        match series.get(at)? {
            b',' => {}
            b'}' => return Some(0..name_size),
            _ => return None,
        }
    }
}

/// Up to and with the closing brace, which no string holds.
#[inline]
fn braces_size(rest: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at = run(rest, at, OUTSIDE_STRING);
        match rest.get(at)? {
            b'}' => return Some(at + 1),
            b'"' => at = string_end(rest, at + 1)? + 1,
            _ => return None,
        }
    }
}

/// Where the string that begins at `at` has its closing quote.
#[inline]
fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = run(bytes, at, INSIDE_STRING);
        match bytes.get(at)? {
            b'"' => return Some(at),
            // What may stand behind a backslash is for the grammar to judge, if it is unusual.
            b'\\' if matches!(bytes.get(at + 1), Some(b'"' | b'\\' | b'n')) => at += 2,
            _ => return None,
        }
    }
}

/// The first place from `at` on whose byte is of another kind.
#[inline]
fn run(bytes: &[u8], at: usize, kind: u8) -> usize {
    // Runs are short: a look into the table beats a search with wide registers.
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|b| KINDS[usize::from(*b)] & kind == 0).unwrap_or(rest.len())
}

#[inline]
fn after_blanks(input: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t') = input.get(at) {
        at += 1;
    }
    at
}

const METRIC_BYTE: u8 = 1;
const LABEL_BYTE: u8 = 2;
/// All but what begins a string or ends the braces or the line.
const OUTSIDE_STRING: u8 = 4;
/// All but what ends a string or escapes.
const INSIDE_STRING: u8 = 8;

/// What each byte may be.
static KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        let is_label_byte = b.is_ascii_alphanumeric() || b == b'_';
        if is_label_byte || b == b':' {
            kinds[byte] |= METRIC_BYTE;
        }
        if is_label_byte {
            kinds[byte] |= LABEL_BYTE;
        }
        if !matches!(b, b'"' | b'}' | b'\n') {
            kinds[byte] |= OUTSIDE_STRING;
        }
        if !matches!(b, b'"' | b'\\') {
            kinds[byte] |= INSIDE_STRING;
        }
        byte += 1;
    }
    kinds
};
