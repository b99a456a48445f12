//! The receiver of remote write: a compressed request becomes one batch of a store.

use std::{fmt, sync::Arc};

use prom_storage::Appendable;
use prom_telemetry::{Counter, Registry};

use crate::{
    cache::SeriesCache,
    error::WriteError,
    intake::{Intake, ReceiveTime, Shared, Tally},
    labels::KeyMaker,
    snappy::inflate,
};

/// How far ahead of the clock samples may be.
/// Compat: `maxAheadTime` in Prometheus `storage/remote/write_handler.go`.
const AHEAD_MS_MAX: i64 = 10 * 60 * 1_000;

/// Takes remote write requests into a store.
pub struct Receiver {
    store: Arc<dyn Appendable>,
    cache: Arc<SeriesCache>,
    keys: KeyMaker,
    metrics: Metrics,
}

#[derive(Debug)]
struct Metrics {
    invalid_labels: Counter,
}

impl Receiver {
    pub fn new(store: Arc<dyn Appendable>, registry: &Registry) -> Self {
        let cache = Arc::new(SeriesCache::default());
        let counted = Arc::clone(&cache);
        registry.gauge_fn(
            "prometheus_remote_write_receiver_cached_series",
            "Series that the remote write receiver finds by the bytes of their labels.",
            move || counted.count() as f64,
        );
        let invalid_labels = registry.counter(
            "prometheus_api_remote_write_invalid_labels_samples_total",
            "The total number of received remote write samples and histogram samples which were rejected due to invalid labels.",
        );
        // Version 1 says nothing of single series' metadata; the family exists for dashboards.
        registry.counter(
            "prometheus_api_remote_write_without_metadata_appended_samples_total",
            "The total number of received remote write samples (and histogram samples) which were ingested without corresponding metadata.",
        );
        Self { store, cache, keys: KeyMaker::new(), metrics: Metrics { invalid_labels } }
    }

    /// Stores a `prometheus.WriteRequest`, compressed as one snappy block, that came at `now_ms`.
    ///
    /// # Errors
    /// See [`WriteError`]; after `Refused` all samples but the refused ones are stored (I2).
    pub fn write_v1(&self, body: &[u8], now_ms: i64) -> Result<(), WriteError> {
        let request = inflate(body)?;
        let minute = now_ms / 60_000;
        self.cache.sweep(minute);
        let mut appender = self.store.appender();
        let shared = Shared { cache: &self.cache, keys: &self.keys };
        let time = ReceiveTime { minute, timestamp_ms_max: now_ms.saturating_add(AHEAD_MS_MAX) };
        let tally = Intake::new(shared, time, &mut *appender).take(&request)?;
        appender.commit()?; // I1
        self.report(tally)
    }

    fn report(&self, tally: Tally) -> Result<(), WriteError> {
        if tally.refused_exemplars_count > 0 {
            let count = tally.refused_exemplars_count;
            tracing::warn!(num_dropped = count, "Refused exemplars from remote write");
        }
        let Some(reason) = tally.reason else { return Ok(()) };
        self.metrics.invalid_labels.inc_by(tally.invalid_labels_count as u64);
        let (labels, timestamp_ms) = tally.example.unwrap_or_default();
        tracing::warn!(
            err = %reason,
            series = %labels,
            timestamp = timestamp_ms,
            num_dropped = tally.refused_count,
            "Refused samples from remote write"
        );
        Err(WriteError::Refused { reason, samples_count: tally.refused_count })
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("cache", &self.cache.count()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
