//! What a block is written from: series in the order of their labels, chunks as they are. The head is one
//! source, blocks that are merged are another. Sources know no files that are written.

use prom_storage::{StorageError, TimeRange};

/// Series for one block. Symbols are asked for once, before the first series.
pub(crate) trait BlockSource {
    /// Hands over the names and values of all labels: sorted by their bytes, none twice, none empty.
    /// Each is known by its place from here on. Texts that no series has are allowed, and a waste.
    ///
    /// # Errors
    /// What `each` fails with; the source cannot be read.
    fn symbols(
        &mut self,
        each: &mut dyn FnMut(&str) -> Result<(), StorageError>,
    ) -> Result<(), StorageError>;

    /// Fills in the next series; `false` after the last one. Series ascend by `labels`, none twice.
    ///
    /// # Errors
    /// The source cannot be read.
    fn next_series(&mut self, series: &mut SourceSeries) -> Result<bool, StorageError>;
}

/// One series of a source. Buffers are used again for the next one.
#[derive(Clone, Debug, Default)]
pub(crate) struct SourceSeries {
    /// Places of name and value among the symbols, sorted by name.
    pub(crate) labels: Vec<(u32, u32)>,
    /// Chunks in any order of time. They may overlap, and may reach out of the block's range: the writer
    /// merges and clips them; of samples at one time, that of the chunk that was pushed first stays. A series
    /// without chunks is left out.
    pub(crate) chunks: Vec<SourceChunk>,
    /// The bytes of the chunks.
    pub(crate) data: Vec<u8>,
    /// Times, both ends inclusive, whose samples are deleted.
    pub(crate) deleted: Vec<TimeRange>,
}

/// A chunk of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SourceChunk {
    /// First and last sample.
    pub(crate) min_t: i64,
    pub(crate) max_t: i64,
    /// The byte that precedes the data in chunk files.
    pub(crate) encoding: u8,
    /// Where its bytes stand in [`SourceSeries::data`], as chunk files hold them.
    pub(crate) offset: usize,
    pub(crate) size_bytes: usize,
}

impl SourceSeries {
    /// Forgets the series, keeps the buffers.
    pub(crate) fn clear(&mut self) {
        self.labels.clear();
        self.chunks.clear();
        self.data.clear();
        self.deleted.clear();
    }

    /// Adds a chunk behind those that are there.
    pub(crate) fn push_chunk(&mut self, (min_t, max_t): (i64, i64), encoding: u8, data: &[u8]) {
        let (offset, size_bytes) = (self.data.len(), data.len());
        self.data.extend_from_slice(data);
        self.chunks.push(SourceChunk { min_t, max_t, encoding, offset, size_bytes });
    }

    pub(crate) fn bytes_of(&self, chunk: &SourceChunk) -> &[u8] {
        &self.data[chunk.offset..chunk.offset + chunk.size_bytes]
    }
}
