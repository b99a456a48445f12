//! The floats of a series as XOR2 chunks, where the operator asks for them: what a block holds of floats is
//! written anew, histograms stay as they are. Older readers refuse such blocks. Format: docs/format/xor2.md.

use prom_storage::{Columns, StorageError};

use crate::{
    block::SourceSeries,
    chunk::{Encoding, Extent, encode_xor2},
};

use super::shape::{ALL, decode};

/// Samples and bytes of a chunk at most; larger ones are read more than once by others.
const SAMPLES_COUNT_MAX: usize = 480;
const SIZE_BYTES_MAX: usize = 1000;

/// Writes the chunks of `series` into `out`, whose labels stay; float chunks that follow each other become one.
pub(super) fn rewrite(series: &SourceSeries, out: &mut SourceSeries) -> Result<(), StorageError> {
    out.chunks.clear();
    out.data.clear();
    let mut floats = Floats::default();
    for chunk in &series.chunks {
        let is_float =
            chunk.encoding == Encoding::Xor as u8 || chunk.encoding == Encoding::Xor2 as u8;
        if is_float {
            floats.extend(&decode(series, chunk, ALL)?);
        } else {
            floats.write(out);
            out.push_chunk((chunk.min_t, chunk.max_t), chunk.encoding, series.bytes_of(chunk));
        }
    }
    floats.write(out);
    Ok(())
}

/// Floats that become chunks together.
#[derive(Default)]
struct Floats {
    samples: Vec<(i64, u64)>,
    /// As many, or none if no sample has a start.
    starts_ms: Vec<i64>,
}

impl Floats {
    fn extend(&mut self, samples: &Columns) {
        if !samples.start_timestamps_ms.is_empty() {
            self.starts_ms.resize(self.samples.len(), 0);
            self.starts_ms.extend_from_slice(&samples.start_timestamps_ms);
        }
        let values = samples.values.iter().map(|value| value.to_bits());
        self.samples.extend(samples.timestamps_ms.iter().copied().zip(values));
        if !self.starts_ms.is_empty() {
            self.starts_ms.resize(self.samples.len(), 0);
        }
    }

    fn write(&mut self, out: &mut SourceSeries) {
        let mut data = Vec::new();
        let mut begin = 0;
        while let Some((first_t, _)) = self.samples.get(begin).copied() {
            let rest = &self.samples[begin..];
            let mut count = rest.len().min(SAMPLES_COUNT_MAX);
            loop {
                data.clear();
                let starts_ms = self.starts_ms.get(begin..begin + count).unwrap_or_default();
                encode_xor2(&rest[..count], (starts_ms, Extent::Whole), &mut data);
                if data.len() <= SIZE_BYTES_MAX || count == 1 {
                    break;
                }
                // As many as fit by the mean, and at least one less.
                count = (count * SIZE_BYTES_MAX / data.len()).clamp(1, count - 1);
            }
            let last_t = rest[count - 1].0;
            out.push_chunk((first_t, last_t), Encoding::Xor2 as u8, &data);
            begin += count;
        }
        self.samples.clear();
        self.starts_ms.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chunk::encode_floats;

    fn floats_of(series: &SourceSeries) -> Vec<(i64, u64)> {
        let mut found = Vec::new();
        for chunk in &series.chunks {
            let Columns { timestamps_ms, values, .. } = decode(series, chunk, ALL).unwrap();
            let values = values.iter().map(|value| value.to_bits());
            found.extend(timestamps_ms.iter().copied().zip(values));
        }
        found
    }

    fn starts_of(series: &SourceSeries) -> Vec<i64> {
        let mut found = Vec::new();
        for chunk in &series.chunks {
            let columns = decode(series, chunk, ALL).unwrap();
            let mut of_chunk = columns.start_timestamps_ms;
            of_chunk.resize(columns.values.len(), 0);
            found.extend(of_chunk);
        }
        found
    }

    proptest! {
        #[test]
        fn all_samples_are_there_in_chunks_of_the_allowed_size(
            steps in prop::collection::vec((1i64..100_000, any::<u64>(), 0u8..3), 1..1500),
            chunk_samples_count in 1usize..200,
            start_every in prop_oneof![Just(0i64), 1i64..300],
        ) {
            let mut t = 0;
            let samples: Vec<(i64, u64)> = steps.iter().map(|(step, noise, kind)| {
                t += step;
                (t, [0, noise >> 60, *noise][usize::from(*kind)])
            }).collect();
            // Every other chunk has starts, which change now and then.
            let mut starts_ms = vec![0; samples.len()];
            let mut series = SourceSeries::default();
            for (number, part) in samples.chunks(chunk_samples_count).enumerate() {
                let mut data = Vec::new();
                let times = (part[0].0, part[part.len() - 1].0);
                if start_every == 0 || number % 2 == 0 {
                    encode_floats(part, &mut data);
                    series.push_chunk(times, Encoding::Xor as u8, &data);
                    continue;
                }
                let begin = number * chunk_samples_count;
                let of_part = &mut starts_ms[begin..begin + part.len()];
                for (at, start_ms) in (0..).zip(&mut *of_part) {
                    *start_ms = times.0 - 7 + at / start_every * 1000;
                }
                encode_xor2(part, (of_part, Extent::Whole), &mut data);
                series.push_chunk(times, Encoding::Xor2 as u8, &data);
            }
            let mut out = SourceSeries::default();
            rewrite(&series, &mut out).unwrap();
            prop_assert_eq!(floats_of(&out), samples);
            prop_assert_eq!(starts_of(&out), starts_ms);
            for chunk in &out.chunks {
                prop_assert_eq!(chunk.encoding, Encoding::Xor2 as u8);
                prop_assert!(chunk.size_bytes <= SIZE_BYTES_MAX);
            }
        }
    }
}
