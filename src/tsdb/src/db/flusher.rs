//! The thread that brings closed chunks from memory into files, and now and then writes what makes the next
//! start fast. Files that a start took unread it looks through first. Nothing waits for it.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use prom_telemetry::clock;

use crate::{head::Head, lock::lock};

use super::sidecar;

/// How often it looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// So many bytes are written at once.
const WAITING_SIZE_BYTES: u64 = 256 << 10;
/// Fewer bytes are written after this time.
const FLUSH_INTERVAL: Duration = Duration::from_secs(60);
/// A start after a crash replays what came in this time, at most.
const SIDECAR_INTERVAL: Duration = Duration::from_secs(300);
/// How long a disk that refused is left alone.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(10);

/// The thread; it ends with this.
#[derive(Debug)]
pub(super) struct Flusher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    is_over: Mutex<bool>,
    wake: Condvar,
}

impl Flusher {
    /// `None` if the system gives no thread: chunks stay in memory then.
    /// The sidecar goes to `sidecar_path`.
    pub(super) fn start(head: &Arc<Head>, sidecar_path: Option<PathBuf>) -> Option<Self> {
        let shared = Arc::<Shared>::default();
        let run = {
            let (shared, head) = (Arc::clone(&shared), Arc::clone(head));
            move || shared.run(&head, sidecar_path.as_deref())
        };
        let thread = thread::Builder::new().name("head-chunks".to_owned()).spawn(run);
        let thread = thread.inspect_err(|err| {
            tracing::error!(err = %err, "No thread for head chunks; they stay in memory");
        });
        Some(Self { shared, thread: Some(thread.ok()?) })
    }
}

impl Shared {
    fn run(&self, head: &Head, sidecar_path: Option<&Path>) {
        let mut last_flush = clock::monotonic();
        let mut last_sidecar = clock::monotonic();
        let mut is_failing = false;
        while !self.is_over_after(if is_failing { REST_AFTER_FAILURE } else { LOOK_INTERVAL }) {
            if head.take_unread_files()
                && let Err(err) = head.mend()
            {
                tracing::error!(err = %err, "Looking through head chunks failed");
            }
            if let Some(path) = sidecar_path.filter(|_| last_sidecar.elapsed() >= SIDECAR_INTERVAL)
            {
                last_sidecar = clock::monotonic();
                if let Err(err) = sidecar::write(head, path) {
                    tracing::warn!(err = %err, "Writing the head's sidecar failed; a crash would cost a longer replay");
                }
            }
            let waiting_size_bytes = head.waiting_size_bytes();
            let is_due = waiting_size_bytes >= WAITING_SIZE_BYTES
                || (waiting_size_bytes > 0 && last_flush.elapsed() >= FLUSH_INTERVAL);
            if !is_due {
                continue;
            }
            last_flush = clock::monotonic();
            match head.flush_chunks() {
                Ok(()) => is_failing = false,
                Err(err) if is_failing => {
                    tracing::debug!(err = %err, "Writing head chunks fails still");
                }
                Err(err) => {
                    is_failing = true;
                    tracing::error!(err = %err, "Writing head chunks failed; they stay in memory until it works");
                }
            }
        }
    }

    /// Waits, and says whether the end has come.
    fn is_over_after(&self, pause: Duration) -> bool {
        let is_over = lock(&self.is_over);
        let waited = self.wake.wait_timeout_while(is_over, pause, |is_over| !*is_over);
        waited.is_ok_and(|(is_over, _)| *is_over)
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        *lock(&self.shared.is_over) = true;
        self.shared.wake.notify_all();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("The thread that writes head chunks panicked");
        }
    }
}
