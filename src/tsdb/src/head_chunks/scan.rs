//! Looks through the files at a start: which chunks there are, and where a file is damaged. A torn tail is cut
//! off; of a damaged file all good chunks are used. A file that ends early with a whole chunk looks whole here, and
//! one that is missing is not missed. Whatever is not found the replay finds on the log, if that has it.
//! Damaged files are kept under `quarantine/`.

use std::{io, path::Path};

use crate::{disk::Disk, head::SidecarHeader};

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
    /// Those that are not.
    pub(crate) ends: Vec<FileEnd>,
}

/// How far a file is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileEnd {
    pub(crate) number: u32,
    /// Where its last chunk ends.
    pub(crate) size_bytes: u64,
}

/// Why a file is not used to its end.
struct Damage {
    reason: String,
    is_torn_tail: bool,
}

/// Shows all chunks, in the order in which they were written, and maps the files. Damaged files are repaired.
///
/// # Errors
/// The directory cannot be read or made.
pub(crate) fn scan(
    files: &ChunkFiles,
    data_dir: &Path,
    mut each: impl FnMut(ScannedChunk),
) -> io::Result<Scanned> {
    let disk: &dyn Disk = &**files.disk();
    disk.create_dir_all(files.dir())?;
    for name in disk.list(files.dir())?.iter().filter(|name| name.ends_with(SALVAGE_SUFFIX)) {
        disk.remove_file(&files.dir().join(name))?;
    }
    let numbers = numbers(files)?;
    let mut scanned = Scanned::default();
    for number in &numbers {
        let (number, is_last) = (*number, numbers.last() == Some(number));
        let path = files.path(number);
        let bytes = disk.map(&path)?;
        let (end, damage) = scan_file(&bytes, number, 0, is_last, &mut each);
        let Some(damage) = damage else {
            scanned.ends.push(FileEnd { number, size_bytes: end as u64 });
            files.keep(number, bytes);
            continue;
        };
        if damage.is_torn_tail && !has_good_behind(&bytes, end) {
            drop(bytes);
            cut_tail(disk, &path, end, &damage);
            if end > 0 {
                scanned.ends.push(FileEnd { number, size_bytes: end as u64 });
                files.map(number)?;
            }
            continue;
        }
        scanned.damaged_count += 1;
        drop(bytes);
        let is_repaired = repair(disk, data_dir, &path, end, &damage);
        let bytes = disk.map(&path)?;
        if is_repaired {
            scan_file(&bytes, number, end, false, &mut each);
        }
        files.keep(number, bytes);
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

/// Shows the chunks of a file from an offset on. Gives the end of the last one, and what is wrong behind it.
fn scan_file(
    bytes: &[u8],
    number: u32,
    begin: usize,
    is_last: bool,
    each: &mut impl FnMut(ScannedChunk),
) -> (usize, Option<Damage>) {
    let header = bytes.first_chunk::<HEADER_SIZE_BYTES>();
    if header.is_none_or(|header| header[..4] != MAGIC.to_be_bytes() || header[4] != VERSION) {
        let is_unwritten = bytes.len() < HEADER_SIZE_BYTES || bytes.iter().all(|byte| *byte == 0);
        let reason = "not a file of head chunks".to_owned();
        return (0, Some(Damage { reason, is_torn_tail: is_last && is_unwritten }));
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
            Err(_) if rest.iter().all(|byte| *byte == 0) => break,
            Err(err) => {
                let is_torn_tail = is_last && err == HeadChunkError::Short;
                return (offset, Some(Damage { reason: err.to_string(), is_torn_tail }));
            }
        }
    }
    (offset, None)
}

fn has_good_behind(bytes: &[u8], end: usize) -> bool {
    good_ranges(bytes).last().is_some_and(|range| range.end > end)
}

/// Takes away what was not written whole: the end of a file, or all of it.
fn cut_tail(disk: &dyn Disk, path: &Path, end: usize, damage: &Damage) {
    let cut = match end {
        0 => disk.remove_file(path),
        end => cut(disk, path, end),
    };
    tracing::warn!(
        file = %path.display(), offset = end, reason = %damage.reason,
        "Cut off a head chunk that had not been written whole"
    );
    tell_failure(path, cut);
}

/// Leaves the good chunks of a file in its place. Says whether it has.
fn repair(disk: &dyn Disk, data_dir: &Path, path: &Path, end: usize, damage: &Damage) -> bool {
    let repaired = salvage(disk, data_dir, path);
    tracing::error!(
        file = %path.display(), offset = end, reason = %damage.reason,
        "A file of head chunks is damaged; it is kept in quarantine, what is lost is taken from the WAL"
    );
    tell_failure(path, repaired)
}

fn tell_failure(path: &Path, repaired: io::Result<()>) -> bool {
    if let Err(err) = &repaired {
        tracing::error!(file = %path.display(), err = %err, "Repairing a file of head chunks failed");
    }
    repaired.is_ok()
}

fn cut(disk: &dyn Disk, path: &Path, end: usize) -> io::Result<()> {
    let mut file = disk.append(path)?;
    file.truncate(end as u64)?;
    file.sync()
}
