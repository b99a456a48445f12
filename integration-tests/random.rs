//! Numbers that a seed repeats. Not for secrets.

use std::hash::{BuildHasher, RandomState};

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

/// A seed that nobody chose.
pub(crate) fn seed() -> u64 {
    RandomState::new().hash_one(0) >> 32
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A source of its own, so that how much one thread draws does not change what another does.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }
}

/// A number that looks as if it had nothing to do with `n`.
pub(crate) fn mix(n: u64) -> u64 {
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}
