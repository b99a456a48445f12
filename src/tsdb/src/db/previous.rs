//! How the life before this one ended, as far as that can be told: a record beside the data says when it
//! began, as the kernel counts; who finds one when it starts knows that nobody ended it. It keeps nothing
//! that is needed: without it the reason is unknown, and all else is the same.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
    thread::{self, JoinHandle},
};

use prom_statefile::{Kind, StateFileError, StateReader, StateWriter};

use crate::lock::lock;

const FILE_NAME: &str = "run_state";
const KIND: Kind = Kind { magic: *b"PROMRUNS", version: 1, payload_size_bytes_max: 4096 };
const BOOT_ID_PATH: &str = "/proc/sys/kernel/random/boot_id";
const EVENTS_PATH: &str = "/proc/vmstat";
/// The line with the number of processes that were killed for lack of memory, since the machine started.
const OOM_KILLS: &str = "oom_kill ";

/// How the server ended that had the data before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreviousStop {
    /// By itself, or there was none.
    Clean,
    /// It was killed, or it crashed.
    Killed,
    /// The kernel ended a process for lack of memory in the last minute of its life.
    OutOfMemory,
    /// The machine started anew since: power failed, or it went down without waiting.
    Reboot,
    /// Not cleanly; it has left nothing that tells more. Another program may have had the data.
    Unknown,
}

impl PreviousStop {
    /// As metrics and the log name it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Killed => "killed",
            Self::OutOfMemory => "out_of_memory",
            Self::Reboot => "reboot",
            Self::Unknown => "unknown",
        }
    }
}

/// What tells one life from the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Surroundings {
    boot_id: String,
    oom_kills_count: u64,
}

/// The record of this life.
#[derive(Debug)]
pub(super) struct RunRecord {
    path: PathBuf,
    written: Mutex<Surroundings>,
    /// Writes it the first time.
    first: Mutex<Option<JoinHandle<()>>>,
}

impl RunRecord {
    /// Judges the life before by what it has left, and begins a record of this one. `is_lock_clean` says
    /// whether the lock was given back, where there is one.
    ///
    /// Nothing waits until the record is durable: a disk that has much to write may take longer for it than all
    /// the rest of a start.
    pub(super) fn begin(dir: &Path, is_lock_clean: Option<bool>) -> (PreviousStop, Self) {
        let path = dir.join(FILE_NAME);
        let now = Surroundings::now();
        let left = read(&path).unwrap_or_else(|err| {
            tracing::debug!(err = %err, "The record of the run before cannot be read");
            None
        });
        let stop = judge(left.as_ref(), is_lock_clean, &now);
        let write_first = {
            let (path, now) = (path.clone(), now.clone());
            move || write(&path, &now)
        };
        let spawned = thread::Builder::new().name("run-record".to_owned()).spawn(write_first);
        let first = spawned.inspect_err(|err| {
            tracing::debug!(err = %err, "No thread to write the record of this run");
        });
        (stop, Self { path, written: Mutex::new(now), first: Mutex::new(first.ok()) })
    }

    /// Takes note of what has befallen others, so that it is not taken for our end.
    pub(super) fn refresh(&self) {
        self.wait_for_first();
        let now = Surroundings::now();
        let mut written = lock(&self.written);
        if *written != now {
            write(&self.path, &now);
            *written = now;
        }
    }

    /// This life ends as it should.
    pub(super) fn end(self) {
        self.wait_for_first();
        if let Err(err) = fs::remove_file(&self.path) {
            tracing::debug!(file = %self.path.display(), err = %err, "Removing the record of this run failed");
        }
    }

    fn wait_for_first(&self) {
        let first = lock(&self.first).take();
        if first.is_some_and(|first| first.join().is_err()) {
            tracing::error!("The thread that writes the record of this run panicked");
        }
    }
}

impl Drop for RunRecord {
    fn drop(&mut self) {
        self.wait_for_first();
    }
}

impl Surroundings {
    fn now() -> Self {
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            boot_id: text(BOOT_ID_PATH).trim().to_owned(),
            oom_kills_count: oom_kills_count(&text(EVENTS_PATH)),
        }
    }
}

fn oom_kills_count(events: &str) -> u64 {
    let line = events.lines().find_map(|line| line.strip_prefix(OOM_KILLS));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

fn write(path: &Path, surroundings: &Surroundings) {
    let written = StateWriter::create(path, KIND).and_then(|mut writer| {
        writer.bytes(surroundings.boot_id.as_bytes())?;
        writer.bytes(&surroundings.oom_kills_count.to_le_bytes())?;
        writer.finish()
    });
    if let Err(err) = written {
        tracing::debug!(err = %err, "This run leaves no record; should it be killed, nobody will know why");
    }
}

fn read(path: &Path) -> Result<Option<Surroundings>, StateFileError> {
    let Some(mut reader) = StateReader::open(path, KIND)? else { return Ok(None) };
    let boot_id = String::from_utf8_lossy(&reader.bytes()?).into_owned();
    let count = reader.bytes()?.first_chunk().copied().map_or(0, u64::from_le_bytes);
    reader.finish()?;
    Ok(Some(Surroundings { boot_id, oom_kills_count: count }))
}

fn judge(
    left: Option<&Surroundings>,
    is_lock_clean: Option<bool>,
    now: &Surroundings,
) -> PreviousStop {
    match (left, is_lock_clean) {
        (_, Some(true)) | (None, None) => PreviousStop::Clean,
        (None, Some(false)) => PreviousStop::Unknown,
        (Some(left), _) if left.boot_id != now.boot_id => PreviousStop::Reboot,
        (Some(left), _) if left.oom_kills_count < now.oom_kills_count => PreviousStop::OutOfMemory,
        (Some(_), _) => PreviousStop::Killed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_told_by_what_is_left() {
        let of = |boot: &str, oom_kills_count| Surroundings {
            boot_id: boot.to_owned(),
            oom_kills_count,
        };
        let check = |left: Option<Surroundings>, is_lock_clean, expected| {
            let found = judge(left.as_ref(), is_lock_clean, &of("b", 3));
            assert_eq!(found, expected, "{left:?} {is_lock_clean:?}");
        };
        check(None, Some(true), PreviousStop::Clean);
        check(None, None, PreviousStop::Clean);
        check(None, Some(false), PreviousStop::Unknown);
        // Somebody else had the data since, and ended.
        check(Some(of("a", 1)), Some(true), PreviousStop::Clean);
        for is_lock_clean in [Some(false), None] {
            check(Some(of("b", 3)), is_lock_clean, PreviousStop::Killed);
            check(Some(of("b", 2)), is_lock_clean, PreviousStop::OutOfMemory);
            check(Some(of("a", 3)), is_lock_clean, PreviousStop::Reboot);
            check(Some(of("a", 9)), is_lock_clean, PreviousStop::Reboot);
        }
    }

    #[test]
    fn the_record_lasts_until_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let (stop, record) = RunRecord::begin(dir.path(), Some(true));
        assert_eq!(stop, PreviousStop::Clean);
        record.refresh();
        assert!(dir.path().join(FILE_NAME).exists(), "whoever refreshes it waits for it");
        // Killed: nobody ended it.
        let (stop, again) = RunRecord::begin(dir.path(), Some(false));
        assert_eq!(stop, PreviousStop::Killed);
        again.end();
        assert!(!dir.path().join(FILE_NAME).exists());
        let (stop, _) = RunRecord::begin(dir.path(), Some(false));
        assert_eq!(stop, PreviousStop::Unknown);
        fs::write(dir.path().join(FILE_NAME), "garbage").unwrap();
        let (stop, _) = RunRecord::begin(dir.path(), Some(false));
        assert_eq!(stop, PreviousStop::Unknown);
    }

    #[test]
    fn kills_are_counted_by_the_kernel() {
        let check = |events, expected| assert_eq!(oom_kills_count(events), expected, "{events:?}");
        check("pgfault 7\noom_kill 12\noom_killer 3\n", 12);
        check("pgfault 7\n", 0);
        check("oom_kill x\n", 0);
    }
}
