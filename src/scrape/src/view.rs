//! What the outside sees of pools and targets: plain copies, taken at one moment.

use std::{sync::Arc, time::Duration};

use prom_model::Labels;

/// How a target fares. Compat: the `health` of `/api/v1/targets`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetHealth {
    Unknown,
    Up,
    Down,
}

impl TargetHealth {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// A target that is scraped.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetView {
    /// The job it was configured in.
    pub scrape_pool: Arc<str>,
    /// Labels before relabelling.
    pub discovered_labels: Labels,
    /// Labels that its series get.
    pub labels: Labels,
    pub scrape_url: String,
    /// Why the last scrape failed; empty if it did not.
    pub last_error: String,
    /// When the last scrape began, in milliseconds since the Unix epoch; none before the first.
    pub last_scrape_ms: Option<i64>,
    pub last_scrape_duration: Duration,
    pub health: TargetHealth,
    pub scrape_interval: Duration,
    pub scrape_timeout: Duration,
}

/// A target that relabelling dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedTargetView {
    pub scrape_pool: Arc<str>,
    pub discovered_labels: Labels,
}

/// A scrape pool and how many targets it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolView {
    pub name: Arc<str>,
    pub active_count: usize,
    pub up_count: usize,
    /// All of them, also those that `keep_dropped_targets` does not remember.
    pub dropped_count: usize,
}

/// How the targets of a pool fare by the scrapes that began after a certain moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolTally {
    pub name: Arc<str>,
    pub up_count: usize,
    pub down_count: usize,
    /// No scrape since then has ended.
    pub unseen_count: usize,
}

/// What a target says of a metric family.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MetricMetadata {
    pub family: Box<str>,
    /// `counter`, `gauge`, `histogram`, `summary` or `unknown`.
    pub kind: &'static str,
    pub help: Box<str>,
    pub unit: Box<str>,
}
