//! Secrets and certificates that are kept in files: looked at for each request, read again when they have
//! changed. A file that hangs costs one thread, however many requests wait for it, and each of these no more
//! than its deadline. What the bytes mean is not known here.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, task::spawn_blocking, time::Instant};

use crate::error::{Cause, errno_text};

/// Largest file that is read: certificates of many authorities.
const FILE_SIZE_BYTES_MAX: u64 = 4 << 20;
/// A file that was changed again within the same tick of its file system's clock looks the same. After this
/// time it is read once more before its metadata is trusted.
const TRUST_AFTER: Duration = Duration::from_millis(50);

/// All files of one client.
#[derive(Debug)]
pub(crate) struct Files {
    paths: Arc<[PathBuf]>,
    looks: Arc<Looks>,
}

/// What the files held at one moment. Equal bytes are the same object as before.
#[derive(Clone, Default)]
pub(crate) struct Contents {
    by_path: BTreeMap<PathBuf, Seen>,
}

#[derive(Debug)]
struct Looks {
    state: Mutex<State>,
    ended: watch::Sender<Ended>,
}

#[derive(Debug, Default)]
struct State {
    begun_count: u64,
    is_running: bool,
}

/// The result of the latest look.
#[derive(Debug, Default)]
struct Ended {
    number: u64,
    contents: Arc<Contents>,
}

#[derive(Clone)]
struct Seen {
    bytes: Result<Arc<[u8]>, Unread>,
    stamp: Option<Stamp>,
    first_seen: Instant,
    is_trusted: bool,
}

/// Why there are no bytes.
#[derive(Clone, Debug)]
pub(crate) struct Unread {
    pub(crate) is_missing: bool,
    /// In Go's words.
    pub(crate) text: String,
}

/// What changes when a file does.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp([u64; 3], [i64; 4]);

impl Files {
    pub(crate) fn new<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Self {
        let mut paths: Vec<PathBuf> = paths.into_iter().map(Path::to_owned).collect();
        paths.sort();
        paths.dedup();
        let looks = Looks { state: Mutex::default(), ended: watch::Sender::default() };
        Self { paths: paths.into(), looks: Arc::new(looks) }
    }

    /// What the files hold. The caller's deadline is the only time limit.
    pub(crate) async fn look(&self) -> Result<Arc<Contents>, Cause> {
        if self.paths.is_empty() {
            return Ok(Arc::clone(&self.looks.ended.borrow().contents));
        }
        let mut ended = self.looks.ended.subscribe();
        let number = self.begin();
        let ended = ended.wait_for(|ended| ended.number >= number).await;
        let ended = ended.map_err(|_| Cause::Request("files cannot be read".to_owned()))?;
        Ok(Arc::clone(&ended.contents))
    }

    /// A look that never ends.
    #[cfg(test)]
    pub(crate) fn pretend_to_read(&self) {
        let mut state = self.looks.lock();
        state.is_running = true;
        state.begun_count += 1;
    }

    #[cfg(test)]
    pub(crate) fn begun_count(&self) -> u64 {
        self.looks.lock().begun_count
    }

    /// Begins a look unless one is under way; the number to wait for.
    fn begin(&self) -> u64 {
        let mut state = self.looks.lock();
        if !state.is_running {
            state.is_running = true;
            state.begun_count += 1;
            let (number, paths, looks) =
                (state.begun_count, Arc::clone(&self.paths), Arc::clone(&self.looks));
            drop(spawn_blocking(move || {
                let before = Arc::clone(&looks.ended.borrow().contents);
                let contents = Arc::new(before.again(&paths));
                // At once: whoever comes later begins a look of its own, and that one ends later.
                let mut state = looks.lock();
                state.is_running = false;
                looks.ended.send_replace(Ended { number, contents });
            }));
        }
        state.begun_count
    }
}

impl Looks {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Two plain fields: nobody leaves them half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    /// The bytes of a file.
    ///
    /// # Errors
    /// Why there are none, in Go's words.
    pub(crate) fn bytes(&self, path: &Path) -> Result<Arc<[u8]>, String> {
        self.look_up(path).map_err(|unread| unread.text)
    }

    /// The same, for those who tell missing files from others.
    pub(crate) fn look_up(&self, path: &Path) -> Result<Arc<[u8]>, Unread> {
        let missing = || {
            let text = format!("open {}: no such file or directory", path.display());
            Err(Unread { is_missing: true, text })
        };
        self.by_path.get(path).map_or_else(missing, |seen| seen.bytes.clone())
    }

    fn again(&self, paths: &[PathBuf]) -> Self {
        let look = |path: &PathBuf| (path.clone(), Seen::look(path, self.by_path.get(path)));
        Self { by_path: paths.iter().map(look).collect() }
    }
}

impl Seen {
    fn look(path: &Path, before: Option<&Self>) -> Self {
        let (now, stamp) = (Instant::now(), Stamp::of(path));
        let same = before.filter(|before| before.stamp == stamp);
        if let Some(same) = same.filter(|same| same.is_trusted) {
            return same.clone();
        }
        let mut bytes = read(path).map_err(|error| Unread::new(path, &error));
        if let (Ok(new), Some(Self { bytes: Ok(old), .. })) = (&bytes, before)
            && new == old
        {
            bytes = Ok(Arc::clone(old));
        }
        let first_seen = same.map_or(now, |same| same.first_seen);
        let is_trusted = stamp.is_some() && bytes.is_ok() && now - first_seen > TRUST_AFTER;
        Self { bytes, stamp, first_seen, is_trusted }
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let it = fs::metadata(path).ok()?;
        let times = [it.mtime(), it.mtime_nsec(), it.ctime(), it.ctime_nsec()];
        Some(Self([it.dev(), it.ino(), it.len()], times))
    }
}

impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.by_path.keys()).finish()
    }
}

/// A pipe would be emptied, or never answer.
fn read(path: &Path) -> io::Result<Arc<[u8]>> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_SIZE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_SIZE_BYTES_MAX {
        return Err(io::Error::other(format!("larger than {FILE_SIZE_BYTES_MAX} bytes")));
    }
    Ok(bytes.into())
}

impl Unread {
    fn new(path: &Path, error: &io::Error) -> Self {
        let what = if error.kind() == io::ErrorKind::IsADirectory { "read" } else { "open" };
        let text = format!("{what} {}: {}", path.display(), errno_text(error));
        Self { is_missing: error.kind() == io::ErrorKind::NotFound, text }
    }
}
