//! Targets that share labels and come and go together. Nothing here knows what the labels mean.

use std::sync::Arc;

use prom_config::StaticConfig;
use prom_model::Labels;

/// The label that holds a target's address.
const ADDRESS: &str = "__address__";

/// What a mechanism found in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetGroup {
    /// Unique within a set; a new group of the same source replaces the old one.
    pub source: Arc<str>,
    /// Labels of each target, `__address__` among them.
    pub targets: Vec<Labels>,
    /// Labels of all targets that do not set them themselves.
    pub labels: Labels,
}

impl TargetGroup {
    /// The group of one `static_configs` entry.
    pub(crate) fn from_static(source: Arc<str>, cfg: &StaticConfig) -> Self {
        let address = |target: &String| Labels::from_pairs([(ADDRESS, target.as_str())]);
        let targets = cfg.targets.iter().map(address).collect();
        let labels = Labels::from_pairs(cfg.labels.iter().map(|(name, value)| (name, value)));
        Self { source, targets, labels }
    }
}
