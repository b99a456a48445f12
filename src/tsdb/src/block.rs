//! Blocks: directories that hold the samples of a time range and never change, but for their tombstones.
//! When blocks are made, merged and dropped is the matter of `compact`; which series match is `select`'s.

mod chunks;
mod file;
mod id;
mod index;
mod meta;
mod sink;
mod source;
mod tombstones;

pub(crate) use self::{
    chunks::{ChunkReader, ChunkWriter},
    id::BlockId,
    index::{ChunkMeta, IndexReader, IndexWriter, Postings, SeriesEntry},
    meta::{BlockDesc, BlockMeta},
    source::{BlockSource, SourceChunk, SourceSeries},
    tombstones::{Tombstones, add_range},
};
