//! Closed chunks go from memory to files. Commits and readers go on meanwhile: a chunk is in memory until
//! it can be read in its file.

use std::{
    io,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use prom_storage::StorageError;

use crate::{
    chunk::range_end_ms,
    head_chunks::{
        ChunkFiles, ChunkMaps, ChunkPlace, ChunkWriter, HeadChunk, Scanned, ScannedChunk,
        encode_head_chunk, scan, take_trusted,
    },
    lock::{lock, read, write},
};

use super::{Head, SidecarHeader, group::Group};

/// Bytes that are written at once; one group may go over it.
const BATCH_SIZE_BYTES: usize = 1 << 20;

/// The files, and who writes them.
#[derive(Debug)]
pub(super) struct HeadFiles {
    pub(super) files: Arc<ChunkFiles>,
    pub(super) writer: ChunkWriter,
    /// Chunks of this file and of later ones have been copied to memory, and wait to be written anew.
    pub(super) copied_from: u32,
}

impl HeadFiles {
    fn new(files: Arc<ChunkFiles>, writer: ChunkWriter) -> Self {
        Self { files, writer, copied_from: u32::MAX }
    }
}

/// Chunks of some groups on their way into a file.
struct FlushBatch<'a> {
    bytes: Vec<u8>,
    /// For each group, the offsets of its chunks in the bytes.
    groups: Vec<(&'a Group, Vec<u32>)>,
    /// The last sample of all of them.
    max_t: i64,
}

impl Head {
    /// Opens the files of head chunks and looks through them; `each` is shown what can be used.
    ///
    /// # Errors
    /// The directory cannot be read or made.
    pub(crate) fn open_chunk_files(
        &self,
        files: ChunkFiles,
        data_dir: &Path,
        each: impl FnMut(ScannedChunk),
    ) -> io::Result<Scanned> {
        let files = Arc::new(files);
        let scanned = scan(&files, data_dir, each)?;
        let writer = ChunkWriter::new(Arc::clone(&files), scanned.last_number);
        self.chunk_metrics.corruptions.inc_by(scanned.damaged_count as u64);
        *write(&self.chunk_files) = Some(Arc::clone(&files));
        *lock(&self.head_files) = Some(HeadFiles::new(files, writer));
        Ok(scanned)
    }

    /// Opens the files of head chunks that a sidecar needs.
    ///
    /// # Errors
    /// The disk refuses; nothing has been opened.
    pub(crate) fn open_trusted_chunk_files(
        &self,
        files: ChunkFiles,
        header: &SidecarHeader,
    ) -> io::Result<()> {
        take_trusted(&files, header)?;
        let files = Arc::new(files);
        let last = Some(header.file_last).filter(|last| *last > 0);
        let writer = ChunkWriter::new(Arc::clone(&files), last);
        *write(&self.chunk_files) = Some(Arc::clone(&files));
        *lock(&self.head_files) = Some(HeadFiles::new(files, writer));
        self.are_files_unread.store(true, Ordering::Release);
        Ok(())
    }

    /// Drops chunks that stand in blocks, from a head that takes no samples yet.
    pub(crate) fn drop_what_is_in_blocks(&self) {
        let min_valid_t = self.times.min_valid.load(Ordering::Acquire);
        if self.times.min.load(Ordering::Acquire) >= min_valid_t {
            return;
        }
        let left = self.truncate_groups(min_valid_t);
        self.chunks_count.fetch_sub(left.chunks_count, Ordering::Relaxed);
        let oldest = if left.min_t == i64::MAX { i64::MAX } else { left.min_t.max(min_valid_t) };
        self.times.min.store(oldest, Ordering::Release);
    }

    /// Gives `each` the mapped files to read from.
    pub(super) fn with_chunk_maps<T>(&self, each: impl FnOnce(&ChunkMaps) -> T) -> T {
        match &*read(&self.chunk_files) {
            Some(files) => each(&files.maps()),
            None => each(&ChunkMaps::default()),
        }
    }

    /// Bytes of closed chunks in memory.
    pub(crate) fn waiting_size_bytes(&self) -> u64 {
        let waiting =
            self.groups.iter().map(|group| read(&group.data).closed().waiting_size_bytes());
        waiting.sum::<usize>() as u64
    }

    /// Writes closed chunks to files and gives their memory back.
    ///
    /// # Errors
    /// The disk refused; what is not written stays in memory.
    pub(crate) fn flush_chunks(&self) -> Result<(), StorageError> {
        let mut files = lock(&self.head_files);
        let Some(HeadFiles { files, writer, copied_from }) = &mut *files else { return Ok(()) };
        let io_error = |source| StorageError::Io {
            path: files.dir().to_owned(),
            action: "write head chunks",
            source,
        };
        let mut batch = FlushBatch::new();
        for group in self.groups.iter() {
            batch.add(group);
            if batch.bytes.len() >= BATCH_SIZE_BYTES {
                self.write_batch(&mut batch, writer).map_err(io_error)?;
            }
        }
        self.write_batch(&mut batch, writer).map_err(io_error)?;
        *copied_from = u32::MAX;
        self.chunk_metrics.waiting_size_bytes.set(0.0);
        Ok(())
    }

    /// Writes the closed chunks of one group.
    pub(super) fn flush_group(&self, group: &Group, writer: &mut ChunkWriter) -> io::Result<()> {
        let mut batch = FlushBatch::new();
        batch.add(group);
        self.write_batch(&mut batch, writer)
    }

    /// Whether the files were taken without a look into them; asked once.
    pub(crate) fn take_unread_files(&self) -> bool {
        self.are_files_unread.swap(false, Ordering::AcqRel)
    }

    /// Makes head chunks durable.
    pub(super) fn close_chunk_files(&self) -> Result<(), StorageError> {
        self.flush_chunks()?;
        self.sync_chunk_files(false).map(|_| ())
    }

    /// Finishes the newest file, and syncs all the others, too, if `is_all`: an earlier life may have left
    /// them as they were written. Gives the number of the first file that is not known to be durable.
    pub(super) fn sync_chunk_files(&self, is_all: bool) -> Result<u32, StorageError> {
        let mut files = lock(&self.head_files);
        let Some(HeadFiles { files, writer, .. }) = &mut *files else { return Ok(0) };
        let synced = writer.finish_file().and_then(|()| match is_all {
            true => files.sync(),
            false => Ok(()),
        });
        synced.map_err(|source| StorageError::Io {
            path: files.dir().to_owned(),
            action: "sync head chunks",
            source,
        })?;
        Ok(if writer.is_doubtful() { 0 } else { writer.next_number() })
    }

    fn write_batch(&self, batch: &mut FlushBatch<'_>, writer: &mut ChunkWriter) -> io::Result<()> {
        if batch.bytes.is_empty() {
            return Ok(());
        }
        let range_end_ms = range_end_ms(batch.max_t, self.chunk_range_ms);
        let begin = writer.append(&batch.bytes, Some(range_end_ms))?;
        for (group, offsets) in batch.groups.drain(..) {
            let place = |offset: &u32| ChunkPlace { offset: begin.offset + offset, ..begin };
            let places: Vec<ChunkPlace> = offsets.iter().map(place).collect();
            write(&group.data).closed_mut().set_filed(&places);
            self.chunk_metrics.mapped_chunks.inc_by(places.len() as u64);
        }
        batch.bytes.clear();
        batch.max_t = i64::MIN;
        Ok(())
    }

    /// Puts the chunks of files ahead of a series that a replay has just made or met. Those of another ref of it
    /// are copied, to be written under its own. Gives the first and the last time of each that it takes.
    pub(super) fn attach(
        &self,
        slot: u32,
        chunks: &[ScannedChunk],
        is_copied: bool,
    ) -> Vec<(i64, i64)> {
        let mut taken = Vec::with_capacity(chunks.len());
        let Some(group) = self.groups.get(slot) else { return taken };
        let min_valid_t = self.times.min_valid.load(Ordering::Acquire);
        // Compat: Prometheus `tsdb/head.go` (loadMmappedChunks): what stands in blocks is left out.
        let chunks = chunks.iter().filter(|chunk| chunk.max_t >= min_valid_t);
        let mut copied_from = u32::MAX;
        let mut data = write(&group.data);
        self.with_chunk_maps(|maps| {
            for chunk in chunks {
                let copied = is_copied.then(|| maps.chunk(chunk.place, Some(chunk.series_ref)));
                // One that has become unreadable since is the log's matter, if that has it.
                let Ok(copied) = copied.transpose() else { continue };
                let copied = copied.map(|copied| copied.data);
                if data.attach(super::slot_in_group(slot), chunk, copied) {
                    self.times.include(chunk.min_t, chunk.max_t);
                    taken.push((chunk.min_t, chunk.max_t));
                    copied_from = copied_from.min(chunk.place.file);
                }
            }
        });
        drop(data);
        if let Some(files) = lock(&self.head_files).as_mut().filter(|_| is_copied) {
            files.copied_from = files.copied_from.min(copied_from);
        }
        self.chunks_count.fetch_add(taken.len() as u64, Ordering::Relaxed);
        taken
    }

    /// Takes all chunks of files that the log has not come to.
    pub(super) fn place_all_filed(&self) {
        for group in self.groups.iter() {
            write(&group.data).place_all_filed();
        }
    }

    /// Ends a replay: last values that no sample of the log told.
    pub(super) fn recall_last_values(&self) {
        self.with_chunk_maps(|maps| {
            for group in self.groups.iter() {
                write(&group.data).recall_last_values(maps);
            }
        });
        let stale = self.groups.iter().map(|group| read(&group.data).stale_count());
        self.stale_count.store(stale.sum::<usize>() as i64, Ordering::Relaxed);
    }
}

impl<'a> FlushBatch<'a> {
    fn new() -> Self {
        Self { bytes: Vec::new(), groups: Vec::new(), max_t: i64::MIN }
    }

    fn add(&mut self, group: &'a Group) {
        let data = read(&group.data);
        if data.closed().waiting_size_bytes() == 0 {
            return;
        }
        let mut offsets = Vec::new();
        data.closed().for_each_waiting(|slot, chunk, bytes| {
            offsets.push(self.bytes.len() as u32);
            self.max_t = self.max_t.max(chunk.max_t);
            encode_head_chunk(
                &mut self.bytes,
                &HeadChunk {
                    series_ref: data.series_ref(slot).unwrap_or(super::slot::HotSlot::NO_REF),
                    min_t: chunk.min_t,
                    max_t: chunk.max_t,
                    encoding: chunk.encoding as u8,
                    is_out_of_order: false,
                    data: bytes,
                },
            );
        });
        self.groups.push((group, offsets));
    }
}
