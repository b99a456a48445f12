//! Bodies of protobuf: families of `io.prometheus.client`, each behind its size. A pull parser over the bytes.
//!
//! [`Parser::next_family`] and [`Parser::next_metric`] walk through the body; what a metric says is decoded into room that
//! is used again, so that a series that is known costs no allocation. The encoded labels of a metric are the key under
//! which a scrape loop knows it ([`Metric::label_runs`]); only labels that are not known are taken apart.
//! Compat: Prometheus `model/textparse/protobufparse.go`. There, histograms of one family that have native buckets are
//! read as classic ones behind one that has none; here each is read as what it is.

mod histogram;
mod metric;
#[cfg(test)]
mod tests;

use std::str;

use prom_model::{MetricType, NameValidation};

pub use self::{
    histogram::{Bucket, HistogramPart, SpanPool},
    metric::{Exemplar, Metric, Quantile},
};
use crate::wire::{Fields, Value, WireError};

/// Size of the varint before a family, at most.
const SIZE_VARINT_BYTES_MAX: usize = 5;
/// Key of the field `metric` of a family: number 4, a message.
const METRIC_KEY: u8 = 0x22;

/// What is wrong with a body. Texts: Prometheus.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtobufError {
    #[error("clientpb: invalid varint encountered")]
    FamilySize,
    #[error(
        "clientpb: insufficient length of buffer, expected at least {expected} bytes, got {actual} bytes"
    )]
    CutOff { expected: u64, actual: usize },
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("invalid metric name: {0}")]
    Name(String),
    #[error("invalid help for metric \"{name}\": {help}")]
    Help { name: String, help: String },
    #[error("unknown metric type for metric \"{name}\": {number}")]
    Type { name: String, number: i64 },
    #[error("invalid label name: {0}")]
    LabelName(String),
    #[error("invalid label value: {0}")]
    LabelValue(String),
    #[error("label name \"{0}\" is not unique: invalid sample")]
    LabelTwice(String),
    #[error("more than {} labels", crate::text::LABELS_COUNT_MAX)]
    TooManyLabels,
}

/// What the metrics of a family have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Family<'a> {
    pub name: &'a str,
    pub help: &'a str,
    /// Mostly empty.
    pub unit: &'a str,
    pub metric_type: MetricType,
}

/// Reads a body from its beginning.
#[derive(Debug)]
pub struct Parser<'a> {
    rest: &'a [u8],
    family: Family<'a>,
    /// Of the family at hand, behind the metric at hand.
    fields: Fields<'a>,
    metric: Metric<'a>,
    /// The first metric of a family is read with it.
    is_read_ahead: bool,
}

impl<'a> Parser<'a> {
    /// A parser of a whole body.
    pub fn new(input: &'a [u8]) -> Self {
        let fields = Fields::new(&[]);
        let (family, metric) = (Family::default(), Metric::default());
        Self { rest: input, family, fields, metric, is_read_ahead: false }
    }

    /// Goes on to the next family that has metrics; `None` at the end.
    ///
    /// # Errors
    /// The body is malformed. Reading must not go on: a scrape is refused as a whole.
    pub fn next_family(&mut self) -> Result<Option<Family<'a>>, ProtobufError> {
        while !self.rest.is_empty() {
            let message = self.family_message()?;
            let header = Header::read(message)?;
            self.fields = Fields::new(message);
            self.family = Family { metric_type: header.metric_type(), ..Family::default() };
            if self.read_metric()? {
                self.is_read_ahead = true;
                self.family = header.check()?;
                return Ok(Some(self.family));
            }
        }
        Ok(None)
    }

    /// The next metric of the family at hand; `None` behind the last.
    ///
    /// # Errors
    /// The metric is malformed.
    pub fn next_metric(&mut self) -> Result<Option<&Metric<'a>>, ProtobufError> {
        let is_read = std::mem::take(&mut self.is_read_ahead) || self.read_metric()?;
        Ok(is_read.then_some(&self.metric))
    }

    fn read_metric(&mut self) -> Result<bool, ProtobufError> {
        loop {
            if let Some(message) = self.fields.next_bytes_of(METRIC_KEY) {
                self.metric.read(message?, self.family.metric_type)?;
                return Ok(true);
            }
            match self.fields.next() {
                None => return Ok(false),
                // A key that is not in its shortest form.
                Some(Ok((4, Value::Bytes(message)))) => {
                    self.metric.read(message, self.family.metric_type)?;
                    return Ok(true);
                }
                Some(field) => drop(field?),
            }
        }
    }

    /// Takes the next family from the body.
    fn family_message(&mut self) -> Result<&'a [u8], ProtobufError> {
        let before = self.rest;
        let mut fields = Fields::new(before);
        let size = fields.varint().map_err(|_| ProtobufError::FamilySize)?;
        let after = fields.rest();
        let varint_size = before.len() - after.len();
        if varint_size > SIZE_VARINT_BYTES_MAX {
            return Err(ProtobufError::FamilySize);
        }
        let split = usize::try_from(size).ok().and_then(|size| after.split_at_checked(size));
        let Some((message, rest)) = split else {
            let expected = size.saturating_add(varint_size as u64);
            return Err(ProtobufError::CutOff { expected, actual: before.len() });
        };
        self.rest = rest;
        Ok(message)
    }
}

/// The fields of a family beside its metrics, as they stand there.
#[derive(Debug, Default)]
struct Header<'a> {
    name: &'a [u8],
    help: &'a [u8],
    unit: &'a [u8],
    type_number: i64,
}

impl<'a> Header<'a> {
    fn read(message: &'a [u8]) -> Result<Self, WireError> {
        let mut header = Self::default();
        let mut fields = Fields::new(message);
        loop {
            // Metrics are many; the rest of the header may stand behind them.
            if let Some(metric) = fields.next_bytes_of(METRIC_KEY) {
                metric?;
                continue;
            }
            let Some(field) = fields.next() else { return Ok(header) };
            match field? {
                (1, name) => header.name = name.bytes("Name")?,
                (2, help) => header.help = help.bytes("Help")?,
                (3, number) => header.type_number = number.integer("Type")?,
                (4, metric) => drop(metric.bytes("Metric")?),
                (5, unit) => header.unit = unit.bytes("Unit")?,
                _ => {}
            }
        }
    }

    fn metric_type(&self) -> MetricType {
        match self.type_number {
            0 => MetricType::Counter,
            1 => MetricType::Gauge,
            2 => MetricType::Summary,
            4 => MetricType::Histogram,
            5 => MetricType::GaugeHistogram,
            _ => MetricType::Unknown,
        }
    }

    fn check(&self) -> Result<Family<'a>, ProtobufError> {
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let name = str::from_utf8(self.name).ok();
        let name = name.filter(|name| NameValidation::Utf8.is_valid_metric_name(name));
        let Some(name) = name else { return Err(ProtobufError::Name(lossy(self.name))) };
        let Ok(help) = str::from_utf8(self.help) else {
            return Err(ProtobufError::Help { name: name.to_owned(), help: lossy(self.help) });
        };
        if !(0..=5).contains(&self.type_number) {
            return Err(ProtobufError::Type { name: name.to_owned(), number: self.type_number });
        }
        // A unit is told, never checked.
        let unit = str::from_utf8(self.unit).unwrap_or_default();
        Ok(Family { name, help, unit, metric_type: self.metric_type() })
    }
}
