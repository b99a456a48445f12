//! The first bytes of a state file. What follows them is no matter of this file.

use crate::Kind;

const MAGIC_OFFSET: usize = 0;
const VERSION_OFFSET: usize = MAGIC_OFFSET + 8;
const PAYLOAD_SIZE_OFFSET: usize = VERSION_OFFSET + 4;
const CRC_OFFSET: usize = PAYLOAD_SIZE_OFFSET + 8;
pub(crate) const HEADER_SIZE_BYTES: usize = CRC_OFFSET + 4;

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) magic: [u8; 8],
    pub(crate) version: u32,
    pub(crate) payload_size_bytes: u64,
    pub(crate) crc: u32,
}

impl Header {
    /// Of a payload of this size whose checksum alone is `payload_crc`.
    pub(crate) fn new(kind: Kind, payload_size_bytes: u64, payload_crc: u32) -> Self {
        let mut header =
            Self { magic: kind.magic, version: kind.version, payload_size_bytes, crc: 0 };
        header.crc = header.crc_over(payload_crc);
        header
    }

    pub(crate) fn from_bytes(bytes: &[u8; HEADER_SIZE_BYTES]) -> Self {
        Self {
            magic: part(bytes, MAGIC_OFFSET),
            version: u32::from_le_bytes(part(bytes, VERSION_OFFSET)),
            payload_size_bytes: u64::from_le_bytes(part(bytes, PAYLOAD_SIZE_OFFSET)),
            crc: u32::from_le_bytes(part(bytes, CRC_OFFSET)),
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; HEADER_SIZE_BYTES] {
        let mut bytes = [0; HEADER_SIZE_BYTES];
        bytes[MAGIC_OFFSET..VERSION_OFFSET].copy_from_slice(&self.magic);
        bytes[VERSION_OFFSET..PAYLOAD_SIZE_OFFSET].copy_from_slice(&self.version.to_le_bytes());
        bytes[PAYLOAD_SIZE_OFFSET..CRC_OFFSET]
            .copy_from_slice(&self.payload_size_bytes.to_le_bytes());
        bytes[CRC_OFFSET..].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    /// Whether the payload with this checksum is the one that was written under this header.
    pub(crate) fn is_of(&self, payload_crc: u32) -> bool {
        self.crc == self.crc_over(payload_crc)
    }

    fn crc_over(&self, payload_crc: u32) -> u32 {
        crc32c::crc32c_append(payload_crc, &self.to_bytes()[..CRC_OFFSET])
    }
}

fn part<const N: usize>(bytes: &[u8; HEADER_SIZE_BYTES], offset: usize) -> [u8; N] {
    let slice = bytes.get(offset..offset + N);
    slice.and_then(|slice| slice.try_into().ok()).expect("each field lies within the header")
}
