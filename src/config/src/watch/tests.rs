//! Changes on a real disk. Nothing sleeps: each test waits for what it expects, and what must not be told
//! is followed by something that must.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tempfile::TempDir;

use super::*;

/// Longest time a test waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// Never polls, so that events must do.
const EVENTS: WatchOptions = WatchOptions {
    settle: Duration::from_millis(30),
    settle_max: Duration::from_millis(300),
    poll_interval: Duration::from_secs(3600),
};

fn directory_with(name: &str, text: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(name);
    fs::write(&file, text).unwrap();
    (directory, file)
}

async fn next(watcher: &mut Watcher) -> Vec<PathBuf> {
    tokio::time::timeout(PATIENCE, watcher.changed()).await.expect("the change is told").files
}

/// Renames within a test directory need not be durable.
#[allow(clippy::disallowed_methods)]
fn rename(from: &Path, to: &Path) {
    fs::rename(from, to).unwrap();
}

#[tokio::test]
async fn writing_in_place_is_told_once() {
    let (_directory, file) = directory_with("a.yml", "1");
    let mut watcher = Watcher::new(&file, &[], EVENTS);
    fs::write(&file, "2").unwrap();
    assert_eq!(next(&mut watcher).await, [file.clone()]);
    fs::write(&file, "3").unwrap();
    assert_eq!(next(&mut watcher).await, [file]);
}

#[tokio::test]
async fn an_edit_before_the_first_wait_is_told() {
    let (_directory, file) = directory_with("a.yml", "1");
    let mut watcher = Watcher::new(&file, &[], EVENTS);
    fs::write(&file, "2").unwrap();
    // Cancelled in all its stages, the wait loses nothing.
    for wait_ms in [0, 1, 10, 40, 80] {
        let wait = Duration::from_millis(wait_ms);
        if let Ok(changed) = tokio::time::timeout(wait, watcher.changed()).await {
            assert_eq!(changed.files, [file]);
            return;
        }
    }
    assert_eq!(next(&mut watcher).await, [file]);
}

#[tokio::test]
async fn touching_or_rewriting_the_same_is_not_told() {
    let (directory, file) = directory_with("a.yml", "1");
    let other = directory.path().join("b.yml");
    let mut watcher = Watcher::new(&file, &[other.clone()], EVENTS);
    fs::write(&file, "1").unwrap();
    fs::File::options().append(true).open(&file).unwrap().set_len(1).unwrap();
    fs::write(directory.path().join("unwatched"), "x").unwrap();
    fs::write(&other, "appears").unwrap();
    assert_eq!(next(&mut watcher).await, [other]);
}

#[tokio::test]
async fn an_editor_that_renames_is_followed() {
    let (directory, file) = directory_with("a.yml", "1");
    let mut watcher = Watcher::new(&file, &[], EVENTS);
    for text in ["2", "3"] {
        let new = directory.path().join(".a.yml.swp");
        fs::write(&new, text).unwrap();
        rename(&new, &file);
        assert_eq!(next(&mut watcher).await, [file.clone()]);
    }
}

#[tokio::test]
async fn a_swap_of_kubernetes_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let publish = |generation: &str, text: &str| {
        fs::create_dir(at(generation)).unwrap();
        fs::write(at(generation).join("a.yml"), text).unwrap();
        symlink(generation, at("..data_tmp")).unwrap();
        rename(&at("..data_tmp"), &at("..data"));
    };
    publish("..1", "1");
    symlink("..data/a.yml", at("a.yml")).unwrap();
    let mut watcher = Watcher::new(&at("a.yml"), &[], EVENTS);
    for (generation, text) in [("..2", "2"), ("..3", "3")] {
        publish(generation, text);
        assert_eq!(next(&mut watcher).await, [at("a.yml")]);
    }
}

#[tokio::test]
async fn a_symlink_into_another_directory_is_followed() {
    let (_real, target) = directory_with("real.yml", "1");
    let (_other, other) = directory_with("other.yml", "2");
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("a.yml");
    symlink(&target, &link).unwrap();
    let mut watcher = Watcher::new(&link, &[], EVENTS);
    fs::write(&target, "1b").unwrap();
    assert_eq!(next(&mut watcher).await, [link.clone()]);
    fs::remove_file(&link).unwrap();
    assert_eq!(next(&mut watcher).await, [link.clone()]);
    symlink(&other, &link).unwrap();
    assert_eq!(next(&mut watcher).await, [link.clone()]);
    fs::write(&other, "2b").unwrap();
    assert_eq!(next(&mut watcher).await, [link]);
}

#[tokio::test]
async fn a_directory_that_vanishes_and_returns_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let sub = directory.path().join("x/y");
    let file = sub.join("a.yml");
    fs::create_dir_all(&sub).unwrap();
    fs::write(&file, "1").unwrap();
    let mut watcher = Watcher::new(&file, &[], EVENTS);
    fs::remove_dir_all(directory.path().join("x")).unwrap();
    assert_eq!(next(&mut watcher).await, [file.clone()]);
    fs::create_dir_all(&sub).unwrap();
    fs::write(&file, "2").unwrap();
    assert_eq!(next(&mut watcher).await, [file.clone()]);
    // Another directory takes the name.
    let twin = directory.path().join("z");
    fs::create_dir_all(twin.join("y")).unwrap();
    fs::write(twin.join("y/a.yml"), "3").unwrap();
    rename(&directory.path().join("x"), &directory.path().join("old"));
    rename(&twin, &directory.path().join("x"));
    let mut told = next(&mut watcher).await;
    while fs::read(&file).unwrap() != b"3" {
        told = next(&mut watcher).await;
    }
    assert_eq!(told, [file.clone()]);
    fs::write(&file, "4").unwrap();
    assert_eq!(next(&mut watcher).await, [file]);
}

#[tokio::test]
async fn a_constant_stream_of_events_does_not_hide_a_change() {
    let (directory, file) = directory_with("a.yml", "1");
    let mut watcher = Watcher::new(&file, &[], EVENTS);
    let noise = directory.path().join("noise");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut i = 0u64;
            while !is_over.load(Ordering::Relaxed) {
                fs::write(&noise, i.to_string()).unwrap();
                i += 1;
                std::thread::yield_now();
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let told = std::thread::scope(|inner| {
            inner
                .spawn(|| {
                    fs::write(&file, "2").unwrap();
                    runtime.block_on(next(&mut watcher))
                })
                .join()
                .unwrap()
        });
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(told, [file.clone()]);
    });
}

#[tokio::test]
async fn polling_does_without_events() {
    let (_directory, file) = directory_with("a.yml", "1");
    let options = WatchOptions { poll_interval: Duration::from_millis(5), ..EVENTS };
    let mut watcher = Watcher::new(&file, &[], options);
    watcher.notifier = None;
    fs::write(&file, "22").unwrap();
    assert_eq!(next(&mut watcher).await, [file]);
}

#[tokio::test]
async fn extra_files_come_and_go() {
    let (directory, file) = directory_with("a.yml", "1");
    let extra = tempfile::tempdir().unwrap();
    let (one, two) = (extra.path().join("1"), extra.path().join("2"));
    let mut watcher = Watcher::new(&file, &[one.clone()], EVENTS);
    fs::write(&one, "x").unwrap();
    assert_eq!(next(&mut watcher).await, [one.clone()]);
    watcher.set_extra(&[two.clone()]);
    fs::write(&one, "y").unwrap();
    fs::write(&two, "y").unwrap();
    assert_eq!(next(&mut watcher).await, [two]);
    assert!(watcher.directories.contains_key(directory.path()));
}

#[tokio::test]
async fn pipes_and_directories_are_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("a.yml");
    let mut watcher = Watcher::new(&missing, &[], EVENTS);
    fs::create_dir(&missing).unwrap();
    assert_eq!(next(&mut watcher).await, [missing.clone()]);
    assert_eq!(Fingerprint::of(Path::new("/dev/null")), Fingerprint::NotAFile);
}
