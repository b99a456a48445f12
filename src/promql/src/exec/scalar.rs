//! Scalars: a number for each step, computed when the operator that needs it is bound.

use super::{
    Ctx,
    bind::bind,
    drain::for_each_row,
    ledger::{AccountId, Shape, Tally},
    map::binary_value,
    row::{Bitmap, Row},
};
use crate::{
    QueryError,
    numeric::{go_max, go_min},
    plan::{Grid, Scalar, Vector},
};

/// A scalar over a grid, and its account.
pub(super) struct ScalarRow {
    pub(super) row: Row,
    pub(super) account: AccountId,
}

/// Computes `scalar` at each step of `grid`.
pub(super) fn scalar(ctx: &Ctx<'_>, scalar: &Scalar, grid: &Grid) -> Result<ScalarRow, QueryError> {
    match scalar {
        Scalar::Number(value) => ScalarRow::new(ctx, Shape::Combine(Vec::new()), grid, |row| {
            row.fill(grid.count, *value)
        }),
        Scalar::Time => ScalarRow::new(ctx, Shape::Combine(Vec::new()), grid, |row| {
            row.fill(grid.count, 0.0);
            for step in 0..grid.count {
                row.set(step, grid.time_ms(step) as f64 / 1000.0);
            }
        }),
        Scalar::OfVector(vector) => of_vector(ctx, vector, grid),
        Scalar::Negate(inner) => {
            let mut inner = self::scalar(ctx, inner, grid)?;
            inner.row.map(|value| -value);
            Ok(inner)
        }
        Scalar::Once(inner) => {
            let inner = self::scalar(ctx, inner, &grid.once())?;
            let value = inner.row.get(0).unwrap_or(f64::NAN);
            ScalarRow::new(ctx, Shape::Once(inner.account), grid, |row| row.fill(grid.count, value))
        }
        Scalar::Binary { op, lhs, rhs } => {
            let op = *op;
            combine(ctx, lhs, rhs, grid, |lhs, rhs| binary_value(op, lhs, rhs))
        }
        Scalar::MinOf(lhs, rhs) => combine(ctx, lhs, rhs, grid, go_min),
        Scalar::MaxOf(lhs, rhs) => combine(ctx, lhs, rhs, grid, go_max),
    }
}

impl ScalarRow {
    fn new(
        ctx: &Ctx<'_>,
        shape: Shape,
        grid: &Grid,
        fill: impl FnOnce(&mut Row),
    ) -> Result<Self, QueryError> {
        let account = ctx.ledger.open(shape, *grid);
        let tally = Tally { points: grid.count as u64, ..Tally::default() };
        ctx.ledger.add(account, &tally, ctx.settings.samples_count_max)?;
        ctx.check_grid(grid)?;
        ctx.keep(grid.count as u64 * 8)?;
        let mut row = Row::default();
        fill(&mut row);
        Ok(Self { row, account })
    }
}

fn combine(
    ctx: &Ctx<'_>,
    lhs: &Scalar,
    rhs: &Scalar,
    grid: &Grid,
    f: impl Fn(f64, f64) -> f64,
) -> Result<ScalarRow, QueryError> {
    let (lhs, rhs) = (scalar(ctx, lhs, grid)?, scalar(ctx, rhs, grid)?);
    let shape = Shape::Combine(vec![lhs.account, rhs.account]);
    ScalarRow::new(ctx, shape, grid, |row| {
        row.fill(grid.count, 0.0);
        for (step, (lhs, rhs)) in lhs.row.values().iter().zip(rhs.row.values()).enumerate() {
            row.set(step, f(*lhs, *rhs));
        }
    })
}

/// `scalar(vector)`: the one value of a step, NaN if there are none or several.
fn of_vector(ctx: &Ctx<'_>, vector: &Vector, grid: &Grid) -> Result<ScalarRow, QueryError> {
    let operand = bind(ctx, vector, grid)?;
    let shape = Shape::Combine(vec![operand.account]);
    let operand = operand.open(ctx)?;
    ctx.check_grid(grid)?;
    let mut found = Row::absent(grid.count);
    let mut several = Bitmap::empty(grid.count);
    for_each_row(ctx, &*operand.rows, operand.series.len(), grid.count, |_, row| {
        row.for_each(|step, value| {
            if found.present().has(step) {
                several.set(step);
            }
            found.set(step, value);
        });
        Ok(())
    })?;
    ScalarRow::new(ctx, shape, grid, |row| {
        row.fill(grid.count, f64::NAN);
        found.for_each(|step, value| {
            if !several.has(step) {
                row.set(step, value);
            }
        });
    })
}
