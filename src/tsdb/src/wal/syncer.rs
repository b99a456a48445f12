//! Finished segments are made durable behind the back of the commits.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use prom_telemetry::clock;

use crate::disk::{AppendFile, Disk};

use super::{WalMetrics, writer::Segment};

/// Segments waiting to be made durable; one more is synced by the commit that closes it.
const SYNC_QUEUE_COUNT_MAX: usize = 8;

pub(super) fn sync(file: &mut dyn AppendFile, metrics: &WalMetrics) -> io::Result<()> {
    let begin = clock::monotonic();
    let result = file.sync();
    metrics.fsync_duration.observe(begin.elapsed().as_secs_f64());
    result
}

pub(super) fn sync_finished(mut segment: Segment, metrics: &WalMetrics) {
    if let Err(err) = sync(&mut *segment.file, metrics) {
        metrics.writes_failed.inc();
        tracing::error!(segment = %segment.path.display(), err = %err, "Syncing a finished WAL segment failed");
    }
}

/// The thread that makes finished segments durable.
#[derive(Debug)]
pub(super) struct Syncer {
    queue: Option<SyncSender<Segment>>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// `None` if the system gives no thread: the caller syncs by itself then.
    pub(super) fn start(disk: Arc<dyn Disk>, dir: PathBuf, metrics: WalMetrics) -> Option<Self> {
        let (queue, waiting): (_, Receiver<Segment>) = sync_channel(SYNC_QUEUE_COUNT_MAX);
        let run = move || {
            for segment in waiting {
                sync_finished(segment, &metrics);
                if let Err(err) = disk.sync_dir(&dir) {
                    tracing::error!(dir = %dir.display(), err = %err, "Syncing the WAL directory failed");
                }
            }
        };
        let thread = thread::Builder::new().name("wal-sync".to_owned()).spawn(run).ok()?;
        Some(Self { queue: Some(queue), thread: Some(thread) })
    }

    pub(super) fn enqueue(&self, segment: Segment, metrics: &WalMetrics) {
        let Some(queue) = &self.queue else { return sync_finished(segment, metrics) };
        match queue.try_send(segment) {
            Ok(()) => {}
            Err(TrySendError::Full(segment) | TrySendError::Disconnected(segment)) => {
                sync_finished(segment, metrics);
            }
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("The thread that syncs WAL segments panicked");
        }
    }
}
