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
    contender::{Contender, Kind, now},
    load::{Load, Sender},
    report,
    sizes::Sizes,
};

/// Samples of a series in one request.
const STEPS_PER_REQUEST: usize = 4;
const HOUR_SECONDS: i64 = 3_600;
/// Warm runs of each query.
const ROUND_COUNT: usize = 5;
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
    let before = memory(&contenders)?;
    report::line("wall ms cold, wall ms warm, processor ms warm; ratio of the warm medians");
    for query in &QUERIES {
        measure(&contenders, query, end_s)?;
    }
    report::line("growth of anonymous memory over the queries");
    let growth = memory(&contenders)?.into_iter().zip(before).map(|(after, before)| after - before);
    for (contender, bytes) in contenders.iter().zip(growth) {
        report::row(contender.kind.name(), "MiB", &[bytes / f64::from(1 << 20)], None);
    }
    for query in &QUERIES {
        compare_answers(&contenders, query, end_s)?;
    }
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

/// One query, cold and warm, each server in turn.
fn measure(contenders: &[Contender], query: &Query, end_s: i64) -> Result<()> {
    let path = path(query, end_s);
    let mut rows = Vec::new();
    for contender in contenders {
        let cold_ms = timed(contender, &path)?;
        let begun = contender.cpu_seconds()?;
        let mut warm =
            (0..ROUND_COUNT).map(|_| timed(contender, &path)).collect::<Result<Vec<_>>>()?;
        let cpu_ms = (contender.cpu_seconds()? - begun) * 1e3 / ROUND_COUNT as f64;
        warm.sort_by(f64::total_cmp);
        rows.push((contender.kind, cold_ms, report::median(&warm), cpu_ms));
    }
    let original = rows.iter().find(|row| row.0 == Kind::Original).map(|row| row.2);
    let mut line = format!("{:<34}", query.0);
    for (kind, cold_ms, warm_ms, cpu_ms) in rows {
        let ratio = original.map_or(f64::NAN, |original| warm_ms / original);
        let name = kind.name();
        line += &format!(" | {name} {cold_ms:.1} {warm_ms:.1} {cpu_ms:.0} ({ratio:.3})");
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
                        for at in 0..paths.len() {
                            let path = &paths[(at + client * 3) % paths.len()];
                            timed(contender, path)?;
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

fn timed(contender: &Contender, path: &str) -> Result<f64> {
    let begin = now();
    let answer = contender.get(path)?;
    let elapsed = begin.elapsed().as_secs_f64() * 1e3;
    anyhow::ensure!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{}: {path}: {:.300}",
        contender.kind.name(),
        String::from_utf8_lossy(&answer)
    );
    Ok(elapsed)
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

/// Says where our answer differs from the original's.
fn compare_answers(contenders: &[Contender], query: &Query, end_s: i64) -> Result<()> {
    let find = |kind| contenders.iter().find(|contender| contender.kind == kind);
    let (Some(ours), Some(original)) = (find(Kind::Ours), find(Kind::Original)) else {
        return Ok(());
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
        report::line(&format!(
            "{}: {inexact} of {} values inexact, {wrong} wrong",
            query.0,
            ours.len()
        ));
    }
    Ok(())
}

/// Values by series and time.
fn values(contender: &Contender, path: &str) -> Result<BTreeMap<(String, String), f64>> {
    let answer = contender.get(path)?;
    let at = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("no body")?;
    let body = dechunked(&answer[..at], &answer[at + 4..])?;
    let json: Value = serde_json::from_slice(&body)?;
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

/// A body without the frames of chunks.
fn dechunked(head: &[u8], body: &[u8]) -> Result<Vec<u8>> {
    if !String::from_utf8_lossy(head).to_lowercase().contains("transfer-encoding: chunked") {
        return Ok(body.to_vec());
    }
    let (mut out, mut rest) = (Vec::new(), body);
    loop {
        let end = rest.windows(2).position(|bytes| bytes == b"\r\n").context("a torn chunk")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end])?.trim(), 16)?;
        if size == 0 {
            return Ok(out);
        }
        rest = &rest[end + 2..];
        out.extend_from_slice(rest.get(..size).context("a torn chunk")?);
        rest = rest.get(size + 2..).context("a torn chunk")?;
    }
}

fn memory(contenders: &[Contender]) -> Result<Vec<f64>> {
    contenders.iter().map(|contender| contender.memory_bytes("RssAnon")).collect()
}
