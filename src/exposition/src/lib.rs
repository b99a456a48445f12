//! Exposition formats: reads what targets say, prints what we say of ourselves. Pure functions over bytes.
//! Text 0.0.4 and 1.0.0, OpenMetrics 0.0.1 and 1.0.0 and protobuf are read; text 0.0.4 and OpenMetrics 1.0.0 are printed.
//!
//! Neighbours: `scrape` drives [`text::Parser`] and [`protobuf::Parser`] and keeps the cache of known series; `web` prints
//! the families that `telemetry` gathers; `remote` reads its messages by [`wire`].
//!
//! Invariants:
//! I1. Foreign bytes never panic, never recurse and never allocate on the path of a known series.
//! I2. Accepted bodies, refused bodies and error texts are those of Prometheus's own parser; the fast paths accept
//!     only what the grammar accepts, and whatever they do not know they leave to the grammar.
//! I3. An error of a text format names the line and column where reading stopped.
//!
//! Concurrency: values belong to one thread at a time; nothing is shared.
//!
//! Limits: `SERIES_SIZE_BYTES_MAX`, `LABELS_COUNT_MAX`, buckets of a classic histogram (`classic`); the size of a body is limited by whoever receives it.

mod classic;
mod error;
mod format;
pub mod print;
pub mod protobuf;
pub mod text;
pub mod wire;

pub use classic::{ClassicError, ClassicHistogram};
pub use error::ParseError;
pub use format::{Format, FormatError, negotiate};
