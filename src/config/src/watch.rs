//! Tells when a watched file has other content than before. It loads nothing and starts no task: the
//! future that waits is driven by its caller. The only thread is the one the notification library keeps.
//!
//! Directories are watched, never files: editors replace files, Kubernetes swaps a symlink beside them.
//! An event only wakes; what counts is the content. Where no event arrives (network file systems, bind
//! mounts, no watch to be had) a look at the file's metadata every few seconds takes its place.

mod fingerprint;
mod places;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode},
};
use tokio::{sync::Notify, task::spawn_blocking, time::sleep};

use fingerprint::{Fingerprint, Metadata};
use places::{Identity, places_of};

/// How often the directories are looked up again when they change while they are being watched.
const SYNC_ATTEMPT_COUNT_MAX: usize = 4;

/// How eagerly changes are told.
#[derive(Clone, Copy, Debug)]
pub struct WatchOptions {
    /// How long the directories must be quiet before the files are read: one may be half written.
    pub settle: Duration,
    /// The longest time between the first event and the look, however many events follow.
    pub settle_max: Duration,
    /// How often to look at the files' metadata without any event.
    pub poll_interval: Duration,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            settle: Duration::from_millis(150),
            settle_max: Duration::from_millis(1000),
            poll_interval: Duration::from_secs(2),
        }
    }
}

/// The content of at least one watched file is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changed {
    /// The files that changed, appeared or vanished, as they were named.
    pub files: Vec<PathBuf>,
}

/// Watches the directories of a set of files.
pub struct Watcher {
    options: WatchOptions,
    files: Vec<Watched>,
    /// `None` if the operating system gives no notification at all.
    notifier: Option<RecommendedWatcher>,
    /// Directories with a watch, and which directory stood there then.
    directories: BTreeMap<PathBuf, Identity>,
    wake: Arc<Notify>,
    /// An event came, and the files were not read since.
    is_pending: bool,
}

/// A file and what it held when it was last read.
#[derive(Clone, Debug)]
struct Watched {
    path: PathBuf,
    content: Fingerprint,
    metadata: Metadata,
}

impl Watched {
    fn read(path: &Path) -> Self {
        // In this order a write in between is seen by the next look at the metadata.
        let metadata = Metadata::of(path);
        Self { path: path.to_owned(), content: Fingerprint::of(path), metadata }
    }
}

impl Watcher {
    /// Begins to watch: what the files hold now is what later content is compared with, so call it before
    /// the files are loaded. Files and directories that do not exist are watched for. Reads the files.
    pub fn new(main: &Path, extra: &[PathBuf], options: WatchOptions) -> Self {
        let wake = Arc::new(Notify::new());
        let notifier = notifier(Arc::clone(&wake));
        let paths = std::iter::once(main).chain(extra.iter().map(PathBuf::as_path));
        let mut watcher = Self {
            options,
            files: Vec::new(),
            notifier,
            directories: BTreeMap::new(),
            wake,
            is_pending: false,
        };
        let paths: Vec<PathBuf> = paths.map(Path::to_owned).collect();
        for _ in 0..SYNC_ATTEMPT_COUNT_MAX {
            if !watcher.watch_directories(places_of(&paths)) {
                break;
            }
        }
        watcher.files = paths.iter().map(|path| Watched::read(path)).collect();
        watcher
    }

    /// Watches other extra files from now on; the main file and those that stay keep what they are compared
    /// with. Reads the new ones.
    pub fn set_extra(&mut self, extra: &[PathBuf]) {
        let old = self.files.split_off(1);
        for path in extra {
            let known = old.iter().find(|file| file.path == *path);
            self.files.push(known.cloned().unwrap_or_else(|| Watched::read(path)));
        }
        self.watch_directories(places_of(&self.paths()));
    }

    /// Waits for the next change. Events that leave all content as it was are not told.
    ///
    /// # Cancel safety
    /// Nothing is lost: a change that was seen but not told is told by the next call.
    pub async fn changed(&mut self) -> Changed {
        loop {
            let mut has_event = self.is_pending;
            if !has_event {
                tokio::select! {
                    () = self.wake.notified() => has_event = true,
                    () = sleep(self.options.poll_interval) => {}
                }
            }
            if !has_event && !self.metadata_differs().await {
                continue;
            }
            self.is_pending = true;
            self.settle().await;
            self.sync_directories().await;
            let files = self.compare().await;
            self.is_pending = false;
            if !files.is_empty() {
                return Changed { files };
            }
        }
    }

    /// Waits until no event has come for a while, but not for ever.
    async fn settle(&self) {
        let last_moment = sleep(self.options.settle_max);
        tokio::pin!(last_moment);
        loop {
            tokio::select! {
                biased;
                () = &mut last_moment => return,
                () = self.wake.notified() => {}
                () = sleep(self.options.settle) => return,
            }
        }
    }

    /// Follows symlinks and directories that are others than before.
    async fn sync_directories(&mut self) {
        for _ in 0..SYNC_ATTEMPT_COUNT_MAX {
            let paths = self.paths();
            // A failed task is a panic, which the next event tries again.
            let Ok(places) = spawn_blocking(move || places_of(&paths)).await else { return };
            if !self.watch_directories(places) {
                return;
            }
        }
    }

    /// Watches these directories and no others; true if that changed anything, so that what happened
    /// meanwhile may have been missed.
    fn watch_directories(&mut self, wanted: BTreeMap<PathBuf, Identity>) -> bool {
        let Some(notifier) = &mut self.notifier else { return false };
        let mut has_changed = false;
        self.directories.retain(|directory, identity| {
            let stays = wanted.get(directory) == Some(identity);
            if !stays {
                // It may be gone already, and its watch with it.
                drop(notifier.unwatch(directory));
            }
            stays
        });
        for (directory, identity) in wanted {
            if self.directories.contains_key(&directory) {
                continue;
            }
            match notifier.watch(&directory, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    has_changed = true;
                    self.directories.insert(directory, identity);
                }
                Err(err) => tracing::debug!(
                    directory = %directory.display(),
                    %err,
                    "Directory is not watched, its files are polled"
                ),
            }
        }
        has_changed
    }

    async fn metadata_differs(&self) -> bool {
        let files = self.files.clone();
        let look = move || files.iter().any(|file| file.metadata != Metadata::of(&file.path));
        spawn_blocking(look).await.unwrap_or(true)
    }

    /// Reads the files and remembers what they hold; those that changed.
    async fn compare(&mut self) -> Vec<PathBuf> {
        let paths = self.paths();
        let read = move || paths.iter().map(|path| Watched::read(path)).collect::<Vec<_>>();
        let Ok(now) = spawn_blocking(read).await else { return Vec::new() };
        let changed = self.files.iter().zip(&now).filter(|(old, new)| old.content != new.content);
        let changed = changed.map(|(old, _)| old.path.clone()).collect();
        self.files = now;
        changed
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.files.iter().map(|file| file.path.clone()).collect()
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher")
            .field("files", &self.paths())
            .field("directories", &self.directories.keys())
            .finish_non_exhaustive()
    }
}

/// The operating system's notifications, which only wake.
fn notifier(wake: Arc<Notify>) -> Option<RecommendedWatcher> {
    let on_event = move |event: notify::Result<Event>| {
        // Errors and overflows wake too: something may have been missed.
        if !event.is_ok_and(|event| is_only_read(event.kind)) {
            wake.notify_one();
        }
    };
    match notify::recommended_watcher(on_event) {
        Ok(notifier) => Some(notifier),
        Err(err) => {
            tracing::warn!(%err, "File notifications are not available, files are polled");
            None
        }
    }
}

/// Whether somebody only opened or read a file, as we do ourselves.
fn is_only_read(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

#[cfg(test)]
mod tests;
