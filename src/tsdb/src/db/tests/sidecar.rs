//! The sidecar stands for the log up to its place, or is not used: after clean stops, after kills, beside
//! damage, while commits go on.

use std::{
    fs,
    ops::ControlFlow,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use prom_telemetry::Registry;
use prom_testkit::copy_tree;

use crate::{Options, db::sidecar};

use super::{Content, Db, commit, content, insert, options};

pub(super) const BEGIN: i64 = 1_700_000_000_000;
pub(super) const FILE: &str = "head_state";

pub(super) fn open_dir(dir: &Path) -> Arc<Db> {
    open_dir_with(dir, options())
}

pub(super) fn open_dir_with(dir: &Path, options: Options) -> Arc<Db> {
    let progress = |_| ControlFlow::Continue(());
    Db::open(dir, options, &Registry::default(), &progress).unwrap()
}

/// The directory as a killed process leaves it.
pub(super) fn killed(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_tree(dir, copy.path());
    copy
}

/// Samples from a time on.
fn since(content: &Content, min_t: i64) -> Content {
    let mut left = content.clone();
    left.values_mut().for_each(|samples| samples.retain(|t, _| *t >= min_t));
    left.retain(|_, samples| !samples.is_empty());
    left
}

/// Rounds of samples; series come and go.
pub(super) fn run(db: &Db, rounds: std::ops::Range<usize>, all: &mut Content) {
    for round in rounds {
        let t = BEGIN + round as i64 * 15_000;
        let numbers = ((round / 20 * 10)..(round / 20 * 10 + 60)).chain(900..905);
        let batch: Vec<_> =
            numbers.map(|number| (number, t, (number * round) as f64 / 3.0)).collect();
        commit(db, &batch).unwrap();
        insert(all, &batch);
    }
}

/// Makes the log unreadable, but keeps its sizes, and its ends, by which a sidecar knows it: whoever needs it
/// loses samples.
pub(super) fn spoil_log(dir: &Path, is_spoiled: impl Fn(&str) -> bool) {
    for entry in fs::read_dir(dir.join("wal")).unwrap() {
        let path = entry.unwrap().path();
        if is_spoiled(path.file_name().unwrap().to_str().unwrap()) {
            let mut bytes = fs::read(&path).unwrap();
            let end = bytes.len().saturating_sub(512);
            bytes[..end].iter_mut().skip(7).for_each(|byte| *byte ^= 0x55);
            fs::write(&path, bytes).unwrap();
        }
    }
}

#[test]
fn a_clean_stop_needs_no_replay() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = Content::new();
    let db = open_dir(dir.path());
    run(&db, 0..300, &mut all);
    let stats = db.head_stats();
    db.close().unwrap();
    let without_log = killed(dir.path());
    spoil_log(without_log.path(), |_| true);
    let db = open_dir(without_log.path());
    assert_eq!(content(&db), all);
    assert_eq!(db.head_stats(), stats);
    // And with the log, a few times, going on in between.
    for life in 0..3 {
        let db = open_dir(dir.path());
        assert_eq!(content(&db), all);
        run(&db, 300 + life * 50..350 + life * 50, &mut all);
        assert_eq!(content(&db), all);
        // Without the sidecar it is the same.
        let copy = killed(dir.path());
        fs::remove_file(copy.path().join(FILE)).unwrap();
        let replayed = open_dir(copy.path());
        assert_eq!(content(&replayed), all);
        assert_eq!(replayed.head_stats(), db.head_stats());
    }
}

#[test]
fn after_a_kill_only_the_tail_is_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = Content::new();
    let db = open_dir(dir.path());
    let path = dir.path().join(FILE);
    for part in 0..6 {
        run(&db, part * 70..part * 70 + 40, &mut all);
        assert!(sidecar::write(&db.head, &path).unwrap());
        let segment = db.head.position().unwrap().0;
        run(&db, part * 70 + 40..part * 70 + 70, &mut all);
        // Chunks that were filed since come out of the log again.
        db.head.flush_chunks().unwrap();
        let copy = killed(dir.path());
        spoil_log(copy.path(), |name| name.parse::<u64>().is_ok_and(|number| number < segment));
        let again = open_dir(copy.path());
        assert_eq!(content(&again), all);
        let stats = (again.head_stats(), db.head_stats());
        assert_eq!(stats.0, stats.1);
        // The second life writes chunks and samples that a third one finds.
        let mut more = all.clone();
        run(&again, part * 70 + 70..part * 70 + 200, &mut more);
        drop(again);
        assert_eq!(content(&open_dir(copy.path())), more);
    }
}

#[test]
fn truncated_heads_have_sidecars_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = Content::new();
    let db = open_dir(dir.path());
    run(&db, 0..400, &mut all);
    let min_t = BEGIN + 300 * 15_000;
    db.head.truncate(min_t).unwrap();
    db.head.truncate_log(min_t).unwrap();
    let left = since(&content(&db), min_t);
    db.close().unwrap();
    let again = open_dir(dir.path());
    assert_eq!(since(&content(&again), min_t), left);
    assert_eq!(again.head_stats().series_count, db.head_stats().series_count);
    // Slots that are free are given away again, refs are not.
    let mut more = left.clone();
    run(&again, 400..450, &mut more);
    assert_eq!(since(&content(&again), min_t), more);
    again.head.truncate_log(min_t).unwrap();
    drop(again);
    fs::remove_file(dir.path().join(FILE)).unwrap();
    let found = content(&open_dir(dir.path()));
    assert!(super::is_within(&more, &found) && super::is_within(&left, &all));
}

#[test]
fn what_does_not_fit_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    let mut all = Content::new();
    let db = open_dir(dir.path());
    run(&db, 0..200, &mut all);
    db.close().unwrap();
    let size = fs::metadata(dir.path().join(FILE)).unwrap().len();
    let damages: [&dyn Fn(&Path); 6] = [
        &|dir| fs::write(dir.join(FILE), b"PROMHEAD").unwrap(),
        &|dir| {
            fs::OpenOptions::new()
                .write(true)
                .open(dir.join(FILE))
                .unwrap()
                .set_len(size - 9)
                .unwrap()
        },
        &|dir| {
            let mut bytes = fs::read(dir.join(FILE)).unwrap();
            bytes[size as usize / 2] ^= 1;
            fs::write(dir.join(FILE), bytes).unwrap();
        },
        &|dir| fs::remove_file(dir.join("chunks_head/000001")).unwrap(),
        &|dir| {
            fs::create_dir(dir.join("wbl")).unwrap();
            fs::write(dir.join("wbl/00000000"), b"").unwrap();
        },
        // The last segment is not what it was.
        &|dir| {
            let last = fs::read_dir(dir.join("wal")).unwrap().map(|e| e.unwrap().path()).max();
            fs::hard_link(last.as_ref().unwrap(), dir.join("wal/00000999")).unwrap();
            fs::remove_file(last.unwrap()).unwrap();
        },
    ];
    for (number, damage) in damages.iter().enumerate() {
        let copy = killed(dir.path());
        damage(copy.path());
        assert_eq!(content(&open_dir(copy.path())), all, "damage {number}");
    }
    // Another chunk range makes other chunks.
    let other = Options { min_block_duration_ms: 3_600_000, ..options() };
    let progress = |_| ControlFlow::Continue(());
    let db = Db::open(dir.path(), other, &Registry::default(), &progress).unwrap();
    assert_eq!(content(&db), all);
}

#[test]
fn it_is_written_while_commits_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let db = open_dir(dir.path());
    let path = dir.path().join(FILE);
    let is_done = AtomicBool::new(false);
    let mut all = Content::new();
    let copies = thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut written = 0;
            while !is_done.load(Ordering::Relaxed) {
                assert!(sidecar::write(&db.head, &path).unwrap());
                written += 1;
            }
            written
        });
        run(&db, 0..400, &mut all);
        is_done.store(true, Ordering::Relaxed);
        writing.join().unwrap()
    });
    assert!(copies > 0);
    // The last one began before the last commit, most likely.
    assert_eq!(content(&open_dir(killed(dir.path()).path())), all);
}

/// Rounds of samples of which a third is late; their chunks are small.
fn run_late(db: &Db, rounds: std::ops::Range<usize>, all: &mut Content) {
    for round in rounds {
        let t = BEGIN + round as i64 * 15_000;
        let late = t - (round as i64 * 37 % 50) * 15_000 - 1_000;
        let batch = [(0, t, round as f64), (1, t, 0.5), (2, late, 1.0), (0, late, round as f64)];
        let batch = if round == 0 { &batch[..2] } else { &batch[..] };
        commit(db, batch).unwrap();
        for one in batch {
            let of_series = all.entry(super::labels(one.0)).or_default();
            of_series.entry(one.1).or_insert(one.2.to_bits());
        }
    }
}

#[test]
fn late_samples_come_out_of_their_own_log() {
    let options =
        || Options { out_of_order_window_ms: 3_600_000, out_of_order_count_max: 8, ..options() };
    let dir = tempfile::tempdir().unwrap();
    let mut all = Content::new();
    let db = open_dir_with(dir.path(), options());
    let path = dir.path().join(FILE);
    for part in 0..4 {
        run_late(&db, part * 90..part * 90 + 50, &mut all);
        assert!(sidecar::write(&db.head, &path).unwrap());
        let segment = db.head.position().unwrap().0;
        run_late(&db, part * 90 + 50..part * 90 + 90, &mut all);
        db.head.flush_chunks().unwrap();
        let copy = killed(dir.path());
        spoil_log(copy.path(), |name| name.parse::<u64>().is_ok_and(|number| number < segment));
        let again = open_dir_with(copy.path(), options());
        assert_eq!(content(&again), all);
        again.close().unwrap();
    }
    db.close().unwrap();
    drop(db);
    let copy = killed(dir.path());
    spoil_log(copy.path(), |_| true);
    let spoiled = open_dir_with(copy.path(), options());
    assert_eq!(content(&spoiled), all);
    // Going on, and without the sidecar.
    let db = open_dir_with(dir.path(), options());
    run_late(&db, 360..420, &mut all);
    assert_eq!(content(&db), all);
    db.close().unwrap();
    drop(db);
    fs::remove_file(&path).unwrap();
    assert_eq!(content(&open_dir_with(dir.path(), options())), all);
}
