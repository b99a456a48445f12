//! The file with the head's sidecar: written at a clean stop and every few minutes, taken at a start if the
//! log and the head chunks are still those it was made of. If not, or if anything about it is doubtful, the
//! start does without it, and the log is replayed.

use std::{
    io,
    path::{Path, PathBuf},
};

use hashbrown::HashSet;
use prom_statefile::{Kind, StateFileError, StateReader, StateWriter};
use prom_storage::StorageError;

use crate::{
    disk::Disk,
    head::{Head, SidecarHeader, SidecarLoad},
    head_chunks::{ChunkFiles, trusted_files},
    wal::{Decoded, LogFiles, LogReader},
};

use super::out_of_order::has_log;

const FILE_NAME: &str = "head_state";
const KIND: Kind = Kind { magic: *b"PROMHEAD", version: 2, payload_size_bytes_max: 256 << 30 };

/// A sidecar that can be taken.
pub(super) struct GoodSidecar {
    path: PathBuf,
    pub(super) header: SidecarHeader,
}

/// Where the sidecar of a data directory is kept; nowhere on disks of tests.
pub(super) fn path_in(disk: &dyn Disk, dir: &Path) -> Option<PathBuf> {
    disk.state_file(&dir.join(FILE_NAME))
}

/// Replaces the sidecar by one of the head as it is. Says whether there is one.
///
/// # Errors
/// The disk refused; the old one stays, and is as good as it was.
pub(super) fn write(head: &Head, path: &Path) -> Result<bool, StorageError> {
    let io_error = |err: StateFileError| StorageError::Io {
        path: path.to_owned(),
        action: "write the head's sidecar",
        source: io::Error::other(err.to_string()),
    };
    let mut writer = StateWriter::create(path, KIND).map_err(io_error)?;
    let is_whole = head.write_sidecar(&mut |item| writer.bytes(item).map_err(io_error))?;
    if is_whole {
        writer.finish().map_err(io_error)?;
    }
    Ok(is_whole)
}

/// Looks whether there is a sidecar that fits; nothing is changed.
pub(super) fn examine(
    disk: &dyn Disk,
    dir: &Path,
    log: &LogFiles,
    files: &ChunkFiles,
    chunk_range_ms: i64,
) -> Option<GoodSidecar> {
    let path = path_in(disk, dir)?;
    match try_examine(disk, dir, &path, log, files, chunk_range_ms) {
        Ok(Ok(header)) => Some(GoodSidecar { path, header }),
        Ok(Err("there is none")) => None,
        Ok(Err(reason)) => {
            tracing::info!(file = %path.display(), reason, "The head's sidecar does not fit; the WAL is replayed");
            None
        }
        Err(err) => {
            tracing::warn!(file = %path.display(), err = %err, "The head's sidecar cannot be used; the WAL is replayed");
            None
        }
    }
}

impl GoodSidecar {
    /// Takes it into an empty head.
    ///
    /// # Errors
    /// It has changed since it was examined; it is removed then.
    pub(super) fn take(&self, head: &Head) -> Result<(), StateFileError> {
        let taken = read(&self.path, Some(head), |_, _| {}).map(|_| ());
        if taken.is_err()
            && let Err(err) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(file = %self.path.display(), err = %err, "Removing a sidecar failed");
        }
        taken
    }
}

type Examined = Result<SidecarHeader, &'static str>;

fn try_examine(
    disk: &dyn Disk,
    dir: &Path,
    path: &Path,
    log: &LogFiles,
    files: &ChunkFiles,
    chunk_range_ms: i64,
) -> Result<Examined, StateFileError> {
    let Some(header) = read_header(path)? else { return Ok(Err("there is none")) };
    let is_there = log.files.iter().any(|file| {
        !file.is_checkpoint && file.index == header.segment && file.size_bytes >= header.offset
    });
    if !is_there || log.has_gap {
        return Ok(Err("the log is another one"));
    }
    if header.chunk_range_ms != chunk_range_ms {
        return Ok(Err("chunks have another range"));
    }
    if has_log(disk, dir) {
        return Ok(Err("there are out-of-order samples"));
    }
    if !trusted_files(files, &header).is_ok_and(|is_there| is_there) {
        return Ok(Err("files of head chunks are others"));
    }
    let mut refs = HashSet::new();
    let Some(header) = read(path, None, |series_ref, _| {
        refs.insert(series_ref);
    })?
    else {
        return Ok(Err("there is none"));
    };
    match is_tail_known(disk, log, &header, &mut refs) {
        true => Ok(Ok(header)),
        false => Ok(Err("the end of the log speaks of what it does not know")),
    }
}

/// Whether the log behind the sidecar mentions its series only, or such as it tells itself; somebody else may
/// have written it.
fn is_tail_known(
    disk: &dyn Disk,
    log: &LogFiles,
    header: &SidecarHeader,
    refs: &mut HashSet<u64>,
) -> bool {
    let mut reader = LogReader::new(disk, log);
    reader.skip_to(header.segment, header.offset);
    while let Ok(next) = reader.next_decoded() {
        let Some((_, records)) = next else { return true };
        let mut batches = Vec::new();
        for record in records {
            match record {
                Decoded::Series(series) => refs.extend(series.iter().map(|one| one.series_ref)),
                Decoded::Samples(samples) => {
                    if samples.iter().any(|sample| !refs.contains(&sample.series_ref)) {
                        return false;
                    }
                    batches.push(samples);
                }
                _ => return false,
            }
        }
        reader.recycle(batches);
    }
    false
}

fn read_header(path: &Path) -> Result<Option<SidecarHeader>, StateFileError> {
    let Some(mut reader) = StateReader::open(path, KIND)? else { return Ok(None) };
    let bytes = reader.bytes()?;
    SidecarHeader::decode(&bytes).map(Some).map_err(|_| damaged(path))
}

/// Reads all of it, into a head or only to see that it is whole.
fn read(
    path: &Path,
    head: Option<&Head>,
    mut each_ref: impl FnMut(u64, u32),
) -> Result<Option<SidecarHeader>, StateFileError> {
    let Some(mut reader) = StateReader::open(path, KIND)? else { return Ok(None) };
    let header = SidecarHeader::decode(&reader.bytes()?).map_err(|_| damaged(path))?;
    let mut load = SidecarLoad::new(header.clone(), head);
    for _ in 0..load.items_count() {
        load.item(reader.bytes()?, &mut each_ref).map_err(|_| damaged(path))?;
    }
    reader.finish()?;
    load.finish().map_err(|_| damaged(path))?;
    Ok(Some(header))
}

fn damaged(path: &Path) -> StateFileError {
    StateFileError::Damaged { path: path.to_owned(), what: "not what was written".to_owned() }
}
