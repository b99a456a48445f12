//! `limitk` and `limit_ratio`: a part of the series, whatever their values.

use super::{Grouped, Param, count_points};
use crate::{
    QueryError,
    annotation::Annotation,
    exec::{
        Bound, Ctx, Operator, Rows, Scratch,
        drain::for_each_row,
        ledger::AccountId,
        row::Row,
        series::SeriesSet,
        stored::{Arena, Stored},
    },
};

struct LimitCount {
    operand: Bound,
    groups: Grouped,
    param: Param,
    account: AccountId,
}

struct LimitRatio {
    operand: Bound,
    param: Param,
    account: AccountId,
}

struct RatioRows {
    operand: Box<dyn Rows>,
    series: SeriesSet,
    ratios: Row,
    account: AccountId,
}

pub(super) fn bind_count(
    operand: Bound,
    groups: Grouped,
    param: Param,
    account: AccountId,
) -> Bound {
    let (series, grid) = (operand.series.clone(), operand.grid);
    let operator = Box::new(LimitCount { operand, groups, param, account });
    Bound { series, grid, account, operator }
}

pub(super) fn bind_ratio(operand: Bound, param: Param, account: AccountId) -> Bound {
    let (series, grid) = (operand.series.clone(), operand.grid);
    let operator = Box::new(LimitRatio { operand, param, account });
    Bound { series, grid, account, operator }
}

impl Operator for LimitCount {
    /// The first series of each group that are present at a step.
    fn open(self: Box<Self>, ctx: &Ctx<'_>) -> Result<Box<dyn Rows>, QueryError> {
        let Self { operand, groups, param, account } = *self;
        let count = operand.grid.count;
        let operand = operand.open(ctx)?;
        let sizes = param.counts(operand.series.len())?;
        let _held = ctx.memory.hold((groups.count() * count * size_of::<u32>()) as u64)?;
        let mut taken = vec![0u32; groups.count() * count];
        let mut arena = Arena::new(&ctx.memory)?;
        let mut points = 0;
        let mut kept = Row::default();
        for_each_row(ctx, &*operand.rows, operand.series.len(), count, |index, row| {
            let first = groups.of_series[index] as usize * count;
            kept.clone_from(row);
            let mut takes = |step: usize| {
                let taken = &mut taken[first + step];
                let is_kept = (*taken as usize) < sizes[step];
                *taken += u32::from(is_kept);
                is_kept
            };
            kept.retain(|step, _| takes(step));
            kept.retain_histograms(takes);
            points += kept.counted_samples() as usize;
            arena.push(&kept)
        })?;
        count_points(ctx, account, points)?;
        Ok(Box::new(Stored::from_arenas(vec![arena], count)))
    }
}

impl Operator for LimitRatio {
    fn open(self: Box<Self>, ctx: &Ctx<'_>) -> Result<Box<dyn Rows>, QueryError> {
        let Self { operand, param, account } = *self;
        let operand = operand.open(ctx)?;
        if param.has_nan {
            return Err(QueryError::Evaluation("Ratio value is NaN".to_owned()));
        }
        if param.max > 1.0 {
            ctx.annotate(Annotation::invalid_ratio(param.max, 1.0, param.span));
        }
        if param.min < -1.0 {
            ctx.annotate(Annotation::invalid_ratio(param.min, -1.0, param.span));
        }
        let (ratios, series) = (param.row, operand.series);
        Ok(Box::new(RatioRows { operand: operand.rows, series, ratios, account }))
    }
}

impl Rows for RatioRows {
    fn read(
        &self,
        index: usize,
        row: &mut Row,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), QueryError> {
        self.operand.read(index, row, scratch)?;
        // The share of all hashes below that of the labels: the same series in every query.
        let offset = self.series.labels(index).hash64() as f64 / u64::MAX as f64;
        let ratios = self.ratios.values();
        let is_kept = |step: usize| is_in_ratio(ratios[step].clamp(-1.0, 1.0), offset);
        row.retain(|step, _| is_kept(step));
        row.retain_histograms(is_kept);
        scratch.tally(self.account).points += row.counted_samples();
        Ok(())
    }
}

/// A negative ratio takes what the positive one that completes it leaves.
fn is_in_ratio(ratio: f64, offset: f64) -> bool {
    if ratio >= 0.0 { offset < ratio } else { offset >= 1.0 + ratio }
}
