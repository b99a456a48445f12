//! Which files of head chunks a snapshot stands beside, in a file of its own within the snapshot, which
//! Prometheus passes over. A snapshot has open chunks only: if a file has lost something since, or is gone, the
//! log has it, and the snapshot has not. Format: docs/format/chunk_snapshot.md.

use std::{io, path::Path};

use crate::{
    disk::{Disk, write_all},
    head_chunks::FileEnd,
};

const FILE_NAME: &str = "head_chunks";
const MAGIC: [u8; 4] = *b"PHCF";
const VERSION: u8 = 1;
/// Magic, version, three zeros.
const HEADER: [u8; 8] = [MAGIC[0], MAGIC[1], MAGIC[2], MAGIC[3], VERSION, 0, 0, 0];
/// Number and size of a file.
const ENTRY_SIZE_BYTES: usize = 4 + 8;

/// Writes the list into the directory of a snapshot.
pub(super) fn write(disk: &dyn Disk, snapshot: &Path, files: &[FileEnd]) -> io::Result<()> {
    let mut bytes = HEADER.to_vec();
    for FileEnd { number, size_bytes } in files {
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.extend_from_slice(&size_bytes.to_be_bytes());
    }
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
    let mut file = disk.append(&snapshot.join(FILE_NAME))?;
    write_all(&mut *file, &bytes)?;
    file.sync()
}

/// The list of a snapshot; none if there is no good one, as in those of Prometheus.
pub(super) fn read(disk: &dyn Disk, snapshot: &Path) -> Option<Vec<FileEnd>> {
    let bytes = disk.map(&snapshot.join(FILE_NAME)).ok()?;
    let (rest, checksum) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(rest).to_be_bytes() != *checksum {
        return None;
    }
    let (entries, left) = rest.strip_prefix(&HEADER)?.as_chunks::<ENTRY_SIZE_BYTES>();
    let entry = |entry: &[u8; ENTRY_SIZE_BYTES]| {
        let (number, size) = entry.split_first_chunk::<4>()?;
        let size_bytes = u64::from_be_bytes(size.try_into().ok()?);
        Some(FileEnd { number: u32::from_be_bytes(*number), size_bytes })
    };
    if left.is_empty() { entries.iter().map(entry).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use prom_testkit::FaultyDisk;

    use super::*;

    #[test]
    fn a_list_comes_back_and_no_changed_one_does() {
        for count in [0, 1, 3] {
            let disk = FaultyDisk::default();
            let dir = Path::new("/snapshot");
            disk.create_dir_all(dir).unwrap();
            assert_eq!(read(&disk, dir), None);
            let files: Vec<_> = (1..=count)
                .map(|number| FileEnd { number, size_bytes: u64::from(number) << 30 })
                .collect();
            write(&disk, dir, &files).unwrap();
            assert_eq!(read(&disk, dir), Some(files));
            let path = dir.join(FILE_NAME);
            let size = disk.size_bytes(&path).unwrap() as usize;
            for at in 0..size {
                let changed = disk.live_image();
                changed.edit(&path, |bytes| bytes[at] ^= 1).unwrap();
                assert_eq!(read(&changed, dir), None, "byte {at}");
                changed.edit(&path, |bytes| bytes.truncate(at)).unwrap();
                assert_eq!(read(&changed, dir), None, "cut at {at}");
            }
        }
    }
}
