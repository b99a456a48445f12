//! Making blocks: of the head, of other blocks. Which are due is planned here, too; when it is done, and what
//! goes afterwards, is the matter of `db`.

mod merge;
mod metrics;
mod plan;
mod shape;
mod writer;
mod xor2;

#[cfg(test)]
mod tests;

pub(crate) use self::{
    merge::{BlockMerge, merged_meta},
    metrics::ChunkMetrics,
    plan::{block_ranges, plan},
    shape::{Shape, push_samples},
    writer::{CREATION_SUFFIX, WriteOptions, write_block, write_block_with},
};
