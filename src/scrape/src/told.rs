//! What the log says about scrapes, in Prometheus's messages. Nothing is logged per sample.

use prom_lifecycle::BlockingError;
use tracing::{debug, error, warn};

use crate::{
    digest::{Digested, Unread},
    live::Target,
};

/// A scrape has ended.
pub(crate) fn scrape(about: &Target, digested: &Digested) {
    let (scrape_pool, target) = (&*about.pool, about.url.as_str());
    let stored = &digested.stored;
    match &digested.unread {
        Some(err @ Unread::Format(_)) => {
            error!(scrape_pool, target, %err, "Failed to determine correct type of scrape target.");
        }
        Some(err) => debug!(scrape_pool, target, %err, "Scrape failed"),
        None => {}
    }
    if let Some(err) = &stored.refused {
        debug!(scrape_pool, target, %err, "Append failed");
    }
    if let Some(err) = &stored.failed {
        error!(scrape_pool, target, %err, "Scrape commit failed");
    }
    for (num_dropped, message) in [
        (stored.tally.out_of_order, "Error on ingesting out-of-order samples"),
        (
            stored.tally.duplicate,
            "Error on ingesting samples with different value but same timestamp",
        ),
        (
            stored.tally.out_of_bounds,
            "Error on ingesting samples that are too old or are too far into the future",
        ),
        (stored.tally.out_of_order_exemplars, "Error on ingesting out-of-order exemplars"),
    ] {
        if num_dropped > 0 {
            warn!(scrape_pool, target, num_dropped, "{message}");
        }
    }
}

/// A scrape was lost before it reached the store.
pub(crate) fn not_stored(about: &Target, err: &BlockingError) {
    error!(scrape_pool = &*about.pool, target = about.url, %err, "Scrape commit failed");
}

/// The end of a target was marked, or not.
pub(crate) fn end(about: &Target, marked: &Result<(), String>) {
    if let Err(err) = marked {
        warn!(scrape_pool = &*about.pool, target = about.url, %err, "Stale commit failed");
    }
}
