//! Aggregations. Groups are numbered when the operator is bound; rows are folded in the order of the
//! series, so that sums round as in the reference.

mod count_values;
mod fold;
mod histograms;
mod limit;
mod quantile;
mod top;

use prom_model::Labels;

use super::{
    Bound, Ctx,
    bind::bind,
    ledger::{AccountId, Shape},
    row::Row,
    scalar::scalar,
    series::SeriesSet,
};
use crate::{
    QueryError,
    plan::{Aggregate, Grid},
    syntax::{AggregateOp, Span},
};

/// Series of an operand by group.
struct Grouped {
    of_series: Vec<u32>,
    labels: Vec<Labels>,
}

/// The parameter of an aggregation at each step.
struct Param {
    row: Row,
    span: Span,
    min: f64,
    max: f64,
    has_nan: bool,
}

pub(super) fn bind_aggregate(
    ctx: &Ctx<'_>,
    aggregate: &Aggregate,
    span: Span,
    grid: &Grid,
) -> Result<Bound, QueryError> {
    let mut operands = Vec::new();
    let param = match &aggregate.param {
        None => None,
        Some(param) => {
            let row = scalar(ctx, param, grid)?;
            operands.push(row.account);
            Some(Param::new(row.row, aggregate.param_span))
        }
    };
    let operand = bind(ctx, &aggregate.operand, grid)?;
    operands.push(operand.account);
    if aggregate.op == AggregateOp::CountValues {
        let account = ctx.ledger.open(Shape::Combine(operands), *grid);
        return count_values::bind(ctx, aggregate, operand, account);
    }
    let account = ctx.ledger.open(Shape::Fold(operands), *grid);
    let names: Vec<&str> = aggregate.labels.iter().map(String::as_str).collect();
    let groups = operand.series.group(&names, aggregate.is_without);
    let groups = Grouped { of_series: groups.of_series, labels: groups.labels };
    Ok(match (aggregate.op, param) {
        (AggregateOp::Topk, Some(param)) => {
            top::bind(operand, groups, param, false, (span, account))
        }
        (AggregateOp::Bottomk, Some(param)) => {
            top::bind(operand, groups, param, true, (span, account))
        }
        (AggregateOp::Limitk, Some(param)) => limit::bind_count(operand, groups, param, account),
        (AggregateOp::LimitRatio, Some(param)) => limit::bind_ratio(operand, param, account),
        (AggregateOp::Quantile, Some(param)) => {
            quantile::bind(operand, groups, param, (aggregate.operand_span, account))
        }
        (op, _) => fold::bind(op, operand, groups, aggregate.operand_span, account),
    })
}

impl Grouped {
    fn count(&self) -> usize {
        self.labels.len()
    }

    /// Series that the groups become. A group loses its metadata labels with any of its members.
    fn series(&self, operand: &SeriesSet) -> SeriesSet {
        let mut drops = vec![false; self.count()];
        if operand.drops_any() {
            for (index, group) in self.of_series.iter().enumerate() {
                drops[*group as usize] |= operand.drops_name(index);
            }
        }
        SeriesSet::made_unique(self.labels.clone()).with_drops(drops).made_of(operand)
    }

    /// Series of each group, in order.
    fn members(&self) -> Vec<Vec<u32>> {
        let mut members = vec![Vec::new(); self.count()];
        for (index, group) in self.of_series.iter().enumerate() {
            members[*group as usize].push(index as u32);
        }
        members
    }
}

impl Param {
    fn new(row: Row, span: Span) -> Self {
        let values = row.values();
        let has_nan = values.iter().any(|value| value.is_nan());
        let (mut min, mut max) = (f64::MAX, -f64::MAX);
        for value in values {
            (min, max) = (min.min(*value), max.max(*value));
        }
        if has_nan {
            (min, max) = (f64::NAN, f64::NAN);
        }
        Self { row, span, min, max, has_nan }
    }

    /// How many series `topk` and its kin take at each step.
    /// Compat: Prometheus `promql/engine.go`, `rangeEvalAgg`.
    fn counts(&self, series_count: usize) -> Result<Vec<usize>, QueryError> {
        let failure = |text: String| Err(QueryError::Evaluation(text));
        if self.max < 1.0 {
            return Ok(vec![0; self.row.count()]);
        }
        if self.has_nan {
            return failure("Parameter value is NaN".to_owned());
        }
        if self.min <= i64::MIN as f64 {
            let value = prom_model::format_float_g(self.min);
            return failure(format!("Scalar value {value} underflows int64"));
        }
        if self.max >= I64_FLOAT_MAX {
            let value = prom_model::format_float_g(self.max);
            return failure(format!("Scalar value {value} overflows int64"));
        }
        let count = |value: &f64| (*value as i64).clamp(0, series_count as i64) as usize;
        Ok(self.row.values().iter().map(count).collect())
    }
}

/// The largest float that is taken as an integer.
const I64_FLOAT_MAX: f64 = 9_223_372_036_854_774_784.0;

/// Adds the samples of a result to an account.
pub(super) fn count_points(
    ctx: &Ctx<'_>,
    account: AccountId,
    points: usize,
) -> Result<(), QueryError> {
    let tally = super::ledger::Tally { points: points as u64, ..Default::default() };
    ctx.ledger.add(account, &tally, ctx.settings.samples_count_max)
}
