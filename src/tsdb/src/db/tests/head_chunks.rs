//! Full chunks go to files and come back from them: with the log, without its old part, damaged, and when
//! everything stops at any step.

use std::path::Path;

use prom_testkit::{Fault, FaultyDisk, OpKind};
use proptest::prelude::*;

use crate::{Options, WalCompression};

use super::{Content, Db, commit, content, insert, is_within, open, options, try_open};

const BEGIN: i64 = 1_700_000_000_000;

struct Outcome {
    acknowledged: Content,
    tried: Content,
}

/// Chunks are full every 120 rounds; some series stop early.
fn run(db: &Db, rounds: usize, series: usize) -> Outcome {
    let mut outcome = Outcome { acknowledged: Content::new(), tried: Content::new() };
    for round in 0..rounds {
        let t = BEGIN + round as i64 * 15_000;
        let numbers = (0..series).filter(|number| number % 5 != 0 || round < 200);
        let batch: Vec<_> =
            numbers.map(|number| (number, t, (number * round) as f64 / 3.0)).collect();
        insert(&mut outcome.tried, &batch);
        if commit(db, &batch).is_ok() {
            insert(&mut outcome.acknowledged, &batch);
        }
        if round % 60 == 59 && db.head.flush_chunks().is_err() {
            continue;
        }
    }
    outcome
}

fn names(disk: &FaultyDisk, dir: &str) -> Vec<String> {
    disk.list(Path::new(dir)).unwrap_or_default()
}

#[test]
fn full_chunks_leave_memory_and_are_read_from_files() {
    let disk = FaultyDisk::default();
    let db = open(&disk);
    let outcome = run(&db, 420, 30);
    assert!(db.head.waiting_size_bytes() < 30 * 1024);
    db.head.flush_chunks().unwrap();
    assert_eq!(db.head.waiting_size_bytes(), 0);
    assert_eq!(content(&db), outcome.acknowledged);
    let chunks_count = db.head_stats().chunks_count;
    for image in [disk.live_image(), disk.durable_image()] {
        let again = open(&image);
        assert!(is_within(&content(&again), &outcome.tried));
    }
    let killed = open(&disk.live_image());
    assert_eq!(content(&killed), outcome.acknowledged);
    assert_eq!(killed.head_stats(), db.head_stats());
    assert_eq!(killed.head.waiting_size_bytes(), 0);
    db.close().unwrap();
    for image in [disk.live_image(), disk.durable_image()] {
        let again = open(&image);
        assert_eq!(content(&again), outcome.acknowledged);
        assert_eq!(again.head_stats().chunks_count, chunks_count);
        // Life goes on, in the same way: duplicates and late samples are known.
        let t = BEGIN + 420 * 15_000;
        commit(&again, &[(0, BEGIN + 199 * 15_000, 0.0), (1, t, 1.0)]).unwrap();
        let mut expected = outcome.acknowledged.clone();
        insert(&mut expected, &[(1, t, 1.0)]);
        assert_eq!(content(&again), expected);
    }
}

#[test]
fn files_go_when_their_chunks_are_old() {
    let disk = FaultyDisk::default();
    let db = open(&disk);
    run(&db, 420, 20);
    for minutes in [40, 80, 104] {
        db.head.truncate(BEGIN + minutes * 60_000).unwrap();
        let left = content(&db);
        commit(&db, &[(1, BEGIN + 420 * 15_000 + minutes, 1.0)]).unwrap();
        db.head.flush_chunks().unwrap();
        let again = open(&disk.live_image());
        assert!(is_within(&left, &content(&again)));
    }
    assert!(names(&disk, "/data/chunks_head").len() <= 1);
}

#[test]
fn chunks_that_stand_in_a_block_keep_no_file() {
    // The range of the first block ends after 426 rounds; chunks of both ranges are written after it.
    let range_end = (BEGIN / 7_200_000 + 1) * 7_200_000;
    let disk = FaultyDisk::default();
    let db = open(&disk);
    let outcome = run(&db, 620, 20);
    assert_eq!(names(&disk, "/data/chunks_head"), ["000001", "000002"]);
    db.head.truncate(range_end).unwrap();
    assert_eq!(names(&disk, "/data/chunks_head"), ["000002"]);
    let wanted: Content = outcome
        .acknowledged
        .into_iter()
        .map(|(labels, mut samples)| (labels, samples.split_off(&range_end)))
        .filter(|(_, samples)| !samples.is_empty())
        .collect();
    assert_eq!(content(&db), wanted);
    assert!(is_within(&wanted, &content(&open(&disk.live_image()))));
}

#[test]
fn a_crash_where_a_file_ends_with_its_range_loses_nothing() {
    const ROUNDS: usize = 610;
    let options = Options {
        wal_compression: WalCompression::None,
        wal_segment_size_bytes: 1 << 20,
        ..options()
    };
    let (begin, ops) = {
        let disk = FaultyDisk::default();
        let db = try_open(&disk, &options).unwrap();
        run(&db, 599, 6);
        let begin = disk.ops().len();
        let disk = FaultyDisk::default();
        run(&try_open(&disk, &options).unwrap(), ROUNDS, 6);
        assert_eq!(names(&disk, "/data/chunks_head").len(), 2);
        (begin, disk.ops())
    };
    let is_tried = |at: usize| ops[at] != OpKind::Write || at.is_multiple_of(7);
    for at in (begin..ops.len()).filter(|at| is_tried(*at)) {
        for fault in [
            Fault::Crash { written_size_bytes: 30 },
            Fault::Error { errno: 5, written_size_bytes: 30 },
        ] {
            let disk = FaultyDisk::default();
            let db = try_open(&disk, &options).unwrap();
            disk.fail_at(at as u64, fault);
            let outcome = run(&db, ROUNDS, 6);
            assert!(is_within(&outcome.acknowledged, &content(&db)), "op {at}");
            let killed = content(&open(&disk.live_image()));
            assert!(is_within(&outcome.acknowledged, &killed), "op {at}");
            assert!(is_within(&killed, &outcome.tried), "op {at}");
            let dark = content(&open(&disk.durable_image()));
            assert!(is_within(&dark, &outcome.tried), "op {at}");
        }
    }
}

#[test]
fn a_crash_at_any_step_of_a_flush_loses_nothing() {
    let options = Options {
        wal_compression: WalCompression::None,
        wal_segment_size_bytes: 1 << 20,
        ..options()
    };
    let ops = {
        let disk = FaultyDisk::default();
        let db = try_open(&disk, &options).unwrap();
        run(&db, 260, 12);
        drop(db);
        disk.ops()
    };
    // Commits write, too; most of them are passed over.
    let is_tried = |at: usize| ops[at] != OpKind::Write || at % 60 > 55;
    for at in (0..ops.len()).filter(|at| is_tried(*at)) {
        for written_size_bytes in [0, 30, usize::MAX] {
            let disk = FaultyDisk::default();
            disk.fail_at(at as u64, Fault::Crash { written_size_bytes });
            let Ok(db) = try_open(&disk, &options) else { continue };
            let outcome = run(&db, 260, 12);
            let found = content(&open(&disk.live_image()));
            assert!(is_within(&outcome.acknowledged, &found), "op {at}");
            assert!(is_within(&found, &outcome.tried), "op {at}");
            let dark = open(&disk.durable_image());
            assert!(is_within(&content(&dark), &outcome.tried), "op {at}");
            commit(&dark, &[(1, BEGIN * 2, 1.0)]).unwrap();
        }
    }
}

#[test]
fn a_disk_that_refuses_head_chunks_keeps_them_in_memory() {
    let disk = FaultyDisk::default();
    let db = open(&disk);
    // The segment has room, files of chunks cannot be made.
    commit(&db, &[(1, BEGIN - 1, 1.0)]).unwrap();
    disk.fail_kind(OpKind::Create, Some(28));
    let mut outcome = run(&db, 130, 2);
    insert(&mut outcome.acknowledged, &[(1, BEGIN - 1, 1.0)]);
    assert!(db.head.flush_chunks().unwrap_err().is_disk_full());
    assert!(db.head.waiting_size_bytes() > 0);
    assert_eq!(content(&db), outcome.acknowledged);
    disk.fail_kind(OpKind::Create, None);
    db.head.flush_chunks().unwrap();
    assert_eq!(db.head.waiting_size_bytes(), 0);
    assert_eq!(content(&db), outcome.acknowledged);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn damaged_files_cost_no_sample(
        flips in prop::collection::vec((0usize..9, any::<prop::sample::Index>(), 0u8..8), 1..4),
        is_cut in any::<bool>(),
    ) {
        static WRITTEN: std::sync::OnceLock<(FaultyDisk, Content)> = std::sync::OnceLock::new();
        let (disk, whole) = WRITTEN.get_or_init(|| {
            let disk = FaultyDisk::default();
            let db = open(&disk);
            let mut outcome = run(&db, 300, 8);
            // A second life has files of its own.
            drop(db);
            let db = open(&disk);
            let more: Vec<_> = (0..150)
                .map(|round| (3, BEGIN + (300 + round) * 15_000, round as f64))
                .collect();
            for sample in more {
                commit(&db, &[sample]).unwrap();
                insert(&mut outcome.acknowledged, &[sample]);
            }
            drop(db);
            (disk, outcome.acknowledged)
        });
        let disk = disk.live_image();
        let files = names(&disk, "/data/chunks_head");
        prop_assert!(files.len() > 1);
        for (file, at, bit) in flips {
            let path = format!("/data/chunks_head/{}", files[file % files.len()]);
            disk.edit(Path::new(&path), |bytes| {
                let at = at.index(bytes.len());
                match is_cut {
                    true => bytes.truncate(at + 1),
                    false => bytes[at] ^= 1 << bit,
                }
            }).unwrap();
        }
        prop_assert_eq!(&content(&open(&disk)), whole);
        prop_assert_eq!(&content(&open(&disk)), whole);
    }
}
