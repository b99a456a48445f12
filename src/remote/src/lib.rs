//! Remote protocols: what other servers send, taken into a store.
//! Today this is the receiver of remote write 1.0; queues, OTLP and remote read are not here yet.
//!
//! Neighbours: `storage` gives the traits to append through; `web` reads the request and turns a
//! [`WriteError`] into a status code; `telemetry` takes the metrics.
//!
//! Invariants:
//! I1. A request that was answered with success is in the store as a whole.
//! I2. Of a request with samples that the store refuses, the others are stored, and the sender is told:
//!     it must not send it again. Of any other failure nothing is stored.
//! I3. A known series costs one hash over its label bytes as they came; no label is read.
//! I4. Nothing is allocated by a size that the sender claims before that size is checked.
//!
//! Concurrency: a [`Receiver`] is shared; each request is decoded by the thread that brings it and holds
//! the cache of series only while it looks up or enters a run of them. It blocks while the store commits.
//!
//! Limits: [`REQUEST_SIZE_BYTES_MAX`] for a request after decompression, samples of a request, and the
//! series that are remembered; the constants stand beside their use.

mod cache;
mod error;
mod histogram;
mod intake;
mod labels;
mod message;
mod receiver;
mod snappy;
mod wire;

pub use error::WriteError;
pub use message::{Message, MessageError};
pub use receiver::Receiver;
pub use snappy::REQUEST_SIZE_BYTES_MAX;
