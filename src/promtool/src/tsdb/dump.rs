//! `tsdb dump` and `tsdb dump-openmetrics`: samples as text. Series come sorted by their labels.

use std::{
    collections::BTreeMap,
    io::{BufWriter, Write},
};

use anyhow::Result;
use prom_model::{Labels, METRIC_NAME, format_float_g, quote_go};
use prom_storage::{Columns, Queryable, SelectHints, Selection, TimeRange};

use super::{
    args::{Dump, DumpFormat},
    open, selector,
};

pub(super) fn run(options: &Dump) -> Result<()> {
    let db = open(&options.path)?;
    let range = TimeRange { mint_ms: options.min_time_ms, maxt_ms: options.max_time_ms };
    let querier = db.querier(range)?;
    let hints = SelectHints { range, is_sorted: true, series_count_max: 0 };
    let mut selections = Vec::new();
    for text in &options.selectors {
        selections.push(querier.select(&selector(text)?, &hints)?);
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    let written =
        print_all(&mut out, &selections, options.format, range).and_then(|()| Ok(out.flush()?));
    match written {
        // A reader that went away has seen what it wanted.
        Err(err) if is_broken_pipe(&err) => Ok(()),
        written => written,
    }
}

fn print_all(
    out: &mut dyn Write,
    selections: &[Box<dyn Selection>],
    format: DumpFormat,
    range: TimeRange,
) -> Result<()> {
    let mut columns = Columns::default();
    let mut print = |selection: &dyn Selection, index: usize, labels: &Labels| -> Result<()> {
        columns.clear();
        selection.read(index, range, &mut columns)?;
        if columns.is_empty() {
            return Ok(());
        }
        match format {
            DumpFormat::Prom => print_samples(out, labels, &columns)?,
            DumpFormat::SeriesJson => print_json(out, labels)?,
            DumpFormat::OpenMetrics => print_openmetrics(out, labels, &columns)?,
        }
        Ok(())
    };
    if let [selection] = selections {
        for index in 0..selection.len() {
            print(&**selection, index, &selection.labels(index))?;
        }
    } else {
        let mut found = BTreeMap::new();
        for selection in selections {
            for index in 0..selection.len() {
                found.entry(selection.labels(index)).or_insert((&**selection, index));
            }
        }
        for (labels, (selection, index)) in found {
            print(selection, index, &labels)?;
        }
    }
    if format == DumpFormat::OpenMetrics {
        writeln!(out, "# EOF")?;
    }
    Ok(())
}

/// Both lanes in the order of time.
fn print_samples(out: &mut dyn Write, labels: &Labels, columns: &Columns) -> Result<()> {
    let labels = labels.to_string();
    let mut floats = columns.timestamps_ms.iter().zip(&columns.values).peekable();
    let mut histograms = columns.histograms.iter().peekable();
    loop {
        let histogram_ms = histograms.peek().map_or(i64::MAX, |point| point.timestamp_ms);
        if let Some((timestamp_ms, value)) = floats.next_if(|(t, _)| **t <= histogram_ms) {
            writeln!(out, "{labels} {} {timestamp_ms}", format_float_g(*value))?;
            continue;
        }
        let Some(point) = histograms.next() else { return Ok(()) };
        writeln!(out, "{labels} {} {}", point.histogram.to_float(), point.timestamp_ms)?;
    }
}

/// `{"a":"b"}`, as Go's encoder writes maps of labels.
fn print_json(out: &mut dyn Write, labels: &Labels) -> Result<()> {
    let pairs: BTreeMap<&str, &str> = labels.iter().collect();
    writeln!(out, "{}", serde_json::to_string(&pairs)?)?;
    Ok(())
}

/// Floats up to the first histogram. Compat: `formatSeriesSetOpenMetrics` of `cmd/promtool/tsdb.go`.
fn print_openmetrics(out: &mut dyn Write, labels: &Labels, columns: &Columns) -> Result<()> {
    let name = labels.metric_name();
    let pairs = labels.iter().filter(|(name, _)| *name != METRIC_NAME);
    let pairs: Vec<_> = pairs.map(|(name, value)| format!("{name}={}", quote_go(value))).collect();
    let labels = pairs.join(",");
    let end_ms = columns.histograms.first().map_or(i64::MAX, |point| point.timestamp_ms);
    for (timestamp_ms, value) in columns.timestamps_ms.iter().zip(&columns.values) {
        if *timestamp_ms >= end_ms {
            break;
        }
        let (value, seconds) = (format_float_g(*value), *timestamp_ms as f64 / 1000.0);
        writeln!(out, "{name}{{{labels}}} {value} {seconds:.3}")?;
    }
    Ok(())
}

fn is_broken_pipe(err: &anyhow::Error) -> bool {
    let io = err.downcast_ref::<std::io::Error>();
    io.is_some_and(|err| err.kind() == std::io::ErrorKind::BrokenPipe)
}
