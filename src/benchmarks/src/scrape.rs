//! T1 and T3: the same targets scraped by each server, all at once: processor time per sample, plain and
//! gzip, and anonymous memory per active series.

use std::time::Duration;

use anyhow::Result;

use crate::{
    contender::{Contender, Kind, now},
    gate::Gate,
    report,
    synthetic::{SERIES_PER_TARGET, Targets},
};

const TARGET_COUNT: usize = 20;
const INTERVAL_SECONDS: u64 = 5;
/// Scrapes before counting begins: registration of the series is not the steady state.
const WARM_UP: Duration = Duration::from_secs(20);
/// How long is counted; one value for each slice.
const SLICE: Duration = Duration::from_secs(20);
const SLICE_COUNT: usize = 5;
const MEMORY: Gate = Gate::of_both("T1 memory per active series", 0.25, 0.9);
const PLAIN: Gate = Gate::of_original("T3 processor time per sample, plain", 0.25);
const GZIP: Gate = Gate::of_original("T3 processor time per sample, gzip", 0.4);

pub(crate) fn run() -> Result<()> {
    for is_gzip in [false, true] {
        run_with(is_gzip)?;
    }
    Ok(())
}

fn run_with(is_gzip: bool) -> Result<()> {
    let targets = Targets::start(TARGET_COUNT)?;
    let series_count = TARGET_COUNT * SERIES_PER_TARGET;
    let config = config(&targets, is_gzip);
    let kinds = Kind::available(&[Kind::Ours, Kind::Original, Kind::VictoriaMetrics]);
    let contenders =
        kinds.iter().map(|kind| Contender::start(*kind, &config)).collect::<Result<Vec<_>>>()?;
    std::thread::sleep(WARM_UP);
    let mut per_sample = vec![Vec::new(); contenders.len()];
    for _ in 0..SLICE_COUNT {
        let begin = now();
        let before = contenders.iter().map(Contender::cpu_seconds).collect::<Result<Vec<_>>>()?;
        std::thread::sleep(SLICE);
        let seconds = begin.elapsed().as_secs_f64();
        let sample_count = series_count as f64 * seconds / INTERVAL_SECONDS as f64;
        for ((contender, before), values) in contenders.iter().zip(before).zip(&mut per_sample) {
            values.push((contender.cpu_seconds()? - before) / sample_count * 1e9);
        }
    }
    let encoding = if is_gzip { "gzip" } else { "plain" };
    report::line(&format!(
        "{series_count} series every {INTERVAL_SECONDS} s, {encoding}: processor time per sample"
    ));
    let original = contenders.iter().position(|contender| contender.kind == Kind::Original);
    let median = original.map(|index| report::median(&per_sample[index]));
    for (contender, values) in contenders.iter().zip(&per_sample) {
        report::row(contender.kind.name(), "ns/sample", values, median);
    }
    report::line("anonymous memory per active series");
    let bytes = contenders
        .iter()
        .map(|contender| Ok(contender.memory_bytes("RssAnon")? / series_count as f64))
        .collect::<Result<Vec<_>>>()?;
    for (contender, bytes_per_series) in contenders.iter().zip(&bytes) {
        report::row(
            contender.kind.name(),
            "B/series",
            &[*bytes_per_series],
            original.map(|index| bytes[index]),
        );
    }
    let medians: Vec<f64> = per_sample.iter().map(|values| report::median(values)).collect();
    if is_gzip { GZIP } else { PLAIN }.judge(&contenders, &medians);
    MEMORY.judge(&contenders, &bytes);
    Ok(())
}

fn config(targets: &Targets, is_gzip: bool) -> String {
    let addresses: Vec<String> = targets.addresses().map(|a| format!("'{a}'")).collect();
    // VictoriaMetrics spells the same wish differently; each ignores neither
    let compression = if is_gzip { "" } else { "  enable_compression: false\n" };
    format!(
        "global:\n  scrape_interval: {INTERVAL_SECONDS}s\n  scrape_timeout: {INTERVAL_SECONDS}s\n\
         scrape_configs:\n- job_name: synthetic\n{compression}  static_configs:\n  - targets: [{}]\n",
        addresses.join(", ")
    )
}
