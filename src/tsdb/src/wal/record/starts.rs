//! Floats that tell since when they count: the record of them, and how a batch keeps these times.

use super::{
    super::codec::{Cursor, DecodeError, push_varint},
    RefSample, SAMPLES_WITH_START,
};

/// How an entry tells its start.
const NONE: u8 = 0;
const SAME: u8 = 1;
const OTHER: u8 = 2;

/// Which of the starts of its batch a sample has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StartId(u32);

/// The starts of a batch. Neighbors mostly have the same one; it is kept once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Starts(Vec<i64>);

/// Floats of one or several records, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SampleBatch {
    pub(crate) samples: Vec<RefSample>,
    pub(crate) starts: Starts,
}

impl StartId {
    /// Nobody knows since when the sample counts.
    pub(crate) const NONE: Self = Self(0);
}

impl Starts {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The start in milliseconds, 0 if there is none.
    #[inline]
    pub(crate) fn get(&self, id: StartId) -> i64 {
        let at = (id.0 as usize).checked_sub(1);
        at.and_then(|at| self.0.get(at)).copied().unwrap_or(0)
    }

    /// Takes the start of the next sample; 0 is none.
    #[inline]
    pub(crate) fn add(&mut self, start_ms: i64) -> StartId {
        if start_ms == 0 {
            return StartId::NONE;
        }
        if self.0.last() != Some(&start_ms) {
            self.0.push(start_ms);
        }
        StartId(self.0.len() as u32)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}

impl SampleBatch {
    /// Adds a sample of another batch, in which it has this start.
    pub(crate) fn push(&mut self, sample: RefSample, start_ms: i64) {
        let start = self.starts.add(start_ms);
        self.samples.push(RefSample { start, ..sample });
    }
}

impl From<Vec<RefSample>> for SampleBatch {
    /// Samples without starts.
    fn from(samples: Vec<RefSample>) -> Self {
        Self { samples, starts: Starts::default() }
    }
}

/// Writes a record of samples with their starts. Refs are told as differences to the one before.
pub(crate) fn encode_samples_with_start(out: &mut Vec<u8>, samples: &[RefSample], starts: &Starts) {
    out.push(SAMPLES_WITH_START);
    let mut place = Place::default();
    for sample in samples {
        place.push(out, (sample.series_ref, sample.t, starts.get(sample.start)));
        out.extend_from_slice(&sample.v.to_be_bytes());
    }
}

pub(super) fn decode_samples_with_start(
    mut cursor: Cursor<'_>,
    samples: Vec<RefSample>,
) -> Result<SampleBatch, DecodeError> {
    let mut batch = SampleBatch::from(samples);
    batch.samples.reserve(cursor.0.len() / (1 + 1 + 1 + 8));
    let mut place = Place::default();
    while !cursor.is_empty() {
        let (series_ref, t, start_ms) = place.next(&mut cursor)?;
        let start = batch.starts.add(start_ms);
        batch.samples.push(RefSample { series_ref, slot: 0, start, t, v: cursor.u64()? });
    }
    Ok(batch)
}

/// What entries with starts are told against: ref, time and start of the first and of the previous entry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    first: Option<(i64, i64)>,
    previous_ref: u64,
    previous_start_ms: i64,
}

impl Place {
    /// Writes ref, time and start of the next entry.
    pub(super) fn push(&mut self, out: &mut Vec<u8>, (series_ref, t, start_ms): (u64, i64, i64)) {
        push_varint(out, series_ref.wrapping_sub(self.previous_ref) as i64);
        match self.first {
            None => {
                push_varint(out, t);
                push_varint(out, start_ms);
                self.first = Some((t, start_ms));
            }
            Some((first_t, first_start_ms)) => {
                push_varint(out, t.wrapping_sub(first_t));
                if start_ms == 0 {
                    out.push(NONE);
                } else if start_ms == self.previous_start_ms {
                    out.push(SAME);
                } else {
                    out.push(OTHER);
                    push_varint(out, start_ms.wrapping_sub(first_start_ms));
                }
            }
        }
        (self.previous_ref, self.previous_start_ms) = (series_ref, start_ms);
    }

    /// Reads ref, time and start of the next entry.
    pub(super) fn next(&mut self, cursor: &mut Cursor<'_>) -> Result<(u64, i64, i64), DecodeError> {
        let series_ref = self.previous_ref.wrapping_add(cursor.varint()? as u64);
        let t = cursor.varint()?;
        let (t, start_ms) = match self.first {
            None => {
                let start_ms = cursor.varint()?;
                self.first = Some((t, start_ms));
                (t, start_ms)
            }
            Some((first_t, first_start_ms)) => {
                let start_ms = match cursor.byte()? {
                    NONE => 0,
                    SAME => self.previous_start_ms,
                    _ => first_start_ms.wrapping_add(cursor.varint()?),
                };
                (first_t.wrapping_add(t), start_ms)
            }
        };
        (self.previous_ref, self.previous_start_ms) = (series_ref, start_ms);
        Ok((series_ref, t, start_ms))
    }
}
