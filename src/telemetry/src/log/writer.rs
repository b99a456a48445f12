//! The thread that writes log lines, and the bounded queue before it.

use std::{
    fmt,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

/// Lines that may wait for a slow reader of stderr.
pub const QUEUE_LINES_MAX: usize = 4096;

/// Hands lines to the writing thread and never waits for it.
pub(super) struct Writer {
    queue: SyncSender<Item>,
    dropped: Arc<AtomicU64>,
}

enum Item {
    Line(String),
    /// Everything before it is written when it is answered.
    Mark(SyncSender<()>),
}

impl Writer {
    /// Starts the thread. If that fails, every line counts as dropped: logging must not stop the server.
    pub(super) fn start(output: Box<dyn Write + Send>) -> Self {
        let (queue, items) = sync_channel(QUEUE_LINES_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&dropped);
        // A thread that cannot be started drops `items`; `push` then fails and counts.
        let thread = thread::Builder::new().name("log".to_owned());
        drop(thread.spawn(move || write_all(output, &items, &counter)));
        Self { queue, dropped }
    }

    pub(super) fn dropped_count(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    pub(super) fn push(&self, line: String) {
        if self.queue.try_send(Item::Line(line)).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn flush(&self, timeout: Duration) {
        let (done, wait) = sync_channel(1);
        // A full queue means a reader that is stuck: there is nobody to flush to.
        if self.queue.try_send(Item::Mark(done)).is_ok() {
            wait.recv_timeout(timeout).unwrap_or_default();
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("dropped", &self.dropped).finish_non_exhaustive()
    }
}

fn write_all(mut output: Box<dyn Write + Send>, items: &Receiver<Item>, dropped: &AtomicU64) {
    for item in items {
        match item {
            Item::Line(line) => {
                if output.write_all(line.as_bytes()).is_err() {
                    dropped.fetch_add(1, Relaxed);
                }
            }
            // Who waits may have given up already.
            Item::Mark(done) => done.try_send(()).unwrap_or_default(),
        }
    }
}
