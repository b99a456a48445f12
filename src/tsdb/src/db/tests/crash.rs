//! Crashes at every operation, full disks at every byte, tails torn anywhere, bits flipped anywhere.

use std::{path::Path, sync::OnceLock};

use prom_storage::Appendable;
use prom_testkit::{Fault, FaultyDisk, OpKind};
use proptest::prelude::*;

use crate::{Options, WalCompression};

use super::{Content, Db, commit, content, insert, is_within, open, options, try_open, workload};

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

/// What the workload's commits were told, when each of them was tried on a disk that may fail.
struct Outcome {
    acknowledged: Content,
    tried: Content,
}

fn run(db: &Db, rounds: usize) -> Outcome {
    let mut outcome = Outcome { acknowledged: Content::new(), tried: Content::new() };
    for batch in workload(rounds, 150) {
        insert(&mut outcome.tried, &batch);
        if commit(db, &batch).is_ok() {
            insert(&mut outcome.acknowledged, &batch);
        }
    }
    outcome
}

#[test]
fn what_was_committed_is_there_after_a_clean_end() {
    for compression in [WalCompression::None, WalCompression::Snappy, WalCompression::Zstd] {
        let disk = FaultyDisk::default();
        let options = Options { wal_compression: compression, ..options() };
        let db = try_open(&disk, &options).unwrap();
        let outcome = run(&db, 60);
        assert_eq!(content(&db), outcome.acknowledged);
        assert_eq!(outcome.acknowledged, outcome.tried);
        db.close().unwrap();
        assert!(commit(&db, &[(0, i64::MAX, 0.0)]).is_err());
        assert_eq!(content(&db), outcome.acknowledged, "a closed database is still read");
        // All of it is durable, too.
        for image in [disk.live_image(), disk.durable_image()] {
            assert_eq!(content(&open(&image)), outcome.acknowledged);
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_acknowledged_wherever_it_stops() {
    let options = Options { wal_compression: WalCompression::None, ..options() };
    let ops = {
        let disk = FaultyDisk::default();
        let db = try_open(&disk, &options).unwrap();
        run(&db, 18);
        drop(db);
        disk.ops()
    };
    assert!(ops.iter().filter(|op| **op == OpKind::Create).count() > 1, "{ops:?}");
    for (at, op) in ops.iter().enumerate() {
        let written: &[usize] = if *op == OpKind::Write { &[0, 1, 700, usize::MAX] } else { &[0] };
        for written_size_bytes in written.iter().copied() {
            let disk = FaultyDisk::default();
            disk.fail_at(at as u64, Fault::Crash { written_size_bytes });
            let Ok(db) = try_open(&disk, &options) else { continue };
            let outcome = run(&db, 18);
            let killed = open(&disk.live_image());
            let found = content(&killed);
            assert!(is_within(&outcome.acknowledged, &found), "op {at}");
            assert!(is_within(&found, &outcome.tried), "op {at}");
            // The power failed: what was acknowledged may be lost, but nothing is wrong.
            let dark = open(&disk.durable_image());
            assert!(is_within(&content(&dark), &outcome.tried), "op {at}");
            // And life goes on.
            for db in [killed, dark] {
                let before = content(&db);
                commit(&db, &[(1, 1_800_000_000_000, 1.0)]).unwrap();
                let mut expected = before;
                insert(&mut expected, &[(1, 1_800_000_000_000, 1.0)]);
                assert_eq!(content(&db), expected);
            }
        }
    }
}

#[test]
fn a_full_disk_refuses_and_heals() {
    let mut refused_count = 0;
    for space in (0..90_000).step_by(7_919) {
        let disk = FaultyDisk::default();
        let db = try_open(&disk, &options()).unwrap();
        disk.set_space_left(Some(space));
        let mut outcome = run(&db, 40);
        let killed = open(&disk.live_image());
        assert_eq!(content(&killed), outcome.acknowledged, "space {space}");
        assert_eq!(content(&db), outcome.acknowledged, "space {space}");
        let late = [(2, 1_700_001_000_000, 5.0), (77, 1_700_001_000_000, 6.0)];
        match commit(&db, &late) {
            Ok(()) => insert(&mut outcome.acknowledged, &late),
            Err(err) => {
                assert!(err.is_disk_full(), "{err}");
                assert_eq!(db.write_fault(), Some(err.to_string()));
            }
        }
        refused_count += usize::from(outcome.acknowledged != outcome.tried);
        // Space again: the next commit is taken, without a restart.
        disk.set_space_left(None);
        let later = [(2, 1_700_001_015_000, 5.0), (78, 1_700_001_015_000, 6.0)];
        commit(&db, &later).unwrap();
        assert_eq!(db.write_fault(), None);
        insert(&mut outcome.acknowledged, &later);
        assert_eq!(content(&db), outcome.acknowledged);
        assert_eq!(content(&open(&disk.live_image())), outcome.acknowledged, "space {space}");
    }
    assert!(refused_count > 4, "the disk was meant to be full");
}

#[test]
fn a_write_that_cannot_be_taken_back_stops_all_later_ones() {
    let disk = FaultyDisk::default();
    let db = open(&disk);
    let batches = workload(6, 150);
    commit(&db, &batches[0]).unwrap();
    let next_write = disk.ops().len() as u64;
    disk.fail_at(next_write, Fault::Error { errno: EIO, written_size_bytes: 100 });
    disk.fail_kind(OpKind::Truncate, Some(EIO));
    assert!(commit(&db, &batches[1]).is_err());
    // The next write would succeed, but would stand behind damaged bytes.
    assert!(commit(&db, &batches[2]).is_err());
    disk.fail_kind(OpKind::Truncate, None);
    commit(&db, &batches[3]).unwrap();
    let mut expected = Content::new();
    insert(&mut expected, &batches[0]);
    insert(&mut expected, &batches[3]);
    assert_eq!(content(&db), expected);
    assert_eq!(content(&open(&disk.live_image())), expected);
}

#[test]
fn segments_that_cannot_be_made_or_synced_lose_nothing() {
    for (kind, errno) in [(OpKind::Create, ENOSPC), (OpKind::Sync, EIO), (OpKind::SyncDir, EIO)] {
        let disk = FaultyDisk::default();
        let db = open(&disk);
        disk.fail_kind(kind, Some(errno));
        let mut outcome = run(&db, 60);
        disk.fail_kind(kind, None);
        let late = [(3, 1_700_002_000_000, 5.0)];
        commit(&db, &late).unwrap();
        insert(&mut outcome.acknowledged, &late);
        assert_eq!(content(&db), outcome.acknowledged);
        assert_eq!(content(&open(&disk.live_image())), outcome.acknowledged, "{kind:?}");
    }
}

#[test]
fn a_finished_segment_that_cannot_be_synced_stops_commits_until_it_is_written_anew() {
    let disk = FaultyDisk::default();
    let db = open(&disk);
    disk.fail_kind(OpKind::Sync, Some(EIO));
    let mut acknowledged = Content::new();
    // The thread that syncs is not waited for, so a commit or two may come before it.
    let refused = workload(190, 10).into_iter().find_map(|batch| {
        let result = commit(&db, &batch);
        if result.is_ok() {
            insert(&mut acknowledged, &batch);
        } else {
            assert!(db.write_fault().is_some());
        }
        std::thread::yield_now();
        result.err()
    });
    assert!(refused.is_some_and(|err| err.to_string().contains("durable")));
    disk.fail_kind(OpKind::Sync, None);
    let late = [(3, 1_800_000_000_000, 5.0)];
    commit(&db, &late).unwrap();
    insert(&mut acknowledged, &late);
    assert_eq!(content(&db), acknowledged);
    assert_eq!(content(&open(&disk.live_image())), acknowledged);
    // What was finished is durable now.
    let first = Path::new("/data/wal/00000000");
    assert_eq!(disk.durable_image().content(first).unwrap(), disk.content(first).unwrap());
}

#[test]
fn a_failed_commit_does_not_take_the_series_with_it() {
    let disk = FaultyDisk::default();
    let db = open(&disk);
    // The handle comes from a batch that fails: the series has no record.
    let mut appender = db.appender();
    let series = appender.series(&super::labels(5)).unwrap();
    disk.fail_kind(OpKind::Write, Some(ENOSPC));
    let sample = |timestamp_ms| prom_storage::FloatSample { series, timestamp_ms, value: 1.0 };
    appender.append(&[sample(1)], &mut Vec::new());
    assert!(appender.commit().unwrap_err().is_disk_full());
    disk.fail_kind(OpKind::Write, None);
    let mut appender = db.appender();
    appender.append(&[sample(2)], &mut Vec::new());
    appender.commit().unwrap();
    let mut expected = Content::new();
    insert(&mut expected, &[(5, 2, 1.0)]);
    assert_eq!(content(&open(&disk.live_image())), expected);
}

#[test]
fn a_tail_torn_anywhere_is_cut_off() {
    let disk = FaultyDisk::default();
    let db = open(&disk);
    let batches = workload(8, 5);
    let path = Path::new("/data/wal/00000000");
    let (mut before, mut begin) = (Content::new(), 0);
    for batch in &batches {
        before = content(&db);
        begin = disk.size_bytes(path).unwrap();
        commit(&db, batch).unwrap();
    }
    let end = disk.size_bytes(path).unwrap();
    assert!(end - begin > 100);
    for size in begin..end {
        let torn = disk.live_image();
        torn.append(path).unwrap().truncate(size).unwrap();
        // The last commit has a series record and a sample record: the first may be whole.
        let db = open(&torn);
        assert_eq!(content(&db), before, "cut at {size}");
        assert!(torn.size_bytes(path).unwrap() <= size);
        commit(&db, &batches[7]).unwrap();
        let mut expected = before.clone();
        insert(&mut expected, &batches[7]);
        assert_eq!(content(&open(&torn.live_image())), expected);
        assert!(torn.list(Path::new("/data")).unwrap().iter().all(|name| name != "quarantine"));
    }
    // Zeros behind the end are padding.
    let zeros = disk.live_image();
    zeros.edit(path, |bytes| bytes.extend([0; 5000])).unwrap();
    assert_eq!(content(&open(&zeros)), content(&db));
}

#[test]
fn damage_in_the_middle_costs_what_it_hit_and_is_kept() {
    let disk = FaultyDisk::default();
    let db = open(&disk);
    let outcome = run(&db, 60);
    db.close().unwrap();
    let path = Path::new("/data/wal/00000001");
    let damaged = disk.live_image();
    damaged.edit(path, |bytes| bytes[20_000] ^= 4).unwrap();
    let bytes = damaged.content(path).unwrap();
    let db = open(&damaged);
    let found = content(&db);
    assert!(is_within(&found, &outcome.acknowledged));
    let count = |content: &Content| content.values().map(|samples| samples.len()).sum::<usize>();
    let lost = count(&outcome.acknowledged) - count(&found);
    assert!(lost > 0 && lost < 1000, "{lost} samples lost");
    // The file as it was, beside a good one.
    let kept = Path::new("/data/quarantine/wal-00000001.0");
    assert_eq!(damaged.content(kept).unwrap(), bytes);
    drop(db);
    let again = open(&damaged);
    assert_eq!(content(&again), found);
    assert_eq!(damaged.list(Path::new("/data/quarantine")).unwrap().len(), 1);
}

/// A disk after the workload, and its samples.
static WRITTEN: OnceLock<(FaultyDisk, Content)> = OnceLock::new();

#[test]
fn damage_on_a_full_disk_keeps_nobody_from_starting() {
    let disk = FaultyDisk::default();
    let outcome = run(&open(&disk), 30);
    let path = Path::new("/data/wal/00000000");
    disk.edit(path, |bytes| bytes[20_000] ^= 4).unwrap();
    let before = disk.content(path).unwrap();
    disk.set_space_left(Some(0));
    let db = open(&disk);
    let found = content(&db);
    assert!(!found.is_empty() && is_within(&found, &outcome.acknowledged));
    assert_eq!(disk.content(path).unwrap(), before);
    assert!(commit(&db, &[(1, 1_800_000_000_000, 1.0)]).unwrap_err().is_disk_full());
    // With space, the next start repairs.
    disk.set_space_left(None);
    assert_eq!(content(&open(&disk.live_image())), found);
}

#[test]
fn a_checkpoint_is_read_before_the_segments_behind_it() {
    let disk = FaultyDisk::default();
    let outcome = run(&open(&disk), 40);
    let wal = Path::new("/data/wal");
    let first = wal.join("00000000");
    let checkpoint = wal.join("checkpoint.00000000");
    disk.create_dir_all(&checkpoint).unwrap();
    disk.hard_link(&first, &checkpoint.join("00000000")).unwrap();
    // Whether the segment it stands for is still there or not.
    assert_eq!(content(&open(&disk.live_image())), outcome.acknowledged);
    disk.remove_file(&first).unwrap();
    assert_eq!(content(&open(&disk.live_image())), outcome.acknowledged);
    // All segments may be gone: the next one is behind the checkpoint.
    for name in disk.list(wal).unwrap() {
        if !name.starts_with("checkpoint") {
            disk.remove_file(&wal.join(name)).unwrap();
        }
    }
    let db = open(&disk);
    assert!(is_within(&content(&db), &outcome.acknowledged));
    commit(&db, &[(1, 1_800_000_000_000, 1.0)]).unwrap();
    assert!(disk.content(&wal.join("00000001")).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn flipped_bits_never_make_samples(
        flips in prop::collection::vec((0u64..3, any::<prop::sample::Index>(), 0u8..8), 1..6)
    ) {
        let (disk, whole) = WRITTEN.get_or_init(|| {
            let disk = FaultyDisk::default();
            let outcome = run(&open(&disk), 50);
            (disk, outcome.acknowledged)
        });
        let disk = disk.live_image();
        for (segment, at, bit) in flips {
            let path = format!("/data/wal/{segment:08}");
            disk.edit(Path::new(&path), |bytes| {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] ^= 1 << bit;
                }
            }).unwrap();
        }
        let found = content(&open(&disk));
        prop_assert!(is_within(&found, whole));
        prop_assert_eq!(content(&open(&disk)), found);
    }

    #[test]
    fn garbage_segments_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let disk = FaultyDisk::default();
        disk.create_dir_all(Path::new("/data/wal")).unwrap();
        disk.append(Path::new("/data/wal/00000003")).unwrap().write(&bytes).unwrap();
        let db = open(&disk);
        prop_assert!(content(&db).is_empty());
        commit(&db, &[(1, 1, 1.0)]).unwrap();
    }
}
