//! Series descriptions of test scripts and unit tests: `metric{a="b"} 1+2x3 _x5 stale {{count:3}}`.
//! Repetitions are kept as written, so that `0x1000000000` costs nothing until someone unfolds it.

use prom_model::{Labels, LabelsBuilder, METRIC_NAME, quote_go, stale_nan};

use super::{Halt, Parsed, Parser};
use crate::syntax::{
    ResetHint, Span, UnaryOp,
    token::{HistogramKey, Token, TokenKind},
};

const LABEL_SET: &str = "label set";
const VALUES: &str = "series values";

/// A series and its values, one per step.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesDescription {
    pub labels: Labels,
    pub items: Vec<SeriesItem>,
}

/// Values that follow one another.
#[derive(Clone, Debug, PartialEq)]
pub enum SeriesItem {
    /// `_` or `_x3`: no sample in so many steps.
    Omitted { count: u64 },
    /// `1`, `1x3` or `1+2x3`: `count` values, each the one before plus `delta`.
    Floats { first: f64, delta: f64, count: u64 },
    /// `{{...}}` or `{{...}}x3`: `count` equal histograms.
    Histograms { histogram: Box<HistogramLiteral>, count: u64 },
    /// `{{...}}+{{...}}x3`: `count` histograms, each the one before plus or minus `delta`.
    HistogramSequence {
        first: Box<HistogramLiteral>,
        op: UnaryOp,
        delta: Box<HistogramLiteral>,
        count: u64,
    },
}

impl SeriesItem {
    /// How many steps it covers.
    pub fn count(&self) -> u64 {
        match self {
            Self::Omitted { count }
            | Self::Floats { count, .. }
            | Self::Histograms { count, .. }
            | Self::HistogramSequence { count, .. } => *count,
        }
    }

    /// The values of [`SeriesItem::Floats`], each computed from the one before; of the rest none.
    pub fn floats(&self) -> impl Iterator<Item = f64> + use<> {
        let (first, delta, count) = match self {
            Self::Floats { first, delta, count } => (*first, *delta, *count),
            _ => (0.0, 0.0, 0),
        };
        let mut next = first;
        (0..count).map(move |_| {
            let value = next;
            // A stale marker must stay what it is, to the bit.
            if delta != 0.0 {
                next += delta;
            }
            value
        })
    }
}

/// A histogram as it is written; what is not written is zero, empty or none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistogramLiteral {
    pub schema: i64,
    pub sum: f64,
    pub count: f64,
    pub zero_count: f64,
    pub zero_threshold: f64,
    pub custom_values: Vec<f64>,
    /// None if it is not written; test scripts compare it only where it is.
    pub counter_reset_hint: Option<ResetHint>,
    pub positive_offset: i64,
    pub positive_buckets: Vec<f64>,
    pub negative_offset: i64,
    pub negative_buckets: Vec<f64>,
}

impl Parser<'_> {
    pub(super) fn whole_series(&mut self) -> Parsed<SeriesDescription> {
        let labels = self.metric()?;
        let mut items = Vec::new();
        let mut is_begun = false;
        while self.take(TokenKind::EndOfInput)?.is_none() {
            let space = self.expect(TokenKind::Space);
            // Behind the first space the list may end anywhere, so it does not complain any more.
            if is_begun { space } else { self.within(space, VALUES, "") }?;
            is_begun = true;
            if !self.is_item_next()? {
                continue;
            }
            let item = self.item();
            items.push(self.within(item, VALUES, "")?);
        }
        Ok(SeriesDescription { labels, items })
    }

    fn metric(&mut self) -> Parsed<Labels> {
        let mut labels = LabelsBuilder::default();
        let mut name = None;
        if self.peek()?.kind.is_metric_name() {
            let token = self.next()?;
            name = Some(self.text(token));
        }
        if self.take(TokenKind::LeftBrace)?.is_some() {
            self.label_set(&mut labels)?;
        }
        if let Some(name) = name {
            labels.set(METRIC_NAME, name);
        }
        Ok(labels.build())
    }

    fn label_set(&mut self, labels: &mut LabelsBuilder) -> Parsed<()> {
        while self.take(TokenKind::RightBrace)?.is_none() {
            let label = self.label();
            let (name, value) = self.within(label, LABEL_SET, "identifier or \"}\"")?;
            labels.set(&name, &value);
            if self.take(TokenKind::Comma)?.is_none() {
                let close = self.expect(TokenKind::RightBrace);
                self.within(close, LABEL_SET, "\",\" or \"}\"")?;
                break;
            }
        }
        Ok(())
    }

    fn label(&mut self) -> Parsed<(String, String)> {
        let token = self.next()?;
        let name = match token.kind {
            TokenKind::Identifier => self.text(token).to_owned(),
            TokenKind::String => self.unquote(token)?,
            _ => return Err(Halt::Unexpected(token)),
        };
        let next = self.peek()?;
        if next.kind != TokenKind::Equal {
            if token.kind == TokenKind::String {
                return Ok((METRIC_NAME.to_owned(), name));
            }
            return self.within(Err(Halt::Unexpected(next)), LABEL_SET, "\"=\"");
        }
        self.next()?;
        let value = self.expect(TokenKind::String);
        let value = self.within(value, LABEL_SET, "string")?;
        Ok((name, self.unquote(value)?))
    }

    /// If not, the list is at its end, and what follows is no business of it.
    fn is_item_next(&mut self) -> Parsed<bool> {
        Ok(matches!(
            self.peek()?.kind,
            TokenKind::Add
                | TokenKind::Blank
                | TokenKind::Duration
                | TokenKind::Identifier
                | TokenKind::Number
                | TokenKind::OpenHistogram
                | TokenKind::Sub
        ))
    }

    fn item(&mut self) -> Parsed<SeriesItem> {
        match self.peek()?.kind {
            TokenKind::Blank => {
                self.next()?;
                let count = self.repetition()?.unwrap_or(1);
                Ok(SeriesItem::Omitted { count })
            }
            TokenKind::OpenHistogram => self.histograms(),
            _ => self.floats(),
        }
    }

    fn floats(&mut self) -> Parsed<SeriesItem> {
        let token = self.peek()?;
        let first = if token.kind == TokenKind::Identifier {
            self.next()?;
            if self.text(token) != "stale" {
                let unexpected = Err(Halt::Unexpected(token));
                return self.within(unexpected, VALUES, "number or \"stale\"");
            }
            stale_nan()
        } else {
            self.signed_number()?.0
        };
        if super::binary::sign(self.peek()?.kind).is_some() {
            let (delta, _) = self.signed_number()?;
            let times = self.times()?;
            return Ok(SeriesItem::Floats { first, delta, count: times.saturating_add(1) });
        }
        // A repetition has one value more, for time 0.
        let count = self.repetition()?.map_or(1, |times| times.saturating_add(1));
        Ok(SeriesItem::Floats { first, delta: 0.0, count })
    }

    fn histograms(&mut self) -> Parsed<SeriesItem> {
        let first = Box::new(self.histogram()?);
        let Some(op) = super::binary::sign(self.peek()?.kind) else {
            let count = self.repetition()?.map_or(1, |times| times.saturating_add(1));
            return Ok(SeriesItem::Histograms { histogram: first, count });
        };
        self.next()?;
        let delta = Box::new(self.histogram()?);
        let count = self.times()?.saturating_add(1);
        Ok(SeriesItem::HistogramSequence { first, op, delta, count })
    }

    fn repetition(&mut self) -> Parsed<Option<u64>> {
        match self.peek()?.kind {
            TokenKind::Times => self.times().map(Some),
            _ => Ok(None),
        }
    }

    fn times(&mut self) -> Parsed<u64> {
        self.expect(TokenKind::Times)?;
        self.unsigned()
    }

    fn unsigned(&mut self) -> Parsed<u64> {
        let token = self.expect(TokenKind::Number)?;
        let text = self.text(token);
        let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().or_else(|_| {
            let reason = if is_digits { "value out of range" } else { "invalid syntax" };
            let text = quote_go(text);
            let message = format!(
                "invalid repetition in series values: strconv.ParseUint: parsing {text}: {reason}"
            );
            self.fail(token.span, message)
        })
    }

    fn histogram(&mut self) -> Parsed<HistogramLiteral> {
        self.expect(TokenKind::OpenHistogram)?;
        let mut histogram = HistogramLiteral::default();
        let mut seen: Vec<HistogramKey> = Vec::new();
        if self.take(TokenKind::Space)?.is_some() {
            self.expect(TokenKind::CloseHistogram)?;
            return Ok(histogram);
        }
        while self.take(TokenKind::CloseHistogram)?.is_none() {
            let item = self.histogram_item(&mut histogram, &mut seen);
            if seen.is_empty() {
                item?;
            } else {
                let expected = "histogram description key, e.g. buckets:[5 10 7]";
                self.within(item, "histogram description", expected)?;
            }
        }
        Ok(histogram)
    }

    fn histogram_item(
        &mut self,
        histogram: &mut HistogramLiteral,
        seen: &mut Vec<HistogramKey>,
    ) -> Parsed<()> {
        let token = self.next()?;
        let TokenKind::HistogramKey(key) = token.kind else {
            return Err(Halt::Unexpected(token));
        };
        if seen.contains(&key) {
            let key = self.text(token);
            let message = format!("duplicate key \"{key}\" in histogram");
            return self.fail(Span::default(), message);
        }
        self.expect(TokenKind::Colon)?;
        match key {
            HistogramKey::Schema => histogram.schema = self.signed_integer()?,
            HistogramKey::Offset => histogram.positive_offset = self.signed_integer()?,
            HistogramKey::NegativeOffset => histogram.negative_offset = self.signed_integer()?,
            HistogramKey::Sum => histogram.sum = self.signed_number()?.0,
            HistogramKey::Count => histogram.count = self.signed_number()?.0,
            HistogramKey::ZeroBucket => histogram.zero_count = self.signed_number()?.0,
            HistogramKey::ZeroBucketWidth => {
                let token = self.next()?;
                histogram.zero_threshold = self.number_value(token)?;
            }
            HistogramKey::Buckets => histogram.positive_buckets = self.bucket_list()?,
            HistogramKey::NegativeBuckets => histogram.negative_buckets = self.bucket_list()?,
            HistogramKey::CustomValues => histogram.custom_values = self.bucket_list()?,
            HistogramKey::CounterResetHint => {
                histogram.counter_reset_hint = Some(self.reset_hint()?);
            }
        }
        seen.push(key);
        let behind = self.peek()?;
        match behind.kind {
            TokenKind::CloseHistogram => Ok(()),
            TokenKind::Space => self.next().map(|_: Token| ()),
            _ => Err(Halt::Unexpected(behind)),
        }
    }

    fn reset_hint(&mut self) -> Parsed<ResetHint> {
        let token = self.next()?;
        match token.kind {
            TokenKind::ResetHint(hint) => Ok(hint),
            _ => Err(Halt::Unexpected(token)),
        }
    }

    fn signed_integer(&mut self) -> Parsed<i64> {
        let is_negative = self.take(TokenKind::Sub)?.is_some();
        let value = self.unsigned()? as i64;
        Ok(if is_negative { value.wrapping_neg() } else { value })
    }

    /// `[1 2 -3]`.
    fn bucket_list(&mut self) -> Parsed<Vec<f64>> {
        self.expect(TokenKind::LeftBracket)?;
        let mut values = vec![self.signed_number()?.0];
        while self.take(TokenKind::RightBracket)?.is_none() {
            self.expect(TokenKind::Space)?;
            if self.take(TokenKind::RightBracket)?.is_some() {
                break;
            }
            values.push(self.signed_number()?.0);
        }
        Ok(values)
    }
}
