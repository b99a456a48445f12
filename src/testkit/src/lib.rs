//! Test doubles that several rooms share. A dev-dependency only: nothing here is in a product binary.
//! Doubles that need a room's private types live beside that room's tests.

mod disk;
mod memory_store;

pub use disk::{Fault, FaultyDisk, FaultyFile, OpKind};
pub use memory_store::MemoryStore;
