//! Runs this server beside the installed originals on the same load and prints ratios; judges nothing.
//!
//! `cargo build --release --bin prometheus && cargo run --release -p benchmarks -- [start] [scrape] [page]`
//! `PROMETHEUS_PEERS` names the folder of `prometheus` and `victoria-metrics`; a missing one is left out.

mod contender;
mod page;
mod report;
mod scrape;
mod start;
mod synthetic;

use std::process::ExitCode;

use anyhow::{Result, bail};

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
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    if names.is_empty() {
        names = ["start", "scrape", "page"].map(str::to_owned).to_vec();
    }
    for name in &names {
        report::line(&format!("\n== {name}"));
        match name.as_str() {
            "start" => start::run()?,
            "scrape" => scrape::run()?,
            "page" => page::run()?,
            _ => bail!("unknown benchmark {name:?}; there are start, scrape and page"),
        }
    }
    Ok(())
}
