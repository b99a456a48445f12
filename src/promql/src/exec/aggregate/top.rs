//! `topk` and `bottomk`: a heap for each group and step.
//! Compat: Prometheus `promql/engine.go`, `aggregationK`: which of equal values stays depends on the layout
//! of the heap, so its layout is that of Go's `container/heap`.

use super::{Grouped, Param, count_points};
use crate::{
    QueryError,
    annotation::Annotation,
    exec::{
        Bound, Ctx, Operator, Rows, Scratch,
        drain::for_each_row,
        ledger::AccountId,
        row::Row,
        sort::by_value,
        stored::{Arena, Stored},
    },
    syntax::Span,
};

struct Top {
    operand: Bound,
    groups: Grouped,
    param: Param,
    is_bottom: bool,
    span: Span,
    account: AccountId,
}

struct TopRows {
    rows: Stored,
    /// Of an instant query: the order in which the chosen are shown.
    order: Option<Vec<u32>>,
}

/// The chosen of one group at one step, the worst of them at the root.
#[derive(Clone, Debug, Default)]
struct Heap {
    items: Vec<Item>,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    value: f64,
    series: u32,
}

pub(super) fn bind(
    operand: Bound,
    groups: Grouped,
    param: Param,
    is_bottom: bool,
    (span, account): (Span, AccountId),
) -> Bound {
    let (series, grid) = (operand.series.clone(), operand.grid);
    let operator = Box::new(Top { operand, groups, param, is_bottom, span, account });
    Bound { series, grid, account, operator }
}

impl Operator for Top {
    fn open(self: Box<Self>, ctx: &Ctx<'_>) -> Result<Box<dyn Rows>, QueryError> {
        let Self { operand, groups, param, is_bottom, span, account } = *self;
        let grid = operand.grid;
        let operand = operand.open(ctx)?;
        let series_count = operand.series.len();
        let sizes = param.counts(series_count)?;
        let heap_count = groups.count() * grid.count;
        let mut held = ctx.memory.hold((heap_count * size_of::<Heap>()) as u64)?;
        let mut heaps = vec![Heap::default(); heap_count];
        for_each_row(ctx, &*operand.rows, series_count, grid.count, |index, row| {
            let first = groups.of_series[index] as usize * grid.count;
            // Histograms cannot be compared.
            let mut is_ignored = false;
            row.for_each_histogram(|step, _| is_ignored |= sizes[step] > 0);
            if is_ignored {
                let name = if is_bottom { "bottomk" } else { "topk" };
                ctx.annotate(Annotation::histogram_ignored(name, span));
            }
            let mut grown = 0;
            row.for_each(|step, value| {
                let item = Item { value, series: index as u32 };
                grown += usize::from(heaps[first + step].offer(item, sizes[step], is_bottom));
            });
            held.grow((grown * size_of::<Item>()) as u64)
        })?;
        let order = grid.is_instant.then(|| shown_order(&heaps, is_bottom));
        let rows = chosen_rows(ctx, &heaps, series_count, grid.count)?;
        count_points(ctx, account, heaps.iter().map(|heap| heap.items.len()).sum())?;
        Ok(Box::new(TopRows { rows, order }))
    }
}

impl Rows for TopRows {
    fn read(
        &self,
        index: usize,
        row: &mut Row,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), QueryError> {
        self.rows.read(index, row, scratch)
    }

    fn order(&self) -> Option<&[u32]> {
        self.order.as_deref()
    }
}

/// Group by group, the best first.
fn shown_order(heaps: &[Heap], is_bottom: bool) -> Vec<u32> {
    let mut order = Vec::new();
    for heap in heaps {
        let mut items = heap.items.clone();
        items.sort_by(|a, b| by_value(a.value, b.value, !is_bottom));
        order.extend(items.iter().map(|item| item.series));
    }
    order
}

/// The chosen values by series.
fn chosen_rows(
    ctx: &Ctx<'_>,
    heaps: &[Heap],
    series_count: usize,
    step_count: usize,
) -> Result<Stored, QueryError> {
    let mut chosen: Vec<(u32, u32, f64)> = Vec::new();
    let total: usize = heaps.iter().map(|heap| heap.items.len()).sum();
    let _held = ctx.memory.hold((total * size_of::<(u32, u32, f64)>()) as u64)?;
    chosen.reserve_exact(total);
    for (index, heap) in heaps.iter().enumerate() {
        let step = (index % step_count) as u32;
        chosen.extend(heap.items.iter().map(|item| (item.series, step, item.value)));
    }
    chosen.sort_unstable_by_key(|(series, step, _)| (*series, *step));
    let mut arena = Arena::new(&ctx.memory)?;
    let mut indices = Vec::new();
    let mut row = Row::default();
    for values in chosen.chunk_by(|a, b| a.0 == b.0) {
        row.reset(step_count);
        values.iter().for_each(|(_, step, value)| row.set(*step as usize, *value));
        indices.push(values[0].0);
        arena.push(&row)?;
    }
    Ok(Stored::from_parts(vec![(indices, arena)], series_count, step_count))
}

impl Heap {
    /// Takes an item if it is among the `size` best; tells whether the heap grew.
    fn offer(&mut self, item: Item, size: usize, is_bottom: bool) -> bool {
        if size == 0 {
            return false;
        }
        if self.items.len() < size {
            self.items.push(item);
            self.up(self.items.len() - 1, is_bottom);
            return true;
        }
        let worst = self.items[0].value;
        let is_better = if is_bottom { worst > item.value } else { worst < item.value };
        if is_better || worst.is_nan() && !item.value.is_nan() {
            self.items[0] = item;
            self.down(0, is_bottom);
        }
        false
    }

    /// Whether the item at `a` stands above the one at `b`: NaN does always.
    fn is_above(&self, a: usize, b: usize, is_bottom: bool) -> bool {
        let (a, b) = (self.items[a].value, self.items[b].value);
        a.is_nan() || if is_bottom { a > b } else { a < b }
    }

    fn up(&mut self, mut at: usize, is_bottom: bool) {
        while at > 0 {
            let parent = (at - 1) / 2;
            if !self.is_above(at, parent, is_bottom) {
                break;
            }
            self.items.swap(at, parent);
            at = parent;
        }
    }

    fn down(&mut self, mut at: usize, is_bottom: bool) {
        loop {
            let left = 2 * at + 1;
            if left >= self.items.len() {
                break;
            }
            let right = left + 1;
            let is_right = right < self.items.len() && self.is_above(right, left, is_bottom);
            let child = if is_right { right } else { left };
            if !self.is_above(child, at, is_bottom) {
                break;
            }
            self.items.swap(at, child);
            at = child;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(values: &[f64], size: usize, is_bottom: bool) -> Vec<u32> {
        let mut heap = Heap::default();
        for (series, value) in values.iter().enumerate() {
            heap.offer(Item { value: *value, series: series as u32 }, size, is_bottom);
        }
        let mut series: Vec<u32> = heap.items.iter().map(|item| item.series).collect();
        series.sort_unstable();
        series
    }

    #[test]
    fn the_best_stay_and_nan_goes_first() {
        assert_eq!(chosen(&[1.0, 5.0, 3.0, 4.0], 2, false), [1, 3]);
        assert_eq!(chosen(&[1.0, 5.0, 3.0, 4.0], 2, true), [0, 2]);
        assert_eq!(chosen(&[f64::NAN, 5.0, f64::NAN, 4.0], 3, false).len(), 3);
        assert_eq!(chosen(&[f64::NAN, 5.0, 4.0], 2, true), [1, 2]);
        assert_eq!(chosen(&[1.0], 0, true), [] as [u32; 0]);
        // Of equal values the first seen stay.
        assert_eq!(chosen(&[2.0, 2.0, 2.0], 2, false), [0, 1]);
    }
}
