//! Runs this server beside the installed originals on the same load; prints ratios, and whether the gates
//! of the design hold.
//!
//! `cargo build --release --bin prometheus && cargo run --release -p benchmarks -- [start] [scrape] [page]
//! [reload] [write] [restart] [disk] [churn] [query] [memory] [--series=N] [--hours=H] [--targets=N]`
//! `PROMETHEUS_PEERS` names the folder of `prometheus` and `victoria-metrics`; a missing one is left out.

mod churn;
mod client;
mod contender;
mod disk;
mod gate;
mod load;
mod memory;
mod one_processor;
mod page;
mod query;
mod reload;
mod report;
mod restart;
mod scrape;
mod sizes;
mod start;
mod synthetic;
mod watch;
mod write;

use std::process::ExitCode;

use anyhow::{Result, bail};

use self::sizes::Sizes;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            report::line(&format!("benchmarks: {err:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let (names, sizes) = Sizes::parse(std::env::args().skip(1))?;
    for name in &names {
        report::line(&format!("\n== {name}"));
        match name.as_str() {
            "start" => start::run()?,
            "scrape" => scrape::run(sizes)?,
            "page" => page::run()?,
            "reload" => reload::run()?,
            "write" => write::run(sizes)?,
            "restart" => restart::run(sizes)?,
            "disk" => disk::run(sizes)?,
            "churn" => churn::run(sizes)?,
            "query" => query::run(sizes)?,
            "memory" => memory::run(sizes)?,
            _ => bail!("unknown benchmark {name:?}; there are {}", sizes::NAMES.join(", ")),
        }
    }
    Ok(())
}
