//! A group as a sidecar holds it, both ways, and its open chunks as snapshots hold them.

use crate::{
    chunk::Extent,
    head::{
        closed::ClosedId,
        sidecar::{
            CLOSED_IMAGE_SIZE_BYTES_MIN, ClosedData, ClosedImage, OpenFloats, OpenImage,
            SidecarError, SlotImage, decode_group, encode_slot,
        },
        slot::{HotSlot, NO_TIME},
    },
    wal::{SnapshotChunk, SnapshotValue},
};

use super::{ColdSlot, GROUP_SLOTS, GroupData, Open};

/// A group that was read from a sidecar.
#[derive(Debug, Default)]
pub(in crate::head) struct RestoredGroup {
    pub(in crate::head) number: u32,
    pub(in crate::head) data: GroupData,
    /// By slot: the series number, or `u32::MAX` if it is free.
    pub(in crate::head) seqs: Vec<u32>,
    /// First and last sample.
    pub(in crate::head) times: Option<(i64, i64)>,
    pub(in crate::head) chunks_count: u64,
}

impl GroupData {
    /// Appends all slots as a sidecar holds them; series with higher numbers and without a record are left
    /// out.
    pub(in crate::head) fn put_image(&self, series_count: u32, out: &mut Vec<u8>) {
        let mut buffers = Buffers::default();
        for (slot, (hot, cold)) in self.hot.iter().zip(&self.cold).enumerate() {
            let is_known = hot.series_ref != HotSlot::NO_REF
                && cold.seq < series_count
                && !hot.has(HotSlot::UNLOGGED);
            match is_known {
                true => self.put_slot(slot, (hot, cold), &mut buffers, out),
                false => encode_slot(out, None, [].into_iter()),
            }
        }
    }

    /// The open chunk of a slot, with its bytes in `out`.
    pub(in crate::head) fn open_chunk<'a>(
        &self,
        slot: usize,
        out: &'a mut Vec<u8>,
    ) -> Option<SnapshotChunk<'a>> {
        let hot = self.hot.get(slot).filter(|hot| hot.samples_count > 0)?;
        out.clear();
        let open = Open { slot, hot, blocks: &self.blocks, histograms: &self.histograms };
        // Prometheus goes on with this chunk.
        let encoding = open.put(&self.starts, Extent::Open, out);
        let last = match encoding.is_float() {
            true => SnapshotValue::Float(hot.last_v),
            false => SnapshotValue::Histogram(self.histograms.last(slot)?.clone()),
        };
        Some(SnapshotChunk { min_t: hot.chunk_min_t, max_t: hot.last_t, encoding, data: out, last })
    }

    fn put_slot(
        &self,
        slot: usize,
        (hot, cold): (&HotSlot, &ColdSlot),
        buffers: &mut Buffers,
        out: &mut Vec<u8>,
    ) {
        let ids = std::iter::successors(cold.closed_last, |id| self.closed.get(*id).previous);
        buffers.closed.clear();
        buffers.closed.extend(ids);
        let closed = buffers.closed.iter().rev().map(|id| self.closed.image(*id));
        buffers.words.clear();
        let is_histogram = hot.has(HotSlot::HISTOGRAM);
        if !is_histogram {
            self.blocks.copy(&hot.chain, &mut buffers.words);
        }
        let open = (hot.samples_count > 0).then_some(OpenImage {
            samples_count: hot.samples_count,
            next_at: hot.next_at,
            min_t: hot.chunk_min_t,
            starts: self.starts.runs_of(slot),
            floats: (!is_histogram).then_some(OpenFloats {
                xor: hot.xor,
                xor_bits: hot.xor_bits,
                form: hot.form,
                words: &buffers.words,
            }),
        });
        buffers.record.clear();
        buffers.chunk.clear();
        let histogram = match is_histogram {
            true => {
                let buffers = (&mut buffers.record, &mut buffers.chunk);
                self.histograms.image(slot, hot.last_t, buffers)
            }
            false => None,
        };
        let image = SlotImage {
            series_ref: hot.series_ref,
            seq: cold.seq,
            last: (hot.last_t, hot.last_v),
            flags: hot.flags & (HotSlot::STALE | HotSlot::HISTOGRAM),
            open,
            histogram,
        };
        encode_slot(out, Some(&image), closed);
    }

    fn restore_slot(
        &mut self,
        slot: usize,
        image: &SlotImage<'_>,
        closed: &[ClosedImage<'_>],
    ) -> Result<(), SidecarError> {
        self.create(slot, image.series_ref, image.seq, image.flags);
        for chunk in closed {
            let previous = self.cold[slot].closed_last;
            let times = (chunk.min_t, chunk.max_t);
            let kind = (chunk.encoding, chunk.samples_count);
            let id = match chunk.data {
                ClosedData::Filed(place) => self.closed.push_filed(previous, times, kind, place),
                ClosedData::Waiting(data) => self.closed.push(slot, previous, times, kind, data),
            };
            self.cold[slot].closed_last = Some(id);
        }
        let hot = &mut self.hot[slot];
        (hot.last_t, hot.last_v) = image.last;
        if hot.has(HotSlot::HISTOGRAM) != image.histogram.is_some() {
            return Err(SidecarError);
        }
        if let Some(open) = &image.open {
            hot.samples_count = open.samples_count;
            hot.chunk_min_t = open.min_t;
            hot.next_at = open.next_at;
            for (first, start_ms) in &open.starts {
                self.starts.set(slot, *first, *start_ms);
            }
            if let Some(OpenFloats { xor, xor_bits, form, words }) = open.floats {
                (hot.xor, hot.xor_bits, hot.form) = (xor, xor_bits, form);
                for word in words.as_chunks().0 {
                    self.blocks.push_word(&mut hot.chain, u32::from_be_bytes(*word));
                }
            }
        }
        match image.histogram {
            Some(histogram) => {
                let count = image.open.as_ref().map(|open| open.samples_count);
                self.histograms.restore(slot, histogram, count)
            }
            None => Ok(()),
        }
    }
}

impl RestoredGroup {
    /// Reads the item of a group.
    ///
    /// # Errors
    /// It is not what was written.
    pub(in crate::head) fn decode(item: &[u8]) -> Result<Self, SidecarError> {
        let mut group = Self::default();
        decode_group(item, |number, slot| {
            group.number = number;
            let at = group.seqs.len();
            if at == GROUP_SLOTS {
                return Err(SidecarError);
            }
            let Some((image, closed)) = slot else {
                group.seqs.push(u32::MAX);
                group.data.create(at, HotSlot::NO_REF, u32::MAX, 0);
                return Ok(());
            };
            if group.seqs.is_empty() {
                // Most series of a group have as many chunks as the first one.
                let count_max = item.len() / CLOSED_IMAGE_SIZE_BYTES_MIN;
                group.data.closed.reserve(count_max.min(closed.len() * GROUP_SLOTS));
            }
            group.seqs.push(image.seq);
            group.data.restore_slot(at, &image, closed)?;
            group.chunks_count += closed.len() as u64 + u64::from(image.open.is_some());
            let first = closed.first().map(|chunk| chunk.min_t);
            if let Some(first) = first.or(image.open.as_ref().map(|open| open.min_t))
                && image.last.0 != NO_TIME
            {
                let (min_t, max_t) = group.times.unwrap_or((first, image.last.0));
                group.times = Some((min_t.min(first), max_t.max(image.last.0)));
            }
            Ok(())
        })?;
        group.data.closed.fit();
        Ok(group)
    }
}

/// Buffers that are used again for each slot.
#[derive(Debug, Default)]
struct Buffers {
    closed: Vec<ClosedId>,
    words: Vec<u8>,
    record: Vec<u8>,
    chunk: Vec<u8>,
}
