//! Protobuf on the wire, as `prom-exposition` reads it: remote protocols and scraped bodies share one cursor.

pub(crate) use prom_exposition::wire::{Fields, Value, WireError};
