//! Inflates a whole gzip body into a bounded buffer.
//! Nothing is streamed: the packed body is in memory already, and the work is plain CPU.

use std::{
    cell::RefCell,
    io::{self, Read},
};

use flate2::bufread::MultiGzDecoder;
use libdeflater::Decompressor;

use crate::{BodyLimit, Buffer, HttpError};

/// Least room that the decoder is given at once.
const STEP_SIZE_BYTES: usize = 16 << 10;
/// DEFLATE never expands more than this, so a trailer that states more is not believed.
const RATIO_MAX: usize = 1032;
/// What every member of a gzip file begins with.
const MAGIC: &[u8] = &[0x1f, 0x8b, 8];

thread_local! {
    /// The tables of the fast decoder are used again.
    static FAST: RefCell<Decompressor> = RefCell::new(Decompressor::new());
}

/// Inflates `packed` to the end of `out`.
///
/// # Errors
/// The data is damaged or cut off, or the inflated size reaches `limit`: a bomb ends there.
pub fn inflate_gzip(packed: &[u8], out: &mut Buffer, limit: BodyLimit) -> Result<(), HttpError> {
    if packed.is_empty() {
        return Err(HttpError::Gzip("EOF"));
    }
    out.reserve(expected_size_bytes(packed, limit), limit)?;
    if inflate_whole(packed, out) {
        return check_size(out, limit);
    }
    let mut decoder = MultiGzDecoder::new(packed);
    loop {
        if out.free_bytes() == 0 {
            let left_bytes = limit.size_bytes.saturating_sub(out.len() as u64).saturating_sub(1);
            out.reserve(STEP_SIZE_BYTES.min(left_bytes.max(1) as usize), limit)?;
        }
        let inflated = out.fill(|free| decoder.read(free));
        if inflated.map_err(|error| HttpError::Gzip(go_text(&error)))? == 0 {
            return Ok(());
        }
        check_size(out, limit)?;
    }
}

fn check_size(out: &Buffer, limit: BodyLimit) -> Result<(), HttpError> {
    if (out.len() as u64) < limit.size_bytes {
        return Ok(());
    }
    Err(HttpError::BodyTooLarge { limit_bytes: limit.size_bytes })
}

/// Inflates a body of one member that is as large as its trailer states, in one call and at more than twice the speed.
/// Whatever else it is, is left to the decoder that tells what is wrong: `out` stays as it was.
fn inflate_whole(packed: &[u8], out: &mut Buffer) -> bool {
    // Another member would begin like this; the same bytes within the data only cost speed.
    if packed.get(1..).is_none_or(|rest| memchr::memmem::find(rest, MAGIC).is_some()) {
        return false;
    }
    let stated = packed.last_chunk::<4>().map(|size| u32::from_le_bytes(*size));
    let inflated = out.fill(|free| {
        let whole = FAST.with_borrow_mut(|fast| fast.gzip_decompress(packed, free));
        // Bytes behind the member are not asked for by the decoder.
        let whole = whole.ok().filter(|size| stated == Some(*size as u32));
        whole.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    });
    inflated.is_ok()
}

/// What the trailer of the last member states, as far as that is possible and allowed, and one byte
/// more, so that the decoder meets the end of the stream without another growth.
fn expected_size_bytes(packed: &[u8], limit: BodyLimit) -> usize {
    let stated = packed.last_chunk::<4>().map_or(0, |size| u32::from_le_bytes(*size) as usize);
    let possible = stated.min(packed.len().saturating_mul(RATIO_MAX)).saturating_add(1);
    possible.min(usize::try_from(limit.size_bytes.saturating_sub(1)).unwrap_or(usize::MAX))
}

/// Compat: Go `compress/gzip` and `compress/flate`.
fn go_text(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "unexpected EOF";
    }
    match error.to_string() {
        text if text.contains("checksum") => "gzip: invalid checksum",
        text if text.contains("deflate") => "flate: corrupt input",
        _ => "gzip: invalid header",
    }
}
