//! Blocks: directories that hold the samples of a time range and never change, but for their tombstones.
//! When blocks are made, merged and dropped is the matter of `compact`; which series match is `select`'s.

mod chunks;
mod codec;
mod file;
mod id;
mod index;
mod meta;
mod opened;
mod sink;
mod source;
mod tombstones;

pub(crate) use self::{
    chunks::{CHUNKS_DIR_NAME, ChunkReader, ChunkWriter, SEGMENT_SIZE_BYTES},
    codec::read_chunk,
    id::BlockId,
    index::{ChunkMeta, INDEX_FILE_NAME, IndexReader, IndexWriter, Postings, SeriesEntry},
    meta::{
        BlockMeta, BlockStats, HINT_OUT_OF_ORDER, HINT_SELECTED_SERIES, HINT_STALE_SERIES,
        META_FILE_NAME,
    },
    opened::Block,
    source::{BlockSource, SourceChunk, SourceSeries},
    tombstones::{TOMBSTONES_FILE_NAME, Tombstones, add_range},
};
