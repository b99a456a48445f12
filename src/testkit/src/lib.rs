//! Test doubles that several rooms share. A dev-dependency only: nothing here is in a product binary.
//! Doubles that need a room's private types live beside that room's tests.

mod conformance;
mod disk;
mod fake_target;
mod memory_store;
mod recording_store;
mod write_request;

pub use conformance::conformance;
pub use disk::{Fault, FaultyDisk, FaultyFile, OpKind};
pub use fake_target::{Answer, FakeTarget};
pub use memory_store::MemoryStore;
pub use recording_store::RecordingStore;
pub use write_request::{WriteRequest, WriteSeries};
