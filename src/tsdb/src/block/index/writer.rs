//! Writes an index from begin to end: symbols, series as they come, then postings from the series that were
//! written. What is kept in memory is the table of symbols, four bytes for each series, and one batch of
//! pairs at a time.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use prom_storage::StorageError;

use crate::{
    block::{
        file::{
            BlockFile, Decoder, Flaw, io_error, put_text, put_uvarint, put_varint,
            uvarint_size_bytes,
        },
        sink::FileSink,
    },
    disk::Disk,
};

use super::{ChunkMeta, INDEX_FILE_NAME, MAGIC, SERIES_ALIGN_BYTES, Toc, Version};

/// Pairs of series that are sorted at a time: 64 MiB.
const BATCH_PAIRS_COUNT_MAX: u64 = 4 << 20;
const POSTINGS_ALIGN_BYTES: u64 = 4;
const OWN_SYMBOLS: &str = "series have symbols that were added";

/// An index that is being written.
#[derive(Debug)]
pub(crate) struct IndexWriter<'d> {
    disk: &'d dyn Disk,
    sink: FileSink,
    toc: Toc,
    symbols: SymbolTable,
    /// How many series have a name.
    name_uses: BTreeMap<u32, u64>,
    /// Numbers of all series.
    series: Vec<u32>,
    last_labels: Vec<(u32, u32)>,
    record: Vec<u8>,
    batch_pairs_count_max: u64,
}

/// Texts behind their sizes, as the file has them.
#[derive(Debug, Default)]
struct SymbolTable {
    bytes: Vec<u8>,
    offsets: Vec<u32>,
    is_written: bool,
}

/// Where the list of a pair was written.
struct TableEntry {
    name: u32,
    value: u32,
    offset: u64,
}

impl<'d> IndexWriter<'d> {
    /// Begins the index in a block's directory. The empty text is its first symbol.
    pub(crate) fn new(disk: &'d dyn Disk, dir: &Path) -> Result<Self, StorageError> {
        let mut sink = FileSink::create(disk, dir.join(INDEX_FILE_NAME))?;
        sink.write(&MAGIC.to_be_bytes())?;
        sink.write(&[Version::V2 as u8])?;
        let mut writer = Self {
            disk,
            sink,
            toc: Toc::default(),
            symbols: SymbolTable::default(),
            name_uses: BTreeMap::new(),
            series: Vec::new(),
            last_labels: Vec::new(),
            record: Vec::new(),
            batch_pairs_count_max: BATCH_PAIRS_COUNT_MAX,
        };
        writer.add_symbol("")?;
        Ok(writer)
    }

    /// Sorts fewer pairs at a time.
    #[cfg(test)]
    pub(super) fn with_batch(mut self, pairs_count_max: u64) -> Self {
        self.batch_pairs_count_max = pairs_count_max;
        self
    }

    /// Adds a text, greater than those before it; gives its number. All come before the first series.
    pub(crate) fn add_symbol(&mut self, text: &str) -> Result<u32, StorageError> {
        debug_assert!(!self.symbols.is_written);
        debug_assert!(
            self.symbols.offsets.is_empty()
                || self.symbols.text(self.symbols.offsets.len() as u32 - 1) < text.as_bytes()
        );
        let too_large = |_| too_large(self.sink.path());
        let offset = u32::try_from(self.symbols.bytes.len()).map_err(too_large)?;
        let number = u32::try_from(self.symbols.offsets.len()).map_err(too_large)?;
        self.symbols.offsets.push(offset);
        put_text(&mut self.symbols.bytes, text.as_bytes());
        Ok(number)
    }

    /// Adds a series, greater by its labels than those before it; chunks ascend and do not overlap.
    pub(crate) fn add_series(
        &mut self,
        labels: &[(u32, u32)],
        chunks: &[ChunkMeta],
    ) -> Result<(), StorageError> {
        self.write_symbols()?;
        debug_assert!(self.series.is_empty() || *self.last_labels < *labels);
        self.last_labels.clear();
        self.last_labels.extend_from_slice(labels);
        self.pad(SERIES_ALIGN_BYTES as u64)?;
        let number = u32::try_from(self.sink.position() / SERIES_ALIGN_BYTES as u64)
            .map_err(|_| too_large(self.sink.path()))?;
        self.series.push(number);
        let record = &mut self.record;
        record.clear();
        put_uvarint(record, labels.len() as u64);
        for (name, value) in labels {
            *self.name_uses.entry(*name).or_default() += 1;
            put_uvarint(record, u64::from(*name));
            put_uvarint(record, u64::from(*value));
        }
        put_uvarint(record, chunks.len() as u64);
        let mut last: Option<&ChunkMeta> = None;
        for chunk in chunks {
            match last {
                None => put_varint(record, chunk.min_t),
                Some(last) => put_uvarint(record, chunk.min_t.wrapping_sub(last.max_t) as u64),
            }
            put_uvarint(record, chunk.max_t.wrapping_sub(chunk.min_t) as u64);
            match last {
                None => put_uvarint(record, chunk.chunk_ref),
                Some(last) => {
                    put_varint(record, chunk.chunk_ref.wrapping_sub(last.chunk_ref) as i64);
                }
            }
            last = Some(chunk);
        }
        let crc = crc32c::crc32c(record);
        let mut size = Vec::with_capacity(8);
        put_uvarint(&mut size, record.len() as u64);
        self.sink.write(&size)?;
        self.sink.write(record)?;
        self.sink.write(&crc.to_be_bytes())
    }

    /// Writes the rest and makes the file durable. Gives its size.
    pub(crate) fn finish(mut self) -> Result<u64, StorageError> {
        self.write_symbols()?;
        self.toc.label_indices = self.sink.position();
        self.sink.flush()?;
        let path: PathBuf = self.sink.path().to_owned();
        let written = BlockFile::open(self.disk, &path)?;
        written.bytes().advise(crate::disk::Access::Sequential);
        let mut table = Vec::new();
        // The first list has all series.
        let all = std::mem::take(&mut self.series);
        self.toc.postings = self.sink.position();
        table.push(self.write_postings(0, 0, all.iter().copied())?);
        for (first, last) in self.batches() {
            let pairs = pairs_of_names(written.bytes(), &all, first..=last)
                .map_err(|flaw| written.corruption(flaw))?;
            for list in pairs.chunk_by(|a, b| a.0 == b.0) {
                let Some((pair, _)) = list.first() else { continue };
                let (name, value) = ((pair >> 32) as u32, (pair & 0xffff_ffff) as u32);
                table.push(self.write_postings(name, value, list.iter().map(|(_, id)| *id))?);
            }
        }
        self.toc.label_indices_table = self.sink.position();
        self.toc.postings_table = self.sink.position();
        self.write_table(&table)?;
        self.sink.write(&self.toc.encode())?;
        self.sink.finish()
    }

    fn write_symbols(&mut self) -> Result<(), StorageError> {
        if self.symbols.is_written {
            return Ok(());
        }
        self.symbols.is_written = true;
        self.toc.symbols = self.sink.position();
        let count = (self.symbols.offsets.len() as u32).to_be_bytes();
        let crc = crc32c::crc32c_append(crc32c::crc32c(&count), &self.symbols.bytes);
        let size = u32::try_from(self.symbols.bytes.len() + count.len());
        let size = size.map_err(|_| too_large(self.sink.path()))?;
        self.sink.write(&size.to_be_bytes())?;
        self.sink.write(&count)?;
        self.sink.write(&self.symbols.bytes)?;
        self.sink.write(&crc.to_be_bytes())?;
        self.toc.series = self.sink.position();
        Ok(())
    }

    /// First and last name of each batch: as many names as fit, at least one.
    fn batches(&self) -> Vec<(u32, u32)> {
        let mut batches: Vec<(u32, u32)> = Vec::new();
        let mut pairs_count = 0;
        for (name, uses) in &self.name_uses {
            pairs_count += uses;
            match batches.last_mut() {
                Some((_, last)) if pairs_count <= self.batch_pairs_count_max => *last = *name,
                _ => {
                    batches.push((*name, *name));
                    pairs_count = *uses;
                }
            }
        }
        batches
    }

    fn write_postings(
        &mut self,
        name: u32,
        value: u32,
        series: impl ExactSizeIterator<Item = u32>,
    ) -> Result<TableEntry, StorageError> {
        self.pad(POSTINGS_ALIGN_BYTES)?;
        let offset = self.sink.position();
        let size = u32::try_from(4 + series.len() * 4).map_err(|_| too_large(self.sink.path()))?;
        self.record.clear();
        self.record.extend_from_slice(&(series.len() as u32).to_be_bytes());
        for number in series {
            self.record.extend_from_slice(&number.to_be_bytes());
        }
        self.sink.write(&size.to_be_bytes())?;
        self.sink.write(&self.record)?;
        self.sink.write(&crc32c::crc32c(&self.record).to_be_bytes())?;
        Ok(TableEntry { name, value, offset })
    }

    fn write_table(&mut self, entries: &[TableEntry]) -> Result<(), StorageError> {
        let text_size = |symbol| {
            let size = self.symbols.text(symbol).len();
            uvarint_size_bytes(size as u64) + size
        };
        let entry_size = |entry: &TableEntry| {
            1 + text_size(entry.name) + text_size(entry.value) + uvarint_size_bytes(entry.offset)
        };
        let size: usize = 4 + entries.iter().map(entry_size).sum::<usize>();
        let size = u32::try_from(size).map_err(|_| too_large(self.sink.path()))?;
        self.sink.write(&size.to_be_bytes())?;
        let count = (entries.len() as u32).to_be_bytes();
        let mut crc = crc32c::crc32c(&count);
        self.sink.write(&count)?;
        for entry in entries {
            self.record.clear();
            self.record.push(2);
            put_text(&mut self.record, self.symbols.text(entry.name));
            put_text(&mut self.record, self.symbols.text(entry.value));
            put_uvarint(&mut self.record, entry.offset);
            crc = crc32c::crc32c_append(crc, &self.record);
            self.sink.write(&self.record)?;
        }
        self.sink.write(&crc.to_be_bytes())
    }

    fn pad(&mut self, align_bytes: u64) -> Result<(), StorageError> {
        const ZEROS: [u8; SERIES_ALIGN_BYTES] = [0; SERIES_ALIGN_BYTES];
        let position = self.sink.position();
        let count = position.next_multiple_of(align_bytes) - position;
        self.sink.write(&ZEROS[..count as usize])
    }
}

impl SymbolTable {
    fn text(&self, symbol: u32) -> &[u8] {
        let offset = self.offsets[symbol as usize] as usize;
        let text = Decoder::new(&self.bytes, offset).and_then(|mut decoder| decoder.text());
        text.expect(OWN_SYMBOLS)
    }
}

/// Pairs with a name in `names` and the series that have them, sorted.
fn pairs_of_names(
    file: &[u8],
    series: &[u32],
    names: std::ops::RangeInclusive<u32>,
) -> Result<Vec<(u64, u32)>, Flaw> {
    let mut pairs = Vec::new();
    for number in series {
        let mut decoder = Decoder::new(file, *number as usize * SERIES_ALIGN_BYTES)?;
        decoder.uvarint()?;
        for _ in 0..decoder.uvarint()? {
            let (name, value) = (decoder.uvarint32()?, decoder.uvarint32()?);
            if names.contains(&name) {
                pairs.push((u64::from(name) << 32 | u64::from(value), *number));
            }
        }
    }
    pairs.sort_unstable();
    Ok(pairs)
}

fn too_large(path: &Path) -> StorageError {
    io_error(path, "write", io::ErrorKind::FileTooLarge.into())
}
