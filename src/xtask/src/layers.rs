//! Holds every room's Cargo.toml against `layers.toml`. Dev-dependencies may go anywhere but up to a binary.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};
use serde::Deserialize;

#[derive(Deserialize)]
struct Layers {
    rows: BTreeMap<String, u8>,
    edges: BTreeMap<String, Vec<String>>,
    beside: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    dependencies: BTreeMap<String, toml::Value>,
    #[serde(default, rename = "build-dependencies")]
    build_dependencies: BTreeMap<String, toml::Value>,
}

/// Complaints, one a line; none when the table and the manifests agree.
pub(crate) fn check(root: &Path) -> Result<Vec<String>> {
    let table: Layers = toml::from_str(&read(&root.join("src/xtask/layers.toml"))?)?;
    let mut manifests = BTreeMap::new();
    for entry in fs::read_dir(root.join("src"))? {
        let path = entry?.path();
        if path.join("Cargo.toml").is_file() {
            let room = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            manifests.insert(room, toml::from_str(&read(&path.join("Cargo.toml"))?)?);
        }
    }
    Ok(complaints(&table, &manifests))
}

fn complaints(table: &Layers, manifests: &BTreeMap<String, Manifest>) -> Vec<String> {
    let mut found = Vec::new();
    for (room, allowed) in &table.edges {
        for target in allowed {
            if table.rows.get(target) >= table.rows.get(room) {
                found.push(format!("layers.toml: {room} -> {target} does not go down a row"));
            }
        }
        if !manifests.contains_key(room) {
            found.push(format!("layers.toml: there is no room {room}"));
        }
    }
    for (room, manifest) in manifests {
        let Some(allowed) = table.edges.get(room).or_else(|| table.beside.get(room)) else {
            found.push(format!("src/{room}: the room is not in layers.toml"));
            continue;
        };
        let all = manifest.dependencies.keys().chain(manifest.build_dependencies.keys());
        let used: Vec<&str> = all.filter_map(|name| name.strip_prefix("prom-")).collect();
        for target in &used {
            if !allowed.iter().any(|name| name == target) {
                found.push(format!(
                    "src/{room}/Cargo.toml: the edge to {target} is not in layers.toml"
                ));
            }
        }
        for target in allowed {
            if !used.contains(&target.as_str()) {
                found.push(format!("layers.toml: {room} does not use {target}"));
            }
        }
    }
    found
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(edges: &str, manifest: &str, expected: &[&str]) {
        let table = format!("[rows]\na = 0\nb = 1\n[edges]\n{edges}\n[beside]\n");
        let table: Layers = toml::from_str(&table).unwrap();
        let parse = |text: &str| toml::from_str::<Manifest>(text).unwrap();
        let manifests =
            BTreeMap::from([("a".to_owned(), parse("")), ("b".to_owned(), parse(manifest))]);
        assert_eq!(complaints(&table, &manifests), expected);
    }

    #[test]
    fn manifests_follow_the_table() {
        let uses_a = "[dependencies]\nprom-a = { path = \"\" }";
        check("a = []\nb = [\"a\"]", uses_a, &[]);
        check("a = []\nb = []", uses_a, &["src/b/Cargo.toml: the edge to a is not in layers.toml"]);
        check("a = []\nb = [\"a\"]", "", &["layers.toml: b does not use a"]);
        check("a = []", "", &["src/b: the room is not in layers.toml"]);
    }

    #[test]
    fn this_repository_keeps_its_table() {
        assert_eq!(super::check(&crate::root()).unwrap(), Vec::<String>::new());
    }
}
