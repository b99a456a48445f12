//! Scripts of the test language: our own, and the reference's where they are at hand.

mod compare;
mod language;
mod load;
mod pinned;
mod runner;

use std::{collections::BTreeMap, env, fs, path::Path};

use self::runner::{Tally, run_script};
use crate::needs::conformance;

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

/// Each script passes as many of its expectations as the checked-in list says, or more.
/// `PROMETHEUS_UPDATE_RATCHET=1` writes the list anew.
#[test]
fn reference_scripts_do_not_fall_behind() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(folder) = conformance("promqltest") else { return };
    let tallies = run_folder(&folder);
    let ratchet_path = home.join("fixtures/scripts/ratchet.txt");
    let mut list = String::from("# script: passing of all\n");
    for (name, tally) in &tallies {
        list += &format!("{name}: {} of {}\n", tally.passed, tally.passed + tally.failures.len());
        if env::var_os("PROMETHEUS_SHOW_FAILURES").is_some() {
            tally.failures.iter().for_each(|failure| println!("{name}:{failure}"));
        }
    }
    println!("{list}");
    if env::var_os("PROMETHEUS_UPDATE_RATCHET").is_some() {
        fs::write(&ratchet_path, &list).expect("the list can be written");
    }
    let wanted = fs::read_to_string(&ratchet_path).expect("the list is checked in");
    for line in wanted.lines().filter(|line| !line.starts_with('#')) {
        let (name, counts) = line.split_once(": ").expect("name: passing of all");
        let (passing, _) = counts.split_once(" of ").expect("name: passing of all");
        let tally = tallies.get(name).unwrap_or_else(|| panic!("{name} is missing"));
        let passing: usize = passing.parse().expect("a number");
        assert!(tally.passed >= passing, "{name}: {} instead of {passing}", tally.passed);
    }
}
