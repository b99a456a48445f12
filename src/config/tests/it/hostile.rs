//! Input that nobody should write: random edits of good files, depth, anchors, bytes that are no text, and
//! files that are not what their names promise.

use std::{fs, os::unix::fs::symlink, path::Path};

use prom_config::{ConfigErrors, FILE_SIZE_BYTES_MAX, LoadOptions, Sources, load_file, load_with};
use proptest::prelude::*;

use prom_testkit::conformance;

/// A file that uses most sections, so that edits meet many rules.
const WHOLE: &str = include_str!("../../fixtures/whole.yml");

fn check(text: &[u8]) -> Result<(), ConfigErrors> {
    let path = Path::new("/no/such/directory/prometheus.yml");
    load_with(path, &mut Sources::with_text(path, text), &LoadOptions::CHECK).map(drop)
}

/// One edit of a line.
#[derive(Clone, Debug)]
enum Edit {
    Delete,
    Repeat,
    Indent(usize),
    Value(String),
    Key(String),
    Swap(usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let value = prop_oneof![
        Just("~".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just("-1".to_owned()),
        Just("0".to_owned()),
        Just("yes".to_owned()),
        Just("1e99".to_owned()),
        Just("'http://u:p@[::1'".to_owned()),
        Just("*a".to_owned()),
        Just("&a [*a]".to_owned()),
        Just("!!binary /w==".to_owned()),
        "[ -~]{0,12}",
    ];
    prop_oneof![
        Just(Edit::Delete),
        Just(Edit::Repeat),
        (0usize..6).prop_map(Edit::Indent),
        value.prop_map(Edit::Value),
        "[a-z_<]{0,10}".prop_map(Edit::Key),
        any::<usize>().prop_map(Edit::Swap),
    ]
}

fn apply(lines: &mut Vec<String>, at: usize, edit: &Edit) {
    if lines.is_empty() {
        return;
    }
    let at = at % lines.len();
    let line = lines[at].clone();
    match edit {
        Edit::Delete => drop(lines.remove(at)),
        Edit::Repeat => lines.insert(at, line),
        Edit::Indent(spaces) => lines[at] = format!("{}{}", " ".repeat(*spaces), line.trim_start()),
        Edit::Value(value) => {
            if let Some((key, _)) = line.split_once(':') {
                lines[at] = format!("{key}: {value}");
            }
        }
        Edit::Key(key) => {
            if let Some((_, value)) = line.split_once(':') {
                let indent = line.len() - line.trim_start().len();
                lines[at] = format!("{}{key}:{value}", " ".repeat(indent));
            }
        }
        Edit::Swap(other) => {
            let other = other % lines.len();
            lines.swap(at, other);
        }
    }
}

proptest! {
    #[test]
    fn edited_files_never_panic_and_every_mistake_has_its_place(
        edits in proptest::collection::vec((any::<usize>(), edit()), 1..12),
    ) {
        let mut lines: Vec<String> = WHOLE.lines().map(str::to_owned).collect();
        for (at, edit) in &edits {
            apply(&mut lines, *at, edit);
        }
        if let Err(errors) = check(lines.join("\n").as_bytes()) {
            prop_assert!(!errors.errors.is_empty());
            for error in &errors.errors {
                prop_assert!(error.line > 0 && error.column > 0, "{error:?}");
            }
            let shown = format!("{errors} {errors:?} {}", errors.summary());
            prop_assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}

#[test]
fn the_file_of_the_edits_is_good() {
    check(WHOLE.as_bytes()).unwrap();
}

#[test]
fn edits_of_the_originals_files_never_panic() {
    let Some(data) = conformance("config") else { return };
    for entry in fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let lines: Vec<&str> = text.lines().collect();
        // Every line left out once, or cut behind its key.
        for at in 0..lines.len().min(150) {
            let mut without = lines.clone();
            without.remove(at);
            drop(check(without.join("\n").as_bytes()));
            let mut cut = lines.clone();
            cut[at] = cut[at].split_inclusive(':').next().unwrap_or_default();
            drop(check(cut.join("\n").as_bytes()));
        }
    }
}

#[test]
fn depth_and_anchors_end_in_an_error() {
    let deep = format!("global: {}{}", "{a: ".repeat(100_000), "}".repeat(100_000));
    check(deep.as_bytes()).unwrap_err();
    let deep: String = (0..20_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    check(deep.as_bytes()).unwrap_err();
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let one = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", [one.as_str(); 9].join(", ")));
    }
    bomb.push_str("rule_files: *a11\n");
    check(bomb.as_bytes()).unwrap_err();
    check(b"oauth2: &a {b: *a}\n").unwrap_err();
    check(b"global: &g\n  <<: *g\n").unwrap_err();
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_place() {
    for bytes in [&b"global: {}\n\xff\xfe"[..], b"a: \xc3\x28", b"\x00\x01\x02", b"a: \xed\xa0\x80"]
    {
        let errors = check(bytes).unwrap_err();
        assert!(errors.errors[0].line > 0, "{errors}");
    }
}

#[test]
fn files_that_are_not_what_they_should_be_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    symlink(at("loop"), at("loop")).unwrap();
    assert!(load_file(&at("loop")).unwrap_err().is_unreadable());
    assert!(load_file(directory.path()).unwrap_err().is_unreadable());
    let large = fs::File::create(at("large.yml")).unwrap();
    large.set_len(50 << 20).unwrap();
    const { assert!(50 << 20 > FILE_SIZE_BYTES_MAX) };
    assert!(load_file(&at("large.yml")).unwrap_err().is_too_large());
    // The same for files that are included: a directory, a loop, a link to nowhere.
    fs::create_dir(at("d.rules")).unwrap();
    symlink(at("s.rules"), at("s.rules")).unwrap();
    symlink(at("nowhere"), at("v.rules")).unwrap();
    fs::write(at("p.yml"), "rule_files: ['*.rules']\nscrape_config_files: ['d.rule[s]']\n")
        .unwrap();
    let errors = load_file(&at("p.yml")).unwrap_err();
    let named = |name: &str| {
        errors.errors.iter().filter(|error| error.file.as_deref() == Some(&at(name))).count()
    };
    assert_eq!((named("d.rules"), named("s.rules"), named("v.rules")), (2, 1, 1), "{errors}");
}

#[test]
fn a_rule_file_that_vanishes_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p.yml");
    let rules = directory.path().join("r.yml");
    fs::write(&rules, "groups: []\n").unwrap();
    fs::write(&path, "rule_files: [r.yml]\n").unwrap();
    let mut sources = Sources::of_disk();
    assert_eq!(sources.glob(&rules).unwrap(), std::slice::from_ref(&rules));
    load_file(&path).unwrap();
    // Between listing and reading.
    let text = fs::read(&path).unwrap();
    let kept = [(path.clone(), text)]
        .map(|(path, text)| prom_config::SourceText { path, bytes: text.into() });
    let mut sources = Sources::of_kept(kept);
    let config = load_with(&path, &mut sources, &LoadOptions::CHECK).unwrap();
    assert!(config.rule_files.is_empty());
    fs::remove_file(&rules).unwrap();
    assert!(load_file(&path).unwrap().rule_files.is_empty());
}
