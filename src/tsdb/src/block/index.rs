//! The `index` file of a block: which series there are, which have a label pair, where their chunks are.
//! Versions 1 and 2 are read, version 2 is written. Format: docs/format/index.md. What a query makes of it
//! is the matter of `select`.

mod postings;
mod reader;
mod symbols;
mod writer;

#[cfg(test)]
mod tests;

use super::file::{CRC_SIZE_BYTES, Decoder, Flaw};

pub(crate) use self::{
    postings::Postings,
    reader::{ChunkMeta, IndexReader, SeriesEntry},
    writer::IndexWriter,
};

pub(crate) const INDEX_FILE_NAME: &str = "index";
const MAGIC: u32 = 0xbaaa_d700;
const HEADER_SIZE_BYTES: usize = 5;
const TOC_SIZE_BYTES: usize = 6 * 8 + CRC_SIZE_BYTES;
/// Series begin at multiples of it, so that their number times it is their offset.
const SERIES_ALIGN_BYTES: usize = 16;
/// Of so many entries of a sorted table one offset is kept in memory.
const SAMPLE_STRIDE: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1 = 1,
    V2 = 2,
}

/// Where the sections begin; 0 where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Toc {
    symbols: u64,
    series: u64,
    label_indices: u64,
    label_indices_table: u64,
    postings: u64,
    postings_table: u64,
}

impl Toc {
    fn decode(file: &[u8]) -> Result<Self, Flaw> {
        let flaw = Flaw { offset: file.len(), reason: "the file is too short for an index" };
        let begin = file.len().checked_sub(TOC_SIZE_BYTES).ok_or(flaw)?;
        let mut decoder = Decoder::new(file, begin)?;
        let crc = crc32c::crc32c(&file[begin..begin + TOC_SIZE_BYTES - CRC_SIZE_BYTES]);
        let toc = Self {
            symbols: decoder.be64()?,
            series: decoder.be64()?,
            label_indices: decoder.be64()?,
            label_indices_table: decoder.be64()?,
            postings: decoder.be64()?,
            postings_table: decoder.be64()?,
        };
        if decoder.be32()? != crc {
            return Err(Flaw { offset: begin, reason: "checksum of the contents does not match" });
        }
        Ok(toc)
    }

    fn encode(&self) -> Vec<u8> {
        let sections = [
            self.symbols,
            self.series,
            self.label_indices,
            self.label_indices_table,
            self.postings,
            self.postings_table,
        ];
        let mut out: Vec<u8> = sections.into_iter().flat_map(u64::to_be_bytes).collect();
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }
}

/// An offset as a place in memory.
fn place(offset: u64) -> Result<usize, Flaw> {
    let flaw = Flaw { offset: usize::MAX, reason: "offset is too large" };
    usize::try_from(offset).map_err(|_| flaw)
}

fn text(bytes: &[u8], offset: usize) -> Result<&str, Flaw> {
    std::str::from_utf8(bytes).map_err(|_| Flaw { offset, reason: "text is not UTF-8" })
}
