//! The end of the log: commits go to the current segment, full segments are made durable behind their back.
//!
//! A failed write is taken back by cutting the file (that needs no space). Until that works, and while a new
//! segment cannot be made, commits fail; nothing that failed is ever counted as written.

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
use prom_telemetry::{Counter, CounterVec, Gauge, Registry, Summary, clock};

use crate::{
    Options,
    disk::{AppendFile, Disk, write_all},
    lock::lock,
};

use super::{
    EncodedRecord,
    compress::Compression,
    frame::{FRAGMENT_HEADER_SIZE_BYTES, PAGE_SIZE_BYTES, push_record},
    segment::segment_path,
};

/// Segments waiting to be made durable; one more is synced by the commit that closes it.
const SYNC_QUEUE_COUNT_MAX: usize = 8;

/// A buffer that is kept from commit to commit; larger ones are given back.
const KEPT_BUFFER_SIZE_BYTES: usize = 256 << 10;

/// Appends commits to the log.
#[derive(Debug)]
pub(crate) struct Wal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    segment_size_bytes: u64,
    segment: Option<Segment>,
    next_index: u64,
    frames: Vec<u8>,
    syncer: Option<Syncer>,
    metrics: WalMetrics,
}

/// The segment that is written to.
#[derive(Debug)]
struct Segment {
    path: PathBuf,
    file: Box<dyn AppendFile>,
    /// Size of what has been written whole; bytes behind it have failed.
    good_size_bytes: u64,
    /// There may be bytes behind the good ones.
    is_dirty: bool,
}

/// Metrics of the log, named as Prometheus's.
#[derive(Clone, Debug)]
pub(crate) struct WalMetrics {
    fsync_duration: Summary,
    page_flushes: Counter,
    completed_pages: Counter,
    segment_current: Gauge,
    writes_failed: Counter,
    record_parts: Counter,
    record_parts_bytes: Counter,
    record_bytes_saved: CounterVec,
    fault: WriteFault,
}

/// Why the latest write of the log failed; nothing while writes succeed. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriteFault(Arc<Mutex<Option<String>>>);

impl Wal {
    /// Continues a log. `last_segment` is the last one there is, and its size; an empty one is used again.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: &Options,
        last_segment: Option<(u64, u64)>,
        metrics: WalMetrics,
    ) -> Self {
        let next_index = match last_segment {
            None => 0,
            Some((index, 0)) => index,
            Some((index, _)) => index + 1,
        };
        Self {
            disk,
            dir: dir.to_owned(),
            segment_size_bytes: u64::from(options.wal_segment_size_bytes)
                .max(PAGE_SIZE_BYTES as u64),
            segment: None,
            next_index,
            frames: Vec::new(),
            syncer: None,
            metrics,
        }
    }

    /// Writes the records of one commit: all of them, or none.
    ///
    /// # Errors
    /// The disk refused; the log is as before, or refuses until it can be made so.
    pub(crate) fn append(&mut self, records: &[EncodedRecord<'_>]) -> Result<(), StorageError> {
        let result = self.try_append(records);
        if result.is_err() {
            self.metrics.writes_failed.inc();
        }
        self.metrics.fault.note(result.as_ref().err());
        result
    }

    /// Makes the current segment, if there is none. Called at opening so that it fails early.
    ///
    /// # Errors
    /// The disk refused.
    pub(crate) fn ensure_segment(&mut self) -> Result<(), StorageError> {
        while self.segment.is_none() {
            let path = segment_path(&self.dir, self.next_index);
            let io_error = |source| StorageError::Io {
                path: path.clone(),
                action: "create WAL segment",
                source,
            };
            let file = self.disk.append(&path).map_err(io_error)?;
            let is_ours = file.size_bytes().map_err(io_error)? == 0;
            self.next_index += 1;
            // A file that holds something nobody has read is passed over.
            if is_ours {
                self.metrics.segment_current.set((self.next_index - 1) as f64);
                self.segment = Some(Segment { path, file, good_size_bytes: 0, is_dirty: false });
            }
        }
        Ok(())
    }

    /// Makes everything durable and ends the background thread.
    ///
    /// # Errors
    /// The disk refused.
    pub(crate) fn close(&mut self) -> Result<(), StorageError> {
        // First the finished segments, then the current one.
        drop(self.syncer.take());
        let Some(mut segment) = self.segment.take() else { return Ok(()) };
        let taken_back = segment.take_back();
        let synced = sync(&mut *segment.file, &self.metrics);
        taken_back.and(synced).and_then(|()| self.disk.sync_dir(&self.dir)).map_err(|source| {
            StorageError::Io { path: segment.path, action: "sync WAL segment", source }
        })
    }

    fn try_append(&mut self, records: &[EncodedRecord<'_>]) -> Result<(), StorageError> {
        self.ensure_segment()?;
        let size_bytes = framed_size_bytes_max(records);
        let is_full = |segment: &Segment| {
            segment.good_size_bytes > 0
                && segment.good_size_bytes + size_bytes > self.segment_size_bytes
        };
        if self.segment.as_ref().is_some_and(is_full) {
            self.cut()?;
        }
        let segment = self.segment.as_mut().expect("it was made above");
        self.frames.clear();
        let begin = (segment.good_size_bytes % PAGE_SIZE_BYTES as u64) as usize;
        let mut page_offset = begin;
        for record in records {
            push_record(&mut self.frames, &mut page_offset, record.compression, record.payload);
        }
        segment.write(&self.frames).map_err(|source| StorageError::Io {
            path: segment.path.clone(),
            action: "write WAL",
            source,
        })?;
        self.metrics.count_write(begin, &self.frames, records);
        if self.frames.capacity() > KEPT_BUFFER_SIZE_BYTES {
            self.frames = Vec::new();
        }
        Ok(())
    }

    /// Closes the current segment and begins the next one.
    fn cut(&mut self) -> Result<(), StorageError> {
        let Some(mut old) = self.segment.take() else { return self.ensure_segment() };
        if let Err(source) = old.take_back() {
            let path = old.path.clone();
            self.segment = Some(old);
            return Err(StorageError::Io { path, action: "take back a failed WAL write", source });
        }
        if let Err(err) = self.ensure_segment() {
            self.segment = Some(old);
            return Err(err);
        }
        // Padding is only for readers that want whole pages; they do without it, too.
        let padding =
            old.good_size_bytes.next_multiple_of(PAGE_SIZE_BYTES as u64) - old.good_size_bytes;
        let zeros = [0; PAGE_SIZE_BYTES];
        if let Err(err) = old.write(&zeros[..padding as usize]) {
            tracing::debug!(segment = %old.path.display(), err = %err, "Padding a WAL segment failed");
        }
        if self.syncer.is_none() {
            let (disk, dir) = (Arc::clone(&self.disk), self.dir.clone());
            self.syncer = Syncer::start(disk, dir, self.metrics.clone());
        }
        match &self.syncer {
            Some(syncer) => syncer.enqueue(old, &self.metrics),
            None => sync_finished(old, &self.metrics),
        }
        Ok(())
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        if let Err(err) = self.close() {
            tracing::error!(err = %err, "Closing the WAL failed");
        }
    }
}

impl Segment {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.take_back()?;
        match write_all(&mut *self.file, bytes) {
            Ok(()) => {
                self.good_size_bytes += bytes.len() as u64;
                Ok(())
            }
            Err(err) => {
                self.is_dirty = true;
                if let Err(err) = self.take_back() {
                    tracing::error!(segment = %self.path.display(), err = %err, "Taking back a failed WAL write failed");
                }
                Err(err)
            }
        }
    }

    /// Cuts off what failed, if anything.
    fn take_back(&mut self) -> io::Result<()> {
        if self.is_dirty {
            self.file.truncate(self.good_size_bytes)?;
            self.is_dirty = false;
        }
        Ok(())
    }
}

/// An upper bound, exact but for the padding of full pages.
fn framed_size_bytes_max(records: &[EncodedRecord<'_>]) -> u64 {
    let framed = |record: &EncodedRecord<'_>| {
        let pages = record.payload.len() / (PAGE_SIZE_BYTES - FRAGMENT_HEADER_SIZE_BYTES) + 2;
        (record.payload.len() + pages * FRAGMENT_HEADER_SIZE_BYTES) as u64
    };
    records.iter().map(framed).sum()
}

fn sync(file: &mut dyn AppendFile, metrics: &WalMetrics) -> io::Result<()> {
    let begin = clock::monotonic();
    let result = file.sync();
    metrics.fsync_duration.observe(begin.elapsed().as_secs_f64());
    result
}

fn sync_finished(mut segment: Segment, metrics: &WalMetrics) {
    if let Err(err) = sync(&mut *segment.file, metrics) {
        metrics.writes_failed.inc();
        tracing::error!(segment = %segment.path.display(), err = %err, "Syncing a finished WAL segment failed");
    }
}

/// The thread that makes finished segments durable.
#[derive(Debug)]
struct Syncer {
    queue: Option<SyncSender<Segment>>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// `None` if the system gives no thread: the caller syncs by itself then.
    fn start(disk: Arc<dyn Disk>, dir: PathBuf, metrics: WalMetrics) -> Option<Self> {
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

    fn enqueue(&self, segment: Segment, metrics: &WalMetrics) {
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

impl WriteFault {
    /// The reason, while it holds.
    pub(crate) fn reason(&self) -> Option<String> {
        lock(&self.0).clone()
    }

    fn note(&self, err: Option<&StorageError>) {
        let mut fault = lock(&self.0);
        if err.is_some() || fault.is_some() {
            *fault = err.map(ToString::to_string);
        }
    }
}

impl WalMetrics {
    pub(crate) fn fault(&self) -> &WriteFault {
        &self.fault
    }

    pub(crate) fn register(registry: &Registry) -> Self {
        let name = |suffix: &str| format!("prometheus_tsdb_wal_{suffix}");
        let counter = |suffix, help| registry.counter(&name(suffix), help);
        // Issue 4 truncates the log; the counters are there for dashboards.
        counter("truncations_total", "Total number of write log truncations attempted.");
        counter("truncations_failed_total", "Total number of write log truncations that failed.");
        Self {
            fsync_duration: registry.summary(
                &name("fsync_duration_seconds"),
                "Duration of write log fsync.",
                &[0.5, 0.9, 0.99],
            ),
            page_flushes: counter("page_flushes_total", "Total number of page flushes."),
            completed_pages: counter("completed_pages_total", "Total number of completed pages."),
            segment_current: registry.gauge(
                &name("segment_current"),
                "Write log segment index that TSDB is currently writing to.",
            ),
            writes_failed: counter(
                "writes_failed_total",
                "Total number of write log writes that failed.",
            ),
            record_parts: counter(
                "record_part_writes_total",
                "Total number of record parts written before flushing.",
            ),
            record_parts_bytes: counter(
                "record_parts_bytes_written_total",
                "Total number of record part bytes written before flushing, including CRC and compression headers.",
            ),
            record_bytes_saved: registry.counter_vec(
                &name("record_bytes_saved_total"),
                "Total number of bytes saved by the optional record compression. Use this metric to learn about the effectiveness compression.",
                &["compression"],
            ),
            fault: WriteFault::default(),
        }
    }

    /// Counts bytes that compression saved.
    pub(crate) fn count_saved(&self, compression: Compression, size_bytes: usize) {
        let name = match compression {
            Compression::None => return,
            Compression::Snappy => "snappy",
            Compression::Zstd => "zstd",
        };
        self.record_bytes_saved.with(&[name]).inc_by(size_bytes as u64);
    }

    fn count_write(&self, begin: usize, frames: &[u8], records: &[EncodedRecord<'_>]) {
        let pages = ((begin + frames.len()) / PAGE_SIZE_BYTES) as u64;
        self.page_flushes.inc_by(pages + 1);
        self.completed_pages.inc_by(pages);
        self.record_parts.inc_by(records.len() as u64 + pages);
        self.record_parts_bytes.inc_by(frames.len() as u64);
    }
}
