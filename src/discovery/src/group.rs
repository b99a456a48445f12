//! Targets that share labels and come and go together. Nothing here knows what the labels mean.

use std::sync::Arc;

use prom_config::StaticConfig;
use prom_model::Labels;

/// The label that holds a target's address.
pub(crate) const ADDRESS: &str = "__address__";

/// What a mechanism found in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetGroup {
    /// Unique within a provider.
    pub source: Arc<str>,
    /// Labels of each target, `__address__` among them.
    pub targets: Vec<Labels>,
    /// Labels of all targets that do not set them themselves.
    pub labels: Labels,
}

impl TargetGroup {
    /// The group of one entry of addresses and labels; `label` tells where it was found.
    pub(crate) fn of_addresses(
        source: impl Into<Arc<str>>,
        cfg: &StaticConfig,
        label: Option<(&str, &str)>,
    ) -> Self {
        let address = |target: &String| Labels::from_pairs([(ADDRESS, target.as_str())]);
        let targets = cfg.targets.iter().map(address).collect();
        let labels = cfg.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Self { source: source.into(), targets, labels: Labels::from_pairs(labels.chain(label)) }
    }
}

/// `host:port`, the host of an IPv6 address in brackets. Compat: Go `net.JoinHostPort`.
pub(crate) fn host_port(host: &str, port: impl std::fmt::Display) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// How many targets some groups hold.
pub(crate) fn target_count(groups: &[Arc<TargetGroup>]) -> usize {
    groups.iter().map(|group| group.targets.len()).sum()
}

/// The new groups, each that equals an old one of its source as the same object.
pub(crate) fn sharing(
    groups: impl IntoIterator<Item = TargetGroup>,
    old: &[Arc<TargetGroup>],
) -> Vec<Arc<TargetGroup>> {
    let by_source: std::collections::HashMap<&str, &Arc<TargetGroup>> =
        old.iter().map(|group| (&*group.source, group)).collect();
    let share = |group: TargetGroup| match by_source.get(&*group.source) {
        Some(old) if ***old == group => Arc::clone(old),
        _ => Arc::new(group),
    };
    groups.into_iter().map(share).collect()
}
