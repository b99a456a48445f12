//! Chunks of native histograms, of integer and of float counts: written sample by sample, read back from
//! any bytes. When a chunk is full and where it is kept is not known here.
//!
//! A chunk has one layout (resolution and buckets). A sample with buckets that the chunk has not makes the
//! chunk be written anew with the buckets of both; one that cannot be put into the layout, or that tells
//! of a counter reset, begins a new chunk. Format: docs/format/histogram.md.
//! Compat: Prometheus `tsdb/chunkenc/histogram.go` and `float_histogram.go`, 3.14.

mod field;
mod kind;
mod layout;
mod open;
mod reader;
mod spans;
mod starts;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use self::{
    kind::{Floats, Integers},
    layout::has_known_schema,
    open::{OpenHistograms, encode_histograms},
    reader::{COUNT_MASK_WITH_START, for_each_histogram},
    spans::buckets_count,
    starts::add_starts,
    writer::Written,
};

/// Sample count and flags before the bits.
pub(crate) const HISTOGRAM_HEADER_SIZE_BYTES: usize = 3;
/// Where the flags stand.
const FLAGS_OFFSET: usize = 2;
/// The flags that tell of a reset.
const RESET_MASK: u8 = 0b1100_0000;
