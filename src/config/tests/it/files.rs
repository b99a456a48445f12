//! Files that are missing, unreadable, empty, binary or huge.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use prom_config::{ConfigErrors, FILE_SIZE_BYTES_MAX, load_file};
use tempfile::TempDir;

fn file_with(bytes: &[u8]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("prometheus.yml");
    fs::write(&path, bytes).unwrap();
    (directory, path)
}

fn refused(path: &Path) -> ConfigErrors {
    load_file(path).expect_err("the file is refused")
}

#[test]
fn a_missing_file_is_named() {
    let errors = refused(Path::new("/no/such/prometheus.yml"));
    assert!(errors.is_missing() && !errors.is_unreadable() && !errors.is_invalid());
    assert_eq!(errors.errno(), 2);
    assert_eq!(errors.to_string(), "open /no/such/prometheus.yml: no such file or directory");
    assert_eq!(errors.summary(), "/no/such/prometheus.yml: no such file or directory");
}

#[test]
fn a_directory_is_unreadable() {
    let directory = tempfile::tempdir().unwrap();
    let errors = refused(directory.path());
    assert!(errors.is_unreadable() && !errors.is_missing());
    assert_eq!(errors.errno(), 21);
    assert!(errors.summary().ends_with(": is a directory"), "{errors}");
}

#[test]
fn a_file_without_permission_is_unreadable() {
    let (_directory, path) = file_with(b"");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&path).is_ok() {
        println!("skipped: this user may read everything");
        return;
    }
    let errors = refused(&path);
    assert!(errors.is_unreadable());
    assert_eq!(errors.errno(), 13);
    assert!(errors.summary().ends_with(": permission denied"), "{errors}");
}

#[test]
fn an_empty_file_is_all_defaults() {
    let (_directory, path) = file_with(b"");
    let config = load_file(&path).unwrap();
    assert_eq!(config.file(), path);
    assert!(config.scrape_configs.is_empty());
}

#[test]
fn a_huge_file_is_refused_without_being_read() {
    let (_directory, path) = file_with(b"global: {}\n");
    // 100 GB of nothing: only the size can have been looked at.
    fs::File::options().write(true).open(&path).unwrap().set_len(100 << 30).unwrap();
    let errors = refused(&path);
    assert!(errors.is_too_large() && !errors.is_invalid());
    assert_eq!(errors.errno(), 27);
    let limit = FILE_SIZE_BYTES_MAX;
    assert!(errors.summary().contains(&format!("more than the limit of {limit}")), "{errors}");
}

#[test]
fn a_file_that_never_ends_is_refused() {
    let errors = refused(Path::new("/dev/zero"));
    assert!(errors.is_too_large());
}

#[test]
fn binary_bytes_are_named_with_their_place() {
    let (_directory, path) = file_with(b"global: {}\n\x7fELF\x02\x01\x01\0\0");
    let errors = refused(&path);
    assert!(errors.is_invalid());
    assert_eq!((errors.errors[0].line, errors.errors[0].column), (2, 1));
    let name = path.display();
    assert_eq!(
        errors.to_string(),
        format!(
            "parsing YAML file {name}: yaml: control characters are not allowed\n\
             {name}:2:1: control characters are not allowed (the file holds the character U+007F)"
        )
    );
}

#[test]
fn equal_bytes_have_equal_hashes() {
    let (_one, first) = file_with(b"global: {}\n");
    let (_two, second) = file_with(b"global: {}\n");
    let (_three, third) = file_with(b"global: {} \n");
    let hash = |path: &Path| load_file(path).unwrap().content_hash();
    assert_eq!(hash(&first), hash(&second));
    assert_ne!(hash(&first), hash(&third));
}

#[test]
fn a_thousand_jobs_load() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "scrape_configs:").unwrap();
    for job in 0..1000 {
        writeln!(file, "- job_name: job{job}\n  static_configs:\n  - targets: ['host{job}:9100']")
            .unwrap();
    }
    let config = load_file(file.path()).unwrap();
    assert_eq!(config.scrape_configs.len(), 1000);
    assert!(config.scrape_config("job999").is_some());
}

#[test]
fn the_first_lines_are_those_of_the_reference_and_the_summary_fits_a_status() {
    let text = "global:\n  scrape_interval: 15s\n\n\n\n\n\n\n\nscrape_configs:\n- job_name: a\n  scrape_intervall: 5s\n  foo: 1\n";
    let (_directory, path) = file_with(text.as_bytes());
    let errors = refused(&path);
    let name = path.display();
    assert_eq!(
        errors.to_string(),
        format!(
            "parsing YAML file {name}: yaml: unmarshal errors:\n  \
             line 12: field scrape_intervall not found in type config.ScrapeConfig\n  \
             line 13: field foo not found in type config.ScrapeConfig\n\
             {name}:12:3: scrape_configs[0].scrape_intervall: field scrape_intervall not found in type config.ScrapeConfig (did you mean scrape_interval?)\n\
             {name}:13:3: scrape_configs[0].foo: field foo not found in type config.ScrapeConfig"
        )
    );
    assert_eq!(
        errors.summary(),
        format!(
            "{name} line 12: field scrape_intervall not found in scrape_configs[0] (did you mean scrape_interval?) and 1 more"
        )
    );
}
