//! Integers of a sidecar, little-endian. Reading never panics.

use super::SidecarError;

/// The rest of an item.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take(&mut self, size: usize) -> Result<&'a [u8], SidecarError> {
        let (taken, rest) = self.0.split_at_checked(size).ok_or(SidecarError)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SidecarError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(SidecarError)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, SidecarError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, SidecarError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, SidecarError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, SidecarError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, SidecarError> {
        self.array().map(i64::from_le_bytes)
    }

    /// Bytes behind their size.
    pub(super) fn sized(&mut self) -> Result<&'a [u8], SidecarError> {
        let size = self.u32()? as usize;
        self.take(size)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, SidecarError> {
        str::from_utf8(self.sized()?).map_err(|_| SidecarError)
    }
}

pub(super) fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}
