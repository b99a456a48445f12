//! Text formats, 0.0.4 of Prometheus and OpenMetrics 1.0: an iterator over the entries of a body.
//!
//! A scrape loop that has seen the series before needs neither names nor labels: it predicts the next series, compares
//! the bytes at the cursor ([`Parser::rest`]) with what it knows and takes the value with [`Parser::take_predicted`].
//! What it did not predict, [`Parser::next_entry`] reads; only a series that is not known at all is taken apart, by
//! [`Parser::labels`].

mod fast;
mod grammar;
mod lexer;
mod number;
mod openmetrics;
mod token;

use std::borrow::Cow;

use prom_model::{LabelsBuilder, MetricType, format_float_g, parse_float};

use self::grammar::{Grammar, RawEntry, RawSample, quote};
use crate::{Format, ParseError};

/// Longest text of one series, names and labels together, in bytes.
pub const SERIES_SIZE_BYTES_MAX: usize = 1 << 20;
/// Most labels of one series.
pub const LABELS_COUNT_MAX: usize = 4096;

/// What a line, or a few, say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Entry<'a> {
    /// The text still has its escapes: see [`unescape_help`].
    Help {
        name: &'a str,
        text: &'a str,
    },
    Type {
        name: &'a str,
        metric_type: MetricType,
    },
    /// OpenMetrics only; may be empty.
    Unit {
        name: &'a str,
        unit: &'a str,
    },
    /// A whole comment line, `#` included.
    Comment(&'a [u8]),
    Sample(Sample<'a>),
}

/// One sample line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<'a> {
    /// `name{label="value"}` as the target wrote it: the key of the scrape cache. Its labels are not checked yet.
    pub series: &'a [u8],
    pub value: f64,
    pub timestamp_ms: Option<i64>,
    /// OpenMetrics only.
    pub exemplar: Option<Exemplar<'a>>,
    /// Where the entry begins in the body.
    offset: usize,
}

/// An exemplar as it stands behind a sample; its labels are read by [`Parser::exemplar_labels`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exemplar<'a> {
    /// What stands between the braces, the closing one included.
    pub labels: &'a [u8],
    pub value: f64,
    pub timestamp_ms: Option<i64>,
    /// Where the labels begin in the body.
    offset: usize,
}

/// What stands behind a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suffix<'a> {
    pub value: f64,
    pub timestamp_ms: Option<i64>,
    pub exemplar: Option<Exemplar<'a>>,
    /// Behind the line feed.
    end: usize,
}

/// Which text format a body is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// 0.0.4 and 1.0.0.
    Prometheus,
    /// 0.0.1 and 1.0.0.
    OpenMetrics,
}

impl Dialect {
    /// The dialect of a format; none if that is not of text.
    pub fn of(format: Format) -> Option<Self> {
        match format {
            Format::Text => Some(Self::Prometheus),
            Format::OpenMetrics => Some(Self::OpenMetrics),
            Format::Protobuf => None,
        }
    }
}

/// Reads a body from its beginning.
#[derive(Debug)]
pub struct Parser<'a> {
    input: &'a [u8],
    at: usize,
    grammar: AnyGrammar<'a>,
}

#[derive(Debug)]
enum AnyGrammar<'a> {
    Prometheus(Grammar<'a>),
    OpenMetrics(openmetrics::Grammar<'a>),
}

impl Sample<'_> {
    /// Where the line begins in the body.
    pub fn offset(&self) -> usize {
        self.offset
    }
}

impl Suffix<'_> {
    fn plain(value: f64, timestamp_ms: Option<i64>, end: usize) -> Self {
        Self { value, timestamp_ms, exemplar: None, end }
    }
}

impl<'a> Parser<'a> {
    /// A parser of a whole body, or of a part that begins with an entry.
    pub fn new(input: &'a [u8], dialect: Dialect) -> Self {
        let grammar = match dialect {
            Dialect::Prometheus => AnyGrammar::Prometheus(Grammar::new(input)),
            Dialect::OpenMetrics => AnyGrammar::OpenMetrics(openmetrics::Grammar::new(input)),
        };
        Self { input, at: 0, grammar }
    }

    /// What is still to be read; between two calls this is the beginning of a line.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        &self.input[self.at..]
    }

    /// Goes to the line that begins at `offset`.
    pub fn seek(&mut self, offset: usize) {
        self.at = offset.min(self.input.len());
    }

    /// Passes over bytes that were read before and say nothing new, such as the metadata before a family.
    /// They must end in a line feed.
    #[inline]
    pub fn skip_known(&mut self, known: &[u8]) -> bool {
        let is_known = known.last() == Some(&b'\n') && self.rest().starts_with(known);
        if is_known {
            self.at += known.len();
        }
        is_known
    }

    /// Reads what stands behind a series whose first `series_size` bytes the caller has recognized at the cursor.
    /// `None`, and no step forward, if anything but the plainest form follows.
    #[inline]
    pub fn take_predicted(&mut self, series_size: usize) -> Option<Suffix<'a>> {
        let series_end = self.at.checked_add(series_size)?;
        let suffix = match &mut self.grammar {
            AnyGrammar::Prometheus(_) => fast::suffix(self.input, series_end)?,
            AnyGrammar::OpenMetrics(grammar) => grammar.suffix(series_end)?,
        };
        self.at = suffix.end;
        Some(suffix)
    }

    /// The next entry, or `None` at the end.
    ///
    /// # Errors
    /// The entry is malformed. Reading must not go on: a scrape is refused as a whole.
    pub fn next_entry(&mut self) -> Result<Option<Entry<'a>>, ParseError> {
        let (entry, end) = match &mut self.grammar {
            AnyGrammar::Prometheus(grammar) => {
                while self.input.get(self.at) == Some(&b'\n') {
                    self.at += 1;
                }
                if let Some((series_end, suffix)) = fast::sample(self.input, self.at) {
                    let series = &self.input[self.at..series_end];
                    let offset = self.at;
                    self.at = suffix.end;
                    let Suffix { value, timestamp_ms, exemplar, .. } = suffix;
                    let sample = Sample { series, value, timestamp_ms, exemplar, offset };
                    return Ok(Some(Entry::Sample(sample)));
                }
                grammar.entry(self.at)?
            }
            AnyGrammar::OpenMetrics(grammar) => grammar.entry(self.at)?,
        };
        self.at = end.min(self.input.len());
        Ok(match entry {
            RawEntry::End => None,
            RawEntry::Help { name, text } => Some(Entry::Help { name, text }),
            RawEntry::Type { name, metric_type } => Some(Entry::Type { name, metric_type }),
            RawEntry::Unit { name, unit } => Some(Entry::Unit { name, unit }),
            RawEntry::Comment(text) => Some(Entry::Comment(text)),
            RawEntry::Sample(RawSample { offset, series, value, timestamp_ms, exemplar }) => {
                Some(Entry::Sample(Sample { series, value, timestamp_ms, exemplar, offset }))
            }
        })
    }

    /// Takes a series of this body apart, the metric's name as `__name__`. `declared` is the last type that a
    /// [`Entry::Type`] has told: bounds of histograms and quantiles of summaries get one form, `1` becomes `1.0`.
    ///
    /// # Errors
    /// The labels are malformed, not unique, too many, or not UTF-8. A metric's name may still be missing: it was
    /// written as an empty string.
    pub fn labels(
        &mut self,
        sample: &Sample<'a>,
        declared: MetricType,
        labels: &mut LabelsBuilder,
    ) -> Result<(), ParseError> {
        let each = |name: &str, value: &str| {
            let is_bound = matches!(
                (declared, name),
                (MetricType::Histogram, "le") | (MetricType::Summary, "quantile")
            );
            let value = if is_bound { normal_bound(value) } else { Cow::Borrowed(value) };
            labels.append(name, &value);
        };
        self.visit_labels(sample.offset, sample.series, each)?;
        if labels.iter().any(|(name, _)| name.is_empty()) {
            return Err(invalid_names(self.input, sample.offset, sample.series));
        }
        let Some(name) = labels.duplicate_name() else { return Ok(()) };
        // Compat: `tsdb/head_append.go`, which is where Prometheus notices.
        let message = format!("label name \"{name}\" is not unique: invalid sample");
        Err(ParseError::at(self.input, sample.offset, message))
    }

    /// Hands over the labels of a series of this body whose line begins at `offset`, the name first, the others in
    /// their order, neither checked nor brought into another form.
    ///
    /// # Errors
    /// They are malformed or not UTF-8.
    pub fn visit_labels(
        &mut self,
        offset: usize,
        series: &'a [u8],
        each: impl FnMut(&str, &str),
    ) -> Result<(), ParseError> {
        match &mut self.grammar {
            AnyGrammar::Prometheus(grammar) => grammar.labels(offset, series, each),
            AnyGrammar::OpenMetrics(grammar) => grammar.labels(offset, series, each),
        }
    }

    /// Reads the labels of an exemplar of this body.
    ///
    /// # Errors
    /// A name is not UTF-8.
    pub fn exemplar_labels(
        &mut self,
        exemplar: &Exemplar<'a>,
        labels: &mut LabelsBuilder,
    ) -> Result<(), ParseError> {
        match &mut self.grammar {
            AnyGrammar::Prometheus(_) => Ok(()),
            AnyGrammar::OpenMetrics(grammar) => {
                grammar.exemplar_labels(exemplar.offset, |name, value| {
                    labels.append(name, value);
                })
            }
        }
    }
}

/// Names that no scheme allows.
/// Compat: `scrape/scrape.go`, which is where Prometheus notices; it shows the target's labels too.
fn invalid_names(input: &[u8], offset: usize, series: &[u8]) -> ParseError {
    let message = format!("invalid metric name or label names: {}", quote(series));
    ParseError::at(input, offset, message)
}

/// The text of a help line with `\\` and `\n` resolved, in OpenMetrics `\"` too.
pub fn unescape_help(text: &str, dialect: Dialect) -> Cow<'_, str> {
    if dialect == Dialect::OpenMetrics {
        return unescape_label(text);
    }
    unescape(text, |c| match c {
        '\\' => Some('\\'),
        'n' => Some('\n'),
        _ => None,
    })
}

/// Names and values of labels, with `\"`, `\\` and `\n` resolved; other escapes stay as they are.
fn unescape_label(text: &str) -> Cow<'_, str> {
    unescape(text, |c| match c {
        '"' | '\\' => Some(c),
        'n' => Some('\n'),
        _ => None,
    })
}

fn unescape(text: &str, replace: impl Fn(char) -> Option<char>) -> Cow<'_, str> {
    let Some((before, after)) = text.split_once('\\') else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len());
    out.push_str(before);
    let mut escaped = true;
    for c in after.chars() {
        match (escaped, replace(c)) {
            (true, Some(replacement)) => out.push(replacement),
            (true, None) => out.extend(['\\', c]),
            (false, _) if c == '\\' => {
                escaped = true;
                continue;
            }
            (false, _) => out.push(c),
        }
        escaped = false;
    }
    if escaped {
        out.push('\\');
    }
    Cow::Owned(out)
}

/// A float in the form of OpenMetrics, so that one bucket has one name whatever the target's format is.
/// Compat: `model/textparse/openmetricsparse.go`, `normalizeFloatsInLabelValues`.
fn normal_bound(text: &str) -> Cow<'_, str> {
    match parse_float(text) {
        Some(bound) => Cow::Owned(bound_text(bound)),
        None => Cow::Borrowed(text),
    }
}

/// A bound or quantile as the value of its label, in the form of OpenMetrics.
/// Compat: Prometheus `model/labels/float.go`.
pub fn bound_text(bound: f64) -> String {
    // Both zeros are one.
    let mut text = format_float_g(bound + 0.0);
    if bound.is_finite() && !text.contains(['e', '.']) {
        text.push_str(".0");
    }
    text
}

#[cfg(test)]
mod tests;
