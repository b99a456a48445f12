//! Makes a log whole again: a torn tail is cut off, a damaged file is kept under `quarantine/` and replaced
//! by its good records. Nothing that might be data is deleted.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::disk::{AppendFile, Disk, write_all};

use super::{
    checkpoint::remove_unfinished,
    frame::push_record,
    reader::{Item, SegmentReader},
    replay::FileReport,
};

const QUARANTINE_DIR: &str = "quarantine";
pub(super) const SALVAGE_SUFFIX: &str = ".salvage";
/// Tries to find a free name in the quarantine.
const NAMES_COUNT_MAX: usize = 10_000;
/// Bytes collected before they are written.
const WRITE_SIZE_BYTES: usize = 1 << 20;

/// What was done about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// A write that had been cut short is gone.
    TornTail { cut_size_bytes: u64 },
    /// Records are lost; the file as it was is kept.
    Quarantined { kept: PathBuf },
    /// The disk cannot read the file, or has no room for a repaired one; it is left alone.
    LeftAlone,
}

/// Repairs a file that has something wrong with it.
///
/// # Errors
/// A torn tail could not be cut off; writing on behind it would put good records at risk.
pub(crate) fn repair(
    disk: &dyn Disk,
    data_dir: &Path,
    report: &FileReport,
) -> io::Result<Option<Damage>> {
    let path = &report.file.path;
    let Some((first_offset, reason)) = report.damages.first() else { return Ok(None) };
    if report.is_unreadable {
        tracing::error!(segment = %path.display(), reason = %reason, "A log segment cannot be read");
        return Ok(Some(Damage::LeftAlone));
    }
    let is_torn_tail = report.is_last
        && report.is_damaged_to_the_end
        && *first_offset >= report.good_end
        && report.bad_records.is_empty();
    if is_torn_tail {
        let cut_size_bytes = disk.size_bytes(path)? - report.good_end;
        let mut file = disk.append(path)?;
        file.truncate(report.good_end)?;
        file.sync()?;
        tracing::warn!(
            segment = %path.display(), offset = report.good_end, size_bytes = cut_size_bytes, reason = %reason,
            "Cut off a write that had not ended"
        );
        return Ok(Some(Damage::TornTail { cut_size_bytes }));
    }
    let kept = match salvage(disk, data_dir, report) {
        Ok(kept) => kept,
        Err(err) => {
            tracing::error!(
                segment = %path.display(), offset = first_offset, reason = %reason, err = %err,
                "A log segment is damaged and could not be repaired; its good records are used, but Prometheus would drop what follows"
            );
            return Ok(Some(Damage::LeftAlone));
        }
    };
    tracing::error!(
        segment = %path.display(), offset = first_offset, places = report.damages.len(), reason = %reason,
        kept = %kept.display(), "A log segment is damaged; its good records are used, the file is kept"
    );
    Ok(Some(Damage::Quarantined { kept }))
}

/// Removes what an interrupted repair or checkpoint left.
pub(crate) fn remove_leftovers(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    remove_unfinished(disk, dir)?;
    for name in disk.list(dir)? {
        if name.ends_with(SALVAGE_SUFFIX) {
            disk.remove_file(&dir.join(name))?;
        }
    }
    Ok(())
}

fn salvage(disk: &dyn Disk, data_dir: &Path, report: &FileReport) -> io::Result<PathBuf> {
    let path = &report.file.path;
    let dir = path.parent().unwrap_or(data_dir);
    let mut salvaged = path.clone().into_os_string();
    salvaged.push(SALVAGE_SUFFIX);
    let salvaged = PathBuf::from(salvaged);
    let mut file = disk.append(&salvaged)?;
    file.truncate(0)?;
    let written = copy_good_records(disk, report, &mut *file).and_then(|()| file.sync());
    if let Err(err) = written {
        disk.remove_file(&salvaged)?;
        return Err(err);
    }
    let kept = quarantine(disk, data_dir, path)?;
    disk.rename(&salvaged, path)?;
    disk.sync_dir(dir)?;
    Ok(kept)
}

fn copy_good_records(
    disk: &dyn Disk,
    report: &FileReport,
    file: &mut dyn AppendFile,
) -> io::Result<()> {
    let mut reader = SegmentReader::new(disk.read(&report.file.path)?);
    let (mut record, mut frames, mut page_offset) = (Vec::new(), Vec::new(), 0);
    loop {
        record.clear();
        match reader.next(&mut record)? {
            Some(Item::Record { compression, offset, .. }) => {
                if !report.bad_records.contains(&offset) {
                    push_record(&mut frames, &mut page_offset, compression, &record);
                }
            }
            Some(Item::Damage { .. }) => {}
            None => return write_all(file, &frames),
        }
        if frames.len() >= WRITE_SIZE_BYTES {
            write_all(file, &frames)?;
            frames.clear();
        }
    }
}

/// Gives the file a second name in the quarantine.
pub(crate) fn quarantine(disk: &dyn Disk, data_dir: &Path, path: &Path) -> io::Result<PathBuf> {
    let dir = data_dir.join(QUARANTINE_DIR);
    disk.create_dir_all(&dir)?;
    let relative = path.strip_prefix(data_dir).unwrap_or(path);
    let name = relative.to_string_lossy().replace('/', "-");
    for number in 0..NAMES_COUNT_MAX {
        let kept = dir.join(format!("{name}.{number}"));
        match disk.hard_link(path, &kept) {
            Ok(()) => {
                disk.sync_dir(&dir)?;
                return Ok(kept);
            }
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
            Err(err) => return Err(err),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}
