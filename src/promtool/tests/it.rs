//! The program from outside: what it prints where, and its exit code. Expectations are those of promtool
//! 3.5 for the same files.
// All of it is tests; clippy sees that only of the functions that are marked.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "it/tsdb.rs"]
mod tsdb;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use tempfile::TempDir;

struct Files {
    directory: TempDir,
}

impl Files {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn add(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Runs promtool in the directory.
    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_promtool"))
            .args(args)
            .current_dir(self.directory.path())
            .output()
            .unwrap()
    }

    fn check(&self, args: &[&str], code: i32, stdout: &str, stderr: &str) {
        let output = self.run(args);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert_eq!(text(output.stdout), stdout, "{args:?}");
        assert_eq!(text(output.stderr), stderr, "{args:?}");
    }
}

#[test]
fn good_and_bad_files_are_told_apart() {
    let files = Files::new();
    files.add("good.yml", "scrape_configs: [{job_name: a}]\n");
    files.add("bad.yml", "global:\n  scrape_intervall: 5s\n");
    files.check(
        &["check", "config", "good.yml"],
        0,
        "Checking good.yml\n SUCCESS: good.yml is valid prometheus config file syntax\n\n",
        "",
    );
    files.check(
        &["check", "config", "bad.yml", "good.yml"],
        1,
        "Checking bad.yml\n\nChecking good.yml\n SUCCESS: good.yml is valid prometheus config file syntax\n\n",
        "  FAILED: parsing YAML file bad.yml: yaml: unmarshal errors:\n  \
         line 2: field scrape_intervall not found in type config.plain\n\
         bad.yml:2:3: global.scrape_intervall: field scrape_intervall not found in type config.plain (did you mean scrape_interval?)\n",
    );
}

#[test]
fn named_files_must_be_there_unless_only_syntax_is_checked() {
    let files = Files::new();
    files.add(
        "a.yml",
        "scrape_configs: [{job_name: a, authorization: {credentials_file: token}}]\n",
    );
    let success = "Checking a.yml\n SUCCESS: a.yml is valid prometheus config file syntax\n\n";
    files.check(
        &["check", "config", "a.yml"],
        1,
        "Checking a.yml\n\n",
        "  FAILED: error checking authorization credentials or bearer token file \"token\": stat token: no such file or directory\n",
    );
    files.check(&["check", "config", "--syntax-only", "a.yml"], 0, success, "");
    files.add("token", "x");
    files.check(&["check", "config", "a.yml"], 0, success, "");
}

#[test]
fn lints_decide_the_exit_code_only_when_fatal() {
    let files = Files::new();
    files.add("a.yml", "scrape_configs: [{job_name: a, scrape_interval: 10m}]\n");
    let success = "Checking a.yml\n SUCCESS: a.yml is valid prometheus config file syntax\n\n";
    let lint = "  FAILED: too long scrape interval found, data point will be marked as stale - job: a, interval: 10m\n";
    let check = |args: &[&str], code, stderr| {
        let args: Vec<_> = ["check", "config"].iter().chain(args).copied().collect();
        files.check(&args, code, success, stderr);
    };
    check(&["a.yml"], 0, "");
    check(&["--lint=all", "a.yml"], 0, lint);
    check(&["--lint=all", "--lint-fatal", "a.yml"], 3, lint);
    check(
        &["--lint=too-long-scrape-interval", "--query.lookback-delta=20m", "--lint-fatal", "a.yml"],
        0,
        "",
    );
    check(&["--lint=none,all", "--lint-fatal", "a.yml"], 0, "");
    files.check(
        &["check", "config", "--lint=foo", "a.yml"],
        0,
        &format!("WARNING: unknown lint option: \"foo\"\n{success}"),
        "",
    );
}

#[test]
fn wrong_command_lines_end_with_one() {
    let files = Files::new();
    let check = |args: &[&str], reason: &str| {
        files.check(args, 1, "", &format!("promtool: error: {reason}, try --help\n"));
    };
    check(&["bogus"], "expected command but got \"bogus\"");
    check(&["--bogus"], "unknown long flag '--bogus'");
    check(&["check"], "must select a subcommand of 'check'");
    check(&["check", "config", "none.yml"], "path 'none.yml' does not exist");
    assert_eq!(files.run(&[]).status.code(), Some(0));
    let version = files.run(&["--version"]);
    assert!(version.stdout.starts_with(b"promtool, version "));
}

#[test]
fn a_reader_that_goes_away_is_no_crash() {
    let files = Files::new();
    files.add("a.yml", "");
    let program = env!("CARGO_BIN_EXE_promtool");
    let script = format!("'{program}' check config a.yml | true; exit ${{PIPESTATUS[0]}}");
    let mut bash = Command::new("bash");
    let status = bash.args(["-c", &script]).current_dir(files.directory.path()).status().unwrap();
    assert_eq!(status.code(), Some(0));
}
