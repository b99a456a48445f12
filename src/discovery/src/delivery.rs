//! What runs one entry of a configuration, and how what it finds gets to the sets. How anything is found is
//! up to the mechanisms.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prom_config::DiscoveryConfig;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{TARGET_COUNT_MAX, TargetGroup, group::target_count, metrics::Metrics};

/// One entry of a configuration; equal entries of several sets share it.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) cfg: DiscoveryConfig,
    /// The first set that asked for it: its name in logs and metrics.
    pub(crate) set: Arc<str>,
    /// Ends with the last set that wants it.
    pub(crate) stop: CancellationToken,
    latest: Mutex<Latest>,
}

/// What a provider has at this moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Latest {
    /// Changes with the groups.
    pub(crate) revision: u64,
    pub(crate) groups: Arc<[Arc<TargetGroup>]>,
    /// The groups are those of a provider that this one takes the place of.
    is_inherited: bool,
}

/// The way of a mechanism to the sets.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) provider: Arc<Provider>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) dirty: Arc<Notify>,
}

impl Provider {
    /// A provider that has found `groups` already, if there are any.
    pub(crate) fn new(
        cfg: DiscoveryConfig,
        set: Arc<str>,
        stop: CancellationToken,
        groups: Vec<Arc<TargetGroup>>,
    ) -> Self {
        let latest = Latest { revision: 0, groups: groups.into(), is_inherited: false };
        Self { cfg, set, stop, latest: Mutex::new(latest) }
    }

    pub(crate) fn latest(&self) -> Latest {
        self.lock().clone()
    }

    /// Begins with what another one had, until its own first attempt has ended: no target misses a scrape
    /// because its entry was edited.
    pub(crate) fn inherit(&self, groups: Arc<[Arc<TargetGroup>]>) {
        let mut latest = self.lock();
        if latest.groups.is_empty() && !groups.is_empty() {
            *latest = Latest { revision: latest.revision + 1, groups, is_inherited: true };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Latest> {
        // It is replaced as a whole, so a panic elsewhere leaves nothing half-changed.
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Delivery {
    /// Takes the place of all that was found before.
    pub(crate) fn deliver(&self, groups: Vec<Arc<TargetGroup>>) {
        self.metrics.received_updates.inc();
        let count = target_count(&groups);
        if count > TARGET_COUNT_MAX {
            let (discovery, config) = (self.provider.cfg.name(), &*self.provider.set);
            tracing::error!(discovery, config, count, "Too many targets, the last good ones stay");
            return self.fail();
        }
        let mut latest = self.provider.lock();
        latest.is_inherited = false;
        if *latest.groups != *groups {
            latest.revision += 1;
            latest.groups = groups.into();
            self.dirty.notify_one();
        }
    }

    /// An attempt found nothing, for a reason that was logged: what was found before stays (I1).
    pub(crate) fn fail(&self) {
        let mut latest = self.provider.lock();
        if latest.is_inherited {
            *latest = Latest { revision: latest.revision + 1, ..Latest::default() };
            self.dirty.notify_one();
        }
    }
}
