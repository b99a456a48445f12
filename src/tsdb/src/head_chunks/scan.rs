//! Looks through the files at a start: which chunks there are, and where a file is damaged. A torn tail is cut
//! off; from a damaged place on nothing is used, the log has it. Where the log is shortened early it need not, and
//! all good chunks are used. A file that ends early with a whole chunk looks whole here, and one that is missing is
//! not missed: the replay finds on the log what they held.
//! Damaged files are kept under `quarantine/`.

use std::{io, path::Path};

use crate::{
    disk::{Disk, FileBytes},
    head::SidecarHeader,
    wal::quarantine,
};

use super::{
    files::{ChunkFiles, HEADER_SIZE_BYTES, MAGIC, VERSION},
    record::{HeadChunkError, read_head_chunk},
    salvage::{SALVAGE_SUFFIX, good_ranges, salvage},
    writer::ChunkPlace,
};

/// A chunk that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScannedChunk {
    pub(crate) series_ref: u64,
    pub(crate) min_t: i64,
    pub(crate) max_t: i64,
    pub(crate) samples_count: u16,
    pub(crate) encoding: u8,
    pub(crate) is_out_of_order: bool,
    pub(crate) place: ChunkPlace,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// The highest number of the files that are left; Prometheus refuses gaps between numbers.
    pub(crate) last_number: Option<u32>,
    /// Damaged files.
    pub(crate) damaged_count: usize,
}

/// Why a file is not used to its end.
struct Damage {
    /// End of the last good chunk.
    good_end: usize,
    reason: String,
    is_torn_tail: bool,
}

/// Shows all chunks, in the order in which they were written, and maps the files. Damaged files are repaired.
/// `is_log_short` says that the log need not have what they held.
///
/// # Errors
/// The directory cannot be read or made.
pub(crate) fn scan(
    files: &ChunkFiles,
    data_dir: &Path,
    is_log_short: bool,
    mut each: impl FnMut(ScannedChunk),
) -> io::Result<Scanned> {
    let disk: &dyn Disk = &**files.disk();
    disk.create_dir_all(files.dir())?;
    for name in disk.list(files.dir())?.iter().filter(|name| name.ends_with(SALVAGE_SUFFIX)) {
        disk.remove_file(&files.dir().join(name))?;
    }
    let numbers = numbers(files)?;
    let mut scanned = Scanned::default();
    for (at, number) in numbers.iter().enumerate() {
        let path = files.path(*number);
        let bytes = disk.map(&path)?;
        let behind = &numbers[at + 1..];
        let Some(damage) = scan_file(&bytes, *number, 0, behind.is_empty(), &mut each) else {
            files.keep(*number, bytes);
            continue;
        };
        if is_log_short && (!damage.is_torn_tail || has_good_behind(&bytes, &damage)) {
            scanned.damaged_count += 1;
            drop(bytes);
            if let Some(bytes) = repair(disk, data_dir, &path, &damage, true) {
                scan_file(&bytes, *number, damage.good_end, false, &mut each);
                files.keep(*number, bytes);
            }
            continue;
        }
        if damage.is_torn_tail {
            drop(bytes);
            if let Some(bytes) = repair(disk, data_dir, &path, &damage, false) {
                files.keep(*number, bytes);
            }
            continue;
        }
        scanned.damaged_count += 1;
        // Those behind go first: a start that is cut short must find the damage again before it finds them.
        let are_away = behind.iter().rev().all(|number| {
            let path = files.path(*number);
            put_away(disk, data_dir, &path)
        });
        if !are_away || disk.sync_dir(files.dir()).is_err() {
            files.keep(*number, bytes);
            break;
        }
        drop(bytes);
        if let Some(bytes) = repair(disk, data_dir, &path, &damage, false) {
            files.keep(*number, bytes);
        }
        break;
    }
    scanned.last_number = self::numbers(files)?.last().copied();
    Ok(scanned)
}

/// Whether the files that a sidecar needs are there and large enough; `take_trusted` takes them. What they hold
/// is not looked at: each chunk is checked when it is read, and mended from the log if it must be.
pub(crate) fn trusted_files(files: &ChunkFiles, header: &SidecarHeader) -> io::Result<bool> {
    files.disk().create_dir_all(files.dir())?;
    if header.file_last == 0 {
        return Ok(true);
    }
    let numbers = numbers(files)?;
    let is_there = |number: u32| numbers.binary_search(&number).is_ok();
    if !(header.file_first..=header.file_last).all(is_there) {
        return Ok(false);
    }
    let last = files.path(header.file_last);
    Ok(files.disk().size_bytes(&last)? >= header.file_last_size_bytes)
}

/// Maps the files that a sidecar needs without a look into them, and removes what was written behind.
pub(crate) fn take_trusted(files: &ChunkFiles, header: &SidecarHeader) -> io::Result<()> {
    let disk: &dyn Disk = &**files.disk();
    for number in numbers(files)?.into_iter().rev().filter(|number| *number > header.file_last) {
        disk.remove_file(&files.path(number))?;
    }
    if header.file_last == 0 {
        return Ok(());
    }
    let last = files.path(header.file_last);
    if disk.size_bytes(&last)? > header.file_last_size_bytes {
        disk.append(&last)?.truncate(header.file_last_size_bytes)?;
    }
    for number in header.file_first..=header.file_last {
        files.map(number)?;
    }
    Ok(())
}

fn numbers(files: &ChunkFiles) -> io::Result<Vec<u32>> {
    let names = files.disk().list(files.dir())?;
    let is_number = |name: &&String| name.bytes().all(|byte| byte.is_ascii_digit());
    let mut numbers: Vec<u32> =
        names.iter().filter(is_number).filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Shows the chunks of a file from an offset on.
fn scan_file(
    bytes: &[u8],
    number: u32,
    begin: usize,
    is_last: bool,
    each: &mut impl FnMut(ScannedChunk),
) -> Option<Damage> {
    let header = bytes.first_chunk::<HEADER_SIZE_BYTES>();
    if header.is_none_or(|header| header[..4] != MAGIC.to_be_bytes() || header[4] != VERSION) {
        let is_unwritten = bytes.len() < HEADER_SIZE_BYTES || bytes.iter().all(|byte| *byte == 0);
        return Some(Damage {
            good_end: 0,
            reason: "not a file of head chunks".to_owned(),
            is_torn_tail: is_last && is_unwritten,
        });
    }
    let mut offset = begin.max(HEADER_SIZE_BYTES);
    while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
        match read_head_chunk(rest) {
            Ok((chunk, size)) => {
                let count = chunk.data.first_chunk().map_or(0, |count| u16::from_be_bytes(*count));
                each(ScannedChunk {
                    series_ref: chunk.series_ref,
                    min_t: chunk.min_t,
                    max_t: chunk.max_t,
                    samples_count: count,
                    encoding: chunk.encoding,
                    is_out_of_order: chunk.is_out_of_order,
                    place: ChunkPlace { file: number, offset: offset as u32 },
                });
                offset += size;
            }
            // Prometheus makes files larger before it writes.
            Err(_) if rest.iter().all(|byte| *byte == 0) => return None,
            Err(err) => {
                return Some(Damage {
                    good_end: offset,
                    reason: err.to_string(),
                    is_torn_tail: is_last && err == HeadChunkError::Short,
                });
            }
        }
    }
    None
}

fn has_good_behind(bytes: &[u8], damage: &Damage) -> bool {
    good_ranges(bytes).last().is_some_and(|range| range.end > damage.good_end)
}

/// Leaves the good chunks of a file in its place, all of them or those before the damage; gives their bytes.
fn repair(
    disk: &dyn Disk,
    data_dir: &Path,
    path: &Path,
    damage: &Damage,
    is_all_kept: bool,
) -> Option<FileBytes> {
    let repaired = match (damage.is_torn_tail, damage.good_end) {
        _ if is_all_kept => salvage(disk, data_dir, path, good_ranges),
        (true, 0) => disk.remove_file(path),
        (true, end) => cut(disk, path, end),
        (false, 0) => quarantine(disk, data_dir, path).and_then(|_| disk.remove_file(path)),
        (false, end) => salvage(disk, data_dir, path, |_| {
            std::iter::once(HEADER_SIZE_BYTES..end.max(HEADER_SIZE_BYTES)).collect()
        }),
    };
    if is_all_kept {
        tracing::error!(
            file = %path.display(), offset = damage.good_end, reason = %damage.reason,
            "A file of head chunks is damaged; it is kept in quarantine, and what the shortened WAL has not is lost"
        );
    } else if damage.is_torn_tail {
        tracing::warn!(
            file = %path.display(), offset = damage.good_end, reason = %damage.reason,
            "Cut off a head chunk that had not been written whole"
        );
    } else {
        tracing::error!(
            file = %path.display(), offset = damage.good_end, reason = %damage.reason,
            "A file of head chunks is damaged; it is kept in quarantine, its samples are taken from the WAL"
        );
    }
    match repaired.and_then(|()| match damage.good_end {
        0 if !is_all_kept => Ok(None),
        _ => disk.map(path).map(Some),
    }) {
        Ok(bytes) => bytes,
        Err(err) => {
            tracing::error!(file = %path.display(), err = %err, "Repairing a file of head chunks failed");
            None
        }
    }
}

fn cut(disk: &dyn Disk, path: &Path, end: usize) -> io::Result<()> {
    let mut file = disk.append(path)?;
    file.truncate(end as u64)?;
    file.sync()
}

/// Moves a file that is good but not used into the quarantine. Says whether it is gone.
fn put_away(disk: &dyn Disk, data_dir: &Path, path: &Path) -> bool {
    let moved = quarantine(disk, data_dir, path).and_then(|kept| {
        disk.remove_file(path)?;
        Ok(kept)
    });
    match &moved {
        Ok(kept) => {
            tracing::warn!(file = %path.display(), kept = %kept.display(), "Head chunks behind a damaged file are taken from the WAL");
        }
        Err(err) => {
            tracing::error!(file = %path.display(), err = %err, "Moving a file of head chunks into quarantine failed");
        }
    }
    moved.is_ok()
}
