//! T1 and T3: the same targets scraped by each server, all at once: processor time per sample, plain, gzip and
//! protobuf, and anonymous memory per active series; each gate with whether it holds.

use std::time::Duration;

use anyhow::Result;

use crate::{
    contender::{Contender, Kind, now},
    gate::Gate,
    report,
    sizes::Sizes,
    synthetic::{Encoding, Targets},
};

/// How many targets, how many series each, how their bodies come.
const RUNS: [(usize, usize, Encoding); 5] = [
    (40, 5_000, Encoding::Plain),
    (40, 5_000, Encoding::Gzip),
    (1_000, 200, Encoding::Plain),
    (1_000, 200, Encoding::Gzip),
    (40, 5_000, Encoding::Protobuf),
];
const MEMORY: Gate = Gate::of_both("T1 memory per active series", 0.25, 0.9);
const PLAIN: Gate = Gate::of_original("T3 processor time per sample, plain", 0.25);
const GZIP: Gate = Gate::of_original("T3 processor time per sample, gzip", 0.4);
const INTERVAL_SECONDS: u64 = 5;
/// Scrapes before counting begins: registration of the series is not the steady state.
const WARM_UP: Duration = Duration::from_secs(20);
/// How long is counted; one value for each slice.
const SLICE: Duration = Duration::from_secs(15);
const SLICE_COUNT: usize = 3;

pub(crate) fn run(sizes: Sizes) -> Result<()> {
    let is_wanted = |count: usize| sizes.target_count.is_none_or(|wanted| wanted == count);
    for (target_count, per_target, encoding) in RUNS.into_iter().filter(|run| is_wanted(run.0)) {
        run_with(target_count, per_target, encoding)?;
    }
    Ok(())
}

fn run_with(target_count: usize, per_target: usize, encoding: Encoding) -> Result<()> {
    let interval = Duration::from_secs(INTERVAL_SECONDS);
    let targets = Targets::start(target_count, per_target, interval)?;
    let series_count = target_count * per_target;
    let config = config(&targets, encoding);
    let wanted: &[Kind] = match encoding {
        // VictoriaMetrics reads no protobuf.
        Encoding::Protobuf => &[Kind::Ours, Kind::Original],
        _ => &[Kind::Ours, Kind::Original, Kind::VictoriaMetrics],
    };
    let kinds = Kind::available(wanted);
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
    report::line(&format!(
        "{series_count} series of {target_count} targets every {INTERVAL_SECONDS} s, {encoding:?}: processor time per sample"
    ));
    show(&contenders, "ns/sample", &per_sample);
    match encoding {
        Encoding::Plain => PLAIN.judge(&contenders, &medians(&per_sample)),
        Encoding::Gzip => GZIP.judge(&contenders, &medians(&per_sample)),
        Encoding::Protobuf => {}
    }
    report::line("anonymous memory per active series");
    let bytes = contenders
        .iter()
        .map(|contender| Ok(vec![contender.memory_bytes("RssAnon")? / series_count as f64]))
        .collect::<Result<Vec<_>>>()?;
    show(&contenders, "B/series", &bytes);
    MEMORY.judge(&contenders, &medians(&bytes));
    Ok(())
}

/// One row a contender.
fn show(contenders: &[Contender], unit: &str, values: &[Vec<f64>]) {
    let original = contenders.iter().position(|contender| contender.kind == Kind::Original);
    let original = original.map(|index| report::median(&values[index]));
    for (contender, values) in contenders.iter().zip(values) {
        report::row(contender.kind.name(), unit, values, original);
    }
}

fn medians(values: &[Vec<f64>]) -> Vec<f64> {
    values.iter().map(|values| report::median(values)).collect()
}

fn config(targets: &Targets, encoding: Encoding) -> String {
    let addresses: Vec<String> = targets.addresses().map(|a| format!("'{a}'")).collect();
    let wish = match encoding {
        Encoding::Plain => "  enable_compression: false\n",
        Encoding::Gzip => "",
        Encoding::Protobuf => "  scrape_protocols: [PrometheusProto]\n",
    };
    format!(
        "global:\n  scrape_interval: {INTERVAL_SECONDS}s\n  scrape_timeout: {INTERVAL_SECONDS}s\n\
         scrape_configs:\n- job_name: synthetic\n{wish}  static_configs:\n  - targets: [{}]\n",
        addresses.join(", ")
    )
}
