//! The end of the log: commits go to the current segment, full segments are made durable behind their back.
//!
//! A failed write is taken back by cutting the file (that needs no space). Until that works, and while a new
//! segment cannot be made, commits fail; nothing that failed is ever counted as written.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use prom_storage::StorageError;

use crate::{
    Options,
    disk::{AppendFile, Disk, write_all},
};

use super::{
    EncodedRecord, WalMetrics,
    frame::{FRAGMENT_HEADER_SIZE_BYTES, PAGE_SIZE_BYTES, push_record},
    segment::segment_path,
    syncer::{Syncer, Unsynced, sync, sync_finished},
};

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
    /// Bytes of the last commit.
    frames_size_bytes: u64,
    syncer: Option<Syncer>,
    unsynced: Unsynced,
    metrics: WalMetrics,
}

/// The segment that is written to.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) file: Box<dyn AppendFile>,
    /// Size of what has been written whole; bytes behind it have failed.
    good_size_bytes: u64,
    /// There may be bytes behind the good ones.
    is_dirty: bool,
}

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
            frames_size_bytes: 0,
            syncer: None,
            unsynced: Unsynced::default(),
            metrics,
        }
    }

    /// A log of its own in another directory, with segments of the same size.
    pub(crate) fn beside(
        &self,
        dir: &Path,
        last_segment: Option<(u64, u64)>,
        metrics: WalMetrics,
    ) -> Self {
        let disk = Arc::clone(&self.disk);
        let mut wal = Self::new(disk, dir, &Options::default(), last_segment, metrics);
        wal.segment_size_bytes = self.segment_size_bytes;
        wal
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

    /// Takes the last commit back, which must have been written just now. If the disk refuses that, no later
    /// commit is written until it can be done.
    pub(crate) fn take_back_last(&mut self) {
        let size_bytes = self.frames_size_bytes;
        let Some(segment) = &mut self.segment else { return };
        segment.good_size_bytes = segment.good_size_bytes.saturating_sub(size_bytes);
        segment.is_dirty = true;
        self.frames_size_bytes = 0;
        if let Err(err) = segment.take_back() {
            tracing::error!(segment = %segment.path.display(), err = %err, "Taking back a commit failed");
        }
    }

    /// Makes the first segment, so that a disk that refuses is known before the first commit.
    ///
    /// # Errors
    /// The disk refused; the next commit tries again.
    pub(crate) fn begin(&mut self) -> Result<(), StorageError> {
        let result = self.ensure_segment();
        self.metrics.fault.note(result.as_ref().err());
        result
    }

    /// Begins a new segment, unless the current one is empty.
    ///
    /// # Errors
    /// The disk refused; the current segment goes on.
    pub(crate) fn begin_segment(&mut self) -> Result<(), StorageError> {
        match self.segment.as_ref().is_some_and(|segment| segment.good_size_bytes > 0) {
            true => self.cut(),
            false => self.ensure_segment(),
        }
    }

    /// The segment that is written to, and its size.
    pub(crate) fn position(&self) -> Option<(u64, u64)> {
        let segment = self.segment.as_ref()?;
        Some((self.current_index()?, segment.good_size_bytes))
    }

    /// Where the log is.
    pub(crate) fn place(&self) -> (Arc<dyn Disk>, PathBuf) {
        (Arc::clone(&self.disk), self.dir.clone())
    }

    pub(crate) fn segment_size_bytes(&self) -> u64 {
        self.segment_size_bytes
    }

    /// The segment that is written to.
    pub(crate) fn current_index(&self) -> Option<u64> {
        self.segment.as_ref().and_then(|_| self.next_index.checked_sub(1))
    }

    /// Ends the segment that is written to with a whole page, for readers that go on behind it.
    pub(crate) fn end_page(&mut self) {
        if let Some(segment) = &mut self.segment {
            segment.pad();
        }
    }

    fn ensure_segment(&mut self) -> Result<(), StorageError> {
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
        self.unsynced.heal(&*self.disk)?;
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
        self.frames_size_bytes = self.frames.len() as u64;
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
        old.pad();
        if self.syncer.is_none() && self.disk.may_sync_later() {
            let (disk, dir) = (Arc::clone(&self.disk), self.dir.clone());
            self.syncer = Syncer::start(disk, dir, self.metrics.clone(), self.unsynced.clone());
        }
        match &self.syncer {
            Some(syncer) => syncer.enqueue(old, &self.metrics),
            None => sync_finished(old, &self.metrics, &self.unsynced),
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

    /// Fills the last page. That is only for readers that want whole pages; they do without it, too.
    fn pad(&mut self) {
        let padding =
            self.good_size_bytes.next_multiple_of(PAGE_SIZE_BYTES as u64) - self.good_size_bytes;
        let zeros = [0; PAGE_SIZE_BYTES];
        if let Err(err) = self.write(&zeros[..padding as usize]) {
            tracing::debug!(segment = %self.path.display(), err = %err, "Padding a WAL segment failed");
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

/// An upper bound: for each page that a record touches a header, and padding where none fits.
pub(super) fn framed_size_bytes_max(records: &[EncodedRecord<'_>]) -> u64 {
    let framed = |record: &EncodedRecord<'_>| {
        let pages = record.payload.len() / (PAGE_SIZE_BYTES - FRAGMENT_HEADER_SIZE_BYTES) + 2;
        (record.payload.len() + pages * (2 * FRAGMENT_HEADER_SIZE_BYTES - 1)) as u64
    };
    records.iter().map(framed).sum()
}
