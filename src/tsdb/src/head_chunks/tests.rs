//! Files of head chunks: written, mapped, scanned, damaged.

use std::{path::Path, sync::Arc};

use prom_testkit::{FaultyDisk, OpKind};
use proptest::prelude::*;

use crate::disk::Disk;

use super::{
    record::{HeadChunkError, read_head_chunk},
    *,
};

const DIR: &str = "/data/chunks_head";

fn chunk(series_ref: u64, data: &[u8]) -> HeadChunk<'_> {
    let (min_t, max_t) = (series_ref as i64 * 10, series_ref as i64 * 10 + 5);
    HeadChunk { series_ref, min_t, max_t, encoding: 1, is_out_of_order: false, data }
}

fn open(disk: &FaultyDisk) -> (Arc<ChunkFiles>, ChunkWriter, Vec<ScannedChunk>, Scanned) {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let files = Arc::new(ChunkFiles::new(disk, Path::new(DIR)));
    let mut found = Vec::new();
    let scanned = scan(&files, Path::new("/data"), |chunk| found.push(chunk)).unwrap();
    let writer = ChunkWriter::new(Arc::clone(&files), scanned.last_number);
    (files, writer, found, scanned)
}

/// Files with so many chunks in each.
fn write(disk: &FaultyDisk, files_count: usize, chunks_count: usize) -> Vec<ChunkPlace> {
    let (_, mut writer, ..) = open(disk);
    let mut places = Vec::new();
    for file in 0..files_count {
        for number in 0..chunks_count {
            let series_ref = (file * chunks_count + number + 1) as u64;
            let mut bytes = Vec::new();
            encode_head_chunk(&mut bytes, &chunk(series_ref, &[0, 7, series_ref as u8]));
            places.push(writer.append(&bytes, None).unwrap());
        }
        writer.finish_file().unwrap();
    }
    places
}

fn size_bytes(disk: &FaultyDisk, number: u32) -> u64 {
    disk.size_bytes(&Path::new(DIR).join(format!("{number:06}"))).unwrap()
}

fn names(disk: &FaultyDisk, dir: &str) -> Vec<String> {
    disk.list(Path::new(dir)).unwrap_or_default()
}

#[test]
fn a_chunk_is_laid_out_as_on_the_format_page() {
    let mut bytes = Vec::new();
    let out_of_order = HeadChunk { is_out_of_order: true, ..chunk(0x0102, b"ab") };
    encode_head_chunk(&mut bytes, &out_of_order);
    assert_eq!(bytes[..8], [0, 0, 0, 0, 0, 0, 1, 2]);
    assert_eq!(bytes[8..16], 2580i64.to_be_bytes());
    assert_eq!(bytes[16..24], 2585i64.to_be_bytes());
    assert_eq!(bytes[24..28], [0x81, 2, b'a', b'b']);
    assert_eq!(bytes[28..], crc32c::crc32c(&bytes[..28]).to_be_bytes());
    assert_eq!(read_head_chunk(&bytes), Ok((out_of_order, bytes.len())));
    assert_eq!(read_head_chunk(&bytes[..30]), Err(HeadChunkError::Short));
}

#[test]
fn chunks_are_read_where_they_were_written_and_found_again() {
    let disk = FaultyDisk::default();
    let places = write(&disk, 3, 4);
    assert_eq!(names(&disk, DIR), ["000001", "000002", "000003"]);
    let (files, mut writer, found, scanned) = open(&disk);
    assert_eq!((scanned.last_number, scanned.damaged_count), (Some(3), 0));
    let ends = scanned.ends.iter().map(|end| (end.number, end.size_bytes));
    assert_eq!(
        ends.collect::<Vec<_>>(),
        [1, 2, 3].map(|number| (number, size_bytes(&disk, number)))
    );
    assert_eq!(found.iter().map(|chunk| chunk.place).collect::<Vec<_>>(), places);
    for (index, one) in found.iter().enumerate() {
        assert_eq!((one.series_ref, one.samples_count), (index as u64 + 1, 7));
        let maps = files.maps();
        assert_eq!(maps.chunk(one.place, Some(one.series_ref)).unwrap().min_t, one.min_t);
        let other = maps.chunk(one.place, Some(99));
        assert_eq!(other, Err(HeadChunkError::OtherChunk));
    }
    // A new life begins a new file; old ones go from the beginning.
    let mut bytes = Vec::new();
    encode_head_chunk(&mut bytes, &chunk(50, b"abc"));
    assert_eq!(writer.append(&bytes, None).unwrap(), ChunkPlace { file: 4, offset: 8 });
    writer.remove_before(3).unwrap();
    assert_eq!(names(&disk, DIR), ["000003", "000004"]);
    assert_eq!(files.maps().chunk(places[0], None), Err(HeadChunkError::Short));
    writer.remove_before(u32::MAX).unwrap();
    assert_eq!(names(&disk, DIR), ["000004"]);
    // Full files are followed by others.
    writer.set_size_bytes_max(100);
    assert_eq!(writer.append(&bytes, None).unwrap().file, 4);
    assert_eq!(writer.append(&bytes, None).unwrap().file, 5);
}

#[test]
fn a_file_ends_with_the_range_of_its_chunks() {
    let disk = FaultyDisk::default();
    let (_, mut writer, ..) = open(&disk);
    let mut bytes = Vec::new();
    encode_head_chunk(&mut bytes, &chunk(1, b"abc"));
    let ranges = [(None, 1), (Some(20), 1), (Some(20), 1), (None, 1), (Some(30), 2), (Some(20), 2)];
    for (range_end_ms, file) in ranges.into_iter().chain([(Some(30), 2), (Some(-5), 2)]) {
        let place = writer.append(&bytes, range_end_ms).unwrap();
        assert_eq!(place.file, file, "{range_end_ms:?}");
    }
    // A disk that refuses to make the file durable that ends refuses the chunks, once.
    disk.fail_kind(OpKind::Sync, Some(5));
    assert!(writer.append(&bytes, Some(40)).is_err());
    disk.fail_kind(OpKind::Sync, None);
    assert_eq!(writer.append(&bytes, Some(40)).unwrap().file, 3);
    assert!(writer.is_doubtful());
    assert_eq!(open(&disk.live_image()).2.len(), 9);
}

#[test]
fn a_disk_that_refuses_takes_nothing_and_heals() {
    let disk = FaultyDisk::default();
    let (files, mut writer, ..) = open(&disk);
    let mut bytes = Vec::new();
    encode_head_chunk(&mut bytes, &chunk(1, &[0, 1, 2, 3]));
    let first = writer.append(&bytes, None).unwrap();
    for (kind, errno) in [(OpKind::Write, 28), (OpKind::Truncate, 5)] {
        disk.fail_kind(OpKind::Write, Some(28));
        disk.fail_kind(kind, Some(errno));
        assert!(writer.append(&bytes, None).is_err());
        disk.fail_kind(OpKind::Write, None);
        disk.fail_kind(kind, None);
        let next = writer.append(&bytes, None).unwrap();
        assert!(next > first);
        assert_eq!(files.maps().chunk(next, Some(1)).unwrap(), chunk(1, &[0, 1, 2, 3]));
    }
    writer.finish_file().unwrap();
    assert_eq!(open(&disk.durable_image()).2.len(), 3);
}

#[test]
fn a_torn_tail_is_cut_off_and_zeros_are_none() {
    let disk = FaultyDisk::default();
    write(&disk, 2, 3);
    let path = Path::new("/data/chunks_head/000002");
    let size = disk.size_bytes(path).unwrap();
    let chunk_size = (size - 8) / 3;
    for cut in 0..=size {
        let torn = disk.live_image();
        torn.append(path).unwrap().truncate(cut).unwrap();
        let (_, mut writer, found, scanned) = open(&torn);
        assert_eq!(found.len() as u64, 3 + cut.saturating_sub(8) / chunk_size, "{cut}");
        assert_eq!(scanned.damaged_count, 0);
        writer.append(b"x", None).unwrap();
        // No number is left out.
        assert_eq!(writer.next_number(), if cut < 8 { 3 } else { 4 });
        assert!(names(&torn, "/data/quarantine").is_empty());
    }
    disk.edit(path, |bytes| bytes.extend([0; 4096])).unwrap();
    let (_, _, found, scanned) = open(&disk);
    assert_eq!((found.len(), scanned.ends[1].size_bytes), (6, size));
}

proptest! {
    #[test]
    fn damage_costs_its_chunk_and_is_kept(
        file in 1usize..4, at in any::<prop::sample::Index>(), bit in 0u8..8,
    ) {
        let disk = FaultyDisk::default();
        write(&disk, 3, 5);
        let whole = open(&disk).2;
        let path = format!("{DIR}/{file:06}");
        let mut offset = 0;
        disk.edit(Path::new(&path), |bytes| {
            offset = at.index(bytes.len());
            // The three bytes behind the version say nothing.
            if (5..8).contains(&offset) {
                offset = 0;
            }
            bytes[offset] ^= 1 << bit;
        }).unwrap();
        let (_, _, found, scanned) = open(&disk);
        let header = files::HEADER_SIZE_BYTES;
        let size = 8 + 8 + 8 + 1 + 1 + 3 + 4;
        let hit = |chunk: &ScannedChunk| {
            let begin = chunk.place.offset as usize;
            chunk.place.file as usize == file && (begin..begin + size).contains(&offset)
        };
        let refs = |found: &[ScannedChunk]| -> Vec<u64> {
            found.iter().map(|chunk| chunk.series_ref).collect()
        };
        let left: Vec<_> = whole.iter().filter(|chunk| !hit(chunk)).copied().collect();
        prop_assert_eq!(refs(&found), refs(&left));
        prop_assert_eq!(left.len(), whole.len() - usize::from(offset >= header));
        // The last chunk of all may look as if it had not been written whole.
        prop_assert!(scanned.damaged_count == 1 || file == 3);
        prop_assert_eq!(names(&disk, "/data/quarantine").len(), scanned.damaged_count);
        // Once more, and nothing else changes.
        let (files, mut writer, again, _) = open(&disk);
        prop_assert_eq!(&again, &found);
        for one in &again {
            prop_assert!(files.maps().chunk(one.place, Some(one.series_ref)).is_ok());
        }
        writer.append(b"x", None).unwrap();
        let numbers = names(&disk, DIR);
        let first: u32 = numbers[0].parse().unwrap();
        for (at, name) in numbers.iter().enumerate() {
            prop_assert_eq!(name.parse::<u32>().unwrap(), first + at as u32);
        }
    }

    #[test]
    fn foreign_files_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let disk = FaultyDisk::default();
        disk.create_dir_all(Path::new(DIR)).unwrap();
        let mut file = b"\x01\x30\xbc\x91\x01\0\0\0".to_vec();
        file.extend(&bytes);
        disk.append(Path::new("/data/chunks_head/000007")).unwrap().write(&file).unwrap();
        open(&disk);
        prop_assert!(read_head_chunk(&bytes).is_err());
    }
}

#[test]
fn a_tail_that_is_torn_before_good_chunks_is_damage() {
    let disk = FaultyDisk::default();
    write(&disk, 2, 3);
    let size = (size_bytes(&disk, 2) - 8) as usize / 3;
    // A size that reaches over the end of the file.
    disk.edit(&Path::new(DIR).join("000002"), |bytes| bytes[8 + size + 25] = 0x7f).unwrap();
    let (_, _, found, scanned) = open(&disk);
    assert_eq!(found.iter().map(|one| one.series_ref).collect::<Vec<_>>(), [1, 2, 3, 4, 6]);
    assert_eq!((scanned.damaged_count, scanned.ends.len()), (1, 1));
    assert_eq!(names(&disk, "/data/quarantine"), ["chunks_head-000002.0"]);
}

#[test]
fn a_disk_that_refuses_to_mend_a_file_leaves_what_is_before_the_damage() {
    let disk = FaultyDisk::default();
    write(&disk, 2, 3);
    let size = (size_bytes(&disk, 1) - 8) as usize / 3;
    disk.edit(&Path::new(DIR).join("000001"), |bytes| bytes[8 + size + 26] ^= 1).unwrap();
    disk.fail_kind(OpKind::Create, Some(28));
    for is_full in [true, false] {
        let (files, _, found, _) = open(&disk);
        let refs: Vec<u64> = found.iter().map(|one| one.series_ref).collect();
        assert_eq!(refs, if is_full { &[1, 4, 5, 6][..] } else { &[1, 3, 4, 5, 6] });
        for one in &found {
            files.maps().chunk(one.place, Some(one.series_ref)).unwrap();
        }
        disk.fail_kind(OpKind::Create, None);
    }
}
