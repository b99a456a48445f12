//! What relabelling makes of the groups of a job, kept group by group: a set of many thousand targets of which
//! a few change costs the work of those few. Which targets come of it is the pool's matter.

use std::{collections::HashMap, sync::Arc};

use prom_config::ScrapeConfig;
use prom_discovery::TargetGroup;
use prom_model::Labels;

use crate::target::{Relabelled, TargetSpec, relabel_target};

/// The groups of a set, in their order.
#[derive(Debug, Default)]
pub(crate) struct RelabelledGroups {
    /// The job whose rules were applied.
    cfg: Option<Arc<ScrapeConfig>>,
    groups: Vec<RelabelledGroup>,
}

/// A group, and what came of its targets.
#[derive(Debug)]
pub(crate) struct RelabelledGroup {
    group: Arc<TargetGroup>,
    pub(crate) kept: Vec<Arc<TargetSpec>>,
    /// As many as are remembered.
    pub(crate) dropped: Vec<Labels>,
    pub(crate) dropped_count: usize,
    pub(crate) refused_count: u64,
}

impl RelabelledGroups {
    /// Brings what is known in line with the groups of a set: those that are the same objects as before keep
    /// what came of them, unless the job has changed.
    pub(crate) fn update(&mut self, cfg: &Arc<ScrapeConfig>, groups: &[Arc<TargetGroup>]) {
        let is_same_job = self.cfg.as_ref().is_some_and(|old| Arc::ptr_eq(old, cfg));
        self.cfg = Some(Arc::clone(cfg));
        let old = std::mem::take(&mut self.groups).into_iter().filter(|_| is_same_job);
        // The old groups hold their objects, so no new one has the address of another.
        let mut old: HashMap<_, _> = old.map(|known| (Arc::as_ptr(&known.group), known)).collect();
        let known = groups.iter().map(|group| {
            old.remove(&Arc::as_ptr(group)).unwrap_or_else(|| RelabelledGroup::new(cfg, group))
        });
        self.groups = known.collect();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &RelabelledGroup> {
        self.groups.iter()
    }
}

impl RelabelledGroup {
    fn new(cfg: &ScrapeConfig, group: &Arc<TargetGroup>) -> Self {
        let mut relabelled = Self {
            group: Arc::clone(group),
            kept: Vec::new(),
            dropped: Vec::new(),
            dropped_count: 0,
            refused_count: 0,
        };
        for (index, target) in group.targets.iter().enumerate() {
            match relabel_target(cfg, target, &group.labels) {
                Ok(Relabelled::Kept(spec)) => relabelled.kept.push(Arc::new(spec)),
                Ok(Relabelled::Dropped(discovered)) => {
                    relabelled.dropped_count += 1;
                    if relabelled.dropped.len() < dropped_count_max(cfg) {
                        relabelled.dropped.push(discovered);
                    }
                }
                Err(refused) => {
                    relabelled.refused_count += 1;
                    let scrape_pool = cfg.job_name.as_str();
                    let err = format!("instance {index} in group {}: {refused}", group.source);
                    tracing::error!(scrape_pool, %err, "Creating target failed");
                }
            }
        }
        relabelled
    }
}

/// How many dropped targets of a job are remembered.
pub(crate) fn dropped_count_max(cfg: &ScrapeConfig) -> usize {
    match cfg.limits.dropped_target_count {
        0 => usize::MAX,
        limit => usize::try_from(limit).unwrap_or(usize::MAX),
    }
}
