//! `tsdb` from outside, but for dumps and what makes blocks: beside the original promtool on a block and a log that a real server has written,
//! and on damaged ones.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

const BLOCK: &str = "01M81GJ1GT6HZ39998JRFTZ1C6";

/// A copy of the data of a real server; `None`, with a word, where there is none.
pub(super) fn golden() -> Option<TempDir> {
    let golden = prom_testkit::conformance("golden_block")?;
    let folder = tempfile::tempdir().unwrap();
    copy(&golden.join("block").join(BLOCK), &folder.path().join(BLOCK));
    copy(&golden.join("wal"), &folder.path().join("wal"));
    Some(folder)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

pub(super) fn original() -> Option<PathBuf> {
    prom_testkit::peer("promtool")
}

pub(super) fn ours() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_promtool"))
}

pub(super) fn run(promtool: &Path, args: &[&str], data: &Path) -> Output {
    let mut command = Command::new(promtool);
    command.arg("tsdb").args(args).arg(data).output().unwrap()
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Every file with its content.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(content(&path));
            found.insert(path, Vec::new());
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn tables_and_figures_are_those_of_the_original() {
    let (Some(folder), Some(original)) = (golden(), original()) else { return };
    let data = folder.path();
    for args in [&["list"][..], &["list", "-r"], &["list", "--human-readable"]] {
        let (ours, theirs) = (run(&ours(), args, data), run(&original, args, data));
        assert_eq!(text(&ours.stdout), text(&theirs.stdout), "{args:?}");
    }
    // Equal figures come in any order there: figures are compared line by line, keys are not.
    let figures = |output: &Output| -> Vec<String> {
        let text = text(&output.stdout);
        let figure = |line: &str| {
            let (first, _) = line.split_once(' ').unwrap_or((line, ""));
            if first.parse::<u64>().is_ok() { first.to_owned() } else { line.to_owned() }
        };
        text.lines().map(figure).collect()
    };
    for args in [
        &["analyze"][..],
        &["analyze", "--limit=3"],
        &["analyze", "--extended"],
        &["analyze", "--extended", "--match={__name__=~\"nh.*\"}"],
    ] {
        let (ours, theirs) = (run(&ours(), args, data), run(&original, args, data));
        assert_eq!(figures(&ours), figures(&theirs), "{args:?}");
        assert!(figures(&ours).len() > 20);
    }
}

#[test]
fn refusals_are_those_of_the_original() {
    let (Some(folder), Some(original)) = (golden(), original()) else { return };
    let missing = folder.path().join("missing");
    for args in
        [&["list"][..], &["dump"], &["analyze"], &["dump", "--match={"], &["dump", "--bogus"]]
    {
        let (ours, theirs) = (run(&ours(), args, &missing), run(&original, args, &missing));
        assert_eq!(text(&ours.stderr), text(&theirs.stderr), "{args:?}");
        assert_eq!(ours.status.code(), theirs.status.code(), "{args:?}");
    }
}

#[test]
fn nothing_is_changed_by_looking() {
    let Some(folder) = golden() else { return };
    let data = folder.path();
    // a torn tail and a half-made block invite repairs
    let log = data.join("wal/00000000");
    let whole = fs::read(&log).unwrap();
    fs::write(&log, &whole[..whole.len() - 5]).unwrap();
    copy(&data.join(BLOCK), &data.join(format!("{BLOCK}.tmp-for-creation")));
    let before = content(data);
    for args in [&["list"][..], &["dump"], &["analyze"], &["verify"]] {
        assert!(!run(&ours(), args, data).stdout.is_empty(), "{args:?}");
    }
    assert!(content(data) == before, "files have changed");
}

#[test]
fn verify_names_every_damaged_part() {
    let Some(folder) = golden() else { return };
    let data = folder.path();
    let good = run(&ours(), &["verify"], data);
    assert!(good.status.success(), "{}", text(&good.stderr));
    assert_eq!(
        text(&good.stdout),
        format!("block {BLOCK}: 69 series, 147 chunks, 6644 samples: good\n")
    );
    for (file, at, place) in [
        (format!("{BLOCK}/chunks/000001"), 1000, "chunks/000001"),
        (format!("{BLOCK}/meta.json"), 0, BLOCK),
        (format!("{BLOCK}/index"), 3, BLOCK),
        ("wal/00000000".to_owned(), 5000, "wal/00000000: offset"),
    ] {
        let path = data.join(&file);
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, bytes).unwrap();
        let output = run(&ours(), &["verify"], data);
        assert_eq!(output.status.code(), Some(1), "{file}");
        let told = text(&output.stderr);
        assert!(told.contains(place) && told.contains("damaged part"), "{file}: {told}");
        fs::write(&path, whole).unwrap();
    }
}
