//! Records to fragments within pages, and a page's bytes back to fragments. Pure.

use super::compress::{Compression, EncodedRecord};

pub(crate) const PAGE_SIZE_BYTES: usize = 32 * 1024;
/// Type, size, checksum.
pub(super) const FRAGMENT_HEADER_SIZE_BYTES: usize = 1 + 2 + 4;
const SIZE_OFFSET: usize = 1;
const CHECKSUM_OFFSET: usize = SIZE_OFFSET + 2;

const KIND_MASK: u8 = 0b111;
const SNAPPY_BIT: u8 = 1 << 3;
const ZSTD_BIT: u8 = 1 << 4;

/// Which part of its record a fragment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FragmentKind {
    Full = 1,
    First = 2,
    Middle = 3,
    Last = 4,
}

/// One fragment as it stands in a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fragment<'a> {
    pub(super) kind: FragmentKind,
    pub(super) compression: Compression,
    pub(super) payload: &'a [u8],
}

/// Why there is no fragment at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    /// The bytes end before the fragment does.
    #[error("fragment is cut short")]
    Short,
    #[error("unknown fragment type")]
    InvalidKind,
    #[error("fragment reaches over the page's end")]
    InvalidSize,
    #[error("checksum mismatch")]
    Checksum { size_bytes: usize },
    #[error("non-zero byte in padding")]
    InvalidPadding,
}

/// Appends the fragments of a record to `out`; `page_offset` is where in its page the record begins, and is
/// moved to where it ends. Compat: Prometheus `tsdb/wlog/wlog.go` (log).
pub(super) fn push_record(
    out: &mut Vec<u8>,
    page_offset: &mut usize,
    compression: Compression,
    mut payload: &[u8],
) {
    pad_full_page(out, page_offset);
    let mut is_first = true;
    loop {
        let room = PAGE_SIZE_BYTES - *page_offset - FRAGMENT_HEADER_SIZE_BYTES;
        let (part, rest) = payload.split_at(room.min(payload.len()));
        let kind = match (is_first, rest.is_empty()) {
            (true, true) => FragmentKind::Full,
            (false, true) => FragmentKind::Last,
            (true, false) => FragmentKind::First,
            (false, false) => FragmentKind::Middle,
        };
        out.push(kind as u8 | compression_bits(compression));
        out.extend_from_slice(&(part.len() as u16).to_be_bytes());
        out.extend_from_slice(&crc32c::crc32c(part).to_be_bytes());
        out.extend_from_slice(part);
        *page_offset += FRAGMENT_HEADER_SIZE_BYTES + part.len();
        pad_full_page(out, page_offset);
        (payload, is_first) = (rest, false);
        if payload.is_empty() {
            return;
        }
    }
}

/// [`push_record`] at the beginning of a page.
pub(crate) fn frame_record(out: &mut Vec<u8>, record: EncodedRecord<'_>) {
    push_record(out, &mut 0, record.compression, record.payload);
}

/// Fills the rest of a page that has no room for a header.
fn pad_full_page(out: &mut Vec<u8>, page_offset: &mut usize) {
    let room = PAGE_SIZE_BYTES - *page_offset;
    if room < FRAGMENT_HEADER_SIZE_BYTES {
        out.resize(out.len() + room, 0);
        *page_offset = 0;
    }
}

/// Reads what begins at the start of `rest`, the bytes up to the page's end or the file's, whichever comes
/// first. `None`: padding, nothing but zeros follows in this page.
pub(super) fn read_fragment(rest: &[u8]) -> Result<Option<Fragment<'_>>, FrameError> {
    let Some(&first) = rest.first() else { return Ok(None) };
    let kind = match first & KIND_MASK {
        0 if rest.iter().all(|byte| *byte == 0) => return Ok(None),
        0 => return Err(FrameError::InvalidPadding),
        1 => FragmentKind::Full,
        2 => FragmentKind::First,
        3 => FragmentKind::Middle,
        4 => FragmentKind::Last,
        _ => return Err(FrameError::InvalidKind),
    };
    let (header, body) =
        rest.split_first_chunk::<FRAGMENT_HEADER_SIZE_BYTES>().ok_or(FrameError::Short)?;
    let size = usize::from(u16::from_be_bytes([header[SIZE_OFFSET], header[SIZE_OFFSET + 1]]));
    if size > PAGE_SIZE_BYTES - FRAGMENT_HEADER_SIZE_BYTES {
        return Err(FrameError::InvalidSize);
    }
    let payload = body.get(..size).ok_or(FrameError::Short)?;
    let (_, checksum) = header.split_at(CHECKSUM_OFFSET);
    if crc32c::crc32c(payload).to_be_bytes() != checksum {
        return Err(FrameError::Checksum { size_bytes: FRAGMENT_HEADER_SIZE_BYTES + size });
    }
    let compression = match first {
        bits if bits & SNAPPY_BIT != 0 => Compression::Snappy,
        bits if bits & ZSTD_BIT != 0 => Compression::Zstd,
        _ => Compression::None,
    };
    Ok(Some(Fragment { kind, compression, payload }))
}

fn compression_bits(compression: Compression) -> u8 {
    match compression {
        Compression::None => 0,
        Compression::Snappy => SNAPPY_BIT,
        Compression::Zstd => ZSTD_BIT,
    }
}
