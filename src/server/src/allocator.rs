//! The allocator of the server: jemalloc, told to give back what is not used. What takes memory is the
//! rooms' matter.
//!
//! By default pages go back only when a thread of the same arena allocates again; after a burst, such as the
//! first contact with many series, most arenas are asleep and keep what they had. Threads of the allocator's
//! own give it back.

#![allow(unsafe_code, reason = "the allocator finds its options by the name of a symbol")]

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

// SAFETY: jemalloc declares a pointer of this name to a text that ends with a zero and reads it once; nobody
// else has a symbol of the name, and a thin reference to an array is such a pointer.
#[unsafe(export_name = "_rjem_malloc_conf")]
static OPTIONS: &[u8; 60] = b"background_thread:true,dirty_decay_ms:2000,muzzy_decay_ms:0\0";
