//! Chunk snapshots: the open chunks of a head that was stopped, in Prometheus's own layout, so that either
//! program starts from what the other left. Format: docs/format/chunk_snapshot.md.
//!
//! The log has all that is in a snapshot. One is taken at a start only if it is whole, stands at a place that the
//! log still has, and the files of head chunks are those beside which it was written; Prometheus does not tell
//! these. It goes once the head is filled: what is written from then on is not in it.

mod filed;

use std::{
    io,
    path::{Path, PathBuf},
};

use prom_telemetry::clock;

use crate::{
    WalCompression,
    disk::Disk,
    head::{DictionaryFull, Head, HeadReplay, SnapshotPart},
    head_chunks::FileEnd,
    wal::{LogFiles, LogReader, SegmentsWriter, decode_of_series, list_log, list_segments},
};

use super::open::WAL_DIR;

const PREFIX: &str = "chunk_snapshot.";
const TEMPORARY_SUFFIX: &str = ".tmp";
const SEGMENT_SIZE_BYTES: u64 = 128 << 20;

/// A snapshot of which every record was read and found right.
#[derive(Debug)]
pub(super) struct ChunkSnapshot {
    files: LogFiles,
    /// Segment and offset of the log up to which it stands.
    pub(super) place: (u64, u64),
}

/// Why the newest snapshot is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// It is not of this log, or not of these head chunks.
    DoesNotFit {
        name: String,
        reason: &'static str,
    },
    Damaged {
        name: String,
        reason: String,
    },
}

/// Why a snapshot that was right could not be replayed.
#[derive(Debug)]
pub(super) enum SnapshotReplayError {
    TooManySeries,
    Io(io::Error),
}

impl From<io::Error> for SnapshotReplayError {
    fn from(err: io::Error) -> Self {
        Self::Io(err)
    }
}

impl From<DictionaryFull> for SnapshotReplayError {
    fn from(_: DictionaryFull) -> Self {
        Self::TooManySeries
    }
}

/// Looks for the newest snapshot and reads it once; nothing is changed. `chunk_files` are those that were found.
pub(super) fn find(
    disk: &dyn Disk,
    dir: &Path,
    log: &LogFiles,
    chunk_files: &[FileEnd],
) -> Result<Option<ChunkSnapshot>, NotTaken> {
    let names = disk.list(dir).unwrap_or_default();
    let places = names.iter().filter_map(|name| Some((place_of(name)?, name)));
    let Some((place, name)) = places.max_by_key(|(place, _)| *place) else { return Ok(None) };
    let (segment, offset) = place;
    let is_there = log
        .files
        .iter()
        .any(|file| !file.is_checkpoint && file.index == segment && file.size_bytes >= offset);
    let misfit = match filed::read(disk, &dir.join(name)) {
        _ if !is_there || log.has_gap => Some("the WAL is another one"),
        None => Some("it does not tell which head chunks it stands beside"),
        Some(files) if files != chunk_files => Some("head chunks are missing"),
        Some(_) => None,
    };
    if let Some(reason) = misfit {
        return Err(NotTaken::DoesNotFit { name: name.clone(), reason });
    }
    let damaged = |reason: String| NotTaken::Damaged { name: name.clone(), reason };
    let files = list_segments(disk, &dir.join(name)).map_err(|err| damaged(err.to_string()))?;
    if files.has_gap {
        return Err(damaged("segments are missing".to_owned()));
    }
    check(disk, &files).map_err(damaged)?;
    Ok(Some(ChunkSnapshot { files, place }))
}

/// Reads all records of a snapshot.
fn check(disk: &dyn Disk, files: &LogFiles) -> Result<(), String> {
    let mut reader = LogReader::new(disk, files);
    let mut is_whole = false;
    loop {
        match reader.next_parsed(SnapshotPart::decode) {
            Ok(Some(parts)) => is_whole |= parts.iter().any(SnapshotPart::is_end_of_series),
            Ok(None) => break,
            Err(err) => return Err(err.to_string()),
        }
    }
    let damage = reader.into_reports().iter().find_map(|report| report.damages().next());
    match damage {
        Some(damage) => Err(damage),
        None if !is_whole => Err("series are missing".to_owned()),
        None => Ok(()),
    }
}

impl ChunkSnapshot {
    /// Fills the head as the log up to the place would: with the snapshot, and with what the log says of series
    /// that the snapshot leaves out (metadata, second refs, series that have gone).
    pub(super) fn replay(
        &self,
        disk: &dyn Disk,
        log: &LogFiles,
        replay: &mut HeadReplay<'_>,
    ) -> Result<(), SnapshotReplayError> {
        let mut reader = LogReader::new(disk, &self.files);
        while let Some(parts) = reader.next_parsed(SnapshotPart::decode)? {
            replay.apply(SnapshotPart::into_log(parts))?;
        }
        let mut reader = LogReader::new(disk, log);
        while let Some(records) = reader.next_parsed(decode_of_series)? {
            replay.apply_behind_snapshot(records.into_iter().flatten().collect())?;
        }
        Ok(())
    }
}

/// Writes a snapshot of a head that is closed, and removes earlier ones.
///
/// # Errors
/// The disk refused; there is no snapshot, and the log is replayed at the next start.
pub(super) fn write(
    disk: &dyn Disk,
    dir: &Path,
    head: &Head,
    compression: WalCompression,
) -> io::Result<()> {
    let begin = clock::monotonic();
    let Some(place) = head.log_end() else { return Ok(()) };
    // Prometheus reads on from whole pages only, and looks for closed chunks in files only.
    if list_log(disk, &dir.join(WAL_DIR))?.last_segment() != Some(place) {
        return Err(io::Error::other("the WAL could not be ended with a whole page"));
    }
    if head.waiting_size_bytes() > 0 {
        return Err(io::Error::other("not all head chunks could be written"));
    }
    let path = dir.join(format!("{PREFIX}{:06}.{:010}", place.0, place.1));
    let temporary = with_suffix(&path);
    disk.remove_dir_all(&temporary)?;
    disk.create_dir_all(&temporary)?;
    let written = write_into(disk, &temporary, head, compression).and_then(|series_count| {
        disk.sync_dir(&temporary)?;
        disk.remove_dir_all(&path)?;
        disk.rename(&temporary, &path)?;
        disk.sync_dir(dir)?;
        Ok(series_count)
    });
    if written.is_err() {
        disk.remove_dir_all(&temporary)?;
    }
    let series_count = written?;
    remove(disk, dir, |of_name| of_name != place);
    let seconds = begin.elapsed().as_secs_f64();
    tracing::info!(dir = %path.display(), num_series = series_count, duration = format!("{seconds:.3}s"), "chunk snapshot complete");
    Ok(())
}

fn write_into(
    disk: &dyn Disk,
    dir: &Path,
    head: &Head,
    compression: WalCompression,
) -> io::Result<usize> {
    let mut out = SegmentsWriter::new(disk, dir, compression, SEGMENT_SIZE_BYTES);
    let series_count = head.snapshot(&mut |record| out.push(record))?;
    out.finish()?;
    filed::write(disk, dir, &head.chunk_file_ends())?;
    Ok(series_count)
}

/// Removes all snapshots: a Prometheus would take one that the log has gone beyond, and show samples again that
/// were deleted since, or have left the head.
pub(super) fn remove_all(disk: &dyn Disk, dir: &Path) {
    remove(disk, dir, |_| true);
}

fn remove(disk: &dyn Disk, dir: &Path, is_unwanted: impl Fn((u64, u64)) -> bool) {
    for name in disk.list(dir).unwrap_or_default() {
        if !place_of(&name).is_some_and(&is_unwanted) {
            continue;
        }
        if let Err(err) = disk.remove_dir_all(&dir.join(&name)) {
            tracing::warn!(dir = %name, err = %err, "Removing a chunk snapshot failed");
        }
    }
}

/// Segment and offset of the log in the name of a snapshot.
fn place_of(name: &str) -> Option<(u64, u64)> {
    let (segment, offset) = name.strip_prefix(PREFIX)?.split_once('.')?;
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse());
    Some((number(segment)?.ok()?, number(offset)?.ok()?))
}

fn with_suffix(path: &Path) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(TEMPORARY_SUFFIX);
    PathBuf::from(name)
}
