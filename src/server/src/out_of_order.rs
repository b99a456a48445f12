//! How far behind the newest sample others may come: what the configuration says. Taking them is the
//! storage's matter.

use std::sync::Arc;

use prom_config::Config;

use crate::prometheus::Running;

/// The window under this configuration; zero: none is taken.
pub(crate) fn out_of_order_window_ms(config: &Config) -> i64 {
    config.storage.tsdb.as_ref().map_or(0, |tsdb| tsdb.out_of_order_time_window_ms.max(0))
}

/// Puts another window in force, in its own time: the disk may have to make room for a log.
pub(crate) fn apply_out_of_order_window(running: &Running, before: &Config, now: &Config) {
    let window_ms = out_of_order_window_ms(now);
    if window_ms == out_of_order_window_ms(before) {
        return;
    }
    let (handle, db) = (running.handle.clone(), Arc::clone(&running.db));
    running.handle.spawn("out-of-order window", async move {
        match handle.blocking(move || db.apply_out_of_order_window(window_ms)).await {
            Ok(Ok(())) => {}
            Ok(Err(err)) => {
                tracing::error!(%err, "Out-of-order samples are refused: their log cannot be made");
            }
            Err(err) => tracing::warn!(%err, "The out-of-order window stays as it was"),
        }
    });
}
