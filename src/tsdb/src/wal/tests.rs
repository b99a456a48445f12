//! The log's format against bytes that Prometheus wrote, against itself, and against damage.

use std::{fs, path::Path, sync::Arc};

use prom_model::Labels;
use prom_telemetry::Registry;
use prom_testkit::{FaultyDisk, conformance};
use proptest::prelude::*;

use crate::{Options, WalCompression, disk::Disk};

use super::{
    Compressor, Decoded, EncodedRecord, LogReader, RefSample, RefSeries, SampleBatch, StartId, Wal,
    WalMetrics,
    compress::decompress,
    encode_samples, encode_samples_with_start, encode_series,
    frame::{PAGE_SIZE_BYTES, push_record},
    list_log,
    reader::{Item, SegmentReader},
    record::{decode, encode_histograms},
};

const DIR: &str = "/data/wal";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn disk_with(path: &Path, bytes: &[u8]) -> FaultyDisk {
    let disk = FaultyDisk::default();
    disk.create_dir_all(path.parent().unwrap()).unwrap();
    disk.append(path).unwrap().write(bytes).unwrap();
    disk
}

fn read_items(bytes: &[u8]) -> Vec<(Item, Vec<u8>)> {
    let path = Path::new("/wal/00000000");
    let disk = disk_with(path, bytes);
    let mut reader = SegmentReader::new(Disk::read(&disk, path).unwrap());
    let (mut items, mut out) = (Vec::new(), Vec::new());
    while let Some(item) = reader.next(&mut out).unwrap() {
        items.push((item, std::mem::take(&mut out)));
    }
    items
}

fn records(bytes: &[u8]) -> Vec<Vec<u8>> {
    let items = read_items(bytes).into_iter();
    items.filter(|(item, _)| matches!(item, Item::Record { .. })).map(|(_, bytes)| bytes).collect()
}

fn frame(records: &[Vec<u8>]) -> Vec<u8> {
    let (mut out, mut page_offset) = (Vec::new(), 0);
    for record in records {
        push_record(&mut out, &mut page_offset, WalCompression::None, record);
    }
    out
}

fn sample(series_ref: u64, t: i64, v: f64) -> RefSample {
    RefSample { series_ref, slot: 0, start: StartId::NONE, t, v: v.to_bits() }
}

#[test]
fn records_are_those_of_the_format_page() {
    let check = |bytes: &[u8], expected: &str, decoded: Decoded| {
        assert_eq!(hex(bytes), expected);
        assert_eq!(decode(bytes, Vec::new).unwrap(), decoded);
    };
    let mut bytes = Vec::new();
    let labels = Labels::from_pairs([("__name__", "up"), ("job", "x")]);
    encode_series(&mut bytes, [(258, &labels)]);
    check(
        &bytes,
        "01000000000000010202085f5f6e616d655f5f027570036a6f620178",
        Decoded::Series(vec![RefSeries { series_ref: 258, labels }]),
    );
    let samples = vec![sample(5, 1000, 1.0), sample(7, 1000, 2.0), sample(4, 999, 0.0)];
    bytes.clear();
    encode_samples(&mut bytes, &samples);
    check(
        &bytes,
        "02000000000000000500000000000003e800003ff0000000000000040040000000000000000101\
        0000000000000000",
        Decoded::Samples(samples.into()),
    );
    check(&[2], "02", Decoded::Samples(Vec::new().into()));
    // Start times: of the first entry, the same, none, another.
    let with_start: &[u8] = &[
        &[11, 10, 20, 4][..],
        &[0; 8],
        &[2, 2, 1],
        &[0; 8],
        &[2, 4, 0],
        &[0; 8],
        &[1, 6, 2, 8],
        &[0; 8],
    ]
    .concat();
    let samples = [(5, 10, 2), (6, 11, 2), (7, 12, 0), (6, 13, 6)];
    let mut batch = SampleBatch::default();
    for (series_ref, t, start_ms) in samples {
        batch.push(sample(series_ref, t, 0.0), start_ms);
    }
    bytes.clear();
    encode_samples_with_start(&mut bytes, &batch.samples, &batch.starts);
    check(&bytes, &hex(with_start), Decoded::Samples(batch));
    check(&[11], "0b", Decoded::Samples(SampleBatch::default()));
}

#[test]
fn records_that_are_cut_short_are_refused() {
    let labels = Labels::from_pairs([("a", "b")]);
    let (mut series, mut samples) = (Vec::new(), Vec::new());
    encode_series(&mut series, [(1, &labels), (2, &labels)]);
    encode_samples(&mut samples, &[sample(1, 1, 1.0), sample(2, 300, 1.0)]);
    // A record may end behind each of its entries.
    let whole = |record: &[u8], size: usize| match record[0] {
        1 => size == 1 || size == 1 + 13,
        _ => size == 1 || size == 17 || size == 27,
    };
    for record in [series, samples] {
        for size in 0..record.len() {
            assert_eq!(decode(&record[..size], Vec::new).is_ok(), whole(&record, size), "{size}");
        }
    }
    for bad in
        [&[1, 0, 0, 0, 0, 0, 0, 0, 1, 0][..], &[1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0xff, 1, b'x']]
    {
        assert!(decode(bad, Vec::new).is_err());
    }
}

#[test]
fn labels_of_foreign_records_are_put_in_order() {
    let record = [1, 0, 0, 0, 0, 0, 0, 0, 9, 3, 1, b'b', 1, b'2', 1, b'c', 0, 1, b'a', 1, b'1'];
    let labels = Labels::from_pairs([("a", "1"), ("b", "2")]);
    let expected = Decoded::Series(vec![RefSeries { series_ref: 9, labels }]);
    assert_eq!(decode(&record, Vec::new).unwrap(), expected);
}

#[test]
fn records_of_every_size_go_through_pages() {
    let room = PAGE_SIZE_BYTES - 7;
    let mut sizes = vec![0, 1, room - 1, room, room + 1, 2 * room, 2 * room + 1, 100_000];
    // Leave 0 to 15 bytes at the end of a page.
    for left in 0..16 {
        sizes.extend([room - left, 3, room - 10 - left - 8]);
    }
    let all: Vec<Vec<u8>> =
        sizes.iter().map(|size| (0..*size).map(|n| n as u8).collect()).collect();
    assert_eq!(records(&frame(&all)), all);
    for (number, one) in all.iter().enumerate() {
        assert_eq!(records(&frame(&[one.clone(), vec![7]])), [one.clone(), vec![7]], "{number}");
    }
}

#[test]
fn damage_is_passed_over() {
    let all: Vec<Vec<u8>> = (0..2000u32).map(|n| vec![n as u8; (n % 97) as usize + 1]).collect();
    let good = frame(&all);
    let check = |name: &str, lost_max: usize, damage: fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        damage(&mut bytes);
        let found = records(&bytes);
        // What is found is in order, and nothing else.
        let mut expected = all.iter();
        assert!(found.iter().all(|one| expected.any(|other| other == one)), "{name}");
        let lost = all.len() - found.len();
        assert!(lost > 0 && lost <= lost_max, "{name}: {lost} lost");
        let items = read_items(&bytes);
        assert!(items.iter().any(|(item, _)| matches!(item, Item::Damage { .. })), "{name}");
    };
    check("a byte of data", 1, |bytes| {
        let Item::Record { offset, .. } = read_items(bytes)[500].0 else { panic!("no record") };
        bytes[offset as usize + 7] ^= 1;
    });
    check("a fragment's kind", 800, |bytes| bytes[0] = 7);
    check("a fragment's size", 800, |bytes| bytes[1] = 0xff);
    check("padding", 800, |bytes| bytes[0] = 0);
    check("a page", 800, |bytes| bytes[PAGE_SIZE_BYTES..2 * PAGE_SIZE_BYTES].fill(0xaa));
    check("the end", 1, |bytes| bytes.truncate(bytes.len() - 1));
    check("a header at the end", 1, |bytes| bytes.truncate(bytes.len() - all_last_size()));
}

/// All but three bytes of the last record in the test above.
fn all_last_size() -> usize {
    (1999 % 97) + 1 + 7 - 3
}

#[test]
fn the_log_of_a_real_prometheus_is_framed_alike() {
    let Some(golden) = conformance("golden_block") else { return };
    let golden = fs::read(golden.join("wal/00000000")).unwrap();
    let (mut framed, mut page_offset, mut plain) = (Vec::new(), 0, Vec::new());
    let mut compressor = Compressor::default();
    let (mut samples_count, mut histograms_count) = (0, 0);
    for (item, stored) in read_items(&golden) {
        let Item::Record { compression, .. } = item else { panic!("{item:?}") };
        push_record(&mut framed, &mut page_offset, compression, &stored);
        decompress(compression, &stored, &mut plain).unwrap();
        // What is read is written alike, byte for byte.
        let mut again = Vec::new();
        match decode(&plain, Vec::new).unwrap() {
            Decoded::Series(series) => {
                encode_series(&mut again, series.iter().map(|one| (one.series_ref, &one.labels)));
            }
            Decoded::Samples(batch) => {
                samples_count += batch.samples.len();
                encode_samples(&mut again, &batch.samples);
            }
            Decoded::Histograms(histograms) => {
                histograms_count += histograms.len();
                encode_histograms(&histograms, &mut |record| again.extend_from_slice(record));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(hex(&again), hex(&plain));
        compressor.compress(WalCompression::Snappy, &mut again);
        let mut back = Vec::new();
        decompress(compression, &stored, &mut back).unwrap();
        assert_eq!(back, plain);
    }
    assert!(samples_count > 1000 && histograms_count > 1000);
    assert_eq!(framed, golden[..framed.len()]);
    assert!(golden[framed.len()..].iter().all(|byte| *byte == 0));
}

fn open_wal(disk: &FaultyDisk, segment_size_bytes: u32) -> Wal {
    disk.create_dir_all(Path::new(DIR)).unwrap();
    let options = Options { wal_segment_size_bytes: segment_size_bytes, ..Options::default() };
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let last = list_log(&*disk, Path::new(DIR)).unwrap().last_segment();
    let metrics = WalMetrics::register(&Registry::default());
    Wal::new(disk, Path::new(DIR), &options, last, metrics)
}

fn segments(disk: &FaultyDisk) -> Vec<String> {
    let mut names = disk.list(Path::new(DIR)).unwrap();
    names.sort();
    names
}

#[test]
fn commits_stay_within_a_segment() {
    let disk = FaultyDisk::default();
    let mut wal = open_wal(&disk, PAGE_SIZE_BYTES as u32 * 2);
    let record = |size: usize| vec![9; size];
    let append = |wal: &mut Wal, sizes: &[usize]| {
        let records: Vec<_> = sizes.iter().map(|size| record(*size)).collect();
        let encoded = records
            .iter()
            .map(|payload| EncodedRecord { compression: WalCompression::None, payload });
        wal.append(&encoded.collect::<Vec<_>>()).unwrap();
    };
    append(&mut wal, &[30_000, 30_000]);
    append(&mut wal, &[10, 10_000]);
    // Larger than a segment: alone in one.
    append(&mut wal, &[100_000, 50_000]);
    append(&mut wal, &[1]);
    wal.close().unwrap();
    assert_eq!(segments(&disk), ["00000000", "00000001", "00000002", "00000003"]);
    let expected: [&[usize]; 4] = [&[30_000, 30_000], &[10, 10_000], &[100_000, 50_000], &[1]];
    for (name, sizes) in segments(&disk).iter().zip(expected) {
        let bytes = disk.content(&Path::new(DIR).join(name)).unwrap();
        let found: Vec<_> = records(&bytes).iter().map(Vec::len).collect();
        assert_eq!(found, sizes);
        // Finished segments are whole pages, as Prometheus leaves them.
        assert!(name == "00000003" || bytes.len() % PAGE_SIZE_BYTES == 0);
    }
    // A new life begins a new segment, unless the last one is empty.
    open_wal(&disk, 1 << 20).begin().unwrap();
    open_wal(&disk, 1 << 20).begin().unwrap();
    assert_eq!(segments(&disk).len(), 5);
}

#[test]
fn the_newest_checkpoint_stands_for_what_is_before_it() {
    let disk = FaultyDisk::default();
    for file in [
        "checkpoint.00000002/00000000",
        "checkpoint.00000004/00000000",
        "checkpoint.00000004/00000001",
        "checkpoint.00000009.tmp/00000000",
        "00000003",
        "00000004",
        "00000005",
        "00000007",
        "00000006.salvage",
        "note",
    ] {
        let path = Path::new(DIR).join(file);
        disk.create_dir_all(path.parent().unwrap()).unwrap();
        disk.append(&path).unwrap().write(b"x").unwrap();
    }
    let log = list_log(&disk, Path::new(DIR)).unwrap();
    let names: Vec<_> = log
        .files
        .iter()
        .map(|file| file.path.strip_prefix(DIR).unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        names,
        ["checkpoint.00000004/00000000", "checkpoint.00000004/00000001", "00000005", "00000007"]
    );
    assert!(log.has_gap);
    assert_eq!(log.last_segment(), Some((7, 1)));
}

fn any_record() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..3000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_compressed_comes_back(mut record in any_record(), repeat in 1usize..50) {
        record = record.repeat(repeat);
        for compression in [WalCompression::None, WalCompression::Snappy, WalCompression::Zstd] {
            let (mut stored, mut out) = (record.clone(), Vec::new());
            let (kind, saved) = Compressor::default().compress(compression, &mut stored);
            prop_assert_eq!(stored.len() + saved, record.len());
            decompress(kind, &stored, &mut out).unwrap();
            prop_assert_eq!(&out, &record);
        }
    }

    #[test]
    fn foreign_bytes_never_panic(bytes in any_record(), kind in 0u8..15) {
        let mut out = Vec::new();
        for compression in [WalCompression::None, WalCompression::Snappy, WalCompression::Zstd] {
            if decompress(compression, &bytes, &mut out).is_err() {
                prop_assert!(compression != WalCompression::None);
            }
        }
        let mut record = vec![kind];
        record.extend(&bytes);
        match decode(&record, Vec::new) {
            Ok(Decoded::Samples(batch)) => prop_assert!(batch.samples.len() <= bytes.len()),
            Ok(Decoded::Series(series)) => prop_assert!(series.len() <= bytes.len()),
            Ok(Decoded::Histograms(found)) => prop_assert!(found.len() <= bytes.len()),
            Ok(Decoded::Exemplars(found)) => prop_assert!(found.len() <= bytes.len()),
            Ok(Decoded::Metadata(found)) => prop_assert!(found.len() <= bytes.len()),
            Ok(Decoded::Tombstones(found)) => prop_assert!(found.len() <= bytes.len()),
            Ok(Decoded::Markers(found)) => prop_assert!(found.len() <= bytes.len()),
            Ok(Decoded::Skipped(_)) | Err(_) => {}
        }
    }

    #[test]
    fn samples_and_their_starts_come_back(
        entries in prop::collection::vec((0u64..9, any::<i64>(), prop_oneof![Just(0), 0i64..4, any::<i64>()], any::<u64>()), 0..60),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut batch = SampleBatch::default();
        for (series_ref, t, start_ms, v) in &entries {
            batch.push(RefSample { v: *v, ..sample(*series_ref << 60, *t, 0.0) }, *start_ms);
        }
        let mut record = Vec::new();
        encode_samples_with_start(&mut record, &batch.samples, &batch.starts);
        let Ok(Decoded::Samples(found)) = decode(&record, Vec::new) else { panic!("{record:?}") };
        let told = |batch: &SampleBatch| -> Vec<_> {
            let of = |one: &RefSample| (one.series_ref >> 60, one.t, batch.starts.get(one.start), one.v);
            batch.samples.iter().map(of).collect()
        };
        prop_assert_eq!(told(&found), entries);
        if let Ok(Decoded::Samples(some)) = decode(&record[..cut.index(record.len()).max(1)], Vec::new) {
            prop_assert_eq!(&told(&some), &told(&found)[..some.samples.len()]);
        }
    }

    #[test]
    fn frames_are_read_as_written(all in prop::collection::vec(any_record(), 0..60)) {
        prop_assert_eq!(records(&frame(&all)), all);
    }

    #[test]
    fn foreign_segments_never_panic(
        all in prop::collection::vec(any_record(), 1..30),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..10),
    ) {
        let mut bytes = frame(&all);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut expected = all.iter();
        prop_assert!(records(&bytes).iter().all(|one| expected.any(|other| other == one)));
    }
}

#[test]
fn a_log_is_read_in_windows() {
    let disk = FaultyDisk::default();
    let mut wal = open_wal(&disk, 1 << 20);
    let mut expected = Vec::new();
    for n in 0..400u64 {
        let samples: Vec<_> = (0..1000).map(|s| sample(s, n as i64, (s * n) as f64)).collect();
        let mut payload = Vec::new();
        encode_samples(&mut payload, &samples);
        let record = EncodedRecord { compression: WalCompression::None, payload: &payload };
        wal.append(&[record]).unwrap();
        expected.push(Decoded::Samples(samples.into()));
    }
    wal.close().unwrap();
    let log = list_log(&disk, Path::new(DIR)).unwrap();
    assert!(log.files.len() > 3);
    let mut reader = LogReader::new(&disk, &log);
    let (mut found, mut windows, mut progress) = (Vec::new(), 0, 0);
    while let Some((window, decoded)) = reader.next_decoded().unwrap() {
        assert!(window.read_size_bytes > progress);
        progress = window.read_size_bytes;
        windows += 1;
        found.extend(decoded);
    }
    assert_eq!(progress, log.size_bytes());
    assert!(windows > 3);
    assert!(found == expected);
}
