//! Floats of a chunk as columns. How their bits are read is told elsewhere.

use prom_storage::{Columns, TimeRange};

use super::{
    Encoding, samples_count,
    xor_reader::{ChunkError, for_each_sample},
    xor2::{for_each_xor2_sample, has_starts},
};

/// Appends those of the first `count_max` samples that are within `range`.
pub(super) fn read_floats(
    encoding: Encoding,
    chunk: &[u8],
    count_max: usize,
    range: TimeRange,
    out: &mut Columns,
) -> Result<(), ChunkError> {
    // No sample but the first two takes less than a bit.
    let count = usize::from(samples_count(encoding, chunk)?).min(chunk.len() * 8).min(count_max);
    if encoding == Encoding::Xor2 && has_starts(chunk) {
        return read_with_starts(chunk, count, range, out);
    }
    let begin = out.len();
    // Samples are written in their places: columns need not be asked for room with each.
    out.timestamps_ms.resize(begin + count, 0);
    out.values.resize(begin + count, 0.0);
    let (timestamps_ms, values) = (&mut out.timestamps_ms[begin..], &mut out.values[begin..]);
    let mut kept = 0;
    let each = |t: i64, v: u64| {
        if t > range.maxt_ms {
            return false;
        }
        // What comes before the range is overwritten by what comes next.
        if let (Some(timestamp_ms), Some(value)) =
            (timestamps_ms.get_mut(kept), values.get_mut(kept))
        {
            *timestamp_ms = t;
            *value = f64::from_bits(v);
        }
        kept += usize::from(t >= range.mint_ms);
        true
    };
    let result = match encoding {
        Encoding::Xor2 => {
            let mut each = each;
            for_each_xor2_sample(chunk, count, |t, v, _| each(t, v))
        }
        _ => for_each_sample(chunk, count, each),
    };
    out.timestamps_ms.truncate(begin + kept);
    out.values.truncate(begin + kept);
    result
}

fn read_with_starts(
    chunk: &[u8],
    count: usize,
    range: TimeRange,
    out: &mut Columns,
) -> Result<(), ChunkError> {
    for_each_xor2_sample(chunk, count, |t, v, start_ms| {
        if t > range.maxt_ms {
            return false;
        }
        if t >= range.mint_ms {
            out.push_with_start(t, f64::from_bits(v), start_ms);
        }
        true
    })
}
