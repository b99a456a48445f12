//! Blocks: directories that hold the samples of a time range and never change, but for their tombstones.
//! When blocks are made, merged and dropped is the matter of `compact`; which series match is `select`'s.

mod source;

pub(crate) use self::source::{BlockSource, SourceChunk, SourceSeries};
