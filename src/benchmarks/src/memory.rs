//! T2: anonymous memory at its highest, over a day of samples whose time runs faster than ours, with the
//! compactions that come due on the way and heavy queries after it; and over the replay after a SIGKILL,
//! beside what is left afterwards.
//!
//! Judged is anonymous memory: it is what a server has allocated, and only its end gives it back. Pages of mapped
//! files, of blocks and head chunks, are counted as resident, too, but the kernel drops them without a write when
//! others want the memory; they are shown beside it.

use std::{thread, time::Duration};

use anyhow::{Context, Result};

use crate::{
    client::Client,
    contender::{Contender, Kind},
    gate::Gate,
    load::{Load, Sender},
    report,
    sizes::Sizes,
    watch::Watch,
    write::table,
};

const PEAK: Gate = Gate::of_both("T2 most memory over the day and the queries", 0.25, 0.8);
/// What a replay may take at most, as a part of what the server had most of the day.
const REPLAY_RATIO_MAX: f64 = 1.1;
/// Queries over all series or many, an hour of them or four.
const HEAVY_QUERIES: [(&str, i64, i64); 10] = [
    ("sum by (instance) (rate({__name__=~'bench_metric_.*'}[5m]))", 1, 15),
    ("sum by (namespace) (rate({__name__=~'bench_metric_.*'}[5m]))", 4, 60),
    ("sum by (pod) (rate({__name__=~'bench_metric_1.*'}[5m]))", 1, 60),
    ("topk(10, rate({__name__=~'bench_metric_.*'}[5m]))", 1, 60),
    ("max by (namespace) (max_over_time({__name__=~'bench_metric_.*'}[1h]))", 4, 300),
    ("quantile by (namespace) (0.9, {__name__=~'bench_metric_.*'})", 1, 60),
    ("avg by (instance) (avg_over_time({__name__=~'bench_metric_.*'}[30m]))", 4, 300),
    ("max(quantile_over_time(0.9, bench_metric_3_total[1h]))", 4, 60),
    ("count({__name__=~'bench_metric_.*'})", 24, 300),
    ("sum(max_over_time(rate({__name__=~'bench_metric_.*'}[5m])[1h:1m]))", 1, 300),
];
/// How much time the samples cover, at least.
const HOURS_MIN: f64 = 24.0;
/// Samples of each series in a request.
const STEPS_PER_REQUEST: usize = 4;
const HOUR_SECONDS: i64 = 3_600;
/// How long a server has to come to rest.
const REST: Duration = Duration::from_secs(15);

pub(crate) fn run(sizes: Sizes) -> Result<()> {
    let hours = sizes.hours.max(HOURS_MIN);
    let kinds = [Kind::Ours, Kind::OursShortLog, Kind::Original, Kind::VictoriaMetrics];
    let mut contenders = Contender::start_all(&kinds)?;
    let mut senders = Sender::connect_all(&contenders)?;
    let load = Load::new(sizes.series_count, hours)?;
    let steps_count = Load::steps_in(hours);
    let (of_day, steady) = watched(&contenders, || {
        load.send(&mut senders, 0..steps_count, STEPS_PER_REQUEST)?;
        drop(senders);
        thread::sleep(REST);
        Ok(())
    })?;
    let title =
        format!("{} series, {hours} hours of samples: most anonymous memory", load.series_count);
    table(&contenders, &title, "MiB", &of_day, mebibytes);
    table(&contenders, "most of the day (median)", "MiB", &steady, mebibytes);
    tell_now(&contenders, "at rest after it")?;
    let end_s = load.end_seconds(steps_count - 1);
    let (of_queries, _) = watched(&contenders, || {
        contenders.iter().try_for_each(|contender| ask_all(contender, end_s))
    })?;
    let title = format!("{} heavy queries: most anonymous memory", HEAVY_QUERIES.len());
    table(&contenders, &title, "MiB", &of_queries, mebibytes);
    let all: Vec<f64> = of_day.iter().zip(&of_queries).map(|(a, b)| a.max(*b)).collect();
    PEAK.judge(&contenders, &all);
    replay_all(&mut contenders, &steady)
}

/// Kills all servers; tells what their replay took at most, and what they have after it.
fn replay_all(contenders: &mut [Contender], steady: &[f64]) -> Result<()> {
    let (mut of_replay, mut with_files, mut at_rest) = (Vec::new(), Vec::new(), Vec::new());
    for contender in &mut *contenders {
        contender.end("KILL")?;
        contender.spawn_again()?;
        let watch = Watch::begin(contender.pid());
        contender.wait_until_ready()?;
        of_replay.push(watch.end().peak_bytes);
        with_files.push(contender.memory_bytes("VmHWM")?);
        thread::sleep(REST);
        at_rest.push(contender.memory_bytes("RssAnon")?);
    }
    table(contenders, "replay after SIGKILL: most anonymous memory", "MiB", &of_replay, mebibytes);
    table(contenders, "the same with pages of mapped files", "MiB", &with_files, mebibytes);
    table(contenders, "at rest after it", "MiB", &at_rest, mebibytes);
    for ((contender, peak), steady) in contenders.iter().zip(of_replay).zip(steady) {
        let ratio = peak / steady;
        let name = contender.kind.name();
        let verdict = if ratio <= REPLAY_RATIO_MAX { "holds" } else { "DOES NOT HOLD" };
        report::line(&format!(
            "replay: {name} takes {ratio:.3} of what it had most of the day, at most {REPLAY_RATIO_MAX}: {verdict}"
        ));
    }
    Ok(())
}

/// The most anonymous memory of each server meanwhile, and what it had most of the time.
fn watched(
    contenders: &[Contender],
    work: impl FnOnce() -> Result<()>,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let watches: Vec<Watch> = contenders.iter().map(|c| Watch::begin(c.pid())).collect();
    work()?;
    let seen = watches.into_iter().map(Watch::end);
    Ok(seen.map(|seen| (seen.peak_bytes, seen.median_bytes)).unzip())
}

/// Asks the heavy queries, one after the other.
fn ask_all(contender: &Contender, end_s: i64) -> Result<()> {
    let mut client = Client::connect(contender)?;
    for (expr, hours, step_s) in HEAVY_QUERIES {
        let query: String = expr.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let start_s = end_s - hours * HOUR_SECONDS;
        client
            .get(&format!(
                "/api/v1/query_range?query={query}&start={start_s}&end={end_s}&step={step_s}&nocache=1"
            ))
            .with_context(|| format!("{}: {expr}", contender.kind.name()))?;
    }
    Ok(())
}

fn tell_now(contenders: &[Contender], title: &str) -> Result<()> {
    let now = contenders.iter().map(|c| c.memory_bytes("RssAnon")).collect::<Result<Vec<_>>>()?;
    table(contenders, title, "MiB", &now, mebibytes);
    Ok(())
}

fn mebibytes(bytes: f64) -> f64 {
    bytes / 1_048_576.0
}
