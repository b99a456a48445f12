//! Where targets come from: sections of the configuration in, groups of labelled addresses out.
//!
//! Neighbours: takes its sections from `prom-config`; scraping (later alerting) owns one [`Discovery`],
//! names the sets it wants filled (one per job) and reads their groups. What a target's labels come to is
//! not decided here: relabelling belongs to the consumer.
//!
//! Invariants:
//! I1. A set always shows its last good groups: a mechanism that fails changes nothing.
//! I2. `prepare` has no effect that can be seen; `commit` cannot fail.
//! I3. The version of a set changes exactly when its groups do.
//!
//! Concurrency: any thread may read or commit; readers get shared, immutable groups. A mechanism that
//! watches something hands whole groups to [`Discovery::update`], from whatever task it runs in.
//!
//! Limits: [`TARGET_COUNT_MAX`] targets in one set.

mod discovery;
mod group;
mod metrics;

pub use discovery::{
    Changes, Discovery, DiscoveryError, Prepared, SetConfig, TARGET_COUNT_MAX, TargetSet,
};
pub use group::TargetGroup;
