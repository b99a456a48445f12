//! The files of the configuration on the disk: what is watched follows what was read, and each change of
//! content asks the lifecycle for a reload. What a change means is decided elsewhere.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use prom_config::{Changed, Config, Sources, WatchOptions, WatchSet, Watcher};
use prom_lifecycle::{Handle, ReloadCause};
use tokio::{sync::watch, task::spawn_blocking};

/// Most names of changed files in one log line.
const NAMED_COUNT_MAX: usize = 10;

/// Watches the files of the configuration.
#[derive(Debug)]
pub(crate) struct ConfigWatch {
    /// Made before the first file is read, so that no edit falls between the two.
    watcher: Mutex<Option<Watcher>>,
    sets: watch::Sender<WatchSet>,
}

impl ConfigWatch {
    pub(crate) fn new() -> Self {
        Self { watcher: Mutex::new(None), sets: watch::Sender::default() }
    }

    /// Remembers what the main file holds from here on.
    pub(crate) fn begin(&self, file: &Path) {
        let watcher = Watcher::new(&WatchSet::of_file(file), WatchOptions::default());
        *self.watcher.lock().unwrap_or_else(PoisonError::into_inner) = Some(watcher);
    }

    /// A configuration is in force: its files are watched from now on, and no others.
    pub(crate) fn follow(&self, sources: &Sources, config: &Config) {
        let mut set = WatchSet::of_sources(sources);
        set.add_files(config.referenced_files());
        self.sets.send_replace(set);
    }

    /// A configuration was refused: mending any of its files is as good as mending the main one.
    pub(crate) fn follow_also(&self, refused: &Sources) {
        let mut set = WatchSet::of_sources(refused);
        self.sets.send_modify(|watched| {
            set.add(watched);
            watched.clone_from(&set);
        });
    }

    /// Asks for a reload whenever a watched file has other content.
    pub(crate) fn spawn(&self, handle: &Handle) {
        let watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(watcher) = watcher else { return };
        let (asked, sets) = (handle.clone(), self.sets.subscribe());
        handle.spawn_vital("configuration watcher", async move {
            let end = asked.cancellation();
            tokio::select! {
                () = end.cancelled() => {}
                () = watch_all(watcher, sets, asked.clone()) => {}
            }
        });
    }
}

async fn watch_all(mut watcher: Watcher, mut sets: watch::Receiver<WatchSet>, handle: Handle) {
    sets.mark_changed();
    loop {
        let changed = tokio::select! {
            biased;
            Ok(()) = sets.changed() => None,
            changed = watcher.changed() => Some(changed),
        };
        let Some(changed) = changed else {
            let set = sets.borrow_and_update().clone();
            let following = spawn_blocking(move || {
                watcher.set(&set);
                watcher
            });
            // Only the end of the runtime or a panic takes it away; either ends the service.
            let Ok(following) = following.await else { return };
            watcher = following;
            continue;
        };
        tracing::info!(files = names(&changed), "Configuration files have changed");
        // a refusal is logged and shown by the lifecycle
        drop(handle.request_reload(ReloadCause::FileChanged).await);
    }
}

fn names(changed: &Changed) -> String {
    let named = changed.files.iter().take(NAMED_COUNT_MAX);
    let mut names: Vec<String> = named.map(|file| file.display().to_string()).collect();
    match changed.files.len().saturating_sub(NAMED_COUNT_MAX) {
        0 => {}
        more => names.push(format!("{more} more")),
    }
    names.join(", ")
}
