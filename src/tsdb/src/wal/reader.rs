//! One segment file from its beginning to its end: whole records, and the places that are damaged.
//! It reads around damage; what to do about it is `repair`'s matter.

use std::io;

use crate::disk::ReadFile;

use super::{
    compress::Compression,
    frame::{FragmentKind, FrameError, PAGE_SIZE_BYTES, read_fragment},
};

/// What comes next in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A record; its stored bytes have been appended to the caller's buffer.
    Record { compression: Compression, offset: u64, size_bytes: usize },
    /// No record can be read from `offset` on, up to where the next item begins.
    Damage { offset: u64, reason: String },
}

/// Reads a segment page by page.
#[derive(Debug)]
pub(super) struct SegmentReader {
    file: Box<dyn ReadFile>,
    page: Vec<u8>,
    /// Where the page begins in the file, and where we are in it.
    page_offset: u64,
    at: usize,
    /// A record of which the last fragment is still to come: its place and compression.
    open: Option<(u64, Compression)>,
    /// Fragments that continue a lost record are passed over.
    is_lost: bool,
    /// End of the last whole record.
    good_end: u64,
    /// Whether any valid fragment came behind the last damage.
    is_valid_behind_damage: bool,
    is_at_end: bool,
}

impl SegmentReader {
    pub(super) fn new(file: Box<dyn ReadFile>) -> Self {
        Self {
            file,
            page: Vec::with_capacity(PAGE_SIZE_BYTES),
            page_offset: 0,
            at: 0,
            open: None,
            is_lost: false,
            good_end: 0,
            is_valid_behind_damage: true,
            is_at_end: false,
        }
    }

    /// Begins at the page of a place where a record ends.
    pub(super) fn new_at(mut file: Box<dyn ReadFile>, offset: u64) -> io::Result<Self> {
        let page_offset = offset - offset % PAGE_SIZE_BYTES as u64;
        file.skip(page_offset)?;
        Ok(Self { page_offset, good_end: offset, ..Self::new(file) })
    }

    /// How much of the file has been read.
    pub(super) fn offset(&self) -> u64 {
        self.page_offset + self.at as u64
    }

    /// End of the last whole record.
    pub(super) fn good_end(&self) -> u64 {
        self.good_end
    }

    /// Whether nothing valid has come since the last damage.
    pub(super) fn is_damaged_to_the_end(&self) -> bool {
        !self.is_valid_behind_damage
    }

    /// Reads up to the next item; `None` at the end. A record's bytes are appended to `out`.
    pub(super) fn next(&mut self, out: &mut Vec<u8>) -> io::Result<Option<Item>> {
        let begin = out.len();
        loop {
            if self.at >= self.page.len() && !self.read_page()? {
                return Ok(self.end(begin, out));
            }
            let offset = self.offset();
            let fragment = match read_fragment(&self.page[self.at..]) {
                Ok(Some(fragment)) => fragment,
                Ok(None) => {
                    self.at = self.page.len();
                    continue;
                }
                Err(err) => {
                    self.pass_over(err);
                    return Ok(Some(self.damage(offset, err.to_string(), begin, out)));
                }
            };
            let (kind, compression) = (fragment.kind, fragment.compression);
            let is_start = matches!(kind, FragmentKind::Full | FragmentKind::First);
            if is_start == self.open.is_some() || (self.is_lost && !is_start) {
                let was_lost = self.is_lost;
                if !is_start {
                    // A continuation of nothing.
                    self.at += fragment_size(fragment.payload);
                    self.is_lost = true;
                }
                if was_lost {
                    continue;
                }
                let reason = format!("unexpected {kind:?} fragment").to_lowercase();
                return Ok(Some(self.damage(offset, reason, begin, out)));
            }
            out.extend_from_slice(fragment.payload);
            self.at += fragment_size(fragment.payload);
            self.is_lost = false;
            self.is_valid_behind_damage = true;
            let (start, compression) = *self.open.get_or_insert((offset, compression));
            if matches!(kind, FragmentKind::Full | FragmentKind::Last) {
                self.open = None;
                self.good_end = self.offset();
                let size_bytes = out.len() - begin;
                return Ok(Some(Item::Record { compression, offset: start, size_bytes }));
            }
        }
    }

    /// Gives up the record that is open, if any, and what has been read of it.
    fn damage(&mut self, offset: u64, reason: String, begin: usize, out: &mut Vec<u8>) -> Item {
        out.truncate(begin);
        self.is_valid_behind_damage = false;
        let offset = self.open.take().map_or(offset, |(start, _)| start);
        Item::Damage { offset, reason }
    }

    fn end(&mut self, begin: usize, out: &mut Vec<u8>) -> Option<Item> {
        self.open?;
        let offset = self.offset();
        Some(self.damage(offset, "last record is torn".to_owned(), begin, out))
    }

    /// Moves behind what is damaged: to the next fragment if its place can be told, else to the next page.
    fn pass_over(&mut self, err: FrameError) {
        self.is_lost = true;
        let next = match err {
            FrameError::Checksum { size_bytes } => self.at + size_bytes,
            _ => self.page.len(),
        };
        let is_sane = matches!(self.page.get(next..).map(read_fragment), Some(Ok(Some(_))));
        self.at = if is_sane { next } else { self.page.len() };
    }

    /// Reads the next page, which may be short at the end of the file.
    fn read_page(&mut self) -> io::Result<bool> {
        if self.is_at_end {
            return Ok(false);
        }
        self.page_offset += self.page.len() as u64;
        self.at = 0;
        self.page.resize(PAGE_SIZE_BYTES, 0);
        let mut filled = 0;
        while filled < PAGE_SIZE_BYTES {
            match self.file.read(&mut self.page[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
        self.page.truncate(filled);
        self.is_at_end = filled < PAGE_SIZE_BYTES;
        Ok(filled > 0)
    }
}

fn fragment_size(payload: &[u8]) -> usize {
    super::frame::FRAGMENT_HEADER_SIZE_BYTES + payload.len()
}
