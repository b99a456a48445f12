//! What one worker reuses from row to row: decoded columns, window positions, spare rows, counts.

use std::sync::Arc;

use prom_storage::{Columns, Selection, TimeRange};

use super::{
    Ctx,
    ledger::{AccountId, Tally},
    memory::Held,
    row::Row,
    window::WindowCache,
};
use crate::{QueryError, watch::IN_EVALUATION};

/// Values computed between two looks at the clock.
const WORK_PER_CHECK: usize = 16_384;

/// A time and a value.
const SAMPLE_SIZE_BYTES: u64 = 16;

/// Series whose columns are kept: both sides of an operation over one selection read the same ones.
const COLUMN_SLOTS: usize = 2;

/// What the positions of the windows take, in rows.
const WINDOW_ROWS: u64 = 7;

/// Buffers of one worker. What they take is counted; a refusal shows at the next [`Scratch::tick`],
/// one row later at most.
pub(crate) struct Scratch<'q> {
    pub(crate) ctx: &'q Ctx<'q>,
    slots: [ColumnSlot; COLUMN_SLOTS],
    oldest_slot: usize,
    windows: Vec<(AccountId, WindowCache)>,
    rows: Vec<Row>,
    tallies: Vec<Tally>,
    work: usize,
    held: Option<Held>,
    refusal: Option<QueryError>,
}

/// Which samples of a series are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    All,
    /// The newest one; there may be older ones.
    Newest,
}

#[derive(Default)]
struct ColumnSlot {
    key: Option<(usize, usize, TimeRange, Wanted)>,
    columns: Columns,
    /// Samples that were counted for the columns, which keep their room.
    counted: usize,
}

impl<'q> Scratch<'q> {
    pub(crate) fn new(ctx: &'q Ctx<'q>) -> Self {
        let mut scratch = Self {
            ctx,
            slots: Default::default(),
            oldest_slot: 0,
            windows: Vec::new(),
            rows: Vec::new(),
            tallies: Vec::new(),
            work: 0,
            held: None,
            refusal: None,
        };
        // For the row that its owner reads into.
        scratch.count(ctx.row_bytes());
        scratch
    }

    /// Counts bytes of buffers.
    fn count(&mut self, bytes: u64) {
        let counted = match &mut self.held {
            Some(held) => held.grow(bytes),
            none => self.ctx.memory.hold(bytes).map(|held| *none = Some(held)),
        };
        if let Err(refusal) = counted {
            self.refusal.get_or_insert(refusal);
        }
    }

    /// Samples within `range` of the series at `index` of a selection.
    pub(crate) fn columns(
        &mut self,
        selector: usize,
        selection: &Arc<dyn Selection>,
        index: usize,
        range: TimeRange,
        wanted: Wanted,
    ) -> Result<&Columns, QueryError> {
        let key = Some((selector, index, range, wanted));
        let known = self.slots.iter().position(|slot| slot.key == key);
        let slot = match known {
            Some(slot) => slot,
            None => {
                let slot = self.oldest_slot;
                self.oldest_slot = (slot + 1) % COLUMN_SLOTS;
                let entry = &mut self.slots[slot];
                entry.key = None;
                entry.columns.clear();
                match wanted {
                    Wanted::All => selection.read(index, range, &mut entry.columns)?,
                    Wanted::Newest => selection.read_newest(index, range, &mut entry.columns)?,
                }
                entry.key = key;
                let count = entry.columns.len();
                let grown = count.saturating_sub(entry.counted);
                entry.counted = entry.counted.max(count);
                if grown > 0 {
                    self.count(grown as u64 * SAMPLE_SIZE_BYTES);
                }
                slot
            }
        };
        Ok(&self.slots[slot].columns)
    }

    /// Takes the window positions of an operator; give them back with [`Self::put_windows`].
    pub(crate) fn take_windows(&mut self, account: AccountId) -> WindowCache {
        match self.windows.iter().position(|(id, _)| *id == account) {
            Some(at) => self.windows.swap_remove(at).1,
            None => {
                self.count(self.ctx.row_bytes() * WINDOW_ROWS);
                WindowCache::default()
            }
        }
    }

    pub(crate) fn put_windows(&mut self, account: AccountId, windows: WindowCache) {
        self.windows.push((account, windows));
    }

    /// Takes a spare row; give it back with [`Self::put_row`].
    pub(crate) fn take_row(&mut self) -> Row {
        self.rows.pop().unwrap_or_else(|| {
            self.count(self.ctx.row_bytes());
            Row::default()
        })
    }

    pub(crate) fn put_row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Counts of an operator since the last flush.
    pub(crate) fn tally(&mut self, account: AccountId) -> &mut Tally {
        if self.tallies.len() <= account {
            self.tallies.resize_with(account + 1, Tally::default);
        }
        &mut self.tallies[account]
    }

    /// Tells of `values` computed values; looks at the clock now and then.
    pub(crate) fn tick(&mut self, values: usize) -> Result<(), QueryError> {
        self.work += values + 1;
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        if self.work < WORK_PER_CHECK {
            return Ok(());
        }
        self.work = 0;
        self.ctx.watch.check(IN_EVALUATION)
    }

    /// Hands the counts to the ledger.
    pub(crate) fn flush(&mut self) -> Result<(), QueryError> {
        for (account, tally) in self.tallies.iter_mut().enumerate() {
            if tally.points > 0 || tally.queryable > 0 || !tally.runs.is_empty() {
                self.ctx.ledger.add(account, tally, self.ctx.settings.samples_count_max)?;
                tally.clear();
            }
        }
        Ok(())
    }
}
