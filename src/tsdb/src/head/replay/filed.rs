//! What files of head chunks have, until a replay has come to their series; and which samples of the log need not
//! be looked at because of it. Placing the chunks is the groups' matter.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicI64, Ordering},
};

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::{
    chunk::Encoding,
    head_chunks::{ChunkPlace, ScannedChunk},
};

use super::REF_PAGE_SIZE;

/// Chunks that are kept side by side.
const PAGE_SIZE: usize = 4096;

/// The chunks of files. They are in memory beside the head that becomes larger, so they are kept small.
#[derive(Debug)]
pub(crate) struct FiledChunks {
    /// The last chunk of each ref, by its number.
    last_by_ref: HashMap<u64, u32, foldhash::fast::RandomState>,
    /// All chunks, by number.
    pages: Vec<Vec<FiledChunk>>,
    /// When the first of all chunks begins.
    begin_t: i64,
    /// By slot. Empty if files have none.
    pub(super) by_slot: Vec<FiledTimes>,
}

/// A chunk of a file without what is told by where it is kept.
#[derive(Clone, Copy, Debug)]
struct FiledChunk {
    min_t: i64,
    max_t: i64,
    place: ChunkPlace,
    /// The one of the same ref that was found before it.
    previous: Option<NonZeroU32>,
    samples_count: u16,
    encoding: u8,
}

const _: () = assert!(size_of::<FiledChunk>() == 32);

/// Which samples of a slot files have.
#[derive(Debug)]
pub(super) struct FiledTimes {
    /// The last sample of the chunks that the log has come to.
    end: AtomicI64,
    /// The first and the last time of each chunk, as milliseconds since [`FiledChunks::begin_t`]. Those that
    /// are too far from it are left out.
    ranges: Box<[(u32, u32)]>,
}

impl Default for FiledTimes {
    fn default() -> Self {
        Self { end: AtomicI64::new(i64::MIN), ranges: Box::default() }
    }
}

impl FiledTimes {
    /// The log has come to the chunks up to here.
    pub(super) fn set_end(&self, t: i64) {
        self.end.store(t, Ordering::Relaxed);
    }

    fn has(&self, t: i64, begin_t: i64) -> bool {
        if t <= self.end.load(Ordering::Relaxed) {
            return true;
        }
        let Some(since) = since(t, begin_t) else { return false };
        self.ranges.iter().any(|(first, last)| since > *first && since <= *last)
    }
}

impl Default for FiledChunks {
    fn default() -> Self {
        Self {
            last_by_ref: HashMap::default(),
            pages: Vec::new(),
            begin_t: i64::MAX,
            by_slot: Vec::new(),
        }
    }
}

impl FiledChunks {
    pub(crate) fn push(&mut self, chunk: ScannedChunk) {
        // Out-of-order chunks belong to another log.
        if chunk.is_out_of_order || Encoding::of_byte(chunk.encoding).is_err() {
            return;
        }
        if self.pages.last().is_none_or(|page| page.len() == PAGE_SIZE) {
            self.pages.push(Vec::with_capacity(PAGE_SIZE));
        }
        let pages_before = self.pages.len() - 1;
        let page = &mut self.pages[pages_before];
        let number = u32::try_from(pages_before * PAGE_SIZE + page.len());
        let number = number.expect("four billion chunks do not fit any memory");
        let ScannedChunk { series_ref, min_t, max_t, samples_count, encoding, place, .. } = chunk;
        let previous = self.last_by_ref.insert(series_ref, number);
        let previous = previous.and_then(|number| NonZeroU32::new(number.saturating_add(1)));
        page.push(FiledChunk { min_t, max_t, place, previous, samples_count, encoding });
        self.begin_t = self.begin_t.min(min_t);
    }

    /// The highest ref that has chunks.
    pub(super) fn last_ref(&self) -> Option<u64> {
        self.last_by_ref.keys().max().copied()
    }

    /// Whether a sample is of no use: its chunk has its place, or gets it by the first sample that it has.
    #[inline]
    pub(super) fn has(&self, slot: u32, t: i64) -> bool {
        self.by_slot.get(slot as usize).is_some_and(|times| times.has(t, self.begin_t))
    }

    /// The chunks of a ref, by time. Their table shrinks with them: open chunks need the memory.
    pub(super) fn take(&mut self, series_ref: u64) -> Option<SmallVec<[ScannedChunk; 8]>> {
        let last = self.last_by_ref.remove(&series_ref)?;
        let chunk_at = |number: u32| {
            let number = number as usize;
            self.pages[number / PAGE_SIZE][number % PAGE_SIZE]
        };
        let previous = |chunk: &FiledChunk| chunk.previous.map(|next| chunk_at(next.get() - 1));
        let chunks = std::iter::successors(Some(chunk_at(last)), previous);
        let mut chunks: SmallVec<[ScannedChunk; 8]> =
            chunks.map(|chunk| chunk.scanned(series_ref)).collect();
        // Files that were being written anew may hold older chunks behind newer ones.
        chunks.reverse();
        chunks.sort_by_key(|chunk| chunk.min_t);
        if self.last_by_ref.is_empty() {
            (self.last_by_ref, self.pages) = (HashMap::default(), Vec::new());
        } else if self.last_by_ref.len() < self.last_by_ref.capacity() / 4 {
            self.last_by_ref.shrink_to_fit();
        }
        Some(chunks)
    }

    /// Takes note of what a slot has in files by now.
    pub(super) fn add_times(&mut self, slot: u32, chunks: &[(i64, i64)]) {
        let count = (slot as usize + 1).next_multiple_of(REF_PAGE_SIZE);
        if self.by_slot.len() < count {
            self.by_slot.resize_with(count, FiledTimes::default);
        }
        let since = |t: i64| since(t, self.begin_t);
        let ranges = chunks.iter().filter_map(|(first, last)| since(*first).zip(since(*last)));
        let known = &mut self.by_slot[slot as usize].ranges;
        *known = known.iter().copied().chain(ranges).collect();
    }
}

impl FiledChunk {
    fn scanned(&self, series_ref: u64) -> ScannedChunk {
        let Self { min_t, max_t, place, samples_count, encoding, .. } = *self;
        let is_out_of_order = false;
        ScannedChunk { series_ref, min_t, max_t, samples_count, encoding, is_out_of_order, place }
    }
}

/// Milliseconds from one time to another that is not before it, nor seven weeks behind it.
fn since(t: i64, begin_t: i64) -> Option<u32> {
    u32::try_from(t.checked_sub(begin_t)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(series_ref: u64, (min_t, max_t): (i64, i64), offset: u32) -> ScannedChunk {
        ScannedChunk {
            series_ref,
            min_t,
            max_t,
            samples_count: 7,
            encoding: Encoding::Xor as u8,
            is_out_of_order: false,
            place: ChunkPlace { file: 3, offset },
        }
    }

    #[test]
    fn chunks_are_handed_over_by_ref_and_time() {
        const REFS: u64 = 1000;
        let mut filed = FiledChunks::default();
        // The second chunk of each comes last, as where a file was written anew.
        for (at, number) in [0, 2, 3, 4, 5, 1].into_iter().enumerate() {
            for series_ref in 1..=REFS {
                let offset = at as u32 * 10_000 + series_ref as u32;
                filed.push(scanned(series_ref, (number * 10, number * 10 + 9), offset));
            }
        }
        filed.push(ScannedChunk { is_out_of_order: true, ..scanned(REFS + 1, (0, 9), 0) });
        filed.push(ScannedChunk { encoding: 77, ..scanned(REFS + 1, (0, 9), 0) });
        assert_eq!((filed.last_ref(), filed.pages.len()), (Some(REFS), 2));
        for series_ref in 1..=REFS {
            let chunks = filed.take(series_ref).unwrap();
            let expected = [0, 5, 1, 2, 3, 4].into_iter().zip(0..).map(|(at, number)| {
                let offset = at * 10_000 + series_ref as u32;
                scanned(series_ref, (number * 10, number * 10 + 9), offset)
            });
            assert_eq!(chunks.to_vec(), expected.collect::<Vec<_>>());
            assert_eq!(filed.take(series_ref), None);
        }
        assert_eq!((filed.last_by_ref.capacity(), filed.pages.capacity()), (0, 0));
    }

    #[test]
    fn samples_of_files_are_known_by_their_time() {
        const FAR: i64 = u32::MAX as i64 + 100;
        let mut filed = FiledChunks::default();
        filed.push(scanned(1, (100, 200), 0));
        filed.add_times(5, &[(100, 200)]);
        filed.add_times(5, &[(300, 400), (FAR, FAR + 1), (FAR + 10, FAR + 20)]);
        // What begins a chunk gives it its place.
        let known: Vec<i64> = [99, 100, 101, 200, 201, 300, 301, 400, 401, FAR + 1, FAR + 20]
            .into_iter()
            .filter(|t| filed.has(5, *t))
            .collect();
        assert_eq!(known, [101, 200, 301, 400]);
        filed.by_slot[5].set_end(400);
        assert!(filed.has(5, 100) && filed.has(5, i64::MIN) && !filed.has(5, 401));
        assert!(!filed.has(4, 150) && !filed.has(7_000, 150));
    }
}
