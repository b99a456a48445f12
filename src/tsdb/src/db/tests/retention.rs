//! The last block goes beyond retention while the log still has its samples: no start brings them back, and none
//! takes other times than the process before it did.

use std::{ops::ControlFlow, path::Path, sync::Arc};

use prom_storage::{Appendable, FloatSample, Rejected, Rejection};
use prom_telemetry::{MetricValue, Registry};
use prom_testkit::{Fault, FaultyDisk};

use crate::{Options, RetentionOptions};

use super::{
    Content, DIR, Db,
    compact::{options, run},
    content, labels,
    sidecar::{FILE, killed, open_dir_with},
    try_open,
};

const NOTHING_FITS: RetentionOptions =
    RetentionOptions { duration_ms: 0, size_bytes: 1, percentage: 0.0 };

/// What one sample of a series is told.
fn offer(db: &Db, t: i64) -> Option<Rejection> {
    let mut appender = db.appender();
    let series = appender.series(&labels(0)).unwrap();
    let mut rejected: Vec<Rejected> = Vec::new();
    appender.append(&[FloatSample { series, timestamp_ms: t, value: 1.0 }], &mut rejected);
    rejected.first().map(|one| one.reason)
}

fn block_names(disk: &FaultyDisk) -> Vec<String> {
    let names = disk.list(Path::new(DIR)).unwrap();
    names.into_iter().filter(|name| name.len() == 26).collect()
}

fn since(content: &Content, t: i64) -> Content {
    let mut left = content.clone();
    left.values_mut().for_each(|samples| samples.retain(|at, _| *at >= t));
    left.retain(|_, samples| !samples.is_empty());
    left
}

#[test]
fn samples_of_blocks_beyond_the_size_stay_away() {
    let disk = FaultyDisk::default();
    let db = try_open(&disk, &options()).unwrap();
    let mut all = Content::new();
    assert!(run(&db, 0..75, &mut all));
    let end = db.blocks.list().last().unwrap().times().1;
    db.apply_retention(NOTHING_FITS).unwrap();
    let left = since(&all, end);
    assert_eq!(content(&db), left);
    let mark = block_names(&disk);
    assert_eq!(mark.len(), 1);
    // It is not made again and again, nor counted.
    db.do_upkeep().unwrap();
    assert_eq!(block_names(&disk), mark);
    // The bounds of the next process are those of this one.
    let offer_all = |db: &Db| [end - 1, end, 6_899, 6_900, 7_300].map(|t| offer(db, t));
    let told = offer_all(&db);
    assert!(told.contains(&Some(Rejection::OutOfBounds)) && told[4] == Some(Rejection::OutOfOrder));
    for is_closed in [false, true] {
        if is_closed {
            db.close().unwrap();
        }
        let again = try_open(&disk.live_image(), &options()).unwrap();
        assert_eq!(content(&again), left, "closed: {is_closed}");
        assert_eq!(offer_all(&again), told);
        let mut more = left.clone();
        assert!(run(&again, 75..140, &mut more));
        assert_eq!(content(&again), more);
        // A later block tells more than the mark.
        again.apply_retention(NOTHING_FITS).unwrap();
        assert_eq!(again.blocks.list().len(), 1);
        let end = again.blocks.list().last().unwrap().times().1;
        assert_eq!(content(&again), since(&more, end));
    }
}

#[test]
fn a_share_of_the_disk_that_nothing_fits_into_leaves_a_mark_too() {
    let dir = tempfile::tempdir().unwrap();
    let db = open_dir_with(dir.path(), options());
    let mut all = Content::new();
    assert!(run(&db, 0..75, &mut all));
    let end = db.blocks.list().last().unwrap().times().1;
    let percentage = RetentionOptions { percentage: 1e-9, ..RetentionOptions::default() };
    db.apply_retention(percentage).unwrap();
    assert_eq!(content(&db), since(&all, end));
    let copy = killed(dir.path());
    std::fs::remove_file(copy.path().join(FILE)).ok();
    assert_eq!(content(&open_dir_with(copy.path(), options())), since(&all, end));
}

/// Late samples stand in a block that is newer than the last one in order.
#[test]
fn a_block_of_late_samples_is_no_reason_to_forget_where_the_log_ends() {
    let options = || Options { out_of_order_window_ms: 10_000, ..options() };
    let disk = FaultyDisk::default();
    let db = try_open(&disk, &options()).unwrap();
    let mut all = Content::new();
    assert!(run(&db, 0..75, &mut all));
    let end = db.blocks.list().last().unwrap().times().1;
    assert_eq!(offer_late(&db, end + 1_150, &mut all), None);
    assert!(db.compact_out_of_order().unwrap());
    let age = RetentionOptions { duration_ms: 1_000, ..RetentionOptions::default() };
    db.apply_retention(age).unwrap();
    assert_eq!(content(&db), since(&all, end));
    assert_eq!(content(&try_open(&disk.live_image(), &options()).unwrap()), since(&all, end));
}

fn offer_late(db: &Db, t: i64, all: &mut Content) -> Option<Rejection> {
    let mut appender = db.appender();
    let series = appender.series(&labels(0)).unwrap();
    let mut rejected: Vec<Rejected> = Vec::new();
    appender.append(&[FloatSample { series, timestamp_ms: t, value: 0.5 }], &mut rejected);
    appender.commit().unwrap();
    all.get_mut(&labels(0)).unwrap().insert(t, 0.5f64.to_bits());
    rejected.first().map(|one| one.reason)
}

#[test]
fn a_disk_that_refuses_the_mark_keeps_the_block() {
    let (first, last) = {
        let disk = FaultyDisk::default();
        let db = try_open(&disk, &options()).unwrap();
        assert!(run(&db, 0..75, &mut Content::new()));
        let first = disk.ops().len() as u64;
        db.apply_retention(NOTHING_FITS).unwrap();
        (first, disk.ops().len() as u64)
    };
    assert!(last > first + 8);
    for op in first..last {
        for fault in [
            Fault::Crash { written_size_bytes: 0 },
            Fault::Error { errno: 28, written_size_bytes: 0 },
        ] {
            let disk = FaultyDisk::default();
            let db = try_open(&disk, &options()).unwrap();
            let mut all = Content::new();
            assert!(run(&db, 0..75, &mut all));
            let end = db.blocks.list().last().unwrap().times().1;
            disk.fail_at(op, fault);
            drop(db.apply_retention(NOTHING_FITS));
            let again = try_open(&disk.live_image(), &options()).unwrap();
            // Each block is there, whole, or gone with all that it had.
            let left = again.blocks.list();
            let is_left = |t: i64| {
                let mut blocks = left.iter().filter(|block| block.meta().stats.num_samples > 0);
                t >= end || blocks.any(|block| (block.times().0..block.times().1).contains(&t))
            };
            let mut expected = all.clone();
            expected.values_mut().for_each(|samples| samples.retain(|t, _| is_left(*t)));
            assert_eq!(content(&again), expected, "op {op}");
            again.apply_retention(NOTHING_FITS).unwrap();
            assert_eq!(content(&again), since(&all, end), "op {op}");
        }
    }
}

#[test]
fn the_lowest_time_is_that_of_the_oldest_block_or_of_the_head() {
    let (disk, registry) = (FaultyDisk::default(), Registry::default());
    disk.create_dir_all(Path::new(DIR)).unwrap();
    let progress = |_| ControlFlow::Continue(());
    let on_disk = Arc::new(disk.clone());
    let db = Db::open_on(on_disk, Path::new(DIR), &options(), &registry, &progress, None).unwrap();
    let lowest = || {
        ["prometheus_tsdb_lowest_timestamp", "prometheus_tsdb_lowest_timestamp_seconds"].map(
            |name| {
                let families = registry.gather();
                let family = families.iter().find(|family| family.name == name).unwrap();
                match family.metrics[0].value {
                    MetricValue::Number(value) => value,
                    _ => panic!("it is a gauge"),
                }
            },
        )
    };
    assert!(run(&db, 15..20, &mut Content::new()));
    assert_eq!(lowest(), [1_500.0, 1.0]);
    assert!(run(&db, 20..75, &mut Content::new()));
    assert_eq!(lowest(), [1_500.0, 1.0]);
    db.apply_retention(NOTHING_FITS).unwrap();
    let begin = db.blocks.list()[0].times().0;
    assert!(begin > 2_000);
    assert_eq!(lowest(), [begin as f64, (begin / 1000) as f64]);
}
