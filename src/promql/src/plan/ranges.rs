//! Which time each selector is needed for: the union over all places that use it.
//! Compat: Prometheus `promql/engine.go`, `getTimeRangesForSelector`.

use prom_storage::TimeRange;

use super::{
    Grid, HistogramFunction, Node, RangeSource, SampleField, Scalar, Selector, Shift, Vector,
    VectorKind, extension_ms,
};
use crate::QueryError;

/// Notes the needed time in `selectors`; returns the steps of all operators together.
pub(super) fn assign(
    root: &Node,
    grid: &Grid,
    lookback_delta_ms: i64,
    selectors: &mut [Selector],
) -> Result<u64, QueryError> {
    let mut visitor = Visitor { lookback_delta_ms, selectors, step_count: 0 };
    match root {
        Node::Scalar(scalar) => visitor.scalar(scalar, grid)?,
        Node::Vector(vector) => visitor.vector(vector, grid)?,
        Node::Range(source) => visitor.source(source, grid)?,
        Node::Text(_) => {}
    }
    Ok(visitor.step_count)
}

struct Visitor<'a> {
    lookback_delta_ms: i64,
    selectors: &'a mut [Selector],
    step_count: u64,
}

impl Visitor<'_> {
    fn scalar(&mut self, scalar: &Scalar, grid: &Grid) -> Result<(), QueryError> {
        self.step_count = self.step_count.saturating_add(grid.count as u64);
        match scalar {
            Scalar::Number(_) | Scalar::Time => Ok(()),
            Scalar::OfVector(vector) => self.vector(vector, grid),
            Scalar::Negate(inner) => self.scalar(inner, grid),
            Scalar::Once(inner) => self.scalar(inner, &grid.once()),
            Scalar::Binary { lhs, rhs, .. } | Scalar::MinOf(lhs, rhs) | Scalar::MaxOf(lhs, rhs) => {
                self.scalar(lhs, grid)?;
                self.scalar(rhs, grid)
            }
        }
    }

    fn vector(&mut self, vector: &Vector, grid: &Grid) -> Result<(), QueryError> {
        self.step_count = self.step_count.saturating_add(grid.count as u64);
        match &vector.kind {
            VectorKind::Select { selector, shift, what, .. } => {
                let after_ms =
                    if *what == SampleField::Smoothed { self.lookback_delta_ms } else { 0 };
                self.needed(*selector, *shift, (self.lookback_delta_ms, after_ms), grid);
                Ok(())
            }
            VectorKind::Range(call) => {
                call.args.iter().try_for_each(|arg| self.scalar(arg, grid))?;
                self.source(&call.source, grid)
            }
            VectorKind::AbsentOverTime { source, .. } => self.source(source, grid),
            VectorKind::Map { args, operand, .. } => {
                args.iter().try_for_each(|arg| self.scalar(arg, grid))?;
                self.vector(operand, grid)
            }
            VectorKind::OfScalar { scalar, .. } => self.scalar(scalar, grid),
            VectorKind::WithScalar(with) => {
                self.scalar(&with.scalar, grid)?;
                self.vector(&with.vector, grid)
            }
            VectorKind::Binary(binary) => {
                self.vector(&binary.lhs, grid)?;
                self.vector(&binary.rhs, grid)
            }
            VectorKind::Aggregate(aggregate) => {
                aggregate.param.iter().try_for_each(|param| self.scalar(param, grid))?;
                self.vector(&aggregate.operand, grid)
            }
            VectorKind::Histogram(call) => {
                match &call.function {
                    HistogramFunction::Quantile { quantile, .. } => self.scalar(quantile, grid)?,
                    HistogramFunction::Quantiles { quantiles, .. } => {
                        quantiles.iter().try_for_each(|(scalar, _)| self.scalar(scalar, grid))?;
                    }
                    HistogramFunction::Fraction { lower, upper } => {
                        self.scalar(lower, grid)?;
                        self.scalar(upper, grid)?;
                    }
                }
                self.vector(&call.operand, grid)
            }
            VectorKind::Info(info) => {
                self.vector(&info.operand, grid)?;
                self.needed(info.selector, info.shift, (self.lookback_delta_ms, 0), grid);
                Ok(())
            }
            VectorKind::Absent { operand, .. }
            | VectorKind::Relabel { operand, .. }
            | VectorKind::Sort { operand, .. } => self.vector(operand, grid),
            VectorKind::Once(inner) => self.vector(inner, &grid.once()),
        }
    }

    fn source(&mut self, source: &RangeSource, grid: &Grid) -> Result<(), QueryError> {
        match source {
            RangeSource::Select { selector, shift, range_ms, extension, .. } => {
                let (before_ms, after_ms) = extension_ms(*extension, self.lookback_delta_ms);
                let reach_ms = (range_ms.saturating_add(before_ms), after_ms);
                self.needed(*selector, *shift, reach_ms, grid);
                Ok(())
            }
            RangeSource::Subquery(subquery) => {
                self.vector(&subquery.operand, &subquery.grid(grid)?)
            }
        }
    }

    /// Windows are open at their left end, so the first millisecond before is not needed.
    fn needed(
        &mut self,
        selector: usize,
        shift: Shift,
        (before_ms, after_ms): (i64, i64),
        grid: &Grid,
    ) {
        if grid.count == 0 {
            return;
        }
        let mint_ms = shift.apply(grid.start_ms).saturating_sub(before_ms).saturating_add(1);
        let maxt_ms = shift.apply(grid.last_ms()).saturating_add(after_ms);
        let selector = &mut self.selectors[selector];
        selector.step_count = selector.step_count.saturating_add(grid.count as u64);
        let range = &mut selector.range;
        *range = Some(match *range {
            None => TimeRange { mint_ms, maxt_ms },
            Some(known) => TimeRange {
                mint_ms: known.mint_ms.min(mint_ms),
                maxt_ms: known.maxt_ms.max(maxt_ms),
            },
        });
    }
}
