//! Functions of range vectors: one series at a time, all its windows in one pass.

mod counter_check;
mod extended;
mod mixed;
mod over_time;
mod rate;
mod regression;
mod start_time;

pub(super) use counter_check::CounterCheck;
pub(super) use extended::{interpolated, with_edges};
pub(super) use mixed::smoothed_at;
pub(super) use over_time::quantile;

use std::sync::Arc;

use prom_storage::Selection;

use self::mixed::{Mixed, Points};
use super::{
    Rows, Scratch,
    ledger::AccountId,
    row::Row,
    scratch::Wanted,
    series::SeriesSet,
    window::{Positions, WindowCache, WindowSpec, copy_without_stale},
};
use crate::{
    QueryError,
    annotation::Annotation,
    plan::{Grid, RangeFunction},
    syntax::{RangeExtension, Span},
};

/// Where the samples of the windows come from.
pub(super) enum Source {
    Select {
        selector: usize,
        selection: Arc<dyn Selection>,
        skips_buckets: bool,
    },
    /// Rows over the grid of a subquery.
    Subquery {
        rows: Box<dyn Rows>,
        grid: Grid,
    },
}

/// Rows of a function of a range vector.
pub(super) struct RangeRows {
    pub(super) function: RangeFunction,
    pub(super) extension: Option<RangeExtension>,
    pub(super) source: Source,
    pub(super) spec: WindowSpec,
    /// Scalar arguments, one value a step each.
    pub(super) args: Vec<Row>,
    pub(super) first_arg_span: Span,
    pub(super) account: AccountId,
    /// Series with their names, to be told in remarks.
    pub(super) names: SeriesSet,
    pub(super) counter_check: Option<CounterCheck>,
}

/// The windows of one series.
struct Windows<'a> {
    spec: &'a WindowSpec,
    timestamps_ms: &'a [i64],
    values: &'a [f64],
    positions: &'a mut Positions,
}

impl Windows<'_> {
    /// Sets each step that has samples to what `f` makes of them.
    fn each(self, row: &mut Row, f: impl Fn(&[i64], &[f64]) -> f64) {
        for (step, (lo, hi)) in self.positions.lo.iter().zip(&self.positions.hi).enumerate() {
            let window = *lo as usize..*hi as usize;
            if !window.is_empty() {
                row.set(step, f(&self.timestamps_ms[window.clone()], &self.values[window]));
            }
        }
    }
}

impl RangeRows {
    /// Computes a row from the windows of a series.
    fn compute(
        &self,
        windows: Windows<'_>,
        row: &mut Row,
        remarks: &mut Vec<Annotation>,
    ) -> Result<(), QueryError> {
        use RangeFunction as F;
        if let Some(extension) = self.extension {
            extended::compute(self.function, extension, windows, row);
            return Ok(());
        }
        match self.function {
            F::Rate => rate::extrapolated(windows, row, true, true),
            F::Increase => rate::extrapolated(windows, row, true, false),
            F::Delta => rate::extrapolated(windows, row, false, false),
            F::Irate => rate::instant(windows, row, true),
            F::Idelta => rate::instant(windows, row, false),
            F::Resets => windows.each(row, |_, values| over_time::resets(values)),
            F::Changes => windows.each(row, |_, values| over_time::changes(values)),
            F::Sum => windows.each(row, |_, values| over_time::sum(values)),
            F::Avg => windows.each(row, |_, values| over_time::avg(values)),
            F::Min => over_time::extreme(windows, row, |new, best| new < best),
            F::Max => over_time::extreme(windows, row, |new, best| new > best),
            F::Count => windows.each(row, |_, values| values.len() as f64),
            F::First => windows.each(row, |_, values| values[0]),
            F::Last => windows.each(row, |_, values| values[values.len() - 1]),
            F::Present => windows.each(row, |_, _| 1.0),
            F::Stddev => windows.each(row, |_, values| over_time::variance(values).sqrt()),
            F::Stdvar => windows.each(row, |_, values| over_time::variance(values)),
            F::Mad => over_time::median_deviation(windows, row),
            F::Quantile => {
                let quantiles = self.args[0].values();
                over_time::quantiles(windows, row, quantiles, |quantile| {
                    remarks.push(Annotation::invalid_quantile(quantile, self.first_arg_span));
                });
            }
            F::TimeOfFirst => windows.each(row, |times_ms, _| times_ms[0] as f64 / 1000.0),
            F::TimeOfLast => {
                windows.each(row, |times_ms, _| times_ms[times_ms.len() - 1] as f64 / 1000.0);
            }
            F::TimeOfMin => {
                windows.each(row, |times_ms, values| {
                    over_time::time_of(times_ms, values, |new, best| new <= best)
                });
            }
            F::TimeOfMax => {
                windows.each(row, |times_ms, values| {
                    over_time::time_of(times_ms, values, |new, best| new >= best)
                });
            }
            F::Deriv => regression::deriv(windows, row),
            F::PredictLinear => regression::predict(windows, row, self.args[0].values()),
            F::DoubleExponentialSmoothing => {
                let (smoothing, trend) = (self.args[0].values(), self.args[1].values());
                regression::smooth(windows, row, smoothing, trend)?;
            }
        }
        Ok(())
    }

    fn read_with(
        &self,
        index: usize,
        row: &mut Row,
        cache: &mut WindowCache,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), QueryError> {
        let ctx = scratch.ctx;
        let WindowCache { columns: own, positions } = cache;
        let points;
        let columns = match &self.source {
            Source::Select { selector, selection, skips_buckets } => {
                let range = self.spec.range();
                let stored = scratch.columns(*selector, selection, index, range, Wanted::All)?;
                points = Points::stored(stored, *skips_buckets, ctx.settings.uses_start_timestamps);
                if copy_without_stale(stored, own) { own } else { stored }
            }
            Source::Subquery { rows, grid } => {
                let mut inner = scratch.take_row();
                rows.read(index, &mut inner, scratch)?;
                own.clear();
                inner.for_each(|step, value| own.push(grid.time_ms(step), value));
                points = Points::computed(&inner, grid);
                scratch.put_row(inner);
                own
            }
        };
        let sample_count = columns.len();
        positions.place(&self.spec, &columns.timestamps_ms, ctx.settings.wants_per_step_stats);
        let mut remarks = Vec::new();
        let windows = Windows {
            spec: &self.spec,
            timestamps_ms: &columns.timestamps_ms,
            values: &columns.values,
            positions,
        };
        self.compute(windows, row, &mut remarks)?;
        if points.are_needed(columns, self.function) {
            let name = self.names.labels(index).metric_name().to_owned();
            let work = Mixed { rows: self, name: &name, floats: columns, points: &points };
            work.correct(positions, row, &mut remarks);
        }
        remarks.into_iter().for_each(|remark| ctx.annotate(remark));
        let counts = points.count(&self.spec, positions, ctx.settings.wants_per_step_stats);
        let tally = scratch.tally(self.account);
        tally.add(&positions.tally);
        tally.add(&counts.tally);
        if matches!(self.source, Source::Subquery { .. }) {
            // What a subquery reads is counted where it reads.
            tally.read -= positions.tally.read + counts.tally.read;
        }
        let samples = row.counted_samples();
        tally.points += samples;
        tally.add_windows(index, samples, counts.largest, counts.last);
        scratch.tick(self.spec.grid.count + sample_count + points.work())
    }
}

impl Rows for RangeRows {
    fn read(
        &self,
        index: usize,
        row: &mut Row,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), QueryError> {
        row.reset(self.spec.grid.count);
        let mut cache = scratch.take_windows(self.account);
        self.read_with(index, row, &mut cache, scratch)?;
        scratch.put_windows(self.account, cache);
        if let Some(check) = &self.counter_check
            && row.present().any()
        {
            check.tell(index, scratch);
        }
        Ok(())
    }
}
