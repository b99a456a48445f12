//! Samples on their way into the store, a handful at a time, and what the store says of them.
//! Who the samples belong to is told by position only.

use std::sync::Arc;

use prom_model::Metadata;
use prom_storage::{
    Appender, ExemplarSample, FloatSample, HistogramSample, Rejected, Rejection, SeriesHandle,
    SeriesRef, SeriesStart,
};

/// How many samples are handed over at once: few enough to stay in the fastest cache.
const SAMPLE_COUNT_MAX: usize = 128;

/// How many samples the store refused, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) out_of_order: u64,
    pub(crate) duplicate: u64,
    pub(crate) out_of_bounds: u64,
    pub(crate) out_of_order_exemplars: u64,
}

/// The lane between a body and an appender.
#[derive(Debug)]
pub(crate) struct Batch {
    start_zeros: Vec<SeriesStart>,
    samples: Vec<FloatSample>,
    /// Since when the first samples count, 0 where nobody knows; of those behind them nobody does.
    starts_ms: Vec<i64>,
    /// For each sample the entry it came from.
    positions: Vec<u32>,
    histograms: Vec<HistogramSample>,
    /// For each histogram the entry it came from.
    histogram_positions: Vec<u32>,
    exemplars: Vec<ExemplarSample>,
    metadata: Vec<(SeriesHandle, Arc<Metadata>)>,
    rejected: Vec<Rejected>,
    /// The store has said that it keeps no exemplars.
    pub(crate) ignores_exemplars: bool,
    pub(crate) tally: Tally,
    /// Entries whose sample was refused.
    pub(crate) refused: Vec<u32>,
    /// Those of them that no time of the store holds: their series has not even begun.
    pub(crate) beyond_bounds: Vec<u32>,
    /// Series that the store does not know any more.
    pub(crate) unknown: Vec<SeriesRef>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self {
            start_zeros: Vec::new(),
            samples: Vec::with_capacity(SAMPLE_COUNT_MAX),
            starts_ms: Vec::new(),
            positions: Vec::with_capacity(SAMPLE_COUNT_MAX),
            histograms: Vec::new(),
            histogram_positions: Vec::new(),
            exemplars: Vec::new(),
            metadata: Vec::new(),
            rejected: Vec::new(),
            ignores_exemplars: false,
            tally: Tally::default(),
            refused: Vec::new(),
            beyond_bounds: Vec::new(),
            unknown: Vec::new(),
        }
    }

    /// Adds a zero at the time since when a series counts, before the sample that tells it.
    pub(crate) fn push_start_zero(&mut self, appender: &mut dyn Appender, start: SeriesStart) {
        if self.start_zeros.len() == SAMPLE_COUNT_MAX {
            self.flush(appender);
        }
        self.start_zeros.push(start);
    }

    /// Adds a sample of the entry at `position`.
    #[inline]
    pub(crate) fn push(
        &mut self,
        appender: &mut dyn Appender,
        position: usize,
        sample: FloatSample,
    ) {
        if self.samples.len() == SAMPLE_COUNT_MAX {
            self.flush(appender);
        }
        self.samples.push(sample);
        self.positions.push(position as u32);
    }

    /// Adds since when the sample counts that was pushed last.
    pub(crate) fn note_start(&mut self, start_ms: i64) {
        let before_count = self.samples.len().saturating_sub(1);
        self.starts_ms.resize(before_count, 0);
        self.starts_ms.push(start_ms);
    }

    /// Adds a histogram of the entry at `position`.
    pub(crate) fn push_histogram(
        &mut self,
        appender: &mut dyn Appender,
        position: usize,
        sample: HistogramSample,
    ) {
        if self.histograms.len() == SAMPLE_COUNT_MAX {
            self.flush(appender);
        }
        self.histograms.push(sample);
        self.histogram_positions.push(position as u32);
    }

    /// Adds an exemplar of a series whose sample was pushed.
    pub(crate) fn push_exemplar(&mut self, appender: &mut dyn Appender, exemplar: ExemplarSample) {
        if self.exemplars.len() == SAMPLE_COUNT_MAX {
            self.flush(appender);
        }
        self.exemplars.push(exemplar);
    }

    /// Adds what is said of a series whose sample was pushed.
    pub(crate) fn push_metadata(
        &mut self,
        appender: &mut dyn Appender,
        series: SeriesHandle,
        metadata: Arc<Metadata>,
    ) {
        if self.metadata.len() == SAMPLE_COUNT_MAX {
            self.flush(appender);
        }
        self.metadata.push((series, metadata));
    }

    /// Counts a sample that is refused before it reaches the store.
    pub(crate) fn refuse(&mut self, position: usize, reason: Rejection) {
        self.note_refused(reason, position as u32);
    }

    /// Hands over what is left.
    pub(crate) fn flush(&mut self, appender: &mut dyn Appender) {
        appender.append_start_zeros(&self.start_zeros);
        self.start_zeros.clear();
        if self.starts_ms.is_empty() {
            appender.append(&self.samples, &mut self.rejected);
        } else {
            self.starts_ms.resize(self.samples.len(), 0);
            appender.append_with_starts(&self.samples, &self.starts_ms, &mut self.rejected);
            self.starts_ms.clear();
        }
        for at in 0..self.rejected.len() {
            let Rejected { index, reason } = self.rejected[at];
            self.note(reason, self.samples[index].series, self.positions[index]);
        }
        self.samples.clear();
        self.positions.clear();
        self.rejected.clear();
        self.flush_histograms(appender);
        self.flush_exemplars(appender);
        for (series, metadata) in self.metadata.drain(..) {
            appender.set_metadata(series, &metadata);
        }
    }

    fn flush_histograms(&mut self, appender: &mut dyn Appender) {
        if self.histograms.is_empty() {
            return;
        }
        appender.append_histograms(&self.histograms, &mut self.rejected);
        for at in 0..self.rejected.len() {
            let Rejected { index, reason } = self.rejected[at];
            self.note(reason, self.histograms[index].series, self.histogram_positions[index]);
        }
        self.histograms.clear();
        self.histogram_positions.clear();
        self.rejected.clear();
    }

    fn note(&mut self, reason: Rejection, series: SeriesHandle, position: u32) {
        if reason == Rejection::UnknownSeries {
            self.unknown.push(series.series_ref);
            return;
        }
        self.note_refused(reason, position);
    }

    fn note_refused(&mut self, reason: Rejection, position: u32) {
        self.count(reason);
        self.refused.push(position);
        if !matches!(reason, Rejection::OutOfOrder | Rejection::DuplicateTimestamp) {
            self.beyond_bounds.push(position);
        }
    }

    /// A refused exemplar fails nothing; that some of a series come too late is expected where they are told
    /// again and again, so it counts only if all do. Compat: `scrape/scrape.go`.
    fn flush_exemplars(&mut self, appender: &mut dyn Appender) {
        if self.exemplars.is_empty() {
            return;
        }
        appender.append_exemplars(&self.exemplars, &mut self.rejected);
        let mut rejected = self.rejected.drain(..).peekable();
        let mut end = 0;
        for of_series in self.exemplars.chunk_by(|a, b| a.series == b.series) {
            end += of_series.len();
            let mut late_count = 0;
            while let Some(Rejected { reason, .. }) = rejected.next_if(|it| it.index < end) {
                late_count += usize::from(reason == Rejection::OutOfOrderExemplar);
                self.ignores_exemplars |= reason == Rejection::ExemplarsDisabled;
            }
            if late_count == of_series.len() {
                self.tally.out_of_order_exemplars += late_count as u64;
            }
        }
        drop(rejected);
        self.exemplars.clear();
    }

    fn count(&mut self, reason: Rejection) {
        match reason {
            Rejection::OutOfOrder => self.tally.out_of_order += 1,
            Rejection::DuplicateTimestamp => self.tally.duplicate += 1,
            // Too old, out of bounds, and what a later store may invent.
            _ => self.tally.out_of_bounds += 1,
        }
    }
}

/// Adds one value to each of some series. Refusals are expected: where a series goes on elsewhere, its
/// marker comes too late. Compat: `updateStaleMarkers` in `scrape/scrape.go`.
pub(crate) fn append_to_all(
    appender: &mut dyn Appender,
    series: &[SeriesHandle],
    timestamp_ms: i64,
    value: f64,
) {
    let mut ignored = Vec::new();
    for some in series.chunks(SAMPLE_COUNT_MAX) {
        let sample = |series: &SeriesHandle| FloatSample { series: *series, timestamp_ms, value };
        let samples: Vec<_> = some.iter().map(sample).collect();
        appender.append(&samples, &mut ignored);
        ignored.clear();
    }
}
