//! Closed chunks of a group against their files: which cannot be read, and all of them taken back to memory.

use crate::{
    chunk::Encoding,
    head::{closed::ClosedId, slot::HotSlot},
    head_chunks::ChunkMaps,
};

use super::{GROUP_SLOTS, GroupData};

/// A closed chunk that cannot be read in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::head) struct Lost {
    pub(in crate::head) series_ref: u64,
    pub(in crate::head) slot: u32,
    pub(in crate::head) id: ClosedId,
    pub(in crate::head) file: u32,
    pub(in crate::head) encoding: Encoding,
    pub(in crate::head) min_t: i64,
    pub(in crate::head) max_t: i64,
    pub(in crate::head) samples_count: u16,
}

/// Such a chunk, made anew if that could be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::head) struct Remade {
    /// In its group.
    pub(in crate::head) slot: usize,
    pub(in crate::head) id: ClosedId,
    pub(in crate::head) file: u32,
    pub(in crate::head) data: Option<(Encoding, Vec<u8>)>,
}

impl GroupData {
    /// Shows the closed chunks that cannot be read; `number` is that of the group.
    pub(in crate::head) fn for_each_lost(
        &self,
        number: u32,
        maps: &ChunkMaps,
        mut each: impl FnMut(Lost),
    ) {
        for (slot, hot) in self.hot.iter().enumerate() {
            for (id, chunk) in self.closed_from(slot) {
                if self.closed.data(chunk, hot.series_ref, maps).is_err() {
                    each(Lost {
                        series_ref: hot.series_ref,
                        slot: number * GROUP_SLOTS as u32 + slot as u32,
                        id,
                        file: chunk.file(),
                        encoding: chunk.encoding,
                        min_t: chunk.min_t,
                        max_t: chunk.max_t,
                        samples_count: chunk.samples_count,
                    });
                }
            }
        }
    }

    /// Takes all closed chunks to memory, with those that were made anew; what cannot be read goes. Says how
    /// many have gone.
    pub(in crate::head) fn load_closed(&mut self, maps: &ChunkMaps, remade: &[Remade]) -> u64 {
        let mut kept = super::ClosedChunks::default();
        let (mut chain, mut gone) = (Vec::new(), 0);
        for (slot, cold) in self.cold.iter_mut().enumerate() {
            let series_ref = self.hot.get(slot).map_or(HotSlot::NO_REF, |hot| hot.series_ref);
            chain.clear();
            chain.extend(std::iter::successors(cold.closed_last, |id| {
                self.closed.get(*id).previous
            }));
            cold.closed_last = chain.iter().rev().fold(None, |previous, id| {
                let chunk = self.closed.get(*id);
                let anew = remade.iter().find(|one| (one.slot, one.id) == (slot, *id));
                let found = match anew.map(|one| &one.data) {
                    Some(Some((encoding, data))) => Some((*encoding, data.as_slice())),
                    Some(None) => None,
                    None => {
                        let data = self.closed.data(chunk, series_ref, maps);
                        data.ok().map(|data| (chunk.encoding, data))
                    }
                };
                let Some((encoding, data)) = found else {
                    gone += 1;
                    return previous;
                };
                let times = (chunk.min_t, chunk.max_t);
                Some(kept.push(slot, previous, times, (encoding, chunk.samples_count), data))
            });
        }
        self.closed = kept;
        gone
    }
}
