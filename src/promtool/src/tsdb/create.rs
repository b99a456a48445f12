//! `tsdb create-blocks-from`: blocks of samples that no server has scraped. Where samples come from is told
//! below; how long blocks are and what is printed of them, here.

mod openmetrics;
mod parts;
mod rules;
mod samples;

use std::path::Path;

use anyhow::{Context, Result, bail};
use prom_model::Labels;
use prom_storage::{Appendable, FloatSample};
use prom_tsdb::{BlockInfo, BlockWriter};

use super::{
    args::{CreateBlocks, Source},
    list,
};

/// The smallest block, what the next larger one is of it, and how many sizes there are.
/// Compat: Prometheus `cmd/promtool/backfill.go` (getCompatibleBlockDuration).
const BLOCK_DURATION_MS: i64 = 2 * 3_600_000;
const BLOCK_STEP: i64 = 3;
const BLOCK_SIZES_COUNT: u32 = 10;
/// Samples that are committed at once.
const COMMIT_SAMPLES_COUNT: usize = 5_000;

/// Makes the blocks that are asked for.
pub(super) fn run(options: &CreateBlocks) -> Result<()> {
    match &options.source {
        Source::OpenMetrics(source) => openmetrics::run(options, source),
        Source::Rules(source) => rules::run(options, source),
    }
}

/// The largest duration of a block that a server knows, not above the one that is allowed.
fn block_duration_ms(max_ms: i64) -> i64 {
    let sizes = (0..BLOCK_SIZES_COUNT).map(|power| BLOCK_DURATION_MS * BLOCK_STEP.pow(power));
    sizes.take_while(|size_ms| *size_ms <= max_ms).last().unwrap_or(BLOCK_DURATION_MS)
}

/// A block that takes samples.
struct OpenBlock {
    writer: BlockWriter,
    batch: Vec<FloatSample>,
}

impl OpenBlock {
    fn new(dir: &Path, duration_ms: i64) -> Self {
        Self { writer: BlockWriter::new(dir, duration_ms), batch: Vec::new() }
    }

    /// Adds samples of one series, which ascend by time.
    fn add(
        &mut self,
        labels: &Labels,
        samples: impl IntoIterator<Item = (i64, f64)>,
    ) -> Result<()> {
        let mut samples = samples.into_iter().peekable();
        while samples.peek().is_some() {
            let mut appender = self.writer.appender();
            let series = appender.series(labels)?;
            let sample = |(timestamp_ms, value)| FloatSample { series, timestamp_ms, value };
            self.batch.clear();
            self.batch.extend(samples.by_ref().take(COMMIT_SAMPLES_COUNT).map(sample));
            let mut rejected = Vec::new();
            appender.append(&self.batch, &mut rejected);
            if let Some(one) = rejected.first() {
                let time_ms = self.batch[one.index].timestamp_ms;
                bail!("add sample: {labels} at {time_ms}: {}", one.reason);
            }
            appender.commit().context("commit")?;
        }
        Ok(())
    }

    fn flush(self) -> Result<Option<BlockInfo>> {
        self.writer.flush().context("flush")
    }
}

/// The table of blocks, a line as soon as a block is made.
struct BlockTable {
    is_quiet: bool,
    is_human_readable: bool,
    has_header: bool,
}

impl BlockTable {
    fn new(options: &CreateBlocks) -> Self {
        let CreateBlocks { is_quiet, is_human_readable, .. } = *options;
        Self { is_quiet, is_human_readable, has_header: false }
    }

    fn show(&mut self, block: &BlockInfo) {
        if !self.is_quiet {
            list::print(std::slice::from_ref(block), !self.has_header, self.is_human_readable);
            self.has_header = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_as_long_as_a_server_makes_them() {
        const HOUR_MS: i64 = 3_600_000;
        for (max_hours, hours) in
            [(0, 2), (1, 2), (2, 2), (5, 2), (6, 6), (17, 6), (18, 18), (24, 18), (1 << 40, 39_366)]
        {
            assert_eq!(block_duration_ms(max_hours * HOUR_MS), hours * HOUR_MS, "{max_hours}");
        }
    }
}
