//! Series are deleted in the head and in blocks; what is left survives compaction, restarts and crashes.

use prom_model::Matcher;
use prom_testkit::{Fault, FaultyDisk};

use super::{
    Content, Db,
    compact::{append, options, run},
    content, labels, try_open,
};

/// Deletes one series within the times, both inclusive, and notes what is left.
fn delete(db: &Db, series: usize, (mint, maxt): (i64, i64), left: &mut Content) -> bool {
    let n = series.to_string();
    if db.delete(mint, maxt, &[vec![Matcher::equal("n", &n)]]).is_err() {
        return false;
    }
    let samples = left.get_mut(&labels(series)).unwrap();
    samples.retain(|t, _| !(mint..=maxt).contains(t));
    left.retain(|_, samples| !samples.is_empty());
    true
}

#[test]
fn deleted_samples_stay_deleted() {
    let disk = FaultyDisk::default();
    let db = try_open(&disk, &options()).unwrap();
    let mut left = Content::new();
    assert!(run(&db, 0..75, &mut left));
    // Blocks end at 6000, the head goes on to 7400.
    assert!(delete(&db, 0, (500, 2500), &mut left));
    assert!(delete(&db, 1, (5500, 7000), &mut left));
    assert!(delete(&db, 2, (i64::MIN, i64::MAX), &mut left));
    assert!(db.delete(0, 10, &[vec![Matcher::equal("n", "no such")]]).is_ok());
    assert!(db.delete(10, 0, &[vec![]]).is_ok());
    assert_eq!(content(&db), left);
    // Later samples are not touched.
    append(&db, 7500, &mut left);
    assert_eq!(content(&db), left);
    drop(db);
    let db = try_open(&disk, &options()).unwrap();
    assert_eq!(content(&db), left);
    db.clean_tombstones().unwrap();
    assert_eq!(content(&db), left);
    assert!(db.blocks.list().iter().all(|block| block.tombstones().is_empty()));
    assert!(run(&db, 76..200, &mut left));
    assert_eq!(content(&db), left);
    drop(db);
    assert_eq!(content(&try_open(&disk, &options()).unwrap()), left);
}

#[test]
fn blocks_with_nothing_left_go() {
    let disk = FaultyDisk::default();
    let db = try_open(&disk, &options()).unwrap();
    let mut left = Content::new();
    assert!(run(&db, 0..75, &mut left));
    for series in 0..3 {
        assert!(delete(&db, series, (i64::MIN, 2999), &mut left));
    }
    db.clean_tombstones().unwrap();
    assert_eq!(content(&db), left);
    assert!(db.blocks.list().iter().all(|block| block.times().0 >= 3000));
}

/// Opens what a kill leaves, without a sidecar, and compares.
fn check_after_kill(disk: &FaultyDisk, left: &Content) {
    assert_eq!(content(&try_open(&disk.live_image(), &options()).unwrap()), *left);
}

/// Seeds 1824, 1972, 6508 and 6561 of the model: the last block went with all of its samples, and the log had
/// them still.
#[test]
fn what_was_deleted_with_the_last_block_stays_deleted() {
    let disk = FaultyDisk::default();
    let db = try_open(&disk, &options()).unwrap();
    let mut left = Content::new();
    assert!(run(&db, 0..30, &mut left));
    let end = db.blocks.list().iter().map(|block| block.times().1).max().unwrap();
    for series in 0..3 {
        assert!(delete(&db, series, (i64::MIN, end - 1), &mut left));
    }
    db.clean_tombstones().unwrap();
    check_after_kill(&disk, &left);
    let blocks = db.blocks.list();
    let marks: Vec<_> = blocks.iter().map(|b| (b.times().1, b.meta().stats.num_samples)).collect();
    assert_eq!(marks, [(end, 0)]);
    // The mark goes with the blocks that it is merged with.
    assert!(run(&db, 30..150, &mut left));
    assert_eq!(content(&db), left);
    assert!(db.blocks.list().iter().all(|block| block.meta().stats.num_samples > 0));
    check_after_kill(&disk, &left);
}

/// Seeds 507 and 9216 of the model: all of a range was deleted before its block was written; later the log
/// forgot that, and a file of head chunks still had the samples beside newer ones.
#[test]
fn what_was_deleted_before_its_block_was_written_stays_deleted() {
    let disk = FaultyDisk::default();
    let db = try_open(&disk, &options()).unwrap();
    let mut left = Content::new();
    for round in 0..14 {
        append(&db, round * 100, &mut left);
    }
    for series in 0..3 {
        assert!(delete(&db, series, (i64::MIN, 999), &mut left));
    }
    for round in 14..25 {
        append(&db, round * 100, &mut left);
    }
    // One file has the chunks of both ranges.
    db.head.flush_chunks().unwrap();
    for round in 0..4 {
        db.do_upkeep().unwrap();
        db.head.truncate_log(1000 + round).unwrap();
        check_after_kill(&disk, &left);
    }
    assert!(db.blocks.list().iter().any(|block| block.meta().stats.num_samples == 0));
}

#[test]
fn a_crash_while_deleting_leaves_what_was_not_asked_for() {
    for op in 0.. {
        let disk = FaultyDisk::default();
        let db = try_open(&disk, &options()).unwrap();
        let mut before = Content::new();
        assert!(run(&db, 0..75, &mut before));
        let mut after = before.clone();
        disk.fail_at(disk.ops().len() as u64 + op, Fault::Crash { written_size_bytes: 7 });
        let is_done = delete(&db, 1, (500, 7000), &mut after) && db.clean_tombstones().is_ok();
        let mut wanted = before.clone();
        wanted.get_mut(&labels(1)).unwrap().retain(|t, _| !(500..=7000).contains(t));
        let found = content(&try_open(&disk.live_image(), &options()).unwrap());
        for (labels, samples) in &found {
            // Each sample is one that was there, and no other series lost any.
            assert!(samples.iter().all(|(t, v)| before[labels].get(t) == Some(v)), "{op}");
        }
        for (labels, samples) in &wanted {
            assert!(samples.keys().all(|t| found[labels].contains_key(t)), "{op}");
        }
        if is_done {
            assert_eq!(found, wanted);
            break;
        }
    }
}
