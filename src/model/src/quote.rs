//! Text in Go's double quotes. Reading quoted text back is the business of each language's lexer.

use std::fmt::Write;

/// Quotes as Go's `strconv.Quote`: what cannot be printed becomes an escape.
pub fn quote_go(text: &str) -> String {
    quote_go_bytes(text.as_bytes())
}

/// [`quote_go`] for bytes that need not be UTF-8: foreign ones become `\x` escapes.
pub fn quote_go_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    push_quote_go(&mut out, bytes);
    out
}

/// [`quote_go_bytes`] at the end of a text.
pub fn push_quote_go(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for chunk in bytes.utf8_chunks() {
        push_escaped(out, chunk.valid());
        for byte in chunk.invalid() {
            push_hex(out, 'x', u32::from(*byte));
        }
    }
    out.push('"');
}

/// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and the ASCII space.
pub fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    // Behind a letter the standard library escapes only what cannot be printed; alone, marks too.
    let mut buffer = [b'a'; 5];
    let size = c.encode_utf8(&mut buffer[1..]).len();
    let text = std::str::from_utf8(&buffer[..=size]).expect("a letter and one character");
    text.escape_debug().nth(1) != Some('\\')
}

fn push_escaped(out: &mut String, text: &str) {
    let mut rest = text;
    // Runs of plain ASCII, which is nearly everything, are copied as they are.
    while let Some(at) =
        rest.bytes().position(|b| !matches!(b, b' '..=b'~') || b == b'"' || b == b'\\')
    {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        let c = special.chars().next().expect("a position inside the text");
        push_special(out, c);
        rest = &special[c.len_utf8()..];
    }
    out.push_str(rest);
}

fn push_special(out: &mut String, c: char) {
    match c {
        '"' | '\\' => out.extend(['\\', c]),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        c if is_printable(c) => out.push(c),
        c if c.is_ascii() => push_hex(out, 'x', u32::from(c)),
        c if u32::from(c) < 0x1_0000 => push_hex(out, 'u', u32::from(c)),
        c => push_hex(out, 'U', u32::from(c)),
    }
}

/// `\xNN`, `\uNNNN` or `\UNNNNNNNN`.
fn push_hex(out: &mut String, kind: char, number: u32) {
    let width = match kind {
        'x' => 2,
        'u' => 4,
        _ => 8,
    };
    write!(out, "\\{kind}{number:0width$x}").expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        let check = |bytes: &[u8], expected: &str| assert_eq!(quote_go_bytes(bytes), expected);
        check(b"", r#""""#);
        check(b"plain 'text'", r#""plain 'text'""#);
        check(b"a\"b\\c", r#""a\"b\\c""#);
        check(b"\x00\x07\x08\x0c\n\r\t\x0b\x1f\x7f", r#""\x00\a\b\f\n\r\t\v\x1f\x7f""#);
        check("\u{e9}\u{4e16}\u{1f600}".as_bytes(), "\"\u{e9}\u{4e16}\u{1f600}\"");
        check(b"a\xffb\xe4\xb8", r#""a\xffb\xe4\xb8""#);
        // A combining mark and the replacement character are printable, spaces other than ' ' are not.
        check("\u{301}\u{fffd}".as_bytes(), "\"\u{301}\u{fffd}\"");
        check(
            "\u{a0}\u{ad}\u{85}\u{200b}\u{2028}\u{feff}".as_bytes(),
            r#""\u00a0\u00ad\u0085\u200b\u2028\ufeff""#,
        );
        check("\u{e000}\u{e0001}\u{10ffff}".as_bytes(), r#""\ue000\U000e0001\U0010ffff""#);
    }
}
