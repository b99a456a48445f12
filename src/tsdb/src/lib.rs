//! The time series database: Prometheus's data directory, written and read.
//!
//! Neighbours: `storage` holds the traits through which everybody else appends and reads; `telemetry`
//! takes the metrics and is asked for the time; `server` opens a [`Db`] and closes it.

mod chunk;
mod db;
mod disk;
mod error;
mod head;
mod lock;
mod select;
mod wal;

pub use db::{
    Db, HeadStats, Options, ReplayProgress, RetentionOptions, StatEntry, TsdbStats, WalCompression,
};
pub use error::OpenError;

#[doc(hidden)]
pub mod internals;
