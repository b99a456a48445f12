//! Tells when a watched file has other content than before. It loads nothing and starts no task: the
//! future that waits is driven by its caller. The only thread is the one the notification library keeps.
//!
//! Directories are watched, never files: editors replace files, Kubernetes swaps a symlink beside them.
//! An event only wakes; what counts is the content. Where no event arrives (network file systems, bind
//! mounts, no watch to be had) a look at the files' metadata every second takes its place.
//! A file is read when its directory has been quiet for a moment, its writer has closed it, and, if it
//! became empty or vanished, when it stays so: each of these waits is bounded.

mod fingerprint;
mod places;
mod set;
mod signals;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep, sleep_until},
};

use crate::sources::glob;
use fingerprint::{Fingerprint, Metadata};
use places::{Identity, Places, places_of};
use signals::{Signals, notifier};

pub use set::WatchSet;

/// How often the directories are looked up again when they change while they are being watched.
const SYNC_ATTEMPT_COUNT_MAX: usize = 4;
/// Looks at the metadata take at most this part of the time.
const LOOK_SHARE_MAX: u32 = 50;

/// How eagerly changes are told.
#[derive(Clone, Copy, Debug)]
pub struct WatchOptions {
    /// How long the directories must be quiet before the files are read: one may be half written.
    pub settle: Duration,
    /// The longest time between the first event and the look, however many events follow.
    pub settle_max: Duration,
    /// The same while somebody has one of the files open and writes to it.
    pub settle_written_max: Duration,
    /// How long a file must stay empty or away before that is told: some editors truncate it or take it
    /// away before they write.
    pub settle_empty: Duration,
    /// How often to look at the files' metadata without any event.
    pub poll_interval: Duration,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            settle: Duration::from_millis(150),
            settle_max: Duration::from_millis(1000),
            settle_written_max: Duration::from_secs(5),
            settle_empty: Duration::from_millis(750),
            poll_interval: Duration::from_secs(1),
        }
    }
}

/// The content of at least one watched file is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changed {
    /// The files that changed, appeared or vanished, as they were named, sorted.
    pub files: Vec<PathBuf>,
}

/// Watches the directories of a set of files.
pub struct Watcher {
    options: WatchOptions,
    patterns: Vec<PathBuf>,
    files: Files,
    /// `None` if the operating system gives no notification at all.
    notifier: Option<RecommendedWatcher>,
    /// Directories with a watch, and which directory stood there then.
    directories: BTreeMap<PathBuf, Identity>,
    /// Directories that cannot be watched, as far as the log was told.
    refused: Vec<PathBuf>,
    signals: Arc<Signals>,
    /// An event came, and the files were not read since.
    is_pending: bool,
}

type Files = BTreeMap<PathBuf, Seen>;

/// What a file held when it was last read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    content: Fingerprint,
    metadata: Metadata,
    /// Two looks, one settling apart, found the same metadata. Before that, a write within the same tick
    /// of the file system's clock would not show in them.
    is_confirmed: bool,
}

impl Seen {
    fn read(path: &Path) -> Self {
        // In this order a write in between is seen by the next look at the metadata.
        let metadata = Metadata::of(path);
        Self { content: Fingerprint::of(path), metadata, is_confirmed: false }
    }

    /// Read again only if that may find something else.
    fn again(self, path: &Path) -> Self {
        let is_same = Metadata::of(path) == self.metadata;
        match (is_same, self.is_confirmed) {
            (true, true) => self,
            (true, false) => Self { is_confirmed: true, ..Self::read(path) },
            (false, _) => Self::read(path),
        }
    }
}

impl Watcher {
    /// Begins to watch: what the files hold now is what later content is compared with, so call it before
    /// the files are loaded. Files and directories that do not exist are watched for. Reads the files.
    pub fn new(set: &WatchSet, options: WatchOptions) -> Self {
        let signals = Arc::new(Signals::default());
        let notifier = notifier(Arc::clone(&signals));
        let mut watcher = Self {
            options,
            patterns: Vec::new(),
            files: Files::new(),
            notifier,
            directories: BTreeMap::new(),
            refused: Vec::new(),
            signals,
            is_pending: false,
        };
        watcher.set(set);
        watcher
    }

    /// Watches this set from now on; files that stay keep what they are compared with, unless the set says
    /// what was read. Reads the new ones.
    pub fn set(&mut self, set: &WatchSet) {
        self.patterns.clone_from(&set.patterns);
        let paths = all_paths(set.files.keys().cloned(), &self.patterns);
        for _ in 0..SYNC_ATTEMPT_COUNT_MAX {
            if !self.watch_directories(places_of(&paths, &self.patterns)) {
                break;
            }
        }
        let mut old = std::mem::take(&mut self.files);
        for path in paths {
            let mut seen = old.remove(&path).unwrap_or_else(|| Seen::read(&path));
            if let Some(Some(content)) = set.files.get(&path)
                && *content != seen.content
            {
                // It was edited between the reading and now, or is about to be told.
                seen = Seen { content: *content, metadata: Metadata::NONE, is_confirmed: false };
                self.is_pending = true;
            }
            self.files.insert(path, seen);
        }
    }

    /// Waits for the next change. Events that leave all content as it was are not told.
    ///
    /// # Cancel safety
    /// Nothing is lost: a change that was seen but not told is told by the next call.
    pub async fn changed(&mut self) -> Changed {
        let mut poll_interval = self.options.poll_interval;
        loop {
            if !self.is_pending {
                let mut has_event = false;
                tokio::select! {
                    () = self.signals.next() => has_event = true,
                    () = sleep(poll_interval) => {}
                }
                let began = Instant::now();
                if !has_event && !self.metadata_differs().await {
                    poll_interval =
                        self.options.poll_interval.max(began.elapsed() * LOOK_SHARE_MAX);
                    continue;
                }
            }
            self.is_pending = true;
            self.settle().await;
            self.sync_directories().await;
            let mut now = self.look().await;
            if is_any_gone(&self.files, &now) {
                // The next look sees what is there by then; what happens meanwhile settles, too.
                sleep(self.options.settle_empty).await;
                self.settle().await;
                self.sync_directories().await;
                now = self.look().await;
            }
            let files = differing(&self.files, &now);
            self.files = now;
            self.is_pending = false;
            if !files.is_empty() {
                return Changed { files };
            }
        }
    }

    /// Waits until no event has come for a while and nobody writes, but not for ever.
    async fn settle(&self) {
        let began = Instant::now();
        loop {
            let is_written = self.signals.is_being_written();
            let longest = match is_written {
                true => self.options.settle_written_max,
                false => self.options.settle_max,
            };
            tokio::select! {
                biased;
                () = sleep_until(began + longest) => break,
                () = self.signals.next() => {}
                () = sleep(self.options.settle), if !is_written => break,
            }
        }
        self.signals.forget_writers();
    }

    /// Follows symlinks and directories that are others than before.
    async fn sync_directories(&mut self) {
        for _ in 0..SYNC_ATTEMPT_COUNT_MAX {
            let paths: Vec<PathBuf> = self.files.keys().cloned().collect();
            let patterns = self.patterns.clone();
            let places = spawn_blocking(move || places_of(&paths, &patterns)).await;
            // A failed task is a panic, which the next event tries again.
            let Ok(places) = places else { return };
            if !self.watch_directories(places) {
                return;
            }
        }
    }

    /// Watches these directories and no others; true if that changed anything, so that what happened
    /// meanwhile may have been missed.
    fn watch_directories(&mut self, wanted: Places) -> bool {
        let Some(notifier) = &mut self.notifier else { return false };
        let mut has_changed = false;
        self.directories.retain(|directory, identity| {
            let stays = wanted.get(directory).is_some_and(|place| place.identity == *identity);
            if !stays {
                // It may be gone already, and its watch with it.
                drop(notifier.unwatch(directory));
            }
            stays
        });
        self.signals.set_places(wanted.clone());
        for (directory, place) in wanted {
            if self.directories.contains_key(&directory) {
                continue;
            }
            match notifier.watch(&directory, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    has_changed = true;
                    self.refused.retain(|refused| *refused != directory);
                    self.directories.insert(directory, place.identity);
                }
                Err(err) if !self.refused.contains(&directory) => {
                    let shown = directory.display();
                    tracing::warn!(directory = %shown, %err, "Directory is not watched, its files are polled");
                    self.refused.push(directory);
                }
                Err(_) => {}
            }
        }
        has_changed
    }

    async fn metadata_differs(&self) -> bool {
        let (files, patterns) = (self.files.clone(), self.patterns.clone());
        let look = move || {
            let is_other = |(path, seen): (&PathBuf, &Seen)| seen.metadata != Metadata::of(path);
            files.iter().any(is_other) || found_by(&patterns).any(|path| !files.contains_key(&path))
        };
        spawn_blocking(look).await.unwrap_or(true)
    }

    /// What the files hold now; those that patterns stand for come and go.
    async fn look(&self) -> Files {
        let (files, patterns) = (self.files.clone(), self.patterns.clone());
        let before = self.files.clone();
        let look = move || {
            let paths = all_paths(files.keys().cloned(), &patterns);
            let read = |path: PathBuf| {
                let seen = match files.get(&path) {
                    Some(seen) => seen.again(&path),
                    None => Seen::read(&path),
                };
                (path, seen)
            };
            paths.into_iter().map(read).collect()
        };
        // A failed task is a panic, which the next event tries again.
        spawn_blocking(look).await.unwrap_or(before)
    }
}

/// Files by name and those that patterns stand for, each once.
fn all_paths(files: impl Iterator<Item = PathBuf>, patterns: &[PathBuf]) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = files.chain(found_by(patterns)).collect();
    paths.sort();
    paths.dedup();
    paths
}

fn found_by(patterns: &[PathBuf]) -> impl Iterator<Item = PathBuf> {
    patterns.iter().flat_map(|pattern| glob(pattern).unwrap_or_default())
}

/// Whether a file that had content has none any more: perhaps only for a moment.
fn is_any_gone(before: &Files, now: &Files) -> bool {
    now.iter().any(|(path, seen)| {
        let had_content = before.get(path).is_some_and(|before| !before.content.is_empty());
        had_content && seen.content.is_empty()
    })
}

fn differing(before: &Files, now: &Files) -> Vec<PathBuf> {
    let is_other = |(path, seen): &(&PathBuf, &Seen)| match before.get(*path) {
        Some(before) => before.content != seen.content,
        // Under a pattern even an empty file counts.
        None => true,
    };
    now.iter().filter(is_other).map(|(path, _)| path.clone()).collect()
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher")
            .field("files", &self.files.keys())
            .field("patterns", &self.patterns)
            .field("directories", &self.directories.keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
