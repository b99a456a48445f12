//! Record compression: snappy blocks and zstd frames, both ways. Sizes that foreign bytes claim are
//! checked before anything of that size is made.

/// How one record is stored.
pub(crate) use crate::db::WalCompression as Compression;

/// Largest record that is decompressed. Prometheus's grow with the scrape; a million samples are 12 MB.
const RECORD_SIZE_BYTES_MAX: usize = 256 << 20;
/// A snappy copy of 64 bytes takes at least two.
const SNAPPY_RATIO_MAX: usize = 32;
const ZSTD_LEVEL: i32 = 1;

/// A record ready to be framed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EncodedRecord<'a> {
    pub(crate) compression: Compression,
    pub(crate) payload: &'a [u8],
}

/// A record whose bytes are not what was compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record cannot be decompressed")]
pub(super) struct DecompressError;

/// Compresses records one after the other; keeps its buffers.
pub(crate) struct Compressor {
    snappy: snap::raw::Encoder,
    buffer: Vec<u8>,
}

impl Default for Compressor {
    fn default() -> Self {
        Self { snappy: snap::raw::Encoder::new(), buffer: Vec::new() }
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").field("buffer", &self.buffer.len()).finish()
    }
}

impl Compressor {
    /// Gives a buffer larger than this back.
    pub(crate) fn shrink(&mut self, size_bytes_max: usize) {
        if self.buffer.capacity() > size_bytes_max {
            self.buffer = Vec::new();
        }
    }

    /// Replaces the record in `record` by its compressed form, unless that is no smaller.
    /// Says how it is stored, and how many bytes that saved.
    pub(crate) fn compress(
        &mut self,
        compression: Compression,
        record: &mut Vec<u8>,
    ) -> (Compression, usize) {
        let plain = record.len();
        let size = match compression {
            Compression::None => return (compression, 0),
            Compression::Snappy => {
                let size_max = snap::raw::max_compress_len(plain);
                if self.buffer.len() < size_max {
                    self.buffer.resize(size_max, 0);
                }
                // A record over 4 GiB is the only one that snappy refuses.
                self.snappy.compress(record, &mut self.buffer).unwrap_or(plain)
            }
            Compression::Zstd => {
                let size_max = zstd::zstd_safe::compress_bound(plain);
                if self.buffer.len() < size_max {
                    self.buffer.resize(size_max, 0);
                }
                zstd::bulk::compress_to_buffer(record, &mut self.buffer[..], ZSTD_LEVEL)
                    .unwrap_or(plain)
            }
        };
        if size >= plain {
            return (Compression::None, 0);
        }
        record.clear();
        record.extend_from_slice(&self.buffer[..size]);
        (compression, plain - size)
    }
}

/// How large a record says that it is in plain; nothing, if it does not say.
pub(super) fn plain_size_bytes(compression: Compression, payload: &[u8]) -> usize {
    let told = match compression {
        Compression::None => Some(payload.len()),
        Compression::Snappy => snap::raw::decompress_len(payload).ok(),
        Compression::Zstd => zstd::bulk::Decompressor::<'_>::upper_bound(payload),
    };
    told.unwrap_or(0).min(RECORD_SIZE_BYTES_MAX)
}

/// Gives the plain record in `out`, whose old content is lost.
pub(super) fn decompress(
    compression: Compression,
    payload: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), DecompressError> {
    out.clear();
    if payload.is_empty() {
        return Ok(());
    }
    match compression {
        Compression::None => out.extend_from_slice(payload),
        Compression::Snappy => {
            let size = snap::raw::decompress_len(payload).map_err(|_| DecompressError)?;
            if size > RECORD_SIZE_BYTES_MAX || size / SNAPPY_RATIO_MAX > payload.len() {
                return Err(DecompressError);
            }
            out.resize(size, 0);
            let written =
                snap::raw::Decoder::new().decompress(payload, out).map_err(|_| DecompressError)?;
            out.truncate(written);
        }
        Compression::Zstd => {
            let size = zstd::bulk::Decompressor::<'_>::upper_bound(payload)
                .filter(|size| *size <= RECORD_SIZE_BYTES_MAX)
                .ok_or(DecompressError)?;
            *out = zstd::bulk::decompress(payload, size).map_err(|_| DecompressError)?;
        }
    }
    Ok(())
}
