//! Metrics of the log, named as Prometheus's.

use prom_telemetry::{Counter, CounterVec, Gauge, Registry, Summary};

use super::{EncodedRecord, compress::Compression, fault::WriteFault, frame::PAGE_SIZE_BYTES};

/// Instruments that the log moves.
#[derive(Clone, Debug)]
pub(crate) struct WalMetrics {
    pub(crate) truncations: Counter,
    pub(crate) truncations_failed: Counter,
    pub(crate) checkpoints: CheckpointMetrics,
    pub(super) fsync_duration: Summary,
    page_flushes: Counter,
    completed_pages: Counter,
    pub(super) segment_current: Gauge,
    pub(super) writes_failed: Counter,
    record_parts: Counter,
    record_parts_bytes: Counter,
    record_bytes_saved: CounterVec,
    pub(super) fault: WriteFault,
}

/// Instruments of checkpoints.
#[derive(Clone, Debug)]
pub(crate) struct CheckpointMetrics {
    pub(crate) creations: Counter,
    pub(crate) creations_failed: Counter,
    pub(crate) deletions: Counter,
    pub(crate) deletions_failed: Counter,
    /// From the beginning of a checkpoint until what it stands for is gone.
    pub(crate) truncate_duration: Summary,
}

impl CheckpointMetrics {
    fn register(registry: &Registry) -> Self {
        let counter = |suffix: &str, help: &str| {
            registry.counter(&format!("prometheus_tsdb_checkpoint_{suffix}"), help)
        };
        Self {
            creations: counter(
                "creations_total",
                "Total number of checkpoint creations attempted.",
            ),
            creations_failed: counter(
                "creations_failed_total",
                "Total number of checkpoint creations that failed.",
            ),
            deletions: counter(
                "deletions_total",
                "Total number of checkpoint deletions attempted.",
            ),
            deletions_failed: counter(
                "deletions_failed_total",
                "Total number of checkpoint deletions that failed.",
            ),
            truncate_duration: registry.summary(
                "prometheus_tsdb_wal_truncate_duration_seconds",
                "Duration of WAL truncation.",
                &[],
            ),
        }
    }
}

impl WalMetrics {
    pub(crate) fn fault(&self) -> &WriteFault {
        &self.fault
    }

    pub(crate) fn register(registry: &Registry) -> Self {
        Self::of_log(registry, "prometheus_tsdb_wal_", CheckpointMetrics::register(registry))
    }

    /// Those of the log of out-of-order samples, which has no checkpoints of its own.
    pub(crate) fn of_out_of_order(&self, registry: &Registry) -> Self {
        Self::of_log(registry, "prometheus_tsdb_out_of_order_wbl_", self.checkpoints.clone())
    }

    fn of_log(registry: &Registry, prefix: &str, checkpoints: CheckpointMetrics) -> Self {
        let name = |suffix: &str| format!("{prefix}{suffix}");
        let counter = |suffix, help| registry.counter(&name(suffix), help);
        Self {
            truncations: counter(
                "truncations_total",
                "Total number of write log truncations attempted.",
            ),
            truncations_failed: counter(
                "truncations_failed_total",
                "Total number of write log truncations that failed.",
            ),
            checkpoints,
            fsync_duration: registry.summary(
                &name("fsync_duration_seconds"),
                "Duration of write log fsync.",
                &[0.5, 0.9, 0.99],
            ),
            page_flushes: counter("page_flushes_total", "Total number of page flushes."),
            completed_pages: counter("completed_pages_total", "Total number of completed pages."),
            segment_current: registry.gauge(
                &name("segment_current"),
                "Write log segment index that TSDB is currently writing to.",
            ),
            writes_failed: counter(
                "writes_failed_total",
                "Total number of write log writes that failed.",
            ),
            record_parts: counter(
                "record_part_writes_total",
                "Total number of record parts written before flushing.",
            ),
            record_parts_bytes: counter(
                "record_parts_bytes_written_total",
                "Total number of record part bytes written before flushing, including CRC and compression headers.",
            ),
            record_bytes_saved: registry.counter_vec(
                &name("record_bytes_saved_total"),
                "Total number of bytes saved by the optional record compression. Use this metric to learn about the effectiveness compression.",
                &["compression"],
            ),
            fault: WriteFault::default(),
        }
    }

    /// Counts bytes that compression saved.
    pub(crate) fn count_saved(&self, compression: Compression, size_bytes: usize) {
        let name = match compression {
            Compression::None => return,
            Compression::Snappy => "snappy",
            Compression::Zstd => "zstd",
        };
        self.record_bytes_saved.with(&[name]).inc_by(size_bytes as u64);
    }

    pub(super) fn count_write(&self, begin: usize, frames: &[u8], records: &[EncodedRecord<'_>]) {
        let pages = ((begin + frames.len()) / PAGE_SIZE_BYTES) as u64;
        self.page_flushes.inc_by(pages + 1);
        self.completed_pages.inc_by(pages);
        self.record_parts.inc_by(records.len() as u64 + pages);
        self.record_parts_bytes.inc_by(frames.len() as u64);
    }
}
