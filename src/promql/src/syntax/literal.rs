//! Strings and numbers as Go writes and reads them. Nothing here knows tokens or positions.

use prom_model::{ParseFloatError, is_printable, parse_go_float, quote_go};

use super::StringLiteral;

/// Quotes at most the first `chars_max` characters. Compat: Go's verb `%.10q`.
pub(super) fn quote_prefix(text: &str, chars_max: usize) -> String {
    let end = text.char_indices().nth(chars_max).map_or(text.len(), |(at, _)| at);
    quote_go(&text[..end])
}

/// A character in single quotes. Compat: Go's verb `%q`; the end of the input is U+FFFD there.
pub(super) fn quote_char(c: Option<char>) -> String {
    let c = c.unwrap_or(char::REPLACEMENT_CHARACTER);
    match c {
        '\'' => "'\\''".to_owned(),
        '"' => "'\"'".to_owned(),
        c => {
            let quoted = quote_go(c.encode_utf8(&mut [0; 4]));
            format!("'{}'", quoted.trim_matches('"'))
        }
    }
}

/// `U+0041 'A'`. Compat: Go's verb `%#U`.
pub(super) fn describe_char(c: char) -> String {
    let code = format!("U+{:04X}", c as u32);
    if is_printable(c) { format!("{code} '{c}'") } else { code }
}

/// Reads a quoted string with its quotes. Compat: `util/strutil/quote.go`.
pub(super) fn unquote(text: &str) -> Option<StringLiteral> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
    let body = text[1..].strip_suffix(quote)?;
    if quote == '`' {
        return (!body.contains('`')).then(|| plain(body));
    }
    if body.contains('\n') {
        return None;
    }
    if !body.contains('\\') {
        return (!body.contains(quote)).then(|| plain(body));
    }
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body.chars();
    while let Some(c) = rest.next() {
        match c {
            c if c == quote => return None,
            '\\' => unescape(&mut rest, quote, &mut bytes)?,
            c => push_char(&mut bytes, c),
        }
    }
    Some(match String::from_utf8(bytes) {
        Ok(text) => StringLiteral { text, bytes: None },
        Err(err) => StringLiteral {
            text: String::from_utf8_lossy(err.as_bytes()).into_owned(),
            bytes: Some(err.into_bytes().into_boxed_slice()),
        },
    })
}

fn plain(text: &str) -> StringLiteral {
    StringLiteral { text: text.to_owned(), bytes: None }
}

fn unescape(rest: &mut std::str::Chars<'_>, quote: char, bytes: &mut Vec<u8>) -> Option<()> {
    let plain = match rest.next()? {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        'x' => u8::try_from(digits(rest, 2, 16, 0)?).ok()?,
        'u' => return push_code(bytes, digits(rest, 4, 16, 0)?),
        'U' => return push_code(bytes, digits(rest, 8, 16, 0)?),
        c @ '0'..='7' => u8::try_from(digits(rest, 2, 8, c.to_digit(8)?)?).ok()?,
        c if c == quote => u8::try_from(c).ok()?,
        _ => return None,
    };
    bytes.push(plain);
    Some(())
}

fn digits(rest: &mut std::str::Chars<'_>, count: usize, base: u32, first: u32) -> Option<u32> {
    let mut value = first;
    for _ in 0..count {
        value = value.checked_mul(base)?.checked_add(rest.next()?.to_digit(base)?)?;
    }
    Some(value)
}

fn push_code(bytes: &mut Vec<u8>, code: u32) -> Option<()> {
    push_char(bytes, char::from_u32(code)?);
    Some(())
}

fn push_char(bytes: &mut Vec<u8>, c: char) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Reads a number token: first as an integer literal of Go (decimal, `0x`, `0b`, `0o`, octal with a
/// leading zero), then as a float. Compat: `parser.number` in `promql/parser/parse.go`.
pub(super) fn parse_number(text: &str) -> Result<f64, ParseFloatError> {
    match parse_integer(text) {
        Some(number) => Ok(number as f64),
        None => parse_go_float(text),
    }
}

fn parse_integer(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (base, digits) = match bytes {
        [b'0', b'x' | b'X', rest @ ..] => (16, rest),
        [b'0', b'b' | b'B', rest @ ..] => (2, rest),
        [b'0', b'o' | b'O', rest @ ..] => (8, rest),
        [b'0', rest @ ..] if !rest.is_empty() => (8, rest),
        _ => (10, bytes),
    };
    if !underscores_are_well_placed(text) {
        return None;
    }
    let mut value = None;
    for digit in digits.iter().filter(|byte| **byte != b'_') {
        let digit = char::from(*digit).to_digit(base)?;
        value = Some(
            value.unwrap_or(0i64).checked_mul(i64::from(base))?.checked_add(i64::from(digit))?,
        );
    }
    value
}

/// Underscores must stand between digits, or between a base prefix and a digit.
fn underscores_are_well_placed(text: &str) -> bool {
    if !text.contains('_') {
        return true;
    }
    let bytes = text.as_bytes();
    let is_hex = matches!(bytes, [b'0', b'x' | b'X', ..]);
    let (mut after_digit, body) = match bytes {
        [b'0', b'x' | b'X' | b'b' | b'B' | b'o' | b'O', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    let mut after_underscore = false;
    for byte in body {
        let is_digit = byte.is_ascii_digit() || is_hex && byte.is_ascii_hexdigit();
        if *byte == b'_' && !after_digit || after_underscore && !is_digit {
            return false;
        }
        (after_digit, after_underscore) = (is_digit, *byte == b'_');
    }
    !after_underscore
}

/// Go's conversion of a float to `int64` on amd64: out of range gives the smallest number.
pub(super) fn go_int64(value: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&value) { value as i64 } else { i64::MIN }
}
