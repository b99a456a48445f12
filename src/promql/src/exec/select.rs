//! Instant selectors: at each step the newest sample within the lookback, unless the series has ended.

mod mixed;

use std::sync::Arc;

use prom_model::is_stale;
use prom_storage::{Columns, Selection, TimeRange};

use super::{
    Rows, Scratch, ledger::AccountId, range::interpolated, row::Row, scratch::Wanted,
    series::SeriesSet,
};
use crate::{
    QueryError,
    plan::{Grid, SampleField, Shift},
    syntax::Span,
};

/// Rows of an instant selector.
pub(super) struct SelectRows {
    pub(super) selector: usize,
    pub(super) selection: Arc<dyn Selection>,
    pub(super) grid: Grid,
    pub(super) shift: Shift,
    pub(super) lookback_delta_ms: i64,
    pub(super) what: SampleField,
    /// Whether of histograms only count and sum are needed.
    pub(super) skips_buckets: bool,
    /// Whether samples may be asked when they began.
    pub(super) knows_starts: bool,
    pub(super) span: Span,
    /// Series with their names, to be told in remarks.
    pub(super) names: SeriesSet,
    pub(super) account: AccountId,
}

impl SelectRows {
    fn range(&self) -> TimeRange {
        let first_ms = self.shift.apply(self.grid.start_ms);
        TimeRange {
            mint_ms: first_ms.saturating_sub(self.lookback_delta_ms).saturating_add(1),
            maxt_ms: self.shift.apply(self.grid.last_ms()).saturating_add(self.ahead_ms()),
        }
    }

    /// One instant asks for no more than the newest sample before it.
    fn wanted(&self) -> Wanted {
        let is_plain = matches!(self.what, SampleField::Value | SampleField::Timestamp);
        if self.grid.count == 1 && is_plain { Wanted::Newest } else { Wanted::All }
    }

    /// How far behind its instants it looks.
    fn ahead_ms(&self) -> i64 {
        if self.what == SampleField::Smoothed { self.lookback_delta_ms } else { 0 }
    }

    /// At each step the value on the line between the samples around it, markers left out.
    fn fill_smoothed(&self, columns: &Columns, row: &mut Row) {
        let samples = columns.timestamps_ms.iter().zip(&columns.values);
        let samples: Vec<(i64, f64)> = samples
            .filter(|(_, value)| !is_stale(**value))
            .map(|(timestamp_ms, value)| (*timestamp_ms, *value))
            .collect();
        for step in 0..self.grid.count {
            let time_ms = self.shift.apply(self.grid.time_ms(step));
            let next = samples.partition_point(|(timestamp_ms, _)| *timestamp_ms < time_ms);
            let is_near = |sample: &&(i64, f64)| {
                sample.0 > time_ms.saturating_sub(self.lookback_delta_ms)
                    && sample.0 <= time_ms.saturating_add(self.lookback_delta_ms)
            };
            let before = next.checked_sub(1).map(|before| &samples[before]).filter(is_near);
            match (before, samples.get(next).filter(is_near)) {
                (_, Some((timestamp_ms, value))) if *timestamp_ms == time_ms => {
                    row.set(step, *value);
                }
                (Some(before), Some(after)) => {
                    row.set(step, interpolated(*before, *after, time_ms, false));
                }
                (Some((_, value)), None) => row.set(step, *value),
                (None, _) => {}
            }
        }
    }

    fn fill(&self, columns: &Columns, row: &mut Row) {
        if self.what == SampleField::Smoothed {
            return self.fill_smoothed(columns, row);
        }
        let (timestamps_ms, values) = (&columns.timestamps_ms, &columns.values);
        let mut next = 0;
        for step in 0..self.grid.count {
            let time_ms = self.shift.apply(self.grid.time_ms(step));
            while next < timestamps_ms.len() && timestamps_ms[next] <= time_ms {
                next += 1;
            }
            let Some(newest) = next.checked_sub(1) else { continue };
            let (timestamp_ms, value) = (timestamps_ms[newest], values[newest]);
            if timestamp_ms <= time_ms.saturating_sub(self.lookback_delta_ms) || is_stale(value) {
                continue;
            }
            row.set(
                step,
                match self.what {
                    SampleField::Value | SampleField::Smoothed => value,
                    SampleField::Timestamp => timestamp_ms as f64 / 1000.0,
                    SampleField::StartTimestamp => {
                        let start_ms = columns.start_timestamps_ms.get(newest);
                        start_ms.copied().unwrap_or_default() as f64 / 1000.0
                    }
                },
            );
        }
    }
}

impl Rows for SelectRows {
    fn read(
        &self,
        index: usize,
        row: &mut Row,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), QueryError> {
        row.reset(self.grid.count);
        let wanted = self.wanted();
        let columns =
            scratch.columns(self.selector, &self.selection, index, self.range(), wanted)?;
        let sample_count = columns.len() + columns.histograms.len();
        let mut remarks = Vec::new();
        if self.what == SampleField::StartTimestamp && !self.knows_starts {
            return Ok(());
        }
        if columns.histograms.is_empty() {
            self.fill(columns, row);
        } else if self.what == SampleField::Smoothed {
            let name = self.names.labels(index).metric_name().to_owned();
            self.fill_mixed_smoothed(columns, &name, row, &mut remarks);
        } else {
            self.fill_mixed(columns, row);
        }
        remarks.into_iter().for_each(|remark| scratch.ctx.annotate(remark));
        let points = row.counted_samples();
        let per_step = scratch.ctx.settings.wants_per_step_stats;
        let tally = scratch.tally(self.account);
        tally.points += points;
        tally.queryable += points;
        tally.read += points;
        if per_step {
            tally.by_step.resize(self.grid.count, (0, 0));
            row.for_each(|step, _| {
                tally.by_step[step].0 += 1;
                tally.by_step[step].1 += 1;
            });
            row.for_each_histogram(|step, histogram| {
                tally.by_step[step].0 += histogram.counted_samples();
                tally.by_step[step].1 += histogram.counted_samples();
            });
        }
        scratch.tick(self.grid.count + sample_count)
    }
}
