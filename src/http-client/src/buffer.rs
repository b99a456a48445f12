//! Buffers for bodies: reused, counted against one budget, and never larger than their limit.
//! What the bytes mean is not known here.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::HttpError;

/// How many idle buffers wait for the next body, and how large they may be together. Bodies mostly come one
/// after the other, so a few of the usual size, or one large one, serve them all.
const IDLE_COUNT_MAX: usize = 8;
const IDLE_SIZE_BYTES_MAX: usize = 2 << 20;
/// Least size of a buffer that holds anything.
const SIZE_BYTES_MIN: usize = 16 << 10;

/// The bound on one body: one of this size or more is refused, as with Prometheus's `body_size_limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimit {
    pub size_bytes: u64,
}

/// Lends buffers to the bodies that are read or parsed at this moment.
#[derive(Clone, Debug)]
pub struct BufferPool {
    shared: Arc<Shared>,
}

/// A buffer on loan; it goes back when dropped.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    budget_bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Capacity of all buffers on loan; at most the budget.
    lent_bytes: usize,
    idle: Vec<Vec<u8>>,
}

impl BufferPool {
    /// All buffers on loan together never hold more than `budget_bytes`.
    pub fn new(budget_bytes: usize) -> Self {
        Self { shared: Arc::new(Shared { budget_bytes, state: Mutex::default() }) }
    }

    /// An empty buffer, if possible one that a body of `hint_bytes` needs not grow.
    pub fn lend(&self, hint_bytes: usize) -> Buffer {
        let mut state = self.shared.lock();
        let room_bytes = self.shared.budget_bytes - state.lent_bytes;
        // Smallest that fits, so that a small body does not carry a large buffer away.
        let fitting = (0..state.idle.len())
            .filter(|&index| (hint_bytes..=room_bytes).contains(&state.idle[index].capacity()))
            .min_by_key(|&index| state.idle[index].capacity());
        let bytes = fitting.map(|index| state.idle.swap_remove(index)).unwrap_or_default();
        state.lent_bytes += bytes.capacity();
        drop(state);
        Buffer { bytes, shared: Arc::clone(&self.shared) }
    }
}

impl Buffer {
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Appends `part`, or refuses before any memory is taken.
    ///
    /// # Errors
    /// The body reaches `limit`, or the budget of all bodies is used up.
    pub fn extend(&mut self, part: &[u8], limit: BodyLimit) -> Result<(), HttpError> {
        self.reserve(part.len(), limit)?;
        self.bytes.extend_from_slice(part);
        Ok(())
    }

    /// Makes room for `more_bytes`; grows by doubling.
    ///
    /// # Errors
    /// See [`Buffer::extend`].
    pub fn reserve(&mut self, more_bytes: usize, limit: BodyLimit) -> Result<(), HttpError> {
        let needed = self.bytes.len().saturating_add(more_bytes);
        if needed as u64 >= limit.size_bytes {
            return Err(HttpError::BodyTooLarge { limit_bytes: limit.size_bytes });
        }
        let capacity = self.bytes.capacity();
        if needed > capacity {
            let wanted = needed.max(capacity.saturating_mul(2)).max(SIZE_BYTES_MIN);
            let granted = self.shared.charge(capacity, needed, wanted)?;
            self.bytes.reserve_exact(granted - self.bytes.len());
            self.shared.settle(granted, self.bytes.capacity());
        }
        Ok(())
    }

    /// Lets `fill` write into the free part and keeps as many bytes as it says.
    pub(crate) fn fill(
        &mut self,
        fill: impl FnOnce(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let start = self.bytes.len();
        self.bytes.resize(self.bytes.capacity(), 0);
        let filled = fill(&mut self.bytes[start..]);
        self.bytes.truncate(start + filled.as_ref().copied().unwrap_or(0));
        filled
    }

    /// Reads into the free part, at most so many bytes; 0 at the end of the stream.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub(crate) async fn fill_from(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        size_bytes_max: u64,
    ) -> io::Result<usize> {
        let room = usize::try_from(size_bytes_max).unwrap_or(usize::MAX).min(self.free_bytes());
        stream.read_buf(&mut (&mut self.bytes).limit(room)).await
    }

    pub(crate) fn free_bytes(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let mut state = self.shared.lock();
        state.lent_bytes -= bytes.capacity();
        let idle_bytes: usize = state.idle.iter().map(Vec::capacity).sum();
        let is_kept = bytes.capacity() > 0
            && idle_bytes + bytes.capacity() <= IDLE_SIZE_BYTES_MAX
            && state.idle.len() < IDLE_COUNT_MAX;
        if is_kept {
            state.idle.push(bytes);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked with the lock held left the counters whole: each change is one addition.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pays for the growth of a buffer from `capacity` to `wanted`, or at least to `needed`.
    fn charge(&self, capacity: usize, needed: usize, wanted: usize) -> Result<usize, HttpError> {
        let mut state = self.lock();
        let room = self.budget_bytes - (state.lent_bytes - capacity);
        if needed > room {
            return Err(HttpError::BodyBudget { limit_bytes: self.budget_bytes as u64 });
        }
        let granted = wanted.min(room);
        state.lent_bytes += granted - capacity;
        Ok(granted)
    }

    /// Corrects a charge when the allocator gave other than was asked for.
    fn settle(&self, granted: usize, capacity: usize) {
        let mut state = self.lock();
        state.lent_bytes = (state.lent_bytes - granted + capacity).min(self.budget_bytes);
    }
}
