//! The series that we tell about a target beside its own. Compat: `report` in `scrape/scrape.go`.

use std::time::Duration;

use prom_model::{Metadata, MetricType, stale_nan};
use prom_storage::{
    Appender, FloatSample, Rejected, Rejection, SeriesHandle, SeriesRef, StorageError,
};

use crate::{pass::Counts, rules::Rules};

/// Always told, and those that `extra_scrape_metrics` adds: name, unit and help.
const METRICS: [(&str, &str, &str); 8] = [
    ("up", "targets", "Whether the last scrape of the target was successful (1) or failed (0)."),
    ("scrape_duration_seconds", "seconds", "How long the last scrape took."),
    ("scrape_samples_scraped", "samples", "Samples that the target exposed."),
    (
        "scrape_samples_post_metric_relabeling",
        "samples",
        "Samples that metric relabeling has left over.",
    ),
    ("scrape_series_added", "series", "Series that the last scrape was the first to bring."),
    ("scrape_timeout_seconds", "seconds", "How long a scrape may take."),
    ("scrape_sample_limit", "samples", "Samples that a scrape may bring; 0: any number."),
    (
        "scrape_body_size_bytes",
        "bytes",
        "Size of the body after decompression; -1: beyond the limit, 0: no body for another reason.",
    ),
];
const PLAIN_COUNT: usize = 5;

/// A series that the store has no room for.
const NOBODY: SeriesHandle = SeriesHandle { series_ref: SeriesRef(0), slot: 0 };

/// What is told of one scrape.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    pub(crate) is_up: bool,
    pub(crate) duration: Duration,
    pub(crate) counts: Counts,
    pub(crate) timeout: Duration,
    /// -1 if the body was too large.
    pub(crate) body_size_bytes: i64,
}

/// The report series of one target, once they are known.
#[derive(Debug, Default)]
pub(crate) struct ReportSeries {
    handles: Vec<SeriesHandle>,
}

impl ReportSeries {
    /// Forgets the series: their labels have changed, or the store has lost them.
    pub(crate) fn forget(&mut self) {
        self.handles.clear();
    }

    /// Adds the samples of one report. That a sample comes too late is expected of a target that goes
    /// and comes back, and not told.
    pub(crate) fn append(
        &mut self,
        appender: &mut dyn Appender,
        rules: &Rules,
        timestamp_ms: i64,
        report: &Report,
    ) -> Result<(), StorageError> {
        let values = [
            f64::from(u8::from(report.is_up)),
            report.duration.as_secs_f64(),
            report.counts.scraped as f64,
            report.counts.post_relabeling as f64,
            report.counts.series_added as f64,
            report.timeout.as_secs_f64(),
            rules.cfg.limits.sample_count as f64,
            report.body_size_bytes as f64,
        ];
        self.append_values(appender, rules, timestamp_ms, values)
    }

    /// Marks the end of all report series.
    pub(crate) fn append_end(
        &mut self,
        appender: &mut dyn Appender,
        rules: &Rules,
        timestamp_ms: i64,
    ) -> Result<(), StorageError> {
        self.append_values(appender, rules, timestamp_ms, [stale_nan(); METRICS.len()])
    }

    fn append_values(
        &mut self,
        appender: &mut dyn Appender,
        rules: &Rules,
        timestamp_ms: i64,
        values: [f64; METRICS.len()],
    ) -> Result<(), StorageError> {
        let count = if rules.tells_extra { METRICS.len() } else { PLAIN_COUNT };
        // Those that the store refused may find room by now.
        if self.handles.len() != count || self.handles.contains(&NOBODY) {
            self.resolve(appender, rules, count)?;
        }
        let mut rejected = Vec::new();
        appender.append(&self.samples(timestamp_ms, &values), &mut rejected);
        let is_unknown = |rejected: &Rejected| rejected.reason == Rejection::UnknownSeries;
        if rejected.iter().any(is_unknown) {
            self.resolve(appender, rules, count)?;
            // Samples that were taken are equal to these, so they change nothing.
            appender.append(&self.samples(timestamp_ms, &values), &mut rejected);
        }
        Ok(())
    }

    fn resolve(
        &mut self,
        appender: &mut dyn Appender,
        rules: &Rules,
        count: usize,
    ) -> Result<(), StorageError> {
        self.handles.clear();
        for (metric, unit, help) in &METRICS[..count] {
            let series = match appender.series(&rules.report_labels(metric)) {
                Err(StorageError::SeriesLimit(_)) => NOBODY,
                found => found?,
            };
            if rules.logs_metadata && series != NOBODY {
                let (unit, help) = ((*unit).to_owned(), (*help).to_owned());
                let metadata = Metadata { metric_type: MetricType::Gauge, unit, help };
                appender.set_metadata(series, &metadata);
            }
            self.handles.push(series);
        }
        Ok(())
    }

    fn samples(&self, timestamp_ms: i64, values: &[f64]) -> Vec<FloatSample> {
        let pairs = self.handles.iter().zip(values).filter(|(series, _)| **series != NOBODY);
        pairs
            .map(|(series, value)| FloatSample { series: *series, timestamp_ms, value: *value })
            .collect()
    }
}
