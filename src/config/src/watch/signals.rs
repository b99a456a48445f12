//! What the operating system's notifications come to: a reason to look, and which files somebody is still
//! writing. Nothing here reads a file.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use notify::{
    Event, EventKind, RecommendedWatcher,
    event::{AccessKind, AccessMode, ModifyKind},
};
use tokio::sync::Notify;

use super::places::Places;

/// Most files that are remembered as being written; of more, the rest is read when the disk is quiet.
const WRITTEN_COUNT_MAX: usize = 1_024;

/// Shared by the watcher and the thread of the notification library.
#[derive(Debug, Default)]
pub(super) struct Signals {
    wake: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    places: Arc<Places>,
    /// Files with a write and no close after it: they may be half written.
    written: BTreeSet<PathBuf>,
}

impl Signals {
    /// Waits for a reason to look; several become one.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(super) async fn next(&self) {
        self.wake.notified().await;
    }

    /// From now on only what happens at these places is a reason to look.
    pub(super) fn set_places(&self, places: Places) {
        self.lock().places = Arc::new(places);
    }

    pub(super) fn is_being_written(&self) -> bool {
        !self.lock().written.is_empty()
    }

    /// Whoever still writes after this is waited for again at the next write.
    pub(super) fn forget_writers(&self) {
        self.lock().written.clear();
    }

    pub(super) fn take(&self, event: notify::Result<Event>) {
        let is_reason = match event {
            Ok(event) => self.is_reason(&event),
            // Something may have been missed.
            Err(_) => true,
        };
        if is_reason {
            self.wake.notify_one();
        }
    }

    fn is_reason(&self, event: &Event) -> bool {
        if is_only_read(event.kind) {
            return false;
        }
        let mut state = self.lock();
        let State { places, written } = &mut *state;
        // Without paths it is an overflow.
        let mut is_reason = event.paths.is_empty();
        for path in event.paths.iter().filter(|path| is_of_interest(path, places)) {
            is_reason = true;
            match event.kind {
                EventKind::Modify(ModifyKind::Data(_)) => {
                    if written.len() < WRITTEN_COUNT_MAX {
                        written.insert(path.clone());
                    }
                }
                EventKind::Modify(ModifyKind::Metadata(_)) => {}
                _ => {
                    written.remove(path);
                }
            }
        }
        is_reason
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The operating system's notifications, given to `signals`.
pub(super) fn notifier(signals: Arc<Signals>) -> Option<RecommendedWatcher> {
    match notify::recommended_watcher(move |event| signals.take(event)) {
        Ok(notifier) => Some(notifier),
        Err(err) => {
            tracing::warn!(%err, "File notifications are not available, files are polled");
            None
        }
    }
}

fn is_of_interest(path: &Path, places: &Places) -> bool {
    let is_entry = || {
        let (directory, name) = (path.parent()?, path.file_name()?);
        Some(places.get(directory)?.names.contains(name))
    };
    places.contains_key(path) || is_entry() == Some(true)
}

/// Whether somebody only opened or read a file, as we do ourselves.
fn is_only_read(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}
