//! Bytes that the values of queries take: counted before they are taken, refused over the limit.
//! A limit holds for each query, another for all of an engine together.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::QueryError;

/// Bytes of all queries of an engine.
#[derive(Debug)]
pub(crate) struct Budget {
    used_bytes: AtomicU64,
    limit_bytes: u64,
}

/// The account of one query.
#[derive(Debug)]
pub(crate) struct Memory {
    used_bytes: AtomicU64,
    peak_bytes: AtomicU64,
    limit_bytes: u64,
    /// Of all queries; what this one may use of it.
    budget: Arc<Budget>,
    budget_limit_bytes: u64,
    /// The selector that most of the bytes are for, to be named in a refusal.
    heaviest: OnceLock<String>,
}

/// Bytes that are given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    memory: Arc<Memory>,
    bytes: u64,
}

impl Budget {
    pub(crate) fn new(limit_bytes: u64) -> Arc<Self> {
        Arc::new(Self { used_bytes: AtomicU64::new(0), limit_bytes })
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Relaxed)
    }
}

impl Memory {
    /// An account within `budget`, of which it may see `share` percent used.
    pub(crate) fn new(limit_bytes: u64, budget: &Arc<Budget>, share_percent: u64) -> Arc<Self> {
        let (used_bytes, peak_bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        let budget_limit_bytes = budget.limit_bytes / 100 * share_percent;
        let (budget, heaviest) = (Arc::clone(budget), OnceLock::new());
        Arc::new(Self { used_bytes, peak_bytes, limit_bytes, budget, budget_limit_bytes, heaviest })
    }

    /// Takes bytes, or refuses.
    pub(crate) fn hold(self: &Arc<Self>, bytes: u64) -> Result<Held, QueryError> {
        let mut held = Held { memory: Arc::clone(self), bytes: 0 };
        held.grow(bytes)?;
        Ok(held)
    }

    /// Says once which selector most of the bytes are for.
    pub(crate) fn blame(&self, selector: String) {
        // The first one told is the one that stays.
        drop(self.heaviest.set(selector));
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Relaxed)
    }

    pub(crate) fn peak_bytes(&self) -> u64 {
        self.peak_bytes.load(Relaxed)
    }

    /// What was told by [`Self::blame`], behind a comma.
    pub(crate) fn blamed(&self) -> String {
        self.heaviest
            .get()
            .map(|selector| format!(", most of it for {selector}"))
            .unwrap_or_default()
    }
}

impl Held {
    /// Takes more bytes, or refuses and keeps what it has.
    pub(crate) fn grow(&mut self, bytes: u64) -> Result<(), QueryError> {
        let memory = &self.memory;
        let used = memory.used_bytes.fetch_add(bytes, Relaxed).saturating_add(bytes);
        if used > memory.limit_bytes {
            memory.used_bytes.fetch_sub(bytes, Relaxed);
            let limit_bytes = memory.limit_bytes;
            return Err(QueryError::TooManyBytes { limit_bytes, selector: memory.blamed() });
        }
        let budget = &memory.budget;
        let of_all = budget.used_bytes.fetch_add(bytes, Relaxed).saturating_add(bytes);
        if of_all > memory.budget_limit_bytes {
            budget.used_bytes.fetch_sub(bytes, Relaxed);
            memory.used_bytes.fetch_sub(bytes, Relaxed);
            let limit_bytes = memory.budget_limit_bytes;
            return Err(QueryError::TooManyBytesOfAll { limit_bytes, selector: memory.blamed() });
        }
        memory.peak_bytes.fetch_max(used, Relaxed);
        self.bytes += bytes;
        Ok(())
    }

    /// Joins bytes of the same account.
    pub(crate) fn absorb(&mut self, mut other: Self) {
        debug_assert!(Arc::ptr_eq(&self.memory, &other.memory), "bytes of one query");
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.used_bytes.fetch_sub(self.bytes, Relaxed);
        self.memory.budget.used_bytes.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_can_be_taken_again() {
        let memory = Memory::new(100, &Budget::new(1000), 100);
        let mut first = memory.hold(60).expect("fits");
        assert!(memory.hold(50).is_err());
        first.grow(40).expect("fits");
        drop(first);
        assert!(memory.hold(100).is_ok());
        assert_eq!(memory.peak_bytes(), 100);
    }

    #[test]
    fn queries_share_a_budget_of_which_some_keep_a_part_free() {
        let budget = Budget::new(1000);
        let (dashboard, rule) = (Memory::new(900, &budget, 75), Memory::new(900, &budget, 100));
        let _first = dashboard.hold(700).expect("fits");
        let another = Memory::new(900, &budget, 75);
        another.blame("up with 3 series".to_owned());
        let err = another.hold(100).expect_err("three quarters are taken");
        assert_eq!(
            err.to_string(),
            "queries in execution would together need more than 750 bytes of memory, most of it for up with 3 series"
        );
        let mut held = rule.hold(200).expect("the rest is for rules");
        held.absorb(rule.hold(50).expect("fits"));
        assert_eq!((budget.used_bytes(), rule.peak_bytes()), (950, 250));
        drop(held);
        assert_eq!(budget.used_bytes(), 700);
    }
}
