//! One metric of a family: its labels as they stand there, and what it says.

use std::str;

use prom_model::{LabelsBuilder, METRIC_NAME, MetricType, NameValidation};

use super::{ProtobufError, histogram::HistogramPart};
use crate::{
    text::LABELS_COUNT_MAX,
    wire::{Fields, Value, WireError},
};

/// Key of the field `label` of a metric: number 1, a message.
const LABEL_KEY: u8 = 0x0a;

/// One metric, decoded. Which of the values counts is told by the family's type.
#[derive(Debug, Default)]
pub struct Metric<'a> {
    /// Encoded labels, field by field as they stand in the message: those before all else, and any later ones.
    first_labels: &'a [u8],
    more_labels: Vec<&'a [u8]>,
    /// Zero counts as none: the format cannot tell them apart.
    pub timestamp_ms: Option<i64>,
    /// Of a counter, a gauge, or what has no type.
    pub value: f64,
    /// Of a counter.
    pub exemplar: Option<Exemplar<'a>>,
    /// Since when a counter, summary or histogram has been counting.
    pub created_ms: Option<i64>,
    /// Of a summary.
    pub sample_count: u64,
    pub sample_sum: f64,
    pub quantiles: Vec<Quantile>,
    pub histogram: HistogramPart<'a>,
}

/// One quantile of a summary.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantile {
    pub quantile: f64,
    pub value: f64,
}

/// An exemplar; its labels are read by [`Exemplar::labels`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Exemplar<'a> {
    message: &'a [u8],
    pub value: f64,
    pub timestamp_ms: Option<i64>,
}

impl<'a> Metric<'a> {
    /// Takes the place of the metric before.
    pub(super) fn read(
        &mut self,
        message: &'a [u8],
        metric_type: MetricType,
    ) -> Result<(), WireError> {
        self.clear();
        let mut fields = Fields::new(message);
        while let Some(label) = fields.next_bytes_of(LABEL_KEY) {
            label?;
        }
        let labels_size = message.len() - fields.rest().len();
        self.first_labels = message.get(..labels_size).unwrap_or_default();
        loop {
            let before = fields.rest();
            let Some(field) = fields.next() else { return Ok(()) };
            match (field?, metric_type) {
                ((1, label), _) => {
                    label.bytes("Label")?;
                    let size = before.len() - fields.rest().len();
                    self.more_labels.push(before.get(..size).unwrap_or_default());
                }
                ((2, gauge), MetricType::Gauge) => self.read_value(gauge.bytes("Gauge")?)?,
                ((3, counter), MetricType::Counter) => {
                    self.read_counter(counter.bytes("Counter")?)?;
                }
                ((4, summary), MetricType::Summary) => {
                    self.read_summary(summary.bytes("Summary")?)?;
                }
                ((5, untyped), MetricType::Unknown) => {
                    self.read_value(untyped.bytes("Untyped")?)?
                }
                ((6, timestamp), _) => {
                    let timestamp_ms = timestamp.integer("TimestampMs")?;
                    self.timestamp_ms = (timestamp_ms != 0).then_some(timestamp_ms);
                }
                ((7, histogram), MetricType::Histogram | MetricType::GaugeHistogram) => {
                    let histogram = histogram.bytes("Histogram")?;
                    self.created_ms = self.histogram.read(histogram)?;
                }
                _ => {}
            }
        }
    }

    /// The encoded labels in their order: equal bytes are equal labels.
    #[inline]
    pub fn label_runs(&self) -> impl Iterator<Item = &'a [u8]> {
        std::iter::once(self.first_labels).chain(self.more_labels.iter().copied())
    }

    /// Puts together the labels of a series of this metric: the name, the metric's own labels, and one that parts it
    /// from the other series of the metric, if there is one.
    ///
    /// # Errors
    /// The labels are malformed, not unique, too many, or not UTF-8.
    pub fn labels(
        &self,
        name: &str,
        part: Option<(&str, &str)>,
        labels: &mut LabelsBuilder,
    ) -> Result<(), ProtobufError> {
        labels.append(METRIC_NAME, name);
        let pairs = self.label_runs().flat_map(Fields::new);
        for (index, field) in pairs.enumerate() {
            if index >= LABELS_COUNT_MAX {
                return Err(ProtobufError::TooManyLabels);
            }
            let (_, pair) = field?;
            let (name, value) = label_pair(pair.bytes("Label")?)?;
            labels.append(name, value);
        }
        if let Some((name, value)) = part {
            labels.append(name, value);
        }
        match labels.duplicate_name() {
            Some(name) => Err(ProtobufError::LabelTwice(name.to_owned())),
            None => Ok(()),
        }
    }

    fn clear(&mut self) {
        self.more_labels.clear();
        self.timestamp_ms = None;
        self.value = 0.0;
        self.exemplar = None;
        self.created_ms = None;
        self.sample_count = 0;
        self.sample_sum = 0.0;
        self.quantiles.clear();
        self.histogram.clear();
    }

    /// Of a gauge, or what has no type.
    fn read_value(&mut self, message: &[u8]) -> Result<(), WireError> {
        for field in Fields::new(message) {
            if let (1, value) = field? {
                self.value = value.double("Value")?;
            }
        }
        Ok(())
    }

    fn read_counter(&mut self, message: &'a [u8]) -> Result<(), WireError> {
        for field in Fields::new(message) {
            match field? {
                (1, value) => self.value = value.double("Value")?,
                (2, exemplar) => {
                    self.exemplar = Some(Exemplar::read(exemplar.bytes("Exemplar")?)?);
                }
                (3, created) => self.created_ms = Some(time_ms(created, "StartTimestamp")?),
                _ => {}
            }
        }
        Ok(())
    }

    fn read_summary(&mut self, message: &'a [u8]) -> Result<(), WireError> {
        for field in Fields::new(message) {
            match field? {
                (1, count) => self.sample_count = count.integer("SampleCount")?.cast_unsigned(),
                (2, sum) => self.sample_sum = sum.double("SampleSum")?,
                (3, quantile) => {
                    self.quantiles.push(Quantile::read(quantile.bytes("Quantile")?)?);
                }
                (4, created) => self.created_ms = Some(time_ms(created, "StartTimestamp")?),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Quantile {
    fn read(message: &[u8]) -> Result<Self, WireError> {
        let mut quantile = Self::default();
        for field in Fields::new(message) {
            match field? {
                (1, number) => quantile.quantile = number.double("Quantile")?,
                (2, value) => quantile.value = value.double("Value")?,
                _ => {}
            }
        }
        Ok(quantile)
    }
}

impl<'a> Exemplar<'a> {
    pub(super) fn read(message: &'a [u8]) -> Result<Self, WireError> {
        let mut exemplar = Self { message, ..Self::default() };
        for field in Fields::new(message) {
            match field? {
                (1, label) => drop(label.bytes("Label")?),
                (2, value) => exemplar.value = value.double("Value")?,
                (3, timestamp) => exemplar.timestamp_ms = Some(time_ms(timestamp, "Timestamp")?),
                _ => {}
            }
        }
        Ok(exemplar)
    }

    /// Reads its labels.
    ///
    /// # Errors
    /// They are malformed or not UTF-8.
    pub fn labels(&self, labels: &mut LabelsBuilder) -> Result<(), ProtobufError> {
        for field in Fields::new(self.message) {
            if let (1, label) = field? {
                let (name, value) = label_pair(label.bytes("Label")?)?;
                labels.append(name, value);
            }
        }
        Ok(())
    }
}

/// Name and value of a label.
fn label_pair(message: &[u8]) -> Result<(&str, &str), ProtobufError> {
    let (mut name, mut value): (&[u8], &[u8]) = (b"", b"");
    for field in Fields::new(message) {
        match field? {
            (1, text) => name = text.bytes("Name")?,
            (2, text) => value = text.bytes("Value")?,
            _ => {}
        }
    }
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let valid = str::from_utf8(name).ok();
    let valid = valid.filter(|name| NameValidation::Utf8.is_valid_label_name(name));
    let Some(name) = valid else { return Err(ProtobufError::LabelName(lossy(name))) };
    match str::from_utf8(value) {
        Ok(value) => Ok((name, value)),
        Err(_) => Err(ProtobufError::LabelValue(lossy(value))),
    }
}

/// A `google.protobuf.Timestamp`, in milliseconds; one that is out of range wraps, as in the reference.
pub(super) fn time_ms(value: Value<'_>, field: &'static str) -> Result<i64, WireError> {
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    for field in Fields::new(value.bytes(field)?) {
        match field? {
            (1, number) => seconds = number.integer("Seconds")?,
            (2, number) => nanos = i64::from(number.integer("Nanos")? as i32),
            _ => {}
        }
    }
    Ok(seconds.wrapping_mul(1_000).wrapping_add(nanos / 1_000_000))
}
