//! Writes head chunks at the end of the newest file. A write that fails is taken back; if that fails, too,
//! the file is left and the next one begun. What has been written is mapped before anybody hears of it.
//!
//! A file ends where a range of blocks does, so that its chunks are old at the same time: it goes when they
//! stand in a block, and does not stay because a few of its chunks are younger.

use std::{io, sync::Arc};

use prom_telemetry::{Counter, Gauge, Registry};

use crate::disk::{AppendFile, write_all};

use super::files::{ChunkFiles, HEADER_SIZE_BYTES, file_header};

/// Compat: Prometheus `tsdb/chunks/head_chunks.go` (MaxHeadChunkFileSize).
const FILE_SIZE_BYTES_MAX: u64 = 128 << 20;

/// Where a chunk is: the number of its file, and the offset in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChunkPlace {
    pub(crate) file: u32,
    pub(crate) offset: u32,
}

impl ChunkPlace {
    /// The place as one number: the file in the high half, the offset in the low one.
    pub(crate) fn chunk_ref(self) -> u64 {
        u64::from(self.file) << 32 | u64::from(self.offset)
    }

    pub(crate) fn of_chunk_ref(chunk_ref: u64) -> Self {
        Self { file: (chunk_ref >> 32) as u32, offset: chunk_ref as u32 }
    }
}

/// The end of the newest file.
#[derive(Debug)]
pub(crate) struct ChunkWriter {
    files: Arc<ChunkFiles>,
    next_number: u32,
    current: Option<CurrentFile>,
    size_bytes_max: u64,
    /// A sync has failed: what it was for may be lost, and a later sync would not say so.
    is_doubtful: bool,
}

#[derive(Debug)]
struct CurrentFile {
    number: u32,
    file: Box<dyn AppendFile>,
    size_bytes: u64,
    /// The end of the range of its chunks; absent as long as only late ones are there.
    range_end_ms: Option<i64>,
}

impl ChunkWriter {
    /// `last_number` is that of the newest file there is; numbers only ever increase.
    pub(crate) fn new(files: Arc<ChunkFiles>, last_number: Option<u32>) -> Self {
        let next_number = last_number.map_or(1, |last| last.saturating_add(1));
        let size_bytes_max = FILE_SIZE_BYTES_MAX;
        Self { files, next_number, current: None, size_bytes_max, is_doubtful: false }
    }

    #[cfg(test)]
    pub(super) fn set_size_bytes_max(&mut self, size_bytes_max: u64) {
        self.size_bytes_max = size_bytes_max;
    }

    /// Writes chunks, end to end as they are, into one file; says where the first one is. They are readable
    /// from then on, and durable when the file is finished. Chunks of a later range than those before begin a
    /// file; late ones tell no range.
    ///
    /// # Errors
    /// The disk refused; nothing has been written.
    pub(crate) fn append(
        &mut self,
        chunks: &[u8],
        range_end_ms: Option<i64>,
    ) -> io::Result<ChunkPlace> {
        let size = chunks.len() as u64;
        let is_at_end = |current: &CurrentFile| {
            let is_full = current.size_bytes > HEADER_SIZE_BYTES as u64
                && current.size_bytes + size > self.size_bytes_max;
            is_full || current.range_end_ms.is_some_and(|end_ms| range_end_ms > Some(end_ms))
        };
        if self.current.as_ref().is_some_and(is_at_end) {
            self.finish_file()?;
        }
        self.ensure_file()?;
        let current = self.current.as_mut().expect("it was made above");
        let offset = current.size_bytes;
        let written = write_all(&mut *current.file, chunks);
        let mapped = written.and_then(|()| self.files.map(current.number));
        if let Err(err) = mapped {
            // What is mapped does not reach over the end that the file is cut to.
            if let Err(again) = current.file.truncate(offset) {
                tracing::warn!(number = current.number, err = %again, "A file of head chunks is left with a torn tail");
                // The good chunks before the tail stay in use.
                self.finish_file()?;
            }
            return Err(err);
        }
        current.size_bytes += size;
        current.range_end_ms = current.range_end_ms.max(range_end_ms);
        let offset = u32::try_from(offset).expect("files are smaller than 4 GiB");
        Ok(ChunkPlace { file: current.number, offset })
    }

    /// Makes the newest file durable; the next chunk begins another one.
    ///
    /// # Errors
    /// The disk refused; the log still has what is in the file.
    pub(crate) fn finish_file(&mut self) -> io::Result<()> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        let synced = current.file.sync();
        let synced = synced.and_then(|()| self.files.disk().sync_dir(self.files.dir()));
        self.is_doubtful |= synced.is_err();
        synced
    }

    pub(crate) fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }

    /// Removes the files before `number`; the newest one stays.
    ///
    /// # Errors
    /// The disk refused; files that are left are removed another time.
    pub(crate) fn remove_before(&mut self, number: u32) -> io::Result<()> {
        let newest = self.current.as_ref().map_or(number, |current| current.number);
        self.files.remove_before(number.min(newest))
    }

    /// The number that the next file will have.
    pub(crate) fn next_number(&self) -> u32 {
        self.next_number
    }

    fn ensure_file(&mut self) -> io::Result<()> {
        if self.current.is_some() {
            return Ok(());
        }
        let number = self.next_number;
        let mut file = self.files.disk().append(&self.files.path(number))?;
        if file.size_bytes()? > 0 {
            file.truncate(0)?;
        }
        write_all(&mut *file, &file_header())?;
        self.next_number = number.saturating_add(1);
        let size_bytes = HEADER_SIZE_BYTES as u64;
        self.current = Some(CurrentFile { number, file, size_bytes, range_end_ms: None });
        Ok(())
    }
}

/// Metrics of head chunk files, named as Prometheus's.
#[derive(Clone, Debug)]
pub(crate) struct ChunkMetrics {
    pub(crate) corruptions: Counter,
    pub(crate) mapped_chunks: Counter,
    pub(crate) waiting_size_bytes: Gauge,
}

impl ChunkMetrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        Self {
            corruptions: registry.counter(
                "prometheus_tsdb_mmap_chunk_corruptions_total",
                "Total number of memory-mapped chunk corruptions.",
            ),
            mapped_chunks: registry.counter(
                "prometheus_tsdb_mmap_chunks_total",
                "Total number of chunks that were memory-mapped.",
            ),
            waiting_size_bytes: registry.gauge(
                "prometheus_tsdb_head_chunks_waiting_bytes",
                "Bytes of full head chunks that are not in files yet.",
            ),
        }
    }
}
