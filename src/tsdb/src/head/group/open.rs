//! The open chunk of a slot put together as chunk files hold it, of floats or of histograms.

use crate::{
    chunk::{Encoding, Extent, with_starts},
    head::{blocks::BlockPool, histograms::HistogramSlots, slot::HotSlot, starts::OpenStarts},
};

/// An open chunk, wherever its samples are.
pub(super) struct Open<'a> {
    pub(super) slot: usize,
    pub(super) hot: &'a HotSlot,
    pub(super) blocks: &'a BlockPool,
    pub(super) histograms: &'a HistogramSlots,
}

impl Open<'_> {
    /// Puts the chunk together as chunk files hold it; tells its encoding.
    pub(super) fn put(&self, starts: &OpenStarts, extent: Extent, out: &mut Vec<u8>) -> Encoding {
        if starts.has(self.slot) {
            return self.put_with_starts(starts, extent, out);
        }
        self.put_plain(out)
    }

    fn put_plain(&self, out: &mut Vec<u8>) -> Encoding {
        let Self { slot, hot, blocks, histograms } = self;
        if hot.has(HotSlot::HISTOGRAM)
            && let Some(open) = histograms.open(*slot)
        {
            open.put(out);
            return open.encoding();
        }
        let begin = out.len();
        hot.put_floats(blocks, out);
        debug_assert_eq!(out.len() - begin, hot.chunk_state().size_bytes);
        Encoding::Xor
    }

    #[inline(never)]
    fn put_with_starts(&self, starts: &OpenStarts, extent: Extent, out: &mut Vec<u8>) -> Encoding {
        let mut plain = Vec::new();
        let encoding = self.put_plain(&mut plain);
        let starts_ms = starts.all_of(self.slot, self.hot.samples_count);
        match with_starts(encoding, &plain, (&starts_ms, extent)) {
            Ok((encoding, data)) => {
                out.extend_from_slice(&data);
                encoding
            }
            // A sidecar may have brought bytes that are no chunk.
            Err(_) => {
                out.extend_from_slice(&plain);
                encoding
            }
        }
    }
}
