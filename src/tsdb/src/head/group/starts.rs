//! Samples that tell since when they count: their starts are kept beside the open chunks of the group.

use prom_storage::{Columns, TimeRange};

use crate::{
    chunk::ChunkError,
    head::{slot::HotSlot, starts::OpenStarts},
};

use super::{Appended, GroupData};

impl GroupData {
    /// [`Self::append`] with when the sample began to count, 0 if nobody knows.
    pub(in crate::head) fn append_with_start(
        &mut self,
        slot: usize,
        (t, v): (i64, u64),
        start_ms: i64,
        chunk_range_ms: i64,
    ) -> Appended {
        let appended = self.append(slot, (t, v), chunk_range_ms);
        // A marker has become a histogram, and tells no start.
        let is_float = self.hot.get(slot).is_some_and(|hot| !hot.has(HotSlot::HISTOGRAM));
        self.set_start(slot, appended, if is_float { start_ms } else { 0 });
        appended
    }

    /// Whether any open chunk has starts: all further samples tell theirs then.
    #[inline]
    pub(in crate::head) fn has_starts(&self) -> bool {
        !self.starts.is_empty()
    }

    /// When the last sample of the open chunk began to count, 0 if nobody knows.
    pub(in crate::head) fn last_start_ms(&self, slot: usize) -> i64 {
        self.starts.last_of(slot)
    }

    /// Forgets starts that are not kept.
    pub(in crate::head) fn forget_starts(&mut self, is_any_kept: bool, is_histogram_kept: bool) {
        if !is_any_kept {
            self.starts = OpenStarts::default();
        }
        for (slot, hot) in self.hot.iter().enumerate() {
            if hot.has(HotSlot::HISTOGRAM) && !is_histogram_kept {
                self.starts.end_chunk(slot);
            }
        }
    }

    /// Takes the start of a sample that was appended so.
    pub(in crate::head) fn set_start(&mut self, slot: usize, appended: Appended, start_ms: i64) {
        if let (Appended::Stored { .. }, Some(hot)) = (appended, self.hot.get(slot)) {
            self.starts.set(slot, hot.samples_count.saturating_sub(1), start_ms);
        }
    }

    /// Appends those of the first `count_max` samples of an open chunk that are within the range, with their starts.
    #[inline(never)]
    pub(super) fn read_floats_with_starts(
        &self,
        (slot, hot): (usize, &HotSlot),
        count_max: usize,
        range: TimeRange,
        out: &mut Columns,
    ) -> Result<(), ChunkError> {
        let mut open = Columns::default();
        let from_begin = TimeRange { mint_ms: i64::MIN, ..range };
        hot.read_floats(&self.blocks, count_max, from_begin, &mut open)?;
        let samples = open.timestamps_ms.into_iter().zip(open.values);
        let starts_ms = self.starts.all_of(slot, hot.samples_count);
        for ((t, value), start_ms) in samples.zip(starts_ms) {
            if t >= range.mint_ms {
                out.push_with_start(t, value, start_ms);
            }
        }
        out.align_starts();
        Ok(())
    }
}
