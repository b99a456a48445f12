//! Closed chunks of one group, byte for byte as chunk files hold them: at first in memory, then in files of
//! `chunks_head/`, of which only the places are kept. Writing these files is `flush`'s matter.

use std::num::NonZeroU32;

use crate::{
    chunk::{ChunkError, Encoding},
    head_chunks::{ChunkMaps, ChunkPlace},
};

use super::sidecar::{ClosedData, ClosedImage};

/// Place of a closed chunk in its group, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClosedId(NonZeroU32);

impl ClosedId {
    /// The one that came so many chunks later.
    pub(super) fn later(self, count: u32) -> Self {
        Self(self.0.saturating_add(count))
    }
}

/// Number of a file; no file has this one.
const IN_MEMORY: u32 = 0;
const SIZE_SIZE_BYTES: usize = 4;
/// No slot of a group.
const NO_SLOT: u16 = u16::MAX;

/// A chunk that takes no more samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClosedChunk {
    pub(super) min_t: i64,
    pub(super) max_t: i64,
    /// In memory, the offset counts all bytes that ever waited in this group.
    place: ChunkPlace,
    /// The chunk before it, of the same series.
    pub(super) previous: Option<ClosedId>,
    pub(super) samples_count: u16,
    pub(super) encoding: Encoding,
}

const _: () = assert!(size_of::<ClosedChunk>() == 32);

impl ClosedChunk {
    /// The number of its file; 0 while it is in memory.
    pub(super) fn file(&self) -> u32 {
        self.place.file
    }
}

/// The closed chunks of one group.
#[derive(Debug, Default)]
pub(super) struct ClosedChunks {
    chunks: Vec<ClosedChunk>,
    /// Chunks in memory, in the order in which they were closed: each with its slot.
    waiting: Vec<(ClosedId, u16)>,
    /// Their bytes, each with its size before it; and how many bytes have gone before these.
    bytes: Vec<u8>,
    gone_size_bytes: u32,
    /// Whether any chunk ever had histograms.
    may_have_histograms: bool,
}

impl ClosedChunks {
    /// Keeps a chunk of a slot.
    pub(super) fn push(
        &mut self,
        slot: usize,
        previous: Option<ClosedId>,
        (min_t, max_t): (i64, i64),
        (encoding, samples_count): (Encoding, u16),
        data: &[u8],
    ) -> ClosedId {
        let offset = self.gone_size_bytes.wrapping_add(self.bytes.len() as u32);
        let place = ChunkPlace { file: IN_MEMORY, offset };
        self.bytes.extend_from_slice(&(data.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(data);
        let id =
            self.push_chunk(ClosedChunk { min_t, max_t, place, previous, samples_count, encoding });
        self.waiting.push((id, slot as u16));
        id
    }

    /// Chunks of a slot that wait for a file are of no series any more.
    pub(super) fn disown(&mut self, slot: usize) {
        for (_, owner) in self.waiting.iter_mut().filter(|(_, owner)| usize::from(*owner) == slot) {
            *owner = NO_SLOT;
        }
    }

    /// Takes note of a chunk that is in a file.
    pub(super) fn push_filed(
        &mut self,
        previous: Option<ClosedId>,
        (min_t, max_t): (i64, i64),
        (encoding, samples_count): (Encoding, u16),
        place: ChunkPlace,
    ) -> ClosedId {
        self.push_chunk(ClosedChunk { min_t, max_t, place, previous, samples_count, encoding })
    }

    /// Makes room for so many chunks that are about to come, so that they are not copied again and again.
    pub(super) fn reserve(&mut self, count: usize) {
        self.chunks.reserve_exact(count);
    }

    /// Gives back room that is not used, but for the usual rest.
    pub(super) fn fit(&mut self) {
        self.chunks.shrink_to(self.chunks.len() + growth(self.chunks.len()));
    }

    /// Puts a chunk behind another one of its series.
    pub(super) fn set_previous(&mut self, id: ClosedId, previous: Option<ClosedId>) {
        self.chunks[id.0.get() as usize - 1].previous = previous;
    }

    fn push_chunk(&mut self, chunk: ClosedChunk) -> ClosedId {
        if self.chunks.len() == self.chunks.capacity() {
            self.chunks.reserve_exact(growth(self.chunks.len()));
        }
        self.may_have_histograms |= chunk.encoding.is_histogram();
        self.chunks.push(chunk);
        let id = u32::try_from(self.chunks.len()).ok().and_then(NonZeroU32::new);
        ClosedId(id.expect("four billion chunks of one group do not fit any memory"))
    }

    /// Drops chunks that end before `min_t`, of all series: `lasts` has the newest chunk of each slot.
    /// Says how many have gone.
    pub(super) fn truncate<'a>(
        &mut self,
        min_t: i64,
        lasts: impl Iterator<Item = &'a mut Option<ClosedId>>,
    ) -> u64 {
        if self.chunks.iter().all(|chunk| chunk.max_t >= min_t) {
            return 0;
        }
        self.retain(min_t, lasts)
    }

    /// Drops chunks that are nobody's any more. Says how many have gone.
    pub(super) fn purge<'a>(
        &mut self,
        lasts: impl Iterator<Item = &'a mut Option<ClosedId>>,
    ) -> u64 {
        self.retain(i64::MIN, lasts)
    }

    fn retain<'a>(
        &mut self,
        min_t: i64,
        lasts: impl Iterator<Item = &'a mut Option<ClosedId>>,
    ) -> u64 {
        let mut kept = Self::default();
        let mut chain = Vec::new();
        for (slot, last) in lasts.enumerate() {
            chain.clear();
            let ids = std::iter::successors(*last, |id| self.get(*id).previous);
            chain.extend(ids.take_while(|id| self.get(*id).max_t >= min_t));
            *last = chain.iter().rev().fold(None, |previous, id| {
                let chunk = self.get(*id);
                let times = (chunk.min_t, chunk.max_t);
                let kind = (chunk.encoding, chunk.samples_count);
                Some(match self.waiting_data(chunk) {
                    Some(data) => kept.push(slot, previous, times, kind, data),
                    None => kept.push_filed(previous, times, kind, chunk.place),
                })
            });
        }
        let gone = self.chunks.len() - kept.chunks.len();
        *self = kept;
        gone as u64
    }

    pub(super) fn get(&self, id: ClosedId) -> &ClosedChunk {
        &self.chunks[id.0.get() as usize - 1]
    }

    /// The bytes of a chunk.
    ///
    /// # Errors
    /// The chunk is in a file and damaged there.
    pub(super) fn data<'a>(
        &'a self,
        chunk: &ClosedChunk,
        series_ref: u64,
        maps: &'a ChunkMaps,
    ) -> Result<&'a [u8], ChunkError> {
        if let Some(data) = self.waiting_data(chunk) {
            return Ok(data);
        }
        let filed = maps.chunk(chunk.place, Some(series_ref)).map_err(|_| ChunkError::Filed)?;
        match (filed.min_t, filed.max_t) == (chunk.min_t, chunk.max_t) {
            true => Ok(filed.data),
            false => Err(ChunkError::Filed),
        }
    }

    /// Whether there may be chunks of histograms.
    pub(super) fn may_have_histograms(&self) -> bool {
        self.may_have_histograms
    }

    /// A chunk as a sidecar holds it.
    pub(super) fn image(&self, id: ClosedId) -> ClosedImage<'_> {
        let chunk = self.get(id);
        let data = match self.waiting_data(chunk) {
            Some(data) => ClosedData::Waiting(data),
            None => ClosedData::Filed(chunk.place),
        };
        let ClosedChunk { min_t, max_t, samples_count, encoding, .. } = *chunk;
        ClosedImage { min_t, max_t, samples_count, encoding, data }
    }

    pub(super) fn is_filed_before(&self, chunk: &ClosedChunk, file: u32) -> bool {
        chunk.place.file != IN_MEMORY && chunk.place.file < file
    }

    /// Bytes that wait for a file.
    pub(super) fn waiting_size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Shows the chunks that are not in files yet, in the order in which they were closed.
    pub(super) fn for_each_waiting(&self, mut each: impl FnMut(usize, &ClosedChunk, &[u8])) {
        for (id, slot) in &self.waiting {
            let chunk = self.get(*id);
            if let Some(data) = self.waiting_data(chunk) {
                each(usize::from(*slot), chunk, data);
            }
        }
    }

    /// The first chunks that waited stand in files now; their memory is free.
    pub(super) fn set_filed(&mut self, places: &[ChunkPlace]) {
        let mut size_bytes = 0;
        for ((id, _), place) in self.waiting.drain(..places.len()).zip(places) {
            let chunk = &mut self.chunks[id.0.get() as usize - 1];
            let begin = chunk.place.offset.wrapping_sub(self.gone_size_bytes) as usize;
            let size = self.bytes[begin..].first_chunk().copied().map_or(0, u32::from_le_bytes);
            size_bytes += SIZE_SIZE_BYTES + size as usize;
            chunk.place = *place;
        }
        self.gone_size_bytes = self.gone_size_bytes.wrapping_add(size_bytes as u32);
        self.bytes.drain(..size_bytes);
        if self.bytes.is_empty() {
            (self.bytes, self.waiting) = (Vec::new(), Vec::new());
        }
    }

    /// The lowest number of a file that is needed; `u32::MAX` if none is.
    pub(super) fn first_file(&self) -> u32 {
        let files = self.chunks.iter().map(|chunk| chunk.place.file);
        files.filter(|file| *file != IN_MEMORY).min().unwrap_or(u32::MAX)
    }

    fn waiting_data(&self, chunk: &ClosedChunk) -> Option<&[u8]> {
        if chunk.place.file != IN_MEMORY {
            return None;
        }
        let begin = chunk.place.offset.wrapping_sub(self.gone_size_bytes) as usize;
        let (size, data) = self.bytes.get(begin..)?.split_first_chunk::<SIZE_SIZE_BYTES>()?;
        data.get(..u32::from_le_bytes(*size) as usize)
    }
}

/// For how many more chunks room is made where there are so many.
fn growth(count: usize) -> usize {
    count / 8 + 32
}
