//! The histogram writer: one histogram onto the end of an open chunk, if the chunk can take it.
//! Where a chunk ends for its size or time is `cut`'s matter; what forces a new one is told here.

use std::{cmp::Ordering, sync::Arc};

use prom_model::{CUSTOM_BUCKETS_SCHEMA, CounterResetHint, Span, is_stale};

use super::{
    super::{varbit::put_varbit_int, xor::BitWriter, xor_reader::ChunkError},
    FLAGS_OFFSET, HISTOGRAM_HEADER_SIZE_BYTES, RESET_MASK,
    field::{Field, Real},
    kind::{Kind, View},
    layout::Layout,
    reader::{HistogramReader, Numbers, ReaderEnd},
    spans::Union,
};

/// What a chunk's header tells of resets between the chunk before and this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Reset {
    #[default]
    Unknown = 0,
    No = 0b0100_0000,
    Yes = 0b1000_0000,
    /// Not a counter.
    Gauge = 0b1100_0000,
}

/// What became of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// It is in the chunk.
    Added,
    /// It is in the chunk, all bytes of which are new.
    Recoded,
    /// It needs a new chunk, with this header.
    Refused(Reset),
}

/// An open chunk.
#[derive(Debug)]
pub(crate) struct HistogramWriter<K: Kind> {
    /// Header and whole words.
    bytes: Vec<u8>,
    /// Bits behind them.
    tail: (u32, u8),
    samples_count: u16,
    t: i64,
    t_delta: i64,
    layout: Layout,
    count: K::Count,
    zero_count: K::Count,
    sum: Real,
    positive: Vec<K::Bucket>,
    negative: Vec<K::Bucket>,
}

/// How a histogram and an open chunk come together.
enum Fit {
    /// Same buckets.
    Same,
    /// Spans differ: on the sides where they do, both layouts brought together.
    Sides { positive: Option<Union>, negative: Option<Union>, is_gauge: bool },
}

/// What one side of a counter comes to: nothing if its spans are the same.
type SideFit = Option<Union>;

impl Reset {
    pub(super) fn of_flags(flags: u8) -> Self {
        match flags & RESET_MASK {
            0b0100_0000 => Self::No,
            0b1000_0000 => Self::Yes,
            0b1100_0000 => Self::Gauge,
            _ => Self::Unknown,
        }
    }
}

impl<K: Kind> HistogramWriter<K> {
    /// Begins a chunk because another one refused the histogram.
    pub(crate) fn begin(t: i64, histogram: &K::Histogram, reset: Reset) -> Self {
        Self::begin_view(t, &K::view(histogram), reset)
    }

    /// Begins a chunk for another reason; `previous` is the chunk that was just full.
    pub(crate) fn begin_after(t: i64, histogram: &K::Histogram, previous: Option<&Self>) -> Self {
        let view = K::view(histogram);
        let reset = match (view.hint, previous) {
            (CounterResetHint::Gauge, _) => Reset::Gauge,
            (CounterResetHint::CounterReset, _) => Reset::Yes,
            (_, Some(previous)) => match previous.fit_counter(&view) {
                Ok(_) => Reset::No,
                Err(reset) => reset,
            },
            (_, None) => Reset::Unknown,
        };
        Self::begin_view(t, &view, reset)
    }

    /// Goes on with a chunk that [`Self::put`] put together.
    ///
    /// # Errors
    /// The bytes are no such chunk.
    pub(crate) fn reopen(chunk: &[u8]) -> Result<Self, ChunkError> {
        let mut reader = HistogramReader::<K>::new(chunk, false)?;
        while reader.advance()?.is_some() {}
        let ReaderEnd { samples_count, t, t_delta, layout, numbers, size_bits } =
            reader.into_end().ok_or(ChunkError::Truncated)?;
        let whole = HISTOGRAM_HEADER_SIZE_BYTES + size_bits / 32 * 4;
        let (bytes, rest) = chunk.split_at_checked(whole).ok_or(ChunkError::Truncated)?;
        let tail_bits = (size_bits % 32) as u8;
        let mut tail = [0; 4];
        for (to, from) in tail.iter_mut().zip(rest) {
            *to = *from;
        }
        let aligned = u64::from(u32::from_be_bytes(tail));
        let tail = (aligned >> (32 - u32::from(tail_bits))) as u32;
        let Numbers { count, zero_count, sum, positive, negative } = numbers;
        let bytes = bytes.to_vec();
        let tail = (tail, tail_bits);
        Ok(Self {
            bytes,
            tail,
            samples_count,
            t,
            t_delta,
            layout,
            count,
            zero_count,
            sum,
            positive,
            negative,
        })
    }

    /// Adds a histogram, which comes after the last one.
    pub(crate) fn append(&mut self, t: i64, histogram: &K::Histogram) -> Written {
        let view = K::view(histogram);
        let fit = match view.hint {
            CounterResetHint::Gauge => self.fit_gauge(&view),
            _ => self.fit_counter(&view),
        };
        match fit {
            Err(reset) => Written::Refused(reset),
            Ok(Fit::Same) => {
                self.write_next(t, &view, view.positive_buckets, view.negative_buckets);
                Written::Added
            }
            Ok(Fit::Sides { positive, negative, is_gauge }) => {
                let sides = (positive.as_ref(), negative.as_ref());
                let is_recoded = self.recode_for(&view, sides, is_gauge);
                let positive = place_new::<K>(view.positive_buckets, sides.0);
                let negative = place_new::<K>(view.negative_buckets, sides.1);
                self.write_next(t, &view, &positive, &negative);
                if is_recoded { Written::Recoded } else { Written::Added }
            }
        }
    }

    pub(crate) fn samples_count(&self) -> u16 {
        self.samples_count
    }

    pub(crate) fn size_bytes(&self) -> usize {
        self.bytes.len() + usize::from(self.tail.1).div_ceil(8)
    }

    /// Puts the chunk together as files hold it.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&self.bytes);
        out[begin..begin + 2].copy_from_slice(&self.samples_count.to_be_bytes());
        let (tail, tail_bits) = self.tail;
        let aligned = if tail_bits == 0 { 0 } else { tail << (32 - u32::from(tail_bits)) };
        out.extend_from_slice(&aligned.to_be_bytes()[..usize::from(tail_bits).div_ceil(8)]);
    }

    fn reset(&self) -> Reset {
        Reset::of_flags(self.bytes[FLAGS_OFFSET])
    }

    fn begin_view(t: i64, view: &View<'_, K>, reset: Reset) -> Self {
        let layout = if is_stale(view.sum) { Layout::default() } else { view.layout() };
        let mut bytes = vec![0; HISTOGRAM_HEADER_SIZE_BYTES];
        bytes[FLAGS_OFFSET] = reset as u8;
        let mut bits = BitWriter::new((0, 0), word_sink(&mut bytes));
        layout.write(&mut bits);
        put_varbit_int(&mut bits, t);
        let (mut count, mut zero_count) = (view.count, view.zero_count);
        let mut buckets = (view.positive_buckets, view.negative_buckets);
        if is_stale(view.sum) {
            (count, zero_count) = Default::default();
            buckets = Default::default();
        }
        let count = K::Count::write_first(&mut bits, count);
        let zero_count = K::Count::write_first(&mut bits, zero_count);
        let sum = Real::write_first(&mut bits, view.sum);
        let mut write = |bucket: &K::BucketValue| K::Bucket::write_first(&mut bits, *bucket);
        let positive = buckets.0.iter().map(&mut write).collect();
        let negative = buckets.1.iter().map(&mut write).collect();
        let tail = bits.finish();
        Self {
            bytes,
            tail,
            samples_count: 1,
            t,
            t_delta: 0,
            layout,
            count,
            zero_count,
            sum,
            positive,
            negative,
        }
    }

    fn write_next(
        &mut self,
        t: i64,
        view: &View<'_, K>,
        positive: &[K::BucketValue],
        negative: &[K::BucketValue],
    ) {
        let mut bits = BitWriter::new(self.tail, word_sink(&mut self.bytes));
        let t_delta = t.wrapping_sub(self.t);
        put_varbit_int(&mut bits, t_delta.wrapping_sub(self.t_delta));
        if is_stale(view.sum) {
            self.count.write_stale(&mut bits);
            self.zero_count.write_stale(&mut bits);
            self.sum.write_next(&mut bits, view.sum);
        } else {
            self.count.write_next(&mut bits, view.count);
            self.zero_count.write_next(&mut bits, view.zero_count);
            self.sum.write_next(&mut bits, view.sum);
            debug_assert_eq!(self.positive.len(), positive.len());
            debug_assert_eq!(self.negative.len(), negative.len());
            for (bucket, value) in self.positive.iter_mut().zip(positive) {
                bucket.write_next(&mut bits, *value);
            }
            for (bucket, value) in self.negative.iter_mut().zip(negative) {
                bucket.write_next(&mut bits, *value);
            }
        }
        self.tail = bits.finish();
        (self.t, self.t_delta) = (t, t_delta);
        self.samples_count += 1;
    }

    /// Whether a counter goes on in this chunk, and what it takes.
    fn fit_counter(&self, view: &View<'_, K>) -> Result<Fit, Reset> {
        if self.reset() == Reset::Gauge {
            return Err(Reset::Unknown);
        }
        if view.hint == CounterResetHint::CounterReset {
            return Err(Reset::Yes);
        }
        if is_stale(view.sum) {
            return Ok(Fit::Same);
        }
        // Behind a staleness marker the chunk takes only more of them.
        if is_stale(self.sum.value()) {
            return Err(Reset::Unknown);
        }
        if view.count < self.count.value() {
            return Err(Reset::Yes);
        }
        // A change of resolution may go along with a reset or not.
        if !self.has_resolution_of(view) {
            return Err(Reset::Unknown);
        }
        if !self.has_bounds_of(view) || view.zero_count < self.zero_count.value() {
            return Err(Reset::Yes);
        }
        let positive = fit_counter_side::<K>(
            (&self.layout.positive_spans, &self.positive),
            (view.positive_spans, view.positive_buckets),
        );
        let negative = fit_counter_side::<K>(
            (&self.layout.negative_spans, &self.negative),
            (view.negative_spans, view.negative_buckets),
        );
        Ok(Fit::of(positive.ok_or(Reset::Yes)?, negative.ok_or(Reset::Yes)?, false))
    }

    /// Likewise for a gauge, whose counts may fall.
    fn fit_gauge(&self, view: &View<'_, K>) -> Result<Fit, Reset> {
        if self.reset() != Reset::Gauge {
            return Err(Reset::Gauge);
        }
        if is_stale(view.sum) {
            return Ok(Fit::Same);
        }
        if is_stale(self.sum.value()) || !self.has_resolution_of(view) || !self.has_bounds_of(view)
        {
            return Err(Reset::Gauge);
        }
        let side = |own: &[Span], new: &[Span]| match own == new {
            true => Some(None),
            false => Union::of(own, new, |_, _| true).map(Some),
        };
        let positive = side(&self.layout.positive_spans, view.positive_spans);
        let negative = side(&self.layout.negative_spans, view.negative_spans);
        Ok(Fit::of(positive.ok_or(Reset::Gauge)?, negative.ok_or(Reset::Gauge)?, true))
    }

    fn has_resolution_of(&self, view: &View<'_, K>) -> bool {
        self.layout.schema == view.schema && self.layout.zero_threshold == view.zero_threshold
    }

    fn has_bounds_of(&self, view: &View<'_, K>) -> bool {
        self.layout.schema != CUSTOM_BUCKETS_SCHEMA
            || *self.layout.custom_values == **view.custom_values
    }

    /// Gives the chunk the buckets that it lacks; tells whether there were any.
    fn recode_for(
        &mut self,
        view: &View<'_, K>,
        (positive, negative): (Option<&Union>, Option<&Union>),
        is_gauge: bool,
    ) -> bool {
        if ![positive, negative].into_iter().flatten().any(Union::is_old_short) {
            return false;
        }
        let is_new_short = |side: Option<&Union>| side.is_some_and(Union::is_new_short);
        let is_any_short = is_new_short(positive) || is_new_short(negative);
        // Spans stay as they were exposed wherever the reference leaves them so.
        let spans = |side: Option<&Union>, own: &Arc<[Span]>, new: &Arc<[Span]>| match side {
            None => Arc::clone(if is_gauge && is_any_short { own } else { new }),
            Some(side) if is_new_short(Some(side)) || (is_gauge && is_any_short) => {
                side.spans.as_slice().into()
            }
            Some(_) => Arc::clone(new),
        };
        let layout = Layout {
            positive_spans: spans(positive, &self.layout.positive_spans, view.positive_spans),
            negative_spans: spans(negative, &self.layout.negative_spans, view.negative_spans),
            ..self.layout.clone()
        };
        let recoded = self.recoded(&layout, positive, negative);
        *self = recoded.expect("the bytes of the chunk are its own");
        true
    }

    fn recoded(
        &self,
        layout: &Layout,
        positive: Option<&Union>,
        negative: Option<&Union>,
    ) -> Result<Self, ChunkError> {
        let mut bytes = Vec::with_capacity(self.size_bytes());
        self.put(&mut bytes);
        let mut reader = HistogramReader::<K>::new(&bytes, false)?;
        let mut recoded: Option<Self> = None;
        while let Some(t) = reader.advance()? {
            let sample = reader.sample();
            let positive = place_old::<K>(&sample.positive_buckets, positive);
            let negative = place_old::<K>(&sample.negative_buckets, negative);
            let view = View {
                hint: CounterResetHint::Unknown,
                schema: layout.schema,
                zero_threshold: layout.zero_threshold,
                count: sample.count,
                zero_count: sample.zero_count,
                sum: sample.sum,
                positive_spans: &layout.positive_spans,
                negative_spans: &layout.negative_spans,
                positive_buckets: &positive,
                negative_buckets: &negative,
                custom_values: &layout.custom_values,
            };
            match &mut recoded {
                Some(recoded) => recoded.write_next(t, &view, &positive, &negative),
                None => recoded = Some(Self::begin_view(t, &view, self.reset())),
            }
        }
        recoded.ok_or(ChunkError::Truncated)
    }
}

impl Fit {
    fn of(positive: SideFit, negative: SideFit, is_gauge: bool) -> Self {
        match (positive, negative) {
            (None, None) => Self::Same,
            (positive, negative) => Self::Sides { positive, negative, is_gauge },
        }
    }
}

impl<K: Kind> View<'_, K> {
    fn layout(&self) -> Layout {
        Layout {
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            positive_spans: Arc::clone(self.positive_spans),
            negative_spans: Arc::clone(self.negative_spans),
            custom_values: Arc::clone(self.custom_values),
        }
    }
}

/// Compares the buckets of one side: `None` if a count fell, or a bucket that was used is gone.
fn fit_counter_side<K: Kind>(
    (old_spans, old): (&[Span], &[K::Bucket]),
    (new_spans, new): (&[Span], &[K::BucketValue]),
) -> Option<SideFit> {
    let none = K::Absolute::default();
    if old_spans == new_spans {
        let (mut old_count, mut new_count) = (none, none);
        let has_fallen = old.iter().zip(new).any(|(old, new)| {
            old_count = K::add(old_count, old.value());
            new_count = K::add(new_count, *new);
            old_count > new_count
        });
        return (!has_fallen).then_some(None);
    }
    let old: Vec<K::BucketValue> = old.iter().map(Field::value).collect();
    let (old, new) = (K::absolute(&old), K::absolute(new));
    // A bucket without a count would be a mistake of the caller; it counts as empty.
    let at = |counts: &[K::Absolute], index: usize| counts.get(index).copied().unwrap_or(none);
    let union = Union::of(old_spans, new_spans, |old_at, new_at| match (old_at, new_at) {
        (Some(old_at), Some(new_at)) => {
            at(&old, old_at).partial_cmp(&at(&new, new_at)) != Some(Ordering::Greater)
        }
        (Some(old_at), None) => at(&old, old_at) == none,
        (None, _) => true,
    })?;
    Some(Some(union))
}

fn place_old<K: Kind>(buckets: &[K::BucketValue], side: Option<&Union>) -> Vec<K::BucketValue> {
    place::<K>(buckets, side.map(|union| (union.count, union.old_places.as_slice())))
}

fn place_new<K: Kind>(buckets: &[K::BucketValue], side: Option<&Union>) -> Vec<K::BucketValue> {
    place::<K>(buckets, side.map(|union| (union.count, union.new_places.as_slice())))
}

/// Spreads buckets over a layout that has more of them.
fn place<K: Kind>(
    buckets: &[K::BucketValue],
    places: Option<(usize, &[usize])>,
) -> Vec<K::BucketValue> {
    let Some((count, places)) = places.filter(|(count, places)| places.len() < *count) else {
        return buckets.to_vec();
    };
    let mut counts = vec![K::Absolute::default(); count];
    for (place, value) in places.iter().zip(K::absolute(buckets)) {
        counts[*place] = value;
    }
    K::relative(&counts)
}

fn word_sink(bytes: &mut Vec<u8>) -> impl FnMut(u32) + '_ {
    |word: u32| bytes.extend_from_slice(&word.to_be_bytes())
}
