//! From exec to READY with an empty folder: the first 200 of the readiness endpoint, asked every 0.5 ms.

use anyhow::Result;

use crate::{
    contender::{Contender, Kind},
    report,
};

/// Starts of each server, taken in turn.
const ROUND_COUNT: usize = 10;
const CONFIG: &str = "global: {scrape_interval: 15s}\nscrape_configs: []\n";

pub(crate) fn run() -> Result<()> {
    let kinds = Kind::available(&[Kind::Ours, Kind::Original, Kind::VictoriaMetrics]);
    let mut times = vec![Vec::new(); kinds.len()];
    for _ in 0..ROUND_COUNT {
        for (kind, times) in kinds.iter().zip(&mut times) {
            let contender = Contender::start(*kind, CONFIG)?;
            times.push(contender.start_time.as_secs_f64() * 1000.0);
        }
    }
    report::line("exec to READY, empty folder: minimum, median, maximum");
    let original = kinds.iter().position(|kind| *kind == Kind::Original);
    let original = original.map(|index| report::median(&times[index]));
    for (kind, times) in kinds.iter().zip(&times) {
        report::row(kind.name(), "ms", times, original);
    }
    Ok(())
}
