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
use crate::Sources;

/// Longest time a test waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// Never polls, so that events must do.
const EVENTS: WatchOptions = WatchOptions {
    settle: Duration::from_millis(30),
    settle_max: Duration::from_millis(300),
    settle_written_max: Duration::from_secs(20),
    settle_empty: Duration::from_millis(100),
    poll_interval: Duration::from_secs(3600),
};

fn directory_with(name: &str, text: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(name);
    fs::write(&file, text).unwrap();
    (directory, file)
}

/// Waits for the next change, which must be that of one file.
async fn expect(watcher: &mut Watcher, file: &Path) {
    let changed = tokio::time::timeout(PATIENCE, watcher.changed()).await;
    assert_eq!(changed.expect("the change is told").files, [file]);
}

fn set_of(files: &[&Path]) -> WatchSet {
    let mut set = WatchSet::default();
    set.add_files(files.iter().map(|file| file.to_path_buf()));
    set
}

/// Renames within a test directory need not be durable.
#[allow(clippy::disallowed_methods)]
fn rename(from: &Path, to: &Path) {
    fs::rename(from, to).unwrap();
}

#[tokio::test]
async fn writing_in_place_is_told_once() {
    let (_directory, file) = directory_with("a.yml", "1");
    let mut watcher = Watcher::new(&WatchSet::of_file(&file), EVENTS);
    fs::write(&file, "2").unwrap();
    expect(&mut watcher, &file).await;
    fs::write(&file, "3").unwrap();
    expect(&mut watcher, &file).await;
}

#[tokio::test]
async fn an_edit_before_the_first_wait_is_told() {
    let (_directory, file) = directory_with("a.yml", "1");
    let mut watcher = Watcher::new(&WatchSet::of_file(&file), EVENTS);
    fs::write(&file, "2").unwrap();
    // Cancelled in all its stages, the wait loses nothing.
    for wait_ms in [0, 1, 10, 40, 80] {
        let wait = Duration::from_millis(wait_ms);
        if let Ok(changed) = tokio::time::timeout(wait, watcher.changed()).await {
            assert_eq!(changed.files, [file]);
            return;
        }
    }
    expect(&mut watcher, &file).await;
}

#[tokio::test]
async fn touching_or_rewriting_the_same_is_not_told() {
    let (directory, file) = directory_with("a.yml", "1");
    let other = directory.path().join("b.yml");
    let mut watcher = Watcher::new(&set_of(&[&file, &other]), EVENTS);
    fs::write(&file, "1").unwrap();
    fs::File::options().append(true).open(&file).unwrap().set_len(1).unwrap();
    fs::write(directory.path().join("unwatched"), "x").unwrap();
    fs::write(&other, "appears").unwrap();
    expect(&mut watcher, &other).await;
}

#[tokio::test]
async fn an_editor_that_renames_is_followed() {
    let (directory, file) = directory_with("a.yml", "1");
    let mut watcher = Watcher::new(&WatchSet::of_file(&file), EVENTS);
    for text in ["2", "3"] {
        let new = directory.path().join(".a.yml.swp");
        fs::write(&new, text).unwrap();
        rename(&new, &file);
        expect(&mut watcher, &file).await;
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
    let mut watcher = Watcher::new(&WatchSet::of_file(&at("a.yml")), EVENTS);
    for (generation, text) in [("..2", "2"), ("..3", "3")] {
        publish(generation, text);
        expect(&mut watcher, &at("a.yml")).await;
    }
}

#[tokio::test]
async fn a_symlink_into_another_directory_is_followed() {
    let (_real, target) = directory_with("real.yml", "1");
    let (_other, other) = directory_with("other.yml", "2");
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("a.yml");
    symlink(&target, &link).unwrap();
    let mut watcher = Watcher::new(&WatchSet::of_file(&link), EVENTS);
    fs::write(&target, "1b").unwrap();
    expect(&mut watcher, &link).await;
    fs::remove_file(&link).unwrap();
    expect(&mut watcher, &link).await;
    symlink(&other, &link).unwrap();
    expect(&mut watcher, &link).await;
    fs::write(&other, "2b").unwrap();
    expect(&mut watcher, &link).await;
}

#[tokio::test]
async fn a_directory_that_vanishes_and_returns_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let sub = directory.path().join("x/y");
    let file = sub.join("a.yml");
    fs::create_dir_all(&sub).unwrap();
    fs::write(&file, "1").unwrap();
    let mut watcher = Watcher::new(&WatchSet::of_file(&file), EVENTS);
    fs::remove_dir_all(directory.path().join("x")).unwrap();
    expect(&mut watcher, &file).await;
    fs::create_dir_all(&sub).unwrap();
    fs::write(&file, "2").unwrap();
    expect(&mut watcher, &file).await;
    // Another directory takes the name.
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    fs::create_dir(&new).unwrap();
    fs::write(new.join("a.yml"), "3").unwrap();
    rename(&sub, &old);
    rename(&new, &sub);
    expect(&mut watcher, &file).await;
    fs::write(&file, "4").unwrap();
    expect(&mut watcher, &file).await;
}

struct SetOnDrop<'f>(&'f AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_constant_stream_of_events_does_not_hide_a_change() {
    let (directory, file) = directory_with("a.yml", "1");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let noise = directory.path().join("noise");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                fs::write(&noise, "x").unwrap();
                std::thread::yield_now();
            }
        });
        // Also when the test fails, so that the thread ends.
        let _end = SetOnDrop(&is_over);
        let mut watcher = Watcher::new(&WatchSet::of_file(&file), EVENTS);
        fs::write(&file, "2").unwrap();
        runtime.block_on(expect(&mut watcher, &file));
    });
}

#[tokio::test]
async fn polling_does_without_events() {
    let (_directory, file) = directory_with("a.yml", "1");
    let options = WatchOptions { poll_interval: Duration::from_millis(5), ..EVENTS };
    let mut watcher = Watcher::new(&WatchSet::of_file(&file), options);
    watcher.notifier = None;
    fs::write(&file, "22").unwrap();
    expect(&mut watcher, &file).await;
}

#[tokio::test]
async fn a_directory_further_up_that_is_replaced_is_noticed_by_polling() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for (name, text) in [("x", "1"), ("z", "22")] {
        fs::create_dir_all(at(name).join("y")).unwrap();
        fs::write(at(name).join("y/a.yml"), text).unwrap();
    }
    let file = at("x/y/a.yml");
    let options = WatchOptions { poll_interval: Duration::from_millis(5), ..EVENTS };
    let mut watcher = Watcher::new(&WatchSet::of_file(&file), options);
    rename(&at("x"), &at("old"));
    rename(&at("z"), &at("x"));
    expect(&mut watcher, &file).await;
}

#[tokio::test]
async fn other_files_come_and_go() {
    let (directory, file) = directory_with("a.yml", "1");
    let extra = tempfile::tempdir().unwrap();
    let (one, two) = (extra.path().join("1"), extra.path().join("2"));
    let mut watcher = Watcher::new(&set_of(&[&file, &one]), EVENTS);
    fs::write(&one, "x").unwrap();
    expect(&mut watcher, &one).await;
    watcher.set(&set_of(&[&file, &two]));
    fs::write(&one, "y").unwrap();
    fs::write(&two, "y").unwrap();
    expect(&mut watcher, &two).await;
    assert!(watcher.directories.contains_key(directory.path()));
}

#[tokio::test]
async fn pipes_and_directories_are_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("a.yml");
    let mut watcher = Watcher::new(&WatchSet::of_file(&missing), EVENTS);
    fs::create_dir(&missing).unwrap();
    expect(&mut watcher, &missing).await;
    assert_eq!(Fingerprint::of(Path::new("/dev/null")), Fingerprint::NotAFile);
}

/// A set of patterns and what is found under them.
fn set_under(directory: &Path, patterns: &[&str]) -> WatchSet {
    let mut sources = Sources::of_disk();
    for pattern in patterns {
        for file in sources.glob(&directory.join(pattern)).unwrap() {
            sources.read(&file).unwrap();
        }
    }
    WatchSet::of_sources(&sources)
}

#[tokio::test]
async fn files_under_patterns_appear_change_and_vanish() {
    for (first, second) in [("rules/a.yml", "rules/b.yml"), ("x/a.yml", "y/b.yml")] {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at(first).parent().unwrap()).unwrap();
        fs::write(at(first), "1").unwrap();
        let mut watcher = Watcher::new(&set_under(directory.path(), &["*/*.yml"]), EVENTS);
        fs::create_dir_all(at(second).parent().unwrap()).unwrap();
        fs::write(at(second), "2").unwrap();
        expect(&mut watcher, &at(second)).await;
        fs::write(at(second), "3").unwrap();
        expect(&mut watcher, &at(second)).await;
        fs::remove_file(at(first)).unwrap();
        expect(&mut watcher, &at(first)).await;
        fs::write(at("rules.txt"), "not under the pattern").unwrap();
        fs::write(at(second), "4").unwrap();
        expect(&mut watcher, &at(second)).await;
    }
}

#[tokio::test]
async fn new_files_under_patterns_are_polled_for() {
    let directory = tempfile::tempdir().unwrap();
    let options = WatchOptions { poll_interval: Duration::from_millis(5), ..EVENTS };
    let mut watcher = Watcher::new(&set_under(directory.path(), &["*.yml"]), options);
    watcher.notifier = None;
    watcher.directories.clear();
    let file = directory.path().join("new.yml");
    fs::write(&file, "").unwrap();
    expect(&mut watcher, &file).await;
}

#[tokio::test]
async fn an_edit_between_reading_and_watching_is_told() {
    let (directory, file) = directory_with("a.yml", "1");
    let mut watcher = Watcher::new(&WatchSet::of_file(&file), EVENTS);
    let mut sources = Sources::of_disk();
    sources.read(&file).unwrap();
    let included = directory.path().join("b.yml");
    fs::write(&included, "1").unwrap();
    sources.read(&included).unwrap();
    fs::write(&included, "2").unwrap();
    // the file that is new to the watcher already has its later content
    watcher.set(&WatchSet::of_sources(&sources));
    expect(&mut watcher, &included).await;
    // texts that were kept say nothing about the disk
    let kept = sources.texts().to_vec();
    let mut sources = Sources::of_kept(kept);
    sources.read(&file).unwrap();
    sources.read(&included).unwrap();
    watcher.set(&WatchSet::of_sources(&sources));
    fs::write(&file, "3").unwrap();
    expect(&mut watcher, &file).await;
}

#[tokio::test]
async fn a_rule_file_that_vanishes_between_reading_and_watching_is_told() {
    let (directory, file) = directory_with("a.yml", "1");
    let mut watcher = Watcher::new(&WatchSet::of_file(&file), EVENTS);
    let rules = directory.path().join("r.rules");
    fs::write(&rules, "groups: []").unwrap();
    let mut sources = Sources::of_disk();
    sources.read(&file).unwrap();
    assert_eq!(sources.glob(&directory.path().join("*.rules")).unwrap(), [rules.as_path()]);
    sources.read(&rules).unwrap();
    // Checked, and gone when the configuration comes into force.
    fs::remove_file(&rules).unwrap();
    watcher.set(&WatchSet::of_sources(&sources));
    expect(&mut watcher, &rules).await;
}

#[tokio::test]
async fn an_editor_that_truncates_or_removes_before_it_writes_is_not_taken_at_its_word() {
    let (_directory, file) = directory_with("a.yml", "1");
    let mut watcher = Watcher::new(&WatchSet::of_file(&file), EVENTS);
    let takes_away: [fn(&Path); 2] =
        [|file| drop(fs::File::create(file).unwrap()), |file| fs::remove_file(file).unwrap()];
    for (text, take_away) in ["2", "3"].into_iter().zip(takes_away) {
        take_away(&file);
        // The emptiness settles, and while it is watched for some more the text arrives.
        let wait = EVENTS.settle + EVENTS.settle_empty / 2;
        let early = tokio::time::timeout(wait, watcher.changed()).await;
        assert!(early.is_err(), "{early:?}");
        fs::write(&file, text).unwrap();
        expect(&mut watcher, &file).await;
        assert_eq!(watcher.files[&file].content, Fingerprint::of_bytes(text.as_bytes()));
    }
    // what stays empty is told in the end
    fs::write(&file, "").unwrap();
    expect(&mut watcher, &file).await;
}

#[tokio::test]
async fn a_writer_that_pauses_is_waited_for() {
    use std::io::Write;
    let (_directory, file) = directory_with("a.yml", "1");
    let mut watcher = Watcher::new(&WatchSet::of_file(&file), EVENTS);
    let mut writer = fs::File::create(&file).unwrap();
    for part in ["first ", "second"] {
        writer.write_all(part.as_bytes()).unwrap();
        let early = tokio::time::timeout(EVENTS.settle_max * 2, watcher.changed()).await;
        assert!(early.is_err(), "{early:?}");
    }
    drop(writer);
    expect(&mut watcher, &file).await;
    assert_eq!(watcher.files[&file].content, Fingerprint::of_bytes(b"first second"));
}

#[tokio::test]
async fn a_thousand_events_are_one_look() {
    let (directory, file) = directory_with("a.yml", "1");
    let mut watcher = Watcher::new(&WatchSet::of_file(&file), EVENTS);
    for index in 0..1_000 {
        let new = directory.path().join("new");
        fs::write(&new, format!("{index}")).unwrap();
        rename(&new, &file);
    }
    let told = async {
        let mut count = 0;
        while watcher.files[&file].content != Fingerprint::of_bytes(b"999") {
            expect(&mut watcher, &file).await;
            count += 1;
        }
        count
    };
    let count = told.await;
    assert!(count <= 3, "{count}");
}

#[test]
fn a_change_of_the_same_size_within_a_tick_is_seen_by_the_next_look() {
    let (_directory, file) = directory_with("a.yml", "1");
    let seen = Seen::read(&file);
    fs::write(&file, "2").unwrap();
    // as if the clock of the file system had not moved
    let seen = Seen { metadata: Metadata::of(&file), ..seen };
    let again = seen.again(&file);
    assert_eq!(again.content, Fingerprint::of_bytes(b"2"));
    assert!(again.is_confirmed);
    assert_eq!(again.again(&file), again);
}

#[test]
fn only_names_that_matter_are_reasons_to_look() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for name in ["real", "rules"] {
        fs::create_dir(at(name)).unwrap();
    }
    fs::write(at("real/a.yml"), "1").unwrap();
    symlink("real", at("link")).unwrap();
    let places = places_of(&[at("link/a.yml"), at("main.yml")], &[at("rules/*.yml")]);
    let names = |place: &str| match &places.get(&at(place)).expect(place).names {
        places::Names::All => vec!["*".into()],
        places::Names::These(names) => names.iter().cloned().collect::<Vec<_>>(),
    };
    assert_eq!(names(""), ["link", "main.yml"]);
    assert_eq!(names("real"), ["a.yml"]);
    assert_eq!(names("rules"), ["*"]);
    assert_eq!(places.len(), 3);
}
