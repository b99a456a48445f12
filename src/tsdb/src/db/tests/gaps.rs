//! Chunks that are missing without a trace: a file ends early, but with a whole chunk, and files behind it go
//! on. Only the log tells of it, by samples that stand in no chunk; not all such samples do.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use prom_storage::{Appendable, HistogramSample, Rejected};
use prom_testkit::FaultyDisk;

use crate::{
    Options,
    head_chunks::{ChunkFiles, scan},
};

use super::{
    Content, DIR, Db, commit, content, insert, labels,
    lives::{histogram, histograms_of},
    open, options, try_open,
};

const BEGIN: i64 = 1_700_000_000_000;
const PACE_MS: i64 = 15_000;
/// Has histograms only.
const OF_HISTOGRAMS: usize = 4;
/// Has both, in turn.
const OF_BOTH: usize = 5;

fn append_round(db: &Db, round: usize) {
    let t = BEGIN + round as i64 * PACE_MS;
    let is_float = |number: &usize| match *number {
        OF_HISTOGRAMS => false,
        OF_BOTH => round % 90 < 45,
        // One comes late.
        number => number != 3 || round > 250,
    };
    let floats: Vec<_> =
        (0..6).filter(is_float).map(|number| (number, t, (number * round) as f64 / 3.0)).collect();
    commit(db, &floats).unwrap();
    let mut appender = db.appender();
    let mut histograms = Vec::new();
    for number in (OF_HISTOGRAMS..=OF_BOTH).filter(|number| !is_float(number)) {
        let series = appender.series(&labels(number)).unwrap();
        let histogram = histogram(number, round, 0);
        histograms.push(HistogramSample { series, timestamp_ms: t, start_ms: 0, histogram });
    }
    let mut rejected: Vec<Rejected> = Vec::new();
    appender.append_histograms(&histograms, &mut rejected);
    assert_eq!(rejected, []);
    appender.commit().unwrap();
}

fn path(number: u32) -> PathBuf {
    Path::new(DIR).join(format!("chunks_head/{number:06}"))
}

/// Where the chunks of a file begin.
fn begins(disk: &FaultyDisk, number: u32) -> Vec<usize> {
    let dir = Path::new(DIR).join("chunks_head");
    let files = ChunkFiles::new(Arc::new(disk.live_image()), &dir);
    let mut begins = Vec::new();
    let scanned = scan(&files, Path::new(DIR), |chunk| {
        begins.extend(Some(chunk.place.offset as usize).filter(|_| chunk.place.file == number));
    });
    assert_eq!(scanned.unwrap().damaged_count, 0);
    begins
}

#[test]
fn a_file_that_ends_early_with_a_whole_chunk_costs_no_sample() {
    let disk = FaultyDisk::default();
    for life in 0..3 {
        // Each life has a file of its own.
        let db = open(&disk);
        (life * 200..(life + 1) * 200).for_each(|round| append_round(&db, round));
        db.head.flush_chunks().unwrap();
        drop(db);
    }
    let whole = open(&disk.live_image());
    let expected = (content(&whole), histograms_of(&whole), whole.head_stats().chunks_count);
    let begins = [1, 2].map(|file| (file, begins(&disk, file)));
    assert!(begins.iter().all(|(_, begins)| begins.len() > 5), "{begins:?}");
    // Cut at each chunk, and taken away.
    let cuts = begins.iter().flat_map(|(file, begins)| {
        let sizes = begins.iter().map(|at| Some(*at)).chain([None]);
        sizes.map(|size| (*file, size))
    });
    for (file, size) in cuts {
        for is_log_shortened_early in [false, true] {
            let options = Options { is_log_shortened_early, ..options() };
            let disk = disk.live_image();
            match size {
                Some(size) => disk.edit(&path(file), |bytes| bytes.truncate(size)).unwrap(),
                None => disk.remove_file(&path(file)).unwrap(),
            }
            // Once more, when what was missing stands in a file behind the others.
            for start in 0..3 {
                let db = try_open(&disk, &options).unwrap();
                let found = (content(&db), histograms_of(&db), db.head_stats().chunks_count);
                assert_eq!(found, expected, "start {start}, file {file} cut at {size:?}");
                db.head.flush_chunks().unwrap();
            }
        }
    }
}

#[test]
fn late_samples_between_chunks_are_no_gap() {
    let options = Options { out_of_order_window_ms: 3 * 3_600_000, ..options() };
    let disk = FaultyDisk::default();
    let db = try_open(&disk, &options).unwrap();
    let mut acknowledged = Content::new();
    let mut append = |number: usize, t: i64| {
        commit(&db, &[(number, t, t as f64)]).unwrap();
        insert(&mut acknowledged, &[(number, t, t as f64)]);
    };
    for round in 0..400 {
        (0..3).for_each(|number| append(number, BEGIN + round * PACE_MS));
        // Wherever chunks end, one of these is behind it.
        if round > 0 {
            append(1, BEGIN + round * PACE_MS - 5_000);
        }
    }
    db.head.flush_chunks().unwrap();
    let killed = try_open(&disk.live_image(), &options).unwrap();
    assert_eq!(content(&killed), acknowledged);
    assert_eq!(killed.head_stats(), db.head_stats());
}
