//! Finished segments are made durable behind the back of the commits.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
};

use prom_storage::StorageError;
use prom_telemetry::clock;

use crate::{
    disk::{AppendFile, Disk, write_all},
    lock::lock,
};

use super::{
    WalMetrics,
    reader::{Item, SegmentReader},
    repair::SALVAGE_SUFFIX,
    writer::Segment,
};

/// Segments waiting to be made durable; one more is synced by the commit that closes it.
const SYNC_QUEUE_COUNT_MAX: usize = 8;

pub(super) fn sync(file: &mut dyn AppendFile, metrics: &WalMetrics) -> io::Result<()> {
    let begin = clock::monotonic();
    let result = file.sync();
    metrics.fsync_duration.observe(begin.elapsed().as_secs_f64());
    result
}

/// Finished segments of which nobody knows whether they are durable. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Unsynced(Arc<Mutex<Vec<PathBuf>>>);

impl Unsynced {
    /// Makes the segments durable by writing them anew: bytes whose sync failed are not trusted, and a
    /// second sync of the same file may say yes without having done anything.
    pub(super) fn heal(&self, disk: &dyn Disk) -> Result<(), StorageError> {
        let mut paths = lock(&self.0);
        while let Some(path) = paths.last() {
            match write_anew(disk, path) {
                Ok(()) => {}
                // Blocks or a checkpoint stand for it by now.
                Err(err) if err.kind() == io::ErrorKind::NotFound => {
                    paths.pop();
                    continue;
                }
                Err(source) => {
                    return Err(StorageError::Io {
                        path: path.clone(),
                        action: "make a finished WAL segment durable",
                        source,
                    });
                }
            }
            tracing::info!(segment = %path.display(), "Wrote a WAL segment anew that could not be synced");
            paths.pop();
        }
        Ok(())
    }
}

fn write_anew(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let mut reader = SegmentReader::new(disk.read(path)?);
    let mut record = Vec::new();
    while let Some(item) = reader.next(&mut record)? {
        if let Item::Damage { reason, .. } = item {
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        record.clear();
    }
    let mut beside = path.to_owned().into_os_string();
    beside.push(SALVAGE_SUFFIX);
    let beside = PathBuf::from(beside);
    let mut file = disk.append(&beside)?;
    file.truncate(0)?;
    let written = write_all(&mut *file, &disk.map(path)?).and_then(|()| file.sync());
    if let Err(err) = written {
        disk.remove_file(&beside)?;
        return Err(err);
    }
    disk.rename(&beside, path)?;
    path.parent().map_or(Ok(()), |dir| disk.sync_dir(dir))
}

pub(super) fn sync_finished(mut segment: Segment, metrics: &WalMetrics, unsynced: &Unsynced) {
    if let Err(err) = sync(&mut *segment.file, metrics) {
        metrics.writes_failed.inc();
        tracing::error!(segment = %segment.path.display(), err = %err, "Syncing a finished WAL segment failed; commits wait until it is written anew");
        lock(&unsynced.0).push(segment.path);
    }
}

/// The thread that makes finished segments durable.
#[derive(Debug)]
pub(super) struct Syncer {
    queue: Option<SyncSender<Segment>>,
    thread: Option<JoinHandle<()>>,
    unsynced: Unsynced,
}

impl Syncer {
    /// `None` if the system gives no thread: the caller syncs by itself then.
    pub(super) fn start(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        metrics: WalMetrics,
        unsynced: Unsynced,
    ) -> Option<Self> {
        let of_thread = unsynced.clone();
        let (queue, waiting): (_, Receiver<Segment>) = sync_channel(SYNC_QUEUE_COUNT_MAX);
        let run = move || {
            for segment in waiting {
                sync_finished(segment, &metrics, &of_thread);
                if let Err(err) = disk.sync_dir(&dir) {
                    tracing::error!(dir = %dir.display(), err = %err, "Syncing the WAL directory failed");
                }
            }
        };
        let thread = thread::Builder::new().name("wal-sync".to_owned()).spawn(run).ok()?;
        Some(Self { queue: Some(queue), thread: Some(thread), unsynced })
    }

    pub(super) fn enqueue(&self, segment: Segment, metrics: &WalMetrics) {
        let Some(queue) = &self.queue else {
            return sync_finished(segment, metrics, &self.unsynced);
        };
        match queue.try_send(segment) {
            Ok(()) => {}
            Err(TrySendError::Full(segment) | TrySendError::Disconnected(segment)) => {
                sync_finished(segment, metrics, &self.unsynced);
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
