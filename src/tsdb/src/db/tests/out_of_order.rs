//! Samples that come out of order: taken within the window, read among the others, kept through kills at
//! every operation, and made blocks of.

use std::path::Path;

use prom_model::{Histogram, HistogramValue, MatchOp, Matcher};
use prom_storage::{
    Appendable, Columns, FloatSample, HistogramSample, Queryable, Rejected, Rejection, SelectHints,
};
use prom_testkit::{Fault, FaultyDisk, OpKind};

use crate::{Options, WalCompression, block::HINT_OUT_OF_ORDER};

use super::{ALL, Content, Db, commit, content, insert, is_within, labels, try_open};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const NEWEST: i64 = 1_700_000_400_000;
const ENOSPC: i32 = 28;

fn options() -> Options {
    Options {
        out_of_order_window_ms: 3 * HOUR_MS,
        out_of_order_count_max: 4,
        wal_compression: WalCompression::None,
        ..super::options()
    }
}

fn open(disk: &FaultyDisk) -> std::sync::Arc<Db> {
    try_open(disk, &options()).unwrap()
}

/// What each sample is told.
pub(super) fn offer(db: &Db, samples: &[(usize, i64, f64)]) -> Vec<(usize, Rejection)> {
    let mut appender = db.appender();
    let mut rejected: Vec<Rejected> = Vec::new();
    let batch: Vec<_> = samples
        .iter()
        .map(|(number, timestamp_ms, value)| FloatSample {
            series: appender.series(&labels(*number)).unwrap(),
            timestamp_ms: *timestamp_ms,
            value: *value,
        })
        .collect();
    appender.append(&batch, &mut rejected);
    appender.commit().unwrap();
    rejected.iter().map(|one| (one.index, one.reason)).collect()
}

/// Commits of which most go back in time, each series in its own way; values follow from series and time.
fn workload(rounds: usize) -> Vec<Vec<(usize, i64, f64)>> {
    let value = |number: usize, t: i64| (number as i64 * 31 + t / 1000 % 97) as f64;
    let mut rounds: Vec<Vec<_>> = (0..rounds as i64)
        .map(|round| {
            let late = |number: usize| {
                let back = (round * 7 + number as i64 * 13) % 23 * 5 * MINUTE_MS;
                NEWEST + round * 1000 - back
            };
            let numbers = (0..9).filter(|number| !(number + round as usize).is_multiple_of(4));
            numbers.map(|number| (number, late(number), value(number, late(number)))).collect()
        })
        .collect();
    rounds.insert(0, (0..6).map(|number| (number, NEWEST, value(number, NEWEST))).collect());
    rounds
}

#[test]
fn the_window_decides() {
    let disk = FaultyDisk::default();
    let db = open(&disk);
    let check = |samples: &[(usize, i64, f64)], expected: &[(usize, Rejection)]| {
        assert_eq!(offer(&db, samples), expected, "{samples:?}");
    };
    check(&[(0, NEWEST, 1.0)], &[]);
    check(&[(0, NEWEST - 1, 2.0), (0, NEWEST - 3 * HOUR_MS, 3.0)], &[]);
    check(&[(0, NEWEST - 3 * HOUR_MS - 1, 4.0)], &[(0, Rejection::TooOld)]);
    // The same time again: equal or not, the first one stays where it can be seen at once.
    check(&[(0, NEWEST, 1.0), (0, NEWEST - 1, 2.0), (0, NEWEST - 1, 9.0)], &[]);
    check(&[(0, NEWEST, 2.0)], &[(0, Rejection::DuplicateTimestamp)]);
    // A series that begins in the past, and one that begins in order and goes back in one batch.
    check(&[(1, NEWEST - 2 * HOUR_MS, 5.0), (2, NEWEST, 6.0), (2, NEWEST - 9, 7.0)], &[]);
    db.apply_out_of_order_window(0).unwrap();
    check(
        &[(0, NEWEST - 5, 8.0), (0, NEWEST - 2 * HOUR_MS, 8.0)],
        &[(0, Rejection::OutOfOrder), (1, Rejection::OutOfBounds)],
    );
    let mut expected = Content::new();
    insert(
        &mut expected,
        &[
            (0, NEWEST, 1.0),
            (0, NEWEST - 1, 2.0),
            (0, NEWEST - 3 * HOUR_MS, 3.0),
            (1, NEWEST - 2 * HOUR_MS, 5.0),
            (2, NEWEST, 6.0),
            (2, NEWEST - 9, 7.0),
        ],
    );
    assert_eq!(content(&db), expected);
    // What was taken is there whatever the window is now.
    let closed = try_open(&disk.live_image(), &super::options()).unwrap();
    assert_eq!(content(&closed), expected);
    assert_eq!(offer(&closed, &[(0, NEWEST - 5, 8.0)]), [(0, Rejection::OutOfOrder)]);
    closed.apply_out_of_order_window(HOUR_MS).unwrap();
    assert_eq!(offer(&closed, &[(0, NEWEST - 5, 8.0)]), []);
}

#[test]
fn samples_are_read_in_order_wherever_they_are() {
    let disk = FaultyDisk::default();
    let db = open(&disk);
    let mut expected = Content::new();
    for batch in workload(60) {
        commit(&db, &batch).unwrap();
        insert(&mut expected, &batch);
        assert_eq!(content(&db), expected);
    }
    assert!(!disk.list(Path::new("/data/wbl")).unwrap().is_empty());
    for image in [disk.live_image(), disk.live_image().live_image()] {
        let again = open(&image);
        assert_eq!(content(&again), expected);
        again.close().unwrap();
        // Chunks that are closed at the end, and markers of those in files.
        assert_eq!(content(&open(&image.durable_image())), expected);
    }
}

#[test]
fn a_reader_sees_whole_commits() {
    let disk = FaultyDisk::default();
    let db = open(&disk);
    let rounds = workload(30);
    let (mut readers, mut expected) = (Vec::new(), Content::new());
    for batch in &rounds {
        commit(&db, batch).unwrap();
        insert(&mut expected, batch);
        readers.push((db.querier(ALL).unwrap(), expected.clone()));
    }
    for (querier, expected) in readers {
        let hints = SelectHints { range: ALL, is_sorted: false, series_count_max: 0 };
        let selection = querier.select(&[], &hints).unwrap();
        let mut found = Content::new();
        for index in 0..selection.len() {
            let mut columns = Columns::default();
            selection.read(index, ALL, &mut columns).unwrap();
            let bits = columns.values.iter().map(|value| value.to_bits());
            let samples = columns.timestamps_ms.iter().copied().zip(bits).collect();
            found.insert(selection.labels(index), samples);
        }
        found.retain(|_, samples: &mut std::collections::BTreeMap<_, _>| !samples.is_empty());
        assert_eq!(found, expected);
    }
}

/// What the workload's commits were told on a disk that may fail.
fn run(db: &Db, rounds: usize) -> (Content, Content) {
    let (mut acknowledged, mut tried) = (Content::new(), Content::new());
    for batch in workload(rounds) {
        insert(&mut tried, &batch);
        if commit(db, &batch).is_ok() {
            insert(&mut acknowledged, &batch);
        }
    }
    (acknowledged, tried)
}

#[test]
fn a_killed_process_loses_nothing_acknowledged_wherever_it_stops() {
    let ops = {
        let disk = FaultyDisk::default();
        run(&open(&disk), 16);
        disk.ops()
    };
    for (at, op) in ops.iter().enumerate() {
        let written: &[usize] = if *op == OpKind::Write { &[0, 1, 90, usize::MAX] } else { &[0] };
        for written_size_bytes in written.iter().copied() {
            let disk = FaultyDisk::default();
            disk.fail_at(at as u64, Fault::Crash { written_size_bytes });
            let Ok(db) = try_open(&disk, &options()) else { continue };
            let (acknowledged, tried) = run(&db, 16);
            let killed = open(&disk.live_image());
            let found = content(&killed);
            assert!(is_within(&acknowledged, &found), "op {at} {op:?}");
            assert!(is_within(&found, &tried), "op {at} {op:?}");
            // The power failed: nothing is wrong.
            let dark = open(&disk.durable_image());
            assert!(is_within(&content(&dark), &tried), "op {at} {op:?}");
        }
    }
}

#[test]
fn a_commit_that_fails_on_either_log_leaves_nothing() {
    for space in (0..24_000).step_by(601) {
        let disk = FaultyDisk::default();
        let db = open(&disk);
        disk.set_space_left(Some(space));
        let (acknowledged, _) = run(&db, 40);
        assert_eq!(content(&db), acknowledged, "space {space}");
        assert_eq!(content(&open(&disk.live_image())), acknowledged, "space {space}");
        disk.set_space_left(None);
        let late = [(2, NEWEST - 77, 5.0), (3, NEWEST + 50_000, 6.0)];
        commit(&db, &late).unwrap();
        let mut expected = acknowledged;
        insert(&mut expected, &late);
        assert_eq!(content(&db), expected);
        assert_eq!(content(&open(&disk.live_image())), expected, "space {space}");
    }
    let disk = FaultyDisk::default();
    let db = open(&disk);
    disk.fail_kind(OpKind::Write, Some(ENOSPC));
    assert!(commit(&db, &[(0, NEWEST, 1.0)]).is_err());
}

/// A database with a few hours of samples in order, and late ones among them.
fn hours(db: &Db) -> Content {
    let mut expected = Content::new();
    for step in 0..5 * 60 {
        let t = NEWEST + step * MINUTE_MS;
        let late = t - (step * 37 % 170) * MINUTE_MS - 500;
        let late = late.max(NEWEST);
        let batch = [(0, t, step as f64), (1, t, 1.0), (2, late, late as f64)];
        let batch = if step < 2 { &batch[..2] } else { &batch[..] };
        commit(db, batch).unwrap();
        insert(&mut expected, batch);
    }
    expected
}

fn hinted_count(db: &Db) -> usize {
    db.blocks.list().iter().filter(|block| block.meta().has_hint(HINT_OUT_OF_ORDER)).count()
}

#[test]
fn late_samples_become_blocks_and_leave_head_and_log() {
    let disk = FaultyDisk::default();
    let db = open(&disk);
    let mut expected = hours(&db);
    let before = db.querier(ALL).unwrap();
    drop(before);
    db.do_upkeep().unwrap();
    assert_eq!(content(&db), expected);
    assert!(db.blocks.list().len() > 1);
    assert!(!db.head.has_out_of_order_in(ALL));
    let log = crate::wal::list_log(&disk, Path::new("/data/wbl")).unwrap();
    assert_eq!(log.size_bytes(), 0);
    // Later ones go on.
    let t = NEWEST + 5 * HOUR_MS;
    let late = [(2, t - HOUR_MS, 1.0), (7, t - 2 * HOUR_MS, 2.0), (0, t, 3.0)];
    commit(&db, &late).unwrap();
    insert(&mut expected, &late);
    assert_eq!(content(&db), expected);
    assert_eq!(content(&open(&disk.live_image())), expected);
    db.close().unwrap();
    assert_eq!(content(&open(&disk.durable_image())), expected);
}

#[test]
fn blocks_of_late_samples_say_so() {
    let disk = FaultyDisk::default();
    let db = open(&disk);
    let expected = hours(&db);
    assert!(db.compact_out_of_order().unwrap());
    assert!(!db.compact_out_of_order().unwrap());
    assert_eq!(hinted_count(&db), db.blocks.list().len());
    assert_eq!(content(&db), expected);
    // They do not tell where the head begins.
    assert_eq!(content(&open(&disk.live_image())), expected);
}

/// In order, then late at the same times, then late twice at other times: what is read does not depend on
/// where samples are by then.
#[test]
fn of_samples_at_one_time_the_first_to_come_stays_wherever_they_are() {
    let disk = FaultyDisk::default();
    let db = open(&disk);
    let mut expected = Content::new();
    let times = || (0..5 * 12).map(|step| NEWEST + step * 5 * MINUTE_MS);
    for t in times() {
        let batch = [(0, t, 1.0), (1, t, 1.0)];
        commit(&db, &batch).unwrap();
        insert(&mut expected, &batch);
    }
    // Not so new that a series may begin there in order.
    let late_times = || times().skip(2 * 12).step_by(2).take(10);
    let check = |db: &Db, expected: &Content, when: &str| {
        assert_eq!(content(db), *expected, "{when}");
        assert_eq!(content(&open(&disk.live_image())), *expected, "{when}, killed");
    };
    for round in 0..4 {
        let value = f64::from(2 + round);
        for t in late_times() {
            commit(&db, &[(0, t, value), (1, t - 1, value), (2, t - 1, value)]).unwrap();
            if round == 0 {
                insert(&mut expected, &[(1, t - 1, value), (2, t - 1, value)]);
            }
        }
        check(&db, &expected, &format!("round {round}, in the head"));
        if round < 3 {
            assert!(db.compact_out_of_order().unwrap());
            check(&db, &expected, &format!("round {round}, in blocks"));
        }
    }
    assert!(hinted_count(&db) >= 3);
    db.do_upkeep().unwrap();
    check(&db, &expected, "after an upkeep");
    let times: Vec<_> = db.blocks.list().iter().map(|block| block.times()).collect();
    assert!(times.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{times:?}");
    // Other names, as after a merge: what counts is how old they are.
    db.clean_tombstones().unwrap();
    check(&db, &expected, "in the end");
}

#[test]
fn a_crash_at_any_step_of_a_compaction_loses_nothing() {
    let (first, ops) = {
        let disk = FaultyDisk::default();
        let db = open(&disk);
        hours(&db);
        let first = disk.ops().len();
        db.do_upkeep().unwrap();
        (first, disk.ops())
    };
    assert!(ops.len() > first + 20);
    for (at, op) in ops.iter().enumerate().skip(first) {
        let disk = FaultyDisk::default();
        let db = open(&disk);
        let expected = hours(&db);
        disk.fail_at(at as u64, Fault::Crash { written_size_bytes: 0 });
        let done = db.do_upkeep();
        assert_eq!(content(&db), expected, "op {at} {op:?}");
        let killed = open(&disk.live_image());
        assert_eq!(content(&killed), expected, "op {at} {op:?}");
        killed.do_upkeep().unwrap();
        assert_eq!(content(&killed), expected, "op {at} {op:?}, {done:?}");
    }
}

#[test]
fn series_of_late_samples_only_stay_until_these_stand_in_blocks() {
    let disk = FaultyDisk::default();
    let db = open(&disk);
    let mut expected = Content::new();
    for step in 0..4 * 60 {
        let batch = [(0, NEWEST + step * MINUTE_MS, 1.0)];
        commit(&db, &batch).unwrap();
        insert(&mut expected, &batch);
    }
    let late = [(5, NEWEST + 2 * HOUR_MS, 2.0)];
    commit(&db, &late).unwrap();
    insert(&mut expected, &late);
    let end = NEWEST + 3 * HOUR_MS;
    db.head.truncate(end).unwrap();
    assert_eq!(db.head.index().count(), 2);
    db.compact_out_of_order().unwrap();
    db.head.truncate(end).unwrap();
    assert_eq!(db.head.index().count(), 1);
}

#[test]
fn what_is_deleted_stays_deleted() {
    let disk = FaultyDisk::default();
    let db = open(&disk);
    let mut expected = hours(&db);
    let matcher = Matcher::new("n", MatchOp::Equal, "2").unwrap();
    let (from, to) = (NEWEST, NEWEST + 2 * HOUR_MS);
    db.delete(from, to, &[vec![matcher]]).unwrap();
    let samples = expected.get_mut(&labels(2)).unwrap();
    let before = samples.len();
    samples.retain(|t, _| !(from..=to).contains(t));
    assert!(samples.len() < before && !samples.is_empty());
    assert_eq!(content(&db), expected);
    assert_eq!(content(&open(&disk.live_image())), expected);
    db.do_upkeep().unwrap();
    assert_eq!(content(&db), expected);
    assert_eq!(content(&open(&disk.live_image())), expected);
}

#[test]
fn samples_whose_series_nobody_tells_go_to_nobody() {
    let disk = FaultyDisk::default();
    let db = open(&disk);
    let expected = hours(&db);
    db.close().unwrap();
    let image = disk.durable_image();
    for name in image.list(Path::new("/data/wal")).unwrap() {
        image.remove_file(&Path::new("/data/wal").join(name)).unwrap();
    }
    let db = open(&image);
    assert_eq!(content(&db), Content::new());
    // New series have new refs, now and at the next start.
    let later = [(11, NEWEST, 1.0), (12, NEWEST, 2.0), (13, NEWEST, 3.0), (11, NEWEST - 5, 4.0)];
    commit(&db, &later).unwrap();
    let mut found = Content::new();
    insert(&mut found, &later);
    assert_eq!(content(&db), found);
    for again in [image.live_image(), image.live_image().live_image()] {
        assert_eq!(content(&open(&again)), found);
    }
    let kept = image.list(Path::new("/data/quarantine")).unwrap();
    assert!(kept.iter().any(|name| name.starts_with("wbl-")), "{kept:?}");
    assert!(!expected.is_empty());
}

#[test]
fn chunks_that_are_lost_are_made_anew_from_the_log() {
    let disk = FaultyDisk::default();
    let db = open(&disk);
    let expected = hours(&db);
    let chunks = Path::new("/data/chunks_head");
    let names = disk.list(chunks).unwrap();
    assert!(!names.is_empty());
    // Without the files, and with files that have other chunks at these places.
    let gone = disk.live_image();
    for name in &names {
        gone.remove_file(&chunks.join(name)).unwrap();
    }
    let db = open(&gone);
    assert_eq!(content(&db), expected);
    for step in 0..20 {
        commit(&db, &[(2, NEWEST + 4 * HOUR_MS + step, 0.25)]).unwrap();
    }
    let all = content(&db);
    assert!(is_within(&expected, &all));
    assert_eq!(content(&open(&gone.live_image())), all);
    // Damaged anywhere.
    for at in (8..400).step_by(17) {
        let damaged = disk.live_image();
        damaged.edit(&chunks.join(&names[0]), |bytes| bytes[at] ^= 4).unwrap();
        assert_eq!(content(&open(&damaged)), expected, "byte {at}");
    }
}

#[test]
fn histograms_come_late_too() {
    let disk = FaultyDisk::default();
    let db = open(&disk);
    let histogram = |sum: f64| {
        let histogram = Histogram { sum, count: 3, zero_count: 3, ..Histogram::default() };
        HistogramValue::Integer(std::sync::Arc::new(histogram))
    };
    let append = |times: &[i64]| {
        let mut appender = db.appender();
        let series = appender.series(&labels(4)).unwrap();
        let samples: Vec<_> = times
            .iter()
            .map(|t| HistogramSample {
                series,
                timestamp_ms: *t,
                start_ms: 0,
                histogram: histogram((t - NEWEST) as f64),
            })
            .collect();
        let mut rejected = Vec::new();
        appender.append_histograms(&samples, &mut rejected);
        appender.commit().unwrap();
        rejected
    };
    assert_eq!(append(&[NEWEST]), []);
    for back in [5, 3, 9, 7, 1, 8, 2, 4, 6] {
        assert_eq!(append(&[NEWEST - back * MINUTE_MS]), []);
    }
    assert_eq!(append(&[NEWEST - 4 * HOUR_MS])[0].reason, Rejection::TooOld);
    // A float among them.
    commit(&db, &[(4, NEWEST - 90_000, 1.5)]).unwrap();
    let check = |db: &Db| {
        let querier = db.querier(ALL).unwrap();
        let hints = SelectHints { range: ALL, is_sorted: false, series_count_max: 0 };
        let selection = querier.select(&[], &hints).unwrap();
        let mut columns = Columns::default();
        selection.read(0, ALL, &mut columns).unwrap();
        assert_eq!(columns.timestamps_ms, [NEWEST - 90_000]);
        let sums: Vec<_> = columns.histograms.iter().map(|p| p.histogram.to_float().sum).collect();
        let times: Vec<_> =
            columns.histograms.iter().map(|p| (p.timestamp_ms - NEWEST) as f64).collect();
        assert_eq!(sums, times);
        let expected: Vec<_> = (0..10).map(|back| -f64::from(9 - back) * 60_000.0).collect();
        assert_eq!(sums, expected);
    };
    check(&db);
    check(&open(&disk.live_image()));
    db.compact_out_of_order().unwrap();
    check(&db);
    check(&open(&disk.live_image()));
}

#[test]
fn a_snapshot_has_late_samples() {
    let disk = FaultyDisk::default();
    let db = open(&disk);
    let expected = hours(&db);
    let name = db.snapshot(true).unwrap();
    let dir = Path::new("/data/snapshots").join(name);
    let progress = |_| std::ops::ControlFlow::Continue(());
    let registry = prom_telemetry::Registry::default();
    let of_disk = std::sync::Arc::new(disk.clone());
    let copy = Db::open_on(of_disk, &dir, &options(), &registry, &progress, None).unwrap();
    assert_eq!(content(&copy), expected);
}
