//! The parts of a sidecar between head and bytes.

use crate::{
    chunk::{Form, XorState},
    head_chunks::ChunkPlace,
};

use super::codec::Bytes;

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
    /// The oldest file of head chunks that it needs (0: none), and the newest with its size.
    pub(crate) file_first: u32,
    pub(crate) file_last: u32,
    pub(crate) file_last_size_bytes: u64,
    pub(crate) chunk_range_ms: i64,
    pub(crate) next_ref: u64,
    pub(crate) slots_count: u32,
    pub(crate) series_count: u32,
    pub(crate) groups_count: u32,
    /// Refs that the log mentions though no series has them, and until which segment.
    pub(crate) deleted: Vec<(u64, u64)>,
}

/// One group.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct GroupImage {
    pub(crate) number: u32,
    /// By slot; `None` for one that is free.
    pub(crate) slots: Vec<Option<SlotImage>>,
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SlotImage {
    pub(crate) series_ref: u64,
    pub(crate) seq: u32,
    pub(crate) last: (i64, u64),
    pub(crate) flags: u8,
    pub(crate) open: Option<OpenImage>,
    /// Oldest first.
    pub(crate) closed: Vec<ClosedImage>,
}

/// An open chunk.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OpenImage {
    pub(crate) samples_count: u16,
    pub(crate) next_at: i64,
    pub(crate) min_t: i64,
    pub(crate) xor: XorState,
    pub(crate) xor_bits: u16,
    pub(crate) form: Form,
    pub(crate) words: Vec<u8>,
}

/// A closed chunk.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClosedImage {
    pub(crate) min_t: i64,
    pub(crate) max_t: i64,
    pub(crate) samples_count: u16,
    pub(crate) data: ClosedData,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ClosedData {
    Filed(ChunkPlace),
    Waiting(Vec<u8>),
}

/// Kinds of closed chunks.
const FILED: u8 = 0;
const WAITING: u8 = 1;

impl SidecarHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for word in [self.segment, self.offset, self.file_last_size_bytes, self.next_ref] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.chunk_range_ms.to_le_bytes());
        let counts = [self.slots_count, self.series_count, self.groups_count];
        for word in [self.file_first, self.file_last].into_iter().chain(counts) {
            out.extend_from_slice(&word.to_le_bytes());
        }
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
            slots_count: bytes.u32()?,
            series_count: bytes.u32()?,
            groups_count: bytes.u32()?,
            deleted: Vec::new(),
        };
        while !bytes.is_empty() {
            header.deleted.push((bytes.u64()?, bytes.u64()?));
        }
        Ok(header)
    }
}

impl GroupImage {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.slots.len() * 256);
        out.extend_from_slice(&self.number.to_le_bytes());
        for slot in &self.slots {
            match slot {
                None => out.extend_from_slice(&0u64.to_le_bytes()),
                Some(slot) => slot.encode(&mut out),
            }
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, SidecarError> {
        let mut bytes = Bytes(bytes);
        let mut group = Self { number: bytes.u32()?, slots: Vec::new() };
        while !bytes.is_empty() {
            let series_ref = bytes.u64()?;
            let slot = match series_ref {
                0 => None,
                series_ref => Some(SlotImage::decode(series_ref, &mut bytes)?),
            };
            group.slots.push(slot);
        }
        Ok(group)
    }
}

impl SlotImage {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.series_ref.to_le_bytes());
        out.extend_from_slice(&self.seq.to_le_bytes());
        out.extend_from_slice(&self.last.0.to_le_bytes());
        out.extend_from_slice(&self.last.1.to_le_bytes());
        out.push(self.flags);
        match &self.open {
            None => out.extend_from_slice(&0u16.to_le_bytes()),
            Some(open) => {
                out.extend_from_slice(&open.samples_count.to_le_bytes());
                out.extend_from_slice(&open.next_at.to_le_bytes());
                out.extend_from_slice(&open.min_t.to_le_bytes());
                let (leading, trailing) = open.xor.window();
                out.extend_from_slice(&open.xor.t_delta.to_le_bytes());
                out.extend_from_slice(&open.xor.tail.to_le_bytes());
                out.extend([open.xor.tail_bits, leading, trailing, open.form.byte()]);
                out.extend_from_slice(&open.xor_bits.to_le_bytes());
                out.extend_from_slice(&(open.words.len() as u16).to_le_bytes());
                out.extend_from_slice(&open.words);
            }
        }
        out.extend_from_slice(&(self.closed.len() as u32).to_le_bytes());
        for closed in &self.closed {
            closed.encode(out);
        }
    }

    fn decode(series_ref: u64, bytes: &mut Bytes<'_>) -> Result<Self, SidecarError> {
        let seq = bytes.u32()?;
        let last = (bytes.i64()?, bytes.u64()?);
        let flags = bytes.u8()?;
        let open = match bytes.u16()? {
            0 => None,
            samples_count => {
                let (next_at, min_t) = (bytes.i64()?, bytes.i64()?);
                let (t_delta, tail, tail_bits) = (bytes.u32()?, bytes.u32()?, bytes.u8()?);
                let window = (bytes.u8()?, bytes.u8()?);
                let xor = XorState::restored(t_delta, (tail, tail_bits), window);
                let xor = xor.ok_or(SidecarError)?;
                let form = Form::of_byte(bytes.u8()?).ok_or(SidecarError)?;
                let xor_bits = bytes.u16()?;
                let size = usize::from(bytes.u16()?);
                let words = bytes.take(size)?.to_vec();
                if size % 4 != 0 {
                    return Err(SidecarError);
                }
                Some(OpenImage { samples_count, next_at, min_t, xor, xor_bits, form, words })
            }
        };
        let mut closed = Vec::new();
        for _ in 0..bytes.u32()? {
            closed.push(ClosedImage::decode(bytes)?);
        }
        Ok(Self { series_ref, seq, last, flags, open, closed })
    }
}

impl ClosedImage {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.min_t.to_le_bytes());
        out.extend_from_slice(&self.max_t.to_le_bytes());
        out.extend_from_slice(&self.samples_count.to_le_bytes());
        match &self.data {
            ClosedData::Filed(place) => {
                out.push(FILED);
                out.extend_from_slice(&place.file.to_le_bytes());
                out.extend_from_slice(&place.offset.to_le_bytes());
            }
            ClosedData::Waiting(data) => {
                out.push(WAITING);
                out.extend_from_slice(&(data.len() as u16).to_le_bytes());
                out.extend_from_slice(data);
            }
        }
    }

    fn decode(bytes: &mut Bytes<'_>) -> Result<Self, SidecarError> {
        let (min_t, max_t, samples_count) = (bytes.i64()?, bytes.i64()?, bytes.u16()?);
        let data = match bytes.u8()? {
            FILED => ClosedData::Filed(ChunkPlace { file: bytes.u32()?, offset: bytes.u32()? }),
            WAITING => {
                let size = usize::from(bytes.u16()?);
                ClosedData::Waiting(bytes.take(size)?.to_vec())
            }
            _ => return Err(SidecarError),
        };
        Ok(Self { min_t, max_t, samples_count, data })
    }
}
