//! The grammar of the text format over tokens: complete, exact in its errors, and only for what `fast` does not know.
//! Compat: Prometheus `model/textparse/promparse.go`.

use std::{ops::Range, str};

use prom_model::{METRIC_NAME, MetricType, normal_nan, push_quote_go};

use super::{
    Exemplar, LABELS_COUNT_MAX, SERIES_SIZE_BYTES_MAX, fast, invalid_names, lexer::Lexer, number,
    token::Token, unescape_label,
};
use crate::ParseError;

/// An entry, still without labels.
#[derive(Debug)]
pub(super) enum RawEntry<'a> {
    End,
    Help { name: &'a str, text: &'a str },
    Type { name: &'a str, metric_type: MetricType },
    Comment(&'a [u8]),
    Unit { name: &'a str, unit: &'a str },
    Sample(RawSample<'a>),
}

/// A sample, still without labels.
#[derive(Debug)]
pub(super) struct RawSample<'a> {
    pub(super) offset: usize,
    pub(super) series: &'a [u8],
    pub(super) value: f64,
    pub(super) timestamp_ms: Option<i64>,
    pub(super) exemplar: Option<Exemplar<'a>>,
}

/// Reads entries at any offset.
#[derive(Debug)]
pub(super) struct Grammar<'a> {
    input: &'a [u8],
    lexer: Lexer<'a>,
    /// Where the entry at hand begins.
    start: usize,
    /// Where its metric name stands, without quotes.
    pub(super) name: Option<Range<usize>>,
    /// Where names and values of its labels stand, without quotes.
    pub(super) labels: Vec<(Range<usize>, Range<usize>)>,
}

impl<'a> Grammar<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, lexer: Lexer::new(input), start: 0, name: None, labels: Vec::new() }
    }

    /// The entry that begins at `offset`, perhaps behind empty lines, and where it ends.
    pub(super) fn entry(&mut self, offset: usize) -> Result<(RawEntry<'a>, usize), ParseError> {
        self.lexer.restart(offset);
        loop {
            self.start = self.lexer.end();
            let entry = match self.lexer.next() {
                Token::End => RawEntry::End,
                Token::Linebreak => continue,
                token @ (Token::Help | Token::Type) => self.metadata(token)?,
                Token::Comment => {
                    let text = self.slice(self.lexer.start()..self.lexer.end());
                    self.expect(Token::Linebreak, "linebreak expected after comment")?;
                    RawEntry::Comment(text)
                }
                token @ (Token::BraceOpen | Token::MetricName) => self.sample(token)?,
                token => return Err(self.unexpected("expected a valid start token", token)),
            };
            return Ok((entry, self.lexer.end()));
        }
    }

    /// Takes a series apart and hands over its name and its labels in their order.
    pub(super) fn labels(
        &mut self,
        offset: usize,
        series: &'a [u8],
        mut each: impl FnMut(&str, &str),
    ) -> Result<(), ParseError> {
        if fast::labels(series, &mut self.labels, &mut each) {
            return Ok(());
        }
        self.entry(offset)?;
        let name =
            self.name.clone().expect("a sample was read here before, and samples have names");
        each(METRIC_NAME, &unescape_label(self.utf8(name, series)?));
        for (name, value) in &self.labels {
            let name = self.utf8(name.clone(), series)?;
            let value = self.utf8(value.clone(), series)?;
            each(&unescape_label(name), &unescape_label(value));
        }
        Ok(())
    }

    /// Behind `# HELP` or `# TYPE`.
    fn metadata(&mut self, word: Token) -> Result<RawEntry<'a>, ParseError> {
        let token = self.lexer.next();
        if token != Token::MetricName {
            let expected = format!("expected metric name after {}", word.name());
            return Err(self.unexpected(&expected, token));
        }
        let (start, end) = (self.lexer.start(), self.lexer.end());
        let is_quoted = self.input.get(start) == Some(&b'"');
        let name = self.slice(if is_quoted { start + 1..end - 1 } else { start..end });
        let Ok(name) = str::from_utf8(name) else {
            let message = format!("metric name {} is not a valid utf8 string", quote(name));
            return Err(self.error(start, message));
        };
        let token = self.lexer.next();
        if token != Token::Text {
            let message = format!("expected text in {}, got {}", word.name(), token.name());
            return Err(self.error(self.lexer.start(), message));
        }
        // The first byte parts the text from the name.
        let text_start = self.lexer.start();
        let text = self.slice(text_start..self.lexer.end());
        let text = text.get(1..).unwrap_or_default();
        let entry = if word == Token::Help {
            let Ok(text) = str::from_utf8(text) else {
                let message = format!("help text {} is not a valid utf8 string", quote(text));
                return Err(self.error(text_start, message));
            };
            RawEntry::Help { name, text }
        } else {
            let Some(metric_type) = metric_type(text) else {
                let message = format!("invalid metric type {}", quote(text));
                return Err(self.error(text_start, message));
            };
            RawEntry::Type { name, metric_type }
        };
        self.expect(Token::Linebreak, "linebreak expected after metadata")?;
        Ok(entry)
    }

    fn sample(&mut self, first: Token) -> Result<RawEntry<'a>, ParseError> {
        self.labels.clear();
        self.name = None;
        let mut token = first;
        if first == Token::MetricName {
            // Compat: blanks before the name belong to it.
            self.name = Some(self.start..self.lexer.end());
            token = self.lexer.next();
        }
        let mut series_end = if first == Token::MetricName {
            self.name.as_ref().map_or(self.start, |name| name.end)
        } else {
            self.lexer.end()
        };
        if token == Token::BraceOpen {
            self.label_pairs()?;
            series_end = self.lexer.end();
            token = self.lexer.next();
        }
        if series_end - self.start > SERIES_SIZE_BYTES_MAX {
            let message = format!("series longer than {SERIES_SIZE_BYTES_MAX} bytes");
            return Err(self.error(self.start, message));
        }
        if self.name.is_none() {
            return Err(self.while_parsing("metric name not set"));
        }
        if token != Token::Value {
            return Err(self.unexpected("expected value after metric", token));
        }
        let value = self.value()?;
        let timestamp_ms = self.timestamp()?;
        let series = self.slice(self.start..series_end);
        let (offset, exemplar) = (self.start, None);
        Ok(RawEntry::Sample(RawSample { offset, series, value, timestamp_ms, exemplar }))
    }

    /// Inside the braces.
    fn label_pairs(&mut self) -> Result<(), ParseError> {
        let mut token = self.lexer.next();
        loop {
            let (start, end) = (self.lexer.start(), self.lexer.end());
            let is_quoted = match token {
                Token::BraceClose => return Ok(()),
                Token::LabelName => false,
                Token::QuotedString => true,
                _ => return Err(self.unexpected("expected label name", token)),
            };
            let name = if is_quoted { start + 1..end - 1 } else { start..end };
            token = self.lexer.next();
            // A string on its own is the metric's name.
            if is_quoted && matches!(token, Token::Comma | Token::BraceClose) {
                if self.name.is_some() {
                    return Err(self.while_parsing("metric name already set"));
                }
                self.name = Some(name);
                if token == Token::BraceClose {
                    return Ok(());
                }
                token = self.lexer.next();
                continue;
            }
            if token != Token::Equal {
                return Err(self.unexpected("expected equal", token));
            }
            self.expect(Token::LabelValue, "expected label value")?;
            let (start, end) = (self.lexer.start(), self.lexer.end());
            if str::from_utf8(self.slice(start..end)).is_err() {
                let message = format!("invalid UTF-8 label value: {}", self.quoted(start..end));
                return Err(self.error(start, message));
            }
            if self.labels.len() >= LABELS_COUNT_MAX {
                let message = format!("more than {LABELS_COUNT_MAX} labels");
                return Err(self.error(start, message));
            }
            self.labels.push((name, start + 1..end - 1));
            // Compat: the comma may be missing, and one may follow the last pair.
            token = self.lexer.next();
            if token == Token::Comma {
                token = self.lexer.next();
            }
        }
    }

    fn value(&self) -> Result<f64, ParseError> {
        let text = self.slice(self.lexer.start()..self.lexer.end());
        let value = number::by_grammar(text).map_err(|message| self.while_parsing(&message))?;
        Ok(if value.is_nan() { normal_nan() } else { value })
    }

    fn timestamp(&mut self) -> Result<Option<i64>, ParseError> {
        match self.lexer.next() {
            Token::Linebreak => Ok(None),
            Token::Timestamp => {
                let digits = self.slice(self.lexer.start()..self.lexer.end());
                let digits = str::from_utf8(digits).expect("digits are ASCII");
                let timestamp_ms = digits.parse().map_err(|_| {
                    let number = quote(digits.as_bytes());
                    self.while_parsing(&format!(
                        "strconv.ParseInt: parsing {number}: value out of range"
                    ))
                })?;
                self.expect(Token::Linebreak, "expected next entry after timestamp")?;
                Ok(Some(timestamp_ms))
            }
            token => Err(self.unexpected("expected timestamp or new record", token)),
        }
    }

    fn expect(&mut self, wanted: Token, message: &str) -> Result<(), ParseError> {
        let token = self.lexer.next();
        if token == wanted { Ok(()) } else { Err(self.unexpected(message, token)) }
    }

    /// `expected ..., got "..." ("TOKEN") while parsing: "..."`; both quotations end one byte behind the token.
    fn unexpected(&self, expected: &str, token: Token) -> ParseError {
        let end = self.lexer.end() + 1;
        let (got, name) = (self.quoted(self.lexer.start()..end), quote(token.name().as_bytes()));
        let entry = self.quoted(self.start..end);
        let message = format!("{expected}, got {got} ({name}) while parsing: {entry}");
        self.error(self.lexer.start(), message)
    }

    fn while_parsing(&self, what: &str) -> ParseError {
        let entry = self.quoted(self.start..self.lexer.end());
        self.error(self.lexer.start(), format!("{what} while parsing: {entry}"))
    }

    fn error(&self, offset: usize, message: String) -> ParseError {
        ParseError::at(self.input, offset, message)
    }

    /// Bytes of the input in quotes, and the line feed that is understood behind it.
    fn quoted(&self, range: Range<usize>) -> String {
        let (start, end) = (range.start.min(self.input.len()), range.end.min(self.input.len()));
        let mut bytes = self.input[start..end].to_vec();
        if range.end > self.input.len() {
            bytes.push(b'\n');
        }
        quote(&bytes)
    }

    fn slice(&self, range: Range<usize>) -> &'a [u8] {
        self.input.get(range).unwrap_or_default()
    }

    fn utf8(&self, range: Range<usize>, series: &[u8]) -> Result<&'a str, ParseError> {
        let start = range.start;
        str::from_utf8(self.slice(range)).map_err(|_| invalid_names(self.input, start, series))
    }
}

fn metric_type(text: &[u8]) -> Option<MetricType> {
    Some(match text {
        b"counter" => MetricType::Counter,
        b"gauge" => MetricType::Gauge,
        b"histogram" => MetricType::Histogram,
        b"summary" => MetricType::Summary,
        b"untyped" => MetricType::Unknown,
        _ => return None,
    })
}

pub(super) fn quote(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    push_quote_go(&mut text, bytes);
    text
}
