//! A block that is open: its files mapped, what is deleted of it in memory. It stays readable as long as
//! somebody holds it, also when its directory is gone by then.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use prom_storage::{Columns, StorageError, TimeRange};

use crate::{
    disk::{Access, Disk},
    lock::{read, write},
};

use super::{
    BlockId, BlockMeta, ChunkMeta, ChunkReader, IndexReader, META_FILE_NAME, SeriesEntry,
    Tombstones, codec::read_chunk, file::io_error,
};

/// An open block.
#[derive(Debug)]
pub(crate) struct Block {
    id: BlockId,
    dir: PathBuf,
    index: IndexReader,
    chunks: ChunkReader,
    state: RwLock<State>,
    /// Somebody met damage in it.
    is_suspect: AtomicBool,
}

/// What changes while a block is open.
#[derive(Debug)]
struct State {
    meta: BlockMeta,
    meta_size_bytes: u64,
    tombstones: Arc<Tombstones>,
    tombstones_size_bytes: u64,
}

impl Block {
    /// Opens the block in a directory whose name is its id. Everything that is kept in memory is checked;
    /// series, postings and chunks are when they are read.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path) -> Result<Self, StorageError> {
        let id = BlockId::of_dir(dir).ok_or_else(|| StorageError::Corruption {
            path: dir.to_owned(),
            offset: 0,
            reason: "the name is not that of a block".to_owned(),
        })?;
        let mut meta = BlockMeta::read(disk, dir)?;
        if meta.ulid != id {
            tracing::warn!(
                block = %dir.display(), ulid = %meta.ulid,
                "The directory of a block has another name than the block; the directory's is used"
            );
            meta.ulid = id;
        }
        let index = IndexReader::open(disk, dir)?;
        index.file().advise(Access::Random);
        let chunks = ChunkReader::open(disk, dir)?;
        let (tombstones, tombstones_size_bytes) = Tombstones::read(disk, dir)?;
        let meta_path = dir.join(META_FILE_NAME);
        let meta_size_bytes =
            disk.size_bytes(&meta_path).map_err(|err| io_error(&meta_path, "stat", err))?;
        let tombstones = Arc::new(tombstones);
        let state = State { meta, meta_size_bytes, tombstones, tombstones_size_bytes };
        let (state, is_suspect) = (RwLock::new(state), AtomicBool::new(false));
        Ok(Self { id, dir: dir.to_owned(), index, chunks, state, is_suspect })
    }

    pub(crate) fn id(&self) -> BlockId {
        self.id
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn meta(&self) -> BlockMeta {
        read(&self.state).meta.clone()
    }

    /// See [`BlockMeta::seniority`].
    pub(crate) fn seniority(&self) -> (bool, BlockId) {
        read(&self.state).meta.seniority()
    }

    /// First time in it, and the time before which it ends.
    pub(crate) fn times(&self) -> (i64, i64) {
        let state = read(&self.state);
        (state.meta.min_time, state.meta.max_time)
    }

    /// Whether it may have samples between both times, inclusive.
    pub(crate) fn overlaps(&self, mint: i64, maxt: i64) -> bool {
        read(&self.state).meta.overlaps(mint, maxt)
    }

    /// Whether it may have histograms. Blocks of old say nothing of the kinds of their samples.
    pub(crate) fn may_have_histograms(&self) -> bool {
        let stats = read(&self.state).meta.stats;
        stats.num_histogram_samples > 0 || stats.num_float_samples < stats.num_samples
    }

    /// Remembers that somebody met damage, so that the block is mended before its turn.
    pub(crate) fn suspect(&self, err: &StorageError) {
        if err.is_corruption() {
            self.is_suspect.store(true, Ordering::Release);
        }
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.is_suspect.load(Ordering::Acquire)
    }

    /// Forgets the suspicion; says whether there was one.
    pub(crate) fn take_suspicion(&self) -> bool {
        self.is_suspect.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn index(&self) -> &IndexReader {
        &self.index
    }

    pub(crate) fn chunks(&self) -> &ChunkReader {
        &self.chunks
    }

    pub(crate) fn tombstones(&self) -> Arc<Tombstones> {
        Arc::clone(&read(&self.state).tombstones)
    }

    /// Bytes of all of its files.
    pub(crate) fn size_bytes(&self) -> u64 {
        let state = read(&self.state);
        let small = state.meta_size_bytes + state.tombstones_size_bytes;
        self.index.size_bytes() + self.chunks.size_bytes() + small
    }

    /// First and last sample by the index, which looks at all series.
    pub(crate) fn sample_times(&self) -> Result<Option<(i64, i64)>, StorageError> {
        let mut times: Option<(i64, i64)> = None;
        let mut entry = SeriesEntry::default();
        for number in self.index.all_postings()?.iter() {
            self.index.series(number, &mut entry)?;
            for chunk in &entry.chunks {
                let (min_t, max_t) = times.unwrap_or((chunk.min_t, chunk.max_t));
                times = Some((min_t.min(chunk.min_t), max_t.max(chunk.max_t)));
            }
        }
        Ok(times)
    }

    /// Reads everything, and calls `each` with what is wrong.
    pub(crate) fn verify(&self, each: &mut dyn FnMut(StorageError)) {
        let mut from = Some(0);
        while let Some(series_count) = from {
            from = self.verify_part(series_count, u64::MAX, each);
        }
    }

    /// Reads on behind so many series, until chunks of this size have been read, and calls `each` with what
    /// is wrong. Gives how many series have been read; nothing at the end. Postings are read at the begin.
    pub(crate) fn verify_part(
        &self,
        series_count: usize,
        size_bytes_max: u64,
        each: &mut dyn FnMut(StorageError),
    ) -> Option<usize> {
        if series_count == 0
            && let Err(err) = self.verify_postings(each)
        {
            each(err);
        }
        let all = self.index.all_postings().map_err(&mut *each).ok()?;
        let mut size_bytes = 0;
        for (at, number) in all.iter().enumerate().skip(series_count) {
            if size_bytes > size_bytes_max {
                return Some(at);
            }
            match self.verify_series(number, each) {
                Ok(read) => size_bytes += read,
                Err(err) => each(err),
            }
        }
        None
    }

    fn verify_postings(&self, each: &mut dyn FnMut(StorageError)) -> Result<(), StorageError> {
        for name in self.index.label_names() {
            let mut places = Vec::new();
            self.index.for_each_value(name, "", |_, place| {
                places.push(place);
                ControlFlow::Continue(())
            })?;
            for place in places {
                if let Err(err) = self.index.postings_at(place) {
                    each(err);
                }
            }
        }
        Ok(())
    }

    /// Reads a series, its labels and its chunks; gives their size.
    fn verify_series(
        &self,
        number: u32,
        each: &mut dyn FnMut(StorageError),
    ) -> Result<u64, StorageError> {
        let mut entry = SeriesEntry::default();
        self.index.series(number, &mut entry)?;
        for (name, value) in &entry.labels {
            self.index.symbol(*name)?;
            self.index.symbol(*value)?;
        }
        let mut size_bytes = 0;
        for chunk in &entry.chunks {
            match self.samples(chunk) {
                Ok(size) => size_bytes += size,
                Err(err) => each(err),
            }
        }
        Ok(size_bytes)
    }

    /// Reads a chunk as a query would; gives its size.
    pub(crate) fn samples(&self, chunk: &ChunkMeta) -> Result<u64, StorageError> {
        let all = TimeRange { mint_ms: i64::MIN, maxt_ms: i64::MAX };
        let (encoding, data) = self.chunks.get(chunk.chunk_ref)?;
        read_chunk(encoding, data, all, &mut Columns::default())
            .map_err(|err| self.chunks.corruption(chunk.chunk_ref, &err.to_string()))?;
        Ok(data.len() as u64)
    }

    /// Takes the times of the samples instead of those that the meta file tells.
    pub(crate) fn distrust_times(&self, (min_t, max_t): (i64, i64)) {
        let mut state = write(&self.state);
        (state.meta.min_time, state.meta.max_time) = (min_t, max_t.saturating_add(1));
    }

    /// Replaces what is deleted, on disk first.
    pub(crate) fn set_tombstones(
        &self,
        disk: &dyn Disk,
        tombstones: Tombstones,
    ) -> Result<(), StorageError> {
        let mut state = write(&self.state);
        tombstones.write(disk, &self.dir)?;
        let mut meta = state.meta.clone();
        meta.stats.num_tombstones = tombstones.count();
        meta.write(disk, &self.dir)?;
        disk.sync_dir(&self.dir).map_err(|err| io_error(&self.dir, "sync", err))?;
        state.tombstones_size_bytes = tombstones.encoded_size_bytes();
        state.tombstones = Arc::new(tombstones);
        state.meta = meta;
        Ok(())
    }

    /// Changes the meta file.
    pub(crate) fn update_meta(
        &self,
        disk: &dyn Disk,
        change: impl FnOnce(&mut BlockMeta),
    ) -> Result<(), StorageError> {
        let mut state = write(&self.state);
        let mut meta = state.meta.clone();
        change(&mut meta);
        meta.write(disk, &self.dir)?;
        disk.sync_dir(&self.dir).map_err(|err| io_error(&self.dir, "sync", err))?;
        state.meta = meta;
        Ok(())
    }
}
