//! T10 to T14: the same queries over the same samples, sent by remote write: time, processor time and memory
//! of each server, while the answers are compared with the original's.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{
    client::Client,
    contender::{Contender, Kind, now},
    load::{Load, Sender},
    report,
    sizes::Sizes,
};

/// Samples of a series in one request.
const STEPS_PER_REQUEST: usize = 4;
const HOUR_SECONDS: i64 = 3_600;
/// Warm runs of each query: more where they are short, as short times scatter.
const ROUND_COUNT_MIN: usize = 5;
const ROUND_COUNT_MAX: usize = 101;
const ROUNDS_TIME_MS: f64 = 400.0;
const CLIENT_COUNT: usize = 8;
/// Values may differ by so much of their size.
const TOLERANCE: f64 = 1e-12;

/// A query, its name in the table, and its step (0: an instant query).
type Query = (&'static str, &'static str, i64);

const QUERIES: [Query; 22] = [
    ("one series, instant", "bench_metric_1_total{pod=\"pod-0-000001\"}", 0),
    ("one series, 1h/15s", "bench_metric_1_total{pod=\"pod-0-000001\"}", 15),
    ("rate of one, 1h/15s", "rate(bench_metric_1_total{pod=\"pod-0-000001\"}[5m])", 15),
    ("one host, instant", "{instance=\"host-0.example.org:9100\"}", 0),
    (
        "rate of one host's metric, 1h/60s",
        "rate(bench_metric_1_total{instance=\"host-0.example.org:9100\"}[5m])",
        60,
    ),
    (
        "sum over one host, 1h/15s",
        "sum by (namespace) ({instance=\"host-0.example.org:9100\"})",
        15,
    ),
    ("count by regex, instant", "count({pod=~\"pod-.*1.*\"})", 0),
    ("topk of rates, instant", "topk(10, rate(bench_metric_1_total[5m]))", 0),
    (
        "sum by rate of all, instant",
        "sum by (instance) (rate({__name__=~\"bench_metric_.*\"}[5m]))",
        0,
    ),
    (
        "sum by rate of all, 1h/15s",
        "sum by (instance) (rate({__name__=~\"bench_metric_.*\"}[5m]))",
        15,
    ),
    (
        "sum by rate of all, 1h/60s",
        "sum by (namespace) (rate({__name__=~\"bench_metric_.*\"}[5m]))",
        60,
    ),
    (
        "sum by rate of a fifth, 1h/15s",
        "sum by (instance) (rate({__name__=~\"bench_metric_.[16]_total\"}[5m]))",
        15,
    ),
    (
        "ratio of rates, instant",
        "sum(rate(bench_metric_1_total[5m]) / ignoring (pod, instance) group_left () sum by (cluster, container, job, namespace, service) (rate(bench_metric_2_total[5m])))",
        0,
    ),
    (
        "ratio of sums, 1h/60s",
        "sum by (instance) (rate(bench_metric_1_total[5m])) / sum by (instance) (rate(bench_metric_2_total[5m]))",
        60,
    ),
    (
        "group_left, 1h/60s",
        "sum(bench_metric_1_total * on (instance) group_left () count by (instance) (bench_metric_2_total))",
        60,
    ),
    ("max over time, 1h/60s", "max by (namespace) (max_over_time(bench_metric_3_total[10m]))", 60),
    ("avg over time, 1h/60s", "avg by (namespace) (avg_over_time(bench_metric_3_total[10m]))", 60),
    ("quantile over time, 1h/60s", "max(quantile_over_time(0.9, bench_metric_3_total[10m]))", 60),
    ("quantile, 1h/60s", "quantile by (namespace) (0.9, bench_metric_3_total)", 60),
    ("subquery, instant", "max_over_time(sum(rate(bench_metric_1_total[1m]))[30m:1m])", 0),
    ("sum of all, 1h/60s", "sum by (namespace) ({__name__=~\"bench_metric_.*\"})", 60),
    ("count of all, instant", "count({__name__=~\"bench_metric_.*\"})", 0),
];

pub(crate) fn run(sizes: Sizes) -> Result<()> {
    let contenders = Contender::start_all(&[Kind::Ours, Kind::Original, Kind::VictoriaMetrics])?;
    let load = Load::new(sizes.series_count, sizes.hours)?;
    let step_count = Load::steps_in(sizes.hours);
    let mut senders = Sender::connect_all(&contenders)?;
    load.send(&mut senders, 0..step_count, STEPS_PER_REQUEST)?;
    let end_s = load.end_seconds(step_count - 1);
    report::line(&format!("{} series, {step_count} samples each", sizes.series_count));
    // Servers that buffer what they take show it by then.
    std::thread::sleep(Duration::from_secs(5));
    let before = memory(&contenders, "RssAnon")?;
    let resident = memory(&contenders, "VmRSS")?;
    contenders.iter().try_for_each(Contender::forget_peak)?;
    report::line(
        "wall ms cold, wall ms warm median and minimum, processor ms warm; ratios of the warm medians, of the minima",
    );
    for query in &QUERIES {
        measure(&contenders, query, end_s)?;
    }
    report_growth(&contenders, "growth of anonymous memory over the queries", "RssAnon", &before)?;
    report_growth(&contenders, "peak of resident memory during them", "VmHWM", &resident)?;
    let mut counts = [0; 3];
    for query in &QUERIES {
        let found = compare_answers(&contenders, query, end_s)?;
        counts.iter_mut().zip(found).for_each(|(count, found)| *count += found);
    }
    let [values, inexact, wrong] = counts;
    report::line(&format!(
        "{values} values compared: {inexact} differ within {TOLERANCE:e}, {wrong} are wrong"
    ));
    crowd(&contenders, end_s, "8 clients")?;
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for step in step_count.. {
                if is_over.load(Relaxed) {
                    return;
                }
                if let Err(err) = load.send(&mut senders, step..step + 1, 1) {
                    report::line(&format!("ingestion ended: {err:#}"));
                    return;
                }
            }
        });
        let result = crowd(&contenders, end_s, "8 clients with ingestion");
        is_over.store(true, Relaxed);
        result
    })
}

/// What one query took on one server.
struct Times {
    kind: Kind,
    cold_ms: f64,
    warm_ms: Vec<f64>,
    cpu_ms: f64,
}

/// One query, cold and warm. Servers take turns, so that what else the machine does meets all of them.
fn measure(contenders: &[Contender], query: &Query, end_s: i64) -> Result<()> {
    let path = path(query, end_s);
    let mut clients = contenders.iter().map(Client::connect).collect::<Result<Vec<_>>>()?;
    let mut rows = Vec::new();
    for (contender, client) in contenders.iter().zip(&mut clients) {
        let kind = contender.kind;
        let cold_ms = timed(client, &path).with_context(|| kind.name())?;
        let cpu_ms = contender.cpu_seconds()? * 1e3;
        rows.push(Times { kind, cold_ms, warm_ms: Vec::new(), cpu_ms });
    }
    let slowest_ms = rows.iter().map(|row| row.cold_ms).fold(0.0, f64::max);
    let round_count = (ROUNDS_TIME_MS / slowest_ms) as usize;
    let round_count = round_count.clamp(ROUND_COUNT_MIN, ROUND_COUNT_MAX);
    for _ in 0..round_count {
        for (row, client) in rows.iter_mut().zip(&mut clients) {
            row.warm_ms.push(timed(client, &path).with_context(|| row.kind.name())?);
        }
    }
    for (row, contender) in rows.iter_mut().zip(contenders) {
        row.cpu_ms = (contender.cpu_seconds()? * 1e3 - row.cpu_ms) / round_count as f64;
        row.warm_ms.sort_by(f64::total_cmp);
    }
    let original = rows.iter().find(|row| row.kind == Kind::Original);
    let original = original.map(|row| (report::median(&row.warm_ms), row.warm_ms[0]));
    let mut line = format!("{:<34}", query.0);
    for row in &rows {
        let (median_ms, min_ms) = (report::median(&row.warm_ms), row.warm_ms[0]);
        let (of_median, of_min) = original
            .map_or((f64::NAN, f64::NAN), |(median, min)| (median_ms / median, min_ms / min));
        let (name, cold_ms, cpu_ms) = (row.kind.name(), row.cold_ms, row.cpu_ms);
        line += &format!(
            " | {name} {cold_ms:.1} {median_ms:.2} {min_ms:.2} {cpu_ms:.1} ({of_median:.3} {of_min:.3})"
        );
    }
    report::line(&line);
    Ok(())
}

/// All queries from several clients at once: how long one round takes.
fn crowd(contenders: &[Contender], end_s: i64, name: &str) -> Result<()> {
    let paths: Vec<String> = QUERIES.iter().map(|query| path(query, end_s)).collect();
    let mut times = Vec::new();
    for contender in contenders {
        let begin = now();
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENT_COUNT)
                .map(|client| {
                    let paths = &paths;
                    scope.spawn(move || -> Result<()> {
                        let mut asker = Client::connect(contender)?;
                        for at in 0..paths.len() {
                            let path = &paths[(at + client * 3) % paths.len()];
                            timed(&mut asker, path).with_context(|| contender.kind.name())?;
                        }
                        Ok(())
                    })
                })
                .collect();
            clients.into_iter().try_for_each(|client| {
                client.join().map_err(|_| anyhow::anyhow!("a client panicked"))?
            })
        })?;
        times.push(begin.elapsed().as_secs_f64());
    }
    report::line(&format!("all queries, {name}"));
    let original = contenders.iter().position(|contender| contender.kind == Kind::Original);
    for (contender, time) in contenders.iter().zip(&times) {
        report::row(contender.kind.name(), "s", &[*time], original.map(|at| times[at]));
    }
    Ok(())
}

fn timed(client: &mut Client, path: &str) -> Result<f64> {
    let begin = now();
    client.get(path)?;
    Ok(begin.elapsed().as_secs_f64() * 1e3)
}

fn path((_, expr, step_s): &Query, end_s: i64) -> String {
    let query: String = expr.bytes().map(|byte| format!("%{byte:02X}")).collect();
    match step_s {
        0 => format!("/api/v1/query?query={query}&time={end_s}&nocache=1"),
        step_s => format!(
            "/api/v1/query_range?query={query}&start={}&end={end_s}&step={step_s}&nocache=1",
            end_s - HOUR_SECONDS
        ),
    }
}

/// Says where our answer differs from the original's: how many values there are, how many of them are not
/// equal bit by bit, and how many not even nearly.
fn compare_answers(contenders: &[Contender], query: &Query, end_s: i64) -> Result<[usize; 3]> {
    let find = |kind| contenders.iter().find(|contender| contender.kind == kind);
    let (Some(ours), Some(original)) = (find(Kind::Ours), find(Kind::Original)) else {
        return Ok([0; 3]);
    };
    let path = path(query, end_s);
    let (ours, theirs) = (values(ours, &path)?, values(original, &path)?);
    let (mut inexact, mut wrong) = (0, ours.len().abs_diff(theirs.len()));
    for (key, value) in &ours {
        match theirs.get(key) {
            Some(other) if value == other || value.is_nan() && other.is_nan() => {}
            Some(other) if (value - other).abs() <= TOLERANCE * value.abs().max(other.abs()) => {
                inexact += 1;
            }
            _ => wrong += 1,
        }
    }
    if inexact + wrong > 0 {
        report::line(&format!("{}: {inexact} inexact, {wrong} wrong", query.0));
    }
    Ok([ours.len(), inexact, wrong])
}

/// Values by series and time.
fn values(contender: &Contender, path: &str) -> Result<BTreeMap<(String, String), f64>> {
    let json: Value = serde_json::from_slice(&Client::connect(contender)?.get(path)?)?;
    let mut all = BTreeMap::new();
    for series in json["data"]["result"].as_array().context("no result")? {
        let labels = series["metric"].to_string();
        let single = [series["value"].clone()];
        let points = series["values"].as_array().map_or(single.as_slice(), Vec::as_slice);
        for point in points {
            let value = point[1].as_str().unwrap_or_default();
            let value = value.trim_start_matches('+').parse().unwrap_or(f64::NAN);
            all.insert((labels.clone(), point[0].to_string()), value);
        }
    }
    Ok(all)
}

/// How much more a line of `/proc/<pid>/status` says now.
fn report_growth(contenders: &[Contender], title: &str, field: &str, before: &[f64]) -> Result<()> {
    report::line(title);
    let growth = memory(contenders, field)?.into_iter().zip(before);
    let growth: Vec<f64> = growth.map(|(after, before)| after - before).collect();
    let original = contenders.iter().position(|contender| contender.kind == Kind::Original);
    for (contender, bytes) in contenders.iter().zip(&growth) {
        let original = original.map(|at| growth[at] / f64::from(1 << 20));
        report::row(contender.kind.name(), "MiB", &[bytes / f64::from(1 << 20)], original);
    }
    Ok(())
}

fn memory(contenders: &[Contender], field: &str) -> Result<Vec<f64>> {
    contenders.iter().map(|contender| contender.memory_bytes(field)).collect()
}
