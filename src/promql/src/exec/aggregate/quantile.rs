//! `quantile`: all values of a group at a step have to be there at once.

use super::{Grouped, Param};
use crate::{
    QueryError,
    annotation::Annotation,
    exec::{
        Bound, Ctx, Operator, Rows, Scratch, drain::store, ledger::AccountId, range::quantile,
        row::Row, stored::Stored,
    },
    syntax::Span,
};

struct Quantile {
    operand: Bound,
    groups: Grouped,
    param: Param,
    /// Where the operand stands.
    span: Span,
    account: AccountId,
}

struct QuantileRows {
    operand: Stored,
    members: Vec<Vec<u32>>,
    quantiles: Row,
    account: AccountId,
}

pub(super) fn bind(
    operand: Bound,
    groups: Grouped,
    param: Param,
    (span, account): (Span, AccountId),
) -> Bound {
    let (series, grid) = (groups.series(&operand.series), operand.grid);
    let operator = Box::new(Quantile { operand, groups, param, span, account });
    Bound { series, grid, account, operator }
}

impl Operator for Quantile {
    fn open(self: Box<Self>, ctx: &Ctx<'_>) -> Result<Box<dyn Rows>, QueryError> {
        let Self { operand, groups, param, span, account } = *self;
        let count = operand.grid.count;
        let operand = operand.open(ctx)?;
        if param.has_nan {
            ctx.annotate(Annotation::invalid_quantile(f64::NAN, param.span));
        }
        if param.max > 1.0 {
            ctx.annotate(Annotation::invalid_quantile(param.max, param.span));
        }
        if param.min < 0.0 {
            ctx.annotate(Annotation::invalid_quantile(param.min, param.span));
        }
        let operand = store(ctx, &*operand.rows, operand.series.len(), count)?;
        if operand.has_histograms() {
            ctx.annotate(Annotation::histogram_ignored("quantile", span));
        }
        let members = groups.members();
        Ok(Box::new(QuantileRows { operand, members, quantiles: param.row, account }))
    }
}

impl Rows for QuantileRows {
    fn read(
        &self,
        index: usize,
        row: &mut Row,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), QueryError> {
        row.reset(self.quantiles.count());
        let members = &self.members[index];
        let mut values = Vec::with_capacity(members.len());
        for (step, wanted) in self.quantiles.values().iter().enumerate() {
            values.clear();
            let present =
                members.iter().filter_map(|member| self.operand.get(*member as usize, step));
            values.extend(present);
            if !values.is_empty() {
                row.set(step, quantile(*wanted, &mut values));
            }
            scratch.tick(members.len())?;
        }
        scratch.tally(self.account).points += row.present().ones() as u64;
        Ok(())
    }
}
