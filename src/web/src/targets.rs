//! What API and pages need to know of targets, as a door that tests can stand behind.

use std::{fmt, ops::ControlFlow};

use prom_model::{Labels, RelabelRule};
use prom_scrape::{DroppedTargetView, MetricMetadata, PoolView, ScrapeManager, TargetView};

/// Shown with each metadata: the labels of the target that told it.
pub type MetadataVisitor<'a> = dyn FnMut(&Labels, &MetricMetadata) -> ControlFlow<()> + 'a;

/// Somebody who scrapes, or a double of it.
pub trait Targets: Send + Sync {
    /// Targets that are scraped, by pool and address.
    fn active(&self) -> Vec<TargetView>;

    /// Targets that relabelling dropped, by pool.
    fn dropped(&self) -> Vec<DroppedTargetView>;

    /// Pools by name.
    fn pools(&self) -> Vec<PoolView>;

    /// The rules that decide about the targets of a pool.
    fn relabel_rules(&self, pool: &str) -> Option<Vec<RelabelRule>>;

    /// Shows what targets tell of their metrics, target by target, until `visit` breaks off.
    fn visit_metadata(&self, visit: &mut MetadataVisitor<'_>);
}

impl fmt::Debug for dyn Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Targets")
    }
}

impl Targets for ScrapeManager {
    fn active(&self) -> Vec<TargetView> {
        self.targets()
    }

    fn dropped(&self) -> Vec<DroppedTargetView> {
        self.dropped_targets()
    }

    fn pools(&self) -> Vec<PoolView> {
        self.pools()
    }

    fn relabel_rules(&self, pool: &str) -> Option<Vec<RelabelRule>> {
        self.job(pool).map(|job| job.relabel_configs.clone())
    }

    fn visit_metadata(&self, visit: &mut MetadataVisitor<'_>) {
        self.visit_metadata(visit);
    }
}
