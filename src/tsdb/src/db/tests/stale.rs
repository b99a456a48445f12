//! Series that have ended leave the head early, when there are many of them; what was stored is read as before,
//! through kills at every operation, and the series may come back.

use prom_model::{Matcher, stale_nan};
use prom_storage::{Columns, Queryable, SelectHints};
use prom_testkit::{Fault, FaultyDisk};

use crate::{Options, block::HINT_STALE_SERIES, db::sidecar};

use super::{
    ALL, Content, Db, commit, compact, content, insert, labels,
    sidecar::{FILE, killed, open_dir_with},
    try_open,
};

const SERIES_COUNT: usize = 10;
/// The first ones end.
const ENDED_COUNT: usize = 6;
const END: i64 = 1_200;

fn options() -> Options {
    Options { out_of_order_window_ms: 500, ..compact::options() }
}

/// Rounds of all series, then of those that go on; all of it is in the head.
fn fill(db: &Db) -> Content {
    let mut all = Content::new();
    let mut take = |batch: Vec<(usize, i64, f64)>| {
        commit(db, &batch).unwrap();
        insert(&mut all, &batch);
    };
    for t in (0..END).step_by(10) {
        take((0..SERIES_COUNT).map(|number| (number, t, (number as i64 * t) as f64)).collect());
    }
    take((0..ENDED_COUNT).map(|number| (number, END, stale_nan())).collect());
    for t in (END..1_400).step_by(10) {
        take((ENDED_COUNT..SERIES_COUNT).map(|number| (number, t, 0.5)).collect());
    }
    all
}

fn hinted_count(db: &Db) -> usize {
    db.blocks.list().iter().filter(|block| block.meta().has_hint(HINT_STALE_SERIES)).count()
}

/// Kills, with and without files of head chunks, and a clean stop.
fn check_starts(disk: &FaultyDisk, expected: &Content, what: &str) {
    let image = disk.live_image();
    for start in 0..3 {
        let db = try_open(&image, &options()).unwrap();
        assert_eq!(content(&db), *expected, "{what}, start {start}");
        db.head.flush_chunks().unwrap();
        if start == 1 {
            db.close().unwrap();
        }
    }
}

#[test]
fn series_that_ended_leave_the_head_and_nothing_else_changes() {
    let disk = FaultyDisk::default();
    let db = try_open(&disk, &options()).unwrap();
    let mut all = fill(&db);
    for share in [0.0, 0.61] {
        db.set_stale_series_threshold(share);
        db.do_upkeep().unwrap();
        assert_eq!((db.blocks.list().len(), db.head.index().count()), (0, SERIES_COUNT), "{share}");
    }
    db.set_stale_series_threshold(0.6);
    db.do_upkeep().unwrap();
    assert_eq!((db.blocks.list().len(), hinted_count(&db)), (2, 2));
    assert_eq!(db.head.index().count(), SERIES_COUNT - ENDED_COUNT);
    assert_eq!((db.head.stale_share(), db.head_stats().series_count), (0.0, 4));
    assert_eq!(content(&db), all);
    check_starts(&disk, &all, "at once");
    // The others become blocks of the same times.
    for t in (1_400..6_000).step_by(10) {
        let batch: Vec<_> = (ENDED_COUNT..SERIES_COUNT).map(|number| (number, t, 1.5)).collect();
        commit(&db, &batch).unwrap();
        insert(&mut all, &batch);
    }
    db.do_upkeep().unwrap();
    assert_eq!((hinted_count(&db), content(&db)), (2, all.clone()));
    check_starts(&disk, &all, "later");
    db.close().unwrap();
    assert_eq!(content(&try_open(&disk.durable_image(), &options()).unwrap()), all);
}

#[test]
fn series_that_come_back_have_both_what_they_had_and_what_is_new() {
    let disk = FaultyDisk::default();
    let db = try_open(&disk, &options()).unwrap();
    let mut all = fill(&db);
    assert_eq!(db.compact_stale().unwrap(), ENDED_COUNT);
    for t in (1_400..1_450).step_by(10) {
        let batch: Vec<_> = (0..SERIES_COUNT).map(|number| (number, t, 2.5)).collect();
        commit(&db, &batch).unwrap();
        insert(&mut all, &batch);
    }
    assert_eq!(content(&db), all);
    check_starts(&disk, &all, "back");
    // They end once more.
    let markers: Vec<_> = (0..ENDED_COUNT).map(|number| (number, 1_450, stale_nan())).collect();
    commit(&db, &markers).unwrap();
    insert(&mut all, &markers);
    assert_eq!(db.compact_stale().unwrap(), ENDED_COUNT);
    assert_eq!(content(&db), all);
    check_starts(&disk, &all, "ended again");
    db.delete(i64::MIN, i64::MAX, &[vec![Matcher::equal("n", "1")]]).unwrap();
    all.remove(&labels(1));
    assert_eq!(content(&db), all);
    check_starts(&disk, &all, "deleted");
    assert_eq!(db.compact_stale().unwrap(), 0);
}

#[test]
fn series_of_which_anything_has_come_meanwhile_stay_whole() {
    let disk = FaultyDisk::default();
    let db = try_open(&disk, &options()).unwrap();
    let mut all = fill(&db);
    // Late samples are no part of such a block.
    let late = [(5, END - 5, 7.0)];
    commit(&db, &late).unwrap();
    insert(&mut all, &late);
    let stale = db.head.stale_series();
    assert_eq!(stale.len(), ENDED_COUNT - 1);
    // As if the blocks had been written: one goes on, one gets a late sample.
    let since = [(0, 1_400, 1.0), (1, END - 5, 7.0)];
    commit(&db, &since).unwrap();
    insert(&mut all, &since);
    assert_eq!(db.head.evict_stale(&stale).unwrap(), ENDED_COUNT - 3);
    (2..5).for_each(|number| drop(all.remove(&labels(number))));
    assert_eq!(content(&db), all);
    assert_eq!(db.head.index().count(), SERIES_COUNT - 3);
    check_starts(&disk, &all, "some stay");
}

#[test]
fn queries_of_before_are_waited_for() {
    let disk = FaultyDisk::default();
    let db = try_open(&disk, &options()).unwrap();
    let all = fill(&db);
    let querier = db.querier(ALL).unwrap();
    std::thread::scope(|scope| {
        let compaction = scope.spawn(|| db.compact_stale().unwrap());
        let hints = SelectHints { range: ALL, is_sorted: false, series_count_max: 0 };
        while db.blocks.list().len() < 2 {
            std::thread::yield_now();
        }
        for _ in 0..100 {
            let selection = querier.select(&[], &hints).unwrap();
            let mut columns = Columns::default();
            (0..selection.len()).for_each(|at| selection.read(at, ALL, &mut columns).unwrap());
            assert_eq!(
                columns.len(),
                all.values().map(std::collections::BTreeMap::len).sum::<usize>()
            );
            assert_eq!(content(&db), all);
        }
        drop(querier);
        assert_eq!(compaction.join().unwrap(), ENDED_COUNT);
    });
    assert_eq!(content(&db), all);
}

#[test]
fn a_crash_at_any_step_loses_nothing_and_the_next_try_succeeds() {
    let (first, last) = {
        let disk = FaultyDisk::default();
        let db = try_open(&disk, &options()).unwrap();
        fill(&db);
        let first = disk.ops().len() as u64;
        db.compact_stale().unwrap();
        (first, disk.ops().len() as u64)
    };
    assert!(last > first + 20);
    for op in first..last {
        for fault in [
            Fault::Crash { written_size_bytes: 0 },
            Fault::Error { errno: 5, written_size_bytes: 3 },
        ] {
            let disk = FaultyDisk::default();
            let db = try_open(&disk, &options()).unwrap();
            let all = fill(&db);
            disk.fail_at(op, fault);
            drop(db.compact_stale());
            assert_eq!(content(&db), all, "op {op}");
            let killed = try_open(&disk.live_image(), &options()).unwrap();
            assert_eq!(content(&killed), all, "op {op}");
            killed.compact_stale().unwrap();
            assert_eq!(content(&killed), all, "op {op}");
        }
    }
}

/// They leave with the others then.
#[test]
fn a_head_that_becomes_a_block_soon_is_left_alone() {
    let disk = FaultyDisk::default();
    let db = try_open(&disk, &compact::options()).unwrap();
    assert!(compact::run(&db, 0..75, &mut Content::new()));
    commit(&db, &[(0, 7_450, stale_nan()), (1, 7_450, stale_nan())]).unwrap();
    db.set_stale_series_threshold(0.1);
    db.do_upkeep().unwrap();
    assert_eq!(hinted_count(&db), 0);
    assert!(db.compact_stale().unwrap() > 0);
}

#[test]
fn what_left_the_head_stays_away_whatever_a_start_begins_with() {
    let options = || Options { is_chunk_snapshot_used: true, ..options() };
    let dir = tempfile::tempdir().unwrap();
    let db = open_dir_with(dir.path(), options());
    let mut all = fill(&db);
    db.head.flush_chunks().unwrap();
    // A sidecar from before; the log goes on.
    assert!(sidecar::write(&db.head, &dir.path().join(FILE)).unwrap());
    assert_eq!(db.compact_stale().unwrap(), ENDED_COUNT);
    let back = [(0, 1_400, 1.0), (7, 1_400, 1.0)];
    commit(&db, &back).unwrap();
    insert(&mut all, &back);
    db.delete(i64::MIN, i64::MAX, &[vec![Matcher::equal("n", "1")]]).unwrap();
    all.remove(&labels(1));
    let running = killed(dir.path());
    assert_eq!(content(&db), all);
    db.close().unwrap();
    drop(db);
    for (what, stopped) in [("killed", running.path()), ("stopped", dir.path())] {
        for is_sidecar_there in [true, false] {
            let copy = killed(stopped);
            if !is_sidecar_there {
                std::fs::remove_file(copy.path().join(FILE)).unwrap();
            }
            let db = open_dir_with(copy.path(), options());
            assert_eq!(content(&db), all, "{what}, with a sidecar: {is_sidecar_there}");
        }
    }
}
