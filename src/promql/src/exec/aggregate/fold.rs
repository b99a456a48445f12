//! Aggregations that fold each value into a state by group and step.
//! A group's rows are folded in the order of the series. Groups have nothing to do with one another, so
//! large work with groups enough is done group by group, on several threads; else series by series, and
//! a group's states live from its first series to its last, whatever stands between.

mod apart;
mod group;
mod state;

use self::{
    apart::Turns,
    group::GroupStates,
    state::{Aggregation, Avg, Count, Group, Max, Min, Stddev, Stdvar, Sum},
};
use super::{Grouped, count_points, histograms::Remarks};
use crate::{
    QueryError,
    exec::{
        Bound, Ctx, Opened, Operator, Rows,
        drain::{for_each_row, threads_for},
        ledger::AccountId,
        row::Row,
        stored::{Arena, Stored},
    },
    syntax::{AggregateOp, Span},
};

struct Fold {
    op: AggregateOp,
    operand: Bound,
    groups: Grouped,
    /// Where the operand stands.
    span: Span,
    account: AccountId,
}

/// What a fold reads, and where its remarks go.
struct Opening<'a> {
    ctx: &'a Ctx<'a>,
    operand: Opened,
    groups: &'a Grouped,
    op: AggregateOp,
    span: Span,
}

/// Results of some groups.
struct Folded {
    groups: Vec<u32>,
    arena: Arena,
    points: u64,
}

pub(super) fn bind(
    op: AggregateOp,
    operand: Bound,
    groups: Grouped,
    span: Span,
    account: AccountId,
) -> Bound {
    let (series, grid) = (groups.series(&operand.series), operand.grid);
    let operator = Box::new(Fold { op, operand, groups, span, account });
    Bound { series, grid, account, operator }
}

impl Operator for Fold {
    fn open(self: Box<Self>, ctx: &Ctx<'_>) -> Result<Box<dyn Rows>, QueryError> {
        let stored = match self.op {
            AggregateOp::Sum => self.fold::<Sum>(ctx),
            AggregateOp::Avg => self.fold::<Avg>(ctx),
            AggregateOp::Min => self.fold::<Min>(ctx),
            AggregateOp::Max => self.fold::<Max>(ctx),
            AggregateOp::Count => self.fold::<Count>(ctx),
            AggregateOp::Stddev => self.fold::<Stddev>(ctx),
            AggregateOp::Stdvar => self.fold::<Stdvar>(ctx),
            AggregateOp::Group => self.fold::<Group>(ctx),
            op => Err(QueryError::Evaluation(format!("unexpected error: {op:?} is no fold"))),
        };
        Ok(Box::new(stored?))
    }
}

impl Fold {
    fn fold<A: Aggregation>(self, ctx: &Ctx<'_>) -> Result<Stored, QueryError> {
        let step_count = self.operand.grid.count;
        let operand = self.operand.open(ctx)?;
        let opening = Opening { ctx, operand, groups: &self.groups, op: self.op, span: self.span };
        let threads = threads_for(ctx, self.groups.of_series.len(), step_count);
        let turns = threads.and_then(|threads| {
            let turns = Turns::new(&self.groups, threads.current_num_threads())?;
            Some((threads, turns))
        });
        let parts = match turns {
            Some((threads, turns)) => apart::fold::<A>(&opening, threads, &turns)?,
            None => vec![opening.fold_in_order::<A>()?],
        };
        let points: u64 = parts.iter().map(|part| part.points).sum();
        count_points(ctx, self.account, points as usize)?;
        let parts = parts.into_iter().map(|part| (part.groups, part.arena)).collect();
        Ok(Stored::from_parts(parts, self.groups.count(), step_count))
    }
}

impl Opening<'_> {
    fn step_count(&self) -> usize {
        self.operand.grid.count
    }

    /// Folds the series one after the other, whatever their groups.
    fn fold_in_order<A: Aggregation>(&self) -> Result<Folded, QueryError> {
        let (ctx, count) = (self.ctx, self.step_count());
        let mut left = vec![0u32; self.groups.count()];
        self.groups.of_series.iter().for_each(|group| left[*group as usize] += 1);
        let mut states: Vec<Option<GroupStates<A>>> = Vec::new();
        states.resize_with(self.groups.count(), || None);
        let mut spare: Vec<GroupStates<A>> = Vec::new();
        let mut folded = Folded::new(ctx)?;
        let mut result = Row::default();
        for_each_row(ctx, &*self.operand.rows, self.operand.series.len(), count, |index, row| {
            let group = self.groups.of_series[index];
            let slot = &mut states[group as usize];
            let mut state = match slot.take() {
                Some(state) => state,
                None => match spare.pop() {
                    Some(state) => state,
                    None => GroupStates::new(count, &ctx.memory)?,
                },
            };
            self.add(&mut state, index, row)?;
            let left = &mut left[group as usize];
            *left -= 1;
            if *left > 0 {
                *slot = Some(state);
                return Ok(());
            }
            self.finish(&mut state, group, &mut result, &mut folded)?;
            spare.push(state);
            Ok(())
        })?;
        Ok(folded)
    }

    fn add<A: Aggregation>(
        &self,
        state: &mut GroupStates<A>,
        index: usize,
        row: &Row,
    ) -> Result<(), QueryError> {
        let name = || self.operand.series.labels(index).metric_name().to_owned();
        state.add(row, &self.remarks(), name)
    }

    fn finish<A: Aggregation>(
        &self,
        state: &mut GroupStates<A>,
        group: u32,
        result: &mut Row,
        folded: &mut Folded,
    ) -> Result<(), QueryError> {
        state.finish(result, &self.remarks());
        folded.points += result.counted_samples();
        folded.groups.push(group);
        folded.arena.push(result)
    }

    fn remarks(&self) -> Remarks<'_> {
        Remarks { ctx: self.ctx, op: self.op, span: self.span }
    }
}

impl Folded {
    fn new(ctx: &Ctx<'_>) -> Result<Self, QueryError> {
        Ok(Self { groups: Vec::new(), arena: Arena::new(&ctx.memory)?, points: 0 })
    }
}
