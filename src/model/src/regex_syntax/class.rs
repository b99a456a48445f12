//! Classes of characters in brackets, Perl's and POSIX's. Unicode's are in `unicode`.

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::{RegexError, RegexErrorCode, escape, unicode};

/// A character and all that are the same but for case.
pub(super) fn folded(c: char) -> ClassUnicode {
    let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
    class.case_fold_simple();
    class
}

/// `\d`, `\s`, `\w` and their opposites at the beginning of `text`: ASCII, unless case does not matter.
pub(super) fn perl(text: &str, fold_case: bool) -> Option<ClassUnicode> {
    let kind = *text.as_bytes().get(1)?;
    let name = match kind.to_ascii_lowercase() {
        b'd' => "digit",
        b's' => "perl space",
        b'w' => "word",
        _ => return None,
    };
    Some(named(name, kind.is_ascii_uppercase(), fold_case).expect("these names are known"))
}

/// The class at the beginning of `text`, and the rest.
pub(super) fn bracketed(text: &str, fold_case: bool) -> Result<(ClassUnicode, &str), RegexError> {
    let mut class = ClassUnicode::empty();
    let inside = &text[1..];
    let is_negated = inside.starts_with('^');
    let mut rest = &inside[usize::from(is_negated)..];
    let mut is_first = true;
    // A bracket that comes first is a member.
    while is_first || !rest.starts_with(']') {
        is_first = false;
        let (part, after) = match group(rest, fold_case)? {
            Some(found) => found,
            None => range(rest, text, fold_case)?,
        };
        class.union(&part);
        rest = after;
    }
    if is_negated {
        class.negate();
    }
    Ok((class, &rest[1..]))
}

/// A named group of characters at the beginning of `text`, and the rest.
fn group(text: &str, fold_case: bool) -> Result<Option<(ClassUnicode, &str)>, RegexError> {
    if let Some(inside) = text.strip_prefix("[:")
        && let Some(end) = inside.find(":]")
    {
        let (name, rest) = (&inside[..end], &inside[end + 2..]);
        let plain = name.strip_prefix('^');
        // The names that Perl has besides are ours, not POSIX's.
        let found = named(plain.unwrap_or(name), plain.is_some(), fold_case)
            .filter(|_| !name.contains(' '));
        let class = found
            .ok_or_else(|| RegexErrorCode::InvalidCharRange.at(&text[..text.len() - rest.len()]))?;
        return Ok(Some((class, rest)));
    }
    if !text.starts_with('\\') {
        return Ok(None);
    }
    if let Some((class, size)) = unicode::class(text, fold_case)? {
        return Ok(Some((class, &text[size..])));
    }
    Ok(perl(text, fold_case).map(|class| (class, &text[2..])))
}

/// A character or a range at the beginning of `text`, and the rest.
fn range<'t>(
    text: &'t str,
    whole: &str,
    fold_case: bool,
) -> Result<(ClassUnicode, &'t str), RegexError> {
    let (low, mut rest) = member(text, whole)?;
    let mut high = low;
    if let Some(after) = rest.strip_prefix('-')
        && !after.is_empty()
        && !after.starts_with(']')
    {
        (high, rest) = member(after, whole)?;
        if high < low {
            let read = &text[..text.len() - rest.len()];
            return Err(RegexErrorCode::InvalidCharRange.at(read));
        }
    }
    let mut class = ClassUnicode::new(scalar_range(low, high));
    if fold_case {
        class.case_fold_simple();
    }
    Ok((class, rest))
}

fn member<'t>(text: &'t str, whole: &str) -> Result<(u32, &'t str), RegexError> {
    match text.chars().next() {
        None => Err(RegexErrorCode::MissingBracket.at(whole)),
        Some('\\') => {
            let (code, size) = escape::escape(text)?;
            Ok((code, &text[size..]))
        }
        Some(c) => Ok((u32::from(c), &text[c.len_utf8()..])),
    }
}

/// Surrogates are in no text and in no class.
fn scalar_range(low: u32, high: u32) -> Option<ClassUnicodeRange> {
    const SURROGATES: std::ops::RangeInclusive<u32> = 0xd800..=0xdfff;
    let low = if SURROGATES.contains(&low) { SURROGATES.end() + 1 } else { low };
    let high = if SURROGATES.contains(&high) { SURROGATES.start() - 1 } else { high };
    let (low, high) = (char::from_u32(low)?, char::from_u32(high)?);
    (low <= high).then(|| ClassUnicodeRange::new(low, high))
}

/// A class of ASCII characters by its name.
fn named(name: &str, is_negated: bool, fold_case: bool) -> Option<ClassUnicode> {
    let ranges: &[(char, char)] = match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\x7f')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
        "digit" => &[('0', '9')],
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "perl space" => &[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return None,
    };
    let ranges = ranges.iter().map(|(low, high)| ClassUnicodeRange::new(*low, *high));
    let mut class = ClassUnicode::new(ranges);
    if fold_case {
        class.case_fold_simple();
    }
    if is_negated {
        class.negate();
    }
    Some(class)
}
