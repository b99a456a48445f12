//! Hearts: each loop that has to make progress beats one, and the driver feeds the watchdog of systemd
//! only while all of them beat. A beat is one relaxed addition; time is the driver's matter.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

/// The heart of one loop. Dropping it takes the loop out of the watch.
#[derive(Debug)]
pub struct Heart {
    id: u64,
    pulse: Arc<Pulse>,
    hearts: Hearts,
}

/// A heart as the status page shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeartView {
    /// The loop that it belongs to.
    pub name: String,
    /// How long a silence is allowed.
    pub deadline_ms: u64,
    /// How long the last beat is ago, as far as the driver has looked.
    pub silence_ms: u64,
    /// The loop waits for something on purpose, so silence means nothing.
    pub is_suspended: bool,
    /// The silence is longer than allowed.
    pub is_silent: bool,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Hearts {
    watched: Arc<Mutex<Watched>>,
}

#[derive(Debug, Default)]
struct Watched {
    next_id: u64,
    hearts: BTreeMap<u64, Watch>,
}

#[derive(Debug)]
struct Pulse {
    beats_count: AtomicU64,
    is_suspended: AtomicBool,
}

#[derive(Debug)]
struct Watch {
    name: String,
    deadline: Duration,
    pulse: Arc<Pulse>,
    seen_count: u64,
    /// When the driver first saw this count; none before its first look.
    seen_since: Option<Instant>,
    silence: Duration,
}

impl Heart {
    /// The loop has made progress.
    pub fn beat(&self) {
        self.pulse.beats_count.fetch_add(1, Ordering::Relaxed);
        if self.pulse.is_suspended.load(Ordering::Relaxed) {
            self.pulse.is_suspended.store(false, Ordering::Relaxed);
        }
    }

    /// The loop is about to wait for something that may take any time; the next beat resumes.
    pub fn suspend(&self) {
        self.pulse.is_suspended.store(true, Ordering::Relaxed);
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        let mut watched = self.hearts.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.hearts.remove(&self.id);
    }
}

impl Hearts {
    pub(crate) fn register(&self, name: String, deadline: Duration) -> Heart {
        let pulse = Arc::new(Pulse {
            beats_count: AtomicU64::new(0),
            is_suspended: AtomicBool::new(false),
        });
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let id = watched.next_id;
        watched.next_id += 1;
        let watch = Watch {
            name,
            deadline,
            pulse: Arc::clone(&pulse),
            seen_count: 0,
            seen_since: None,
            silence: Duration::ZERO,
        };
        watched.hearts.insert(id, watch);
        Heart { id, pulse, hearts: self.clone() }
    }

    /// Looks at every heart, and returns a sentence on each that has been silent for too long.
    pub(crate) fn silent(&self, now: Instant) -> Vec<String> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let mut silent = Vec::new();
        for watch in watched.hearts.values_mut() {
            let beats_count = watch.pulse.beats_count.load(Ordering::Relaxed);
            let is_suspended = watch.pulse.is_suspended.load(Ordering::Relaxed);
            let since = match watch.seen_since {
                Some(since) if beats_count == watch.seen_count && !is_suspended => since,
                _ => now,
            };
            watch.seen_count = beats_count;
            watch.seen_since = Some(since);
            watch.silence = now.saturating_duration_since(since);
            if watch.silence > watch.deadline {
                // The limit and not the silence, so that the sentence stays the same.
                let limit_s = watch.deadline.as_secs_f64();
                silent.push(format!("{} has made no progress for over {limit_s}s", watch.name));
            }
        }
        silent
    }

    pub(crate) fn view(&self) -> Vec<HeartView> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let view = |watch: &Watch| HeartView {
            name: watch.name.clone(),
            deadline_ms: millis(watch.deadline),
            silence_ms: millis(watch.silence),
            is_suspended: watch.pulse.is_suspended.load(Ordering::Relaxed),
            is_silent: watch.silence > watch.deadline,
        };
        watched.hearts.values().map(view).collect()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
