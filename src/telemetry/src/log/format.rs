//! One log line in the making: slog's rules of order, quoting and escaping, in logfmt and JSON.
//! Quoting is here once more beside `model`'s: the rooms of the lowest row do not know each other.
//! Compat: Go `log/slog` text and JSON handlers as prometheus/common `promslog` sets them up.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use jiff::Timestamp;
use tracing::Level;

use super::{LINE_SIZE_BYTES_MAX, LogFormat};

/// Longest message or field; what is longer ends in `...`.
const VALUE_SIZE_BYTES_MAX: usize = 16 * 1024;

/// A line; whatever would make it longer than the limit is left out.
#[derive(Debug)]
pub(super) struct Line {
    format: LogFormat,
    text: String,
}

impl Line {
    pub(super) fn new(format: LogFormat) -> Self {
        Self { format, text: String::with_capacity(256) }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Time, level, source and message: what every line begins with.
    pub(super) fn push_head(
        &mut self,
        since_epoch: Duration,
        level: Level,
        (file, line): (&str, u32),
        message: &str,
    ) {
        let nanoseconds = i128::try_from(since_epoch.as_nanos()).unwrap_or_default();
        let time = Timestamp::from_nanosecond(nanoseconds).unwrap_or_default();
        match self.format {
            LogFormat::Logfmt => self.push_plain("time", format_args!("{time:.3}")),
            LogFormat::Json => self.push_text("time", &time.to_string()),
        }
        self.push_text("level", if level == Level::TRACE { "DEBUG" } else { level.as_str() });
        self.push_text("source", &format!("{file}:{line}"));
        self.push_text("msg", message);
    }

    /// Fields that another line of this format has formatted.
    pub(super) fn push_formatted(&mut self, fields: &str) {
        if !fields.is_empty() && self.has_room(fields.len()) {
            self.separate();
            self.text.push_str(fields);
        }
    }

    /// A value that is never quoted: a number, a truth value.
    pub(super) fn push_plain(&mut self, key: &str, value: fmt::Arguments<'_>) {
        const LONGEST: usize = 64;
        if self.has_room(key.len() + LONGEST) {
            self.push_key(key);
            self.write(value);
        }
    }

    pub(super) fn push_f64(&mut self, key: &str, value: f64) {
        match self.format {
            LogFormat::Logfmt => self.push_text(key, &go_float(value, 6)),
            // JSON has no words for these.
            LogFormat::Json if !value.is_finite() => self.push_text(key, &go_float(value, 21)),
            LogFormat::Json => self.push_plain(key, format_args!("{}", go_float(value, 21))),
        }
    }

    pub(super) fn push_text(&mut self, key: &str, value: &str) {
        let (value, rest) = value.split_at(value.floor_char_boundary(VALUE_SIZE_BYTES_MAX));
        let cut = if rest.is_empty() { "" } else { "..." };
        if !self.has_room(key.len() + value.len() + cut.len()) {
            return;
        }
        self.push_key(key);
        match self.format {
            LogFormat::Json => push_json(&mut self.text, &[value, cut]),
            LogFormat::Logfmt if needs_quotes(value) => push_quoted(&mut self.text, &[value, cut]),
            LogFormat::Logfmt => {
                self.text.push_str(value);
                self.text.push_str(cut);
            }
        }
    }

    pub(super) fn finish(mut self) -> String {
        if self.format == LogFormat::Json {
            self.text.insert(0, '{');
            self.text.push('}');
        }
        self.text.push('\n');
        self.text
    }

    fn has_room(&self, more: usize) -> bool {
        self.text.len() + more <= LINE_SIZE_BYTES_MAX
    }

    fn push_key(&mut self, key: &str) {
        self.separate();
        match self.format {
            LogFormat::Logfmt if needs_quotes(key) => push_quoted(&mut self.text, &[key]),
            LogFormat::Logfmt => self.text.push_str(key),
            LogFormat::Json => push_json(&mut self.text, &[key]),
        }
        self.text.push(if self.format == LogFormat::Json { ':' } else { '=' });
    }

    fn separate(&mut self) {
        if !self.text.is_empty() {
            self.text.push(if self.format == LogFormat::Json { ',' } else { ' ' });
        }
    }

    fn write(&mut self, value: fmt::Arguments<'_>) {
        self.text.write_fmt(value).expect("writing to a string cannot fail");
    }
}

/// Whether logfmt puts the text in quotes.
fn needs_quotes(text: &str) -> bool {
    let plain = |c: char| match c {
        ' ' | '=' | '"' => false,
        '\\' | '\x7f' => true,
        _ => is_printable(c),
    };
    text.is_empty() || !text.chars().all(plain)
}

/// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and the ASCII space.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    // Behind a letter the standard library escapes only what cannot be printed; alone, marks too.
    let mut buffer = [b'a'; 5];
    let size = c.encode_utf8(&mut buffer[1..]).len();
    let text = std::str::from_utf8(&buffer[..=size]).expect("a letter and one character");
    text.escape_debug().nth(1) != Some('\\')
}

/// Go's `strconv.Quote`.
fn push_quoted(out: &mut String, parts: &[&str]) {
    out.push('"');
    for c in parts.iter().flat_map(|part| part.chars()) {
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
            c if c.is_ascii() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if u32::from(c) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
}

/// A JSON string with the escapes that slog uses.
fn push_json(out: &mut String, parts: &[&str]) {
    out.push('"');
    for c in parts.iter().flat_map(|part| part.chars()) {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..'\x20' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The shortest digits that read back as `value`, with an exponent below 1e-4 (or 1e-6 where large exponents
/// begin at 21, as in JSON) and from `10^exponent_min` on. Compat: `strconv.FormatFloat(value, 'g', -1, 64)`.
fn go_float(value: f64, exponent_min: i32) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').expect("this is how floats are printed");
    let exponent: i32 = exponent.parse().expect("this is how floats are printed");
    let smallest = if exponent_min == 21 { -6 } else { -4 };
    if (smallest..exponent_min).contains(&exponent) {
        return value.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    match exponent_min {
        21 if exponent < 0 => format!("{digits}e-{}", exponent.unsigned_abs()),
        _ => format!("{digits}e{sign}{:02}", exponent.unsigned_abs()),
    }
}
