//! Blocks that others made, read through the whole database; damaged ones beside them.

use std::{collections::BTreeMap, fs, ops::ControlFlow, path::Path, sync::Arc};

use prom_model::{MatchOp, Matcher, format_float};
use prom_storage::{Columns, LabelHints, Queryable, SelectHints, TimeRange};
use prom_telemetry::Registry;
use prom_testkit::conformance;

use crate::Options;

use super::{ALL, Db};

/// Samples as `promtool tsdb dump` prints them, floats only, by series.
type Dump = BTreeMap<String, Vec<(i64, String)>>;

fn open(dir: &Path) -> Arc<Db> {
    let progress = |_| ControlFlow::Continue(());
    Db::open(dir, Options::default(), &Registry::default(), &progress).unwrap()
}

/// A data directory with copies of the golden block, each under its own name.
fn golden(names: &[&str]) -> Option<(tempfile::TempDir, Dump)> {
    let golden = conformance("golden_block")?;
    let block = fs::read_dir(golden.join("block")).unwrap().next().unwrap().unwrap().path();
    let dir = tempfile::tempdir().unwrap();
    for name in names {
        let to = dir.path().join(name);
        fs::create_dir_all(to.join("chunks")).unwrap();
        for file in ["index", "meta.json", "tombstones", "chunks/000001"] {
            fs::write(to.join(file), fs::read(block.join(file)).unwrap()).unwrap();
        }
    }
    let mut dump = Dump::new();
    for line in fs::read_to_string(golden.join("dump.txt")).unwrap().lines() {
        let (rest, t) = line.rsplit_once(' ').unwrap();
        let (labels, value) = rest.rsplit_once(' ').unwrap();
        let samples = dump.entry(labels.to_owned()).or_default();
        if let Ok(value) = value.parse() {
            samples.push((t.parse().unwrap(), format_float(value)));
        }
    }
    Some((dir, dump))
}

fn our_dump(db: &Db, range: TimeRange, matchers: &[Matcher]) -> Dump {
    let hints = SelectHints { range, is_sorted: true, series_count_max: 0 };
    let selection = db.querier(range).unwrap().select(matchers, &hints).unwrap();
    let mut dump = Dump::new();
    let mut columns = Columns::default();
    let mut labels = Vec::new();
    for index in 0..selection.len() {
        columns.clear();
        labels.push(selection.labels(index));
        if selection.read(index, range, &mut columns).is_err() {
            continue;
        }
        let samples = columns.timestamps_ms.iter().zip(&columns.values);
        let samples: Vec<_> = samples.map(|(t, v)| (*t, format_float(*v))).collect();
        dump.insert(labels[index].to_string(), samples);
    }
    assert!(labels.is_sorted_by(|a, b| a < b));
    dump
}

/// Those of our series that have floats hold what is expected.
fn check_floats(found: &Dump, expected: &Dump) {
    let floats = |dump: &Dump| -> Dump {
        let has_floats = dump.iter().filter(|(_, samples)| !samples.is_empty());
        has_floats.map(|(labels, samples)| (labels.clone(), samples.clone())).collect()
    };
    let (found, expected) = (floats(found), floats(expected));
    for (labels, samples) in &found {
        assert_eq!(Some(samples), expected.get(labels), "{labels}");
    }
    assert!(!found.is_empty());
}

const NAMES: [&str; 3] =
    ["01M81GJ1GT6HZ39998JRFTZ1C6", "01M81GJ1GT6HZ39998JRFTZ1C7", "01M81GJ1GT6HZ39998JRFTZ1C8"];

#[test]
fn blocks_of_prometheus_are_read_once_and_twice() {
    for names in [&NAMES[..1], &NAMES[..3]] {
        let Some((dir, expected)) = golden(names) else { return };
        let db = open(dir.path());
        assert_eq!(db.blocks.list().len(), names.len());
        let found = our_dump(&db, ALL, &[]);
        check_floats(&found, &expected);
        let part = TimeRange { mint_ms: 1_750_017_000_000, maxt_ms: 1_750_017_500_000 };
        let mut some = expected.clone();
        some.values_mut()
            .for_each(|samples| samples.retain(|(t, _)| (part.mint_ms..=part.maxt_ms).contains(t)));
        check_floats(&our_dump(&db, part, &[]), &some);
    }
}

#[test]
fn matchers_find_in_blocks_what_they_find_by_labels() {
    let Some((dir, _)) = golden(&NAMES[..2]) else { return };
    let db = open(dir.path());
    let matcher = |name, op, value| Matcher::new(name, op, value).unwrap();
    use MatchOp::{Equal, NotEqual, NotRegex, Regex};
    let cases = [
        vec![matcher("job", Equal, "rpc")],
        vec![matcher("job", Equal, "no such")],
        vec![matcher("job", Equal, "")],
        vec![matcher("job", NotEqual, "")],
        vec![matcher("job", NotEqual, "rpc")],
        vec![matcher("job", Regex, "rpc|x"), matcher("instance", Regex, "s[01]")],
        vec![matcher("__name__", Regex, "g_.*"), matcher("kind", NotRegex, "n.*")],
        vec![matcher("__name__", Regex, ".+"), matcher("nil", Equal, "")],
        vec![matcher("nil", NotEqual, "")],
        vec![
            matcher("inst", Regex, "a|b"),
            matcher("grp", NotRegex, "a"),
            matcher("k", Regex, "\\d"),
        ],
        vec![matcher("__name__", NotRegex, "[a-m].*"), matcher("job", Regex, ".*")],
        vec![],
    ];
    let hints = LabelHints::default();
    let no_samples = SelectHints { range: ALL, is_sorted: true, series_count_max: 0 };
    let querier = db.querier(ALL).unwrap();
    let everything = querier.select(&[], &no_samples).unwrap();
    for matchers in cases {
        let selection = querier.select(&matchers, &no_samples).unwrap();
        let found: Vec<_> = (0..selection.len()).map(|index| selection.labels(index)).collect();
        let is_match = |labels: &prom_model::Labels| {
            matchers.iter().all(|m| m.matches(labels.get(m.name()).unwrap_or_default()))
        };
        let wanted: Vec<_> = (0..everything.len())
            .map(|index| everything.labels(index))
            .filter(|labels| is_match(labels))
            .collect();
        assert_eq!(found, wanted, "{matchers:?}");
        let mut names: Vec<&str> =
            wanted.iter().flat_map(|labels| labels.iter().map(|(name, _)| name)).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(querier.label_names(&matchers, &hints).unwrap(), names);
        let mut values: Vec<&str> = wanted.iter().filter_map(|labels| labels.get("kind")).collect();
        values.sort_unstable();
        values.dedup();
        assert_eq!(querier.label_values("kind", &matchers, &hints).unwrap(), values);
    }
}

#[test]
fn damaged_blocks_are_kept_aside_and_the_rest_is_served() {
    type Damage = fn(&Path);
    let damages: [Damage; 8] = [
        |block| fs::remove_file(block.join("index")).unwrap(),
        |block| fs::remove_file(block.join("meta.json")).unwrap(),
        |block| fs::write(block.join("meta.json"), "{").unwrap(),
        |block| fs::write(block.join("tombstones"), "x").unwrap(),
        |block| fs::remove_dir_all(block.join("chunks")).unwrap(),
        |block| fs::write(block.join("chunks/000001"), "").unwrap(),
        |block| {
            let mut index = fs::read(block.join("index")).unwrap();
            let at = index.len() - 60;
            index[at] ^= 1;
            fs::write(block.join("index"), index).unwrap();
        },
        |block| {
            fs::remove_dir_all(block).unwrap();
            fs::write(block, "a file").unwrap();
        },
    ];
    for (number, damage) in damages.iter().enumerate() {
        let Some((dir, expected)) = golden(&NAMES[..2]) else { return };
        damage(&dir.path().join(NAMES[0]));
        let db = open(dir.path());
        assert_eq!(db.blocks.list().len(), 1, "{number}");
        assert!(dir.path().join("quarantine").join(format!("{}.0", NAMES[0])).exists(), "{number}");
        assert!(!dir.path().join(NAMES[0]).exists(), "{number}");
        check_floats(&our_dump(&db, ALL, &[]), &expected);
    }
}

#[test]
fn a_block_that_claims_the_future_keeps_nobody_from_adding_samples() {
    let Some((dir, _)) = golden(&NAMES[..1]) else { return };
    let meta = dir.path().join(NAMES[0]).join("meta.json");
    let text = fs::read_to_string(&meta).unwrap();
    fs::write(&meta, text.replace("1750018322516", "9223372036854775806")).unwrap();
    let db = open(dir.path());
    assert_eq!(db.blocks.in_order_max_time(i64::MAX), Some(1_750_018_322_516));
    super::commit(&db, &[(0, 1_750_018_400_000, 1.0)]).unwrap();
}

#[test]
fn looking_changes_nothing_and_tells_what_is_damaged() {
    let Some((dir, _)) = golden(&NAMES[..3]) else { return };
    let chunks = dir.path().join(NAMES[1]).join("chunks/000001");
    let mut bytes = fs::read(&chunks).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&chunks, bytes).unwrap();
    fs::remove_file(dir.path().join(NAMES[2]).join("index")).unwrap();
    let db = Db::open_read_only(dir.path()).unwrap();
    assert_eq!(db.blocks().len(), 2);
    assert!(dir.path().join(NAMES[2]).exists() && !dir.path().join("quarantine").exists());
    assert!(db.verify_block(NAMES[1]).unwrap_err().is_corruption());
    // Damaged bytes give an error, never a wrong sample.
    let hints = SelectHints { range: ALL, is_sorted: true, series_count_max: 0 };
    let selection = db.querier(ALL).unwrap().select(&[], &hints).unwrap();
    let read = |index| selection.read(index, ALL, &mut Columns::default());
    assert_eq!((0..selection.len()).filter(|index| read(*index).is_err()).count(), 1);
}
