//! Connections between two requests: sockets without a task, so that an idle target costs a descriptor and,
//! with TLS, its keys, but no buffer. They are bounded in number and age; whether one still works is asked when it is taken.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{connect::Origin, connection::Connection};

/// Compat: Go transport settings of prometheus/common (`MaxIdleConns`, `IdleConnTimeout`).
const IDLE_COUNT_MAX: usize = 20_000;
const IDLE_COUNT_PER_ORIGIN_MAX: usize = 1_000;
const IDLE_AGE_MAX: Duration = Duration::from_secs(5 * 60);

/// Idle connections of one client.
#[derive(Debug, Default)]
pub(crate) struct IdleConnections {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    by_origin: HashMap<Origin, Vec<Idle>>,
    count: usize,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    /// Of the certificates that it was made with.
    generation: u64,
    since: Instant,
}

impl IdleConnections {
    /// The connection that was used last and that the peer has not closed; never one of another generation.
    pub(crate) fn take(&self, origin: &Origin, generation: u64) -> Option<Connection> {
        let now = Instant::now();
        let mut state = self.lock();
        let State { by_origin, count } = &mut *state;
        let idle = by_origin.get_mut(origin)?;
        let mut found = None;
        while found.is_none()
            && let Some(last) = idle.pop()
        {
            *count -= 1;
            let is_fresh = now - last.since < IDLE_AGE_MAX && last.generation == generation;
            found = (is_fresh && last.connection.is_silent()).then_some(last.connection);
        }
        if idle.is_empty() {
            by_origin.remove(origin);
        }
        found
    }

    /// Keeps a connection for the next request; beyond the bounds it is closed.
    pub(crate) fn put(&self, origin: &Origin, generation: u64, connection: Connection) {
        let since = Instant::now();
        let mut state = self.lock();
        if state.count >= IDLE_COUNT_MAX {
            state.expire(since);
        }
        if state.count >= IDLE_COUNT_MAX {
            return;
        }
        let State { by_origin, count } = &mut *state;
        // Nearly always the origin is new: the connection was taken out of here.
        let idle = by_origin.entry(origin.clone()).or_default();
        if idle.len() < IDLE_COUNT_PER_ORIGIN_MAX {
            idle.push(Idle { connection, generation, since });
            *count += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing between lock and unlock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn expire(&mut self, now: Instant) {
        self.by_origin.retain(|_, idle| {
            idle.retain(|idle| now - idle.since < IDLE_AGE_MAX);
            !idle.is_empty()
        });
        self.count = self.by_origin.values().map(Vec::len).sum();
    }
}
