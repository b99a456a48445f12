//! What the head keeps of one series, by how often it is touched: the hot line on every sample, the cold
//! part when a chunk ends or is read.

use crate::chunk::{CHUNK_HEADER_SIZE_BYTES, ChunkState, Form, XorState, chunk_size_bytes};

use super::blocks::Chain;

/// No sample has come yet.
pub(super) const NO_TIME: i64 = i64::MIN;

/// One cache line, all that an append needs (I2).
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub(super) struct HotSlot {
    /// Whose slot it is: handles with another ref are stale.
    pub(super) series_ref: u64,
    /// The last sample, [`NO_TIME`] if there is none.
    pub(super) last_t: i64,
    pub(super) last_v: u64,
    /// When the open chunk ends at the latest.
    pub(super) next_at: i64,
    /// First sample of the open chunk.
    pub(super) chunk_min_t: i64,
    /// Of the open chunk as XOR. While it has another form, the unwritten bits are that form's.
    pub(super) xor: XorState,
    pub(super) chain: Chain,
    /// Samples in the open chunk; 0 if there is none.
    pub(super) samples_count: u16,
    /// Bits that an XOR chunk of the samples would take, while the open chunk has another form.
    pub(super) xor_bits: u16,
    pub(super) form: Form,
    pub(super) flags: u8,
}

const _: () = assert!(size_of::<HotSlot>() == 64);

/// The rest.
#[derive(Clone, Copy, Debug)]
pub(super) struct ColdSlot {
    /// Creation number: the series in postings and label tables.
    pub(super) seq: u32,
    /// Newest closed chunk in the group's list.
    pub(super) closed_last: Option<super::closed::ClosedId>,
}

impl HotSlot {
    /// No record of the series is on the log yet.
    pub(super) const UNLOGGED: u8 = 1 << 0;
    /// The last sample is a staleness marker.
    pub(super) const STALE: u8 = 1 << 1;
    /// It has no samples and goes when all present appenders have ended, unless one brings a sample.
    pub(super) const DOOMED: u8 = 1 << 2;
    /// The last sample is a histogram; if there is an open chunk, it is one of histograms.
    pub(super) const HISTOGRAM: u8 = 1 << 3;
    /// Refs start at 1, so nobody has a handle to a slot that is free.
    pub(super) const NO_REF: u64 = 0;

    pub(super) fn new(series_ref: u64, flags: u8) -> Self {
        Self {
            series_ref,
            last_t: NO_TIME,
            last_v: 0,
            next_at: 0,
            chunk_min_t: 0,
            xor: XorState::new(),
            chain: Chain::EMPTY,
            samples_count: 0,
            xor_bits: 0,
            form: Form::CONSTANT,
            flags,
        }
    }

    /// The open chunk is done with; the last sample is still known.
    pub(super) fn end_chunk(&mut self) {
        let (last_t, last_v) = (self.last_t, self.last_v);
        *self = Self { last_t, last_v, ..Self::new(self.series_ref, self.flags) };
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(super) fn set(&mut self, flag: u8, is_set: bool) {
        self.flags = if is_set { self.flags | flag } else { self.flags & !flag };
    }

    pub(super) fn chunk_state(&self) -> ChunkState {
        ChunkState {
            samples_count: self.samples_count,
            // The same samples give the same chunks, however they are kept.
            size_bytes: match self.form {
                Form::XOR => chunk_size_bytes(self.chain.size_bytes, self.xor.tail_bits),
                _ => CHUNK_HEADER_SIZE_BYTES + usize::from(self.xor_bits).div_ceil(8),
            },
            min_t: self.chunk_min_t,
            last_t: self.last_t,
            next_at: self.next_at,
        }
    }
}
