//! Which part of all series is to have ended for these to leave the head early: what the configuration says.
//! Taking them out of it is the storage's matter.

use prom_config::Config;

/// The part under this configuration; zero: they leave in their time.
pub(crate) fn stale_series_threshold(config: &Config) -> f64 {
    config.storage.tsdb.as_ref().map_or(0.0, |tsdb| tsdb.stale_series_compaction_threshold)
}
