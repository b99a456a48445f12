//! JSON written straight into a byte buffer, byte for byte as Prometheus's encoder does it.
//! It knows labels and times, but no answer of the API.

use prom_model::Labels;

pub(crate) use prom_model::push_integer;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A string as jsoniter's plain `WriteString` writes it: labels, metric names and values.
/// Compat: json-iterator `stream_str.go`.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    push_text(out, text.as_bytes());
}

/// A string inside a struct, which Go's encoders escape for HTML: `<`, `>`, `&`, U+2028 and U+2029.
pub(crate) fn push_html_string(out: &mut Vec<u8>, text: &str) {
    const SEPARATORS: [char; 2] = ['\u{2028}', '\u{2029}'];
    let is_plain = |byte| byte >= 0x20 && !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&');
    if !text.contains(SEPARATORS) {
        return push_escaped(out, text, is_plain);
    }
    out.push(b'"');
    for part in text.split_inclusive(SEPARATORS) {
        let (text, separator) = match part.chars().next_back() {
            Some('\u{2028}') => (part.trim_end_matches(SEPARATORS), "\\u2028"),
            Some('\u{2029}') => (part.trim_end_matches(SEPARATORS), "\\u2029"),
            _ => (part, ""),
        };
        push_escaped_bytes(out, text.as_bytes(), is_plain);
        out.extend_from_slice(separator.as_bytes());
    }
    out.push(b'"');
}

/// A label set as an object.
pub(crate) fn push_labels(out: &mut Vec<u8>, labels: &Labels) {
    push_pairs(out, labels.byte_pairs());
}

/// Names and values, bytes of texts, as an object of strings.
pub(crate) fn push_pairs<T: AsRef<[u8]>>(out: &mut Vec<u8>, pairs: impl Iterator<Item = (T, T)>) {
    out.push(b'{');
    for (index, (name, value)) in pairs.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_text(out, name.as_ref());
        out.push(b':');
        push_text(out, value.as_ref());
    }
    out.push(b'}');
}

/// A list, each item written by `push`.
pub(crate) fn push_list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut push: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(b']');
}

/// Milliseconds as seconds, with all three decimals if there is a fraction: `1.500`.
/// Compat: Prometheus `util/jsonutil/marshal.go`.
pub(crate) fn push_timestamp(out: &mut Vec<u8>, timestamp_ms: i64) {
    if timestamp_ms < 0 {
        out.push(b'-');
    }
    let ms = timestamp_ms.unsigned_abs();
    push_integer(out, ms / 1000);
    let fraction = (ms % 1000) as u32;
    if fraction != 0 {
        let digit = |value: u32| b'0' + (value % 10) as u8;
        out.extend_from_slice(&[
            b'.',
            digit(fraction / 100),
            digit(fraction / 10),
            digit(fraction),
        ]);
    }
}

/// The bytes of a text as a string.
fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    let is_plain = |byte| byte >= 0x20 && byte != b'"' && byte != b'\\';
    push_quoted(out, text, are_plain(text), is_plain);
}

fn push_escaped(out: &mut Vec<u8>, text: &str, is_plain: impl Fn(u8) -> bool) {
    // Without a branch for each byte several are looked at together, and nearly all texts are plain.
    let are_plain = text.bytes().fold(true, |all, byte| all & is_plain(byte));
    push_quoted(out, text.as_bytes(), are_plain, is_plain);
}

fn push_quoted(out: &mut Vec<u8>, text: &[u8], are_plain: bool, is_plain: impl Fn(u8) -> bool) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    match are_plain {
        true => out.extend_from_slice(text),
        false => push_escaped_bytes(out, text, is_plain),
    }
    out.push(b'"');
}

/// Whether a string may hold these bytes as they are. Labels are short and many: eight bytes are looked at
/// together, the last eight perhaps twice.
fn are_plain(text: &[u8]) -> bool {
    match text.last_chunk() {
        Some(last) => text.as_chunks().0.iter().chain([last]).all(|word| is_plain_word(*word)),
        None => {
            let mut word = [b' '; size_of::<u64>()];
            word[..text.len()].copy_from_slice(text);
            is_plain_word(word)
        }
    }
}

/// The same for eight bytes. A byte below another one is found by the borrow that it needs; what borrows
/// further up is seen only where there is one anyway.
fn is_plain_word(bytes: [u8; size_of::<u64>()]) -> bool {
    const EACH: u64 = u64::MAX / 0xff;
    const TOPS: u64 = EACH << 7;
    let word = u64::from_le_bytes(bytes);
    let has_below =
        |word: u64, limit: u8| word.wrapping_sub(EACH * u64::from(limit)) & !word & TOPS;
    let has = |byte: u8| has_below(word ^ (EACH * u64::from(byte)), 1);
    (has_below(word, 0x20) | has(b'"') | has(b'\\')) == 0
}

fn push_escaped_bytes(out: &mut Vec<u8>, bytes: &[u8], is_plain: impl Fn(u8) -> bool) {
    let mut start = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if is_plain(byte) {
            continue;
        }
        out.extend_from_slice(&bytes[start..at]);
        start = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
        }
    }
    out.extend_from_slice(&bytes[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(push: impl Fn(&mut Vec<u8>), expected: &str) {
        let mut out = Vec::new();
        push(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn plain_strings_escape_only_what_json_asks_for() {
        for (text, expected) in [
            ("", r#""""#),
            ("a<b>&'", r#""a<b>&'""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("\n\r\t\u{1}\u{1f}\u{7f}", "\"\\n\\r\\t\\u0001\\u001f\u{7f}\""),
            ("\u{e9}\u{2028}", "\"\u{e9}\u{2028}\""),
        ] {
            check(|out| push_string(out, text), expected);
        }
    }

    #[test]
    fn each_byte_is_looked_at_wherever_it_stands() {
        for byte in 0..=0x7fu8 {
            let is_plain = byte >= 0x20 && byte != b'"' && byte != b'\\';
            for size in 1..20 {
                for at in 0..size {
                    let mut text = vec![b'\x7f'; size];
                    text[at] = byte;
                    assert_eq!(are_plain(&text), is_plain, "{text:?}");
                }
            }
        }
        assert!(are_plain(b"") && are_plain("\u{e9}\u{2028}\u{80}\u{10ffff}".as_bytes()));
    }

    #[test]
    fn struct_strings_escape_markup_too() {
        for (text, expected) in [
            ("a<b>&", r#""a\u003cb\u003e\u0026""#),
            ("x\u{2028}y\u{2029}", r#""x\u2028y\u2029""#),
            ("\u{2028}\u{2028}", r#""\u2028\u2028""#),
            ("\u{2028}<", r#""\u2028\u003c""#),
        ] {
            check(|out| push_html_string(out, text), expected);
        }
    }

    #[test]
    fn timestamps_have_no_or_three_decimals() {
        for (ms, expected) in [
            (0, "0"),
            (1, "0.001"),
            (50, "0.050"),
            (1_500, "1.500"),
            (1_795_367_873_682, "1795367873.682"),
            (-1, "-0.001"),
            (-2_000, "-2"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            check(|out| push_timestamp(out, ms), expected);
        }
    }

    #[test]
    fn pairs_and_lists() {
        let labels = Labels::from_pairs([("b", "2"), ("a", "\"")]);
        check(|out| push_labels(out, &labels), r#"{"a":"\"","b":"2"}"#);
        check(|out| push_list(out, [1u64, 20], push_integer), "[1,20]");
        check(|out| push_list(out, [0u64; 0], push_integer), "[]");
    }
}
