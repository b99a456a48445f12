//! Start times that newer chunk encodings put behind each sample: since when it counts, 0 where nobody knows. A
//! chunk whose samples all have one start tells it once. Format: docs/format/xor2.md.
//! Compat: Prometheus `tsdb/chunkenc/st.go`, 3.14.

use super::{
    varbit::put_varbit_int,
    xor::BitWriter,
    xor_reader::{BitReader, ChunkError},
};

const FIRST_KNOWN: u8 = 0x80;
/// The last sample that the header can name.
const CHANGES_FROM_MAX: u16 = 0x7f;

/// Whether all samples are there that a chunk will ever have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    Whole,
    /// Whoever goes on with it may write a start behind any further sample: from the last one on that the header
    /// can name, each tells its own.
    Open,
}

/// Reads start times, sample by sample.
#[derive(Clone, Copy, Debug)]
pub(super) struct StartReader {
    is_first_known: bool,
    /// From this sample on each tells its own; 0 if none but the first does.
    changes_from: u16,
    start_ms: i64,
    /// From the start to the sample before.
    distance_ms: i64,
}

impl StartReader {
    pub(super) fn new(header: u8) -> Self {
        Self {
            is_first_known: header & FIRST_KNOWN != 0,
            changes_from: u16::from(header & !FIRST_KNOWN),
            start_ms: 0,
            distance_ms: 0,
        }
    }

    /// Reads what stands behind the sample at `index`, whose time is `t`; `previous_t` is that of the one before.
    /// Gives the start.
    #[inline]
    pub(super) fn read(
        &mut self,
        bits: &mut BitReader<'_>,
        index: u16,
        t: i64,
        previous_t: i64,
    ) -> Result<i64, ChunkError> {
        if index == 0 {
            if self.is_first_known {
                self.start_ms = t.wrapping_sub(bits.zigzag()?);
            }
        } else if self.changes_from > 0 && index >= self.changes_from {
            let change = bits.varbit_int()?;
            self.distance_ms = match index == self.changes_from {
                true => change,
                false => self.distance_ms.wrapping_add(change),
            };
            self.start_ms = previous_t.wrapping_sub(self.distance_ms);
        }
        Ok(self.start_ms)
    }
}

/// Writes start times, sample by sample; all are known before.
#[derive(Clone, Copy, Debug)]
pub(super) struct StartWriter<'a> {
    starts_ms: &'a [i64],
    changes_from: u16,
    distance_ms: i64,
}

impl<'a> StartWriter<'a> {
    /// For a chunk whose samples have these starts; none stands for as many zeros.
    pub(super) fn new(starts_ms: &'a [i64], extent: Extent) -> Self {
        let first_change = starts_ms.windows(2).position(|pair| pair[0] != pair[1]);
        let first_change = first_change.map_or(u16::MAX, |at| at.saturating_add(1) as u16);
        let changes_from = match extent {
            Extent::Open if starts_ms.len() > usize::from(CHANGES_FROM_MAX) => {
                first_change.min(CHANGES_FROM_MAX)
            }
            _ if first_change == u16::MAX => 0,
            _ => first_change.min(CHANGES_FROM_MAX),
        };
        Self { starts_ms, changes_from, distance_ms: 0 }
    }

    pub(super) fn header(&self) -> u8 {
        let is_first_known = self.start_of(0) != 0;
        (if is_first_known { FIRST_KNOWN } else { 0 }) | self.changes_from as u8
    }

    /// Writes what stands behind the sample at `index`; times as in [`StartReader::read`].
    #[inline]
    pub(super) fn put(
        &mut self,
        bits: &mut BitWriter<impl FnMut(u32)>,
        index: usize,
        t: i64,
        previous_t: i64,
    ) {
        let start_ms = self.start_of(index);
        let changes_from = usize::from(self.changes_from);
        if index == 0 {
            if start_ms != 0 {
                let distance_ms = t.wrapping_sub(start_ms);
                bits.put_varint(((distance_ms << 1) ^ (distance_ms >> 63)) as u64);
            }
        } else if changes_from > 0 && index >= changes_from {
            let distance_ms = previous_t.wrapping_sub(start_ms);
            put_varbit_int(bits, distance_ms.wrapping_sub(self.distance_ms));
            self.distance_ms = distance_ms;
        }
    }

    fn start_of(&self, index: usize) -> i64 {
        self.starts_ms.get(index).copied().unwrap_or(0)
    }
}
