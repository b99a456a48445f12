//! A chunk without start times made one that has them: what the head keeps beside an open chunk goes into it
//! when it is put together.

use super::{
    Encoding,
    histogram::{Floats, Integers, add_starts},
    start_time::Extent,
    xor_reader::{ChunkError, for_each_sample},
    xor2::encode_xor2,
};

/// The samples of a chunk with these starts, of which there are as many.
///
/// # Errors
/// The bytes are no chunk, or one that has starts.
pub(crate) fn with_starts(
    encoding: Encoding,
    chunk: &[u8],
    (starts_ms, extent): (&[i64], Extent),
) -> Result<(Encoding, Vec<u8>), ChunkError> {
    let mut data = Vec::with_capacity(chunk.len() + 16);
    match encoding {
        Encoding::Xor => {
            let mut samples = Vec::with_capacity(starts_ms.len());
            for_each_sample(chunk, starts_ms.len(), |t, v| {
                samples.push((t, v));
                true
            })?;
            encode_xor2(&samples, (starts_ms, extent), &mut data);
            Ok((Encoding::Xor2, data))
        }
        Encoding::Histogram => {
            add_starts::<Integers>(chunk, (starts_ms, extent), &mut data)?;
            Ok((Encoding::HistogramWithStart, data))
        }
        Encoding::FloatHistogram => {
            add_starts::<Floats>(chunk, (starts_ms, extent), &mut data)?;
            Ok((Encoding::FloatHistogramWithStart, data))
        }
        other => Err(ChunkError::UnknownEncoding(other as u8)),
    }
}

#[cfg(test)]
mod tests {
    use prom_storage::{Columns, TimeRange};
    use proptest::prelude::*;

    use super::*;
    use crate::chunk::{encode_floats, read_chunk};

    const ALL: TimeRange = TimeRange { mint_ms: i64::MIN, maxt_ms: i64::MAX };

    proptest! {
        #[test]
        fn floats_and_starts_come_back(
            steps in prop::collection::vec((1i64..100_000, any::<u64>(), 0i64..3), 1..250),
            is_open in any::<bool>(),
        ) {
            let mut t = 0;
            let step = |(step, v, _): &(i64, u64, i64)| {
                t += step;
                (t, *v)
            };
            let samples: Vec<(i64, u64)> = steps.iter().map(step).collect();
            let starts_ms: Vec<i64> = steps.iter().map(|(_, _, start_ms)| *start_ms).collect();
            let extent = if is_open { Extent::Open } else { Extent::Whole };
            let mut plain = Vec::new();
            encode_floats(&samples, &mut plain);
            let (encoding, data) = with_starts(Encoding::Xor, &plain, (&starts_ms, extent)).unwrap();
            let mut found = Columns::default();
            read_chunk(encoding, &data, usize::MAX, ALL, &mut found).unwrap();
            let values = found.values.iter().map(|value| value.to_bits());
            prop_assert_eq!(found.timestamps_ms.iter().copied().zip(values).collect::<Vec<_>>(), samples);
            found.start_timestamps_ms.resize(starts_ms.len(), 0);
            prop_assert_eq!(found.start_timestamps_ms, starts_ms);
        }

        #[test]
        fn foreign_bytes_never_panic(
            chunk in prop::collection::vec(any::<u8>(), 0..200),
            starts_ms in prop::collection::vec(any::<i64>(), 0..50),
            encoding in 1..=6_u8,
        ) {
            let encoding = Encoding::of_byte(encoding).unwrap();
            if let Ok((encoding, data)) = with_starts(encoding, &chunk, (&starts_ms, Extent::Open)) {
                prop_assert!(encoding.has_start() || encoding == Encoding::Xor2);
                prop_assert!(data.len() >= 3);
            }
        }
    }
}
