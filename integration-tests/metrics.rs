//! What the storage says of itself, beside the original: every family with its type, labels and buckets.
//! What is missing is listed here, each with its reason; families of our own are welcome.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::{Need, Peer, ServerBuilder, get, need};

const PREFIX: &str = "prometheus_tsdb_";
const FEATURES: &str = "--enable-feature=exemplar-storage";
/// Families of the original that may be missing here, each with the reason.
const MISSING: [(&str, &str); 1] =
    [("compactions_skipped_total", "compaction cannot be switched off")];

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
    for name in theirs.keys().filter(|name| !ours.contains_key(*name)) {
        let is_listed = MISSING.iter().any(|(known, _)| name.strip_prefix(PREFIX) == Some(*known));
        assert!(is_listed, "{name} is missing");
    }
    for (name, family) in theirs.iter().filter(|(name, _)| ours.contains_key(*name)) {
        assert_eq!(&ours[name], family, "{name}");
    }
}
