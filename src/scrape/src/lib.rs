//! Scraping: asks each target in its own rhythm, understands the answer, and appends it as one batch.
//!
//! Neighbours: the checked configuration comes from `prom-config`, groups of targets from
//! `prom-discovery`, bodies from `prom-http-client`, lines from `prom-exposition`; samples go to a
//! `prom_storage::Appendable`. `web` reads [`TargetView`]s; the server prepares and commits reloads.

mod error;
mod manager;
mod view;

pub use error::ScrapeError;
pub use manager::{Prepared, ScrapeManager, ScrapeOptions};
pub use view::{DroppedTargetView, MetricMetadata, PoolView, TargetHealth, TargetView};
