//! Values to bytes and back. The only place that knows which library does it.

use std::io::{Read, Write};

use bincode::{DefaultOptions, Options};
use serde::{Serialize, de::DeserializeOwned};

/// Encodes into `writer`, at most `size_bytes_max` bytes.
pub(crate) fn encode<T: Serialize>(
    writer: impl Write,
    value: &T,
    size_bytes_max: u64,
) -> bincode::Result<()> {
    options(size_bytes_max).serialize_into(writer, value)
}

/// Decodes one value of at most `size_bytes_max` bytes.
pub(crate) fn decode<T: DeserializeOwned>(
    reader: impl Read,
    size_bytes_max: u64,
) -> bincode::Result<T> {
    // The limit also bounds what a length in front of a text may make it allocate (I4).
    options(size_bytes_max).deserialize_from(reader)
}

fn options(size_bytes_max: u64) -> impl Options {
    DefaultOptions::new().with_fixint_encoding().with_limit(size_bytes_max)
}
