//! Since when samples count, wherever they stand: in open and closed chunks, on the log, in blocks; in order and
//! late; after kills, clean stops, damage and deletions.

use std::{fs, path::Path};

use prom_model::{Histogram, HistogramValue, Matcher, Span};
use prom_storage::{Appendable, Appender, HistogramSample, Queryable, Selection};

use crate::{FloatEncoding, Options};

use super::{
    sidecar::{BEGIN, FILE, killed, open_dir_with},
    *,
};

const STEP_MS: i64 = 15_000;
const FLOATS: std::ops::Range<usize> = 0..9;
const HISTOGRAMS: std::ops::Range<usize> = 100..106;
/// Floats and histograms in turn.
const BOTH: usize = 200;

/// By series and time: value and start.
type Told = BTreeMap<(usize, i64), (f64, i64)>;

fn options() -> Options {
    Options {
        are_starts_kept: true,
        are_histogram_starts_encoded: true,
        float_encoding: FloatEncoding::Xor2,
        out_of_order_window_ms: 2 * 3_600_000,
        ..super::options()
    }
}

/// Some series never tell, some always the same, some change now and then, some with each sample.
fn start_of(number: usize, round: usize) -> i64 {
    let t = BEGIN + round as i64 * STEP_MS;
    match number % 4 {
        0 => 0,
        1 => BEGIN - 77_777,
        2 => [BEGIN - 5, 0, t - 1][round / 50 % 3],
        _ => t - STEP_MS + (round % 7) as i64,
    }
}

fn value_of(number: usize, round: usize) -> f64 {
    (number * 1000 + round) as f64 / if number.is_multiple_of(2) { 1.0 } else { 3.0 }
}

fn histogram(sum: f64) -> HistogramValue {
    HistogramValue::Integer(Arc::new(Histogram {
        count: 3,
        sum,
        positive_spans: [Span { offset: 0, length: 1 + sum as u32 % 3 }].into(),
        positive_buckets: [vec![3], vec![1, 1], vec![1, 0, 0]][sum as usize % 3].clone(),
        ..Histogram::default()
    }))
}

fn is_histogram(number: usize, round: usize) -> bool {
    HISTOGRAMS.contains(&number) || number == BOTH && round / 30 % 2 == 1
}

/// One commit with a sample of each series, of these rounds.
fn commit_rounds(db: &Db, rounds: impl Iterator<Item = usize>, told: &mut Told) {
    let mut appender: Box<dyn Appender + '_> = db.appender();
    let mut rejected = Vec::new();
    for round in rounds {
        let timestamp_ms = BEGIN + round as i64 * STEP_MS;
        let (mut floats, mut starts_ms, mut histograms) = (Vec::new(), Vec::new(), Vec::new());
        for number in FLOATS.chain(HISTOGRAMS).chain([BOTH]) {
            let series = appender.series(&labels(number)).unwrap();
            let (value, start_ms) = (value_of(number, round), start_of(number, round));
            told.insert((number, timestamp_ms), (value, start_ms));
            if is_histogram(number, round) {
                let histogram = histogram(value);
                histograms.push(HistogramSample { series, timestamp_ms, start_ms, histogram });
            } else {
                floats.push(FloatSample { series, timestamp_ms, value });
                starts_ms.push(start_ms);
            }
        }
        appender.append_with_starts(&floats, &starts_ms, &mut rejected);
        appender.append_histograms(&histograms, &mut rejected);
    }
    assert_eq!(rejected, []);
    appender.commit().unwrap();
}

fn fill(db: &Db, rounds: std::ops::Range<usize>, told: &mut Told) {
    rounds.for_each(|round| commit_rounds(db, std::iter::once(round), told));
}

fn read(selection: &dyn Selection, index: usize, range: TimeRange, told: &mut Told) {
    let number = selection.labels(index).get("n").unwrap().parse().unwrap();
    let mut columns = Columns::default();
    selection.read(index, range, &mut columns).unwrap();
    let counts = |starts_ms: &[i64], count: usize| starts_ms.is_empty() || starts_ms.len() == count;
    assert!(counts(&columns.start_timestamps_ms, columns.len()));
    assert!(counts(&columns.histogram_start_timestamps_ms, columns.histograms.len()));
    let start = |starts_ms: &[i64], at: usize| starts_ms.get(at).copied().unwrap_or(0);
    for (at, (t, value)) in columns.timestamps_ms.iter().zip(&columns.values).enumerate() {
        told.insert((number, *t), (*value, start(&columns.start_timestamps_ms, at)));
    }
    for (at, point) in columns.histograms.iter().enumerate() {
        let value = point.histogram.to_float().sum;
        let start_ms = start(&columns.histogram_start_timestamps_ms, at);
        told.insert((number, point.timestamp_ms), (value, start_ms));
    }
}

fn seen_in(db: &Db, range: TimeRange) -> Told {
    let querier = db.querier(range).unwrap();
    let hints = SelectHints { range, is_sorted: false, series_count_max: 0 };
    let no_matcher: [Matcher; 0] = [];
    let selection = querier.select(&no_matcher, &hints).unwrap();
    let mut told = Told::new();
    (0..selection.len()).for_each(|index| read(&*selection, index, range, &mut told));
    told
}

#[track_caller]
fn check(db: &Db, told: &Told) {
    let found = seen_in(db, ALL);
    for (place, one) in told {
        assert_eq!(found.get(place), Some(one), "{place:?}");
    }
    assert_eq!(found.len(), told.len());
}

/// What a start finds after a kill, with the sidecar that is there, or none.
#[track_caller]
fn check_killed(dir: &Path, told: &Told) {
    let copy = killed(dir);
    check(&open_dir_with(copy.path(), options()), told);
    let copy = killed(dir);
    fs::remove_file(copy.path().join(FILE)).ok();
    check(&open_dir_with(copy.path(), options()), told);
}

#[test]
fn starts_are_read_with_their_samples() {
    let dir = tempfile::tempdir().unwrap();
    let db = open_dir_with(dir.path(), options());
    let mut told = Told::new();
    fill(&db, 0..300, &mut told);
    check(&db, &told);
    let at = |round: i64| BEGIN + round * STEP_MS;
    for (from, to) in [(0, 10), (115, 125), (230, 260), (299, 299), (100, 280)] {
        let range = TimeRange { mint_ms: at(from), maxt_ms: at(to) };
        let mut within = told.clone();
        within.retain(|(_, t), _| (range.mint_ms..=range.maxt_ms).contains(t));
        assert_eq!(seen_in(&db, range), within);
    }
    // The newest alone, which the head knows without reading.
    let querier = db.querier(ALL).unwrap();
    let hints = SelectHints { range: ALL, is_sorted: false, series_count_max: 0 };
    let selection = querier.select(&[Matcher::equal("n", "3")], &hints).unwrap();
    let mut newest = Columns::default();
    selection.read_newest(0, ALL, &mut newest).unwrap();
    assert_eq!(newest.start_timestamps_ms, [start_of(3, 299)]);
}

#[test]
fn starts_survive_kills_and_stops() {
    let dir = tempfile::tempdir().unwrap();
    let mut told = Told::new();
    for life in 0..3 {
        let db = open_dir_with(dir.path(), options());
        check(&db, &told);
        fill(&db, life * 100..life * 100 + 60, &mut told);
        check_killed(dir.path(), &told);
        // A sidecar of a head that goes on.
        crate::db::sidecar::write(&db.head, &dir.path().join(FILE)).unwrap();
        fill(&db, life * 100 + 60..life * 100 + 100, &mut told);
        db.head.flush_chunks().unwrap();
        check_killed(dir.path(), &told);
        db.close().unwrap();
        drop(db);
        check_killed(dir.path(), &told);
    }
}

#[test]
fn starts_are_in_chunk_snapshots() {
    let options = || Options { is_chunk_snapshot_used: true, ..options() };
    let dir = tempfile::tempdir().unwrap();
    let mut told = Told::new();
    for life in 0..2 {
        let db = open_dir_with(dir.path(), options());
        fill(&db, life * 135..(life + 1) * 135, &mut told);
        db.close().unwrap();
        drop(db);
        fs::remove_file(dir.path().join(FILE)).unwrap();
        check(&open_dir_with(killed(dir.path()).path(), options()), &told);
    }
}

#[test]
fn starts_come_out_of_the_log_when_chunks_are_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let mut told = Told::new();
    let db = open_dir_with(dir.path(), options());
    fill(&db, 0..300, &mut told);
    db.close().unwrap();
    drop(db);
    for entry in fs::read_dir(dir.path().join("chunks_head")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        bytes.iter_mut().step_by(97).for_each(|byte| *byte ^= 1);
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    let db = open_dir_with(dir.path(), options());
    let mended = db.head.mend().unwrap();
    assert!(mended.lost_count > 20 && mended.lost_count == mended.mended_count, "{mended:?}");
    check(&db, &told);
    check_killed(dir.path(), &told);
}

#[test]
fn starts_are_on_a_log_that_is_shortened() {
    let dir = tempfile::tempdir().unwrap();
    let mut told = Told::new();
    let db = open_dir_with(dir.path(), options());
    fill(&db, 0..300, &mut told);
    db.head.shorten_log().unwrap();
    check_killed(dir.path(), &told);
    fill(&db, 300..330, &mut told);
    db.head.shorten_log().unwrap();
    check_killed(dir.path(), &told);
}

#[test]
fn blocks_have_the_starts() {
    let dir = tempfile::tempdir().unwrap();
    let mut told = Told::new();
    let in_short_blocks = |options: Options| Options {
        min_block_duration_ms: 1_200_000,
        max_block_duration_ms: 9 * 1_200_000,
        ..options
    };
    let db = open_dir_with(dir.path(), in_short_blocks(options()));
    fill(&db, 0..1600, &mut told);
    db.do_upkeep().unwrap();
    assert!(db.blocks.list().iter().any(|block| block.meta().compaction.level > 1));
    check(&db, &told);
    // A range of some series goes, and what is left is written anew.
    let (from, to) = (BEGIN + 100 * STEP_MS, BEGIN + 220 * STEP_MS);
    let matcher = Matcher::new("n", prom_model::MatchOp::Regex, "[2357]|10[13]").unwrap();
    db.delete(from, to, &[vec![matcher.clone()]]).unwrap();
    told.retain(|(number, t), _| !matcher.matches(&number.to_string()) || !(from..=to).contains(t));
    check(&db, &told);
    db.clean_tombstones().unwrap();
    check(&db, &told);
    db.close().unwrap();
    drop(db);
    // Whoever keeps no starts reads them all the same.
    let reader = open_dir_with(dir.path(), in_short_blocks(super::options()));
    let blocks_end = reader.blocks.list().iter().map(|block| block.times().1).max().unwrap();
    let in_blocks = TimeRange { mint_ms: i64::MIN, maxt_ms: blocks_end - 1 };
    told.retain(|(_, t), _| *t < blocks_end);
    assert_eq!(seen_in(&reader, in_blocks), told);
}

#[test]
fn late_samples_have_starts() {
    let dir = tempfile::tempdir().unwrap();
    let mut told = Told::new();
    let db = open_dir_with(dir.path(), options());
    let is_late = |round: usize| round % 3 == 1;
    for round in (0..460).filter(|round| !is_late(*round)) {
        commit_rounds(&db, std::iter::once(round), &mut told);
        // Each comes a while after its neighbors.
        if round > 40 && is_late(round - 40) {
            commit_rounds(&db, std::iter::once(round - 40), &mut told);
        }
    }
    let missing = (0..460).filter(|round| is_late(*round));
    let missing = missing.filter(|round| !told.contains_key(&(0, BEGIN + *round as i64 * STEP_MS)));
    commit_rounds(&db, missing.collect::<Vec<_>>().into_iter(), &mut told);
    check(&db, &told);
    check_killed(dir.path(), &told);
    // Their chunks in files are damaged, too.
    db.close().unwrap();
    drop(db);
    let copy = killed(dir.path());
    for entry in fs::read_dir(copy.path().join("chunks_head")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        bytes.iter_mut().step_by(97).for_each(|byte| *byte ^= 1);
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    }
    let mended = open_dir_with(copy.path(), options());
    mended.head.mend().unwrap();
    check(&mended, &told);
    let db = open_dir_with(dir.path(), options());
    let mut more = told.clone();
    fill(&db, 460..1000, &mut more);
    db.do_upkeep().unwrap();
    check(&db, &more);
    check_killed(dir.path(), &more);
}

#[test]
fn who_keeps_no_starts_writes_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut told = Told::new();
    let bare = Options { out_of_order_window_ms: 0, ..super::options() };
    let db = open_dir_with(dir.path(), bare.clone());
    fill(&db, 0..150, &mut told);
    told.values_mut().for_each(|(_, start_ms)| *start_ms = 0);
    check(&db, &told);
    drop(db);
    // Byte for byte as if nobody had told.
    let other = tempfile::tempdir().unwrap();
    let db = open_dir_with(other.path(), bare);
    for round in 0..150 {
        let mut appender: Box<dyn Appender + '_> = db.appender();
        let (mut floats, mut histograms, timestamp_ms) =
            (Vec::new(), Vec::new(), BEGIN + round as i64 * STEP_MS);
        for number in FLOATS.chain(HISTOGRAMS).chain([BOTH]) {
            let series = appender.series(&labels(number)).unwrap();
            let value = value_of(number, round);
            match is_histogram(number, round) {
                true => histograms.push(HistogramSample {
                    series,
                    timestamp_ms,
                    start_ms: 0,
                    histogram: histogram(value),
                }),
                false => floats.push(FloatSample { series, timestamp_ms, value }),
            }
        }
        appender.append(&floats, &mut Vec::new());
        appender.append_histograms(&histograms, &mut Vec::new());
        appender.commit().unwrap();
    }
    drop(db);
    let log = |dir: &Path| fs::read(dir.join("wal/00000000")).unwrap();
    assert!(log(dir.path()) == log(other.path()));
}

#[test]
fn starts_of_histograms_wait_on_the_log_for_who_encodes_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut told = Told::new();
    let floats_only = || Options { are_histogram_starts_encoded: false, ..options() };
    let db = open_dir_with(dir.path(), floats_only());
    fill(&db, 0..100, &mut told);
    let mut of_floats = told.clone();
    let is_of_histogram =
        |number: usize, t: i64| is_histogram(number, ((t - BEGIN) / STEP_MS) as usize);
    for ((number, t), (_, start_ms)) in &mut of_floats {
        if is_of_histogram(*number, *t) {
            *start_ms = 0;
        }
    }
    check(&db, &of_floats);
    check(&open_dir_with(killed(dir.path()).path(), floats_only()), &of_floats);
    check(&open_dir_with(killed(dir.path()).path(), options()), &told);
    db.close().unwrap();
    drop(db);
    // The same settings decide whether a sidecar is read or the log.
    check(&open_dir_with(killed(dir.path()).path(), floats_only()), &of_floats);
    let none = open_dir_with(dir.path(), super::options());
    told.values_mut().for_each(|(_, start_ms)| *start_ms = 0);
    check(&none, &told);
}
