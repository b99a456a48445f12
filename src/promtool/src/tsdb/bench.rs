//! `tsdb bench write`: how fast scrapes of many series are stored. It writes no profiles.
//! Compat: Prometheus `cmd/promtool/tsdb.go` (benchmarkWrite).

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{BufRead, BufReader, ErrorKind},
    ops::ControlFlow,
    sync::Arc,
    thread,
};

use anyhow::{Context, Result, anyhow, bail};
use prom_model::{Labels, format_go_duration};
use prom_storage::{Appendable, FloatSample, SeriesHandle};
use prom_telemetry::{Registry, clock};
use prom_tsdb::{Db, Options};

use super::args::BenchWrite;
use crate::output::out;

/// Time between two scrapes.
const SCRAPE_INTERVAL_MS: i64 = 30_000;
/// Scrapes of a shard before the others catch up, and series of a shard.
const ROUND_SCRAPES_COUNT: usize = 100;
const SHARD_SERIES_COUNT: usize = 1_000;
const FIRST_VALUE: f64 = 123_456_789.0;
const VALUE_STEP: f64 = 1_000.0;

pub(super) fn run(options: &BenchWrite) -> Result<()> {
    match fs::remove_dir_all(&options.out) {
        Err(err) if err.kind() != ErrorKind::NotFound => {
            return Err(err).with_context(|| format!("remove {}", options.out.display()));
        }
        _ => fs::create_dir_all(&options.out)
            .with_context(|| format!("mkdir {}", options.out.display()))?,
    }
    let go_on = |_| ControlFlow::Continue(());
    let storage = options.out.join("storage");
    let db = Db::open(&storage, Options::default(), &Registry::default(), &go_on)?;
    let (series, _) = measure("readData", || read_series(options))?;
    let (samples_count, seconds) = measure("ingestScrapes", || {
        let count = ingest(&db, &series, options.scrapes_count)?;
        out("ingestion completed");
        Ok(count)
    })?;
    out(&format!(" > total samples: {samples_count}"));
    out(&format!(" > samples/sec: {}", samples_count as f64 / seconds));
    measure("stopStorage", || Ok(db.close()?))?;
    Ok(())
}

fn measure<T>(stage: &str, step: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    out(&format!(">> start stage={stage}"));
    let begin = clock::monotonic();
    let result = step()?;
    let taken = begin.elapsed();
    let text = format_go_duration(taken.as_nanos().try_into().unwrap_or(i64::MAX));
    out(&format!(">> completed stage={stage} duration={text}"));
    Ok((result, taken.as_secs_f64()))
}

/// Lines such as `{"__name__":"a","job":"b"}`, each series once.
fn read_series(options: &BenchWrite) -> Result<Vec<Labels>> {
    let path = &options.samples_file;
    let file = File::open(path).map_err(|err| match err.kind() {
        ErrorKind::NotFound => anyhow!("open {}: no such file or directory", path.display()),
        _ => anyhow!("open {}: {err}", path.display()),
    })?;
    let mut seen = HashSet::new();
    let mut series = Vec::new();
    for (index, line) in BufReader::new(file).lines().enumerate() {
        if series.len() >= options.metrics_count {
            break;
        }
        let labels =
            labels_of(&line?).with_context(|| format!("{}: line {}", path.display(), index + 1))?;
        if seen.insert(labels.clone()) {
            series.push(labels);
        }
    }
    Ok(series)
}

/// Compat: names and values are what stands between colons and commas; braces and quotes are noise.
fn labels_of(line: &str) -> Result<Labels> {
    let text: String = line.chars().filter(|c| !matches!(c, '"' | '{' | '}')).collect();
    let mut pairs = Vec::new();
    for pair in text.split(',') {
        let mut parts = pair.split(':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else {
            bail!("no label: {pair:?}");
        };
        pairs.push((name.to_owned(), value.to_owned()));
    }
    Ok(Labels::from_pairs(pairs))
}

/// Scrapes all series so often, by as many threads as there are cores. Gives the number of samples.
fn ingest(db: &Arc<Db>, series: &[Labels], scrapes_count: usize) -> Result<usize> {
    let threads_count = thread::available_parallelism().map_or(1, usize::from);
    let mut shards: Vec<Shard<'_>> = series.chunks(SHARD_SERIES_COUNT).map(Shard::new).collect();
    let mut samples_count = 0;
    for round in 0..scrapes_count.div_ceil(ROUND_SCRAPES_COUNT) {
        let base_ms = (round * ROUND_SCRAPES_COUNT) as i64 * SCRAPE_INTERVAL_MS;
        let per_thread = shards.len().div_ceil(threads_count).max(1);
        let results: Vec<Result<usize>> = thread::scope(|scope| {
            let work = |shards: &'_ mut [Shard<'_>]| -> Result<usize> {
                shards.iter_mut().map(|shard| shard.ingest(db, base_ms)).sum()
            };
            let running: Vec<_> = shards
                .chunks_mut(per_thread)
                .map(|shards| scope.spawn(move || work(shards)))
                .collect();
            let ended = running.into_iter().map(|thread| {
                thread.join().unwrap_or_else(|_| Err(anyhow!("a thread has panicked")))
            });
            ended.collect()
        });
        for result in results {
            samples_count += result?;
        }
    }
    Ok(samples_count)
}

/// Series that are scraped together.
struct Shard<'a> {
    series: &'a [Labels],
    handles: Vec<SeriesHandle>,
    value: f64,
}

impl<'a> Shard<'a> {
    fn new(series: &'a [Labels]) -> Self {
        Self { series, handles: Vec::new(), value: FIRST_VALUE }
    }

    /// One round of scrapes.
    fn ingest(&mut self, db: &Db, base_ms: i64) -> Result<usize> {
        // Compat: values begin anew in every round.
        self.value = FIRST_VALUE;
        let mut samples = Vec::with_capacity(self.series.len());
        let mut rejected = Vec::new();
        for scrape in 1..=ROUND_SCRAPES_COUNT {
            let timestamp_ms = base_ms + scrape as i64 * SCRAPE_INTERVAL_MS;
            self.value += VALUE_STEP;
            let mut appender = db.appender();
            if self.handles.is_empty() {
                let handles = self.series.iter().map(|labels| appender.series(labels));
                self.handles = handles.collect::<Result<_, _>>()?;
            }
            samples.clear();
            let value = self.value;
            let sample =
                |series: &SeriesHandle| FloatSample { series: *series, timestamp_ms, value };
            samples.extend(self.handles.iter().map(sample));
            appender.append(&samples, &mut rejected);
            if let Some(one) = rejected.first() {
                bail!("{}: {}", self.series[one.index], one.reason);
            }
            appender.commit()?;
        }
        Ok(ROUND_SCRAPES_COUNT * self.series.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_labels_are_read() {
        let labels = labels_of(r#"{"__name__":"a","job":"b"}"#).unwrap();
        assert_eq!(labels, Labels::from_pairs([("__name__", "a"), ("job", "b")]));
        assert!(labels_of("{\"a\"}").is_err());
    }
}
