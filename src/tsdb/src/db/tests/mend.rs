//! Head chunks that are damaged behind the back of a start that trusted them, or of a running database, come
//! out of the log again; queries and blocks have every sample.

use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    path::Path,
    sync::Arc,
};

use prom_storage::Queryable;
use prom_testkit::copy_tree;

use crate::{
    Db, Options,
    disk::RealDisk,
    head_chunks::{ChunkFiles, ScannedChunk, scan},
};

use super::{
    ALL, Content, commit, content, insert, labels,
    out_of_order::offer,
    sidecar::{BEGIN, FILE, killed, open_dir, open_dir_with, run},
};

type Change<'a> = &'a dyn Fn(&mut Vec<u8>);

fn damage(dir: &Path, change: impl Fn(&mut Vec<u8>)) {
    for entry in fs::read_dir(dir.join("chunks_head")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        // Another file in its place: nobody writes over what is mapped.
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn damaged_chunks_come_out_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = Content::new();
    let db = open_dir(dir.path());
    run(&db, 0..400, &mut all);
    db.close().unwrap();
    drop(db);
    let changes: [Change<'_>; 4] = [
        &|bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
        },
        &|bytes| bytes.iter_mut().step_by(997).for_each(|byte| *byte ^= 1),
        &|bytes| bytes.fill(0),
        // Whole chunks in the places of others.
        &|bytes| bytes[8..].rotate_left(100),
    ];
    for (number, change) in changes.iter().enumerate() {
        for is_read_first in [true, false] {
            let copy = killed(dir.path());
            damage(copy.path(), change);
            let db = open_dir(copy.path());
            if is_read_first {
                assert_eq!(content(&db), all, "change {number}");
            } else {
                let mended = db.head.mend().unwrap();
                assert!(mended.lost_count > 0 && mended.lost_count == mended.mended_count);
            }
            // Files are good again, the damaged ones are kept.
            assert_eq!(db.head.mend().unwrap().lost_count, 0);
            assert_eq!(content(&db), all, "change {number}");
            assert!(fs::read_dir(copy.path().join("quarantine")).unwrap().count() > 0);
            let mut more = all.clone();
            run(&db, 400..450, &mut more);
            // With the sidecar, without it, and without a log that could help.
            let clean = killed(copy.path());
            assert_eq!(content(&open_dir(clean.path())), more);
            fs::remove_file(clean.path().join(FILE)).ok();
            assert_eq!(content(&open_dir(clean.path())), more);
            db.close().unwrap();
            drop(db);
            assert_eq!(content(&open_dir(copy.path())), more);
        }
    }
}

#[test]
fn a_block_has_what_the_log_had() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = Content::new();
    let db = open_dir(dir.path());
    // More than three hours: a block is due.
    run(&db, 0..800, &mut all);
    db.close().unwrap();
    drop(db);
    damage(dir.path(), |bytes| bytes.iter_mut().step_by(501).for_each(|byte| *byte ^= 1));
    let db = open_dir(dir.path());
    db.do_upkeep().unwrap();
    assert!(!db.blocks.list().is_empty());
    assert_eq!(content(&db), all);
}

#[test]
fn a_mending_that_was_cut_short_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = Content::new();
    let db = open_dir(dir.path());
    run(&db, 0..400, &mut all);
    db.close().unwrap();
    drop(db);
    let before = killed(dir.path());
    damage(dir.path(), |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
    });
    let db = open_dir(dir.path());
    assert!(db.head.mend().unwrap().lost_count > 0);
    drop(db.querier(ALL).unwrap());
    // New files beside old ones, whole or damaged; the sidecar is gone or knows the old ones only.
    let old_names: Vec<_> = fs::read_dir(before.path().join("chunks_head")).unwrap().collect();
    assert!(!old_names.is_empty());
    let both = killed(dir.path());
    copy_tree(&before.path().join("chunks_head"), &both.path().join("chunks_head"));
    for has_sidecar in [true, false] {
        let copy = killed(both.path());
        if !has_sidecar {
            fs::remove_file(copy.path().join(FILE)).unwrap();
        }
        let again = open_dir(copy.path());
        assert_eq!(content(&again), all);
        let t = BEGIN + 401 * 15_000;
        super::commit(&again, &[(1, t, 1.0)]).unwrap();
        let mut more = all.clone();
        insert(&mut more, &[(1, t, 1.0)]);
        assert_eq!(content(&again), more);
    }
}

/// Chunks of what came in order and of what did not stand in the same files.
#[test]
fn damaged_chunks_of_late_samples_come_out_of_their_log() {
    let options = || Options {
        out_of_order_window_ms: 3_600_000,
        out_of_order_count_max: 8,
        ..super::options()
    };
    let dir = tempfile::tempdir().unwrap();
    let mut all = Content::new();
    let db = open_dir_with(dir.path(), options());
    for round in 0..400i64 {
        let (t, back) = (BEGIN + round * 15_000, (round * 37 % 50) * 15_000);
        let batch = [(0, t, round as f64), (1, t - back - 1_000, round as f64), (2, t, 0.5)];
        let batch = if round == 0 { [batch[0], batch[2], batch[2]] } else { batch };
        commit(&db, &batch).unwrap();
        for (number, t, value) in batch {
            // Some times come twice; the first value stays.
            all.entry(labels(number)).or_default().entry(t).or_insert(value.to_bits());
        }
    }
    assert_eq!(content(&db), all);
    db.close().unwrap();
    drop(db);
    for step in [1usize, 600, 5_000] {
        for is_query in [true, false] {
            let copy = killed(dir.path());
            damage(copy.path(), |bytes| {
                let begin = 8.min(bytes.len());
                bytes[begin..].iter_mut().step_by(step).for_each(|byte| *byte ^= 0x11);
            });
            let db = open_dir_with(copy.path(), options());
            if is_query {
                assert_eq!(content(&db), all, "every {step} bytes");
            } else {
                let mended = db.head.mend().unwrap();
                // The start has made late chunks anew; those in order are left.
                assert_eq!(mended.lost_count, mended.mended_count);
            }
            assert_eq!(db.head.mend().unwrap().lost_count, 0);
            assert_eq!(content(&db), all, "every {step} bytes");
            let again = killed(copy.path());
            assert_eq!(content(&open_dir_with(again.path(), options())), all);
            db.compact_out_of_order().unwrap();
            assert_eq!(content(&db), all);
            db.close().unwrap();
            drop(db);
            assert_eq!(content(&open_dir_with(copy.path(), options())), all);
        }
    }
}

/// Damages chunks of late samples in the files of a running database: the disk loses a few bytes of each.
fn damage_late_in_place(dir: &Path, is_hit: impl Fn(usize) -> bool) -> usize {
    let copy = killed(dir);
    let files = ChunkFiles::new(Arc::new(RealDisk), &copy.path().join("chunks_head"));
    let mut late: Vec<ScannedChunk> = Vec::new();
    let keep = |chunk: ScannedChunk| late.extend(Some(chunk).filter(|one| one.is_out_of_order));
    assert_eq!(scan(&files, copy.path(), keep).unwrap().damaged_count, 0);
    let hit = late.iter().enumerate().filter(|(number, _)| is_hit(*number));
    hit.map(|(_, chunk)| {
        let path = dir.join(format!("chunks_head/{:06}", chunk.place.file));
        let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.seek(SeekFrom::Start(u64::from(chunk.place.offset) + 28)).unwrap();
        file.write_all(&[0xa5; 3]).unwrap();
    })
    .count()
}

fn late_options() -> Options {
    Options { out_of_order_window_ms: 3_600_000, out_of_order_count_max: 8, ..super::options() }
}

/// Rounds of samples of which some are late and some come twice, the second time with another value.
fn run_late(db: &Db, rounds: std::ops::Range<i64>, all: &mut Content) {
    for round in rounds {
        let t = BEGIN + round * 15_000;
        let late = |back: i64| t - (round * back % 50 + 1) * 15_000 - 1_000;
        let value = round as f64;
        let mut batch = vec![(0, t, value), (2, t, 0.5)];
        if round > 50 {
            batch.extend([(1, late(37), value), (3, late(11), value), (2, late(7), value)]);
        }
        // Where the first one is the newest of its series, the second one is refused.
        offer(db, &batch);
        for (number, t, value) in batch {
            all.entry(labels(number)).or_default().entry(t).or_insert(value.to_bits());
        }
    }
}

#[test]
fn late_samples_that_a_running_database_loses_come_out_of_their_log() {
    type Finder<'a> = &'a dyn Fn(&Db);
    let finders: [(&str, Finder<'_>); 4] = [
        ("a query", &|db| drop(content(db))),
        ("a look through the files", &|db| {
            let mended = db.head.mend().unwrap();
            assert!(mended.lost_count > 0 && mended.lost_count == mended.mended_count);
        }),
        ("blocks of late samples", &|db| assert!(db.compact_out_of_order().unwrap())),
        ("a snapshot", &|db| {
            let name = db.snapshot(true).unwrap();
            let copy = killed(&db.dir.join("snapshots").join(name));
            assert_eq!(content(&open_dir_with(copy.path(), late_options())), content(db));
        }),
    ];
    for (finder, find) in finders {
        for step in [1, 3] {
            let what = format!("{finder}, one of {step}");
            let dir = tempfile::tempdir().unwrap();
            let mut all = Content::new();
            let db = open_dir_with(dir.path(), late_options());
            run_late(&db, 0..300, &mut all);
            assert_eq!(content(&db), all, "{what}");
            let hit_count = damage_late_in_place(dir.path(), |number| number % step == 0);
            assert!(hit_count > 10, "{what}: {hit_count}");
            find(&db);
            assert_eq!(content(&db), all, "{what}");
            assert_eq!(db.head.mend().unwrap().lost_count, 0, "{what}");
            assert!(fs::read_dir(dir.path().join("quarantine")).unwrap().count() > 0, "{what}");
            // Killed at once, and after it has gone on.
            let killed_content = || {
                let copy = killed(dir.path());
                content(&open_dir_with(copy.path(), late_options()))
            };
            assert_eq!(killed_content(), all, "{what}");
            run_late(&db, 300..400, &mut all);
            assert_eq!(content(&db), all, "{what}");
            assert_eq!(killed_content(), all, "{what}");
            // Once more, in the files that were written anew.
            damage_late_in_place(dir.path(), |number| number % step == 0);
            assert_eq!(content(&db), all, "{what}");
            db.compact_out_of_order().unwrap();
            assert_eq!(content(&db), all, "{what}");
            db.close().unwrap();
            drop(db);
            assert_eq!(content(&open_dir_with(dir.path(), late_options())), all, "{what}");
        }
    }
}

/// Of a file with damage the good chunks are left; what the log says of their places is not true any more.
#[test]
fn a_late_chunk_in_the_place_of_another_one_does_not_come_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = Content::new();
    let db = open_dir_with(dir.path(), late_options());
    let mut take = |samples: &[(usize, i64, f64)]| {
        commit(&db, samples).unwrap();
        for (number, t, value) in samples {
            all.entry(labels(*number)).or_default().entry(*t).or_insert(value.to_bits());
        }
    };
    let newest = BEGIN + 3_000_000;
    take(&[(1, newest, 0.0)]);
    // Chunks of one size; all but the first are of the same times.
    for round in 0..5 {
        for step in 0..8 {
            let begin = if round == 0 { BEGIN } else { BEGIN + 1_000_000 };
            take(&[(1, begin + step * 1_000, f64::from(round))]);
        }
    }
    assert_eq!(content(&db), all);
    db.close().unwrap();
    drop(db);
    for hit in 0..4 {
        let copy = killed(dir.path());
        assert_eq!(damage_late_in_place(copy.path(), |number| number == hit), 1);
        fs::remove_file(copy.path().join(FILE)).unwrap();
        for start in 0..2 {
            let db = open_dir_with(copy.path(), late_options());
            assert_eq!(content(&db), all, "chunk {hit}, start {start}");
        }
    }
}
