//! Strings and numbers as Go writes and reads them. Nothing here knows tokens or positions.

use std::fmt::Write as _;

/// Quotes as Go's `strconv.Quote`.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_quoted(&mut out, text);
    out
}

/// [`quote`] at the end of a buffer.
pub(super) fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        push_escaped(out, c, '"');
    }
    out.push('"');
}

/// Quotes at most the first `chars_max` characters. Compat: Go's verb `%.10q`.
pub(super) fn quote_prefix(text: &str, chars_max: usize) -> String {
    let end = text.char_indices().nth(chars_max).map_or(text.len(), |(at, _)| at);
    quote(&text[..end])
}

/// A character in single quotes. Compat: Go's verb `%q`; the end of the input is U+FFFD there.
pub(super) fn quote_char(c: Option<char>) -> String {
    let mut out = String::from("'");
    push_escaped(&mut out, c.unwrap_or(char::REPLACEMENT_CHARACTER), '\'');
    out.push('\'');
    out
}

/// `U+0041 'A'`. Compat: Go's verb `%#U`.
pub(super) fn describe_char(c: char) -> String {
    let code = format!("U+{:04X}", c as u32);
    if is_printable(c) { format!("{code} '{c}'") } else { code }
}

fn push_escaped(out: &mut String, c: char, quote: char) {
    let short = match c {
        '\u{07}' => 'a',
        '\u{08}' => 'b',
        '\u{0c}' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\u{0b}' => 'v',
        '\\' => '\\',
        c if c == quote => quote,
        c if is_printable(c) => return out.push(c),
        c => {
            let code = c as u32;
            let written = match code {
                0..=0x1f | 0x7f => write!(out, "\\x{code:02x}"),
                0x80..=0xffff => write!(out, "\\u{code:04x}"),
                _ => write!(out, "\\U{code:08x}"),
            };
            return written.expect("a string takes all that is written");
        }
    };
    out.push('\\');
    out.push(short);
}

/// Letters, marks, numbers, punctuation, symbols and the ASCII space. Compat: Go's `strconv.IsPrint`.
fn is_printable(c: char) -> bool {
    match c {
        ' '..='~' => true,
        '\0'..='\u{9f}' => false,
        // The standard library asks the same question when it prints a string that does not begin
        // with the character, and answers with an escape where it is not printable.
        _ => {
            let mut pair = String::from("a");
            pair.push(c);
            pair.escape_debug().nth(1) == Some(c)
        }
    }
}

/// Reads a quoted string with its quotes. Compat: `util/strutil/quote.go`.
/// Escapes can denote bytes that are no UTF-8; these become U+FFFD.
pub(super) fn unquote(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
    let body = text[1..].strip_suffix(quote)?;
    if quote == '`' {
        return (!body.contains('`')).then(|| body.to_owned());
    }
    if body.contains('\n') {
        return None;
    }
    if !body.contains('\\') {
        return (!body.contains(quote)).then(|| body.to_owned());
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
        Ok(text) => text,
        Err(err) => String::from_utf8_lossy(err.as_bytes()).into_owned(),
    })
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

/// Why a number cannot be read, in the words of Go's `strconv.NumError`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberError {
    Syntax,
    Range,
}

impl NumberError {
    /// `strconv.ParseFloat: parsing "1e999": value out of range`.
    pub(super) fn text(self, function: &str, input: &str) -> String {
        let reason = match self {
            Self::Syntax => "invalid syntax",
            Self::Range => "value out of range",
        };
        format!("strconv.{function}: parsing {}: {reason}", quote(input))
    }
}

/// Reads a number token: first as an integer literal of Go (decimal, `0x`, `0b`, `0o`, octal with a
/// leading zero), then as a float. Compat: `parser.number` in `promql/parser/parse.go`.
pub(super) fn parse_number(text: &str) -> Result<f64, NumberError> {
    match parse_integer(text) {
        Some(number) => Ok(number as f64),
        None => parse_float(text),
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

fn parse_float(text: &str) -> Result<f64, NumberError> {
    if text.eq_ignore_ascii_case("inf") {
        return Ok(f64::INFINITY);
    }
    if text.eq_ignore_ascii_case("nan") {
        return Ok(f64::NAN);
    }
    if !underscores_are_well_placed(text) {
        return Err(NumberError::Syntax);
    }
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    if !plain.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-')) {
        return Err(NumberError::Syntax);
    }
    match plain.parse::<f64>() {
        Ok(value) if value.is_infinite() => Err(NumberError::Range),
        Ok(value) => Ok(value),
        Err(_) => Err(NumberError::Syntax),
    }
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
