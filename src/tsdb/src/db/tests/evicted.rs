//! Series that Prometheus took out of its head before their time, when they had gone stale: its log says so by a
//! deletion of all times, and the series may come back. Their samples stand in blocks that say so.

use std::{path::Path, sync::Arc};

use prom_storage::Appendable;
use prom_telemetry::Registry;
use prom_testkit::FaultyDisk;

use crate::{
    Options, WalCompression,
    block::HINT_STALE_SERIES,
    disk::Disk,
    wal::{
        EncodedRecord, RefSample, RefSeries, RefTombstone, StartId, Wal, WalMetrics,
        encode_samples, encode_series, encode_tombstones, list_log,
    },
};

use super::{Content, DIR, Db, content, labels, try_open};

const BEGIN: i64 = 1_700_000_000_000;
const EVER: (i64, i64) = (i64::MIN, i64::MAX);

fn options() -> Options {
    Options { wal_compression: WalCompression::None, ..super::options() }
}

/// What comes at the end of a log, in order.
enum Entry {
    Series(u64, usize),
    /// So many samples from a time on.
    Samples(u64, i64, usize),
    Deleted(u64, (i64, i64)),
}

fn log(disk: &FaultyDisk, entries: &[Entry]) {
    let dir = Path::new(DIR).join("wal");
    disk.create_dir_all(&dir).unwrap();
    let last = list_log(disk, &dir).unwrap().last_segment();
    let metrics = WalMetrics::register(&Registry::default());
    let of_wal: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut wal = Wal::new(of_wal, &dir, &options(), last, metrics);
    wal.begin().unwrap();
    for entry in entries {
        let mut payload = Vec::new();
        match *entry {
            Entry::Series(series_ref, number) => {
                let one = RefSeries { series_ref, labels: labels(number) };
                encode_series(&mut payload, std::iter::once((one.series_ref, &one.labels)));
            }
            Entry::Samples(series_ref, begin, count) => {
                let sample = |step: usize| {
                    let t = begin + step as i64 * 15_000;
                    RefSample {
                        series_ref,
                        slot: 0,
                        start: StartId::NONE,
                        t,
                        v: (t as f64).to_bits(),
                    }
                };
                encode_samples(&mut payload, &(0..count).map(sample).collect::<Vec<_>>());
            }
            Entry::Deleted(series_ref, (min_t, max_t)) => {
                encode_tombstones(&mut payload, &[RefTombstone { series_ref, min_t, max_t }]);
            }
        }
        let compression = WalCompression::None;
        wal.append(&[EncodedRecord { compression, payload: &payload }]).unwrap();
    }
    wal.close().unwrap();
}

fn insert(content: &mut Content, number: usize, (begin, count): (i64, usize)) {
    let samples = content.entry(labels(number)).or_default();
    samples.extend((0..count).map(|step| {
        let t = begin + step as i64 * 15_000;
        (t, (t as f64).to_bits())
    }));
}

/// Starts that find the same, with head chunks in memory, in files, and after a clean stop.
fn check(disk: &FaultyDisk, expected: &Content) {
    for start in 0..3 {
        let db = try_open(disk, &options()).unwrap();
        assert_eq!(content(&db), *expected, "start {start}");
        db.head.flush_chunks().unwrap();
        assert_eq!(content(&db), *expected, "start {start}");
        if start == 1 {
            db.close().unwrap();
        }
    }
}

#[test]
fn a_series_that_left_the_head_and_came_back_has_what_came_since() {
    let before = [Entry::Series(5, 1), Entry::Samples(5, BEGIN, 300), Entry::Series(6, 2)];
    let after = [
        Entry::Samples(6, BEGIN, 10),
        Entry::Deleted(5, EVER),
        Entry::Series(9, 1),
        // Nobody remembers the last time that the series had before.
        Entry::Samples(9, BEGIN + 150 * 15_000, 200),
        Entry::Deleted(9, (BEGIN + 200 * 15_000, BEGIN + 209 * 15_000)),
    ];
    let mut expected = Content::new();
    insert(&mut expected, 2, (BEGIN, 10));
    insert(&mut expected, 1, (BEGIN + 150 * 15_000, 50));
    insert(&mut expected, 1, (BEGIN + 210 * 15_000, 140));
    for has_files in [false, true] {
        let disk = FaultyDisk::default();
        log(&disk, &before);
        if has_files {
            let db = try_open(&disk, &options()).unwrap();
            db.head.flush_chunks().unwrap();
            drop(db);
        }
        log(&disk, &after);
        check(&disk, &expected);
    }
}

#[test]
fn a_series_that_left_the_head_for_good_takes_no_room() {
    let disk = FaultyDisk::default();
    let stale = |t| Entry::Samples(5, t, 1);
    log(&disk, &[Entry::Series(5, 1), Entry::Samples(5, BEGIN, 300), stale(BEGIN + 9_000_000)]);
    log(&disk, &[Entry::Deleted(5, EVER), Entry::Deleted(40, EVER), Entry::Series(6, 2)]);
    log(&disk, &[Entry::Samples(6, BEGIN + 9_000_000, 10)]);
    let mut expected = Content::new();
    insert(&mut expected, 2, (BEGIN + 9_000_000, 10));
    check(&disk, &expected);
    let db = try_open(&disk, &options()).unwrap();
    assert_eq!(db.head.index().count(), 2);
    db.head.truncate(BEGIN + 1).unwrap();
    assert_eq!(db.head.index().count(), 1);
    // Refs that were given are not given again.
    let mut appender = db.appender();
    assert!(appender.series(&labels(3)).unwrap().series_ref.0 > 40);
}

/// What is joined with blocks of all series would pass for all that there is of its times.
#[test]
fn blocks_of_stale_series_are_joined_with_each_other_only() {
    let options = super::compact::options;
    let disk = FaultyDisk::default();
    let db = try_open(&disk, &options()).unwrap();
    let mut all = Content::new();
    assert!(super::compact::run(&db, 0..75, &mut all));
    let end = db.blocks.list().last().unwrap().times().1;
    for _ in 0..2 {
        write_stale_block(&db, (end, end + 1_000));
    }
    let stale_count = || {
        let blocks = db.blocks.list();
        blocks.iter().filter(|one| one.meta().has_hint(HINT_STALE_SERIES)).count()
    };
    db.do_upkeep().unwrap();
    assert_eq!((stale_count(), content(&db)), (1, all.clone()));
    assert_eq!(content(&try_open(&disk.live_image(), &options()).unwrap()), all);
    assert!(super::compact::run(&db, 75..140, &mut all));
    assert_eq!((stale_count(), content(&db)), (1, all.clone()));
    assert_eq!(content(&try_open(&disk.live_image(), &options()).unwrap()), all);
}

/// A block of what the head has of some times, which says that it has one kind of series only.
fn write_stale_block(db: &Db, (min_t, max_t): (i64, i64)) {
    let written = db.write_head_block(Path::new(DIR), min_t, max_t).unwrap().unwrap();
    db.reload_blocks().unwrap();
    let blocks = db.blocks.list();
    let block = blocks.iter().find(|block| block.id() == written.ulid).unwrap();
    block.update_meta(&*db.disk, |meta| meta.add_hint(HINT_STALE_SERIES)).unwrap();
}
