//! Chunks of files among the samples of the log. While it is replayed, a chunk takes its place in its series when
//! the log comes to the chunk's first sample. So a sample that stands in no chunk, because a file has lost some
//! at its end and looks whole, is appended where it was the first time; and one that was refused is again.

use crate::{
    chunk::Encoding,
    head::{closed::ClosedId, stale::Ended},
    head_chunks::ScannedChunk,
};

use super::{GroupData, HotSlot};

/// Chunks of a slot that the log has not come to, oldest first; they are neighbours in the group's list.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunksAhead {
    /// When the first of them begins; `i64::MAX` if there is none.
    min_t: i64,
    first: Option<ClosedId>,
    count: u32,
}

/// What a series was that the log has taken out of the head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::head) struct Evicted {
    pub(in crate::head) has_open_chunk: bool,
    pub(in crate::head) is_stale: bool,
}

fn ended(hot: &HotSlot) -> Option<Ended> {
    let is_ended = hot.has(HotSlot::STALE) && !hot.has(HotSlot::UNLOGGED | HotSlot::DOOMED);
    let HotSlot { series_ref, last_t, .. } = *hot;
    (is_ended && series_ref != HotSlot::NO_REF).then_some(Ended { series_ref, last_t })
}

impl ChunksAhead {
    const NONE: Self = Self { min_t: i64::MAX, first: None, count: 0 };

    fn last(&self) -> Option<ClosedId> {
        self.first.map(|first| first.later(self.count - 1))
    }
}

impl GroupData {
    /// Adds a chunk that is in a file, ahead of the log, if it comes after all that the series has. All of a
    /// slot are added one after the other. One whose bytes are given is to be written to a file anew. Says
    /// whether it was.
    pub(in crate::head) fn attach(
        &mut self,
        slot: usize,
        chunk: &ScannedChunk,
        copied: Option<&[u8]>,
    ) -> bool {
        let Some(hot) = self.hot.get(slot) else { return false };
        if self.ahead.len() <= slot {
            self.ahead.resize(self.hot.len(), ChunksAhead::NONE);
        }
        let ahead = &mut self.ahead[slot];
        let last_t = ahead.last().map_or(hot.last_t, |last| self.closed.get(last).max_t);
        if chunk.min_t <= last_t || chunk.max_t < chunk.min_t {
            return false;
        }
        let Ok(encoding) = Encoding::of_byte(chunk.encoding) else { return false };
        let (times, kind) =
            ((chunk.min_t, chunk.max_t), (encoding, encoding.count_of_header(chunk.samples_count)));
        let id = match copied {
            Some(data) => self.closed.push(slot, None, times, kind, data),
            None => self.closed.push_filed(None, times, kind, chunk.place),
        };
        if ahead.first.is_none() {
            (ahead.min_t, ahead.first) = (chunk.min_t, Some(id));
        }
        ahead.count += 1;
        debug_assert_eq!(ahead.last(), Some(id));
        true
    }

    /// Whether the log, which has come to `t`, has come to a chunk of the slot.
    #[inline]
    pub(in crate::head) fn is_filed_due(&self, slot: usize, t: i64) -> bool {
        self.ahead.get(slot).is_some_and(|ahead| t >= ahead.min_t)
    }

    /// Gives the chunks that begin until `t` their place, behind what the log had before them. Gives the time
    /// of the last sample that the series has then.
    #[cold]
    pub(in crate::head) fn place_filed(&mut self, slot: usize, t: i64) -> i64 {
        let is_any = self.ahead.get(slot).is_some_and(|ahead| ahead.count > 0 && ahead.min_t <= t);
        if is_any && self.hot[slot].has(HotSlot::HISTOGRAM) {
            self.leave_histograms(slot);
        } else if is_any && self.hot[slot].samples_count > 0 {
            self.close_chunk(slot);
        }
        let Self { hot, cold, closed, ahead, .. } = self;
        let (Some(hot), Some(cold)) = (hot.get_mut(slot), cold.get_mut(slot)) else {
            return i64::MIN;
        };
        let Some(ahead) = ahead.get_mut(slot) else { return hot.last_t };
        while let Some(id) = ahead.first.filter(|_| ahead.min_t <= t) {
            closed.set_previous(id, cold.closed_last);
            cold.closed_last = Some(id);
            hot.last_t = closed.get(id).max_t;
            ahead.count -= 1;
            *ahead = match ahead.count {
                0 => ChunksAhead::NONE,
                count => {
                    let next = id.later(1);
                    ChunksAhead { min_t: closed.get(next).min_t, first: Some(next), count }
                }
            };
        }
        hot.last_t
    }

    /// The log says that the series has left the head with all that it had so far.
    pub(in crate::head) fn evict(&mut self, slot: usize) -> Evicted {
        if let Some(ahead) = self.ahead.get_mut(slot) {
            *ahead = ChunksAhead::NONE;
        }
        let Self { hot, cold, closed, blocks, histograms, starts, .. } = self;
        let (Some(hot), Some(cold)) = (hot.get_mut(slot), cold.get_mut(slot)) else {
            return Evicted::default();
        };
        let evicted =
            Evicted { has_open_chunk: hot.samples_count > 0, is_stale: hot.has(HotSlot::STALE) };
        blocks.free(hot.chain);
        histograms.remove(slot);
        starts.end_chunk(slot);
        *hot = HotSlot::new(hot.series_ref, hot.flags & HotSlot::UNLOGGED);
        // Closed chunks go with the next truncation; until then they are nobody's.
        cold.closed_last = None;
        closed.disown(slot);
        evicted
    }

    /// Empties slots outside of a replay: their series may go. Says how many chunks have gone.
    pub(in crate::head) fn evict_all(&mut self, slots: &[usize]) -> u64 {
        let mut chunks_count = 0;
        for slot in slots {
            chunks_count += u64::from(self.evict(*slot).has_open_chunk);
            if let Some(hot) = self.hot.get_mut(*slot) {
                hot.set(HotSlot::DOOMED, true);
            }
        }
        self.blocks.shrink();
        let lasts = self.cold.iter_mut().map(|cold| &mut cold.closed_last);
        chunks_count + self.closed.purge(lasts)
    }

    /// Shows the series that end with a staleness marker, and have a record on the log.
    pub(in crate::head) fn for_each_ended(&self, mut each: impl FnMut(usize, Ended)) {
        for (slot, hot) in self.hot.iter().enumerate() {
            if let Some(ended) = ended(hot) {
                each(slot, ended);
            }
        }
    }

    /// Whether the series of a slot has ended so, and nothing has come since.
    pub(in crate::head) fn is_ended(&self, slot: usize, as_was: Ended) -> bool {
        self.hot.get(slot).and_then(ended) == Some(as_was)
    }

    /// Ends a replay: the log has nothing of the chunks that are left.
    pub(in crate::head) fn place_all_filed(&mut self) {
        for slot in 0..self.ahead.len() {
            self.place_filed(slot, i64::MAX);
        }
        self.ahead = Vec::new();
    }
}
