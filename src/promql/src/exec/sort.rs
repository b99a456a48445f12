//! `sort` and its kin: they say in which order an instant vector is shown.

use std::cmp::Ordering;

use prom_model::Labels;

use super::{
    Bound, Ctx, Opened, Operator, Rows, Scratch, drain::store, ledger::AccountId, row::Row,
    stored::Stored,
};
use crate::{QueryError, plan::SortOrder};

/// Orders the series of an instant query.
pub(super) struct Sort {
    pub(super) operand: Bound,
    pub(super) order: SortOrder,
    pub(super) account: AccountId,
}

struct SortedRows {
    rows: Stored,
    order: Vec<u32>,
    account: AccountId,
}

impl Operator for Sort {
    fn open(self: Box<Self>, ctx: &Ctx<'_>) -> Result<Box<dyn Rows>, QueryError> {
        let operand = self.operand.open(ctx)?;
        let rows = store(ctx, &*operand.rows, operand.series.len(), operand.grid.count)?;
        let mut order: Vec<u32> = match operand.rows.order() {
            Some(order) => order.to_vec(),
            None => (0..operand.series.len() as u32).collect(),
        };
        match self.order {
            SortOrder::Value { is_descending } => {
                // Histograms have no order, and are left out.
                order.retain(|index| rows.histogram(*index as usize, 0).is_none());
                order.sort_by(|a, b| {
                    let value = |index: &u32| rows.get(*index as usize, 0).unwrap_or(f64::NAN);
                    by_value(value(a), value(b), is_descending)
                });
            }
            SortOrder::Labels { names, is_descending } => {
                order = by_labels(&operand, &order, &names, is_descending);
            }
        }
        Ok(Box::new(SortedRows { rows, order, account: self.account }))
    }
}

impl Rows for SortedRows {
    fn read(
        &self,
        index: usize,
        row: &mut Row,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), QueryError> {
        self.rows.read(index, row, scratch)?;
        scratch.tally(self.account).points += row.counted_samples();
        Ok(())
    }

    fn order(&self) -> Option<&[u32]> {
        Some(&self.order)
    }
}

/// NaN comes last in both directions.
pub(super) fn by_value(a: f64, b: f64, is_descending: bool) -> Ordering {
    let nan_last = a.is_nan().cmp(&b.is_nan());
    let ascending = || a.partial_cmp(&b).unwrap_or(Ordering::Equal);
    nan_last.then_with(|| if is_descending { ascending().reverse() } else { ascending() })
}

/// Equal in the named labels, series follow the order of all their labels.
fn by_labels(operand: &Opened, order: &[u32], names: &[String], is_descending: bool) -> Vec<u32> {
    let labels = order.iter().map(|index| (*index, operand.series.labels(*index as usize)));
    let mut labels: Vec<(u32, Labels)> = labels.collect();
    labels.sort_by(|(_, a), (_, b)| {
        let value =
            |labels: &Labels, name: &String| labels.get(name).unwrap_or_default().to_owned();
        let named = names.iter().map(|name| natural_order(&value(a, name), &value(b, name)));
        let order = named.fold(Ordering::Equal, Ordering::then).then_with(|| a.cmp(b));
        if is_descending { order.reverse() } else { order }
    });
    labels.into_iter().map(|(index, _)| index).collect()
}

/// Runs of digits compare as numbers, the text between them as text.
/// Compat: `github.com/facette/natsort`.
fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (chunks(a), chunks(b));
    loop {
        let (chunk_a, chunk_b) = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) => (a, b),
        };
        let order = match (number(chunk_a), number(chunk_b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => chunk_a.cmp(chunk_b),
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Alternating runs of digits and of anything else.
fn chunks(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let is_digit = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != is_digit).unwrap_or(rest.len());
        let (chunk, after) = rest.split_at(end);
        rest = after;
        Some(chunk)
    })
}

fn number(chunk: &str) -> Option<u128> {
    chunk.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_compare_as_numbers() {
        let check =
            |a: &str, b: &str, expected| assert_eq!(natural_order(a, b), expected, "{a} {b}");
        check("a2", "a10", Ordering::Less);
        check("a10", "a2", Ordering::Greater);
        check("4-1", "4-10", Ordering::Less);
        check("cpu1", "cpu1", Ordering::Equal);
        check("", "a", Ordering::Less);
        check("1", "a", Ordering::Less);
    }

    #[test]
    fn nan_is_last() {
        let mut values = [f64::NAN, 1.0, 3.0, 2.0];
        values.sort_by(|a, b| by_value(*a, *b, true));
        assert_eq!(values[..3], [3.0, 2.0, 1.0]);
        values.sort_by(|a, b| by_value(*a, *b, false));
        assert_eq!(values[..3], [1.0, 2.0, 3.0]);
    }
}
