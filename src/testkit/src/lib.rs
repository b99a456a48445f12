//! Test doubles that several rooms share. A dev-dependency only: nothing here is in a product binary.
//! Doubles that need a room's private types live beside that room's tests.

mod copy_tree;
mod disk;
mod fake_kubernetes;
mod fake_target;
mod memory_store;
mod message;
mod needs;
mod recording_store;
mod tls;
mod unix_socket;
mod write_request;

pub use copy_tree::copy_tree;
pub use disk::{Fault, FaultyDisk, FaultyFile, OpKind};
pub use fake_kubernetes::FakeKubernetes;
pub use fake_target::{Answer, FakeTarget};
pub use memory_store::MemoryStore;
pub use message::Message;
pub use needs::{conformance, find_peer, needed, on_path, peer};
pub use recording_store::RecordingStore;
pub use tls::tls_of;
pub use unix_socket::unix_socket_to;
pub use write_request::{WriteRequest, WriteSeries};
