//! The newest sample of a series, which its slot holds beside the chunk: known without decoding anything.

use prom_storage::{SeriesHandle, TimeRange};

use crate::lock::read;

use super::{Head, ReaderTicket, slot::HotSlot, slot_in_group};

impl Head {
    /// The newest sample of a series and when it began to count (0: nobody knows), if it lies within the range, is
    /// a float, and may be seen by the reader. Nothing does not mean that there is none.
    pub(crate) fn newest_float(
        &self,
        ticket: &ReaderTicket,
        handle: SeriesHandle,
        range: TimeRange,
    ) -> Option<(i64, f64, i64)> {
        let data = read(&self.groups.get(handle.slot)?.data);
        let slot = slot_in_group(handle.slot);
        let hot = data.hot(slot, handle.series_ref.0)?;
        // Of a series without an open chunk files may know more than its slot.
        let is_open_float = hot.samples_count > 0 && !hot.has(HotSlot::HISTOGRAM);
        let is_within = (range.mint_ms.max(ticket.floor_ms)..=range.maxt_ms).contains(&hot.last_t);
        let is_seen = data.tails.hidden_count(slot, ticket.snapshot) == 0;
        let is_newest = is_open_float && is_within && is_seen && self.deleted(handle).is_empty();
        is_newest.then(|| (hot.last_t, f64::from_bits(hot.last_v), data.last_start_ms(slot)))
    }
}
