//! The good chunks of a damaged file, and a file that holds only them.

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use crate::{
    disk::{Disk, write_all},
    wal::quarantine,
};

use super::{
    files::{HEADER_SIZE_BYTES, file_header},
    record::{is_plausible_head_chunk, read_head_chunk},
};

pub(super) const SALVAGE_SUFFIX: &str = ".salvage";

/// Where the good chunks of a file are; behind a damaged one the next is looked for byte by byte.
pub(super) fn good_ranges(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut offset = HEADER_SIZE_BYTES;
    while let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) {
        let Ok((_, size)) = read_head_chunk(rest) else {
            let behind = offset + 1..bytes.len();
            match behind.into_iter().find(|at| is_plausible_head_chunk(&bytes[*at..])) {
                Some(next) => offset = next,
                None => break,
            }
            continue;
        };
        match ranges.last_mut() {
            Some(last) if last.end == offset => last.end += size,
            _ => ranges.push(offset..offset + size),
        }
        offset += size;
    }
    ranges
}

/// Puts a file with the good chunks of a damaged one into its place, and that into the quarantine. It may have
/// no chunks: Prometheus refuses gaps between the numbers of files.
///
/// # Errors
/// The disk refused; the damaged file is where it was, or in the quarantine.
pub(super) fn salvage(disk: &dyn Disk, data_dir: &Path, path: &Path) -> io::Result<()> {
    let mut beside = path.to_owned().into_os_string();
    beside.push(SALVAGE_SUFFIX);
    let beside = PathBuf::from(beside);
    let bytes = disk.map(path)?;
    let mut file = disk.append(&beside)?;
    file.truncate(0)?;
    let written = write_all(&mut *file, &file_header()).and_then(|()| {
        good_ranges(&bytes)
            .into_iter()
            .filter_map(|range| bytes.get(range))
            .try_for_each(|part| write_all(&mut *file, part))
    });
    if let Err(err) = written.and_then(|()| file.sync()) {
        disk.remove_file(&beside)?;
        return Err(err);
    }
    quarantine(disk, data_dir, path)?;
    disk.rename(&beside, path)?;
    path.parent().map_or(Ok(()), |dir| disk.sync_dir(dir))
}
