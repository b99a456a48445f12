//! What the storage says of itself, beside the original: every family with its type, labels and buckets.
//! Families of our own are welcome.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::{Need, Peer, ServerBuilder, get, need};

const PREFIX: &str = "prometheus_tsdb_";
const FEATURES: &str = "--enable-feature=exemplar-storage";
/// What the original has since the installed version. Compat: Prometheus `tsdb/head.go`, `tsdb/db.go`, 3.14.
const LATER: [(&str, &str); 12] = [
    ("head_appenders_created_total", "counter"),
    ("head_native_histogram_buckets", "gauge"),
    ("head_native_histogram_series", "gauge"),
    ("head_stale_series", "gauge"),
    ("retention_limit_percentage", "gauge"),
    ("selected_series_compaction_duration_seconds", "histogram"),
    ("selected_series_compactions_failed_total", "counter"),
    ("selected_series_compactions_triggered_total", "counter"),
    ("stale_series_compaction_duration_seconds", "histogram"),
    ("stale_series_compactions_failed_total", "counter"),
    ("stale_series_compactions_triggered_total", "counter"),
    ("wal_record_part_writes_total", "counter"),
];

/// Type, bounds of buckets, and names of labels of a family.
#[derive(Debug, Default, PartialEq, Eq)]
struct Family {
    kind: String,
    bounds: BTreeSet<String>,
    label_names: BTreeSet<String>,
}

fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (declared, kind) = declared.split_once(' ').unwrap();
            declared.clone_into(&mut name);
            let family = Family { kind: kind.to_owned(), ..Family::default() };
            families.insert(name.clone(), family);
        }
        let Some((_, labels)) = line.split_once('{').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let family = families.get_mut(&name).unwrap();
        for pair in labels.split('}').next().unwrap().split(',') {
            let (label, value) = pair.split_once('=').unwrap();
            if matches!(label, "le" | "quantile") {
                family.bounds.insert(value.to_owned());
            } else {
                family.label_names.insert(label.to_owned());
            }
        }
    }
    families.retain(|name, _| name.starts_with(PREFIX));
    families
}

#[test]
fn the_storage_has_the_metrics_of_the_original() {
    let Some(original) = need(Need::Peer("prometheus")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let peer = Peer::original_on(&original, &data, &[FEATURES]);
    let theirs = families(&get(&peer.address, "/metrics").unwrap().body);
    let server = ServerBuilder::new("").arg(FEATURES).start();
    let ours = families(&server.get("/metrics").body);
    assert!(theirs.len() > 60, "{theirs:?}");
    for (name, family) in &theirs {
        assert_eq!(ours.get(name), Some(family), "{name}");
    }
    for (suffix, kind) in LATER {
        let family = ours.get(&format!("{PREFIX}{suffix}"));
        assert_eq!(family.map(|family| family.kind.as_str()), Some(kind), "{suffix}");
    }
}
