//! Series that became equal because labels were taken away: one series, unless they meet at a step.

use std::sync::Arc;

use super::{
    Bound, Ctx, Operator, Rows, Scratch,
    drain::store,
    ledger::AccountId,
    row::Row,
    series::Merged,
    stored::{Arena, Stored},
};
use crate::QueryError;

/// When equal series are an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Collision {
    /// Where both have a value at one step.
    SameStep,
    /// Where both have a value anywhere.
    Anywhere,
}

struct Merge {
    operand: Bound,
    merged: Merged,
    collision: Collision,
}

/// `bound` with equal series merged; `bound` itself where all differ.
pub(super) fn merged(bound: Bound, collision: Collision) -> Bound {
    let Some(merged) = bound.series.duplicates() else { return bound };
    let series = bound.series.pick(&merged.first).into_unique();
    let (grid, account) = (bound.grid, bound.account);
    Bound { series, grid, account, operator: Box::new(Merge { operand: bound, merged, collision }) }
}

impl Operator for Merge {
    /// All rows are computed at once, so that a collision is found whoever reads which row.
    fn open(self: Box<Self>, ctx: &Ctx<'_>) -> Result<Box<dyn Rows>, QueryError> {
        let count = self.operand.grid.count;
        let operand = self.operand.open(ctx)?;
        let rows = store(ctx, &*operand.rows, operand.series.len(), count)?;
        let mut members = vec![Vec::new(); self.merged.first.len()];
        for (index, target) in self.merged.target.iter().enumerate() {
            members[*target as usize].push(index);
        }
        let mut arena = Arena::new(&ctx.memory)?;
        let (mut row, mut other) = (Row::default(), Row::default());
        for members in members {
            row.reset(count);
            for member in members {
                rows.load(member, &mut other);
                if collides(&row, &other, self.collision) {
                    return Err(QueryError::same_labelset());
                }
                row.overlay(&other);
            }
            arena.push(&row)?;
        }
        Ok(Box::new(Stored::from_arenas(vec![arena], count)))
    }
}

fn collides(row: &Row, other: &Row, collision: Collision) -> bool {
    match collision {
        Collision::SameStep => row.first_common(other).is_some(),
        Collision::Anywhere => row.any() && other.any(),
    }
}

/// Repeats the one step of an operand at every step of a grid.
pub(super) struct Repeat {
    pub(super) operand: Bound,
    pub(super) count: usize,
    pub(super) account: AccountId,
}

struct RepeatRows {
    rows: Stored,
    order: Option<Vec<u32>>,
    count: usize,
    account: AccountId,
}

impl Operator for Repeat {
    fn open(self: Box<Self>, ctx: &Ctx<'_>) -> Result<Box<dyn Rows>, QueryError> {
        let operand = self.operand.open(ctx)?;
        let rows = store(ctx, &*operand.rows, operand.series.len(), operand.grid.count)?;
        let order = operand.rows.order().map(<[u32]>::to_vec);
        Ok(Box::new(RepeatRows { rows, order, count: self.count, account: self.account }))
    }
}

impl Rows for RepeatRows {
    fn read(
        &self,
        index: usize,
        row: &mut Row,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), QueryError> {
        match self.rows.get(index, 0) {
            Some(value) => row.fill(self.count, value),
            None => row.reset(self.count),
        }
        if let Some(histogram) = self.rows.histogram(index, 0) {
            for step in 0..self.count {
                row.set_histogram(step, Arc::clone(histogram));
            }
        }
        scratch.tally(self.account).points += row.counted_samples();
        scratch.tick(self.count / 8)
    }

    fn order(&self) -> Option<&[u32]> {
        self.order.as_deref()
    }
}
