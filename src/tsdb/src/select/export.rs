//! What a block is made of: the series of the head that have samples in a time range, sorted by labels, with
//! their chunks as they are. Writing blocks is not known here.

use std::sync::Arc;

use hashbrown::HashMap;
use prom_storage::{Selection, StorageError, TimeRange};

use crate::{
    block::{BlockSource, SourceSeries},
    head::Head,
};

use super::selection::HeadSelection;

/// A snapshot of the series with samples in a range; they stay readable while it lives.
#[derive(Debug)]
pub(crate) struct HeadExport {
    selection: HeadSelection,
    /// By pair id: the places of name and value among the symbols. Filled in with the symbols.
    symbols: HashMap<u32, (u32, u32), foldhash::fast::RandomState>,
    next: usize,
    part: Part,
}

/// Which chunks.
#[derive(Clone, Copy, Debug)]
enum Part {
    InOrder,
    /// Those up to an era, or all there are.
    OutOfOrder(Option<u32>),
}

impl HeadExport {
    /// Takes what the head holds from `min_t` on, before `max_t`. Chunks may reach over both. For a block
    /// that replaces the head's samples, no appender may bring more: see `Head::seal_before`.
    pub(crate) fn new(head: &Arc<Head>, min_t: i64, max_t: i64) -> Self {
        let ticket = Arc::new(head.enter());
        let range =
            TimeRange { mint_ms: min_t.max(ticket.floor_ms), maxt_ms: max_t.saturating_sub(1) };
        let mut selection = {
            let index = head.index();
            let all: Vec<u32> = (0..index.count() as u32).collect();
            HeadSelection::new(head, &index, ticket, range, &all, range)
        };
        selection.sort();
        Self { selection, symbols: HashMap::default(), next: 0, part: Part::InOrder }
    }

    /// Takes what series of some slots have in order of a time range.
    pub(crate) fn of_slots(
        head: &Arc<Head>,
        (min_t, max_t): (i64, i64),
        is_wanted: impl Fn(u32) -> bool,
    ) -> Self {
        let ticket = Arc::new(head.enter());
        let range =
            TimeRange { mint_ms: min_t.max(ticket.floor_ms), maxt_ms: max_t.saturating_sub(1) };
        let mut selection = {
            let index = head.index();
            let count = index.count() as u32;
            let wanted: Vec<u32> = (0..count).filter(|seq| is_wanted(index.slot(*seq))).collect();
            HeadSelection::new(head, &index, ticket, range, &wanted, range)
        };
        selection.sort();
        Self { selection, symbols: HashMap::default(), next: 0, part: Part::InOrder }
    }

    /// Takes what came out of order within the range, up to an era or by now.
    pub(crate) fn out_of_order(head: &Arc<Head>, range: TimeRange, era: Option<u32>) -> Self {
        let ticket = Arc::new(head.enter());
        let mut selection = {
            let index = head.index();
            let all: Vec<u32> = (0..index.count() as u32).collect();
            HeadSelection::new(head, &index, ticket, range, &all, range)
        };
        selection.retain_out_of_order();
        selection.sort();
        Self { selection, symbols: HashMap::default(), next: 0, part: Part::OutOfOrder(era) }
    }

    /// How many series.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.selection.len()
    }
}

impl BlockSource for HeadExport {
    fn symbols(
        &mut self,
        each: &mut dyn FnMut(&str) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let ids = self.selection.distinct_pair_ids();
        let pairs = self.selection.pairs();
        let mut texts: Vec<&str> = Vec::with_capacity(ids.len() * 2);
        for id in &ids {
            let (name, value) = pairs.texts(*id);
            texts.extend([name, value]);
        }
        texts.sort_unstable();
        texts.dedup();
        texts.iter().try_for_each(|text| each(text))?;
        let place = |text: &str| texts.partition_point(|other| *other < text) as u32;
        let symbols = ids.iter().map(|id| {
            let (name, value) = pairs.texts(*id);
            (id.0, (place(name), place(value)))
        });
        self.symbols = symbols.collect();
        Ok(())
    }

    fn next_series(&mut self, series: &mut SourceSeries) -> Result<bool, StorageError> {
        series.clear();
        if self.next >= self.selection.len() {
            return Ok(false);
        }
        let ids = self.selection.ids(self.next).iter();
        series.labels.extend(ids.map(|id| self.symbols[id]));
        match self.part {
            Part::InOrder => self.selection.for_each_chunk(self.next, |chunk| {
                series.push_chunk((chunk.min_t, chunk.max_t), chunk.encoding as u8, chunk.data);
            })?,
            Part::OutOfOrder(era) => {
                self.selection.for_each_out_of_order_chunk(
                    self.next,
                    era,
                    |times, kind, data| {
                        series.push_chunk(times, kind as u8, data);
                    },
                )?;
            }
        }
        series.deleted = self.selection.deleted(self.next);
        self.next += 1;
        Ok(true)
    }
}
