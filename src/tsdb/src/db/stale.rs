//! Series that have ended become blocks of their own and leave the head, when they are so large a part of all
//! series as the configuration says: they need memory until then, and nobody adds to them any more.
//! Compat: Prometheus `tsdb/db.go` (run, CompactStaleHead), 3.14.

use std::{sync::atomic::Ordering, time::Duration};

use prom_storage::{StorageError, TimeRange};
use prom_telemetry::clock;

use crate::{block::HINT_STALE_SERIES, compact::Shape, lock::lock, select::HeadExport};

use super::{Db, upkeep::head_block_meta};

/// A block of the head that comes so soon takes these series with the others.
const SOON: Duration = Duration::from_secs(600);

impl Db {
    /// Takes series that have ended out of the head from now on if they are at least this part of all of its
    /// series; zero: never before their time.
    pub fn set_stale_series_threshold(&self, share: f64) {
        self.upkeep.stale_threshold.store(share.to_bits(), Ordering::Release);
    }

    /// Makes blocks of series that have ended if there are so many of them. That it fails is told, and keeps
    /// nobody from other work.
    pub(super) fn compact_stale_if_due(&self) {
        let threshold = f64::from_bits(self.upkeep.stale_threshold.load(Ordering::Acquire));
        // The original begins when there is no series with a marker, too, and then does nothing.
        let is_due = threshold > 0.0 && self.head.stale_share() >= threshold;
        if !is_due || self.is_head_block_soon() {
            return;
        }
        let metrics = &self.upkeep.metrics;
        metrics.stale_triggered.inc();
        let begin = clock::monotonic();
        match self.compact_stale() {
            Ok(series_count) => {
                metrics.stale_duration.observe(begin.elapsed().as_secs_f64());
                tracing::info!(
                    num_series = series_count,
                    duration = format!("{:.3}s", begin.elapsed().as_secs_f64()),
                    "Stale series left the head"
                );
            }
            Err(StorageError::Canceled) => {}
            Err(err) => {
                metrics.stale_failed.inc();
                tracing::error!(err = %err, "Compaction of stale series failed");
            }
        }
    }

    fn is_head_block_soon(&self) -> bool {
        let last = *lock(&self.upkeep.head_written_at);
        let range = Duration::from_millis(self.upkeep.head_range_ms().unsigned_abs());
        last.is_some_and(|last| last.elapsed() + SOON > range)
    }

    /// Says how many series have left the head.
    pub(super) fn compact_stale(&self) -> Result<usize, StorageError> {
        let stale = self.head.stale_series();
        let (min_t, max_t) = self.head.time_bounds();
        if stale.len() == 0 {
            return Ok(0);
        }
        let range_ms = self.upkeep.head_range_ms();
        let mut begin = min_t.div_euclid(range_ms).saturating_mul(range_ms);
        while begin <= max_t {
            self.stop_if_told()?;
            let end = begin.saturating_add(range_ms);
            let written = self.with_mended_head(|| {
                let mut meta = head_block_meta(begin, end);
                meta.add_hint(HINT_STALE_SERIES);
                let mut export =
                    HeadExport::of_slots(&self.head, (begin, end), |slot| stale.has(slot));
                let range = TimeRange { mint_ms: begin, maxt_ms: end.saturating_sub(1) };
                self.write(&self.dir, meta, &mut export, Shape { range, is_dense: true })
            })?;
            if let Some(meta) = written {
                tracing::info!(
                    ulid = %meta.ulid, mint = meta.min_time, maxt = meta.max_time,
                    series = meta.stats.num_series, "write block of stale series"
                );
            }
            begin = end;
        }
        self.reload_blocks()?;
        self.head.evict_stale(&stale)
    }
}
