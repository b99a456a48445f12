//! The chunks of one series as a block holds them: within the block's range, without what is deleted, none
//! over another, at higher levels in fewer and denser chunks. Where they come from and go is not known here.

use prom_model::HistogramValue;
use prom_storage::{Columns, StorageError, TimeRange};

use crate::{
    block::{SourceChunk, SourceSeries, read_chunk},
    chunk::{Encoding, Extent, encode_densest, encode_histograms, encode_xor2},
    select::columns,
};

/// Samples of a chunk that is made anew, as the head would.
const SAMPLES_COUNT: usize = 120;

/// How series are shaped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Samples outside are left out.
    pub(crate) range: TimeRange,
    /// Whether float chunks are joined and written as dense as can be, where that makes them smaller.
    pub(crate) is_dense: bool,
}

/// A stretch of a series, in order of time.
enum Stretch {
    /// A chunk that can stay as it is.
    Kept(SourceChunk),
    Loose(Columns),
}

impl Shape {
    /// Puts the chunks of `series` into shape; `out` is overwritten, but for its labels.
    pub(crate) fn apply(
        &self,
        series: &mut SourceSeries,
        out: &mut SourceSeries,
    ) -> Result<(), StorageError> {
        out.chunks.clear();
        out.data.clear();
        let stretches = self.stretches(series)?;
        let mut run = FloatRun::default();
        for stretch in stretches {
            match stretch {
                Stretch::Kept(chunk) if self.is_dense && is_plain_float(chunk.encoding) => {
                    run.push_chunk(series, &chunk)?;
                }
                Stretch::Kept(chunk) => {
                    run.flush(series, out);
                    out.push_chunk(
                        (chunk.min_t, chunk.max_t),
                        chunk.encoding,
                        series.bytes_of(&chunk),
                    );
                }
                Stretch::Loose(samples) if self.is_dense && is_plain(&samples) => {
                    run.push_samples(&samples);
                }
                Stretch::Loose(samples) => {
                    run.flush(series, out);
                    push_samples(&samples, out);
                }
            }
        }
        run.flush(series, out);
        Ok(())
    }

    /// The series in order of time, overlaps merged.
    fn stretches(&self, series: &mut SourceSeries) -> Result<Vec<Stretch>, StorageError> {
        let TimeRange { mint_ms, maxt_ms } = self.range;
        series.chunks.retain(|chunk| chunk.min_t <= maxt_ms && chunk.max_t >= mint_ms);
        series.chunks.sort_by_key(|chunk| (chunk.min_t, chunk.max_t));
        let mut rest = series.chunks.as_slice();
        let mut stretches = Vec::with_capacity(rest.len());
        while let Some((first, others)) = rest.split_first() {
            let mut end = first.max_t;
            let mut count = 1;
            while let Some(next) = others.get(count - 1).filter(|next| next.min_t <= end) {
                end = end.max(next.max_t);
                count += 1;
            }
            let (together, after) = rest.split_at(count);
            rest = after;
            let is_same = |chunk: &SourceChunk| {
                chunk.encoding == first.encoding && series.bytes_of(chunk) == series.bytes_of(first)
            };
            let is_cut = first.min_t < mint_ms
                || end > maxt_ms
                || series.deleted.iter().any(|d| d.mint_ms <= end && d.maxt_ms >= first.min_t);
            if !is_cut && together.iter().all(is_same) {
                stretches.push(Stretch::Kept(*first));
                continue;
            }
            // Of samples at one time the first stays, in the order in which the chunks were put in.
            let mut together = together.to_vec();
            together.sort_by_key(|chunk| chunk.offset);
            let mut merged = Columns::default();
            for chunk in &together {
                let one = decode(series, chunk, self.range)?;
                merged = if merged.is_empty() { one } else { columns::merge(&merged, &one) };
            }
            columns::delete(&mut merged, &series.deleted);
            if !merged.is_empty() {
                stretches.push(Stretch::Loose(merged));
            }
        }
        Ok(stretches)
    }
}

/// Floats that are written together.
#[derive(Default)]
struct FloatRun {
    samples: Vec<(i64, u64)>,
    /// The chunks they came in; loose ones have been written as such.
    chunks: Vec<(SourceChunk, Option<Vec<u8>>)>,
    size_bytes: usize,
}

/// What a chunk takes beside its data: size, encoding and checksum, and its entry in the index.
const CHUNK_OVERHEAD_SIZE_BYTES: usize = 14;

impl FloatRun {
    fn push_chunk(
        &mut self,
        series: &SourceSeries,
        chunk: &SourceChunk,
    ) -> Result<(), StorageError> {
        let samples = decode(series, chunk, ALL)?;
        self.extend(&samples);
        self.size_bytes += chunk.size_bytes + CHUNK_OVERHEAD_SIZE_BYTES;
        self.chunks.push((*chunk, None));
        Ok(())
    }

    fn push_samples(&mut self, samples: &Columns) {
        let mut loose = SourceSeries::default();
        push_samples(samples, &mut loose);
        for chunk in &loose.chunks {
            self.size_bytes += chunk.size_bytes + CHUNK_OVERHEAD_SIZE_BYTES;
            self.chunks.push((*chunk, Some(loose.bytes_of(chunk).to_vec())));
        }
        self.extend(samples);
    }

    fn extend(&mut self, samples: &Columns) {
        let values = samples.values.iter().map(|value| value.to_bits());
        self.samples.extend(samples.timestamps_ms.iter().copied().zip(values));
    }

    /// Writes the run in whichever way is smaller.
    fn flush(&mut self, series: &SourceSeries, out: &mut SourceSeries) {
        let mut dense = Vec::new();
        let mut rest = self.samples.as_slice();
        let mut dense_size_bytes = 0;
        while let Some((first_t, _)) = rest.first().copied() {
            let mut data = Vec::new();
            let count = encode_densest(rest, &mut data);
            let last_t = rest.get(count - 1).map_or(first_t, |(t, _)| *t);
            dense_size_bytes += data.len() + CHUNK_OVERHEAD_SIZE_BYTES;
            dense.push(((first_t, last_t), data));
            rest = rest.get(count..).unwrap_or_default();
        }
        if dense_size_bytes < self.size_bytes {
            for (times, data) in &dense {
                out.push_chunk(*times, Encoding::Xor as u8, data);
            }
        } else {
            for (chunk, data) in &self.chunks {
                let data = data.as_deref().unwrap_or_else(|| series.bytes_of(chunk));
                out.push_chunk((chunk.min_t, chunk.max_t), chunk.encoding, data);
            }
        }
        *self = Self::default();
    }
}

pub(super) const ALL: TimeRange = TimeRange { mint_ms: i64::MIN, maxt_ms: i64::MAX };

fn is_plain_float(encoding: u8) -> bool {
    encoding == Encoding::Xor as u8
}

/// Whether all samples are floats without starts.
fn is_plain(samples: &Columns) -> bool {
    samples.histograms.is_empty() && samples.start_timestamps_ms.is_empty()
}

/// The samples of a chunk within the range.
pub(crate) fn decode(
    series: &SourceSeries,
    chunk: &SourceChunk,
    range: TimeRange,
) -> Result<Columns, StorageError> {
    let mut samples = Columns::default();
    read_chunk(chunk.encoding, series.bytes_of(chunk), range, &mut samples).map_err(|reason| {
        StorageError::Corruption {
            path: "chunks".into(),
            offset: chunk.offset as u64,
            reason: format!("chunk from {} to {}: {reason}", chunk.min_t, chunk.max_t),
        }
    })?;
    Ok(samples)
}

/// Writes samples as chunks: floats and histograms in turn, as they come.
pub(crate) fn push_samples(samples: &Columns, out: &mut SourceSeries) {
    let (mut at, mut histogram_at) = (0, 0);
    let next_histogram =
        |at: usize| samples.histograms.get(at).map_or(i64::MAX, |point| point.timestamp_ms);
    loop {
        let floats = &samples.timestamps_ms[at..];
        let until = next_histogram(histogram_at);
        let count = match histogram_at < samples.histograms.len() {
            true => floats.partition_point(|t| *t < until),
            false => floats.len(),
        };
        let values = &samples.values[at..at + count];
        let floats: Vec<(i64, u64)> =
            floats.iter().zip(values).map(|(t, value)| (*t, value.to_bits())).collect();
        let starts_ms = samples.start_timestamps_ms.get(at..at + count).unwrap_or_default();
        push_floats(&floats, starts_ms, out);
        at += count;
        let histograms = &samples.histograms[histogram_at..];
        let count = match samples.timestamps_ms.get(at) {
            Some(until) => histograms.partition_point(|point| point.timestamp_ms < *until),
            None => histograms.len(),
        };
        let of_part = histogram_at..histogram_at + count;
        let starts_ms = samples.histogram_start_timestamps_ms.get(of_part).unwrap_or_default();
        let histograms = histograms[..count].iter().map(|p| (p.timestamp_ms, &p.histogram));
        push_histograms(histograms, starts_ms, out);
        histogram_at += count;
        if at >= samples.timestamps_ms.len() && histogram_at >= samples.histograms.len() {
            return;
        }
    }
}

/// Writes floats; those of a chunk that has starts as XOR2, because XOR has no place for them.
fn push_floats(samples: &[(i64, u64)], starts_ms: &[i64], out: &mut SourceSeries) {
    let mut data = Vec::new();
    for (number, part) in samples.chunks(SAMPLES_COUNT).enumerate() {
        let begin = number * SAMPLES_COUNT;
        let starts_ms = starts_ms.get(begin..begin + part.len()).unwrap_or_default();
        if starts_ms.iter().any(|start_ms| *start_ms != 0) {
            data.clear();
            encode_xor2(part, (starts_ms, Extent::Whole), &mut data);
            out.push_chunk((part[0].0, part[part.len() - 1].0), Encoding::Xor2 as u8, &data);
            continue;
        }
        let mut rest = part;
        // Gaps that no delta can tell end a chunk, too.
        while let (Some((first, _)), false) = (rest.first(), rest.is_empty()) {
            let is_far =
                |pair: &[(i64, u64)]| u32::try_from(pair[1].0.wrapping_sub(pair[0].0)).is_err();
            let count = rest.windows(2).position(is_far).map_or(rest.len(), |at| at + 1);
            data.clear();
            crate::chunk::encode_floats(&rest[..count], &mut data);
            out.push_chunk((*first, rest[count - 1].0), Encoding::Xor as u8, &data);
            rest = &rest[count..];
        }
    }
}

fn push_histograms<'a>(
    samples: impl IntoIterator<Item = (i64, &'a HistogramValue)>,
    starts_ms: &[i64],
    out: &mut SourceSeries,
) {
    for chunk in encode_histograms(samples, starts_ms, SAMPLES_COUNT as u16) {
        out.push_chunk((chunk.min_t, chunk.max_t), chunk.encoding as u8, &chunk.data);
    }
}
