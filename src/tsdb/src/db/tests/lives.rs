//! A database that is stopped and started all the time beside one that never is: the same chunks byte for
//! byte, the same exemplars, metadata and deletions, from the sidecar alone, whose log is spoiled.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use prom_model::{
    CUSTOM_BUCKETS_SCHEMA, CounterResetHint, Exemplar, FloatHistogram, Histogram, HistogramValue,
    Labels, Matcher, Metadata, Span, stale_nan,
};
use prom_storage::{
    Appendable, Columns, ExemplarQueryable, ExemplarSample, ExemplarSeries, FloatSample,
    HistogramPoint, HistogramSample, Queryable, SelectHints,
};
use proptest::prelude::*;

use crate::{
    Options,
    block::{BlockSource, SourceSeries},
    db::sidecar,
    select::HeadExport,
};

use super::{
    ALL, Db, labels,
    sidecar::{killed, open_dir_with, spoil_log},
};

const BEGIN: i64 = 1_700_000_000_000;
const FILE: &str = "head_state";

/// Series by what they hold.
const FLOATS: usize = 8;
const SERIES_COUNT: usize = 16;

fn options() -> Options {
    Options {
        wal_segment_size_bytes: 32 * 1024,
        exemplars_count_max: 20,
        is_metadata_logged: true,
        ..Options::default()
    }
}

type TextPairs = Vec<(String, String)>;
type MetadataOfRefs = Vec<(u64, Arc<Metadata>)>;
/// First and last time, encoding, bytes.
type Chunks = Vec<(i64, i64, u8, Vec<u8>)>;
type Ranges = Vec<(i64, i64)>;

/// All that the head holds: series with their chunks, exemplars, metadata.
#[derive(Debug, PartialEq)]
struct Held {
    series: Vec<(TextPairs, Chunks, Ranges)>,
    exemplars: Vec<ExemplarSeries>,
    metadata: MetadataOfRefs,
}

fn held(db: &Db) -> Held {
    let mut export = HeadExport::new(&db.head, i64::MIN, i64::MAX);
    let mut symbols = Vec::new();
    export
        .symbols(&mut |text| {
            symbols.push(text.to_owned());
            Ok(())
        })
        .unwrap();
    let mut series = Vec::new();
    let mut one = SourceSeries::default();
    while export.next_series(&mut one).unwrap() {
        let text = |at: u32| symbols[at as usize].clone();
        let labels = one.labels.iter().map(|(name, value)| (text(*name), text(*value)));
        let chunk = |chunk: &crate::block::SourceChunk| {
            (chunk.min_t, chunk.max_t, chunk.encoding, one.bytes_of(chunk).to_vec())
        };
        let deleted = one.deleted.iter().map(|range| (range.mint_ms, range.maxt_ms));
        series.push((labels.collect(), one.chunks.iter().map(chunk).collect(), deleted.collect()));
    }
    let all = [Matcher::equal("__name__", "metric")];
    let exemplars = db.exemplars(ALL, &[all.into()]).unwrap();
    Held { series, exemplars, metadata: db.head.metadata() }
}

/// A histogram whose shape changes with the dice: new buckets, resets, markers, bounds.
pub(super) fn histogram(number: usize, round: usize, dice: u8) -> HistogramValue {
    let count = if dice % 11 == 7 { 3 } else { 10 + round as u64 };
    let length = 2 + u32::from(dice % 17 == 3) + (round / 50) as u32 % 4;
    let buckets: Vec<i64> = (0..length).map(|at| if at == 0 { count as i64 } else { 1 }).collect();
    let is_custom = number % 4 == 3;
    let spans: Arc<[Span]> = [Span { offset: if is_custom { 0 } else { -1 }, length }].into();
    let bounds: Vec<f64> = (0..length).map(|at| f64::from(at) / 8.0).collect();
    let plain = Histogram {
        counter_reset_hint: match number % 4 {
            2 => CounterResetHint::Gauge,
            _ => CounterResetHint::Unknown,
        },
        schema: if is_custom { CUSTOM_BUCKETS_SCHEMA } else { 3 },
        count: count * u64::from(length),
        sum: f64::from(dice) / 3.0,
        zero_threshold: if is_custom { 0.0 } else { 0.001 },
        positive_spans: spans,
        positive_buckets: buckets,
        custom_values: if is_custom { bounds.into() } else { [].into() },
        ..Histogram::default()
    };
    let is_float = number % 2 == 1;
    match (dice % 29 == 5, is_float) {
        (true, true) => HistogramValue::Float(Arc::new(FloatHistogram::stale())),
        (true, false) => HistogramValue::Integer(Arc::new(Histogram::stale())),
        (false, true) => HistogramValue::Float(HistogramValue::Integer(Arc::new(plain)).to_float()),
        (false, false) => HistogramValue::Integer(Arc::new(plain)),
    }
}

/// One commit with some of everything.
fn commit_round(db: &Db, round: usize, dice: &[u8]) {
    let t = BEGIN + round as i64 * 15_000;
    let mut appender = db.appender();
    let (mut floats, mut histograms, mut exemplars) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..SERIES_COUNT {
        let dice = dice[(round * 7 + number) % dice.len()].wrapping_add((round * number) as u8);
        if dice.is_multiple_of(13) {
            continue;
        }
        let series = appender.series(&labels(number)).unwrap();
        // The last ones change between floats and histograms now and then.
        let is_float =
            number < FLOATS || number >= SERIES_COUNT - 2 && (round / 9).is_multiple_of(2);
        if is_float || dice % 31 == 4 && number < SERIES_COUNT - 4 {
            let value = if dice % 23 == 2 { stale_nan() } else { f64::from(dice) * 1.1 };
            floats.push(FloatSample { series, timestamp_ms: t, value });
        } else {
            let histogram = histogram(number, round, dice);
            histograms.push(HistogramSample { series, timestamp_ms: t, start_ms: 0, histogram });
        }
        if dice % 5 == 1 {
            let labels = Labels::from_pairs([("trace", dice.to_string().as_str())]);
            let exemplar = Exemplar { labels, value: f64::from(dice), timestamp_ms: t };
            exemplars.push(ExemplarSample { series, exemplar });
        }
        if dice % 19 == 1 {
            let help = format!("help {dice}");
            appender.set_metadata(series, &Metadata { help, ..Metadata::default() });
        }
    }
    let mut rejected = Vec::new();
    appender.append(&floats, &mut rejected);
    appender.append_histograms(&histograms, &mut rejected);
    appender.append_exemplars(&exemplars, &mut rejected);
    appender.commit().unwrap();
}

fn delete(db: &Db, round: usize, number: usize) {
    let t = BEGIN + round as i64 * 15_000;
    let n = number.to_string();
    db.delete(t - 900_000, t - 300_000, &[vec![Matcher::equal("n", &n)]]).unwrap();
}

fn check(dice: &[u8], stops: &[(usize, bool)]) {
    let (quiet_dir, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let open = |dir: &Path| open_dir_with(dir, options());
    let quiet = open(quiet_dir.path());
    let mut db = open(dir.path());
    let mut round = 0;
    for (rounds, is_killed) in stops {
        for _ in 0..*rounds {
            for db in [&quiet, &db] {
                commit_round(db, round, dice);
                if dice[round % dice.len()].is_multiple_of(41) {
                    delete(db, round, round % SERIES_COUNT);
                }
            }
            round += 1;
        }
        if *is_killed {
            assert!(sidecar::write(&db.head, &dir.path().join(FILE)).unwrap());
        } else {
            db.close().unwrap();
        }
        let copy = killed(dir.path());
        spoil_log(copy.path(), |_| true);
        let spoiled = open(copy.path());
        assert_eq!(held(&spoiled), held(&quiet));
        assert_eq!(spoiled.head_stats(), quiet.head_stats());
        drop(spoiled);
        let again = killed(dir.path());
        // What is closed or killed is left behind, with its folder.
        drop(db);
        fs::remove_dir_all(dir.path()).unwrap();
        prom_testkit::copy_tree(again.path(), dir.path());
        db = open(dir.path());
        assert_eq!(held(&db), held(&quiet));
    }
    // And the log says the same.
    drop(db);
    fs::remove_file(dir.path().join(FILE)).unwrap();
    assert_eq!(content_of(&open(dir.path())), content_of(&quiet));
}

/// What a reader sees: a replay may put chunks together in another way, but no other samples into them.
fn content_of(db: &Db) -> (super::Content, Vec<ExemplarSeries>, MetadataOfRefs) {
    let Held { exemplars, metadata, .. } = held(db);
    (super::content(db), exemplars, metadata)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn restarts_change_nothing(
        dice in prop::collection::vec(any::<u8>(), 5..60),
        stops in prop::collection::vec((1usize..90, any::<bool>()), 1..5),
    ) {
        check(&dice, &stops);
    }
}

/// Times, kinds and counts of the histograms of each series.
pub(super) fn histograms_of(db: &Db) -> BTreeMap<Labels, Vec<(i64, bool, u64)>> {
    let hints = SelectHints { range: ALL, is_sorted: false, series_count_max: 0 };
    let no_matcher: [Matcher; 0] = [];
    let selection = db.querier(ALL).unwrap().select(&no_matcher, &hints).unwrap();
    let told = |index| {
        let mut columns = Columns::default();
        selection.read(index, ALL, &mut columns).unwrap();
        let one = |point: &HistogramPoint| {
            let is_float = matches!(point.histogram, HistogramValue::Float(_));
            (point.timestamp_ms, is_float, point.histogram.to_float().count.to_bits())
        };
        (selection.labels(index), columns.histograms.iter().map(one).collect())
    };
    (0..selection.len()).map(told).collect()
}

/// Several samples of a series in one commit, of kinds that the log keeps in records of their own.
#[test]
fn one_commit_with_histograms_of_all_kinds_comes_out_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let db = open_dir_with(dir.path(), options());
    let custom = |round| histogram(3, round, 0);
    let HistogramValue::Float(float) = custom(0) else {
        panic!("series of odd numbers are floats")
    };
    let integer = |round| histogram(0, round, 0);
    let stale = || HistogramValue::Integer(Arc::new(Histogram::stale()));
    let kinds: [&dyn Fn(usize) -> HistogramValue; 4] =
        [&custom, &|_| stale(), &integer, &|round| histogram(1, round, 0)];
    assert_eq!(float.schema, CUSTOM_BUCKETS_SCHEMA);
    let mut appender = db.appender();
    let mut histograms = Vec::new();
    for number in 0..4 {
        let series = appender.series(&labels(number)).unwrap();
        histograms.extend((0..40).map(|round| HistogramSample {
            series,
            timestamp_ms: BEGIN + round as i64 * 15_000,
            start_ms: 0,
            // Each kind comes behind each.
            histogram: kinds[(round / (number + 1) * (number + 1) + round / 7) % 4](round),
        }));
    }
    let mut rejected = Vec::new();
    appender.append_histograms(&histograms, &mut rejected);
    appender.commit().unwrap();
    assert!(rejected.is_empty());
    let expected = histograms_of(&db);
    assert_eq!(expected.values().map(Vec::len).collect::<Vec<_>>(), [40; 4]);
    let again = open_dir_with(killed(dir.path()).path(), options());
    assert_eq!(histograms_of(&again), expected);
}

#[test]
fn every_damage_of_the_sidecar_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let db = open_dir_with(dir.path(), options());
    for round in 0..4 {
        commit_round(&db, round, &[1, 5, 57, 200, 19]);
    }
    let expected = content_of(&db);
    db.close().unwrap();
    let path = dir.path().join(FILE);
    let bytes = fs::read(&path).unwrap();
    let log = crate::wal::list_log(&crate::disk::RealDisk, &dir.path().join("wal")).unwrap();
    let load = |damaged: &[u8]| {
        fs::write(&path, damaged).unwrap();
        let disk: Arc<dyn crate::disk::Disk> = Arc::new(crate::disk::RealDisk);
        let chunks_dir = dir.path().join("chunks_head");
        let files = crate::head_chunks::ChunkFiles::new(Arc::clone(&disk), &chunks_dir);
        sidecar::load(&*disk, dir.path(), &log, &files, &options())
    };
    assert!(load(&bytes).is_some());
    for at in 0..bytes.len() {
        assert!(load(&bytes[..at]).is_none(), "cut at {at}");
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(load(&damaged).is_none(), "flipped at {at}");
    }
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(content_of(&open_dir_with(dir.path(), options())), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Items whose checksum is right and whose content is not: from a version that this one does not know.
    #[test]
    fn strange_items_never_panic(
        item in 0usize..9,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        static ITEMS: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
        let items = ITEMS.get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            let db = open_dir_with(dir.path(), options());
            (0..130).for_each(|round| commit_round(&db, round, &[1, 5, 57, 200, 19]));
            delete(&db, 130, 3);
            let mut items = Vec::new();
            db.head.write_sidecar(&mut |item| {
                items.push(item.to_vec());
                Ok(())
            }).unwrap();
            items
        });
        let mut items = items.clone();
        let count = items.len();
        let item = &mut items[item % count];
        for (at, value) in edits {
            let size = item.len();
            item[at.index(size)] = value;
        }
        let mut items = items.into_iter();
        if let Ok(header) = crate::head::SidecarHeader::decode(&items.next().unwrap()) {
            let next = || items.next().ok_or(crate::head::SidecarError);
            drop(crate::head::LoadedSidecar::read(header, next));
        }
    }
}
