//! Which files a log consists of: segments, and the checkpoint that stands for those before them.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::disk::Disk;

/// Bytes before a place that tell one log from another.
const FINGERPRINT_SIZE_BYTES: u64 = 512;
pub(super) const CHECKPOINT_PREFIX: &str = "checkpoint.";

/// A file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentFile {
    pub(crate) path: PathBuf,
    pub(crate) index: u64,
    pub(crate) size_bytes: u64,
    /// Of a checkpoint, not of the log itself.
    pub(crate) is_checkpoint: bool,
}

/// The files to replay, in order: the newest checkpoint's, then the segments behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogFiles {
    pub(crate) files: Vec<SegmentFile>,
    /// The lowest segment there is, in the checkpoint's place or not.
    pub(crate) segment_first: Option<u64>,
    /// Number of the segment up to which the checkpoint stands.
    pub(crate) checkpoint_index: Option<u64>,
    /// The highest segment there is, in the checkpoint's place or not.
    pub(crate) segment_last: Option<u64>,
    /// A number is missing between two segments.
    pub(crate) has_gap: bool,
}

impl LogFiles {
    pub(crate) fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }

    /// Number and size of the segment that would be continued; one that a checkpoint stands for has no
    /// size worth knowing.
    pub(crate) fn last_segment(&self) -> Option<(u64, u64)> {
        let last = self.segment_last.max(self.checkpoint_index)?;
        let file = self.files.iter().rev().find(|file| !file.is_checkpoint && file.index == last);
        Some((last, file.map_or(u64::MAX, |file| file.size_bytes)))
    }
}

pub(super) fn segment_path(dir: &Path, index: u64) -> PathBuf {
    dir.join(format!("{index:08}"))
}

/// A checksum of what the log has right before a place: who finds another one there has another log.
///
/// # Errors
/// There is no such place.
pub(crate) fn fingerprint(
    disk: &dyn Disk,
    dir: &Path,
    (segment, offset): (u64, u64),
) -> io::Result<u32> {
    let mut file = disk.read(&segment_path(dir, segment))?;
    let mut bytes = vec![0; offset.min(FINGERPRINT_SIZE_BYTES) as usize];
    file.skip(offset - bytes.len() as u64)?;
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => filled += count,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    Ok(crc32c::crc32c(&bytes))
}

/// Looks at a log directory. Files that are neither segments nor checkpoints are not ours.
pub(crate) fn list_log(disk: &dyn Disk, dir: &Path) -> io::Result<LogFiles> {
    let names = disk.list(dir)?;
    let mut checkpoints: Vec<(u64, &String)> = names
        .iter()
        .filter_map(|name| Some((segment_index(name.strip_prefix(CHECKPOINT_PREFIX)?)?, name)))
        .collect();
    checkpoints.sort_unstable();
    let mut log = LogFiles::default();
    while let Some((index, name)) = checkpoints.pop() {
        match segments(disk, &dir.join(name), true) {
            Ok(files) => {
                (log.files, log.checkpoint_index) = (files, Some(index));
                break;
            }
            Err(err) if err.kind() == io::ErrorKind::NotADirectory => {
                tracing::warn!(file = %name, "Ignoring a checkpoint that is not a directory");
            }
            Err(err) => return Err(err),
        }
    }
    let all = segments(disk, dir, false)?;
    log.segment_first = all.first().map(|file| file.index);
    log.segment_last = all.last().map(|file| file.index);
    let behind = |file: &SegmentFile| log.checkpoint_index.is_none_or(|index| file.index > index);
    let live: Vec<SegmentFile> = all.into_iter().filter(behind).collect();
    let is_behind_gap = match (log.checkpoint_index, live.first()) {
        (Some(checkpoint), Some(first)) => first.index > checkpoint + 1,
        _ => false,
    };
    log.has_gap = is_behind_gap || live.windows(2).any(|two| two[1].index != two[0].index + 1);
    log.files.extend(live);
    Ok(log)
}

/// The segments of a chunk snapshot. One that lacks any has a gap.
///
/// # Errors
/// The directory cannot be read.
pub(crate) fn list_segments(disk: &dyn Disk, dir: &Path) -> io::Result<LogFiles> {
    let files = segments(disk, dir, true)?;
    let has_gap = files.is_empty() || (0..).zip(&files).any(|(number, file)| file.index != number);
    Ok(LogFiles { files, has_gap, ..LogFiles::default() })
}

fn segments(disk: &dyn Disk, dir: &Path, is_checkpoint: bool) -> io::Result<Vec<SegmentFile>> {
    let mut files = Vec::new();
    for name in disk.list(dir)? {
        if let Some(index) = segment_index(&name) {
            let path = dir.join(name);
            let size_bytes = disk.size_bytes(&path)?;
            files.push(SegmentFile { path, index, size_bytes, is_checkpoint });
        }
    }
    files.sort_unstable_by_key(|file| file.index);
    Ok(files)
}

pub(super) fn segment_index(name: &str) -> Option<u64> {
    name.bytes().all(|byte| byte.is_ascii_digit()).then(|| name.parse().ok())?
}
