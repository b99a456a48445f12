//! Chunk files of a block: `chunks/000001` and so on. Format: docs/format/chunks.md. What the bytes of a
//! chunk mean is the matter of `chunk`.

use std::path::{Path, PathBuf};

use prom_storage::StorageError;

use crate::disk::Disk;

use super::file::{BlockFile, CRC_SIZE_BYTES, Decoder, Flaw, io_error, put_uvarint};
use super::sink::FileSink;

pub(crate) const CHUNKS_DIR_NAME: &str = "chunks";
/// A file is closed before the chunk that would make it larger.
pub(crate) const SEGMENT_SIZE_BYTES: u64 = 512 << 20;
const MAGIC: u32 = 0x85bd_40dd;
const VERSION: u8 = 1;
const HEADER_SIZE_BYTES: usize = 8;
/// Size as a varint, and the encoding.
const CHUNK_HEADER_SIZE_BYTES_MAX: usize = 5 + 1;

/// The chunk files of a block, mapped.
#[derive(Debug)]
pub(crate) struct ChunkReader {
    segments: Vec<BlockFile>,
}

/// Writes chunk files.
#[derive(Debug)]
pub(crate) struct ChunkWriter<'d> {
    disk: &'d dyn Disk,
    dir: PathBuf,
    segment_size_bytes_max: u64,
    /// How many files were begun.
    segments_count: u32,
    sink: Option<FileSink>,
    header: Vec<u8>,
}

impl ChunkReader {
    /// Opens all files in a block's directory.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path) -> Result<Self, StorageError> {
        let dir = dir.join(CHUNKS_DIR_NAME);
        let names = disk.list(&dir).map_err(|err| io_error(&dir, "list", err))?;
        let mut numbers: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
        numbers.sort_unstable();
        let mut segments = Vec::with_capacity(numbers.len());
        for (at, number) in numbers.into_iter().enumerate() {
            if number as usize != at + 1 {
                let path = dir.join(format!("{:06}", at + 1));
                return Err(io_error(&path, "open", std::io::ErrorKind::NotFound.into()));
            }
            let file = BlockFile::open(disk, &dir.join(format!("{number:06}")))?;
            check_header(file.bytes()).map_err(|flaw| file.corruption(flaw))?;
            segments.push(file);
        }
        Ok(Self { segments })
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.segments.iter().map(BlockFile::size_bytes).sum()
    }

    /// The encoding and the bytes of a chunk, checked by its checksum.
    pub(crate) fn get(&self, chunk_ref: u64) -> Result<(u8, &[u8]), StorageError> {
        let (segment, offset) = ((chunk_ref >> 32) as usize, (chunk_ref & 0xffff_ffff) as usize);
        let Some(file) = self.segments.get(segment) else {
            let path = self.segments.last().map_or(Path::new(CHUNKS_DIR_NAME), BlockFile::path);
            return Err(StorageError::Corruption {
                path: path.to_owned(),
                offset: offset as u64,
                reason: format!("there is no chunk file {}", segment + 1),
            });
        };
        decode(file.bytes(), offset).map_err(|flaw| file.corruption(flaw))
    }

    /// The error of a chunk whose bytes cannot be decoded.
    pub(crate) fn corruption(&self, chunk_ref: u64, reason: &str) -> StorageError {
        match self.segments.get((chunk_ref >> 32) as usize) {
            Some(file) => file.corruption_at((chunk_ref & 0xffff_ffff) as usize, reason),
            None => StorageError::Corruption {
                path: CHUNKS_DIR_NAME.into(),
                offset: chunk_ref,
                reason: reason.to_owned(),
            },
        }
    }
}

fn check_header(file: &[u8]) -> Result<(), Flaw> {
    let mut decoder = Decoder::new(file, 0)?;
    if decoder.be32()? != MAGIC {
        return Err(Flaw { offset: 0, reason: "no chunk file" });
    }
    if decoder.byte()? != VERSION {
        return Err(Flaw { offset: 4, reason: "unknown version of the chunk file" });
    }
    decoder.take(HEADER_SIZE_BYTES - 5).map(|_| ())
}

fn decode(file: &[u8], offset: usize) -> Result<(u8, &[u8]), Flaw> {
    if offset < HEADER_SIZE_BYTES {
        return Err(Flaw { offset, reason: "a chunk within the header" });
    }
    let mut decoder = Decoder::new(file, offset)?;
    let size = decoder.uvarint_size()?;
    let flaw = decoder.flaw("size is too large");
    let covered = decoder.take(size.checked_add(1).ok_or(flaw)?)?;
    if decoder.be32()? != crc32c::crc32c(covered) {
        return Err(Flaw { offset, reason: "checksum of the chunk does not match" });
    }
    let (encoding, data) = covered.split_first().ok_or(flaw)?;
    Ok((*encoding, data))
}

impl<'d> ChunkWriter<'d> {
    /// Begins to write into a block's directory.
    pub(crate) fn new(
        disk: &'d dyn Disk,
        dir: &Path,
        segment_size_bytes_max: u64,
    ) -> Result<Self, StorageError> {
        let dir = dir.join(CHUNKS_DIR_NAME);
        disk.create_dir_all(&dir).map_err(|err| io_error(&dir, "create", err))?;
        let (sink, header) = (None, Vec::new());
        Ok(Self { disk, dir, segment_size_bytes_max, segments_count: 0, sink, header })
    }

    /// Writes a chunk; gives its ref.
    pub(crate) fn write(&mut self, encoding: u8, data: &[u8]) -> Result<u64, StorageError> {
        let size = (CHUNK_HEADER_SIZE_BYTES_MAX + data.len() + CRC_SIZE_BYTES) as u64;
        let is_full = |sink: &FileSink| {
            let is_begun = sink.position() > HEADER_SIZE_BYTES as u64;
            is_begun && sink.position() + size > self.segment_size_bytes_max
        };
        if self.sink.as_ref().is_none_or(is_full) {
            self.cut()?;
        }
        let sink = self.sink.as_mut().expect("a file was begun above");
        let chunk_ref = u64::from(self.segments_count - 1) << 32 | sink.position();
        self.header.clear();
        put_uvarint(&mut self.header, data.len() as u64);
        self.header.push(encoding);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&[encoding]), data);
        sink.write(&self.header)?;
        sink.write(data)?;
        sink.write(&crc.to_be_bytes())?;
        Ok(chunk_ref)
    }

    /// Makes all files durable.
    pub(crate) fn finish(mut self) -> Result<(), StorageError> {
        if let Some(sink) = self.sink.take() {
            sink.finish()?;
        }
        self.disk.sync_dir(&self.dir).map_err(|err| io_error(&self.dir, "sync", err))
    }

    fn cut(&mut self) -> Result<(), StorageError> {
        if let Some(sink) = self.sink.take() {
            sink.finish()?;
        }
        self.segments_count += 1;
        let path = self.dir.join(format!("{:06}", self.segments_count));
        let mut sink = FileSink::create(self.disk, path)?;
        let mut header = MAGIC.to_be_bytes().to_vec();
        header.push(VERSION);
        header.resize(HEADER_SIZE_BYTES, 0);
        sink.write(&header)?;
        self.sink = Some(sink);
        Ok(())
    }
}
