//! Connections between two requests: sockets without a task, so that an idle target costs a descriptor and,
//! with TLS, its keys; only HTTP/2 keeps buffers and tables. They are bounded in number and age; whether one
//! still works is asked when it is taken.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use foldhash::fast::RandomState;
use tokio::time::Instant;

use crate::{connect::Origin, connection::Connection};

/// Compat: Go transport settings of prometheus/common (`MaxIdleConns`, `IdleConnTimeout`).
const IDLE_COUNT_MAX: usize = 20_000;
const IDLE_COUNT_PER_ORIGIN_MAX: usize = 1_000;
const IDLE_AGE_MAX: Duration = Duration::from_secs(5 * 60);
/// All of them are looked through no more often.
const EXPIRY_PAUSE_MIN: Duration = Duration::from_secs(10);
/// Of those that speak HTTP/2, with some 44 KiB each.
const IDLE_HTTP2_COUNT_MAX: usize = 4_096;

/// Idle connections of one client.
#[derive(Debug, Default)]
pub(crate) struct IdleConnections {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Those that had connections of late, some without any now.
    by_origin: HashMap<Arc<Origin>, Vec<Idle>, RandomState>,
    counts: Counts,
    /// When the old ones were last closed.
    expired_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    http2: usize,
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
        let State { by_origin, counts, .. } = &mut *state;
        let idle = by_origin.get_mut(origin)?;
        let mut found = None;
        while found.is_none()
            && let Some(last) = idle.pop()
        {
            counts.remove(&last.connection);
            let is_fresh = now - last.since < IDLE_AGE_MAX && last.generation == generation;
            found = (is_fresh && last.connection.is_silent()).then_some(last.connection);
        }
        found
    }

    /// Keeps a connection for the next request; beyond the bounds it is closed.
    pub(crate) fn put(&self, origin: &Arc<Origin>, generation: u64, connection: Connection) {
        let since = Instant::now();
        let mut state = self.lock();
        // Those of targets that are gone are not taken any more.
        let has_room = |state: &State| {
            let is_listed = state.by_origin.len() < IDLE_COUNT_MAX
                || state.by_origin.contains_key::<Origin>(origin);
            is_listed && !state.counts.are_full_for(&connection)
        };
        let pause = if has_room(&state) { IDLE_AGE_MAX } else { EXPIRY_PAUSE_MIN };
        if state.expired_at.is_none_or(|at| since - at >= pause) {
            state.expire(since);
        }
        if !has_room(&state) {
            return;
        }
        let State { by_origin, counts, .. } = &mut *state;
        let idle = by_origin.entry(Arc::clone(origin)).or_default();
        if idle.len() < IDLE_COUNT_PER_ORIGIN_MAX {
            counts.add(&connection);
            idle.push(Idle { connection, generation, since });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing between lock and unlock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn expire(&mut self, now: Instant) {
        let counts = &mut self.counts;
        self.by_origin.retain(|_, idle| {
            idle.retain(|idle| {
                let is_kept = now - idle.since < IDLE_AGE_MAX;
                if !is_kept {
                    counts.remove(&idle.connection);
                }
                is_kept
            });
            !idle.is_empty()
        });
        self.expired_at = Some(now);
    }
}

impl Counts {
    fn are_full_for(&self, connection: &Connection) -> bool {
        self.all >= IDLE_COUNT_MAX || connection.is_http2() && self.http2 >= IDLE_HTTP2_COUNT_MAX
    }

    fn add(&mut self, connection: &Connection) {
        self.all += 1;
        self.http2 += usize::from(connection.is_http2());
    }

    fn remove(&mut self, connection: &Connection) {
        self.all -= 1;
        self.http2 -= usize::from(connection.is_http2());
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::*;
    use crate::stream::{End, Stream};

    fn origin(port: u16) -> Arc<Origin> {
        Arc::new(Origin { is_https: false, host: "a".into(), port, socket: None })
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_is_closed_when_it_is_old() {
        let idle = IdleConnections::default();
        let mut others = Vec::new();
        let mut connection = || {
            let (one, other) = UnixStream::pair().unwrap();
            others.push(other);
            Connection::Http1 { stream: Stream::Unix(one), peer: End::Unknown }
        };
        idle.put(&origin(1), 0, connection());
        tokio::time::advance(IDLE_AGE_MAX / 2).await;
        idle.put(&origin(2), 0, connection());
        tokio::time::advance(IDLE_AGE_MAX / 2).await;
        idle.put(&origin(2), 1, connection());
        assert_eq!(idle.lock().counts.all, 2, "the first one was too old");
        assert!(idle.take(&origin(1), 0).is_none());
        assert!(idle.take(&origin(2), 1).is_some());
        assert!(idle.take(&origin(2), 1).is_none(), "another generation is not taken, but closed");
        assert_eq!(idle.lock().counts.all, 0);
        idle.lock().expire(Instant::now());
        assert!(idle.lock().by_origin.is_empty());
    }
}
