//! `tsdb analyze`: churn and cardinality of one block, and what its chunks hold.
//! Compat: `analyzeBlock` and `analyzeCompaction` of `cmd/promtool/tsdb.go`; where numbers are equal, keys
//! are in order here and at random there.

use anyhow::{Context, Result, bail};
use prom_tsdb::{BlockAnalysis, BlockInfo, ChunkFigures};

use super::{args::Analyze, duration, open, selector};
use crate::output::out;

pub(super) fn run(options: &Analyze) -> Result<()> {
    let matchers = match &*options.selector {
        "" => Vec::new(),
        text => selector(text)?,
    };
    let db = open(&options.path)?;
    let blocks = db.blocks();
    let block = if options.block.is_empty() {
        blocks.iter().max_by_key(|block| &block.id).context("no blocks found")?
    } else {
        let found = blocks.iter().find(|block| block.id == options.block);
        found.with_context(|| format!("invalid block ID {}", options.block))?
    };
    let Some(all) = db.analyze_block(&block.id, &matchers, options.is_extended)? else {
        bail!("invalid block ID {}", block.id);
    };
    print(block, &all, options);
    if let Some(chunks) = &all.chunks {
        print_chunks(chunks);
    }
    Ok(())
}

fn print(block: &BlockInfo, all: &BlockAnalysis, options: &Analyze) {
    let range_ms = block.max_time_ms.saturating_sub(block.min_time_ms);
    out(&format!("Block ID: {}", block.id));
    out(&format!("Duration: {}", duration(range_ms)));
    out(&format!("Total Series: {}", block.series_count));
    if !options.selector.is_empty() {
        out(&format!("Matcher: {}", options.selector));
    }
    out(&format!("Label names: {}", all.names.len()));
    if !options.selector.is_empty() {
        out(&format!("Matched series: {}", all.series_count));
    }
    out(&format!("Postings (unique label pairs): {}", all.pairs.len()));
    out(&format!("Postings entries (total label pairs): {}", all.entries_count));

    let of_block = |uncovered_ms: u64| (uncovered_ms as f64 / range_ms as f64) as u64;
    let list = |title: &str, entries: Vec<(u64, String)>| {
        out(&format!("\n{title}:"));
        print_largest(entries, options.lines_count_max);
    };
    let pairs = |figure: &dyn Fn(&prom_tsdb::PairFigures) -> u64| {
        let entry = |pair| (figure(pair), format!("{}={}", pair.name, pair.value));
        all.pairs.iter().map(entry).collect()
    };
    let names = |figure: &dyn Fn(&prom_tsdb::NameFigures) -> u64| {
        all.names.iter().map(|name| (figure(name), name.name.clone())).collect()
    };
    list("Label pairs most involved in churning", pairs(&|pair| of_block(pair.uncovered_ms)));
    list("Label names most involved in churning", names(&|name| of_block(name.uncovered_ms)));
    list("Most common label pairs", pairs(&|pair| pair.series_count));
    list(
        "Label names with highest cumulative label value length",
        names(&|name| name.values_size_bytes),
    );
    list("Highest cardinality labels", names(&|name| name.values_count));
    let metrics = all.pairs.iter().filter(|pair| pair.name == prom_model::METRIC_NAME);
    let metrics = metrics.map(|pair| (pair.series_count, pair.value.clone())).collect();
    list("Highest cardinality metric names", metrics);
}

fn print_largest(mut entries: Vec<(u64, String)>, lines_count_max: usize) {
    entries.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    for (figure, key) in entries.iter().take(lines_count_max) {
        out(&format!("{figure} {key}"));
    }
}

fn print_chunks(chunks: &ChunkFigures) {
    out("\nCompaction analysis:\n");
    let total_count = (chunks.float_samples.len() + chunks.histogram_samples.len()) as u64;
    print_histogram("samples per float chunk", &chunks.float_samples, total_count);
    print_histogram("bytes per float chunk", &chunks.float_sizes_bytes, total_count);
    print_histogram("samples per histogram chunk", &chunks.histogram_samples, total_count);
    print_histogram("bytes per histogram chunk", &chunks.histogram_sizes_bytes, total_count);
    print_histogram("buckets per histogram chunk", &chunks.histogram_buckets, total_count);
}

fn print_histogram(what: &str, figures: &[u64], total_count: u64) {
    let (Some(min), Some(max)) = (figures.iter().min(), figures.iter().max()) else {
        out(&format!("{what}: N/A\n"));
        return;
    };
    let (start, end, step) = buckets(*min, *max);
    let mut counts = vec![0_u64; ((end - start) / step + 1) as usize];
    for figure in figures {
        counts[((figure - start) / step) as usize] += 1;
    }
    let average = figures.iter().sum::<u64>() / figures.len() as u64;
    out(&format!("{what} (min/avg/max): {min}/{average}/{max}"));
    let digits = |number: u64| number.to_string().len();
    let (left, right) = (digits(end), digits(end + step));
    let width = digits(counts.iter().copied().max().unwrap_or(0));
    for (index, count) in counts.iter().enumerate() {
        let begin = index as u64 * step + start;
        let bar = "#".repeat((100 * count / total_count) as usize);
        out(&format!("[{:left$}, {:right$}]: {count:width$} {bar}", begin + 1, begin + step));
    }
    out("");
}

/// Where the buckets begin and end, and how wide they are: a power of ten.
fn buckets(min: u64, max: u64) -> (u64, u64, u64) {
    const STEP_MAX: u64 = 10_000;
    let wanted = (max - min) / 10;
    let mut step = 10;
    while step < wanted && step <= STEP_MAX {
        step *= 10;
    }
    (min - min % step, max - max % step + step, step)
}
