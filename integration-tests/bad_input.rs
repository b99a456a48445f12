//! Files that nobody should write, put in the place of good ones while a server runs: each is refused with
//! its reason, what runs stays, and the next good one is taken.

use std::{fs, os::unix::fs::symlink, path::Path};

use crate::harness::{Server, ServerBuilder};

/// More than any configuration may have.
const HUGE_SIZE_BYTES: u64 = 50 << 20;

const GOOD_RULES: &str = "groups: [{name: g, rules: [{record: a, expr: x}]}]\n";

/// What is put in the place of a file, and what is said of it.
type Case = (&'static str, fn(&Path), &'static str);

const CASES: [Case; 7] = [
    ("a directory", |path| fs::create_dir(path).unwrap(), "is a directory"),
    ("a link to itself", |path| symlink(path, path).unwrap(), "too many levels of symbolic links"),
    ("a link to nowhere", |path| symlink("nowhere", path).unwrap(), "no such file or directory"),
    (
        "50 MB",
        |path| fs::File::create(path).unwrap().set_len(HUGE_SIZE_BYTES).unwrap(),
        "more than the limit of",
    ),
    ("no UTF-8", |path| fs::write(path, b"global: {}\n\xff\xfe\n").unwrap(), "UTF-8"),
    ("exploding anchors", |path| fs::write(path, anchors()).unwrap(), "field a0 not found"),
    ("deep nesting", |path| fs::write(path, "[".repeat(100_000)).unwrap(), "depth"),
];

/// Nine to the power of eleven values, if one believed them.
fn anchors() -> String {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let one = format!("*a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level} [{}]\n", [one.as_str(); 9].join(", ")));
    }
    text + "rule_files: *a11\ngroups: *a11\n"
}

fn remove(path: &Path) {
    match fs::symlink_metadata(path).unwrap().is_dir() {
        true => fs::remove_dir(path).unwrap(),
        false => fs::remove_file(path).unwrap(),
    }
}

#[track_caller]
fn check_all(server: &Server, path: &Path, good: &str) {
    for (what, put, expected) in CASES {
        remove(path);
        put(path);
        let answer = server.post("/-/reload", "");
        assert_eq!(answer.status, 500, "{what}: {}", answer.body);
        assert!(answer.body.contains(expected), "{what}: {}", answer.body);
        assert_eq!(server.state(), "Ready", "{what}");
        let runs = server.get("/api/v1/status/config").body;
        assert!(runs.contains("job_name: steady"), "{what}: {runs}");
        let metrics = server.get("/metrics").body;
        assert!(metrics.contains("\nprometheus_config_last_reload_successful 0\n"), "{what}");
        remove(path);
        fs::write(path, good).unwrap();
        let answer = server.post("/-/reload", "");
        assert_eq!(answer.status, 200, "after {what}: {}", answer.body);
    }
}

#[test]
fn what_takes_the_place_of_the_main_file_is_refused() {
    const GOOD: &str = "scrape_configs: [{job_name: steady}]\n";
    let server = ServerBuilder::new(GOOD).start();
    check_all(&server, server.config_path(), GOOD);
}

#[test]
fn what_takes_the_place_of_a_rule_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yml");
    fs::write(&path, GOOD_RULES).unwrap();
    let config =
        format!("rule_files: ['{}']\nscrape_configs: [{{job_name: steady}}]\n", path.display());
    let server = ServerBuilder::new(&config).arg("--rules.evaluation=off").start();
    check_all(&server, &path, GOOD_RULES);
}
