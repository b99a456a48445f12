//! The files there are, mapped into memory for those who read chunks.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, RwLock, RwLockReadGuard},
};

use crate::{
    disk::{Disk, FileBytes},
    lock::{read, write},
};

use super::{
    record::{HeadChunk, HeadChunkError, read_head_chunk},
    scan::FileEnd,
    writer::ChunkPlace,
};

pub(super) const MAGIC: u32 = 0x0130_bc91;
pub(super) const VERSION: u8 = 1;
/// Magic, version, three zeros.
pub(super) const HEADER_SIZE_BYTES: usize = 4 + 1 + 3;

/// What each file begins with.
pub(super) fn file_header() -> [u8; HEADER_SIZE_BYTES] {
    let [a, b, c, d] = MAGIC.to_be_bytes();
    [a, b, c, d, VERSION, 0, 0, 0]
}

/// The mapped files of a `chunks_head` directory.
#[derive(Debug)]
pub(crate) struct ChunkFiles {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    maps: RwLock<ChunkMaps>,
}

/// Mapped files by number.
#[derive(Debug, Default)]
pub(crate) struct ChunkMaps {
    by_number: BTreeMap<u32, FileBytes>,
}

impl ChunkFiles {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path) -> Self {
        Self { disk, dir: dir.to_owned(), maps: RwLock::default() }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Holds the files still for reading.
    pub(crate) fn maps(&self) -> RwLockReadGuard<'_, ChunkMaps> {
        read(&self.maps)
    }

    /// Maps a file as it is now.
    pub(super) fn map(&self, number: u32) -> io::Result<()> {
        let bytes = self.disk.map(&self.path(number))?;
        write(&self.maps).by_number.insert(number, bytes);
        Ok(())
    }

    pub(super) fn keep(&self, number: u32, bytes: FileBytes) {
        write(&self.maps).by_number.insert(number, bytes);
    }

    /// Removes files with lower numbers, the lowest first.
    pub(super) fn remove_before(&self, number: u32) -> io::Result<()> {
        let old: Vec<u32> = read(&self.maps).by_number.range(..number).map(|(n, _)| *n).collect();
        for number in old {
            self.disk.remove_file(&self.path(number))?;
            write(&self.maps).by_number.remove(&number);
        }
        Ok(())
    }

    /// Makes all files durable, whoever wrote them.
    ///
    /// # Errors
    /// The disk refused.
    pub(crate) fn sync(&self) -> io::Result<()> {
        let numbers: Vec<u32> = read(&self.maps).by_number.keys().copied().collect();
        for number in numbers {
            self.disk.append(&self.path(number))?.sync()?;
        }
        self.disk.sync_dir(&self.dir)
    }

    /// Removes files with lower numbers, the highest first; one that is gone is no error.
    pub(crate) fn remove_below(&self, number: u32) -> io::Result<()> {
        let old: Vec<u32> = read(&self.maps).by_number.range(..number).map(|(n, _)| *n).collect();
        for number in old.into_iter().rev() {
            match self.disk.remove_file(&self.path(number)) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
                _ => write(&self.maps).by_number.remove(&number),
            };
        }
        self.disk.sync_dir(&self.dir)
    }

    pub(crate) fn path(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{number:06}"))
    }
}

impl ChunkMaps {
    /// The chunk at a place; it must be that of the series.
    pub(crate) fn chunk(
        &self,
        place: ChunkPlace,
        series_ref: Option<u64>,
    ) -> Result<HeadChunk<'_>, HeadChunkError> {
        let bytes = self.by_number.get(&place.file).ok_or(HeadChunkError::Short)?;
        let rest = bytes.get(place.offset as usize..).ok_or(HeadChunkError::Short)?;
        let (chunk, _) = read_head_chunk(rest)?;
        match series_ref.is_none_or(|series_ref| series_ref == chunk.series_ref) {
            true => Ok(chunk),
            false => Err(HeadChunkError::OtherChunk),
        }
    }

    /// The first file.
    pub(crate) fn first(&self) -> Option<u32> {
        self.by_number.first_key_value().map(|(number, _)| *number)
    }

    /// All files and their sizes.
    pub(crate) fn ends(&self) -> Vec<FileEnd> {
        let files = self.by_number.iter();
        files
            .map(|(number, bytes)| FileEnd { number: *number, size_bytes: bytes.len() as u64 })
            .collect()
    }

    /// The last file and its size.
    pub(crate) fn last(&self) -> Option<(u32, u64)> {
        self.by_number.last_key_value().map(|(number, bytes)| (*number, bytes.len() as u64))
    }
}
