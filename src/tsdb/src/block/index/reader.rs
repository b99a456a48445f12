//! An index that is open: small tables in memory, all else in the mapped file.

use std::{ops::ControlFlow, path::Path};

use prom_storage::StorageError;

use crate::disk::Disk;

use super::{
    Decoder, Flaw, HEADER_SIZE_BYTES, INDEX_FILE_NAME, MAGIC, SERIES_ALIGN_BYTES, Toc, Version,
    place,
    postings::{Postings, PostingsTable},
    symbols::Symbols,
};
use crate::block::file::BlockFile;

/// What series call a text, and the text.
type Symbol<'a> = (u32, &'a str);

/// The index of a block.
#[derive(Debug)]
pub(crate) struct IndexReader {
    file: BlockFile,
    pub(super) version: Version,
    toc: Toc,
    symbols: Symbols,
    postings: PostingsTable,
}

/// A series as the index tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SeriesEntry {
    /// Symbols of name and value, sorted by name.
    pub(crate) labels: Vec<(u32, u32)>,
    /// Ascending by time.
    pub(crate) chunks: Vec<ChunkMeta>,
}

/// Where a chunk is, and its first and last sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkMeta {
    pub(crate) min_t: i64,
    pub(crate) max_t: i64,
    pub(crate) chunk_ref: u64,
}

impl IndexReader {
    /// Opens the index in a block's directory, and checks all of it that is kept in memory.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path) -> Result<Self, StorageError> {
        let file = BlockFile::open(disk, &dir.join(INDEX_FILE_NAME))?;
        match Self::tables(file.bytes()) {
            Ok((version, toc, symbols, postings)) => {
                Ok(Self { file, version, toc, symbols, postings })
            }
            Err(flaw) => Err(file.corruption(flaw)),
        }
    }

    fn tables(file: &[u8]) -> Result<(Version, Toc, Symbols, PostingsTable), Flaw> {
        let mut header = Decoder::new(file, 0)?;
        if header.be32()? != MAGIC {
            return Err(Flaw { offset: 0, reason: "no index file" });
        }
        let version = match header.byte()? {
            1 => Version::V1,
            2 => Version::V2,
            _ => return Err(Flaw { offset: 4, reason: "unknown version of the index" }),
        };
        let toc = Toc::decode(file)?;
        let is_placed = |begin: u64| begin >= HEADER_SIZE_BYTES as u64;
        if !is_placed(toc.symbols) || !is_placed(toc.series) || !is_placed(toc.postings_table) {
            return Err(Flaw { offset: file.len(), reason: "a section is missing" });
        }
        let symbols = Symbols::open(file, version, toc.symbols)?;
        let postings = PostingsTable::open(file, version, toc.postings_table)?;
        Ok((version, toc, symbols, postings))
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.file.size_bytes()
    }

    /// Memory besides the mapped file.
    pub(crate) fn memory_size_bytes(&self) -> usize {
        self.symbols.memory_size_bytes() + self.postings.memory_size_bytes()
    }

    /// Tells the system how the file will be read.
    pub(crate) fn file(&self) -> &crate::disk::FileBytes {
        self.file.bytes()
    }

    /// The text that a series calls so.
    pub(crate) fn symbol(&self, symbol: u32) -> Result<&str, StorageError> {
        self.checked(self.symbols.get(self.file.bytes(), symbol))
    }

    /// All texts in the order of the table, each with what series call it.
    pub(crate) fn symbols(&self) -> impl Iterator<Item = Result<(u32, &str), StorageError>> {
        let symbols = self.symbols.iter(self.file.bytes());
        symbols.map(|symbol| self.checked(symbol))
    }

    /// All texts by their bytes, each with what series call it.
    pub(crate) fn sorted_symbols(
        &self,
    ) -> Result<Box<dyn Iterator<Item = Result<Symbol<'_>, StorageError>> + '_>, StorageError> {
        if self.version == Version::V2 {
            return Ok(Box::new(self.symbols()));
        }
        let mut symbols = self.symbols().collect::<Result<Vec<_>, _>>()?;
        symbols.sort_by_key(|(_, text)| *text);
        Ok(Box::new(symbols.into_iter().map(Ok)))
    }

    /// What series call a text; none where that cannot be told without a look at all symbols.
    pub(crate) fn find_symbol(&self, text: &str) -> Result<Option<u32>, StorageError> {
        match self.version {
            Version::V1 => {
                for symbol in self.symbols() {
                    let (symbol, known) = symbol?;
                    if known == text {
                        return Ok(Some(symbol));
                    }
                }
                Ok(None)
            }
            Version::V2 => self.checked(self.symbols.find(self.file.bytes(), text)),
        }
    }

    /// Label names, ascending.
    pub(crate) fn label_names(&self) -> impl Iterator<Item = &str> {
        self.postings.names()
    }

    pub(crate) fn values_count(&self, name: &str) -> usize {
        self.postings.values_count(name)
    }

    /// Calls `each` with the values of a label from `from` on, ascending, and the place of their postings.
    pub(crate) fn for_each_value<'a>(
        &'a self,
        name: &str,
        from: &str,
        each: impl FnMut(&'a str, u64) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        self.checked(self.postings.for_each_value(self.file.bytes(), name, from, each))
    }

    /// The series of a pair; none if no series has it.
    pub(crate) fn postings(&self, name: &str, value: &str) -> Result<Postings<'_>, StorageError> {
        let offset = self.checked(self.postings.find(self.file.bytes(), name, value))?;
        offset.map_or(Ok(Postings::default()), |offset| self.postings_at(offset))
    }

    /// The list at a place that [`Self::for_each_value`] told.
    pub(crate) fn postings_at(&self, offset: u64) -> Result<Postings<'_>, StorageError> {
        self.checked(Postings::open(self.file.bytes(), offset))
    }

    /// All series, in the order of their labels.
    pub(crate) fn all_postings(&self) -> Result<Postings<'_>, StorageError> {
        self.postings("", "")
    }

    /// Reads a series by its number.
    pub(crate) fn series(&self, number: u32, out: &mut SeriesEntry) -> Result<(), StorageError> {
        self.checked(self.decode_series(number, out))
    }

    fn decode_series(&self, number: u32, out: &mut SeriesEntry) -> Result<(), Flaw> {
        let offset = match self.version {
            Version::V1 => u64::from(number),
            Version::V2 => u64::from(number) * SERIES_ALIGN_BYTES as u64,
        };
        if offset < self.toc.series {
            let offset = place(offset)?;
            return Err(Flaw { offset, reason: "a series before the section of series" });
        }
        let mut decoder = Decoder::record(self.file.bytes(), place(offset)?)?;
        out.labels.clear();
        out.chunks.clear();
        for _ in 0..decoder.uvarint()? {
            out.labels.push((decoder.uvarint32()?, decoder.uvarint32()?));
        }
        let chunks_count = decoder.uvarint()?;
        if chunks_count == 0 {
            return Ok(());
        }
        let min_t = decoder.varint()?;
        let mut chunk = ChunkMeta {
            min_t,
            max_t: min_t.wrapping_add(decoder.uvarint()? as i64),
            chunk_ref: decoder.uvarint()?,
        };
        out.chunks.push(chunk);
        for _ in 1..chunks_count {
            chunk.min_t = chunk.max_t.wrapping_add(decoder.uvarint()? as i64);
            chunk.max_t = chunk.min_t.wrapping_add(decoder.uvarint()? as i64);
            chunk.chunk_ref = chunk.chunk_ref.wrapping_add(decoder.varint()? as u64);
            out.chunks.push(chunk);
        }
        Ok(())
    }

    fn checked<T>(&self, found: Result<T, Flaw>) -> Result<T, StorageError> {
        found.map_err(|flaw| self.file.corruption(flaw))
    }
}
