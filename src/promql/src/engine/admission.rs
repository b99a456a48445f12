//! Who may run now. Queries wait by class and by client, small ones apart from heavy ones, so that none
//! waits for a client that asks for much.
//!
//! Rules have slots of their own and wait for other rules only. Of the other slots heavy queries get a
//! few, no more than the cores can serve, and small queries the rest. Within a lane classes take turns by
//! weight and the clients of a class one after the other.

mod fair;
mod ticket;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::fair::Lane;
use super::QueryClass;
use crate::QueryError;

pub(super) use self::ticket::{Permit, Ticket};

/// Queries that wait at once; one more is refused. Each is one request of a client and its text.
const WAITING_COUNT_MAX: usize = 8192;
/// Heavy queries for each core: one computes while another waits for memory or disk.
const HEAVY_PER_CORE: usize = 2;

/// How much a query asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    Small,
    Heavy,
}

/// Who asks, for what.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) class: QueryClass,
    pub(super) client: Arc<str>,
    pub(super) weight: Weight,
}

/// Slots for running queries.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: Limits,
    state: Mutex<State>,
}

/// Slots of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    all: usize,
    heavy: usize,
    small: usize,
}

#[derive(Debug, Default)]
struct State {
    rules: Lane,
    small: Lane,
    heavy: Lane,
    waiting_count: usize,
    next_ticket: u64,
}

/// The three kinds of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rules,
    Small,
    Heavy,
}

impl Claim {
    fn kind(&self) -> Kind {
        match (self.class, self.weight) {
            (QueryClass::Rules, _) => Kind::Rules,
            (_, Weight::Small) => Kind::Small,
            (_, Weight::Heavy) => Kind::Heavy,
        }
    }
}

impl Limits {
    /// Parts `slots_count_max` (0: no limit) for a machine of so many cores.
    fn new(slots_count_max: usize, cores: usize) -> Self {
        let all = if slots_count_max == 0 { usize::MAX } else { slots_count_max };
        let heavy = (cores * HEAVY_PER_CORE).min(all / 4 * 3).max(1);
        Self { all, heavy, small: all.saturating_sub(heavy).max(1) }
    }
}

impl Admission {
    pub(super) fn new(slots_count_max: usize, cores: usize) -> Self {
        let (limits, state) = (Limits::new(slots_count_max, cores), Mutex::default());
        Self { shared: Arc::new(Shared { limits, state }) }
    }

    /// A place in the queue, or a slot at once where one is free and nobody waits for it.
    pub(super) fn ask(&self, claim: Claim) -> Result<Ticket, QueryError> {
        let mut state = self.shared.lock();
        if state.waiting_count >= WAITING_COUNT_MAX {
            return Err(QueryError::QueueFull { waiting_count: state.waiting_count });
        }
        let number = state.next_ticket;
        state.next_ticket += 1;
        state.waiting_count += 1;
        let ticket = Ticket::new(Arc::clone(&self.shared), claim, number);
        state.lane(ticket.claim().kind()).push(ticket.claim(), number, ticket.seat());
        self.shared.dispatch(&mut state);
        Ok(ticket)
    }

    /// How many queries run now.
    pub(super) fn running_count(&self) -> usize {
        let state = self.shared.lock();
        state.rules.running_count + state.small.running_count + state.heavy.running_count
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives free slots to those whose turn it is.
    fn dispatch(&self, state: &mut State) {
        for kind in [Kind::Rules, Kind::Small, Kind::Heavy] {
            while state.has_room(kind, &self.limits) {
                let lane = state.lane(kind);
                let Some(seat) = lane.pop() else { break };
                lane.running_count += 1;
                state.waiting_count -= 1;
                seat.grant();
            }
        }
    }

    /// Gives a slot back.
    fn release(&self, kind: Kind) {
        let mut state = self.lock();
        state.lane(kind).running_count -= 1;
        self.dispatch(&mut state);
    }

    /// Takes a waiting query out of the queue; nothing if its turn has come meanwhile.
    fn withdraw(&self, claim: &Claim, number: u64) -> bool {
        let mut state = self.lock();
        let is_found = state.lane(claim.kind()).remove(claim, number);
        state.waiting_count -= usize::from(is_found);
        is_found
    }
}

impl State {
    fn lane(&mut self, kind: Kind) -> &mut Lane {
        match kind {
            Kind::Rules => &mut self.rules,
            Kind::Small => &mut self.small,
            Kind::Heavy => &mut self.heavy,
        }
    }

    fn has_room(&self, kind: Kind, limits: &Limits) -> bool {
        let (small, heavy) = (self.small.running_count, self.heavy.running_count);
        match kind {
            Kind::Rules => self.rules.running_count < limits.all,
            Kind::Small => small < limits.small && small + heavy < limits.all,
            Kind::Heavy => heavy < limits.heavy && small + heavy < limits.all,
        }
    }
}

#[cfg(test)]
mod tests;
