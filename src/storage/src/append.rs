//! The way in: a batch of samples becomes visible and durable as a whole.

use std::fmt;

use prom_model::{Exemplar, HistogramValue, Labels, Metadata};

use crate::StorageError;

/// Identity of a series for the life of a data directory; written to WAL and head chunks, never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SeriesRef(pub u64);

impl fmt::Display for SeriesRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A series as callers keep it: the identity, and the slot that finds it in constant time.
/// Slots are reused after a series is gone; the store checks that both still belong together.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SeriesHandle {
    pub series_ref: SeriesRef,
    pub slot: u32,
}

/// One float of one series.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct FloatSample {
    pub series: SeriesHandle,
    pub timestamp_ms: i64,
    pub value: f64,
}

/// One histogram of one series.
#[derive(Clone, PartialEq, Debug)]
pub struct HistogramSample {
    pub series: SeriesHandle,
    pub timestamp_ms: i64,
    /// Since when it counts; 0 if nobody knows.
    pub start_ms: i64,
    pub histogram: HistogramValue,
}

/// Since when a series has been counting, as its target tells it with a sample.
#[derive(Clone, PartialEq, Debug)]
pub struct SeriesStart {
    pub series: SeriesHandle,
    pub start_ms: i64,
    /// Of the sample that it is told with.
    pub sample_ms: i64,
    /// A histogram like that of the sample that has counted nothing; none for a float.
    pub zero: Option<HistogramValue>,
}

/// One exemplar of one series.
#[derive(Clone, PartialEq, Debug)]
pub struct ExemplarSample {
    pub series: SeriesHandle,
    pub exemplar: Exemplar,
}

/// Why one sample was refused; the others of its batch are not affected.
/// Display texts follow Prometheus `storage/interface.go`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    #[error("out of order sample")]
    OutOfOrder,
    #[error("duplicate sample for timestamp")]
    DuplicateTimestamp,
    #[error("out of bounds")]
    OutOfBounds,
    #[error("too old sample")]
    TooOld,
    /// The handle's series is gone from the head; resolve its labels again.
    #[error("unknown series")]
    UnknownSeries,
    /// The store keeps floats only.
    #[error("native histograms are disabled")]
    HistogramsDisabled,
    #[error("out of order exemplar")]
    OutOfOrderExemplar,
    #[error("duplicate exemplar")]
    DuplicateExemplar,
    #[error("label length for exemplar exceeds maximum of 128 UTF-8 characters")]
    ExemplarLabelLength,
    /// The store keeps no exemplars.
    #[error("exemplar storage is disabled or max exemplars is less than or equal to 0")]
    ExemplarsDisabled,
}

impl Rejection {
    /// Refuses all of `count` for one reason.
    pub fn all(self, count: usize, rejected: &mut Vec<Rejected>) {
        rejected.extend((0..count).map(|index| Rejected { index, reason: self }));
    }
}

/// A refused sample: its index in the batch, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rejected {
    pub index: usize,
    pub reason: Rejection,
}

/// A store that takes samples.
pub trait Appendable: Send + Sync {
    /// Begins a batch.
    fn appender(&self) -> Box<dyn Appender + '_>;
}

/// One batch. Dropping it without a commit is a rollback: no sample of it is stored.
pub trait Appender: Send {
    /// Finds or creates the series of `labels`. Creation is logged with the commit.
    ///
    /// # Errors
    /// The labels cannot be a series, or the store takes none.
    fn series(&mut self, labels: &Labels) -> Result<SeriesHandle, StorageError>;

    /// Adds samples; those that the series' state refuses are pushed to `rejected`.
    /// A sample equal in time and bits to the series' last one is accepted and changes nothing.
    fn append(&mut self, samples: &[FloatSample], rejected: &mut Vec<Rejected>);

    /// Like [`Appender::append`], with since when each sample counts: `starts_ms[i]` belongs to `samples[i]`, 0
    /// where nobody knows. A store that keeps no start times takes the samples without them.
    fn append_with_starts(
        &mut self,
        samples: &[FloatSample],
        starts_ms: &[i64],
        rejected: &mut Vec<Rejected>,
    );

    /// Adds histograms, by the same rules as floats; equality is of all fields, floats by their bits.
    /// They are sound: spans and buckets agree, as do the counts (`prom_model` checks that).
    fn append_histograms(&mut self, samples: &[HistogramSample], rejected: &mut Vec<Rejected>);

    /// Adds a zero at each start that is newer than its series' last sample and older than the sample that it is
    /// told with, which must come later. Others are left out without a word: a target tells them again and again.
    fn append_start_zeros(&mut self, starts: &[SeriesStart]);

    /// Adds exemplars of series that have a sample. A refused one takes nothing of its series with it.
    fn append_exemplars(&mut self, exemplars: &[ExemplarSample], rejected: &mut Vec<Rejected>);

    /// Notes what the target says of the series' metric; stored where the store is told to.
    fn set_metadata(&mut self, series: SeriesHandle, metadata: &Metadata);

    /// Logs the batch, then publishes it: a reader sees all of it or nothing.
    ///
    /// # Errors
    /// The log could not be written: nothing of the batch is stored.
    fn commit(self: Box<Self>) -> Result<(), StorageError>;
}
