//! Opening: the log of a real Prometheus, a directory in use, progress and its end.

use std::{
    collections::BTreeMap,
    fs,
    ops::ControlFlow,
    path::Path,
    sync::{Arc, Mutex},
};

use prom_model::format_float;
use prom_telemetry::Registry;
use prom_testkit::{FaultyDisk, conformance};

use crate::{Db, Options, ReplayProgress};

use super::content;

#[test]
fn the_log_of_a_real_prometheus_gives_its_samples() {
    let Some(golden) = conformance("golden_block") else { return };
    let dump = fs::read_to_string(golden.join("dump.txt")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("wal")).unwrap();
    fs::copy(golden.join("wal/00000000"), dir.path().join("wal/00000000")).unwrap();
    let progress = |_| ControlFlow::Continue(());
    let db = Db::open(dir.path(), Options::default(), &Registry::default(), &progress).unwrap();
    let mut found: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
    for (labels, samples) in content(&db) {
        let samples = samples.into_iter().map(|(t, v)| (t, format_float(f64::from_bits(v))));
        found.insert(labels.to_string(), samples.collect());
    }
    let mut expected: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
    for line in dump.lines() {
        let (rest, t) = line.rsplit_once(' ').unwrap();
        let (labels, value) = rest.rsplit_once(' ').unwrap();
        // Values of histograms have braces; they are not read yet.
        if let Ok(value) = value.parse::<f64>() {
            let sample = (t.parse().unwrap(), format_float(value));
            expected.entry(labels.to_owned()).or_default().push(sample);
        }
    }
    assert!(expected.len() > 30);
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    assert_eq!(found, expected);
    assert!(dir.path().join("lock").exists());
}

#[test]
fn a_second_database_on_a_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let progress = |_| ControlFlow::Continue(());
    let registry = Registry::default();
    let open = || Db::open(dir.path(), Options::default(), &registry, &progress);
    let first = open().unwrap();
    let err = open().unwrap_err();
    assert!(err.is_locked(), "{err}");
    assert!(err.to_string().starts_with("lock DB directory: resource temporarily unavailable"));
    first.close().unwrap();
    open().unwrap();
    fs::remove_dir_all(dir.path().join("wal")).unwrap();
    fs::write(dir.path().join("wal"), "no directory").unwrap();
    assert!(open().unwrap_err().is_not_a_directory());
}

#[test]
fn opening_tells_how_far_it_is_and_can_be_stopped() {
    let disk = FaultyDisk::default();
    let db = super::open(&disk);
    for batch in super::workload(40, 300) {
        super::commit(&db, &batch).unwrap();
    }
    drop(db);
    let steps = Mutex::new(Vec::new());
    let open = |progress: &(dyn Fn(ReplayProgress) -> ControlFlow<()> + Sync)| {
        let dir = Path::new(super::DIR);
        let registry = Registry::default();
        Db::open_on(Arc::new(disk.clone()), dir, &super::options(), &registry, progress, None)
    };
    drop(open(&|step| {
        steps.lock().unwrap().push(step);
        ControlFlow::Continue(())
    }));
    let steps = steps.into_inner().unwrap();
    let last = steps.last().unwrap();
    assert_eq!(last.read_size_bytes, last.total_size_bytes);
    assert_eq!(last.segment_current, last.segment_last);
    assert!(steps.is_sorted_by_key(|step| step.read_size_bytes));
    let err = open(&|_| ControlFlow::Break(())).unwrap_err();
    assert!(err.is_canceled(), "{err}");
}
