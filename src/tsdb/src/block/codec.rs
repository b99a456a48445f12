//! Chunks of blocks to samples. Each encoding is the matter of `chunk`.

use prom_storage::{Columns, TimeRange};

use crate::chunk::{self, ChunkError, Encoding};

/// Appends the samples of a chunk within the range.
pub(crate) fn read_chunk(
    encoding: u8,
    data: &[u8],
    range: TimeRange,
    out: &mut Columns,
) -> Result<(), ChunkError> {
    chunk::read_chunk(Encoding::of_byte(encoding)?, data, usize::MAX, range, out)
}
