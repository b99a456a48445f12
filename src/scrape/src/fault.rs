//! Faults of test builds: a loop that hangs on purpose, so that what watches over the loops can be tested.
//! Only builds with debug assertions or the feature `fault-injection` have them.
//!
//! `PROMETHEUS_FAULT_WEDGE_AFTER_SCRAPES=<n>`: the loop that is about to do the scrape after the `n`th one
//! of this process never comes back.

#[cfg(any(debug_assertions, feature = "fault-injection"))]
pub(crate) async fn wedge_when_told() {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    };

    static WEDGE_AFTER: LazyLock<Option<u64>> =
        LazyLock::new(|| std::env::var("PROMETHEUS_FAULT_WEDGE_AFTER_SCRAPES").ok()?.parse().ok());
    static SCRAPE_COUNT: AtomicU64 = AtomicU64::new(0);

    let Some(wedge_after) = *WEDGE_AFTER else { return };
    if SCRAPE_COUNT.fetch_add(1, Ordering::Relaxed) >= wedge_after {
        tracing::warn!(scrapes = wedge_after, "A scrape loop is wedged on purpose");
        std::future::pending::<()>().await;
    }
}

#[cfg(not(any(debug_assertions, feature = "fault-injection")))]
pub(crate) async fn wedge_when_told() {}
