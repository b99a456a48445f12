//! What comes beside floats: histograms and exemplars, one series at a time.

use prom_model::{HistogramError, HistogramValue};
use prom_storage::{ExemplarSample, HistogramSample, Rejected, Rejection, SeriesHandle};

use crate::{error::WriteError, labels::LabelsError};

use super::{Intake, run::SeriesMessage};

/// Whether the histogram is one.
fn check(histogram: &HistogramValue) -> Result<(), HistogramError> {
    match histogram {
        HistogramValue::Integer(histogram) => histogram.check(),
        HistogramValue::Float(histogram) => histogram.check(),
    }
}

impl Intake<'_> {
    pub(super) fn append_histograms(
        &mut self,
        series: &SeriesMessage<'_>,
    ) -> Result<(), WriteError> {
        let Some(handle) = series.handle else { return Ok(()) };
        let mut samples = Vec::with_capacity(series.histograms_count);
        for histogram in series.histograms() {
            let (timestamp_ms, histogram) = histogram?;
            if timestamp_ms > self.time.timestamp_ms_max {
                self.tally.refuse_future(series, timestamp_ms);
                continue;
            }
            // Compat: `remoteWriteAppender` in Prometheus `storage/remote/write_handler.go`, 3.8.
            let histogram = histogram.into_kept_resolution();
            if let Err(err) = check(&histogram) {
                self.tally.refuse_as(series, timestamp_ms, || err.to_string());
                continue;
            }
            samples.push(HistogramSample { series: handle, timestamp_ms, start_ms: 0, histogram });
        }
        let mut lost = Vec::new();
        self.appender.append_histograms(&samples, &mut self.rejected);
        for Rejected { index, reason } in self.rejected.drain(..) {
            if reason == Rejection::UnknownSeries {
                lost.push(samples[index].clone());
            } else {
                self.tally.refuse(series, samples[index].timestamp_ms, reason);
            }
        }
        let Some(handle) = self.handle_again(series, lost.is_empty())? else { return Ok(()) };
        lost.iter_mut().for_each(|sample| sample.series = handle);
        self.appender.append_histograms(&lost, &mut self.rejected);
        for Rejected { index, reason } in self.rejected.drain(..) {
            self.tally.refuse(series, lost[index].timestamp_ms, reason);
        }
        Ok(())
    }

    /// Exemplars that the store refuses fail no request. Compat: `storage/remote/write_handler.go`.
    pub(super) fn append_exemplars(
        &mut self,
        series: &SeriesMessage<'_>,
    ) -> Result<(), WriteError> {
        let Some(handle) = series.handle else { return Ok(()) };
        let mut exemplars = Vec::with_capacity(series.exemplars_count);
        for exemplar in series.exemplars() {
            match exemplar {
                Ok(exemplar) if exemplar.timestamp_ms <= self.time.timestamp_ms_max => {
                    exemplars.push(ExemplarSample { series: handle, exemplar });
                }
                Err(LabelsError::Wire(err)) => return Err(err.into()),
                Ok(_) | Err(_) => self.tally.refused_exemplars_count += 1,
            }
        }
        self.appender.append_exemplars(&exemplars, &mut self.rejected);
        let mut lost = Vec::new();
        for Rejected { index, reason } in self.rejected.drain(..) {
            match reason {
                Rejection::UnknownSeries => lost.push(exemplars[index].clone()),
                // They were stored before, or are not wanted: nothing is lost by it.
                Rejection::DuplicateExemplar | Rejection::ExemplarsDisabled => {}
                _ => self.tally.refused_exemplars_count += 1,
            }
        }
        let Some(handle) = self.handle_again(series, lost.is_empty())? else { return Ok(()) };
        lost.iter_mut().for_each(|exemplar| exemplar.series = handle);
        self.appender.append_exemplars(&lost, &mut self.rejected);
        self.tally.refused_exemplars_count += self.rejected.drain(..).count();
        Ok(())
    }

    /// What the series is now that its handle turned out to be outdated; nothing if it is not.
    fn handle_again(
        &mut self,
        series: &SeriesMessage<'_>,
        is_handle_good: bool,
    ) -> Result<Option<SeriesHandle>, WriteError> {
        if is_handle_good {
            return Ok(None);
        }
        let handle = self.resolve_one(series)?;
        if let (Some(key), Some(handle)) = (series.key, handle) {
            self.shared.cache.insert(&[(key, handle)], self.time.minute);
        }
        Ok(handle)
    }
}
