//! The head becomes blocks, blocks become larger ones, on a disk that fails at every operation: nothing that
//! was acknowledged is lost, nothing comes twice, the next start is clean.

use std::path::Path;

use prom_testkit::{Fault, FaultyDisk};

use crate::{FloatEncoding, Options, RetentionOptions};

use super::{Content, DIR, Db, commit, content, try_open};

/// Range of the smallest block.
const RANGE: i64 = 1000;
const SERIES_COUNT: usize = 3;

pub(super) fn options() -> Options {
    Options {
        wal_segment_size_bytes: 32 * 1024,
        min_block_duration_ms: RANGE,
        max_block_duration_ms: 9 * RANGE,
        retention: RetentionOptions::default(),
        ..Options::default()
    }
}

/// Appends a round of samples; what was acknowledged is noted.
pub(super) fn append(db: &Db, t: i64, acknowledged: &mut Content) {
    let samples: Vec<(usize, i64, f64)> =
        (0..SERIES_COUNT).map(|series| (series, t, (t * (series as i64 + 1)) as f64)).collect();
    if commit(db, &samples).is_ok() {
        for (series, t, value) in samples {
            acknowledged.entry(super::labels(series)).or_default().insert(t, value.to_bits());
        }
    }
}

/// Rounds of samples, with upkeep in between. Stops at the first failure.
pub(super) fn run(db: &Db, rounds: std::ops::Range<i64>, acknowledged: &mut Content) -> bool {
    for round in rounds {
        append(db, round * 100, acknowledged);
        if round % 10 == 9 && db.do_upkeep().is_err() {
            return false;
        }
    }
    true
}

fn block_names(disk: &FaultyDisk) -> Vec<String> {
    let names = disk.list(Path::new(DIR)).unwrap();
    names.into_iter().filter(|name| name.len() >= 26).collect()
}

#[test]
fn ranges_become_blocks_and_blocks_become_larger() {
    let disk = FaultyDisk::default();
    let db = try_open(&disk, &options()).unwrap();
    let mut acknowledged = Content::new();
    assert!(run(&db, 0..200, &mut acknowledged));
    assert_eq!(content(&db), acknowledged);
    let metas: Vec<_> = db.blocks.list().iter().map(|block| block.meta()).collect();
    let times: Vec<_> = metas.iter().map(|meta| (meta.min_time, meta.max_time)).collect();
    assert_eq!(times, [(0, 9000), (9000, 18_000), (18_000, 19_000)].map(|t| t), "{times:?}");
    assert_eq!(metas[0].compaction.level, 3);
    assert_eq!(metas[0].compaction.sources.len(), 9);
    assert!(db.head_stats().min_time_ms >= 18_000);
    assert_eq!(block_names(&disk).len(), metas.len());
    db.close().unwrap();
    let db = try_open(&disk, &options()).unwrap();
    assert_eq!(content(&db), acknowledged);
    assert!(run(&db, 200..230, &mut acknowledged));
    assert_eq!(content(&db), acknowledged);
}

#[test]
fn slow_a_crash_at_any_moment_loses_nothing_and_doubles_nothing() {
    let rounds = 0..75;
    let ops = {
        let disk = FaultyDisk::default();
        let db = try_open(&disk, &options()).unwrap();
        assert!(run(&db, rounds.clone(), &mut Content::new()));
        disk.ops().len() as u64
    };
    for op in (0..ops).step_by(3) {
        let disk = FaultyDisk::default();
        disk.create_dir_all(Path::new(DIR)).unwrap();
        disk.fail_at(op, Fault::Crash { written_size_bytes: (op % 50) as usize });
        let mut acknowledged = Content::new();
        if let Ok(db) = try_open(&disk, &options()) {
            run(&db, rounds.clone(), &mut acknowledged);
        }
        let live = disk.live_image();
        let db = try_open(&live, &options()).unwrap();
        check(&content(&db), &acknowledged, op);
        assert!(block_names(&live).iter().all(|name| name.len() == 26), "{op}");
        db.do_upkeep().unwrap();
        check(&content(&db), &acknowledged, op);
        drop(db);
        let db = try_open(&live, &options()).unwrap();
        check(&content(&db), &acknowledged, op);
    }
}

/// All that was acknowledged is there, with at most one commit more.
fn check(found: &Content, acknowledged: &Content, op: u64) {
    for (labels, samples) in acknowledged {
        let of_series = found.get(labels).cloned().unwrap_or_default();
        let extra = of_series.len() - samples.len();
        assert!(extra <= 1, "op {op}: {extra} more samples of {labels}");
        for (t, v) in samples {
            assert_eq!(of_series.get(t), Some(v), "op {op}: {labels} at {t}");
        }
    }
}

#[test]
fn an_error_of_the_disk_is_told_and_the_next_try_succeeds() {
    let disk = FaultyDisk::default();
    let db = try_open(&disk, &options()).unwrap();
    let mut acknowledged = Content::new();
    for round in 0..45 {
        append(&db, round * 100, &mut acknowledged);
    }
    let mut failures = 0;
    for step in 0.. {
        let op = disk.ops().len() as u64 + step;
        disk.fail_at(op, Fault::Error { errno: 5, written_size_bytes: 3 });
        let done = db.do_upkeep();
        assert_eq!(content(&db), acknowledged);
        if done.is_ok() {
            break;
        }
        failures += 1;
        assert!(failures < 500);
    }
    assert!(failures > 10, "{failures}");
    db.do_upkeep().unwrap();
    assert_eq!(content(&db), acknowledged);
    assert!(!db.blocks.list().is_empty());
    db.close().unwrap();
    assert_eq!(content(&try_open(&disk, &options()).unwrap()), acknowledged);
}

#[test]
fn old_blocks_go_when_the_limits_say_so() {
    let disk = FaultyDisk::default();
    let db = try_open(&disk, &options()).unwrap();
    let mut acknowledged = Content::new();
    assert!(run(&db, 0..200, &mut acknowledged));
    let count = || db.blocks.list().len();
    assert_eq!(count(), 3);
    let limit = |duration_ms, size_bytes| RetentionOptions {
        duration_ms,
        size_bytes,
        ..RetentionOptions::default()
    };
    db.apply_retention(limit(10_001, 0)).unwrap();
    assert_eq!(count(), 3);
    db.apply_retention(limit(10_000, 0)).unwrap();
    assert_eq!(count(), 2);
    let newest = db.blocks.list().last().unwrap().size_bytes();
    db.apply_retention(limit(0, newest)).unwrap();
    assert_eq!(count(), 1);
    assert_eq!(block_names(&disk).len(), 1);
    db.apply_retention(limit(0, 1)).unwrap();
    // What is left of the last one tells only where it ended.
    let metas: Vec<_> = db.blocks.list().iter().map(|block| block.meta()).collect();
    assert_eq!(metas.iter().map(|meta| meta.stats.num_samples).collect::<Vec<_>>(), [0]);
}

#[test]
fn floats_are_written_as_the_operator_asks() {
    let disk = FaultyDisk::default();
    let asked = Options { float_encoding: FloatEncoding::Xor2, ..options() };
    let db = try_open(&disk, &asked).unwrap();
    let mut acknowledged = Content::new();
    assert!(run(&db, 0..75, &mut acknowledged));
    let encodings = |db: &Db| {
        let mut found = std::collections::BTreeSet::new();
        for block in db.blocks.list().iter() {
            let mut entry = crate::block::SeriesEntry::default();
            for number in block.index().all_postings().unwrap().iter() {
                block.index().series(number, &mut entry).unwrap();
                let refs = entry.chunks.iter().map(|chunk| chunk.chunk_ref);
                found.extend(refs.map(|at| block.chunks().get(at).unwrap().0));
            }
        }
        found.into_iter().collect::<Vec<u8>>()
    };
    assert_eq!(encodings(&db), [4]);
    assert_eq!(content(&db), acknowledged);
    db.set_float_encoding(FloatEncoding::Xor);
    assert!(run(&db, 75..90, &mut acknowledged));
    assert_eq!(encodings(&db), [1, 4]);
    assert_eq!(content(&db), acknowledged);
    assert_eq!(content(&try_open(&disk.live_image(), &options()).unwrap()), acknowledged);
}

#[test]
fn snapshots_hold_what_the_database_held() {
    let disk = FaultyDisk::default();
    let db = try_open(&disk, &options()).unwrap();
    let mut acknowledged = Content::new();
    assert!(run(&db, 0..75, &mut acknowledged));
    let name = db.snapshot(true).unwrap();
    let without = db.snapshot(false).unwrap();
    assert_ne!(name, without);
    assert!(run(&db, 75..200, &mut Content::new()));
    assert_eq!(content_of_snapshot(&disk, &name), acknowledged);
    let in_blocks = content_of_snapshot(&disk, &without);
    assert!(in_blocks.values().all(|samples| samples.keys().all(|t| *t < 7000)));
    assert!(!in_blocks.is_empty());
}

/// Opens a snapshot as a directory of its own.
fn content_of_snapshot(disk: &FaultyDisk, name: &str) -> Content {
    let snapshot = FaultyDisk::default();
    let from = Path::new(DIR).join("snapshots").join(name);
    for block in disk.list(&from).unwrap() {
        for file in ["index", "meta.json", "tombstones", "chunks/000001"] {
            let to = Path::new(DIR).join(&block).join(file);
            snapshot.create_dir_all(to.parent().unwrap()).unwrap();
            drop(snapshot.append(&to).unwrap());
            let bytes = disk.content(&from.join(&block).join(file)).unwrap();
            snapshot.edit(&to, |content| *content = bytes).unwrap();
        }
    }
    content(&try_open(&snapshot, &options()).unwrap())
}

#[test]
fn a_snapshot_has_its_name_only_when_it_is_whole() {
    let take = |crash_at: usize| {
        let disk = FaultyDisk::default();
        let db = try_open(&disk, &options()).unwrap();
        let mut acknowledged = Content::new();
        assert!(run(&db, 0..75, &mut acknowledged));
        let begin = disk.ops().len();
        disk.fail_at((begin + crash_at) as u64, Fault::Crash { written_size_bytes: 0 });
        let taken = db.snapshot(true);
        (disk, taken, acknowledged)
    };
    for at in 0.. {
        let (disk, taken, acknowledged) = take(at);
        for image in [disk.live_image(), disk.durable_image()] {
            let names = image.list(&Path::new(DIR).join("snapshots")).unwrap_or_default();
            let whole: Vec<_> = names.iter().filter(|name| !name.ends_with(".tmp")).collect();
            for name in &whole {
                assert_eq!(content_of_snapshot(&image, name), acknowledged, "operation {at}");
            }
            assert!(taken.is_err() || whole.len() == 1, "operation {at}");
        }
        if taken.is_ok() {
            assert!(at > 20, "{at} operations");
            break;
        }
    }
}

/// Flips a bit in the middle of a file.
fn damage(disk: &FaultyDisk, path: &Path) {
    let flip = |content: &mut Vec<u8>| {
        let at = content.len() / 2;
        content[at] ^= 1;
    };
    disk.edit(path, flip).unwrap();
}

#[test]
fn damage_is_found_before_it_is_needed_and_costs_what_is_damaged() {
    for file in ["chunks/000001", "index"] {
        let disk = FaultyDisk::default();
        let mut acknowledged = Content::new();
        {
            let db = try_open(&disk, &options()).unwrap();
            assert!(run(&db, 0..200, &mut acknowledged));
        }
        // The largest block has its damage among series and chunks.
        let name = block_names(&disk).into_iter().next().unwrap();
        damage(&disk, &Path::new(DIR).join(&name).join(file));
        let db = try_open(&disk, &options()).unwrap();
        for _ in 0..10 {
            db.do_upkeep().unwrap();
        }
        let kept = disk.list(&Path::new(DIR).join("quarantine")).unwrap();
        assert_eq!(kept, [format!("{name}.0")], "{file}");
        assert_eq!(db.blocks.list().len(), 3);
        let found = content(&db);
        let count =
            |content: &Content| content.values().map(|samples| samples.len()).sum::<usize>();
        assert!(count(&found) >= count(&acknowledged) / 2, "{file}: {}", count(&found));
        for (labels, samples) in &found {
            assert!(samples.iter().all(|(t, v)| acknowledged[labels].get(t) == Some(v)));
        }
    }
}

#[test]
fn damage_that_stops_a_compaction_is_left_behind() {
    let disk = FaultyDisk::default();
    let mut acknowledged = Content::new();
    let db = try_open(&disk, &options()).unwrap();
    assert!(run(&db, 0..35, &mut acknowledged));
    assert_eq!(db.blocks.list().len(), 2);
    let first = db.blocks.list()[0].dir().join("chunks/000001");
    drop(db);
    damage(&disk, &first);
    let db = try_open(&disk, &options()).unwrap();
    assert!(run(&db, 35..75, &mut acknowledged));
    assert!(db.blocks.list().iter().any(|block| block.meta().compaction.level > 1));
    assert!(db.blocks.list().iter().all(|block| !block.meta().compaction.failed));
    let found = content(&db);
    for (labels, samples) in &acknowledged {
        let of_series = &found[labels];
        let lost = samples.keys().filter(|t| !of_series.contains_key(t)).count();
        assert!(lost <= 10, "{lost}");
        assert!(of_series.iter().all(|(t, v)| samples.get(t) == Some(v)));
    }
}
