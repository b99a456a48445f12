//! Checkpoints: old segments written anew without what nobody needs any more, so that they can go.
//! What is needed is told by the caller. Format: docs/format/wal.md.
//!
//! A checkpoint is whole when it has its name: it is written beside, made durable, then renamed. Segments go
//! after that. Compat: Prometheus `tsdb/wlog/checkpoint.go`.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    WalCompression,
    disk::{AppendFile, Disk, write_all},
};

use super::{
    EncodedRecord,
    compress::{Compression, Compressor, decompress},
    frame::{PAGE_SIZE_BYTES, push_record},
    gather::SampleGatherer,
    reader::{Item, SegmentReader},
    record::{Keep, Kept},
    segment::{CHECKPOINT_PREFIX, SegmentFile, list_log, segment_index, segment_path},
    writer::framed_size_bytes_max,
};

const TEMPORARY_SUFFIX: &str = ".tmp";
/// Bytes collected before they are written.
const WRITE_SIZE_BYTES: usize = 1 << 20;

/// What a checkpoint is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CheckpointPlan<'a> {
    /// The directory of the log.
    pub(crate) dir: &'a Path,
    /// The last segment that it stands for.
    pub(crate) last: u64,
    pub(crate) keep: Keep<'a>,
    pub(crate) compression: WalCompression,
    pub(crate) segment_size_bytes: u64,
}

/// The segment up to which a checkpoint is worth its while, with segments `first` to `last` finished: two
/// thirds of them. `None`: not yet. Compat: Prometheus `tsdb/head.go` (truncateWAL).
pub(crate) fn checkpoint_end(first: u64, last: u64) -> Option<u64> {
    let last = last.checked_sub(1)?;
    let end = first + last.checked_sub(first)? * 2 / 3;
    (end > first).then_some(end)
}

/// Writes a checkpoint for the segments up to `plan.last`, and the checkpoint before them.
///
/// # Errors
/// The disk refused, or a record is damaged; nothing has changed.
pub(crate) fn write_checkpoint(disk: &dyn Disk, plan: &CheckpointPlan<'_>) -> io::Result<()> {
    let path = plan.dir.join(format!("{CHECKPOINT_PREFIX}{:08}", plan.last));
    let mut temporary = path.clone().into_os_string();
    temporary.push(TEMPORARY_SUFFIX);
    let temporary = PathBuf::from(temporary);
    disk.remove_dir_all(&temporary)?;
    disk.create_dir_all(&temporary)?;
    let written = write_into(disk, plan, &temporary).and_then(|()| {
        disk.sync_dir(&temporary)?;
        // One of this name stands for the same segments; it was left by a crash before they were removed.
        disk.remove_dir_all(&path)?;
        disk.rename(&temporary, &path)?;
        disk.sync_dir(plan.dir)
    });
    if let Err(err) = &written
        && let Err(removal) = disk.remove_dir_all(&temporary)
    {
        tracing::debug!(dir = %temporary.display(), err = %err, removal = %removal, "An unfinished checkpoint stays until the next start");
    }
    written
}

/// Removes the segments and checkpoints that the checkpoint of segment `last` stands for.
///
/// # Errors
/// The disk refused; what is left is passed over by readers.
pub(crate) fn remove_covered(disk: &dyn Disk, dir: &Path, last: u64) -> io::Result<()> {
    let names = disk.list(dir)?;
    let mut segments: Vec<u64> = names.iter().filter_map(|name| segment_index(name)).collect();
    segments.sort_unstable();
    for index in segments.into_iter().filter(|index| *index <= last) {
        disk.remove_file(&segment_path(dir, index))?;
    }
    for name in &names {
        let index = name.strip_prefix(CHECKPOINT_PREFIX).and_then(segment_index);
        if index.is_some_and(|index| index < last) {
            disk.remove_dir_all(&dir.join(name))?;
        }
    }
    disk.sync_dir(dir)
}

/// Removes checkpoints that were not finished.
pub(super) fn remove_unfinished(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    for name in disk.list(dir)? {
        if name.starts_with(CHECKPOINT_PREFIX) && name.ends_with(TEMPORARY_SUFFIX) {
            disk.remove_dir_all(&dir.join(name))?;
        }
    }
    Ok(())
}

fn write_into(disk: &dyn Disk, plan: &CheckpointPlan<'_>, dir: &Path) -> io::Result<()> {
    let log = list_log(disk, plan.dir)?;
    let is_covered = |file: &&SegmentFile| file.is_checkpoint || file.index <= plan.last;
    let mut out = SegmentsWriter::new(disk, dir, plan.compression, plan.segment_size_bytes);
    let mut gatherer = SampleGatherer::default();
    for file in log.files.iter().filter(is_covered) {
        copy_needed(disk, plan, file, &mut gatherer, &mut out)?;
    }
    gatherer.finish(|record| out.push(record))?;
    out.finish()
}

/// Copies what is needed of one file.
fn copy_needed(
    disk: &dyn Disk,
    plan: &CheckpointPlan<'_>,
    file: &SegmentFile,
    gatherer: &mut SampleGatherer,
    out: &mut SegmentsWriter<'_>,
) -> io::Result<()> {
    let damaged = |offset: u64, reason: String| {
        let reason = format!("{} at {offset}: {reason}", file.path.display());
        io::Error::new(io::ErrorKind::InvalidData, reason)
    };
    let mut reader = SegmentReader::new(disk.read(&file.path)?);
    let (mut stored, mut plain) = (Vec::new(), Vec::new());
    loop {
        stored.clear();
        match reader.next(&mut stored)? {
            Some(Item::Record { compression, offset, .. }) => {
                decompress(compression, &stored, &mut plain)
                    .map_err(|err| damaged(offset, err.to_string()))?;
                let kept = plan.keep.needed(&plain, |one| {
                    let push = |record: &[u8]| out.push(record);
                    match one {
                        Kept::Record(record) => gatherer.pass_record(record, push),
                        Kept::Samples(samples) => {
                            gatherer.add(samples, plan.keep.is_ref_current, push)
                        }
                    }
                });
                kept.map_err(|err| damaged(offset, err.to_string()))??;
            }
            Some(Item::Damage { offset, reason }) => return Err(damaged(offset, reason)),
            None => return Ok(()),
        }
    }
}

/// Writes the segments of a checkpoint, or of a chunk snapshot.
pub(crate) struct SegmentsWriter<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    segment_size_bytes: u64,
    compression: Compression,
    compressor: Compressor,
    record: Vec<u8>,
    next_index: u64,
    file: Option<Box<dyn AppendFile>>,
    /// Size of the segment so far, and the part of it that is not written yet.
    size_bytes: u64,
    frames: Vec<u8>,
}

impl<'a> SegmentsWriter<'a> {
    pub(crate) fn new(
        disk: &'a dyn Disk,
        dir: &'a Path,
        compression: Compression,
        segment_size_bytes: u64,
    ) -> Self {
        Self {
            disk,
            dir,
            segment_size_bytes,
            compression,
            compressor: Compressor::default(),
            record: Vec::new(),
            next_index: 0,
            file: None,
            size_bytes: 0,
            frames: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, record: &[u8]) -> io::Result<()> {
        self.record.clear();
        self.record.extend_from_slice(record);
        let (compression, _) = self.compressor.compress(self.compression, &mut self.record);
        let size_bytes =
            framed_size_bytes_max(&[EncodedRecord { compression, payload: &self.record }]);
        if self.size_bytes > 0 && self.size_bytes + size_bytes > self.segment_size_bytes {
            self.end_segment()?;
        }
        let before = self.frames.len();
        let mut page_offset = (self.size_bytes % PAGE_SIZE_BYTES as u64) as usize;
        push_record(&mut self.frames, &mut page_offset, compression, &self.record);
        self.size_bytes += (self.frames.len() - before) as u64;
        if self.frames.len() >= WRITE_SIZE_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let path = segment_path(self.dir, self.next_index);
                self.next_index += 1;
                self.file.insert(self.disk.append(&path)?)
            }
        };
        write_all(&mut **file, &self.frames)?;
        self.frames.clear();
        Ok(())
    }

    fn end_segment(&mut self) -> io::Result<()> {
        self.flush()?;
        self.size_bytes = 0;
        self.file.take().map_or(Ok(()), |mut file| file.sync())
    }

    /// There is one segment at least, empty if nothing is needed.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.end_segment()
    }
}
