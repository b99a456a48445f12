//! What chunks are like when they come into a block for the first time.
//! Compat: Prometheus `tsdb/compact.go` (CompactorMetrics); ranges are observed in milliseconds there, too.

use prom_telemetry::{Histogram, Registry, exponential_buckets};

use crate::block::SourceChunk;

/// Level of blocks that are made of the head.
const FIRST_LEVEL: u32 = 1;

/// Figures of chunks.
#[derive(Debug)]
pub(crate) struct ChunkMetrics {
    sizes_bytes: Histogram,
    samples: Histogram,
    ranges_ms: Histogram,
}

impl ChunkMetrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let histogram = |suffix: &str, help, buckets: Vec<f64>| {
            registry.histogram(
                &format!("prometheus_tsdb_compaction_chunk_{suffix}"),
                help,
                &buckets,
            )
        };
        Self {
            sizes_bytes: histogram(
                "size_bytes",
                "Final size of chunks on their first compaction",
                exponential_buckets(32.0, 1.5, 12),
            ),
            samples: histogram(
                "samples",
                "Final number of samples on their first compaction",
                exponential_buckets(4.0, 1.5, 12),
            ),
            ranges_ms: histogram(
                "range_seconds",
                "Final time range of chunks on their first compaction",
                exponential_buckets(100.0, 4.0, 10),
            ),
        }
    }

    /// Whether chunks of a block of this level are looked at.
    pub(super) fn is_for(level: u32) -> bool {
        level == FIRST_LEVEL
    }

    pub(super) fn observe(&self, chunk: &SourceChunk, samples_count: u64) {
        self.sizes_bytes.observe(chunk.size_bytes as f64);
        self.samples.observe(samples_count as f64);
        self.ranges_ms.observe(chunk.max_t.saturating_sub(chunk.min_t) as f64);
    }
}
