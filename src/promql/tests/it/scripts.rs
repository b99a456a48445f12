//! Scripts of the test language: our own, and the reference's where they are at hand.

mod compare;
mod language;
mod load;
mod pinned;
mod runner;

use std::{collections::BTreeMap, fs, path::Path};

use self::runner::{Tally, run_script};
use prom_testkit::conformance;

/// Runs every script of a folder.
fn run_folder(folder: &Path) -> BTreeMap<String, Tally> {
    let mut tallies = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        if path.extension().is_some_and(|extension| extension == "test") {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).expect("scripts are text");
            tallies.insert(name, run_script(&text));
        }
    }
    tallies
}

#[test]
fn own_scripts_hold() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/scripts");
    let tallies = run_folder(&folder);
    assert!(!tallies.is_empty(), "own scripts are there");
    for (name, tally) in &tallies {
        assert!(tally.failures.is_empty(), "{name}: {:#?}", tally.failures);
    }
}

/// Every expectation of every script of the reference.
#[test]
fn reference_scripts_hold() {
    let Some(folder) = conformance("promqltest") else { return };
    let tallies = run_folder(&folder);
    let (mut passed, mut failures) = (0, Vec::new());
    for (name, tally) in &tallies {
        assert!(tally.passed + tally.failures.len() > 0, "{name} expects something");
        passed += tally.passed;
        failures.extend(tally.failures.iter().map(|failure| format!("{name}:{failure}")));
    }
    println!("{passed} expectations of {} scripts hold", tallies.len());
    assert!(failures.is_empty(), "{} fail: {failures:#?}", failures.len());
}
