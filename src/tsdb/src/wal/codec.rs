//! Integers and strings as records hold them. Reading never panics and never reads past the end.

/// Bytes that are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("record ends within an entry")]
    Short,
    #[error("varint longer than 64 bits")]
    InvalidVarint,
    #[error("label is not UTF-8")]
    InvalidText,
    #[error("label longer than 16 MiB")]
    TextTooLong,
    #[error("histogram whose spans and buckets disagree")]
    InvalidHistogram,
    #[error("series without labels")]
    NoLabels,
    #[error("type of record, chunk or deletion that is not known")]
    UnknownType,
    #[error("chunk that does not hold what its record says")]
    InvalidChunk,
    #[error("bytes behind the end of a record")]
    TooLong,
}

/// The rest of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> Result<u8, DecodeError> {
        let (byte, rest) = self.0.split_first().ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(*byte)
    }

    #[inline]
    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(u64::from_be_bytes(*bytes))
    }

    #[inline]
    pub(super) fn uvarint(&mut self) -> Result<u64, DecodeError> {
        if let Some((&byte, rest)) = self.0.split_first()
            && byte < 0x80
        {
            self.0 = rest;
            return Ok(u64::from(byte));
        }
        self.uvarint_long()
    }

    fn uvarint_long(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return Err(DecodeError::InvalidVarint);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::InvalidVarint)
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<i64, DecodeError> {
        let zigzag = self.uvarint()?;
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    /// Bytes with their size before them.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let size = usize::try_from(self.uvarint()?).map_err(|_| DecodeError::Short)?;
        let (bytes, rest) = self.0.split_at_checked(size).ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(bytes)
    }
}

#[inline]
pub(super) fn push_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
pub(super) fn push_varint(out: &mut Vec<u8>, value: i64) {
    push_uvarint(out, ((value << 1) ^ (value >> 63)) as u64);
}

pub(super) fn push_text(out: &mut Vec<u8>, text: &str) {
    push_uvarint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}
