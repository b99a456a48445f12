//! A start is cut short at every operation of the disk, by a kill or a power failure, and the start after it
//! likewise: whatever was found, the last start finds the same samples as one that nobody disturbed.

use std::{ops::ControlFlow, path::Path, sync::Arc};

use prom_telemetry::Registry;
use prom_testkit::{Fault, FaultyDisk};

use crate::{OpenError, Options, RetentionOptions, WalCompression};

use super::{Content, DIR, Db, commit, content, insert, is_within, model::disk::ModelDisk};

const ENOSPC: i32 = 28;
const EIO: i32 = 5;
/// No start does more.
const OPS_COUNT_MAX: u64 = 400;
/// The second start is disturbed at each so many operations.
const SECOND_STEP: usize = 3;

fn options() -> Options {
    Options {
        wal_segment_size_bytes: 32 * 1024,
        wal_compression: WalCompression::None,
        min_block_duration_ms: 1000,
        max_block_duration_ms: 3000,
        retention: RetentionOptions::default(),
        out_of_order_window_ms: 2000,
        out_of_order_count_max: 4,
        ..Options::default()
    }
}

fn open(disk: &ModelDisk) -> Result<Arc<Db>, OpenError> {
    disk.faulty.create_dir_all(Path::new(DIR)).unwrap();
    let progress = |_| ControlFlow::Continue(());
    let disk = Arc::new(disk.clone());
    Db::open_on(disk, Path::new(DIR), &options(), &Registry::default(), &progress, None)
}

/// A database with blocks, head chunks, both logs, a checkpoint. Deletions are in blocks and in the head.
fn filled(disk: &ModelDisk) -> (Arc<Db>, Content) {
    let db = open(disk).unwrap();
    let mut expected = Content::new();
    for round in 0..48i64 {
        let t = round * 100;
        let late = t - 100 * (round % 7) - 50;
        let batch = [(0, t, round as f64), (1, t + 7, 0.5), (2, late.max(-20), late as f64)];
        let batch = if round < 8 { &batch[..2] } else { &batch[..] };
        commit(&db, batch).unwrap();
        insert(&mut expected, batch);
        if round % 10 == 9 {
            db.do_upkeep().unwrap();
        }
    }
    for (series, from, to) in [("1", 700, 1500), ("0", 4100, 4300)] {
        let matcher = prom_model::Matcher::equal("n", series);
        db.delete(from, to, &[vec![matcher]]).unwrap();
        let number = series.parse().unwrap();
        let samples = expected.get_mut(&super::labels(number)).unwrap();
        samples.retain(|t, _| !(from..=to).contains(t));
    }
    db.head.flush_chunks().unwrap();
    (db, expected)
}

/// Changes the first file of a folder, or the last one.
fn edit(disk: &FaultyDisk, dir: &str, is_last: bool, change: impl FnOnce(&mut Vec<u8>)) {
    let dir = Path::new(DIR).join(dir);
    let names = disk.list(&dir).unwrap();
    let mut names: Vec<_> =
        names.into_iter().filter(|name| name.bytes().all(|b| b.is_ascii_digit())).collect();
    names.sort();
    let name = if is_last { names.last() } else { names.first() };
    disk.edit(&dir.join(name.unwrap()), change).unwrap();
}

fn flip_middle(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
}

fn block_dir(disk: &FaultyDisk) -> String {
    let names = disk.list(Path::new(DIR)).unwrap();
    names.into_iter().filter(|name| name.len() == 26).min().unwrap()
}

/// What a process can leave, with what must be there if that is known.
fn states() -> Vec<(String, ModelDisk, Option<Content>)> {
    let disk = ModelDisk::new();
    let (db, expected) = filled(&disk);
    let killed = || disk.with(disk.faulty.live_image());
    let damaged = |what: &str, damage: &dyn Fn(&FaultyDisk)| {
        let disk = killed();
        damage(&disk.faulty);
        (what.to_owned(), disk, None)
    };
    let mut states = vec![
        ("killed".to_owned(), killed(), Some(expected.clone())),
        damaged("torn log", &|disk| edit(disk, "wal", true, |b| b.truncate(b.len() - 3))),
        damaged("damaged log", &|disk| edit(disk, "wal", true, |b| flip_middle(b))),
        damaged("torn WBL", &|disk| edit(disk, "wbl", true, |b| b.truncate(b.len() - 3))),
        damaged("damaged WBL", &|disk| edit(disk, "wbl", true, |b| flip_middle(b))),
        damaged("torn head chunks", &|disk| {
            edit(disk, "chunks_head", true, |b| b.truncate(b.len() - 5));
        }),
        damaged("damaged head chunks", &|disk| {
            edit(disk, "chunks_head", false, |b| flip_middle(b))
        }),
        damaged("damaged block", &|disk| {
            let path = Path::new(DIR).join(block_dir(disk)).join("index");
            disk.edit(&path, |bytes| {
                let end = bytes.len();
                bytes[end - 10] ^= 1;
            })
            .unwrap();
        }),
        damaged("leftovers", &|disk| {
            for name in ["tmp-for-creation", "tmp-for-deletion"] {
                let dir = Path::new(DIR).join(format!("{}.{name}", block_dir(disk)));
                disk.create_dir_all(&dir.join("chunks")).unwrap();
            }
            disk.create_dir_all(&Path::new(DIR).join("wal/checkpoint.00000009.tmp")).unwrap();
        }),
    ];
    // Each so many steps of an upkeep.
    let first = disk.faulty.ops().len() as u64;
    let ops_count = {
        let disk = killed();
        let db = open(&disk).unwrap();
        let first = disk.faulty.ops().len();
        commit(&db, &[(0, 5200, 1.0)]).unwrap();
        db.do_upkeep().unwrap();
        disk.faulty.ops().len() - first
    };
    drop(db);
    assert!(ops_count > 30 && first > 100);
    for at in (2..ops_count as u64).step_by(11) {
        let disk = killed();
        let db = open(&disk).unwrap();
        commit(&db, &[(0, 5200, 1.0)]).unwrap();
        let op = disk.faulty.ops().len() as u64 + at;
        disk.faulty.fail_at(op, Fault::Crash { written_size_bytes: 5 });
        drop(db.do_upkeep());
        let mut expected = expected.clone();
        insert(&mut expected, &[(0, 5200, 1.0)]);
        let left = disk.with(disk.faulty.live_image());
        states.push((format!("upkeep killed at {at}"), left, Some(expected)));
    }
    let stopped = killed();
    let db = open(&stopped).unwrap();
    db.close().unwrap();
    let left = stopped.with(stopped.faulty.live_image());
    states.push(("stopped".to_owned(), left, Some(expected)));
    states
}

/// Starts, with a fault at an operation. Gives what a kill then leaves and what a power failure leaves; nothing
/// if the start does not get that far.
fn disturbed(state: &ModelDisk, op: u64, fault: Fault) -> Option<[ModelDisk; 2]> {
    let disk = state.with(state.faulty.live_image());
    disk.faulty.fail_at(op, fault);
    let opened = open(&disk);
    if disk.faulty.ops().len() as u64 <= op {
        return None;
    }
    let images = [disk.faulty.live_image(), disk.faulty.durable_image()];
    let images = images.map(|image| disk.with(image));
    drop(opened);
    Some(images)
}

#[test]
fn a_start_that_is_cut_short_anywhere_changes_nothing() {
    for (name, state, acknowledged) in states() {
        let undisturbed = state.with(state.faulty.live_image());
        let expected = content(&open(&undisturbed).unwrap());
        if let Some(acknowledged) = acknowledged {
            assert_eq!(expected, acknowledged, "{name}");
        }
        let check = |disk: &ModelDisk, when: &dyn Fn() -> String| {
            let db = open(disk).unwrap_or_else(|err| panic!("{name}, {}: {err}", when()));
            assert!(content(&db) == expected, "{name}, {}", when());
        };
        let mut op = 0;
        for written_size_bytes in [0, 9, usize::MAX] {
            op = 0;
            while let Some(images) = disturbed(&state, op, Fault::Crash { written_size_bytes }) {
                for (image, how) in images.iter().zip(["killed", "power failure"]) {
                    let copy = image.with(image.faulty.live_image());
                    check(&copy, &|| format!("{how} at {op} after {written_size_bytes} bytes"));
                }
                for second in (op % SECOND_STEP as u64..OPS_COUNT_MAX).step_by(SECOND_STEP) {
                    let fault = Fault::Crash { written_size_bytes: 0 };
                    let Some(again) = disturbed(&images[0], second, fault) else { break };
                    check(&again[(second % 2) as usize], &|| format!("at {op}, then at {second}"));
                }
                op += 1;
                assert!(op < OPS_COUNT_MAX, "{name}");
            }
        }
        for errno in [EIO, ENOSPC] {
            for op in 0..op {
                let fault = Fault::Error { errno, written_size_bytes: 3 };
                let Some(images) = disturbed(&state, op, fault) else { break };
                for image in &images {
                    check(image, &|| format!("error {errno} at {op}"));
                }
            }
        }
        println!("{name}: {op} operations");
        assert!(is_within(&expected, &content(&open(&state).unwrap())));
    }
}
