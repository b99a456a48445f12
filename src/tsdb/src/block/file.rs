//! Bytes of one file of a block, and the step-by-step reading of them. Bytes are foreign: every step checks
//! that what it wants is there. What they mean is told by the modules of the formats.

use std::{
    io,
    path::{Path, PathBuf},
};

use prom_storage::StorageError;

use crate::disk::{Disk, FileBytes};

/// Bytes of a CRC-32C behind what it covers.
pub(super) const CRC_SIZE_BYTES: usize = 4;

/// A file that is read.
#[derive(Debug)]
pub(super) struct BlockFile {
    path: PathBuf,
    bytes: FileBytes,
}

/// What is wrong, and where in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flaw {
    pub(super) offset: usize,
    pub(super) reason: &'static str,
}

/// Reads forward.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decoder<'a> {
    bytes: &'a [u8],
    /// Position in the file of the first of `bytes`, and of the next byte.
    base: usize,
    at: usize,
}

impl BlockFile {
    pub(super) fn open(disk: &dyn Disk, path: &Path) -> Result<Self, StorageError> {
        let bytes = disk.map(path).map_err(|err| io_error(path, "open", err))?;
        Ok(Self { path: path.to_owned(), bytes })
    }

    pub(super) fn bytes(&self) -> &FileBytes {
        &self.bytes
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The error that a flaw is.
    pub(super) fn corruption(&self, flaw: Flaw) -> StorageError {
        self.corruption_at(flaw.offset, flaw.reason)
    }

    pub(super) fn corruption_at(&self, offset: usize, reason: &str) -> StorageError {
        StorageError::Corruption {
            path: self.path.clone(),
            offset: offset as u64,
            reason: reason.to_owned(),
        }
    }
}

impl<'a> Decoder<'a> {
    /// Reads from `offset` to the end.
    pub(super) fn new(file: &'a [u8], offset: usize) -> Result<Self, Flaw> {
        let flaw = Flaw { offset, reason: "offset past the end of the file" };
        Ok(Self { bytes: file.get(offset..).ok_or(flaw)?, base: offset, at: 0 })
    }

    /// Reads what stands behind a length of four bytes, before a checksum that fits.
    pub(super) fn section(file: &'a [u8], offset: usize) -> Result<Self, Flaw> {
        let mut head = Self::new(file, offset)?;
        let size = head.be32()? as usize;
        head.checked(size)
    }

    /// Reads what stands behind a length as a varint, before a checksum that fits.
    pub(super) fn record(file: &'a [u8], offset: usize) -> Result<Self, Flaw> {
        let mut head = Self::new(file, offset)?;
        let size = head.uvarint_size()?;
        head.checked(size)
    }

    fn checked(mut self, size: usize) -> Result<Self, Flaw> {
        let base = self.position();
        let bytes = self.take(size)?;
        if crc32c::crc32c(bytes) != self.be32()? {
            return Err(Flaw { offset: base, reason: "checksum does not match" });
        }
        Ok(Self { bytes, base, at: 0 })
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Where in the file the next byte is.
    pub(super) fn position(&self) -> usize {
        self.base + self.at
    }

    pub(super) fn take(&mut self, size: usize) -> Result<&'a [u8], Flaw> {
        let end = self.at.checked_add(size);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or(self.flaw("bytes are missing"))?;
        self.at += size;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let flaw = self.flaw("bytes are missing");
        self.take(N)?.try_into().map_err(|_| flaw)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Flaw> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn be32(&mut self) -> Result<u32, Flaw> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn be64(&mut self) -> Result<u64, Flaw> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn uvarint(&mut self) -> Result<u64, Flaw> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.flaw("varint is too long"))
    }

    pub(super) fn varint(&mut self) -> Result<i64, Flaw> {
        let zigzag = self.uvarint()?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    /// A varint that is a number of bytes or entries.
    pub(super) fn uvarint_size(&mut self) -> Result<usize, Flaw> {
        let flaw = self.flaw("size is too large");
        usize::try_from(self.uvarint()?).map_err(|_| flaw)
    }

    pub(super) fn uvarint32(&mut self) -> Result<u32, Flaw> {
        let flaw = self.flaw("number is larger than 32 bits");
        u32::try_from(self.uvarint()?).map_err(|_| flaw)
    }

    /// A text behind its length.
    pub(super) fn text(&mut self) -> Result<&'a [u8], Flaw> {
        let size = self.uvarint_size()?;
        self.take(size)
    }

    pub(super) fn flaw(&self, reason: &'static str) -> Flaw {
        Flaw { offset: self.position(), reason }
    }
}

pub(super) fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn put_varint(out: &mut Vec<u8>, value: i64) {
    put_uvarint(out, ((value << 1) ^ (value >> 63)) as u64);
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put_uvarint(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// Bytes that [`put_uvarint`] writes.
pub(super) fn uvarint_size_bytes(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

pub(super) fn io_error(path: &Path, action: &'static str, source: io::Error) -> StorageError {
    StorageError::Io { path: path.to_owned(), action, source }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn varints_survive(value in any::<u64>()) {
            let mut bytes = Vec::new();
            put_uvarint(&mut bytes, value);
            prop_assert_eq!(bytes.len(), uvarint_size_bytes(value));
            put_varint(&mut bytes, value as i64);
            let mut decoder = Decoder::new(&bytes, 0).unwrap();
            prop_assert_eq!(decoder.uvarint(), Ok(value));
            prop_assert_eq!(decoder.varint(), Ok(value as i64));
            prop_assert!(decoder.is_at_end());
        }
    }
}
