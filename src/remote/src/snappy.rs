//! The compression of requests: one snappy block, inflated only if what it claims to hold is allowed.

use snap::raw::{Decoder, decompress_len};

/// Largest request after decompression. Compat: Prometheus `storage/remote/codec.go` (`decodeReadLimit`).
pub const REQUEST_SIZE_BYTES_MAX: usize = 32 << 20;
/// A snappy copy of 64 bytes takes at least two, so a claim beyond this factor is a lie.
const EXPANSION_MAX: usize = 64;

/// Bytes that are not one snappy block of an allowed size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnappyError {
    #[error("snappy: corrupt input")]
    Corrupt,
    #[error("snappy: decoded length {size_bytes} exceeds limit {REQUEST_SIZE_BYTES_MAX}")]
    TooLarge { size_bytes: usize },
}

/// Inflates a block.
pub(crate) fn inflate(block: &[u8]) -> Result<Vec<u8>, SnappyError> {
    // An empty input has no length, which the decoder forgives and the reference does not.
    if block.is_empty() {
        return Err(SnappyError::Corrupt);
    }
    let size_bytes = decompress_len(block).map_err(|_| SnappyError::Corrupt)?;
    if size_bytes > REQUEST_SIZE_BYTES_MAX {
        return Err(SnappyError::TooLarge { size_bytes });
    }
    if size_bytes > block.len().saturating_mul(EXPANSION_MAX) {
        return Err(SnappyError::Corrupt);
    }
    Decoder::new().decompress_vec(block).map_err(|_| SnappyError::Corrupt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(block: &[u8], expected: Result<&[u8], SnappyError>) {
        assert_eq!(inflate(block).as_deref(), expected.as_deref(), "{block:?}");
    }

    #[test]
    fn blocks_are_inflated_and_claims_checked() {
        check(&[0], Ok(b""));
        check(&[1, 0, b'a'], Ok(b"a"));
        check(&[], Err(SnappyError::Corrupt));
        check(b"garbage that is not snappy", Err(SnappyError::Corrupt));
        check(&[2, 0, b'a'], Err(SnappyError::Corrupt));
        // 32 MiB and one byte, in three bytes of data
        check(
            &[0x81, 0x80, 0x80, 0x10, 0, b'a'],
            Err(SnappyError::TooLarge { size_bytes: (32 << 20) + 1 }),
        );
        check(&[0x80, 0x80, 0x80, 0x10, 0, b'a'], Err(SnappyError::Corrupt));
    }
}
