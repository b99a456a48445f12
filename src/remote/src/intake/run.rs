//! One `TimeSeries` message: where its parts are. Nothing is copied out of the request.

use prom_model::{Exemplar, HistogramValue};
use prom_storage::SeriesHandle;

use crate::{
    histogram::read_histogram,
    labels::{KeyMaker, LABEL_KEY, LabelsError, LabelsKey, exemplar_labels},
    wire::{Fields, WireError},
};

/// Fields of `TimeSeries`.
const LABELS: u32 = 1;
const SAMPLES: u32 = 2;
const EXEMPLARS: u32 = 3;
const HISTOGRAMS: u32 = 4;

/// A series of a request.
#[derive(Debug)]
pub(super) struct SeriesMessage<'a> {
    message: &'a [u8],
    /// What follows the labels that the message begins with.
    after_labels: &'a [u8],
    /// Absent if labels stand elsewhere too: then the first bytes do not tell the series.
    pub(super) key: Option<LabelsKey>,
    /// What the key or the labels mean; nothing if they are invalid.
    pub(super) handle: Option<SeriesHandle>,
    /// Floats and histograms.
    pub(super) samples_count: usize,
    pub(super) histograms_count: usize,
    pub(super) exemplars_count: usize,
}

impl<'a> SeriesMessage<'a> {
    pub(super) fn read(message: &'a [u8], keys: &KeyMaker) -> Result<Self, WireError> {
        let mut fields = Fields::new(message);
        while let Some(label) = fields.next_bytes_of(LABEL_KEY) {
            label?;
        }
        let after_labels = fields.rest();
        let (label_bytes, _) = message.split_at(message.len() - after_labels.len());
        let mut series = Self {
            message,
            after_labels,
            key: Some(keys.key(label_bytes)),
            handle: None,
            samples_count: 0,
            histograms_count: 0,
            exemplars_count: 0,
        };
        for field in fields {
            match field? {
                (LABELS, value) => {
                    value.bytes("Labels")?;
                    series.key = None;
                }
                (SAMPLES, value) => {
                    value.bytes("Samples")?;
                    series.samples_count += 1;
                }
                (HISTOGRAMS, value) => {
                    value.bytes("Histograms")?;
                    series.histograms_count += 1;
                    series.samples_count += 1;
                }
                (EXEMPLARS, value) => {
                    value.bytes("Exemplars")?;
                    series.exemplars_count += 1;
                }
                _ => {}
            }
        }
        Ok(series)
    }

    /// The messages of all labels, wherever they stand.
    pub(super) fn label_messages(&self) -> impl Iterator<Item = Result<&'a [u8], WireError>> {
        messages_of(self.message, LABELS, "Labels")
    }

    /// Times and values.
    pub(super) fn floats(&self) -> impl Iterator<Item = Result<(i64, f64), WireError>> {
        messages_of(self.after_labels, SAMPLES, "Samples").map(|message| {
            let (mut timestamp_ms, mut value) = (0, 0.0);
            for field in Fields::new(message?) {
                match field? {
                    (1, double) => value = double.double("Value")?,
                    (2, integer) => timestamp_ms = integer.integer("Timestamp")?,
                    _ => {}
                }
            }
            Ok((timestamp_ms, value))
        })
    }

    /// Times and histograms.
    pub(super) fn histograms(
        &self,
    ) -> impl Iterator<Item = Result<(i64, HistogramValue), WireError>> {
        messages_of(self.after_labels, HISTOGRAMS, "Histograms")
            .map(|message| read_histogram(message?))
    }

    pub(super) fn exemplars(&self) -> impl Iterator<Item = Result<Exemplar, LabelsError>> {
        messages_of(self.after_labels, EXEMPLARS, "Exemplars").map(|message| {
            let message = message?;
            let labels = exemplar_labels(messages_of(message, LABELS, "Labels"))?;
            let mut exemplar = Exemplar { labels, value: 0.0, timestamp_ms: 0 };
            for field in Fields::new(message) {
                match field? {
                    (2, double) => exemplar.value = double.double("Value")?,
                    (3, integer) => exemplar.timestamp_ms = integer.integer("Timestamp")?,
                    _ => {}
                }
            }
            Ok(exemplar)
        })
    }
}

/// The nested messages of one field.
fn messages_of<'a>(
    message: &'a [u8],
    field: u32,
    name: &'static str,
) -> impl Iterator<Item = Result<&'a [u8], WireError>> {
    Fields::new(message).filter_map(move |read| match read {
        Ok((number, value)) => (number == field).then(|| value.bytes(name)),
        Err(err) => Some(Err(err)),
    })
}
