//! The file with the head's sidecar: written at a clean stop and every few minutes, taken at a start if the
//! log and the head chunks are still those it was made of. If not, or if anything about it is doubtful, the
//! start does without it, and the log is replayed.

use std::{
    io,
    path::{Path, PathBuf},
};

use prom_statefile::{Kind, StateFileError, StateReader, StateWriter};
use prom_storage::StorageError;

use crate::{
    Options,
    disk::Disk,
    head::{Head, LoadedSidecar, SidecarError, SidecarHeader},
    head_chunks::{ChunkFiles, trusted_files},
    wal::{LogFiles, fingerprint},
};

use super::open::WAL_DIR;

const FILE_NAME: &str = "head_state";
const KIND: Kind = Kind { magic: *b"PROMHEAD", version: 3, payload_size_bytes_max: 256 << 30 };

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

/// Removes a sidecar that is of no use: what is written from now on might make it look as if it fitted.
pub(super) fn remove(disk: &dyn Disk, dir: &Path) {
    let Some(path) = path_in(disk, dir) else { return };
    match std::fs::remove_file(&path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(file = %path.display(), err = %err, "Removing the head's sidecar failed");
        }
        _ => {}
    }
}

/// Reads the sidecar if it is whole and fits; nothing is changed.
pub(super) fn load(
    disk: &dyn Disk,
    dir: &Path,
    log: &LogFiles,
    files: &ChunkFiles,
    options: &Options,
) -> Option<LoadedSidecar> {
    let path = path_in(disk, dir)?;
    match try_load(disk, dir, &path, log, files, options) {
        Ok(sidecar) => Some(sidecar),
        Err(NotUsed::NotThere) => None,
        Err(NotUsed::DoesNotFit(reason)) => {
            tracing::info!(file = %path.display(), reason, "The head's sidecar does not fit; the WAL is replayed");
            None
        }
        Err(NotUsed::Bad(err)) => {
            tracing::warn!(file = %path.display(), err = %err, "The head's sidecar cannot be used; the WAL is replayed");
            None
        }
    }
}

/// Why a start does without a sidecar.
enum NotUsed {
    NotThere,
    DoesNotFit(&'static str),
    Bad(StateFileError),
}

impl From<StateFileError> for NotUsed {
    fn from(err: StateFileError) -> Self {
        Self::Bad(err)
    }
}

impl From<SidecarError> for NotUsed {
    fn from(_: SidecarError) -> Self {
        Self::DoesNotFit("it is not what was written")
    }
}

fn try_load(
    disk: &dyn Disk,
    dir: &Path,
    path: &Path,
    log: &LogFiles,
    files: &ChunkFiles,
    options: &Options,
) -> Result<LoadedSidecar, NotUsed> {
    let mut reader = StateReader::open(path, KIND)?.ok_or(NotUsed::NotThere)?;
    let header = SidecarHeader::decode(&reader.bytes()?)?;
    if let Some(reason) = misfit(disk, dir, &header, log, files, options) {
        return Err(NotUsed::DoesNotFit(reason));
    }
    let sidecar = LoadedSidecar::read(header, || reader.bytes().map_err(NotUsed::from))?;
    reader.finish()?;
    Ok(sidecar)
}

fn misfit(
    disk: &dyn Disk,
    dir: &Path,
    header: &SidecarHeader,
    log: &LogFiles,
    files: &ChunkFiles,
    options: &Options,
) -> Option<&'static str> {
    let is_there = log.files.iter().any(|file| {
        !file.is_checkpoint && file.index == header.segment && file.size_bytes >= header.offset
    });
    if !is_there || log.has_gap {
        return Some("the log is another one");
    }
    let place = (header.segment, header.offset);
    let found = fingerprint(disk, &dir.join(WAL_DIR), place);
    if !found.is_ok_and(|found| found == header.fingerprint) {
        return Some("the log is another one");
    }
    if header.chunk_range_ms != options.min_block_duration_ms.max(1) {
        return Some("chunks have another range");
    }
    if options.exemplars_count_max > 0 && !header.has_exemplars() {
        return Some("exemplars were not kept");
    }
    if options.is_metadata_logged && !header.has_metadata() {
        return Some("metadata was not kept");
    }
    let are_files_there = trusted_files(files, header).is_ok_and(|is_there| is_there);
    (!are_files_there).then_some("files of head chunks are others")
}
