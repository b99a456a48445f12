//! Closed chunks of one group, byte for byte as chunk files hold them. They stay in memory; this is the
//! door behind which files in `chunks_head/` will stand.

use std::num::NonZeroU32;

use crate::chunk::Encoding;

const PAGE_SIZE_BYTES: usize = 64 * 1024;

/// Place of a closed chunk in its group, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClosedId(NonZeroU32);

/// A chunk that takes no more samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClosedChunk {
    pub(super) min_t: i64,
    pub(super) max_t: i64,
    page: u32,
    offset: u16,
    size_bytes: u16,
    /// The chunk before it, of the same series.
    pub(super) previous: Option<ClosedId>,
    pub(super) samples_count: u16,
    pub(super) encoding: Encoding,
}

/// The closed chunks of one group.
#[derive(Debug, Default)]
pub(super) struct ClosedChunks {
    chunks: Vec<ClosedChunk>,
    pages: Vec<Vec<u8>>,
}

impl ClosedChunks {
    /// Keeps a chunk; `data` is at most 1 KiB.
    pub(super) fn push(
        &mut self,
        previous: Option<ClosedId>,
        (min_t, max_t): (i64, i64),
        samples_count: u16,
        data: &[u8],
    ) -> ClosedId {
        if self.pages.last().is_none_or(|page| page.len() + data.len() > PAGE_SIZE_BYTES) {
            self.pages.push(Vec::with_capacity(PAGE_SIZE_BYTES));
        }
        let page_at = self.pages.len() - 1;
        let page = &mut self.pages[page_at];
        let chunk = ClosedChunk {
            min_t,
            max_t,
            page: page_at as u32,
            offset: page.len() as u16,
            size_bytes: data.len() as u16,
            previous,
            samples_count,
            encoding: Encoding::Xor,
        };
        page.extend_from_slice(data);
        if self.chunks.len() == self.chunks.capacity() {
            self.chunks.reserve_exact(self.chunks.len() / 8 + 32);
        }
        self.chunks.push(chunk);
        let id = u32::try_from(self.chunks.len()).ok().and_then(NonZeroU32::new);
        ClosedId(id.expect("four billion chunks of one group do not fit any memory"))
    }

    /// Drops chunks that end before `min_t`, of all series: `lasts` has the newest chunk of each.
    /// Says how many have gone.
    pub(super) fn truncate<'a>(
        &mut self,
        min_t: i64,
        lasts: impl Iterator<Item = &'a mut Option<ClosedId>>,
    ) -> u64 {
        if self.chunks.iter().all(|chunk| chunk.max_t >= min_t) {
            return 0;
        }
        let mut kept = Self::default();
        let mut chain = Vec::new();
        for last in lasts {
            chain.clear();
            let ids = std::iter::successors(*last, |id| self.get(*id).previous);
            chain.extend(ids.take_while(|id| self.get(*id).max_t >= min_t));
            *last = chain.iter().rev().fold(None, |previous, id| {
                let chunk = self.get(*id);
                let times = (chunk.min_t, chunk.max_t);
                Some(kept.push(previous, times, chunk.samples_count, self.data(chunk)))
            });
        }
        let gone = self.chunks.len() - kept.chunks.len();
        *self = kept;
        gone as u64
    }

    pub(super) fn get(&self, id: ClosedId) -> &ClosedChunk {
        &self.chunks[id.0.get() as usize - 1]
    }

    pub(super) fn data(&self, chunk: &ClosedChunk) -> &[u8] {
        let begin = usize::from(chunk.offset);
        &self.pages[chunk.page as usize][begin..begin + usize::from(chunk.size_bytes)]
    }
}
