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
