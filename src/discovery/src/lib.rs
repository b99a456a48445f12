//! Where targets come from: sections of the configuration in, groups of labelled addresses out.
//!
//! Neighbours: takes its sections from `prom-config`; scraping (later alerting) owns one [`Discovery`],
//! names the sets it wants filled (one per job) and reads their groups. What a target's labels come to is
//! not decided here: relabelling belongs to the consumer.
//!
//! A `Provider` runs one entry of a configuration; equal entries of several sets share it. A mechanism is a
//! module that fills providers through their [`Delivery`](delivery::Delivery): `file` and `consul` watch,
//! `kubernetes` and `zookeeper` are told of changes by their servers, all others ask again and again
//! (`polled`), most of them an HTTP API (`rest`). What providers have is published to the sets in a bounded
//! rhythm.
//!
//! Invariants:
//! I1. A set always shows its last good groups: a mechanism that fails changes nothing.
//! I2. `prepare` has no effect that can be seen; `commit` cannot fail.
//! I3. The version of a set changes exactly when its groups do.
//! I4. A reload leaves a provider alone whose entry it does not change: what it has found and when it asks
//!     next stay as they are.
//!
//! Concurrency: any thread may read or commit; readers get shared, immutable groups. Mechanisms are tasks of
//! the supervisor; reading files is blocking work in its pool.
//!
//! Limits: [`TARGET_COUNT_MAX`] targets in one set, the rhythm of updates (`pace`), the size of a file of
//! targets (`prom_config::FILE_SIZE_BYTES_MAX`), of a list from a service (`http`), of all lists that are read
//! at a moment (`polled`), lookups under way (`dns`), an event of a watch (`kubernetes::frames`), a frame and the
//! nodes of a tree (`zookeeper`).

mod consul;
mod delivery;
mod discovery;
mod dns;
mod error;
mod file;
mod group;
mod http;
mod json;
mod kubernetes;
mod metrics;
mod pace;
mod polled;
mod rest;
mod zookeeper;

pub use discovery::{
    Changes, Discovery, DiscoveryOptions, Prepared, SetConfig, TARGET_COUNT_MAX, TargetSet,
};
pub use error::DiscoveryError;
pub use file::read_target_file;
pub use group::TargetGroup;
pub use polled::discover_once;
