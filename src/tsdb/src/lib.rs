//! The time series database: Prometheus's data directory, written and read.
//!
//! Neighbours: `storage` holds the traits through which everybody else appends and reads; `telemetry`
//! takes the metrics and is asked for the time; `server` opens a [`Db`] and closes it.

mod chunk;
mod db;
mod error;

pub use db::{
    Db, HeadStats, Options, ReplayProgress, RetentionOptions, StatEntry, TsdbStats, WalCompression,
};
pub use error::OpenError;
