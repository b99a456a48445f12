//! T8 and T9: hours of samples, then SIGTERM and later SIGKILL; time and processor time from exec until the
//! last samples of all series are found by a query, and the most memory used on the way.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{
    contender::{Contender, Kind, now},
    gate::Gate,
    load::{Load, Sender, count_series},
    report,
    sizes::Sizes,
};

/// Steps that are sent after the first restarts, so that the others have something to replay.
const STEPS_BETWEEN_COUNT: usize = 40;
/// Samples of each series in a request.
const STEPS_PER_REQUEST: usize = 4;
/// Restarts of each server by each signal, taken in turn.
const ROUND_COUNT: usize = 3;

/// By the clock, which is what counts, and by processor time, which a busy machine does not change.
const AFTER_TERM: [Gate; 2] = [
    Gate::of_original("T8 restart after SIGTERM", 1.0 / 20.0),
    Gate::of_original("T8 restart after SIGTERM, processor time", 1.0 / 20.0),
];
const AFTER_KILL: [Gate; 2] = [
    Gate::of_original("T9 restart after SIGKILL", 1.0 / 8.0),
    Gate::of_original("T9 restart after SIGKILL, processor time", 1.0 / 8.0),
];

/// What one server's restarts cost.
#[derive(Clone, Debug, Default)]
struct Costs {
    wall_ms: Vec<f64>,
    cpu_ms: Vec<f64>,
    peak_mebibytes: Vec<f64>,
}

pub(crate) fn run(sizes: Sizes) -> Result<()> {
    let kinds = [Kind::Ours, Kind::Original, Kind::VictoriaMetrics];
    let mut contenders = Contender::start_all(&kinds)?;
    let load = Load::new(sizes.series_count, sizes.hours + 0.5)?;
    let mut senders = Sender::connect_all(&contenders)?;
    let steps_count = Load::steps_in(sizes.hours);
    load.send(&mut senders, 0..steps_count, STEPS_PER_REQUEST)?;
    drop(senders);
    restart_all(&mut contenders, "TERM", &load, steps_count)?;
    let mut senders = Sender::connect_all(&contenders)?;
    let end = steps_count + STEPS_BETWEEN_COUNT;
    load.send(&mut senders, steps_count..end, STEPS_PER_REQUEST)?;
    drop(senders);
    restart_all(&mut contenders, "KILL", &load, end)
}

fn restart_all(
    contenders: &mut [Contender],
    signal: &str,
    load: &Load,
    steps_count: usize,
) -> Result<()> {
    let mut costs = vec![Costs::default(); contenders.len()];
    for _ in 0..ROUND_COUNT {
        for (contender, costs) in contenders.iter_mut().zip(&mut costs) {
            restart(contender, signal, load, steps_count, costs)?;
        }
    }
    let title = format!("SIG{signal} to the first right answer, {steps_count} samples a series");
    table(contenders, &title, "ms", &costs, |costs| &costs.wall_ms);
    table(contenders, "processor time of it", "ms", &costs, |costs| &costs.cpu_ms);
    table(contenders, "most memory until then", "MiB", &costs, |costs| &costs.peak_mebibytes);
    let medians = |values: fn(&Costs) -> &Vec<f64>| -> Vec<f64> {
        costs.iter().map(|costs| report::median(values(costs))).collect()
    };
    let [by_clock, by_processor] = if signal == "TERM" { AFTER_TERM } else { AFTER_KILL };
    by_clock.judge(contenders, &medians(|costs| &costs.wall_ms));
    by_processor.judge(contenders, &medians(|costs| &costs.cpu_ms));
    Ok(())
}

fn restart(
    contender: &mut Contender,
    signal: &str,
    load: &Load,
    steps_count: usize,
    costs: &mut Costs,
) -> Result<()> {
    if contender.kind == Kind::VictoriaMetrics {
        // It shows the samples of the last seconds after a while only, and does not keep them.
        std::thread::sleep(Duration::from_secs(6));
    }
    contender.end(signal)?;
    let begin = now();
    contender.restart()?;
    let found = count_series(contender, load.end_seconds(steps_count - 1))?;
    costs.wall_ms.push(begin.elapsed().as_secs_f64() * 1e3);
    costs.cpu_ms.push(contender.cpu_seconds()? * 1e3);
    costs.peak_mebibytes.push(contender.memory_bytes("VmHWM")? / 1_048_576.0);
    ensure!(
        found == load.series_count || contender.kind == Kind::VictoriaMetrics,
        "{} has {found} of {} series after SIG{signal}",
        contender.kind.name(),
        load.series_count
    );
    Ok(())
}

fn table(
    contenders: &[Contender],
    title: &str,
    unit: &str,
    costs: &[Costs],
    values: fn(&Costs) -> &Vec<f64>,
) {
    report::line(title);
    let original = contenders.iter().position(|contender| contender.kind == Kind::Original);
    let original = original.map(|index| report::median(values(&costs[index])));
    for (contender, costs) in contenders.iter().zip(costs) {
        report::row(contender.kind.name(), unit, values(costs), original);
    }
}
