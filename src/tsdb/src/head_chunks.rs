//! Head chunks: full chunks of the head in files, so that they need no memory and no replay. Which chunk
//! belongs to which place in the head is not known here. Format: docs/format/head_chunks.md.
//!
//! Damage costs the chunk that it hit, and no other. The log has all that these files have, so neither a chunk
//! that is lost nor a file that cannot be written costs a sample; but where the log is shortened early, the files
//! are all there is of older samples, as blocks are.

mod files;
mod record;
mod salvage;
mod scan;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use self::{
    files::{ChunkFiles, ChunkMaps},
    record::{HeadChunk, encode_head_chunk},
    scan::{FileEnd, Scanned, ScannedChunk, scan, take_trusted, trusted_files},
    writer::{ChunkMetrics, ChunkPlace, ChunkWriter},
};
