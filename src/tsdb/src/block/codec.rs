//! Chunks of blocks to samples. Each encoding is the matter of `chunk`.

use prom_storage::{Columns, TimeRange};

use crate::chunk::{Encoding, for_each_sample};

/// Appends the samples of a chunk within the range, or says why it cannot.
pub(crate) fn read_chunk(
    encoding: u8,
    data: &[u8],
    range: TimeRange,
    out: &mut Columns,
) -> Result<(), String> {
    if encoding != Encoding::Xor as u8 {
        return Err(format!("chunk encoding {encoding} is not read yet"));
    }
    let each = |t: i64, v: u64| {
        if t > range.maxt_ms {
            return false;
        }
        if t >= range.mint_ms {
            out.push(t, f64::from_bits(v));
        }
        true
    };
    for_each_sample(data, usize::MAX, each).map_err(|err| err.to_string())
}
