//! The pools of all jobs, and how a new configuration changes them.

use std::{ops::ControlFlow, sync::Arc};

use prom_config::Config;
use prom_discovery::Discovery;
use prom_lifecycle::Handle;
use prom_model::Labels;
use prom_storage::Appendable;
use prom_telemetry::Registry;

use crate::{DroppedTargetView, MetricMetadata, PoolView, ScrapeError, TargetView};

/// What does not come from the configuration.
#[derive(Clone, Debug)]
pub struct ScrapeOptions {
    /// Sent with each request: `Prometheus/<version>`.
    pub user_agent: &'static str,
    /// The name of this machine: two servers with the same targets ask at different moments.
    pub host_name: String,
}

/// A configuration, ready to be taken over.
#[derive(Debug)]
pub struct Prepared {
    discovery: prom_discovery::Prepared,
}

/// All scrape pools. Clones share them.
#[derive(Clone)]
pub struct ScrapeManager {
    shared: Arc<Shared>,
}

struct Shared {
    discovery: Discovery,
}

impl ScrapeManager {
    /// A manager without pools. Its loops run through `handle` and end when that cancels.
    pub fn new(
        _store: Arc<dyn Appendable>,
        _handle: Handle,
        registry: &Registry,
        _options: ScrapeOptions,
    ) -> Self {
        Self { shared: Arc::new(Shared { discovery: Discovery::new("scrape", registry) }) }
    }

    /// Works out what `cfg` changes, without any effect.
    ///
    /// # Errors
    /// `cfg` cannot be scraped by.
    pub fn prepare(&self, cfg: &Config) -> Result<Prepared, ScrapeError> {
        let sets = cfg.scrape_configs.iter().map(|scrape| prom_discovery::SetConfig {
            set: &scrape.job_name,
            static_configs: &scrape.static_configs,
        });
        Ok(Prepared { discovery: self.shared.discovery.prepare(sets)? })
    }

    /// Takes a prepared configuration over. Jobs and targets that it does not change keep their loops,
    /// rhythms, caches and connections.
    pub fn commit(&self, prepared: Prepared) {
        self.shared.discovery.commit(prepared.discovery);
    }

    /// All targets that are scraped, by pool and URL.
    pub fn targets(&self) -> Vec<TargetView> {
        Vec::new()
    }

    /// Targets that relabelling dropped, as far as they are remembered, by pool.
    pub fn dropped_targets(&self) -> Vec<DroppedTargetView> {
        Vec::new()
    }

    /// All pools by name.
    pub fn pools(&self) -> Vec<PoolView> {
        Vec::new()
    }

    /// Shows what targets say of their metrics, target by target, until `visit` breaks off. The labels
    /// are those of the target.
    pub fn visit_metadata(
        &self,
        _visit: &mut dyn FnMut(&Labels, &MetricMetadata) -> ControlFlow<()>,
    ) {
    }
}

impl std::fmt::Debug for ScrapeManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScrapeManager").finish_non_exhaustive()
    }
}
