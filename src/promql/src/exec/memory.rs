//! Bytes that the values of one query take: counted before they are taken, refused over the limit.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::QueryError;

/// The account of one query.
#[derive(Debug)]
pub(crate) struct Memory {
    used_bytes: AtomicU64,
    peak_bytes: AtomicU64,
    limit_bytes: u64,
}

/// Bytes that are given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    memory: Arc<Memory>,
    bytes: u64,
}

impl Memory {
    pub(crate) fn new(limit_bytes: u64) -> Arc<Self> {
        let (used_bytes, peak_bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { used_bytes, peak_bytes, limit_bytes })
    }

    /// Takes bytes, or refuses.
    pub(crate) fn hold(self: &Arc<Self>, bytes: u64) -> Result<Held, QueryError> {
        let mut held = Held { memory: Arc::clone(self), bytes: 0 };
        held.grow(bytes)?;
        Ok(held)
    }

    pub(crate) fn peak_bytes(&self) -> u64 {
        self.peak_bytes.load(Relaxed)
    }
}

impl Held {
    /// Takes more bytes, or refuses and keeps what it has.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<(), QueryError> {
        let memory = &self.memory;
        let used = memory.used_bytes.fetch_add(bytes, Relaxed).saturating_add(bytes);
        if used > memory.limit_bytes {
            memory.used_bytes.fetch_sub(bytes, Relaxed);
            return Err(QueryError::TooManyBytes { limit_bytes: memory.limit_bytes });
        }
        memory.peak_bytes.fetch_max(used, Relaxed);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.used_bytes.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_can_be_taken_again() {
        let memory = Memory::new(100);
        let mut first = memory.hold(60).expect("fits");
        assert!(memory.hold(50).is_err());
        first.grow(40).expect("fits");
        drop(first);
        assert!(memory.hold(100).is_ok());
        assert_eq!(memory.peak_bytes(), 100);
    }
}
