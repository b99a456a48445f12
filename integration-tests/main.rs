//! Tests from outside: they run the real binaries, on port 0, in fresh folders.
//! What a test needs beyond them (systemd, peers, browsers) it names when it is skipped.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests end by panics, and say what they skip"
)]

mod harness;

mod bad_input;
mod browser;
mod chaos;
mod compatibility;
mod config_diff;
mod configuration;
mod crash;
mod directories;
mod discovery;
mod discovery_peers;
mod http2;
mod kinds;
mod kubernetes;
mod ledger;
mod metrics;
mod out_of_order;
mod package;
mod queries;
mod random;
mod reload;
mod reload_property;
mod remote_write;
mod rules;
mod scraping;
mod stale_series;
mod start;
mod start_times;
mod storage_faults;
mod systemd;
mod target_faults;
mod trial;
