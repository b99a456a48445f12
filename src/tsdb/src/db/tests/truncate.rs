//! The head is truncated and its log shortened, on a disk that fails at every operation: what is left is
//! found again, samples of series that went and came back are nobody else's.

use std::{path::Path, process::Command};

use prom_storage::StorageError;
use prom_testkit::{Fault, FaultyDisk, OpKind, peer};

use crate::{Options, WalCompression};

use super::{Content, Db, commit, content, insert, is_within, open, options, try_open};

const BEGIN: i64 = 1_700_000_000_000;
const STEP: i64 = 5 * 60_000;
const KEPT: i64 = 90 * 60_000;

struct Outcome {
    acknowledged: Content,
    tried: Content,
    /// Samples before may be gone.
    min_t: i64,
    checkpoints_count: usize,
}

/// Series come, go and come back; truncations drop what is older than an hour and a half.
fn run(db: &Db, rounds: usize, series: usize) -> Outcome {
    let mut outcome = Outcome {
        acknowledged: Content::new(),
        tried: Content::new(),
        min_t: i64::MIN,
        checkpoints_count: 0,
    };
    for round in 0..rounds {
        let t = BEGIN + round as i64 * STEP;
        let first = round / 10 % 3 * series;
        let batch: Vec<_> = (first..first + series)
            .chain([900])
            .map(|number| (number, t, (number * round) as f64 / 3.0))
            .collect();
        insert(&mut outcome.tried, &batch);
        if commit(db, &batch).is_ok() {
            insert(&mut outcome.acknowledged, &batch);
        }
        if round % 7 == 6 {
            let truncated: Result<bool, StorageError> = (|| {
                db.head.truncate(t - KEPT)?;
                outcome.min_t = t - KEPT;
                db.head.truncate_log(t - KEPT)
            })();
            outcome.checkpoints_count += usize::from(truncated.is_ok_and(|is_done| is_done));
        }
    }
    outcome
}

fn since(content: &Content, min_t: i64) -> Content {
    let cut = content.iter().map(|(labels, samples)| {
        (labels.clone(), samples.range(min_t..).map(|(t, v)| (*t, *v)).collect())
    });
    cut.filter(|(_, samples): &(_, std::collections::BTreeMap<_, _>)| !samples.is_empty()).collect()
}

fn segments(disk: &FaultyDisk) -> Vec<String> {
    let mut names = disk.list(Path::new("/data/wal")).unwrap();
    names.sort();
    names
}

#[test]
fn a_shortened_log_gives_the_same_head() {
    for wal_compression in [WalCompression::None, WalCompression::Snappy] {
        let disk = FaultyDisk::default();
        let options = Options { wal_compression, ..options() };
        let db = try_open(&disk, &options).unwrap();
        let outcome = run(&db, 120, 150);
        assert!(outcome.checkpoints_count > 3, "{}", outcome.checkpoints_count);
        let expected = since(&outcome.acknowledged, outcome.min_t);
        assert_eq!(since(&content(&db), outcome.min_t), expected);
        let names = segments(&disk);
        assert!(names.len() < 12, "{names:?}");
        assert_eq!(names.iter().filter(|name| name.starts_with("checkpoint")).count(), 1);
        for image in [disk.live_image(), disk.durable_image()] {
            let again = open(&image);
            let found = content(&again);
            assert!(is_within(&found, &outcome.acknowledged));
            if segments(&image) == names {
                assert!(is_within(&since(&found, i64::MIN), &outcome.tried));
            }
        }
        assert_eq!(since(&content(&open(&disk.live_image())), outcome.min_t), expected);
        // A second life goes on where the first one ended.
        let image = disk.live_image();
        let again = open(&image);
        again.head.truncate(outcome.min_t).unwrap();
        assert_eq!(since(&content(&again), outcome.min_t), expected);
        assert_eq!(again.head_stats().series_count, db.head_stats().series_count);
    }
}

#[test]
fn a_crash_at_any_step_of_a_truncation_loses_nothing() {
    const ROUNDS: usize = 42;
    let options = Options { wal_compression: WalCompression::None, ..options() };
    let ops = {
        let disk = FaultyDisk::default();
        let db = try_open(&disk, &options).unwrap();
        assert!(run(&db, ROUNDS, 100).checkpoints_count > 0);
        disk.ops()
    };
    let is_of_truncation = |op: &OpKind| !matches!(op, OpKind::Write);
    for (at, _) in ops.iter().enumerate().filter(|(at, op)| is_of_truncation(op) || at % 11 == 0) {
        let disk = FaultyDisk::default();
        disk.fail_at(at as u64, Fault::Crash { written_size_bytes: 50 });
        let Ok(db) = try_open(&disk, &options) else { continue };
        let outcome = run(&db, ROUNDS, 100);
        let wanted = since(&outcome.acknowledged, outcome.min_t);
        let killed = open(&disk.live_image());
        let found = content(&killed);
        assert!(is_within(&wanted, &found), "op {at}");
        assert!(is_within(&found, &outcome.tried), "op {at}");
        let dark = open(&disk.durable_image());
        assert!(is_within(&content(&dark), &outcome.tried), "op {at}");
        for db in [killed, dark] {
            commit(&db, &[(1, BEGIN * 2, 1.0)]).unwrap();
        }
    }
}

#[test]
fn a_disk_that_refuses_a_checkpoint_keeps_the_log() {
    for (kind, errno) in [(OpKind::SyncDir, 5), (OpKind::Rename, 5)] {
        let disk = FaultyDisk::default();
        let db = open(&disk);
        disk.fail_kind(kind, Some(errno));
        let mut outcome = run(&db, 50, 200);
        assert_eq!(outcome.checkpoints_count, 0, "{kind:?}");
        disk.fail_kind(kind, None);
        assert!(segments(&disk).iter().all(|name| !name.ends_with(".tmp")));
        assert!(db.head.truncate_log(outcome.min_t).unwrap());
        let late = [(5, BEGIN + 50 * STEP, 1.0)];
        commit(&db, &late).unwrap();
        insert(&mut outcome.acknowledged, &late);
        let expected = since(&outcome.acknowledged, outcome.min_t);
        assert_eq!(since(&content(&open(&disk.live_image())), outcome.min_t), expected);
    }
}

#[test]
fn promtool_reads_our_checkpoint() {
    let Some(promtool) = peer("promtool") else { return };
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("data");
    let registry = prom_telemetry::Registry::default();
    let progress = |_| std::ops::ControlFlow::Continue(());
    let db = Db::open(&dir, options(), &registry, &progress).unwrap();
    let outcome = run(&db, 60, 150);
    assert!(outcome.checkpoints_count > 0);
    db.head.flush_chunks().unwrap();
    assert!(std::fs::read_dir(dir.join("chunks_head")).unwrap().count() > 0);
    let output = Command::new(promtool)
        .args(["tsdb", "dump", "--sandbox-dir-root"])
        .arg(root.path())
        .arg(&dir)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(!errors.contains("corrupt") && !errors.contains("Unknown series"), "{errors}");
    // Every sample since is there, and no other than were written.
    let dump = String::from_utf8(output.stdout).unwrap();
    let mut found = Content::new();
    for line in dump.lines() {
        let (labels, sample) = line.split_once("} ").unwrap();
        let mut parts = sample.split(' ');
        let value: f64 = parts.next().unwrap().parse().unwrap();
        let t: i64 = parts.next().unwrap().parse().unwrap();
        let number = labels.split("n=\"").nth(1).unwrap().split('"').next().unwrap();
        insert(&mut found, &[(number.parse().unwrap(), t, value)]);
    }
    assert_eq!(since(&found, outcome.min_t), since(&outcome.acknowledged, outcome.min_t));
    assert!(is_within(&found, &outcome.tried));
}

#[test]
fn a_series_that_came_back_finds_its_head_chunks_at_the_next_start() {
    let mut disk = FaultyDisk::default();
    let mut db = open(&disk);
    let minute = |minute: i64| BEGIN + minute * 60_000;
    let mut expected = Content::new();
    let mut add = |db: &Db, numbers: &[usize], minutes: std::ops::Range<i64>| {
        for t in minutes.map(minute) {
            let batch: Vec<_> = numbers.iter().map(|number| (*number, t, t as f64)).collect();
            commit(db, &batch).unwrap();
            insert(&mut expected, &batch);
        }
        expected.clone()
    };
    add(&db, &[0, 1], 0..3);
    add(&db, &[0], 3..400);
    db.do_upkeep().unwrap();
    assert_eq!(db.head.index().count(), 1);
    for begin in [400, 800, 1200] {
        // Full chunks under its second ref.
        let all = add(&db, &[0, 1], begin..begin + 400);
        assert_eq!(content(&db), all);
        db.close().unwrap();
        disk = disk.durable_image();
        db = open(&disk);
        assert_eq!(content(&db), all);
    }
}
