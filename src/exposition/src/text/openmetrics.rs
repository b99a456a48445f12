//! The grammar of OpenMetrics 1.0 over tokens: complete, exact in its errors.
//! Compat: Prometheus `model/textparse/openmetricsparse.go`; the specification asks for more (order of families,
//! suffixes, a single timestamp per series), which the reference leaves unchecked.

mod lexer;

use std::{ops::Range, str};

use prom_model::{METRIC_NAME, MetricType, normal_nan};

use self::lexer::{Lexer, State};
use super::{
    Exemplar, LABELS_COUNT_MAX, SERIES_SIZE_BYTES_MAX, Suffix, fast,
    grammar::{RawEntry, RawSample, quote},
    number,
    token::Token,
    unescape_label,
};
use crate::ParseError;

const NO_EOF: &str = "data does not end with # EOF";

/// Reads entries at any offset.
#[derive(Debug)]
pub(super) struct Grammar<'a> {
    input: &'a [u8],
    lexer: Lexer<'a>,
    /// Where the entry at hand begins.
    start: usize,
    /// Where its metric name stands, without quotes.
    name: Option<Range<usize>>,
    /// Where names and values of its labels stand, without quotes.
    labels: Vec<(Range<usize>, Range<usize>)>,
}

impl<'a> Grammar<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self { input, lexer: Lexer::new(input), start: 0, name: None, labels: Vec::new() }
    }

    /// The entry that begins at `offset`, and where it ends.
    pub(super) fn entry(&mut self, offset: usize) -> Result<(RawEntry<'a>, usize), ParseError> {
        self.lexer.restart(offset, State::Init);
        self.start = offset;
        let entry = match self.lexer.next() {
            Token::EofWord => match self.lexer.next() {
                Token::End => RawEntry::End,
                _ => return Err(self.error("unexpected data after # EOF".to_owned())),
            },
            Token::End => return Err(self.error(NO_EOF.to_owned())),
            word @ (Token::Help | Token::Type | Token::Unit) => self.metadata(word)?,
            token @ (Token::BraceOpen | Token::MetricName) => self.sample(token)?,
            token => return Err(self.unexpected("expected a valid start token", token)),
        };
        Ok((entry, self.lexer.end()))
    }

    /// Value, timestamp and exemplar behind a series that ends at `at`; `None` where they are not plain.
    #[inline]
    pub(super) fn suffix(&mut self, at: usize) -> Option<Suffix<'a>> {
        let (value, mut at) = self.number(at)?;
        let mut timestamp_ms = None;
        if self.input.get(at) == Some(&b' ') && self.input.get(at + 1) != Some(&b'#') {
            let (seconds, end) = self.number(at)?;
            timestamp_ms = Some(milliseconds(seconds)?);
            at = end;
        }
        if self.input.get(at) == Some(&b'\n') {
            return Some(Suffix { value, timestamp_ms, exemplar: None, end: at + 1 });
        }
        if !self.input.get(at..)?.starts_with(b" # {") {
            return None;
        }
        self.start = at;
        self.lexer.restart(at + 4, State::Exemplar);
        let exemplar = self.exemplar().ok()?;
        Some(Suffix { value, timestamp_ms, exemplar: Some(exemplar), end: self.lexer.end() })
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
        self.start = offset;
        self.lexer.restart(offset, State::Init);
        let first = self.lexer.next();
        self.series(first)?;
        let name =
            self.name.clone().expect("a sample was read here before, and samples have names");
        each(METRIC_NAME, &unescape_label(self.utf8(name)?));
        for (name, value) in &self.labels {
            let (name, value) = (self.utf8(name.clone())?, self.utf8(value.clone())?);
            each(&unescape_label(name), &unescape_label(value));
        }
        Ok(())
    }

    /// Labels of an exemplar whose braces begin at `offset`, as they stand there.
    pub(super) fn exemplar_labels(
        &mut self,
        offset: usize,
        mut each: impl FnMut(&str, &str),
    ) -> Result<(), ParseError> {
        self.start = offset;
        self.lexer.restart(offset, State::Exemplar);
        self.label_pairs(true)?;
        for (name, value) in &self.labels {
            each(self.utf8(name.clone())?, self.utf8(value.clone())?);
        }
        Ok(())
    }

    /// A number behind one blank, and where it ends.
    fn number(&self, at: usize) -> Option<(f64, usize)> {
        if self.input.get(at) != Some(&b' ') {
            return None;
        }
        let (value, end) = number::value(self.input, at + 1)?;
        matches!(self.input.get(end), Some(b' ' | b'\n')).then_some((value, end))
    }

    /// Behind `# HELP `, `# TYPE ` or `# UNIT `.
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
            return Err(
                self.error(format!("metric name {} is not a valid utf8 string", quote(name)))
            );
        };
        if self.lexer.next() != Token::Text {
            return Err(self.error(format!("expected text in {}", word.name())));
        }
        // The blank before the text and the line feed behind it are not part of it.
        let text = self.slice(self.lexer.start() + 1..self.lexer.end() - 1);
        if word == Token::Type {
            let metric_type = metric_type(text)
                .ok_or_else(|| self.error(format!("invalid metric type {}", quote(text))))?;
            return Ok(RawEntry::Type { name, metric_type });
        }
        let Ok(text) = str::from_utf8(text) else {
            return Err(self.error(format!("help text {} is not a valid utf8 string", quote(text))));
        };
        if word == Token::Help {
            return Ok(RawEntry::Help { name, text });
        }
        let is_suffix = name.strip_suffix(text).is_some_and(|rest| rest.ends_with('_'));
        if !text.is_empty() && !is_suffix {
            let (unit, name) = (quote(text.as_bytes()), quote(name.as_bytes()));
            return Err(self.error(format!("unit {unit} not a suffix of metric {name}")));
        }
        Ok(RawEntry::Unit { name, unit: text })
    }

    fn sample(&mut self, first: Token) -> Result<RawEntry<'a>, ParseError> {
        let (series_end, token) = self.series(first)?;
        if series_end - self.start > SERIES_SIZE_BYTES_MAX {
            return Err(self.error(format!("series longer than {SERIES_SIZE_BYTES_MAX} bytes")));
        }
        let value = self.value(token, "metric")?;
        let (mut timestamp_ms, mut exemplar) = (None, None);
        let mut token = self.lexer.next();
        if token == Token::Timestamp {
            timestamp_ms = Some(self.timestamp("invalid timestamp")?);
            token = self.lexer.next();
            if !matches!(token, Token::Linebreak | Token::Comment) {
                return Err(self.unexpected("expected next entry after timestamp", token));
            }
        }
        match token {
            Token::Linebreak => {}
            Token::Comment => exemplar = Some(self.exemplar()?),
            Token::End => return Err(self.error(NO_EOF.to_owned())),
            token => return Err(self.unexpected("expected timestamp or # symbol", token)),
        }
        let series = self.slice(self.start..series_end);
        let sample = RawSample { offset: self.start, series, value, timestamp_ms, exemplar };
        Ok(RawEntry::Sample(sample))
    }

    /// Name and labels: where they end, and the token behind them.
    fn series(&mut self, first: Token) -> Result<(usize, Token), ParseError> {
        self.name = None;
        self.labels.clear();
        let mut token = first;
        if first == Token::MetricName {
            self.name = Some(self.start..self.lexer.end());
            token = self.lexer.next();
        }
        let mut end = self.name.as_ref().map_or(self.lexer.end(), |name| name.end);
        if token == Token::BraceOpen {
            self.label_pairs(false)?;
            end = self.lexer.end();
            token = self.lexer.next();
        }
        match self.name {
            Some(_) => Ok((end, token)),
            None => Err(self.while_parsing("metric name not set")),
        }
    }

    /// Behind ` # {`.
    fn exemplar(&mut self) -> Result<Exemplar<'a>, ParseError> {
        let labels_start = self.lexer.end();
        self.label_pairs(true)?;
        let labels = self.slice(labels_start..self.lexer.end());
        let token = self.lexer.next();
        let value = self.value(token, "exemplar labels")?;
        let mut timestamp_ms = None;
        match self.lexer.next() {
            Token::Linebreak => {}
            Token::Timestamp => {
                timestamp_ms = Some(self.timestamp("invalid exemplar timestamp")?);
                let token = self.lexer.next();
                if token != Token::Linebreak {
                    let expected = "expected next entry after exemplar timestamp";
                    return Err(self.unexpected(expected, token));
                }
            }
            Token::End => return Err(self.error(NO_EOF.to_owned())),
            token => return Err(self.unexpected("expected timestamp or comment", token)),
        }
        Ok(Exemplar { labels, value, timestamp_ms, offset: labels_start })
    }

    /// Inside the braces, up to the closing one.
    fn label_pairs(&mut self, is_exemplar: bool) -> Result<(), ParseError> {
        self.labels.clear();
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
            // A string on its own is the metric's name; exemplars have none.
            if matches!(token, Token::Comma | Token::BraceClose) {
                if !is_exemplar && self.name.is_some() {
                    return Err(self.while_parsing("metric name already set"));
                }
                if is_exemplar || !is_quoted {
                    return Err(self.unexpected("expected label name", token));
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
            let token_of_value = self.lexer.next();
            if token_of_value != Token::LabelValue {
                return Err(self.unexpected("expected label value", token_of_value));
            }
            let value = self.lexer.start()..self.lexer.end();
            if str::from_utf8(self.slice(value.clone())).is_err() {
                let text = quote(self.slice(value));
                return Err(self.error(format!("invalid UTF-8 label value: {text}")));
            }
            if self.labels.len() >= LABELS_COUNT_MAX {
                return Err(self.error(format!("more than {LABELS_COUNT_MAX} labels")));
            }
            self.labels.push((name, value.start + 1..value.end - 1));
            token = self.lexer.next();
            match token {
                Token::Comma => token = self.lexer.next(),
                Token::BraceClose => {}
                _ => return Err(self.unexpected("expected comma or brace close", token)),
            }
        }
    }

    fn value(&self, token: Token, after: &str) -> Result<f64, ParseError> {
        if token != Token::Value {
            return Err(self.unexpected(&format!("expected value after {after}"), token));
        }
        let value = self.float()?;
        Ok(if value.is_nan() { normal_nan() } else { value })
    }

    /// Seconds, as milliseconds.
    fn timestamp(&self, what: &str) -> Result<i64, ParseError> {
        let seconds = self.float()?;
        milliseconds(seconds).ok_or_else(|| {
            let sign = if seconds == f64::INFINITY { "+" } else { "" };
            let text = if seconds.is_nan() { "NaN" } else { "Inf" };
            let sign = if seconds == f64::NEG_INFINITY { "-" } else { sign };
            self.error(format!("{what} {sign}{text}"))
        })
    }

    /// The number of the last token, whose first byte is a blank.
    fn float(&self) -> Result<f64, ParseError> {
        let text = self.slice(self.lexer.start() + 1..self.lexer.end());
        number::by_grammar(text).map_err(|message| self.while_parsing(&message))
    }

    /// `expected ..., got "..." ("TOKEN") while parsing: "..."`; both quotations end one byte behind the token.
    fn unexpected(&self, expected: &str, token: Token) -> ParseError {
        let end = (self.lexer.end() + 1).min(self.input.len());
        let got = quote(self.slice(self.lexer.start()..end));
        let (name, entry) = (quote(token.name().as_bytes()), quote(self.slice(self.start..end)));
        self.error(format!("{expected}, got {got} ({name}) while parsing: {entry}"))
    }

    fn while_parsing(&self, what: &str) -> ParseError {
        let entry = quote(self.slice(self.start..self.lexer.end()));
        self.error(format!("{what} while parsing: {entry}"))
    }

    fn error(&self, message: String) -> ParseError {
        ParseError::at(self.input, self.lexer.start(), message)
    }

    fn slice(&self, range: Range<usize>) -> &'a [u8] {
        self.input.get(range).unwrap_or_default()
    }

    fn utf8(&self, range: Range<usize>) -> Result<&'a str, ParseError> {
        let bytes = self.slice(range);
        str::from_utf8(bytes).map_err(|_| {
            self.error(format!("invalid metric name or label names: {}", quote(bytes)))
        })
    }
}

/// Compat: fractions of a millisecond are cut off.
fn milliseconds(seconds: f64) -> Option<i64> {
    seconds.is_finite().then_some((seconds * 1000.0) as i64)
}

fn metric_type(text: &[u8]) -> Option<MetricType> {
    str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
