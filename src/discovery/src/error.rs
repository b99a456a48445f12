//! Why a set cannot be filled. What a mechanism meets while it runs is logged and counted instead.

use crate::TARGET_COUNT_MAX;

/// A configuration that cannot be discovered by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    #[error("set {set:?} has {count} targets (limit: {TARGET_COUNT_MAX})")]
    TooManyTargets { set: String, count: usize },
    /// Whoever was asked gave no answer, or none that can be used.
    #[error("{reason}")]
    NoAnswer { reason: String },
}
