//! Bytes of a file to text, refused where YAML has no such characters.

use std::borrow::Cow;

use super::Fault;

/// Checks encoding and characters; a byte order mark chooses UTF-16 and is left out.
///
/// # Errors
/// The first byte or character that cannot stand in YAML, with its place.
pub(crate) fn to_text(bytes: &[u8]) -> Result<Cow<'_, str>, Fault> {
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes)?,
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes)?,
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest)?,
        _ => utf8(bytes)?,
    };
    let bad = text.char_indices().find(|&(i, c)| !is_printable(c) || (c == '\u{feff}' && i > 0));
    match bad {
        Some((at, c)) => {
            Err(fault(&text[..at], "control characters are not allowed").with_hint(if c == '\0' {
                String::from("the file holds a zero byte: is it binary?")
            } else {
                format!("the file holds the character U+{:04X}", u32::from(c))
            }))
        }
        None => Ok(text),
    }
}

fn utf8(bytes: &[u8]) -> Result<Cow<'_, str>, Fault> {
    let err = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok(Cow::Borrowed(text)),
        Err(err) => err,
    };
    let (valid, rest) = bytes.split_at(err.valid_up_to());
    let before = String::from_utf8_lossy(valid);
    let message = match (err.error_len(), rest.first()) {
        (None, _) => "incomplete UTF-8 octet sequence",
        (_, Some(0xc2..=0xf4)) => "invalid trailing UTF-8 octet",
        _ => "invalid leading UTF-8 octet",
    };
    let byte = rest.first().copied().unwrap_or_default();
    let hint = format!("byte 0x{byte:02x} at offset {} is not UTF-8", valid.len());
    Err(fault(&before, message).with_hint(hint))
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'_, str>, Fault> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(pairs.len());
    for c in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        match c {
            Ok(c) => text.push(c),
            Err(_) => return Err(fault(&text, "unexpected low surrogate area")),
        }
    }
    if rest.is_empty() {
        Ok(Cow::Owned(text))
    } else {
        Err(fault(&text, "incomplete UTF-16 character"))
    }
}

/// What YAML calls printable.
fn is_printable(c: char) -> bool {
    matches!(c,
        '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        || c >= '\u{10000}'
}

/// A fault at the end of `before`.
fn fault(before: &str, message: &'static str) -> Fault {
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Fault::new(line, column, message)
}
