//! Sample codecs: what a chunk's bytes mean, and where one chunk ends and the next begins.
//! Pure functions over bytes; where chunks are kept is not known here.

mod cut;
mod xor;
mod xor_reader;

#[cfg(test)]
mod tests;

pub(crate) use self::{
    cut::{ChunkState, is_new_chunk_due, range_end_ms},
    xor::{CHUNK_HEADER_SIZE_BYTES, XorState, chunk_size_bytes},
    xor_reader::{ChunkError, for_each_sample},
};

/// How the samples of a chunk are written: the byte that precedes its data in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Encoding {
    Xor = 1,
}
