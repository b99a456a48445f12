//! The histogram reader: chunk bytes to histograms. Bytes may be foreign: it never panics, reads nothing
//! outside, and takes no more memory than the bytes can fill.

use std::ops::RangeInclusive;

use prom_model::{CounterResetHint, HistogramValue, is_stale};

use super::{
    super::{
        start_time::StartReader,
        xor_reader::{BitReader, ChunkError},
    },
    FLAGS_OFFSET, HISTOGRAM_HEADER_SIZE_BYTES, RESET_MASK,
    field::{Field, Real},
    kind::{Kind, Sample},
    layout::Layout,
    spans::buckets_count,
    writer::Reset,
};

/// Sample count in a chunk with start times; the bits above it tell of resets there.
pub(crate) const COUNT_MASK_WITH_START: u16 = 0x3fff;

/// Calls `each` with time, histogram and start of those of the first `count_max` samples that are in the range.
pub(crate) fn for_each_histogram<K: Kind>(
    chunk: &[u8],
    has_start_times: bool,
    count_max: usize,
    range: RangeInclusive<i64>,
    mut each: impl FnMut(i64, HistogramValue, i64),
) -> Result<(), ChunkError> {
    let mut reader = HistogramReader::<K>::new(chunk, has_start_times)?;
    for _ in 0..count_max {
        let Some(t) = reader.advance()?.filter(|t| t <= range.end()) else { break };
        if t >= *range.start() {
            each(t, reader.histogram(), reader.start_ms);
        }
    }
    Ok(())
}

/// Goes through a chunk.
#[derive(Debug)]
pub(super) struct HistogramReader<'a, K: Kind> {
    bits: BitReader<'a>,
    starts: Option<StartReader>,
    start_ms: i64,
    left_count: u16,
    read_count: u16,
    reset: Reset,
    t: i64,
    t_delta: i64,
    layout: Layout,
    numbers: Option<Numbers<K>>,
}

/// The numbers of the sample that was read last.
#[derive(Debug)]
pub(super) struct Numbers<K: Kind> {
    pub(super) count: K::Count,
    pub(super) zero_count: K::Count,
    pub(super) sum: Real,
    pub(super) positive: Vec<K::Bucket>,
    pub(super) negative: Vec<K::Bucket>,
}

/// Where a reader stands: what a writer needs to go on.
#[derive(Debug)]
pub(super) struct ReaderEnd<K: Kind> {
    pub(super) samples_count: u16,
    pub(super) t: i64,
    pub(super) t_delta: i64,
    pub(super) layout: Layout,
    pub(super) numbers: Numbers<K>,
    /// Bits that were read, without the header.
    pub(super) size_bits: usize,
}

impl<'a, K: Kind> HistogramReader<'a, K> {
    pub(super) fn new(chunk: &'a [u8], has_start_times: bool) -> Result<Self, ChunkError> {
        let (header, bits) = chunk
            .split_first_chunk::<HISTOGRAM_HEADER_SIZE_BYTES>()
            .ok_or(ChunkError::Truncated)?;
        let count = u16::from_be_bytes([header[0], header[1]]);
        let (count, flags, starts) = match has_start_times {
            false => (count, header[FLAGS_OFFSET], None),
            true => {
                let starts = StartReader::new(header[FLAGS_OFFSET]);
                (count & COUNT_MASK_WITH_START, header[0], Some(starts))
            }
        };
        Ok(Self {
            bits: BitReader::new(bits),
            starts,
            start_ms: 0,
            left_count: count,
            read_count: 0,
            reset: Reset::of_flags(flags & RESET_MASK),
            t: 0,
            t_delta: 0,
            layout: Layout::default(),
            numbers: None,
        })
    }

    /// Goes to the next sample; its time, or `None` at the end.
    pub(super) fn advance(&mut self) -> Result<Option<i64>, ChunkError> {
        if self.left_count == 0 {
            return Ok(None);
        }
        self.left_count -= 1;
        let (bits, previous_t) = (&mut self.bits, self.t);
        match &mut self.numbers {
            Some(numbers) => {
                self.t_delta = self.t_delta.wrapping_add(bits.varbit_int()?);
                self.t = self.t.wrapping_add(self.t_delta);
                numbers.read_next(bits)?;
            }
            None => {
                self.layout = Layout::read(bits)?;
                self.t = bits.varbit_int()?;
                self.numbers = Some(Numbers::read_first(bits, &self.layout)?);
            }
        }
        if let Some(starts) = &mut self.starts {
            self.start_ms = starts.read(bits, self.read_count, self.t, previous_t)?;
        }
        self.read_count += 1;
        Ok(Some(self.t))
    }

    /// Bits that were read, without the header.
    pub(super) fn read_bits(&self) -> usize {
        self.bits.read_bits()
    }

    /// Where it stands; `None` before the first sample.
    pub(super) fn into_end(self) -> Option<ReaderEnd<K>> {
        Some(ReaderEnd {
            samples_count: self.read_count,
            t: self.t,
            t_delta: self.t_delta,
            layout: self.layout,
            numbers: self.numbers?,
            size_bits: self.bits.read_bits(),
        })
    }

    /// The histogram that was read last.
    pub(super) fn histogram(&self) -> HistogramValue {
        let sample = self.sample();
        if is_stale(sample.sum) {
            return K::build(&Layout::default(), sample);
        }
        K::build(&self.layout, sample).into_kept_resolution()
    }

    /// Likewise, without the layout. A staleness marker has only its sum.
    pub(super) fn sample(&self) -> Sample<K> {
        let sum = self.numbers.as_ref().map_or(0.0, |numbers| numbers.sum.value());
        let bare = Sample {
            hint: CounterResetHint::Unknown,
            count: K::CountValue::default(),
            zero_count: K::CountValue::default(),
            sum,
            positive_buckets: Vec::new(),
            negative_buckets: Vec::new(),
        };
        match &self.numbers {
            Some(numbers) if !is_stale(sum) => Sample {
                hint: self.hint(),
                count: numbers.count.value(),
                zero_count: numbers.zero_count.value(),
                positive_buckets: numbers.positive.iter().map(Field::value).collect(),
                negative_buckets: numbers.negative.iter().map(Field::value).collect(),
                ..bare
            },
            _ => bare,
        }
    }

    /// Whether the chunk before this one still stands before it is not known here, so the first sample
    /// of a chunk has an unknown hint, whatever the header says.
    fn hint(&self) -> CounterResetHint {
        match self.reset {
            Reset::Gauge => CounterResetHint::Gauge,
            _ if self.read_count > 1 => CounterResetHint::NotCounterReset,
            _ => CounterResetHint::Unknown,
        }
    }
}

impl<K: Kind> Numbers<K> {
    fn read_first(bits: &mut BitReader<'_>, layout: &Layout) -> Result<Self, ChunkError> {
        Ok(Self {
            count: K::Count::read_first(bits)?,
            zero_count: K::Count::read_first(bits)?,
            sum: Real::read_first(bits)?,
            positive: Self::read_first_buckets(bits, buckets_count(&layout.positive_spans))?,
            negative: Self::read_first_buckets(bits, buckets_count(&layout.negative_spans))?,
        })
    }

    fn read_first_buckets(
        bits: &mut BitReader<'_>,
        count: Option<usize>,
    ) -> Result<Vec<K::Bucket>, ChunkError> {
        let count = count.ok_or(ChunkError::InvalidSpans)?;
        if count.saturating_mul(K::Bucket::FIRST_BITS_MIN) > bits.rest_bits() {
            return Err(ChunkError::Truncated);
        }
        (0..count).map(|_| K::Bucket::read_first(bits)).collect()
    }

    fn read_next(&mut self, bits: &mut BitReader<'_>) -> Result<(), ChunkError> {
        self.count.read_next(bits)?;
        self.zero_count.read_next(bits)?;
        self.sum.read_next(bits)?;
        // A staleness marker has no buckets.
        if is_stale(self.sum.value()) {
            return Ok(());
        }
        self.positive.iter_mut().try_for_each(|bucket| bucket.read_next(bits))?;
        self.negative.iter_mut().try_for_each(|bucket| bucket.read_next(bits))
    }
}
