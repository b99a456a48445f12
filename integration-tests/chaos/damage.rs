//! Damage to a data folder, one file of every kind at a time: the server starts, says so, and serves the
//! rest. What it serves is right.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    harness::{ServerBuilder, copy_tree},
    ledger::Ledger,
    random::Random,
};

/// What may happen to a file.
#[derive(Clone, Copy, Debug)]
enum Damage {
    BitFlip,
    Cut,
    Zeros,
    Garbage,
    Empty,
}

const DAMAGES: [Damage; 5] =
    [Damage::BitFlip, Damage::Cut, Damage::Zeros, Damage::Garbage, Damage::Empty];

/// Damages one file of each kind, each time in a fresh copy of `data`.
pub(super) fn slay_every_kind_of_file(data: &Path, ledger: &Ledger, random: &mut Random) {
    let mut kinds: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for path in files(data) {
        let path = path.strip_prefix(data).unwrap().to_owned();
        kinds.entry(kind(&path)).or_default().push(path);
    }
    for (kind, paths) in kinds {
        let path = &paths[random.below(paths.len() as u64) as usize];
        let damage = DAMAGES[random.below(DAMAGES.len() as u64) as usize];
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("data");
        copy_tree(data, &copy);
        let mut bytes = fs::read(copy.join(path)).unwrap();
        apply(damage, &mut bytes, random);
        fs::write(copy.join(path), bytes).unwrap();

        let mut server = ServerBuilder::new("").data(&copy).start();
        let verdict = ledger.verify(&server.address());
        println!("{damage:?} in {kind} ({}): {verdict}", path.display());
        let what = || format!("{damage:?} in {}\n{}", path.display(), server.log());
        assert!(verdict.wrong.is_empty(), "wrong samples: {:?}: {}", verdict.wrong, what());
        assert!(verdict.found_count > 0, "{}", what());
        assert!(server.stop().success());
        assert!(!server.log().contains("panicked"), "{}", server.log());
    }
}

fn apply(damage: Damage, bytes: &mut Vec<u8>, random: &mut Random) {
    let size = bytes.len() as u64;
    if size == 0 {
        bytes.push(random.next() as u8);
        return;
    }
    let at = random.below(size) as usize;
    let end = (at + 1 + random.below(64) as usize).min(bytes.len());
    match damage {
        Damage::BitFlip => bytes[at] ^= 1 << random.below(8),
        Damage::Cut => bytes.truncate(at),
        Damage::Zeros => bytes[at..end].fill(0),
        Damage::Garbage => bytes[at..end].fill_with(|| random.next() as u8),
        Damage::Empty => bytes.clear(),
    }
}

/// The path without numbers and block ids.
fn kind(path: &Path) -> String {
    let name = |part: &str| match part {
        _ if part.len() == 26 && part.starts_with('0') => "<block>".to_owned(),
        _ if part.bytes().all(|byte| byte.is_ascii_digit()) => "<number>".to_owned(),
        _ if part.starts_with("checkpoint.") => "checkpoint".to_owned(),
        _ => part.to_owned(),
    };
    let parts = path.components().map(|part| name(&part.as_os_str().to_string_lossy()));
    parts.collect::<Vec<_>>().join("/")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    found
}
