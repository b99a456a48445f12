//! The parts of a sidecar between head and bytes. What is read borrows from its item.

use crate::{
    chunk::{Encoding, Form, XorState},
    head::starts::StartRun,
    head_chunks::ChunkPlace,
};

use super::codec::{Bytes, push_bytes};

/// Both times, number of samples, encoding, kind of place; then the size at least of the bytes.
pub(crate) const CLOSED_IMAGE_SIZE_BYTES_MIN: usize = 8 + 8 + 2 + 1 + 1 + 4;

/// The bytes are no sidecar of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not what was written")]
pub(crate) struct SidecarError;

/// What a sidecar was made for, and what does not belong to a series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SidecarHeader {
    /// Segment and offset up to which the log is part of it.
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    /// Of the log right before that place.
    pub(crate) fingerprint: u32,
    /// The oldest file of head chunks that it needs (0: none), and the newest with its size.
    pub(crate) file_first: u32,
    pub(crate) file_last: u32,
    pub(crate) file_last_size_bytes: u64,
    pub(crate) chunk_range_ms: i64,
    pub(crate) next_ref: u64,
    pub(crate) slots_count: u32,
    pub(crate) series_count: u32,
    pub(crate) groups_count: u32,
    /// Items with log records behind the groups.
    pub(crate) records_count: u32,
    /// What the head kept when it was made: see [`Self::has_exemplars`].
    pub(crate) kept: u8,
    /// Refs that the log mentions though no series has them, and until which segment.
    pub(crate) deleted: Vec<(u64, u64)>,
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SlotImage<'a> {
    pub(crate) series_ref: u64,
    pub(crate) seq: u32,
    pub(crate) last: (i64, u64),
    pub(crate) flags: u8,
    pub(crate) open: Option<OpenImage<'a>>,
    /// Of a series whose last sample is a histogram.
    pub(crate) histogram: Option<HistogramImage<'a>>,
}

/// An open chunk.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OpenImage<'a> {
    pub(crate) samples_count: u16,
    pub(crate) next_at: i64,
    pub(crate) min_t: i64,
    /// First sample and start, in order.
    pub(crate) starts: Vec<StartRun>,
    /// Not for histograms.
    pub(crate) floats: Option<OpenFloats<'a>>,
}

/// The bytes of an open chunk of floats, and what stands beside them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct OpenFloats<'a> {
    pub(crate) xor: XorState,
    pub(crate) xor_bits: u16,
    pub(crate) form: Form,
    pub(crate) words: &'a [u8],
}

/// What a slot has whose last sample is a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HistogramImage<'a> {
    /// A log record with the last one.
    pub(crate) last: &'a [u8],
    pub(crate) is_end_known: bool,
    /// The open chunk as files hold it; empty if there is none.
    pub(crate) chunk: &'a [u8],
}

/// A closed chunk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ClosedImage<'a> {
    pub(crate) min_t: i64,
    pub(crate) max_t: i64,
    pub(crate) samples_count: u16,
    pub(crate) encoding: Encoding,
    pub(crate) data: ClosedData<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ClosedData<'a> {
    Filed(ChunkPlace),
    Waiting(&'a [u8]),
}

/// Kinds of closed chunks.
const FILED: u8 = 0;
const WAITING: u8 = 1;
/// Kinds of slots, by what stands open; [`FREE`] is a slot without a series.
const FREE: u8 = 0;
const CLOSED: u8 = 1;
const OPEN_FLOATS: u8 = 2;
const HISTOGRAMS: u8 = 3;
const OPEN_HISTOGRAMS: u8 = 4;
/// Added to a kind whose open chunk has starts.
const WITH_STARTS: u8 = 1 << 7;
/// Bits of [`SidecarHeader::kept`].
const EXEMPLARS: u8 = 1 << 0;
const METADATA: u8 = 1 << 1;

impl SidecarHeader {
    /// Whether exemplars and metadata of the log were kept when it was made.
    pub(crate) fn set_kept(&mut self, has_exemplars: bool, has_metadata: bool) {
        let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        self.kept = bit(has_exemplars, EXEMPLARS) | bit(has_metadata, METADATA);
    }

    pub(crate) fn has_exemplars(&self) -> bool {
        self.kept & EXEMPLARS != 0
    }

    pub(crate) fn has_metadata(&self) -> bool {
        self.kept & METADATA != 0
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for word in [self.segment, self.offset, self.file_last_size_bytes, self.next_ref] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.chunk_range_ms.to_le_bytes());
        let counts = [self.slots_count, self.series_count, self.groups_count, self.records_count];
        let first = [self.file_first, self.file_last, self.fingerprint];
        for word in first.into_iter().chain(counts) {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.push(self.kept);
        for (series_ref, segment) in &self.deleted {
            out.extend_from_slice(&series_ref.to_le_bytes());
            out.extend_from_slice(&segment.to_le_bytes());
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, SidecarError> {
        let mut bytes = Bytes(bytes);
        let (segment, offset) = (bytes.u64()?, bytes.u64()?);
        let (file_last_size_bytes, next_ref) = (bytes.u64()?, bytes.u64()?);
        let mut header = Self {
            segment,
            offset,
            file_last_size_bytes,
            next_ref,
            chunk_range_ms: bytes.i64()?,
            file_first: bytes.u32()?,
            file_last: bytes.u32()?,
            fingerprint: bytes.u32()?,
            slots_count: bytes.u32()?,
            series_count: bytes.u32()?,
            groups_count: bytes.u32()?,
            records_count: bytes.u32()?,
            kept: bytes.u8()?,
            deleted: Vec::new(),
        };
        while !bytes.is_empty() {
            header.deleted.push((bytes.u64()?, bytes.u64()?));
        }
        Ok(header)
    }
}

/// Begins the item of a group; its slots follow, each with [`encode_slot`].
pub(crate) fn begin_group(out: &mut Vec<u8>, number: u32) {
    out.clear();
    out.extend_from_slice(&number.to_le_bytes());
}

/// Appends a slot; `None` is one that is free. `closed` are its closed chunks, oldest first.
pub(crate) fn encode_slot<'a>(
    out: &mut Vec<u8>,
    slot: Option<&SlotImage<'_>>,
    closed: impl ExactSizeIterator<Item = ClosedImage<'a>>,
) {
    let Some(slot) = slot else { return out.push(FREE) };
    let kind = match (&slot.open, &slot.histogram) {
        (None, None) => CLOSED,
        (Some(_), None) => OPEN_FLOATS,
        (None, Some(_)) => HISTOGRAMS,
        (Some(_), Some(_)) => OPEN_HISTOGRAMS,
    };
    let has_starts = slot.open.as_ref().is_some_and(|open| !open.starts.is_empty());
    out.push(if has_starts { kind | WITH_STARTS } else { kind });
    out.extend_from_slice(&slot.series_ref.to_le_bytes());
    out.extend_from_slice(&slot.seq.to_le_bytes());
    out.extend_from_slice(&slot.last.0.to_le_bytes());
    out.extend_from_slice(&slot.last.1.to_le_bytes());
    out.push(slot.flags);
    if let Some(open) = &slot.open {
        out.extend_from_slice(&open.samples_count.to_le_bytes());
        out.extend_from_slice(&open.next_at.to_le_bytes());
        out.extend_from_slice(&open.min_t.to_le_bytes());
        if has_starts {
            out.extend_from_slice(&(open.starts.len() as u16).to_le_bytes());
            for (first, start_ms) in &open.starts {
                out.extend_from_slice(&first.to_le_bytes());
                out.extend_from_slice(&start_ms.to_le_bytes());
            }
        }
        if let Some(OpenFloats { xor, xor_bits, form, words }) = open.floats {
            let (leading, trailing) = xor.window();
            out.extend_from_slice(&xor.t_delta.to_le_bytes());
            out.extend_from_slice(&xor.tail.to_le_bytes());
            out.extend([xor.tail_bits, leading, trailing, form.byte()]);
            out.extend_from_slice(&xor_bits.to_le_bytes());
            push_bytes(out, words);
        }
    }
    if let Some(histogram) = &slot.histogram {
        push_bytes(out, histogram.last);
        out.push(u8::from(histogram.is_end_known));
        push_bytes(out, histogram.chunk);
    }
    out.extend_from_slice(&(closed.len() as u32).to_le_bytes());
    closed.for_each(|chunk| chunk.encode(out));
}

/// Reads the item of a group: its number, then `each` is given its slots and their closed chunks.
pub(crate) fn decode_group<'a>(
    item: &'a [u8],
    mut each: impl FnMut(u32, Option<(SlotImage<'a>, &[ClosedImage<'a>])>) -> Result<(), SidecarError>,
) -> Result<(), SidecarError> {
    let mut bytes = Bytes(item);
    let number = bytes.u32()?;
    let mut closed = Vec::new();
    while !bytes.is_empty() {
        match bytes.u8()? {
            FREE => each(number, None)?,
            kind => {
                let slot = SlotImage::decode(kind, &mut bytes)?;
                closed.clear();
                for _ in 0..bytes.u32()? {
                    closed.push(ClosedImage::decode(&mut bytes)?);
                }
                each(number, Some((slot, &closed)))?;
            }
        }
    }
    Ok(())
}

impl<'a> SlotImage<'a> {
    fn decode(kind: u8, bytes: &mut Bytes<'a>) -> Result<Self, SidecarError> {
        let (kind, has_starts) = (kind & !WITH_STARTS, kind & WITH_STARTS != 0);
        let (series_ref, seq) = (bytes.u64()?, bytes.u32()?);
        let last = (bytes.i64()?, bytes.u64()?);
        let flags = bytes.u8()?;
        let mut slot = Self { series_ref, seq, last, flags, open: None, histogram: None };
        if matches!(kind, OPEN_FLOATS | OPEN_HISTOGRAMS) {
            let samples_count = bytes.u16()?;
            let (next_at, min_t) = (bytes.i64()?, bytes.i64()?);
            let starts = if has_starts { decode_starts(bytes, samples_count)? } else { Vec::new() };
            slot.open = Some(OpenImage { samples_count, next_at, min_t, starts, floats: None });
        } else if has_starts {
            return Err(SidecarError);
        }
        match kind {
            CLOSED => {}
            OPEN_FLOATS => {
                let (t_delta, tail, tail_bits) = (bytes.u32()?, bytes.u32()?, bytes.u8()?);
                let window = (bytes.u8()?, bytes.u8()?);
                let xor = XorState::restored(t_delta, (tail, tail_bits), window);
                let form = Form::of_byte(bytes.u8()?).ok_or(SidecarError)?;
                let xor_bits = bytes.u16()?;
                let words = bytes.sized()?;
                if words.len() % 4 != 0 {
                    return Err(SidecarError);
                }
                if let Some(open) = &mut slot.open {
                    let xor = xor.ok_or(SidecarError)?;
                    open.floats = Some(OpenFloats { xor, xor_bits, form, words });
                }
            }
            HISTOGRAMS | OPEN_HISTOGRAMS => {
                let last = bytes.sized()?;
                let is_end_known = bytes.u8()? != 0;
                slot.histogram = Some(HistogramImage { last, is_end_known, chunk: bytes.sized()? });
            }
            _ => return Err(SidecarError),
        }
        let is_sane = series_ref != 0 && slot.open.as_ref().is_none_or(|o| o.samples_count > 0);
        if is_sane { Ok(slot) } else { Err(SidecarError) }
    }
}

/// The runs of starts of an open chunk: from the first sample on, ascending.
fn decode_starts(bytes: &mut Bytes<'_>, samples_count: u16) -> Result<Vec<StartRun>, SidecarError> {
    let mut starts: Vec<StartRun> = Vec::new();
    for _ in 0..bytes.u16()? {
        let (first, start_ms) = (bytes.u16()?, bytes.i64()?);
        let is_next = starts.last().map_or(first == 0, |before| before.0 < first);
        if !is_next || first >= samples_count {
            return Err(SidecarError);
        }
        starts.push((first, start_ms));
    }
    if starts.is_empty() { Err(SidecarError) } else { Ok(starts) }
}

impl<'a> ClosedImage<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.min_t.to_le_bytes());
        out.extend_from_slice(&self.max_t.to_le_bytes());
        out.extend_from_slice(&self.samples_count.to_le_bytes());
        out.push(self.encoding as u8);
        match &self.data {
            ClosedData::Filed(place) => {
                out.push(FILED);
                out.extend_from_slice(&place.file.to_le_bytes());
                out.extend_from_slice(&place.offset.to_le_bytes());
            }
            ClosedData::Waiting(data) => {
                out.push(WAITING);
                push_bytes(out, data);
            }
        }
    }

    fn decode(bytes: &mut Bytes<'a>) -> Result<Self, SidecarError> {
        let (min_t, max_t, samples_count) = (bytes.i64()?, bytes.i64()?, bytes.u16()?);
        let encoding = Encoding::of_byte(bytes.u8()?).map_err(|_| SidecarError)?;
        let data = match bytes.u8()? {
            FILED => ClosedData::Filed(ChunkPlace { file: bytes.u32()?, offset: bytes.u32()? }),
            WAITING => ClosedData::Waiting(bytes.sized()?),
            _ => return Err(SidecarError),
        };
        Ok(Self { min_t, max_t, samples_count, encoding, data })
    }
}
