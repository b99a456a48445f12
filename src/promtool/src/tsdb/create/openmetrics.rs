//! `create-blocks-from openmetrics`: blocks of an OpenMetrics text whose samples have times, in any order.
//! Compat: Prometheus `cmd/promtool/backfill.go`, which loses what is out of order or before 1970.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::ErrorKind,
    ops::RangeInclusive,
};

use anyhow::{Context, Result, anyhow, bail};
use prom_exposition::text::{Parser, Sample};
use prom_model::{LabelsBuilder, MetricType};

use super::{
    super::args::{CreateBlocks, OpenMetricsSource},
    BlockTable, OpenBlock, block_duration_ms,
    parts::for_each_sample,
    samples::Samples,
};
use crate::output::err;

/// Samples in memory at a time, as far as blocks can be told apart; a block is made in one go.
const SAMPLES_COUNT_MAX: u64 = 8_000_000;

/// Reads the text once to find its blocks, then once for every few blocks.
pub(super) fn run(options: &CreateBlocks, source: &OpenMetricsSource) -> Result<()> {
    let duration_ms = block_duration_ms(options.max_block_duration_ms);
    // Compat: the input is looked at before anything is made.
    let input = open(source)?;
    let counts = count(input, duration_ms).context("getting min and max timestamp")?;
    make_dir(source)?;
    let mut table = BlockTable::new(options);
    for range in passes(&counts) {
        create(source, duration_ms, &range, &mut table).context("block creation")?;
    }
    Ok(())
}

/// Compat: the words of promtool 3.5.
fn open(source: &OpenMetricsSource) -> Result<File> {
    let path = source.input.display();
    File::open(&source.input).map_err(|err| match err.kind() {
        ErrorKind::NotFound => anyhow!("stat {path}: no such file or directory"),
        _ => anyhow!("open {path}: {err}"),
    })
}

fn make_dir(source: &OpenMetricsSource) -> Result<()> {
    let path = source.output_dir.display();
    fs::create_dir_all(&source.output_dir).map_err(|err| match err.kind() {
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
            anyhow!("create output dir: mkdir {path}: not a directory")
        }
        _ => anyhow!("create output dir: mkdir {path}: {err}"),
    })
}

/// How many samples each block will have, by its number.
fn count(input: File, duration_ms: i64) -> Result<BTreeMap<i64, u64>> {
    let mut counts = BTreeMap::new();
    for_each_sample(input, |_, sample, _| {
        let timestamp_ms = sample
            .timestamp_ms
            .ok_or_else(|| anyhow!("expected timestamp for series got none: {}", text(sample)))?;
        let number = timestamp_ms.div_euclid(duration_ms);
        // A block's end is told, too.
        if number.checked_mul(duration_ms).and_then(|at| at.checked_add(duration_ms)).is_none() {
            bail!("timestamp of series {} is out of range", text(sample));
        }
        *counts.entry(number).or_default() += 1;
        Ok(())
    })?;
    Ok(counts)
}

/// Blocks that are made in one pass over the text.
fn passes(counts: &BTreeMap<i64, u64>) -> Vec<RangeInclusive<i64>> {
    let mut passes: Vec<RangeInclusive<i64>> = Vec::new();
    let mut samples_count = 0;
    for (number, count) in counts {
        samples_count += count;
        match passes.last_mut() {
            Some(pass) if samples_count <= SAMPLES_COUNT_MAX => *pass = *pass.start()..=*number,
            _ => {
                passes.push(*number..=*number);
                samples_count = *count;
            }
        }
    }
    passes
}

/// Makes the blocks of one pass.
fn create(
    source: &OpenMetricsSource,
    duration_ms: i64,
    range: &RangeInclusive<i64>,
    table: &mut BlockTable,
) -> Result<()> {
    let mut samples = Samples::default();
    let mut labels = LabelsBuilder::default();
    for_each_sample(open(source)?, |parser, sample, declared| {
        let Some(timestamp_ms) = sample.timestamp_ms else { return Ok(()) };
        if range.contains(&timestamp_ms.div_euclid(duration_ms)) {
            read_labels(parser, sample, declared, &mut labels)?;
            for (name, value) in &source.labels {
                labels.set(name, value);
            }
            samples.push(&labels.labels(), timestamp_ms, sample.value);
        }
        Ok(())
    })?;
    for content in samples.into_blocks(duration_ms) {
        let mut block = OpenBlock::new(&source.output_dir, duration_ms);
        for (labels, samples) in content.series {
            block.add(&labels, samples)?;
        }
        if let Some(block) = block.flush()? {
            table.show(&block);
            if content.contradictions_count > 0 {
                err(&format!(
                    "block {}: {} samples left out, their series have another value for that time before",
                    block.id, content.contradictions_count
                ));
            }
        }
    }
    Ok(())
}

fn read_labels<'a>(
    parser: &mut Parser<'a>,
    sample: &Sample<'a>,
    declared: MetricType,
    labels: &mut LabelsBuilder,
) -> Result<()> {
    labels.clear();
    parser.labels(sample, declared, labels).map_err(|err| anyhow!("parse: {}", err.message()))
}

fn text(sample: &Sample<'_>) -> String {
    String::from_utf8_lossy(sample.series).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_hold_whole_blocks_and_few_samples() {
        let check = |counts: &[(i64, u64)], expected: &[RangeInclusive<i64>]| {
            assert_eq!(passes(&counts.iter().copied().collect()), expected);
        };
        let half = SAMPLES_COUNT_MAX / 2;
        check(&[], &[]);
        check(&[(-3, 1), (7, 2)], &[-3..=7]);
        check(&[(1, half), (2, half), (3, 1)], &[1..=2, 3..=3]);
        check(&[(1, half), (2, half + 1), (3, 1)], &[1..=1, 2..=3]);
        check(&[(1, 5 * half), (2, 1), (9, 9)], &[1..=1, 2..=9]);
    }
}
