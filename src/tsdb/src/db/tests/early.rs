//! The log without what files of head chunks have: it is shorter, and nothing is lost, whenever it ends.

use std::path::Path;

use prom_testkit::{Fault, FaultyDisk};

use crate::Options;

use super::{Content, commit, content, insert, is_within, open, options, try_open};

const BEGIN: i64 = 1_700_000_000_000;
const SERIES_COUNT: usize = 40;

/// Samples at an even pace, in chunks of 120.
fn fill(db: &super::Db, rounds: std::ops::Range<i64>, acknowledged: &mut Content) {
    for round in rounds {
        let t = BEGIN + round * 15_000;
        let batch: Vec<_> = (0..SERIES_COUNT)
            .map(|number| (number, t, (number as i64 * round) as f64 / 3.0))
            .collect();
        if commit(db, &batch).is_ok() {
            insert(acknowledged, &batch);
        }
    }
}

fn log_size_bytes(disk: &FaultyDisk) -> u64 {
    let sizes = |dir: &str| -> u64 {
        let names = disk.list(Path::new(dir)).unwrap();
        names.iter().filter_map(|name| disk.size_bytes(&Path::new(dir).join(name)).ok()).sum()
    };
    let checkpoints = disk.list(Path::new("/data/wal")).unwrap().into_iter();
    let checkpoints = checkpoints.filter(|name| name.starts_with("checkpoint."));
    checkpoints.map(|name| sizes(&format!("/data/wal/{name}"))).sum::<u64>() + sizes("/data/wal")
}

#[test]
fn samples_that_files_have_leave_the_log() {
    let disk = FaultyDisk::default();
    let db = open(&disk);
    let mut acknowledged = Content::new();
    assert!(!db.head.is_log_long(), "there is nothing to shorten");
    fill(&db, 0..450, &mut acknowledged);
    let before = log_size_bytes(&disk);
    db.head.shorten_log().unwrap();
    let after = log_size_bytes(&disk);
    assert!(after * 2 < before, "{after} of {before}");
    assert!(!db.head.is_log_long(), "there is little to gain");
    assert_eq!(content(&db), acknowledged);
    // Killed, or without power: what the log had and what the files have is there.
    assert_eq!(content(&open(&disk.live_image())), acknowledged);
    let found = content(&open(&disk.durable_image()));
    let filed_until = BEGIN + 300 * 15_000;
    for (labels, samples) in &acknowledged {
        let filed: Vec<_> = samples.range(..filed_until).collect();
        let found: Vec<_> = found[labels].range(..filed_until).collect();
        assert_eq!(found, filed, "{labels}");
    }
    // It goes on, in this life and in the next.
    fill(&db, 450..800, &mut acknowledged);
    db.head.shorten_log().unwrap();
    assert_eq!(content(&db), acknowledged);
    drop(db);
    let db = open(&disk);
    assert_eq!(content(&db), acknowledged);
    fill(&db, 800..1100, &mut acknowledged);
    db.head.shorten_log().unwrap();
    assert_eq!(content(&open(&disk.live_image())), acknowledged);
}

#[test]
fn chunks_that_are_damaged_stay_on_the_log() {
    let disk = FaultyDisk::default();
    let mut acknowledged = Content::new();
    {
        let db = open(&disk);
        fill(&db, 0..450, &mut acknowledged);
        db.head.flush_chunks().unwrap();
        // Damaged after it was written, and before anybody has read it.
        let file = Path::new("/data/chunks_head/000001");
        disk.edit(file, |bytes| bytes[200] ^= 1).unwrap();
    }
    let db = open(&disk);
    assert_eq!(content(&db), acknowledged);
    fill(&db, 450..500, &mut acknowledged);
    db.head.shorten_log().unwrap();
    assert_eq!(content(&db), acknowledged);
    assert_eq!(content(&open(&disk.live_image())), acknowledged);
}

#[test]
fn damage_costs_one_chunk_once_the_log_is_short() {
    let options = Options { is_log_shortened_early: true, ..options() };
    let disk = FaultyDisk::default();
    let mut acknowledged = Content::new();
    {
        let db = try_open(&disk, &options).unwrap();
        fill(&db, 0..450, &mut acknowledged);
        db.head.shorten_log().unwrap();
    }
    let file = Path::new("/data/chunks_head/000001");
    disk.edit(file, |bytes| bytes[200] ^= 1).unwrap();
    let db = try_open(&disk, &options).unwrap();
    let left = content(&db);
    assert!(is_within(&left, &acknowledged));
    let count = |content: &Content| content.values().map(|samples| samples.len()).sum::<usize>();
    let lost_count = count(&acknowledged) - count(&left);
    assert!((1..=240).contains(&lost_count), "{lost_count} samples are more than one chunk");
    // All of it is of one series; it goes on.
    let hurt = acknowledged.iter().filter(|(labels, samples)| left[*labels] != **samples);
    assert_eq!(hurt.count(), 1);
    acknowledged = left;
    fill(&db, 450..700, &mut acknowledged);
    db.head.shorten_log().unwrap();
    assert_eq!(content(&db), acknowledged);
    drop(db);
    assert_eq!(content(&try_open(&disk, &options).unwrap()), acknowledged);
}

/// A series goes, and comes back under another ref; the log is shortened; then the block of its first life is lost,
/// so that both refs have samples in the head.
#[test]
fn a_series_with_two_refs_keeps_what_only_head_chunks_have() {
    let options = Options { is_log_shortened_early: true, ..options() };
    let disk = FaultyDisk::default();
    let mut acknowledged = Content::new();
    let mut add = |db: &super::Db, numbers: &[usize], minutes: std::ops::Range<i64>| {
        for t in minutes.map(|minute| BEGIN + minute * 60_000) {
            let batch: Vec<_> = numbers.iter().map(|number| (*number, t, t as f64)).collect();
            commit(db, &batch).unwrap();
            insert(&mut acknowledged, &batch);
        }
        acknowledged.clone()
    };
    let db = try_open(&disk, &options).unwrap();
    add(&db, &[0, 1], 0..150);
    add(&db, &[0], 150..400);
    // Chunks of both blocks and of the head are in one file, so it stays.
    db.head.flush_chunks().unwrap();
    db.do_upkeep().unwrap();
    assert_eq!(db.head.index().count(), 1);
    // One file has chunks of the second ref only.
    add(&db, &[1], 400..550);
    db.head.flush_chunks().unwrap();
    add(&db, &[0, 1], 550..700);
    db.head.flush_chunks().unwrap();
    drop(db);
    // A life without samples, so that the next checkpoint tells both refs.
    drop(try_open(&disk, &options).unwrap());
    let db = try_open(&disk, &options).unwrap();
    db.head.shorten_log().unwrap();
    drop(db);
    for name in disk.list(Path::new("/data")).unwrap() {
        if name.len() == 26 {
            disk.remove_dir_all(&Path::new("/data").join(name)).unwrap();
        }
    }
    // The head begins after its first block.
    let kept = |content: &Content| -> Content {
        let cut = |samples: &std::collections::BTreeMap<i64, u64>| {
            samples.range(BEGIN + 400 * 60_000..).map(|(t, v)| (*t, *v)).collect()
        };
        content.iter().map(|(labels, samples)| (labels.clone(), cut(samples))).collect()
    };
    let db = try_open(&disk, &options).unwrap();
    assert_eq!(kept(&content(&db)), kept(&add(&db, &[], 0..0)));
    // Its files stay until they are written anew.
    db.head.truncate(BEGIN + 400 * 60_000).unwrap();
    // So it is when it has been written anew, and while it has not.
    for rounds in [0..0, 700..720, 720..900] {
        let all = add(&db, &[0, 1], rounds);
        assert_eq!(kept(&content(&try_open(&disk.live_image(), &options).unwrap())), kept(&all));
        db.head.shorten_log().unwrap();
        assert_eq!(kept(&content(&db)), kept(&all));
        assert_eq!(kept(&content(&try_open(&disk.live_image(), &options).unwrap())), kept(&all));
    }
}

#[test]
fn a_crash_while_the_log_is_shortened_loses_nothing() {
    let ops = |disk: &FaultyDisk| disk.ops().len() as u64;
    let (begin, end) = {
        let disk = FaultyDisk::default();
        let db = open(&disk);
        fill(&db, 0..450, &mut Content::new());
        let begin = ops(&disk);
        db.head.shorten_log().unwrap();
        (begin, ops(&disk))
    };
    assert!(end - begin > 10);
    for op in (begin..end).step_by(2) {
        for fault in [
            Fault::Crash { written_size_bytes: 50 },
            Fault::Error { errno: 5, written_size_bytes: 50 },
        ] {
            let disk = FaultyDisk::default();
            let db = open(&disk);
            let mut acknowledged = Content::new();
            fill(&db, 0..450, &mut acknowledged);
            disk.fail_at(op, fault);
            // Segments are synced beside, so whether this operation is one of ours differs; nothing may be
            // lost in either case, nor when it is tried once more.
            for _ in 0..2 {
                drop(db.head.shorten_log());
                assert_eq!(content(&db), acknowledged, "op {op}");
            }
            let killed = content(&open(&disk.live_image()));
            assert_eq!(killed, acknowledged, "op {op}");
            let off = content(&open(&disk.durable_image()));
            assert!(is_within(&off, &acknowledged), "op {op}");
        }
    }
}
