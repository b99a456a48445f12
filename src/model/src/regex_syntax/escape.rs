//! Escapes that stand for one character.

use super::{RegexError, RegexErrorCode};

/// The code behind the backslash at the beginning of `text`, and how long the escape is.
pub(super) fn escape(text: &str) -> Result<(u32, usize), RegexError> {
    let mut chars = text.char_indices().skip(1);
    let Some((at, c)) = chars.next() else {
        return Err(RegexErrorCode::TrailingBackslash.at(""));
    };
    let end = at + c.len_utf8();
    let invalid = Err(RegexErrorCode::InvalidEscape.at(&text[..end]));
    let code = match c {
        '0'..='7' => return octal(text).map_or(invalid, Ok),
        'x' => return hexadecimal(text),
        'a' => 0x07,
        'f' => 0x0c,
        'n' => 0x0a,
        'r' => 0x0d,
        't' => 0x09,
        'v' => 0x0b,
        // Punctuation stands for itself, letters and digits may mean something one day.
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => u32::from(c),
        _ => return invalid,
    };
    Ok((code, end))
}

/// Up to three octal digits; one alone is only the null, for it could be meant as a back-reference.
fn octal(text: &str) -> Option<(u32, usize)> {
    let digits = text.bytes().skip(1).take(3).take_while(|b| matches!(b, b'0'..=b'7'));
    let (code, count) =
        digits.fold((0, 0), |(code, count), digit| (code * 8 + u32::from(digit - b'0'), count + 1));
    (count > 1 || text.as_bytes().get(1) == Some(&b'0')).then_some((code, 1 + count))
}

/// `\xFF` or `\x{10FFFF}`. An error shows all that was read.
fn hexadecimal(text: &str) -> Result<(u32, usize), RegexError> {
    let invalid = |end: usize| Err(RegexErrorCode::InvalidEscape.at(&text[..end]));
    let mut digits = text.char_indices().skip(2);
    let Some((at, first)) = digits.next() else { return invalid(text.len()) };
    if first != '{' {
        let Some((last_at, last)) = digits.next() else { return invalid(at + first.len_utf8()) };
        let end = last_at + last.len_utf8();
        return match (first.to_digit(16), last.to_digit(16)) {
            (Some(high), Some(low)) => Ok((high * 16 + low, end)),
            _ => invalid(end),
        };
    }
    let (mut code, mut count) = (0, 0);
    for (at, c) in digits {
        let end = at + c.len_utf8();
        match c.to_digit(16) {
            Some(digit) => code = code * 16 + digit,
            None if c == '}' && count > 0 => return Ok((code, end)),
            None => return invalid(end),
        }
        if code > u32::from(char::MAX) {
            return invalid(end);
        }
        count += 1;
    }
    invalid(text.len())
}
