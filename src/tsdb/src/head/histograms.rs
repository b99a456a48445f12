//! Histograms of the head: the open histogram chunk of a slot, and the last histogram of its series.
//! Closed chunks of both kinds are in one list, and times and counts in the slot, whatever its samples are.
//!
//! A series may change between floats and histograms; the change ends its open chunk.

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use prom_model::{FloatHistogram, Histogram, HistogramValue, is_stale};

use crate::{
    chunk::{
        HistogramChunkState, OpenHistograms, Written, is_new_histogram_chunk_due, range_end_ms,
    },
    wal::{Decoded, RefHistogram, decode, encode_histograms},
};

use super::{
    group::{Appended, GroupData},
    sidecar::{HistogramImage, SidecarError},
    slot::{HotSlot, NO_TIME},
};

/// What slots have whose last sample is a histogram.
#[derive(Debug, Default)]
pub(super) struct HistogramSlots {
    slots: HashMap<u16, HistogramSlot, FixedState>,
}

#[derive(Debug)]
struct HistogramSlot {
    /// Absent when the chunk was closed and nothing has come since.
    open: Option<OpenHistograms>,
    /// The end of the chunk has been brought forward.
    is_end_known: bool,
    last: HistogramValue,
}

impl HistogramSlots {
    pub(super) fn open(&self, slot: usize) -> Option<&OpenHistograms> {
        self.slots.get(&(slot as u16))?.open.as_ref()
    }

    pub(super) fn last(&self, slot: usize) -> Option<&HistogramValue> {
        Some(&self.slots.get(&(slot as u16))?.last)
    }

    /// How many series end with a histogram, and how many buckets these have.
    pub(super) fn counts(&self) -> (usize, usize) {
        let buckets_count = |slot: &HistogramSlot| match &slot.last {
            HistogramValue::Integer(one) => one.positive_buckets.len() + one.negative_buckets.len(),
            HistogramValue::Float(one) => one.positive_buckets.len() + one.negative_buckets.len(),
        };
        (self.slots.len(), self.slots.values().map(buckets_count).sum())
    }

    /// The open chunk is done with; the last histogram is still known.
    pub(super) fn end_chunk(&mut self, slot: usize) {
        if let Some(slot) = self.slots.get_mut(&(slot as u16)) {
            slot.open = None;
        }
    }

    pub(super) fn remove(&mut self, slot: usize) {
        self.slots.remove(&(slot as u16));
        if self.slots.is_empty() {
            self.slots = HashMap::default();
        }
    }

    /// Takes note of a histogram that is in a closed chunk.
    pub(super) fn set_last(&mut self, slot: usize, last: HistogramValue) {
        let entry = HistogramSlot { open: None, is_end_known: false, last };
        self.slots.insert(slot as u16, entry);
    }

    /// What a sidecar holds of a slot, put into empty buffers: a log record and a chunk.
    pub(super) fn image<'a>(
        &self,
        slot: usize,
        last_t: i64,
        (record, chunk): (&'a mut Vec<u8>, &'a mut Vec<u8>),
    ) -> Option<HistogramImage<'a>> {
        let entry = self.slots.get(&(slot as u16))?;
        let value = entry.last.clone();
        // Starts of the open chunk stand elsewhere.
        let last = RefHistogram { series_ref: 0, slot: 0, t: last_t, start_ms: 0, value };
        encode_histograms(&[last], &mut |bytes| record.extend_from_slice(bytes));
        if let Some(open) = &entry.open {
            open.put(chunk);
        }
        Some(HistogramImage { last: record, is_end_known: entry.is_end_known, chunk })
    }

    /// Takes a slot from a sidecar; `open_count` samples are in its open chunk, if it has one.
    ///
    /// # Errors
    /// It is not what was written.
    pub(super) fn restore(
        &mut self,
        slot: usize,
        image: HistogramImage<'_>,
        open_count: Option<u16>,
    ) -> Result<(), SidecarError> {
        let Ok(Decoded::Histograms(mut last)) = decode(image.last, Vec::new) else {
            return Err(SidecarError);
        };
        let last = last.pop().ok_or(SidecarError)?.value;
        let open = match open_count {
            None => None,
            Some(count) => {
                let open = OpenHistograms::reopen(&last, image.chunk).map_err(|_| SidecarError)?;
                Some(open).filter(|open| open.samples_count() == count)
            }
        };
        if open.is_some() != open_count.is_some() {
            return Err(SidecarError);
        }
        let entry = HistogramSlot { open, is_end_known: image.is_end_known, last };
        self.slots.insert(slot as u16, entry);
        Ok(())
    }
}

impl GroupData {
    /// Adds a histogram if it is newer than the last sample (I4).
    pub(super) fn append_histogram(
        &mut self,
        slot: usize,
        t: i64,
        value: &HistogramValue,
        chunk_range_ms: i64,
    ) -> Appended {
        let Some(hot) = self.hot_mut(slot) else { return Appended::Unknown };
        if t <= hot.last_t || t == NO_TIME {
            return Appended::Dropped;
        }
        if hot.samples_count > 0 && !hot.has(HotSlot::HISTOGRAM) {
            self.close_chunk(slot);
        }
        let is_new_chunk = self.write_histogram(slot, t, value, chunk_range_ms);
        let Some(hot) = self.hot_mut(slot) else { return Appended::Unknown };
        if is_new_chunk {
            hot.chunk_min_t = t;
            hot.next_at = range_end_ms(t, chunk_range_ms);
            hot.samples_count = 0;
        }
        hot.samples_count += 1;
        (hot.last_t, hot.last_v) = (t, 0);
        let staleness = i8::from(value.is_stale()) - i8::from(hot.has(HotSlot::STALE));
        hot.set(HotSlot::STALE, value.is_stale());
        hot.set(HotSlot::HISTOGRAM, true);
        hot.set(HotSlot::DOOMED, false);
        Appended::Stored { is_new_chunk, staleness }
    }

    /// Puts the histogram into the open chunk or a new one; says whether it is new.
    fn write_histogram(
        &mut self,
        slot: usize,
        t: i64,
        value: &HistogramValue,
        chunk_range_ms: i64,
    ) -> bool {
        let Some(hot) = self.hot_mut(slot).copied() else { return false };
        let tail = self.histograms.slots.get_mut(&(slot as u16));
        let open = tail.filter(|_| hot.samples_count > 0 && hot.has(HotSlot::HISTOGRAM));
        let next = match open {
            Some(HistogramSlot { open: Some(open), is_end_known, last }) => {
                let mut state = HistogramChunkState {
                    samples_count: open.samples_count(),
                    size_bytes: open.size_bytes(),
                    min_t: hot.chunk_min_t,
                    last_t: hot.last_t,
                    next_at: hot.next_at,
                    is_end_known: *is_end_known,
                };
                let is_due = is_new_histogram_chunk_due(&mut state, t, chunk_range_ms);
                *is_end_known = state.is_end_known;
                let next = if is_due || !open.is_kind_of(value) {
                    Some(OpenHistograms::begin(t, value, Some(open)))
                } else {
                    match open.append(t, value) {
                        Written::Added | Written::Recoded => {
                            *last = value.clone();
                            None
                        }
                        Written::Refused(reset) => {
                            Some(OpenHistograms::begin_refused(t, value, reset))
                        }
                    }
                };
                if let Some(hot) = self.hot_mut(slot) {
                    hot.next_at = state.next_at;
                }
                next
            }
            _ => Some(OpenHistograms::begin(t, value, None)),
        };
        let Some(next) = next else { return false };
        if hot.samples_count > 0 {
            self.close_chunk(slot);
        }
        let entry = HistogramSlot { open: Some(next), is_end_known: false, last: value.clone() };
        self.histograms.slots.insert(slot as u16, entry);
        true
    }
}

/// The staleness marker of a series whose last sample is `last`, as a histogram of the same kind.
/// Compat: Prometheus `tsdb/head_append.go`: a marker that comes as a float must not end histograms.
pub(super) fn stale_like(last: &HistogramValue) -> HistogramValue {
    match last {
        HistogramValue::Integer(_) => HistogramValue::Integer(Arc::new(Histogram::stale())),
        HistogramValue::Float(_) => HistogramValue::Float(Arc::new(FloatHistogram::stale())),
    }
}

/// Whether two histograms say the same: floats by their bits, so that a marker equals itself. What they
/// say of resets does not count.
pub(super) fn is_same(a: &HistogramValue, b: &HistogramValue) -> bool {
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    match (a, b) {
        (HistogramValue::Integer(a), HistogramValue::Integer(b)) => {
            (a.schema, a.count, a.zero_count) == (b.schema, b.count, b.zero_count)
                && bits(&[a.sum, a.zero_threshold]) == bits(&[b.sum, b.zero_threshold])
                && (&a.positive_spans, &a.negative_spans) == (&b.positive_spans, &b.negative_spans)
                && a.positive_buckets == b.positive_buckets
                && a.negative_buckets == b.negative_buckets
                && bits(&a.custom_values) == bits(&b.custom_values)
        }
        (HistogramValue::Float(a), HistogramValue::Float(b)) => {
            let numbers =
                |h: &FloatHistogram| bits(&[h.sum, h.zero_threshold, h.count, h.zero_count]);
            a.schema == b.schema
                && numbers(a) == numbers(b)
                && (&a.positive_spans, &a.negative_spans) == (&b.positive_spans, &b.negative_spans)
                && bits(&a.positive_buckets) == bits(&b.positive_buckets)
                && bits(&a.negative_buckets) == bits(&b.negative_buckets)
                && bits(&a.custom_values) == bits(&b.custom_values)
        }
        _ => false,
    }
}

/// Whether a float is a marker that belongs to the histograms of its series.
pub(super) fn is_marker(v: u64) -> bool {
    is_stale(f64::from_bits(v))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equality_is_by_bits_and_leaves_hints_out() {
        let integer = |histogram: Histogram| HistogramValue::Integer(Arc::new(histogram));
        let stale = integer(Histogram::stale());
        assert!(is_same(&stale, &stale_like(&integer(Histogram::default()))));
        let hint = prom_model::CounterResetHint::Gauge;
        let gauge = integer(Histogram { counter_reset_hint: hint, ..Histogram::default() });
        assert!(is_same(&gauge, &integer(Histogram::default())));
        assert!(!is_same(&gauge, &integer(Histogram { sum: -0.0, ..Histogram::default() })));
        let float = |histogram: FloatHistogram| HistogramValue::Float(Arc::new(histogram));
        let nan = float(FloatHistogram { count: f64::NAN, ..FloatHistogram::default() });
        assert!(is_same(&nan, &nan));
        assert!(!is_same(&nan, &float(FloatHistogram::default())));
        assert!(!is_same(&stale_like(&nan), &stale));
        assert!(is_marker(prom_model::STALE_NAN_BITS) && !is_marker(f64::NAN.to_bits()));
    }
}
