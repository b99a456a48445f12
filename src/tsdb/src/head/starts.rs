//! Since when the samples of open chunks count, beside the chunks: series that do not tell pay nothing. When a chunk
//! is put together the starts go into it.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::group::GROUP_SLOTS;

/// The first of the samples that have a start, and the start.
pub(super) type StartRun = (u16, i64);

/// The starts of a group's open chunks.
#[derive(Debug, Default)]
pub(super) struct OpenStarts {
    /// By slot: the start of the last sample of its open chunk, 0 if it has none. Empty until the first start comes.
    last: Vec<i64>,
    /// Of those slots whose open chunk has several: all of them, in order.
    runs: HashMap<u16, Vec<StartRun>, FixedState>,
}

impl OpenStarts {
    /// Whether no start has come to this group.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    /// Whether any sample of the open chunk has a start.
    pub(super) fn has(&self, slot: usize) -> bool {
        self.last_of(slot) != 0 || self.runs.contains_key(&(slot as u16))
    }

    /// The start of the last sample of the open chunk, 0 if it has none.
    pub(super) fn last_of(&self, slot: usize) -> i64 {
        self.last.get(slot).copied().unwrap_or(0)
    }

    /// The starts of the first `count` samples of the open chunk.
    pub(super) fn all_of(&self, slot: usize, count: u16) -> Vec<i64> {
        let Some(runs) = self.runs.get(&(slot as u16)) else {
            return vec![self.last_of(slot); usize::from(count)];
        };
        let mut all = Vec::with_capacity(usize::from(count));
        let ends = runs.iter().skip(1).map(|(first, _)| *first).chain([count]);
        for ((_, start_ms), end) in runs.iter().zip(ends) {
            all.resize(usize::from(end.min(count)), *start_ms);
        }
        all
    }

    /// The starts of the open chunk as runs; none if no sample has a start.
    pub(super) fn runs_of(&self, slot: usize) -> Vec<StartRun> {
        match (self.runs.get(&(slot as u16)), self.last_of(slot)) {
            (Some(runs), _) => runs.clone(),
            (None, 0) => Vec::new(),
            (None, start_ms) => vec![(0, start_ms)],
        }
    }

    /// Takes the start of the sample at `index`, which is the last one of the open chunk.
    pub(super) fn set(&mut self, slot: usize, index: u16, start_ms: i64) {
        if self.last.is_empty() {
            if start_ms == 0 {
                return;
            }
            self.last = vec![0; GROUP_SLOTS];
        }
        let Some(last) = self.last.get_mut(slot) else { return };
        let before = std::mem::replace(last, start_ms);
        if index > 0 && before != start_ms {
            let runs = self.runs.entry(slot as u16).or_insert_with(|| vec![(0, before)]);
            runs.push((index, start_ms));
        }
    }

    /// The open chunk is done with.
    #[inline]
    pub(super) fn end_chunk(&mut self, slot: usize) {
        if let Some(last) = self.last.get_mut(slot) {
            *last = 0;
            self.runs.remove(&(slot as u16));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn groups_without_starts_hold_nothing() {
        let mut starts = OpenStarts::default();
        (0..9).for_each(|index| starts.set(3, index, 0));
        starts.end_chunk(3);
        assert!(starts.is_empty() && !starts.has(3));
        assert_eq!((starts.all_of(3, 2), starts.runs_of(3)), (vec![0, 0], vec![]));
    }

    proptest! {
        #[test]
        fn starts_come_back(of_slots in prop::collection::vec(prop::collection::vec(0i64..3, 1..50), 2..4)) {
            let mut starts = OpenStarts::default();
            for round in 0..50 {
                for (slot, of_slot) in of_slots.iter().enumerate() {
                    if let Some(start_ms) = of_slot.get(round) {
                        starts.set(slot, round as u16, *start_ms);
                    }
                }
            }
            for (slot, of_slot) in of_slots.iter().enumerate() {
                prop_assert_eq!(&starts.all_of(slot, of_slot.len() as u16), of_slot);
                prop_assert_eq!(starts.last_of(slot), of_slot[of_slot.len() - 1]);
                prop_assert_eq!(starts.has(slot), of_slot.iter().any(|start_ms| *start_ms != 0));
                let mut again = OpenStarts::default();
                for (first, start_ms) in starts.runs_of(slot) {
                    again.set(slot, first, start_ms);
                }
                prop_assert_eq!(&again.all_of(slot, of_slot.len() as u16), of_slot);
                let few = starts.all_of(slot, 1);
                prop_assert_eq!(&few[..], &of_slot[..1]);
            }
            (0..of_slots.len()).for_each(|slot| starts.end_chunk(slot));
            prop_assert!(starts.runs.is_empty() && !starts.has(0));
        }
    }
}
