//! A small YAML writer: block style as go-yaml lays it out, quotes wherever a YAML 1.1 or 1.2 reader could
//! take a text for something else.

/// Something to print.
#[derive(Debug)]
pub(crate) enum Value {
    Text(String),
    /// Printed as it is: numbers and booleans.
    Plain(String),
    List(Vec<Value>),
    /// A list on one line.
    Flow(Vec<Value>),
    Map(Map),
}

/// Keys in the order in which they are put.
#[derive(Debug, Default)]
pub(crate) struct Map(Vec<(String, Value)>);

impl Map {
    pub(crate) fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.0.push((key.to_owned(), value.into()));
    }

    /// Leaves an empty text out.
    pub(crate) fn put_text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.put(key, text);
        }
    }

    /// Leaves false out.
    pub(crate) fn put_true(&mut self, key: &str, value: bool) {
        if value {
            self.put(key, value);
        }
    }

    /// Takes a plain value out again if it is the one named.
    pub(crate) fn remove_if(&mut self, key: &str, plain: &str) {
        self.0.retain(|(name, value)| {
            name != key || !matches!(value, Value::Plain(text) if text == plain)
        });
    }

    /// Leaves an empty list out.
    pub(crate) fn put_list(&mut self, key: &str, values: impl Iterator<Item = Value>) {
        let values: Vec<Value> = values.collect();
        if !values.is_empty() {
            self.put(key, Value::List(values));
        }
    }

    /// Leaves an empty mapping out.
    pub(crate) fn put_map(&mut self, key: &str, map: Map) {
        if !map.0.is_empty() {
            self.put(key, map);
        }
    }

    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.put(key, value);
        self
    }

    pub(crate) fn with_list(mut self, key: &str, values: impl Iterator<Item = Value>) -> Self {
        self.put_list(key, values);
        self
    }

    /// The document.
    pub(crate) fn to_yaml(&self) -> String {
        let mut out = String::new();
        write_map(&mut out, self, 0, false);
        out
    }
}

impl<'k> FromIterator<(&'k str, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (&'k str, Value)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Plain(value.to_string())
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}

/// Writes the pairs; the first one continues a line if `is_continued`.
fn write_map(out: &mut String, map: &Map, indent: usize, is_continued: bool) {
    for (i, (key, value)) in map.0.iter().enumerate() {
        if i > 0 || !is_continued {
            push_indent(out, indent);
        }
        push_text(out, key);
        out.push(':');
        match value {
            Value::Map(map) if !map.0.is_empty() => {
                out.push('\n');
                write_map(out, map, indent + 2, false);
            }
            // As in go-yaml, entries stand below their key without an indent of their own.
            Value::List(values) if !values.is_empty() => {
                out.push('\n');
                write_list(out, values, indent);
            }
            value => {
                out.push(' ');
                push_inline(out, value);
                out.push('\n');
            }
        }
    }
}

fn write_list(out: &mut String, values: &[Value], indent: usize) {
    for value in values {
        push_indent(out, indent);
        out.push_str("- ");
        match value {
            Value::Map(map) if !map.0.is_empty() => write_map(out, map, indent + 2, true),
            value => {
                push_inline(out, value);
                out.push('\n');
            }
        }
    }
}

/// Writes a value that stays on its line.
fn push_inline(out: &mut String, value: &Value) {
    match value {
        Value::Text(text) => push_text(out, text),
        Value::Plain(text) => out.push_str(text),
        Value::Map(_) => out.push_str("{}"),
        Value::List(values) | Value::Flow(values) => {
            out.push('[');
            for (i, value) in values.iter().enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                push_inline(out, value);
            }
            out.push(']');
        }
    }
}

fn push_indent(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// Plain where it can be, in single quotes where it is printable, else in double quotes; a text that some
/// reader could take for another type stands in double quotes, as with go-yaml.
fn push_text(out: &mut String, text: &str) {
    let is_printable = text.chars().all(is_printable);
    if reads_as_other(text) || !is_printable {
        push_double_quoted(out, text);
    } else if is_plain(text) {
        out.push_str(text);
    } else {
        out.push('\'');
        out.push_str(&text.replace('\'', "''"));
        out.push('\'');
    }
}

fn push_double_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_printable(c) => out.push(c),
            c if u32::from(c) <= 0xff => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
}

/// Whether a character may stand for itself on a line.
fn is_printable(c: char) -> bool {
    match c {
        ' '..='~' | '\u{a1}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}' => true,
        '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' => true,
        c => c >= '\u{10000}',
    }
}

/// Whether a printable text needs no quotes, in block and in flow context.
fn is_plain(text: &str) -> bool {
    const INDICATORS: &[u8] = b" -?:,[]{}#&*!|>'\"%@`";
    let first = text.bytes().next().unwrap_or(b' ');
    !INDICATORS.contains(&first)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.contains([',', '[', ']', '{', '}'])
}

/// Whether some reader could take a text for null, a boolean, a number, a date or a merge.
fn reads_as_other(text: &str) -> bool {
    const WORDS: [&str; 14] =
        ["", "~", "null", "y", "yes", "true", "on", "n", "no", "false", "off", "<<", "=", "---"];
    let lower = text.to_ascii_lowercase();
    let first = text.bytes().next().unwrap_or_default();
    // A duration such as `1m30s` is no number for anybody; what has only the characters of numbers, or a
    // prefix of theirs, might be.
    let is_number_byte = |b: u8| b.is_ascii_digit() || b"._e+-:".contains(&b);
    let is_number_like = (first.is_ascii_digit() || b".+-".contains(&first))
        && (["0x", "0o", "0b"].iter().any(|prefix| lower.starts_with(prefix))
            || lower.bytes().all(is_number_byte)
            || lower.ends_with("inf")
            || lower.ends_with("nan"));
    WORDS.contains(&lower.as_str()) || is_number_like
}
