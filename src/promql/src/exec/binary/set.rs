//! `and`, `or` and `unless`: which samples stay depends on what the other side has at the same step.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::matching::Signatures;
use crate::{
    QueryError,
    exec::{
        Bound, Ctx, Operator, Rows, Scratch,
        drain::{for_each_row, open_both, store},
        ledger::{AccountId, Shape},
        row::{Bitmap, Row},
        series::{LabelNumbers, SeriesSet},
        stored::Stored,
    },
    syntax::{BinaryOp, VectorMatching},
};

/// What a series takes besides the text of its labels.
const SERIES_SIZE_BYTES: u64 = 48;

/// Series of both sides that give one result.
type Union = (Option<u32>, Option<u32>);

struct SetOperation {
    op: BinaryOp,
    lhs: Bound,
    rhs: Bound,
    signatures: Signatures,
    /// Of `or`: for each result where it comes from.
    union: Vec<Union>,
    account: AccountId,
}

/// `and` and `unless`: the left side where the right side is, or is not.
struct FilterRows {
    lhs: Box<dyn Rows>,
    groups: Vec<u32>,
    /// Steps of each match group of the right side.
    present: Vec<Bitmap>,
    keeps: bool,
    account: AccountId,
}

/// `or`: the left side, and the right side where the left side is not.
struct UnionRows {
    lhs: Stored,
    rhs: Box<dyn Rows>,
    rhs_groups: Vec<u32>,
    /// Steps of each match group of the left side.
    present: Vec<Bitmap>,
    union: Vec<Union>,
    /// Of an instant: what the left side has comes first, in its order, then the right side in its own.
    order: Option<Vec<u32>>,
    account: AccountId,
}

pub(in crate::exec) fn bind_set(
    ctx: &Ctx<'_>,
    op: BinaryOp,
    matching: &VectorMatching,
    lhs: Bound,
    rhs: Bound,
) -> Result<Bound, QueryError> {
    // Numbers and, of `or`, the labels of both sides.
    ctx.keep((lhs.series.len() + rhs.series.len()) as u64 * SERIES_SIZE_BYTES)?;
    let account = ctx.ledger.open(Shape::Combine(vec![lhs.account, rhs.account]), lhs.grid);
    let signatures = Signatures::of(&lhs.series, &rhs.series, matching);
    let grid = lhs.grid;
    let (series, union) = if op == BinaryOp::Or {
        united(&lhs.series, &rhs.series, grid.count == 1)
    } else {
        (lhs.series.clone(), Vec::new())
    };
    let operator = Box::new(SetOperation { op, lhs, rhs, signatures, union, account });
    Ok(Bound { series, grid, account, operator })
}

/// Series of both sides; equal ones are one. At an instant those are not equal of which one loses its name at
/// the end and the other does not; over a range the left side decides.
fn united(lhs: &SeriesSet, rhs: &SeriesSet, is_instant: bool) -> (SeriesSet, Vec<Union>) {
    let mut numbers = LabelNumbers::default();
    let mut number = |of: &SeriesSet, index| {
        let labels = of.labels(index);
        let drops = of.drops_name(index);
        ((numbers.number(&labels), is_instant && drops), labels, drops)
    };
    let (mut series, mut union, mut drops) = (Vec::new(), Vec::new(), Vec::new());
    let mut of_lhs = HashMap::with_capacity_and_hasher(lhs.len(), FixedState::default());
    for index in 0..lhs.len() {
        let (key, labels, drops_name) = number(lhs, index);
        of_lhs.insert(key, index);
        series.push(labels);
        union.push((Some(index as u32), None));
        drops.push(drops_name);
    }
    for index in 0..rhs.len() {
        let (key, labels, drops_name) = number(rhs, index);
        if let Some(equal) = of_lhs.remove(&key) {
            union[equal].1 = Some(index as u32);
            continue;
        }
        series.push(labels);
        union.push((None, Some(index as u32)));
        drops.push(drops_name);
    }
    let is_unique = numbers.labels.len() == series.len();
    let set = if is_unique { SeriesSet::made_unique(series) } else { SeriesSet::made(series) };
    (set.with_drops(drops), union)
}

/// The results of an instant in the order in which the original shows them. Compat: `VectorOr` of
/// `promql/engine.go`.
fn united_order(
    lhs: &Stored,
    lhs_order: Option<&[u32]>,
    rhs_order: Option<&[u32]>,
    union: &[Union],
) -> Vec<u32> {
    let is_of_lhs =
        |number: u32| union[number as usize].0.is_some_and(|at| lhs.has(at as usize, 0));
    let (mut of_lhs, mut of_rhs) = (Vec::new(), Vec::new());
    for (number, (left, right)) in (0..).zip(union) {
        of_lhs.extend(left.map(|_| number));
        of_rhs.extend(right.map(|_| (right, number)));
    }
    // Results of the left side have its numbers; those of the right side are by its numbers then.
    of_rhs.sort_unstable();
    let of_rhs: Vec<u32> = of_rhs.into_iter().map(|(_, number)| number).collect();
    let of_lhs = lhs_order.map_or(of_lhs, <[u32]>::to_vec);
    let of_rhs = match rhs_order {
        Some(order) => order.iter().map(|at| of_rhs[*at as usize]).collect(),
        None => of_rhs,
    };
    let first = of_lhs.iter().copied().filter(|number| is_of_lhs(*number));
    let then = of_rhs.into_iter().filter(|number| !is_of_lhs(*number));
    first.chain(then).collect()
}

impl Operator for SetOperation {
    fn open(self: Box<Self>, ctx: &Ctx<'_>) -> Result<Box<dyn Rows>, QueryError> {
        let Self { op, lhs, rhs, signatures, union, account } = *self;
        let count = lhs.grid.count;
        let (lhs, rhs) = open_both(ctx, lhs, rhs)?;
        let group_count = signatures.labels.len();
        let bytes = group_count * count / 8;
        let _held = ctx.memory.hold(bytes as u64)?;
        let mut present = vec![Bitmap::empty(count); group_count];
        if op == BinaryOp::Or {
            let stored = store(ctx, &*lhs.rows, lhs.series.len(), count)?;
            for (index, group) in signatures.left.iter().enumerate() {
                stored.mark(index, &mut present[*group as usize]);
            }
            let order = (count == 1)
                .then(|| united_order(&stored, lhs.rows.order(), rhs.rows.order(), &union));
            let (lhs, rhs, rhs_groups) = (stored, rhs.rows, signatures.right);
            let rows = UnionRows { lhs, rhs, rhs_groups, present, union, order, account };
            return Ok(Box::new(rows));
        }
        for_each_row(ctx, &*rhs.rows, rhs.series.len(), count, |index, row| {
            row.mark(&mut present[signatures.right[index] as usize]);
            Ok(())
        })?;
        let (groups, keeps) = (signatures.left, op == BinaryOp::And);
        Ok(Box::new(FilterRows { lhs: lhs.rows, groups, present, keeps, account }))
    }
}

impl Rows for FilterRows {
    fn read(
        &self,
        index: usize,
        row: &mut Row,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), QueryError> {
        self.lhs.read(index, row, scratch)?;
        let others = &self.present[self.groups[index] as usize];
        if self.keeps {
            row.keep_steps(others);
        } else {
            row.remove_steps(others);
        }
        scratch.tally(self.account).points += row.counted_samples();
        Ok(())
    }

    fn order(&self) -> Option<&[u32]> {
        self.lhs.order()
    }
}

impl Rows for UnionRows {
    fn read(
        &self,
        index: usize,
        row: &mut Row,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), QueryError> {
        let (lhs, rhs) = self.union[index];
        if let Some(rhs) = rhs {
            self.rhs.read(rhs as usize, row, scratch)?;
            let group = self.rhs_groups[rhs as usize];
            row.remove_steps(&self.present[group as usize]);
        }
        match (lhs, rhs) {
            (Some(lhs), None) => self.lhs.load(lhs as usize, row),
            (Some(lhs), Some(_)) => {
                let mut left = scratch.take_row();
                self.lhs.load(lhs as usize, &mut left);
                row.overlay(&left);
                scratch.put_row(left);
            }
            _ => {}
        }
        scratch.tally(self.account).points += row.counted_samples();
        scratch.tick(row.count() / 8)
    }

    fn order(&self) -> Option<&[u32]> {
        self.order.as_deref()
    }
}
