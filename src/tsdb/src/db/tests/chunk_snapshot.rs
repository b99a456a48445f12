//! A chunk snapshot stands for the log up to its place, or is not taken: after clean stops, beside damage, and
//! when the log has gone on.

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use prom_model::Matcher;
use prom_telemetry::{MetricValue, Registry};
use prom_testkit::copy_tree;

use crate::{
    Options,
    disk::RealDisk,
    head_chunks::{ChunkFiles, scan},
};

use super::{
    Content, Db, content, options,
    sidecar::{BEGIN, FILE, killed, run},
};

const ERRORS: &str = "prometheus_tsdb_snapshot_replay_error_total";

fn with_snapshot() -> Options {
    Options { is_chunk_snapshot_used: true, exemplars_count_max: 10, ..options() }
}

fn open_counted(dir: &Path) -> (Arc<Db>, Registry) {
    let registry = Registry::default();
    let progress = |_| ControlFlow::Continue(());
    (Db::open(dir, with_snapshot(), &registry, &progress).unwrap(), registry)
}

fn errors_count(registry: &Registry) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name == ERRORS).unwrap();
    match family.metrics[0].value {
        MetricValue::Number(value) => value,
        _ => panic!("it is a counter"),
    }
}

fn snapshots(dir: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let is_snapshot = |path: &PathBuf| path.display().to_string().contains("chunk_snapshot.");
    paths.filter(is_snapshot).collect()
}

/// Makes a log of nothing, as long as it was: who replays it finds no sample.
fn blank_log(dir: &Path) {
    for entry in fs::read_dir(dir.join("wal")).unwrap() {
        let path = entry.unwrap().path();
        let size = fs::metadata(&path).unwrap().len() as usize;
        fs::write(&path, vec![0; size]).unwrap();
    }
}

/// A directory that was stopped with a snapshot and has no sidecar, and what is in it.
fn stopped() -> (tempfile::TempDir, Content) {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open_counted(dir.path());
    run(&db, 0..130, &mut Content::new());
    db.delete(BEGIN, BEGIN + 1_930_000, &[vec![Matcher::equal("n", "901")]]).unwrap();
    let all = content(&db);
    db.close().unwrap();
    assert_eq!(snapshots(dir.path()).len(), 1);
    fs::remove_file(dir.path().join(FILE)).unwrap();
    (dir, all)
}

#[test]
fn a_start_takes_a_snapshot_and_what_the_log_has_behind_it() {
    let (dir, mut all) = stopped();
    let copy = tempfile::tempdir().unwrap();
    copy_tree(dir.path(), copy.path());
    blank_log(copy.path());
    let (db, registry) = open_counted(copy.path());
    assert_eq!(content(&db), all);
    assert_eq!((errors_count(&registry), snapshots(copy.path()).len()), (0.0, 0));
    // What comes from now on stands behind it; the process is killed.
    run(&db, 130..140, &mut all);
    let killed = tempfile::tempdir().unwrap();
    copy_tree(copy.path(), killed.path());
    copy_tree(
        &snapshots(dir.path())[0],
        &killed.path().join(snapshots(dir.path())[0].file_name().unwrap()),
    );
    assert_eq!(content(&open_counted(killed.path()).0), all);
    // Whoever does not want it does without it, and leaves none that would be old.
    let progress = |_| ControlFlow::Continue(());
    let db = Db::open(dir.path(), options(), &Registry::default(), &progress).unwrap();
    assert_eq!(snapshots(dir.path()), Vec::<PathBuf>::new());
    db.close().unwrap();
    assert_eq!(snapshots(dir.path()), Vec::<PathBuf>::new());
}

#[test]
fn a_damaged_snapshot_is_told_and_the_log_is_replayed() {
    let (dir, all) = stopped();
    let file = snapshots(dir.path())[0].join("00000000");
    let bytes = fs::read(&file).unwrap();
    let damages: Vec<Vec<u8>> = (0..40)
        .map(|step| {
            let at = bytes.len() * step / 40;
            let mut damaged = bytes.clone();
            match step % 3 {
                0 => damaged[at] ^= 1 << (step % 8),
                1 => damaged.truncate(at),
                _ => damaged[at..].fill(0),
            }
            damaged
        })
        .collect();
    for (step, damaged) in damages.iter().enumerate() {
        let copy = tempfile::tempdir().unwrap();
        copy_tree(dir.path(), copy.path());
        fs::write(snapshots(copy.path())[0].join("00000000"), damaged).unwrap();
        let (db, registry) = open_counted(copy.path());
        assert_eq!(content(&db), all, "step {step}");
        assert_eq!(errors_count(&registry), 1.0, "step {step}");
        assert_eq!(snapshots(copy.path()), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_snapshot_of_another_log_is_left_out() {
    let (dir, all) = stopped();
    let name = snapshots(dir.path())[0].file_name().unwrap().to_str().unwrap().to_owned();
    let place = name.strip_prefix("chunk_snapshot.").unwrap();
    let (segment, offset) = place.split_once('.').unwrap();
    let (segment, offset): (u64, u64) = (segment.parse().unwrap(), offset.parse().unwrap());
    assert!(segment > 1 && offset % 32_768 == 0);
    for place in [(segment + 1, 0), (segment, offset + 1)] {
        let copy = tempfile::tempdir().unwrap();
        copy_tree(dir.path(), copy.path());
        let other = copy.path().join(format!("chunk_snapshot.{:06}.{:010}", place.0, place.1));
        let taken = snapshots(copy.path()).remove(0);
        copy_tree(&taken, &other);
        fs::remove_dir_all(taken).unwrap();
        let (db, registry) = open_counted(copy.path());
        assert_eq!(content(&db), all);
        // It is whole; it is told, and no error.
        assert_eq!(errors_count(&registry), 0.0);
        assert_eq!(snapshots(copy.path()), Vec::<PathBuf>::new());
    }
}

/// What a start finds whose head chunks were changed while it was stopped; it comes out of the log.
#[test]
fn head_chunks_that_are_not_those_of_the_snapshot_come_out_of_the_log() {
    let (dir, all) = stopped();
    let path = |dir: &Path| dir.join("chunks_head/000001");
    let bytes = fs::read(path(dir.path())).unwrap();
    let begins = chunk_begins(dir.path());
    assert!(begins.len() > 2, "{begins:?}");
    let mut changed: Vec<(String, Option<Vec<u8>>)> = vec![("no file".to_owned(), None)];
    for begin in &begins {
        changed.push((format!("cut at {begin}"), Some(bytes[..*begin].to_vec())));
        changed.push((format!("cut behind {begin}"), Some(bytes[..*begin + 11].to_vec())));
        let mut zeros = bytes.clone();
        zeros[*begin..].fill(0);
        changed.push((format!("zeros from {begin} on"), Some(zeros)));
        let mut flipped = bytes.clone();
        flipped[*begin + 30] ^= 1;
        changed.push((format!("a bit behind {begin}"), Some(flipped)));
    }
    for (what, bytes) in &changed {
        let copy = killed(dir.path());
        fs::remove_file(path(copy.path())).unwrap();
        if let Some(bytes) = bytes {
            fs::write(path(copy.path()), bytes).unwrap();
        }
        let (db, registry) = open_counted(copy.path());
        assert_eq!(content(&db), all, "{what}");
        // The snapshot is good; it is another one.
        assert_eq!(errors_count(&registry), 0.0, "{what}");
    }
    // The directory is gone, and a list that nobody can read or has written, as in snapshots of Prometheus.
    let copy = killed(dir.path());
    fs::remove_dir_all(copy.path().join("chunks_head")).unwrap();
    assert_eq!(content(&open_counted(copy.path()).0), all);
    let list = |dir: &Path| snapshots(dir)[0].join("head_chunks");
    for size in [Some(9), Some(0), None] {
        let copy = killed(dir.path());
        fs::write(path(copy.path()), &bytes[..begins[1]]).unwrap();
        match size {
            Some(size) => {
                fs::write(list(copy.path()), &fs::read(list(dir.path())).unwrap()[..size])
            }
            None => fs::remove_file(list(copy.path())),
        }
        .unwrap();
        assert_eq!(content(&open_counted(copy.path()).0), all, "{size:?}");
    }
}

#[test]
fn a_snapshot_beside_no_head_chunks_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open_counted(dir.path());
    let mut all = Content::new();
    run(&db, 0..10, &mut all);
    db.close().unwrap();
    assert!(chunk_begins(dir.path()).is_empty());
    fs::remove_file(dir.path().join(FILE)).unwrap();
    blank_log(dir.path());
    assert_eq!(content(&open_counted(dir.path()).0), all);
}

/// Where the chunks begin in the only file of head chunks, if there is one.
fn chunk_begins(dir: &Path) -> Vec<usize> {
    let copy = killed(dir);
    let files = ChunkFiles::new(Arc::new(RealDisk), &copy.path().join("chunks_head"));
    let mut begins = Vec::new();
    let scanned = scan(&files, copy.path(), |chunk| begins.push(chunk.place.offset as usize));
    assert!(scanned.unwrap().ends.len() <= 1);
    begins
}
