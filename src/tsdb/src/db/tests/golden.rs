//! The log of a real Prometheus, as it left it.

use std::{
    collections::BTreeMap,
    env, fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use prom_model::format_float;
use prom_telemetry::Registry;

use crate::{Db, Options};

use super::content;

#[test]
fn the_log_of_a_real_prometheus_gives_its_samples() {
    let root = env::var_os("PROMETHEUS_CONFORMANCE").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"),
        PathBuf::from,
    );
    let golden = root.join("golden_block");
    let Ok(dump) = fs::read_to_string(golden.join("dump.txt")) else {
        println!("skipped: no conformance data at {}", root.display());
        return;
    };
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
    assert!(Path::new(&dir.path().join("lock")).exists());
}
